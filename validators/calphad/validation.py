"""The validator: one composition, one configuration, one outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.observed import observed_probability
from validators.calphad.provenance import provenance
from validators.calphad.settings import OBSERVED, CalphadSettings
from validators.calphad.solidus import liquidus, solidus
from validators.calphad.verdict import StabilityVerdict, confirm_at
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

__all__ = ["validate", "validate_many"]


def validate(composition: Composition, settings: CalphadSettings) -> Outcome:
    """Answer everything that the settings ask for, or nothing.

    An outcome is all of its values or none: one equilibrium without an answer makes the outcome
    ``unconverged``, one error makes it ``failed``, since a candidate that is judged on half of its targets
    would be judged wrongly.

    Args:
        composition: The alloy.
        settings: What is asked.

    Returns:
        Per temperature one ``single_phase_bcc`` (1.0 or 0.0; in its detail what
        :meth:`validators.calphad.verdict.StabilityVerdict.detail` says: phases with their fractions, competing
        phase, driving force, window) and one ``phase_fraction`` per phase entry; one ``solidus`` and one
        ``liquidus`` (K); one ``single_phase_bcc_probability`` with what speaks against it; each only if asked
        for. ``rests_on`` in the detail of each says on how many estimated parameters, and on which.

    Raises:
        InputError: An element that the database does not have, or a database that cannot be used.
    """
    database = settings.load()
    database.require(composition, settings.temperatures_K)
    began = time.perf_counter()
    try:
        values = [
            *_phases(composition, settings, database),
            *_melting(composition, settings, database),
            *_observed(composition, settings, database),
        ]
    except _NoAnswer as reason:
        return Outcome(
            reason.status, settings.method(), message=reason.message, wall_s=time.perf_counter() - began
        )
    return Outcome(
        OutcomeStatus.CONVERGED,
        settings.method(),
        tuple(_with_provenance(value, composition, database) for value in values),
        wall_s=time.perf_counter() - began,
    )


class _NoAnswer(Exception):  # noqa: N818 - not an error: it carries an outcome out of what was asked
    def __init__(self, status: OutcomeStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _phases(
    composition: Composition, settings: CalphadSettings, database: CalphadDatabase
) -> Iterator[OutcomeValue]:
    if not settings.asks_for_phases:
        return
    for verdict in confirm_at(composition, settings.temperatures_K, database):
        if verdict.status is not OutcomeStatus.CONVERGED:
            raise _NoAnswer(verdict.status, verdict.message)
        yield from _values_at(verdict, settings)


def _melting(
    composition: Composition, settings: CalphadSettings, database: CalphadDatabase
) -> Iterator[OutcomeValue]:
    for name, search in (("solidus", solidus), ("liquidus", liquidus)):
        if name not in settings.properties:
            continue
        found = search(composition, database, tolerance_K=settings.solidus_tolerance_K)
        if found.status is not OutcomeStatus.CONVERGED:
            raise _NoAnswer(found.status, found.message)
        low, high = database.described_between(composition)
        if not low <= found.temperature_K <= high:
            beyond = f"{name}: {found.temperature_K:.0f} K is beyond {low:g} to {high:g} K, where"
            raise _NoAnswer(OutcomeStatus.UNCONVERGED, f"{beyond} {database.name} describes it")
        detail = {"tolerance_K": found.tolerance_K, "equilibria": found.equilibria}
        yield OutcomeValue(name, found.temperature_K, detail=detail)


def _observed(
    composition: Composition, settings: CalphadSettings, database: CalphadDatabase
) -> Iterator[OutcomeValue]:
    if OBSERVED not in settings.properties:
        return
    (seen,) = observed_probability([composition], database, processing=settings.processing)
    if seen.probability is None:
        raise _NoAnswer(seen.status, f"{OBSERVED}: {seen.message}")
    yield OutcomeValue(OBSERVED, seen.probability, sigma=seen.sigma, detail=seen.detail())


def _with_provenance(
    value: OutcomeValue, composition: Composition, database: CalphadDatabase
) -> OutcomeValue:
    """The same value, its detail telling how many estimated parameters it rests on, and which."""
    found = provenance(database, composition.elements, [p["name"] for p in value.detail.get("phases", [])])
    rests_on = {
        "estimated_parameters": found.number_of_estimates if found.states_estimates else None,
        "text": list(found.lines()),
    }
    return replace(value, detail=value.detail | {"rests_on": rests_on})


def _values_at(found: StabilityVerdict, settings: CalphadSettings) -> list[OutcomeValue]:
    values = []
    if "single_phase_bcc" in settings.properties:
        verdict = float(bool(found.single_phase_bcc))
        values.append(OutcomeValue("single_phase_bcc", verdict, found.temperature_K, detail=found.detail()))
    if "phase_fraction" in settings.properties:
        values += [
            OutcomeValue(
                "phase_fraction",
                p.fraction,
                found.temperature_K,
                detail={"phase": p.name, "composition": p.composition},
            )
            for p in found.phases
        ]
    return values


def _one_of_many(composition: Composition, settings: CalphadSettings, database: CalphadDatabase) -> Outcome:
    try:
        database.require(composition, settings.temperatures_K)
    except InputError as error:
        return Outcome(OutcomeStatus.FAILED, settings.method(), message=str(error))
    return validate(composition, settings)


def validate_many(compositions: Sequence[Composition], settings: CalphadSettings) -> list[Outcome]:
    """Validate a chunk; one outcome per composition, in the order given.

    An alloy that cannot be answered, an element outside the database included, becomes a ``failed`` outcome
    of its own and takes nothing from the others. The answers do not depend on the order or on the chunk.

    Raises:
        InputError: The database cannot be used, so that none of them can be answered.
    """
    database = settings.load()
    return [_one_of_many(c, settings, database) for c in compositions]

"""From a campaign to what its stages need: validator settings, job requests, training data, known answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db import models
from db.elasticity import elastic_data, packaged_elastic_data
from db.jobs import FINAL, JobRequest, known_values, source_of
from db.literature import training_compositions
from db.reported_phases import reported_phases
from flows.atomistic_request import check_atomistic, own_sources
from hea_loop.acquisition import Fidelity
from hea_loop.alloy_table import AlloyTable, read_alloy_table
from hea_loop.campaign import Campaign
from hea_loop.composition import Composition
from hea_loop.elasticity import (
    LEARNED_PROPERTIES,
    ElasticModel,
    learned_targets,
    predicted_means,
    require_predictable_elements,
)
from hea_loop.errors import InputError
from hea_loop.generators import Generator, TrainingData, generator_named
from hea_loop.next_validation import choose_next_validations
from hea_loop.properties import FIDELITIES, PROPERTIES
from hea_loop.scoring import KnownValue, decisive_value, judge
from hea_loop.surrogate import fit_surrogate
from validators.calphad import CalphadSettings
from validators.calphad.verdict import driving_forces_in

__all__ = [
    "calphad_request",
    "calphad_settings",
    "check_campaign",
    "elastic_model",
    "known_answers",
    "known_compositions",
    "next_validations",
    "packaged_elastic_model",
    "pending_compositions",
    "training_data",
]

MINIMUM_TRAINING_SIZE = 20


def calphad_settings(campaign: Campaign) -> CalphadSettings:
    """What the campaign asks of the CALPHAD validator."""
    validator = campaign.validators.calphad
    if validator is None:
        raise InputError("validators.calphad", None, "is missing", "add it with a budget")
    temperatures = (
        campaign.verdicts["single_phase_bcc"].temperatures_K
        if "single_phase_bcc" in campaign.verdicts
        else []
    )
    properties = [p for p in ("single_phase_bcc",) if p in campaign.verdicts]
    properties += campaign.questions()
    return CalphadSettings(
        database=validator.database,
        temperatures_K=tuple(temperatures),
        properties=tuple(properties),
        allow_missing_binaries=validator.allow_missing_binaries,
        processing=validator.processing,
    )


def calphad_request(campaign: Campaign) -> JobRequest:
    """The job that every approved candidate of the campaign gets."""
    settings = calphad_settings(campaign)
    validator = campaign.validators.calphad
    return JobRequest(
        validator="calphad",
        fidelity="calphad",
        configuration=settings.configuration(),
        configuration_hash=settings.configuration_hash(),
        budget=validator.budget if validator is not None else 0,
    )


def check_campaign(campaign: Campaign) -> None:
    """Refuse what would fail later: an unknown strategy, a missing database, elements or binaries that it lacks.

    Raises:
        InputError: The first thing that cannot work, by its field.
    """
    generator_named(campaign.strategy.name, campaign.strategy.options)
    _own_alloys(campaign)
    if campaign.elasticity == "first-principles":
        asked = {*campaign.targets, *campaign.objectives, *campaign.strategy.conditions}
        require_predictable_elements(
            campaign.design_space().elements,
            ["shear_modulus", "poisson_ratio", *(n for n in LEARNED_PROPERTIES if n in asked)],
        )
    check_atomistic(campaign)
    settings = calphad_settings(campaign)
    database = settings.load()
    palette = campaign.design_space().elements
    lacking = sorted(set(palette) - set(database.elements))
    if lacking:
        raise InputError(
            "palette.elements",
            list(palette),
            f"{', '.join(lacking)} is not in the CALPHAD database {settings.database}",
            f"use elements of {', '.join(database.elements)}, or give validators.calphad.database a TDB that has them",
        )
    database.require_elements(
        palette, settings.temperatures_K, field="palette.elements", value="-".join(palette)
    )


FloatArray = NDArray[np.float64]


def elastic_model(
    session: Session, campaign: Campaign, say: Callable[[str], None] | None = None
) -> ElasticModel | None:
    """What predicts the campaign's elastic moduli, learned from what the store has of them now.

    Of validators' values only those of the campaign's own atomistic configuration count: what another calculator or
    preset gives is another level. None where the campaign takes the linear combination. A model of the same data
    is fitted once and kept.

    Raises:
        InputError: The store has no first-principles alloy to learn from.
    """
    if campaign.elasticity == "linear-combination":
        return None
    from hea_loop.surrogates.kept_models import first_principles_model

    return first_principles_model(elastic_data(session, own_sources(campaign)), say=say)


def packaged_elastic_model(
    campaign: Campaign, say: Callable[[str], None] | None = None
) -> ElasticModel | None:
    """The same from the packaged first-principles alloys alone, where there is no store."""
    if campaign.elasticity == "linear-combination":
        return None
    from hea_loop.surrogates.kept_models import first_principles_model

    return first_principles_model(packaged_elastic_data(), say=say)


def training_data(
    session: Session, campaign: Campaign, generator: Generator, elasticity: ElasticModel | None = None
) -> TrainingData:
    """What the generator learns from: the literature within the palette, and what this campaign validated.

    Of the campaign's own candidates those are fed back whose verdicts all hold, whether or not their targets
    do: an alloy that decomposes is no example of a realistic one.

    Args:
        session: A session of the store.
        campaign: Its palette, conditions and own alloys.
        generator: Who learns.
        elasticity: The campaign's :func:`elastic_model`. What it predicts is no formula to the generator: it learns
            the values in the rows.

    Raises:
        InputError: Too few alloys for the palette.
    """
    palette = campaign.design_space()
    compositions = set(training_compositions(session, palette.elements))
    literature = len(compositions)
    if literature < MINIMUM_TRAINING_SIZE:
        raise InputError(
            "palette.elements",
            list(palette.elements),
            f"has only {literature} literature alloys within it",
            f"widen the palette: {generator.name} needs {MINIMUM_TRAINING_SIZE} to train",
        )
    compositions |= _confirmed(session, campaign)
    own = _own_alloys(campaign)
    compositions |= {c for c in own.compositions if set(c.elements) <= set(palette.elements)}
    ordered = sorted(compositions, key=lambda c: c.key)
    fractions = np.array([c.fraction_vector(palette.elements) for c in ordered])
    names = tuple(campaign.strategy.conditions)
    predictable = tuple(name for name in names if name in campaign.predictable())
    learned = learned_targets(predictable, elasticity)
    closed_form = tuple(name for name in predictable if name not in learned)

    def predicted(x: FloatArray) -> FloatArray:
        values = predicted_means(x, palette.elements, predictable, elasticity)
        return np.column_stack([values[name] for name in predictable])

    known = _known_numbers(session, ordered, [n for n in names if n not in predictable], own)
    if predictable:
        known |= dict(zip(predictable, predicted(fractions).T, strict=True))
    return TrainingData(
        elements=palette.elements,
        fractions=fractions,
        conditions=np.column_stack([known[name] for name in names]),
        condition_names=names,
        closed_form=closed_form,
        reference=predicted if predictable == names else None,
    )


def _own_alloys(campaign: Campaign) -> AlloyTable:
    """The table that the campaign names, an empty one if it names none."""
    if campaign.strategy.data is None:
        return AlloyTable((), {})
    table = read_alloy_table(campaign.strategy.data, field="strategy.data")
    for name in campaign.strategy.conditions:
        if name not in PROPERTIES and name not in table.columns:
            raise InputError(
                "strategy.conditions",
                name,
                f"is neither of the vocabulary nor a column of {campaign.strategy.data}",
                f"use columns of it ({', '.join(table.columns)}), or see `hea-loop doctor --properties`",
            )
    return table


def _numbers() -> Select[tuple[str, str, float | None, str, float | None]]:
    """Numbers that stand in the store: key of the material, and what a :class:`KnownValue` is made of."""
    return (
        select(
            models.Material.key,
            models.DataPoint.property,
            models.DataPoint.value,
            models.DataPoint.fidelity,
            models.DataPoint.temperature_K,
        )
        .join(models.DataPoint, models.DataPoint.material_id == models.Material.id)
        .where(models.DataPoint.superseded_by.is_(None), models.DataPoint.value.is_not(None))
    )


def _known_numbers(
    session: Session, compositions: Sequence[Composition], names: Sequence[str], own: AlloyTable
) -> dict[str, FloatArray]:
    """Values of properties that only data can tell, NaN where nobody has one.

    A campaign's own table decides over the store; of the store's values the one of the highest fidelity, without a
    temperature or at room temperature. Predictions are no data.
    """
    values: dict[str, list[KnownValue]] = {}
    listed = [name for name in names if name in PROPERTIES]
    if listed:
        rows = session.execute(
            _numbers()
            .where(
                models.DataPoint.property.in_(listed),
                models.DataPoint.fidelity != "prediction",
            )
            .order_by(models.Material.key, models.DataPoint.property, models.DataPoint.source)
        )
        for key, *value in rows:
            values.setdefault(key, []).append(KnownValue(*value))

    def number(composition: Composition, name: str) -> float:
        stated = own.value(composition, name)
        if np.isfinite(stated):
            return stated
        found = decisive_value(values.get(composition.key, ()), name)
        return np.nan if found is None else found.value

    return {name: np.array([number(c, name) for c in compositions]) for name in names}


def _confirmed(session: Session, campaign: Campaign) -> set[Composition]:
    """Validated candidates of the campaign whose every verdict holds, read from their data points."""
    materials = session.execute(
        select(models.Material.id, models.Material.key)
        .join(models.Candidate, models.Candidate.material_id == models.Material.id)
        .join(models.Iteration)
        .join(models.Campaign)
        .where(models.Campaign.name == campaign.name, models.Candidate.state == "validated")
    ).all()
    verdicts_only = campaign.model_copy(update={"targets": {}})
    source = source_of(calphad_request(campaign))
    return {
        Composition.from_key(key)
        for material, key in materials
        if judge(verdicts_only, known_values(session, material, ("calphad", "dft", "experiment"), source)).hit
    }


def known_compositions(session: Session) -> list[Composition]:
    """Every material in the store, in the order of the keys."""
    return [
        Composition.from_key(key)
        for key in session.scalars(select(models.Material.key).order_by(models.Material.key))
    ]


def pending_compositions(session: Session, campaign_id: int, *, besides: int) -> list[Composition]:
    """Candidates of a campaign's other iterations whose answers are still awaited, in the order of their keys.

    Args:
        session: A session of the store.
        campaign_id: Row of the campaign.
        besides: Row of the iteration that is left out.
    """
    keys = session.scalars(
        select(models.Material.key)
        .join(models.Candidate, models.Candidate.material_id == models.Material.id)
        .join(models.Iteration, models.Candidate.iteration_id == models.Iteration.id)
        .where(
            models.Iteration.campaign_id == campaign_id,
            models.Iteration.id != besides,
            models.Candidate.state.in_(("proposed", "queued", "approved", "validating")),
        )
        .distinct()
        .order_by(models.Material.key)
    )
    return [Composition.from_key(key) for key in keys]


def next_validations(
    session: Session,
    campaign: Campaign,
    iteration_id: int,
    fidelities: Sequence[Fidelity],
    elasticity: ElasticModel | None = None,
) -> dict[str, list[int]]:
    """Which candidates of an iteration go to which validator now, by what is known, what is doubtful and the cost.

    Args:
        session: A session of the store.
        campaign: Its targets and verdicts.
        iteration_id: Row of the iteration; candidates that wait for review, were rejected or were abandoned are
            left out.
        fidelities: The campaign's validators, the cheapest first, under the names that their jobs have.
        elasticity: The campaign's :func:`elastic_model`.

    Returns:
        Validator to rows of candidates, best first.
    """
    candidates = session.scalars(
        select(models.Candidate)
        .where(
            models.Candidate.iteration_id == iteration_id,
            models.Candidate.state.not_in(("queued", "rejected", "abandoned")),
        )
        .options(joinedload(models.Candidate.material), selectinload(models.Candidate.jobs))
        .order_by(models.Candidate.rank)
    ).all()
    if not candidates:
        return {f.name: [] for f in fidelities}
    known = [
        known_values(
            session,
            c.material_id,
            FIDELITIES,
            tuple(source_of(job) for job in c.jobs),
            elasticity=campaign.elasticity,
        )
        for c in candidates
    ]
    ended = {f.name: np.array([_asked(c, f.name, ended=True) for c in candidates]) for f in fidelities}
    at_work = {f.name: np.array([_asked(c, f.name, ended=False) for c in candidates]) for f in fidelities}
    surrogate = fit_surrogate(
        campaign,
        campaign.design_space().elements,
        *known_answers(session, campaign),
        elasticity,
        reports=reported_phases(session, campaign.design_space().elements),
    )
    compositions = [Composition.from_key(c.material.key) for c in candidates]
    sent = choose_next_validations(
        campaign, fidelities, surrogate, compositions, known, answered=ended, pending=at_work
    )
    return {name: [candidates[i].id for i in indices] for name, indices in sent.items()}


def _asked(candidate: models.Candidate, validator: str, *, ended: bool) -> bool:
    """Whether a validator has been asked about a candidate and its job has ended, or has not."""
    return any(j.validator == validator and (j.state in FINAL) == ended for j in candidate.jobs)


def known_answers(session: Session, campaign: Campaign) -> tuple[FloatArray, list[list[KnownValue]]]:
    """What the CALPHAD validator has answered under the campaign's configuration, from any campaign.

    Returns:
        Atomic fractions ``(n, m)`` of the materials within the palette, and the values of each, both in the
        order of the materials' keys, so that they do not depend on the order in which answers came in.
    """
    elements = campaign.design_space().elements
    rows = session.execute(
        _numbers()
        .add_columns(models.DataPoint.conditions)
        .where(
            models.DataPoint.kind == "validation",
            models.DataPoint.source.like(f"{source_of(calphad_request(campaign))}%"),
        )
        .order_by(models.Material.key, models.DataPoint.property, models.DataPoint.temperature_K)
    )
    values: dict[str, list[KnownValue]] = {}
    for key, *value, conditions in rows:
        if set(Composition.from_key(key).elements) <= set(elements):
            forces = driving_forces_in((conditions or {}).get("detail", {}))
            values.setdefault(key, []).append(KnownValue(*value, driving_forces=forces))
    fractions = [Composition.from_key(key).fraction_vector(elements) for key in values]
    return np.array(fractions).reshape(len(values), len(elements)), list(values.values())

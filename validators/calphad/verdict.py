"""The answer that both tiers give: is bcc alone at a composition and temperature, and what competes with it.

The screening tier tests the tangent plane of bcc (:mod:`validators.calphad.screening`); the confirming tier
minimises with pycalphad, from its own samplings and from what screening found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import PhaseEntry, phases_at
from validators.calphad.screening import NotVectorisable, Screening, screen_compositions, starting_points
from validators.calphad.systems import StartingPoint
from validators.outcome import OutcomeStatus

__all__ = ["StabilityVerdict", "Tier", "confirm", "screen_verdicts"]

Tier = Literal["screen", "confirm"]

_BCC: Final = "BCC_A2"
_DIGITS: Final = 3  # of a J/mol


@dataclass(frozen=True, slots=True)
class StabilityVerdict:
    """One answer.

    Attributes:
        tier: Which tier gave it.
        status: Converged, unconverged or failed.
        temperature_K: Temperature, K.
        single_phase_bcc: Whether bcc is stable and alone; None unless converged.
        competing_phase: The phase beside bcc of which there is most (confirm), or of the largest driving
            force whether stable or not (screen); empty where there is none. ``BCC_A2`` is a second bcc.
        driving_force: J per mole of atoms of the most stable phase against bcc of the alloy's composition,
            positive where bcc alone is not stable; None where screening cannot tell.
        competing_composition: Atomic fraction per element of the competing phase.
        phases: Entries, largest fraction first. Screening computes no fractions: it has an entry only where
            bcc is alone.
        message: Why there is no answer; empty when converged.
    """

    tier: Tier
    status: OutcomeStatus
    temperature_K: float
    single_phase_bcc: bool | None = None
    competing_phase: str = ""
    driving_force: float | None = None
    competing_composition: dict[str, float] = field(default_factory=dict)
    phases: tuple[PhaseEntry, ...] = ()
    message: str = ""

    def detail(self) -> dict[str, Any]:
        """All but the verdict itself, as plain JSON."""
        return {
            "phases": [{"name": p.name, "fraction": p.fraction} for p in self.phases],
            "competing_phase": self.competing_phase or None,
            "driving_force_J_per_mol": self.driving_force,
        }


def _points(
    composition: Composition, temperature_K: float, database: CalphadDatabase
) -> tuple[tuple[StartingPoint, ...], float | None]:
    """What screening found, and the largest driving force; nothing of a database that it cannot screen."""
    try:
        points = starting_points(composition, temperature_K, database)
        force = float(screen_compositions([composition], [temperature_K], database).driving_force[0])
    except NotVectorisable:
        return (), None
    return points, round(force, _DIGITS) if math.isfinite(force) else None


def confirm(composition: Composition, temperature_K: float, database: CalphadDatabase) -> StabilityVerdict:
    """Minimise with pycalphad, its samplings completed by the points that screening found.

    Raises:
        InputError: An element that the database does not have, or a temperature out of range.
    """
    points, force = _points(composition, temperature_K, database)
    found = phases_at(composition, temperature_K, database, points=points)
    if found.status is not OutcomeStatus.CONVERGED:
        return StabilityVerdict("confirm", found.status, found.temperature_K, message=found.message)
    # the first bcc entry is the alloy's own; every other entry competes with it
    own = next((k for k, p in enumerate(found.phases) if p.name == _BCC), None)
    others = [p for k, p in enumerate(found.phases) if k != own]
    return StabilityVerdict(
        "confirm",
        found.status,
        found.temperature_K,
        single_phase_bcc=found.single_phase_bcc,
        competing_phase=others[0].name if others else "",
        driving_force=force,
        competing_composition=dict(others[0].composition) if others else {},
        phases=found.phases,
    )


def screen_verdicts(
    compositions: Sequence[Composition], temperatures_K: Sequence[float], database: CalphadDatabase
) -> list[StabilityVerdict]:
    """Screen every composition at every temperature, temperatures running fastest.

    Raises:
        InputError: An element that the database does not have, or a temperature out of range.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    answers = screen_compositions(compositions, temperatures_K, database)
    repeated = [c for c in compositions for _ in temperatures_K]
    return [_one(answers, k, composition) for k, composition in enumerate(repeated)]


def _one(answers: Screening, k: int, composition: Composition) -> StabilityVerdict:
    force = float(answers.driving_force[k])
    alone = bool(answers.single_phase_bcc[k])
    trial = {e: float(v) for e, v in zip(answers.elements, answers.trial[k], strict=True) if v > 0}
    return StabilityVerdict(
        "screen",
        OutcomeStatus.CONVERGED,
        float(answers.temperatures_K[k]),
        single_phase_bcc=alone,
        competing_phase=str(answers.competing_phase[k]),
        driving_force=round(force, _DIGITS) if np.isfinite(force) else None,
        competing_composition=trial,
        phases=(PhaseEntry(_BCC, 1.0, dict(composition.fractions)),) if alone else (),
    )

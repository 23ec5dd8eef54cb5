"""The answer that both tiers give: is bcc alone at a composition and temperature, and what competes with it.

The screening tier tests the tangent plane of bcc (:mod:`validators.calphad.screening`); the confirming tier
minimises with pycalphad, from its own samplings and from what screening found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import BCC, PhaseEntry, phases_at, require_temperature
from validators.calphad.screening import (
    NotVectorisable,
    Screening,
    SinglePhaseWindow,
    nearest_window,
    screen_compositions,
    single_phase_windows,
    starting_points,
)
from validators.calphad.screening.system import is_liquid
from validators.outcome import OutcomeStatus

__all__ = ["StabilityVerdict", "Tier", "confirm", "confirm_at", "driving_forces_in", "screen_verdicts"]

Tier = Literal["screen", "confirm"]

_DIGITS: Final = 3  # of a J/mol
_FRACTION_DIGITS: Final = 6
_NO_LIQUID: Final = "no liquid in this database"


@dataclass(frozen=True, slots=True)
class StabilityVerdict:
    """One answer, the same of both tiers; what a tier does not compute is None or empty.

    Attributes:
        tier: Which tier gave it.
        status: Converged, unconverged or failed.
        temperature_K: Temperature, K.
        single_phase_bcc: Whether bcc is stable and alone; None unless converged.
        competing_phase: Where bcc is not alone, the phase beside it of which there is most (confirm) or of
            the largest driving force (screen). Where it is, the phase that comes nearest to being stable.
            ``BCC_A2`` is a second bcc; empty where no other phase can form.
        competing_fraction: Mole fraction of that phase, 0.0 where bcc is alone; None where screening found
            that it is not, since it computes no fractions.
        driving_force: Of the competing phase, J per mole of its atoms: how far it lies below the tangent
            plane of bcc of the alloy's composition; negative where it lies above. None where the database
            cannot be screened. A phase that becomes stable only once another has formed lies above as well.
        energy_gain: J per mole of the alloy's atoms that the equilibrium lies below bcc alone; None in the
            screening tier. Small beside the driving force where little of the phase forms.
        competing_composition: Atomic fraction per element of the competing phase.
        driving_forces: The same driving force of every phase, largest first.
        window: The interval of temperatures, found by screening, in which bcc is alone: the one that holds
            the temperature, or the nearest. None where bcc is never alone, or nothing is known.
        window_computed: Whether the windows were searched: None then means that bcc is never alone. Where they
            were not, ``remark`` or ``message`` says why.
        phases: Entries, largest fraction first. Screening has one only where bcc is alone.
        remark: What the answer has to do without, and why.
        message: Why there is no answer; empty when converged.
    """

    tier: Tier
    status: OutcomeStatus
    temperature_K: float
    single_phase_bcc: bool | None = None
    competing_phase: str = ""
    competing_fraction: float | None = None
    driving_force: float | None = None
    energy_gain: float | None = None
    competing_composition: dict[str, float] = field(default_factory=dict)
    driving_forces: dict[str, float] = field(default_factory=dict)
    window: SinglePhaseWindow | None = None
    window_computed: bool = False
    phases: tuple[PhaseEntry, ...] = ()
    remark: str = ""
    message: str = ""

    def detail(self) -> dict[str, Any]:
        """All but the verdict itself and the temperature, as plain JSON."""
        return {
            "phases": [{"name": p.name, "fraction": round(p.fraction, 4)} for p in self.phases],
            "competing_phase": self.competing_phase or None,
            "competing_fraction": None
            if self.competing_fraction is None
            else round(self.competing_fraction, 4),
            "competing_composition": {e: round(x, 3) for e, x in self.competing_composition.items()},
            "driving_force_J_per_mol": _coarse(self.driving_force),
            "driving_forces_J_per_mol": {name: _coarse(force) for name, force in self.driving_forces.items()},
            # a difference of two energies of some 1e5 J/mol: what lies below a tenth of a joule is the solver's
            "energy_gain_J_per_mol": None if self.energy_gain is None else round(self.energy_gain, 1),
            "single_phase_window": None if self.window is None else self.window.detail(),
            "single_phase_window_computed": self.window_computed,
            "remark": self.remark,
        }


def driving_forces_in(detail: Mapping[str, Any]) -> dict[str, float]:
    """Driving forces by phase, J per mole of atoms, as :meth:`StabilityVerdict.detail` writes them; none if it did not.

    Args:
        detail: Of an outcome's value.
    """
    written = detail.get("driving_forces_J_per_mol") or {}
    return {name: float(force) for name, force in written.items() if force is not None}


def _coarse(force: float | None) -> float | None:
    """A force in few enough digits that the solver's noise, which differs between processes, is not stored."""
    if force is None:
        return None
    return float(f"{force:.2g}") if abs(force) < 100 else round(force, 0)


def screen_verdicts(
    compositions: Sequence[Composition], temperatures_K: Sequence[float], database: CalphadDatabase
) -> list[StabilityVerdict]:
    """Screen every composition at every temperature, temperatures running fastest.

    Raises:
        InputError: An element that the database does not have, or a temperature out of range.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    return _screen(compositions, temperatures_K, database)[0]


def _screen(
    compositions: Sequence[Composition], temperatures_K: Sequence[float], database: CalphadDatabase
) -> tuple[list[StabilityVerdict], list[float]]:
    """The verdicts, and for each the Gibbs energy of bcc alone, J/mol."""
    answers = screen_compositions(compositions, temperatures_K, database)
    windows = single_phase_windows(
        np.array([c.fraction_vector(answers.elements) for c in compositions]),
        answers.elements,
        database,
        temperatures_K=temperatures_K,
    )
    remark = "" if any(is_liquid(phase) for phase in database.phases) else _NO_LIQUID
    verdicts = [
        _one(answers, k * len(temperatures_K) + j, composition, windows[k], remark)
        for k, composition in enumerate(compositions)
        for j in range(len(temperatures_K))
    ]
    return verdicts, [float(energy) for energy in answers.energy]


def _forces(answers: Screening, k: int) -> dict[str, float]:
    found = {name: float(values[k]) for name, values in answers.driving_forces.items()}
    known = {name: round(force, _DIGITS) for name, force in found.items() if math.isfinite(force)}
    return dict(sorted(known.items(), key=lambda item: (-item[1], item[0])))


def _one(
    answers: Screening,
    k: int,
    composition: Composition,
    windows: Sequence[SinglePhaseWindow],
    remark: str,
) -> StabilityVerdict:
    alone = bool(answers.single_phase_bcc[k])
    forces = _forces(answers, k)
    name = str(answers.competing_phase[k])
    temperature = float(answers.temperatures_K[k])
    trial = {
        e: round(float(v), _FRACTION_DIGITS)
        for e, v in zip(answers.elements, answers.trial[k], strict=True)
        if v > 0
    }
    return StabilityVerdict(
        "screen",
        OutcomeStatus.CONVERGED,
        temperature,
        single_phase_bcc=alone,
        competing_phase=name,
        competing_fraction=0.0 if alone else None,
        driving_force=forces.get(name),
        competing_composition=trial,
        driving_forces=forces,
        window=nearest_window(windows, temperature),
        window_computed=True,
        phases=(PhaseEntry(BCC, 1.0, dict(composition.fractions)),) if alone else (),
        remark=remark,
    )


def confirm(composition: Composition, temperature_K: float, database: CalphadDatabase) -> StabilityVerdict:
    """Minimise with pycalphad, its samplings completed by the points that screening found.

    A database that cannot be screened is answered from pycalphad's samplings alone, and the remark says so.

    Raises:
        InputError: An element that the database does not have, or a temperature out of range.
    """
    return confirm_at(composition, (temperature_K,), database)[0]


def confirm_at(
    composition: Composition, temperatures_K: Sequence[float], database: CalphadDatabase
) -> list[StabilityVerdict]:
    """:func:`confirm` at several temperatures, which are screened at once.

    Raises:
        InputError: As :func:`confirm`.
    """
    database.require(composition)
    temperatures = [require_temperature(t) for t in temperatures_K]
    try:
        screened, energies = _screen([composition], temperatures, database)
    except NotVectorisable as refused:
        remark = f"from pycalphad's samplings alone, no window: the database {refused.problem}"
        return [_confirmed(composition, t, database, None, math.nan, remark) for t in temperatures]
    return [
        _confirmed(composition, t, database, verdict, energy, verdict.remark)
        for t, verdict, energy in zip(temperatures, screened, energies, strict=True)
    ]


def _certain(screened: StabilityVerdict | None) -> str:
    """What is known without pycalphad: a phase below the plane of bcc is a proof, that there is none is not."""
    if screened is None or screened.single_phase_bcc is not False or screened.driving_force is None:
        return ""
    force = screened.driving_force
    amount = f"{force:+.0f}" if abs(force) >= 10 else f"{force:+.2g}"
    return f"screening: not single BCC, {screened.competing_phase} {amount} J/mol"


def _confirmed(
    composition: Composition,
    temperature_K: float,
    database: CalphadDatabase,
    screened: StabilityVerdict | None,
    bcc_energy: float,
    remark: str,
) -> StabilityVerdict:
    points = () if screened is None else starting_points(composition, temperature_K, database)
    found = phases_at(composition, temperature_K, database, points=points)
    if found.status is not OutcomeStatus.CONVERGED:
        message = "; ".join(part for part in (found.message, _certain(screened)) if part)
        return StabilityVerdict("confirm", found.status, found.temperature_K, remark=remark, message=message)
    # the first bcc entry is the alloy's own; every other entry competes with it
    own = next((k for k, p in enumerate(found.phases) if p.name == BCC), None)
    others = [p for k, p in enumerate(found.phases) if k != own]
    forces = {} if screened is None else screened.driving_forces
    gain = bcc_energy - found.gibbs_energy
    if screened is not None and screened.single_phase_bcc != found.single_phase_bcc:
        differs = f"screening finds bcc {'alone' if screened.single_phase_bcc else 'not alone'}"
        remark = "; ".join(part for part in (differs, remark) if part)
    if others:
        name, fraction, x = others[0].name, others[0].fraction, dict(others[0].composition)
    elif screened is not None:
        name, fraction, x = screened.competing_phase, 0.0, screened.competing_composition
    else:
        name, fraction, x = "", 0.0, {}
    return StabilityVerdict(
        "confirm",
        found.status,
        found.temperature_K,
        single_phase_bcc=found.single_phase_bcc,
        competing_phase=name,
        competing_fraction=fraction,
        driving_force=forces.get(name),
        energy_gain=round(max(gain, 0.0), _DIGITS) if math.isfinite(gain) else None,
        competing_composition=x,
        driving_forces=forces,
        window=None if screened is None else screened.window,
        window_computed=screened is not None,
        phases=found.phases,
        remark=remark,
    )

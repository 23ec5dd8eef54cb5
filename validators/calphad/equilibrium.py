"""Which phases are stable at a composition and temperature: converged, unconverged or failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.systems import RawEquilibrium, StartingPoint, System, system_for
from validators.outcome import OutcomeStatus

__all__ = [
    "BCC",
    "GRID_DENSITIES",
    "MAX_TEMPERATURE_K",
    "MIN_TEMPERATURE_K",
    "PRESENT_ABOVE",
    "PhaseEntry",
    "PhaseEquilibrium",
    "phases_at",
    "require_temperature",
]

MIN_TEMPERATURE_K: Final = 298.15
"""Below it the SGTE descriptions of the elements are not defined (Dinsdale 1991)."""

MAX_TEMPERATURE_K: Final = 6000.0
"""Above it likewise."""

BCC: Final = "BCC_A2"
"""Name of the disordered BCC phase, as nearly all databases have it."""

PRESENT_ABOVE: Final = 1e-6
"""Mole fraction above which a phase counts as present: pycalphad's own smallest amount of a phase
(``MIN_PHASE_FRACTION``), at which it starts phases that may turn out not to be stable. What lies below cannot
be told from the solver's noise; what lies above is a second phase, however little of it there is."""

GRID_DENSITIES: Final = ((60, 60), (100, 1000))
"""The two samplings of which the lower Gibbs energy is kept: points per degree of freedom of any phase, and
of bcc. One sampling alone leaves out a miscibility gap in 4 to 8 of 100 alloys, most of them in bcc; so the
second is dense in bcc and costs no more than 200 points everywhere."""

_RETRY_DENSITIES: Final = ((500, 2000), (2000, 2000))
_BALANCE_TOLERANCE: Final = 1e-6  # atoms per atom
_ENERGY_TOLERANCE_J: Final = 0.1  # J/mol between sum(x mu) and G, which are equal at an equilibrium
_OVERLOOKED_J: Final = 1.0  # J/mol that a sampled point may lie below the tangent plane
_SAME_ENERGY_J: Final = 1e-3  # J/mol below which two samplings found the same
_SAME_PHASE: Final = 1e-3  # atomic fraction; entries of one phase closer than that are one, written twice
# Beyond the solver's own tolerance; and the last bits of a sum depend on the order of its terms, which in
# pycalphad depends on the hash seed of the process: rounded, an answer is the same in every process.
_DIGITS: Final = 6  # of a fraction
_ENERGY_DIGITS: Final = 3  # of a J/mol


@dataclass(frozen=True, slots=True)
class PhaseEntry:
    """One phase of an equilibrium; a miscibility gap gives several entries of one name.

    Attributes:
        name: The database's name of the phase.
        fraction: Mole fraction of the alloy in this entry, to six digits.
        composition: Atomic fraction per element, to six digits.
    """

    name: str
    fraction: float
    composition: dict[str, float]


@dataclass(frozen=True, slots=True)
class PhaseEquilibrium:
    """The answer at one composition and temperature.

    Attributes:
        status: Converged, unconverged (no answer) or failed (an error).
        temperature_K: Temperature, K.
        phases: Entries, largest fraction first; empty unless converged.
        gibbs_energy: J per mole of atoms; NaN unless converged.
        chemical_potentials: J/mol per element; empty unless converged.
        message: Why there is no answer; empty when converged.
    """

    status: OutcomeStatus
    temperature_K: float
    phases: tuple[PhaseEntry, ...] = ()
    gibbs_energy: float = math.nan
    chemical_potentials: dict[str, float] | None = None
    message: str = ""

    @property
    def single_phase_bcc(self) -> bool:
        """One entry, and that is BCC_A2: neither a second phase nor a miscibility gap."""
        return len(self.phases) == 1 and self.phases[0].name == BCC

    def has_liquid(self) -> bool:
        """Whether a liquid is among the phases, by the names that databases give to it."""
        return any(p.name.startswith(("LIQUID", "IONIC_LIQ")) for p in self.phases)

    def is_liquid(self) -> bool:
        """Whether there is nothing but liquid, in one or in two compositions."""
        return all(p.name.startswith(("LIQUID", "IONIC_LIQ")) for p in self.phases)


def require_temperature(temperature_K: float, field: str = "temperature_K") -> float:
    """Return the temperature if thermodynamic descriptions are defined at it.

    Raises:
        InputError: It is not finite or not within 298.15 to 6000 K.
    """
    if not (isinstance(temperature_K, int | float) and math.isfinite(temperature_K)):
        raise InputError(field, temperature_K, "is not a finite number", "give a temperature in kelvin")
    if not MIN_TEMPERATURE_K <= temperature_K <= MAX_TEMPERATURE_K:
        raise InputError(
            field,
            temperature_K,
            f"is outside {MIN_TEMPERATURE_K} to {MAX_TEMPERATURE_K:.0f} K, where the elements are described",
            "give a temperature in kelvin within that range",
        )
    return float(temperature_K)


def _fault(  # noqa: PLR0911 - one return per fault
    raw: RawEquilibrium, composition: Composition, system: System
) -> str:
    """Why this is no equilibrium; empty when it is one."""
    if not math.isfinite(raw.energy) or not raw.names:
        return "the minimiser did not converge"
    if not (np.isfinite(raw.potentials).all() and np.isfinite(raw.compositions).all()):
        return "chemical potentials or compositions are not finite"
    if abs(raw.fractions.sum() - 1.0) > _BALANCE_TOLERANCE or raw.fractions.min() < -_BALANCE_TOLERANCE:
        return f"phase fractions sum to {raw.fractions.sum():.6g}"
    wanted = np.array([composition.fractions[e] for e in system.elements])
    error = float(np.abs(raw.fractions @ raw.compositions - wanted).max())
    if error > _BALANCE_TOLERANCE:
        return f"the mass balance is off by {error:.2g}"
    if abs(float(wanted @ raw.potentials) - raw.energy) > _ENERGY_TOLERANCE_J:
        return "the phases do not share one tangent plane"
    if raw.overlooked > _OVERLOOKED_J:
        return f"a point {raw.overlooked:.3g} J/mol below the tangent plane was left out"
    return ""


def _lowest(
    system: System,
    composition: Composition,
    temperature_K: float,
    densities: tuple[tuple[int, int], ...],
    *,
    keep_grid: bool,
    points: Sequence[StartingPoint],
) -> tuple[RawEquilibrium | None, str]:
    """The equilibrium of lowest energy among the samplings, or why there is none."""
    best: RawEquilibrium | None = None
    fault = ""
    for density in (*densities, *_RETRY_DENSITIES):
        if best is not None and density in _RETRY_DENSITIES:
            break
        raw = system.minimise(composition, temperature_K, density, keep_grid=keep_grid, points=points)
        problem = _fault(raw, composition, system)
        if problem:
            fault = problem
        elif best is None or raw.energy < best.energy - _SAME_ENERGY_J:
            best = raw
    mixture = [p for p in points if p.fraction > 0.0]
    if best is not None and mixture:
        raw = system.minimise_from(composition, temperature_K, mixture)
        if not _fault(raw, composition, system) and raw.energy < best.energy - _SAME_ENERGY_J:
            best = raw
    return best, fault


def _entries(raw: RawEquilibrium, elements: tuple[str, ...]) -> tuple[PhaseEntry, ...]:
    """Drop what is only noise, join entries that are one phase written twice, largest first."""
    merged: list[tuple[str, float, np.ndarray]] = []
    for name, fraction, x in zip(raw.names, raw.fractions, raw.compositions, strict=True):
        if fraction <= PRESENT_ABOVE:
            continue
        for i, (other, amount, y) in enumerate(merged):
            if other == name and float(np.abs(x - y).max()) < _SAME_PHASE:
                total = amount + fraction
                merged[i] = (name, total, (amount * y + fraction * x) / total)
                break
        else:
            merged.append((name, float(fraction), x))
    entries = [
        PhaseEntry(
            name,
            round(float(fraction), _DIGITS),
            {e: round(float(value), _DIGITS) for e, value in zip(elements, x, strict=True)},
        )
        for name, fraction, x in merged
    ]
    return tuple(sorted(entries, key=lambda p: (-p.fraction, p.name, tuple(p.composition.values()))))


def phases_at(
    composition: Composition,
    temperature_K: float,
    database: CalphadDatabase,
    *,
    densities: tuple[tuple[int, int], ...] = GRID_DENSITIES,
    keep_grid: bool = True,
    points: Sequence[StartingPoint] = (),
) -> PhaseEquilibrium:
    """Minimise the Gibbs energy at one composition and temperature, 101325 Pa.

    Each sampling density is tried, the lowest Gibbs energy is kept; when none converged, two denser
    ones. A result counts as converged only if all is finite, fractions sum to one, the
    mass balance holds to 1e-6, sum(x mu) equals G, and no sampled point lies more than 1 J/mol below the
    tangent plane.

    Args:
        composition: Any composition of the database's elements, one or more of them.
        temperature_K: 298.15 to 6000 K.
        database: From :func:`validators.calphad.load_database`.
        densities: Points per degree of freedom of any phase and of bcc, for each sampling.
        keep_grid: Keep the samplings for the next composition of these elements at this temperature.
        points: Points to consider beside the samplings, as
            :func:`validators.calphad.screening.starting_points` finds them: a miscibility gap that lies
            between sampled points is found from them.

    Raises:
        InputError: An element that the database does not have, or a temperature out of range.
    """
    temperature = require_temperature(temperature_K)
    database.require(composition)
    try:
        system = system_for(database, composition.elements)
        raw, fault = _lowest(system, composition, temperature, densities, keep_grid=keep_grid, points=points)
    except Exception as error:  # noqa: BLE001 - pycalphad raises a dozen types; all mean that it failed
        text = " ".join(str(error).split())[:200]
        return PhaseEquilibrium(OutcomeStatus.FAILED, temperature, message=f"{type(error).__name__}: {text}")
    if raw is None:
        return PhaseEquilibrium(
            OutcomeStatus.UNCONVERGED, temperature, message=f"at {temperature:g} K {fault}"
        )
    return PhaseEquilibrium(
        OutcomeStatus.CONVERGED,
        temperature,
        phases=_entries(raw, system.elements),
        gibbs_energy=round(raw.energy, _ENERGY_DIGITS),
        chemical_potentials=dict(zip(system.elements, (float(mu) for mu in raw.potentials), strict=True)),
    )

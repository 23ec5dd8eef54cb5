"""Phase fractions of one alloy against temperature, and the temperatures that are read off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.assemblages import Progress
from validators.calphad.diagrams.columns import Column, Transition, columns, require_range
from validators.calphad.equilibrium import BCC, MAX_TEMPERATURE_K, PhaseEquilibrium
from validators.calphad.screening import NotVectorisable, melting_range
from validators.calphad.screening.system import is_liquid

__all__ = [
    "DEFAULT_LOW_K",
    "PhaseProfile",
    "is_laves",
    "liquidus_estimate",
    "phase_profile",
]

Array = NDArray[np.float64]

DEFAULT_LOW_K: Final = 600.0
"""Where a profile begins unless it is said otherwise: metals reach no equilibrium below."""

_STEP_K: Final = 25.0
_ABOVE_LIQUIDUS_K: Final = 60.0
_UNKNOWN_LIQUIDUS_K: Final = 4200.0  # above the melting point of every metal (W, 3695 K)


def is_laves(phase: str) -> bool:
    """Whether databases call a Laves phase so: ``LAVES_C15``, ``C14_LAVES``, ``C15``."""
    name = phase.upper()
    return "LAVES" in name or name.split("_")[0] in {"C14", "C15", "C36"}


@dataclass(frozen=True, slots=True)
class PhaseProfile:
    """Phases of one alloy along temperature: ``n`` temperatures, ``k`` entries, ``m`` elements.

    Attributes:
        composition: The alloy.
        database: Name of the database.
        tier: ``confirm`` where pycalphad answered at every temperature, else ``screen``.
        elements: The alloy's.
        temperatures_K: ``(n,)`` rising, those that did not converge left out.
        names: Of the entries, ``k``. The sides of a miscibility gap are ``BCC_A2#1`` and ``BCC_A2#2``, each
            followed over temperature by its composition.
        fractions: ``(n, k)`` mole fraction of each entry, zero where it is not stable.
        compositions: ``(n, k, m)`` atomic fractions of each entry, NaN where it is not stable.
        transitions: Every change of the phases, by rising temperature.
        unanswered_K: Temperatures without an answer.
    """

    composition: Composition
    database: str
    tier: str
    elements: tuple[str, ...]
    temperatures_K: Array
    names: tuple[str, ...]
    fractions: Array
    compositions: Array
    transitions: tuple[Transition, ...]
    unanswered_K: tuple[float, ...]

    @property
    def fields(self) -> tuple[tuple[float, float, tuple[str, ...]], ...]:
        """Lowest and highest temperature, K, and phases of each field, rising; the ends are the range's."""
        if not len(self.temperatures_K):
            return ()
        edges = [t.temperature_K for t in self.transitions]
        names = [self._lowest_field(), *(t.above for t in self.transitions)]
        ends = float(self.temperatures_K[0]), float(self.temperatures_K[-1])
        return tuple(zip([ends[0], *edges], [*edges, ends[1]], names, strict=True))

    def _lowest_field(self) -> tuple[str, ...]:
        present = np.flatnonzero(self.fractions[0] > 0)
        return tuple(sorted(self.names[k].partition("#")[0] for k in present))

    @property
    def solidus_K(self) -> float:  # noqa: N802 - the unit is part of the name
        """Highest temperature below which there is no liquid, K; NaN where it is outside the range."""
        for transition in self.transitions:
            if any(map(is_liquid, transition.above)):
                below = any(map(is_liquid, transition.below))
                return math.nan if below else transition.temperature_K
        return math.nan

    @property
    def liquidus_K(self) -> float:  # noqa: N802 - the unit is part of the name
        """Temperature above which all is liquid, K; NaN where it is outside the range."""
        for transition in reversed(self.transitions):
            if all(map(is_liquid, transition.above)) and not all(map(is_liquid, transition.below)):
                return transition.temperature_K
        return math.nan

    def solvus_K(self, phase: str) -> float:  # noqa: N802 - the unit is part of the name
        """Temperature above which a phase is no longer stable, K; NaN where it is never or to the end."""
        return self._highest(lambda name: name == phase)

    @property
    def laves_solvus_K(self) -> float:  # noqa: N802 - the unit is part of the name
        """Temperature above which no Laves phase is stable, K; NaN where there is none, or to the end."""
        return self._highest(is_laves)

    def _highest(self, wanted: object) -> float:
        fields = self.fields
        for k in range(len(fields) - 1, -1, -1):
            if any(wanted(name) for name in fields[k][2]):  # type: ignore[operator]
                return fields[k][1] if k < len(fields) - 1 else math.nan
        return math.nan

    @property
    def bcc_windows_K(self) -> tuple[tuple[float, float], ...]:  # noqa: N802 - the unit is part of the name
        """Temperature ranges, K, in which bcc is alone; an end of the profile's range is an open end."""
        return tuple((low, high) for low, high, names in self.fields if names == (BCC,))

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases that occur, without the numbers of a miscibility gap."""
        return tuple(dict.fromkeys(name.partition("#")[0] for name in self.names))


def liquidus_estimate(composition: Composition, database: CalphadDatabase) -> float:
    """Liquidus from screening, K; NaN where it cannot tell."""
    if not any(map(is_liquid, database.phases)):
        return math.nan
    x = np.array([composition.fraction_vector(composition.elements)])
    try:
        return float(melting_range(x, composition.elements, database).liquidus_K[0])
    except NotVectorisable:
        return math.nan


def phase_profile(
    composition: Composition,
    database: CalphadDatabase,
    *,
    low_K: float = DEFAULT_LOW_K,
    high_K: float | None = None,
    step_K: float = _STEP_K,
    tolerance_K: float = 1.0,
    confirm: bool = True,
    progress: Progress | None = None,
) -> PhaseProfile:
    """Phase fractions against temperature.

    Args:
        composition: The alloy.
        database: From :func:`validators.calphad.load_database`.
        low_K: Lowest temperature, K.
        high_K: Highest, K; None is 60 K above the liquidus.
        step_K: Step of the grid, K; a field narrower than it between two fields of the same phases can be
            missed.
        tolerance_K: How closely transitions are enclosed, K.
        confirm: Ask pycalphad for every answer (seconds); else the screening tier's arrays.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: An element that the database does not have, or a range that is none.
    """
    database.require(composition)
    if high_K is None:
        liquidus = liquidus_estimate(composition, database)
        high_K = min(
            (liquidus if math.isfinite(liquidus) else _UNKNOWN_LIQUIDUS_K) + _ABOVE_LIQUIDUS_K,
            MAX_TEMPERATURE_K,
        )
        high_K = max(high_K, min(low_K + 100.0, MAX_TEMPERATURE_K))
    low, high = require_range(low_K, high_K)
    grid = np.linspace(low, high, max(2, math.ceil((high - low) / step_K) + 1))
    elements = composition.elements
    x = np.array([composition.fraction_vector(elements)])
    column = columns(
        x, elements, grid, database, tolerance_K=tolerance_K, confirm=confirm, progress=progress
    )[0]
    return _profile(composition, database.name, "confirm" if confirm else "screen", column)


def _profile(composition: Composition, database: str, tier: str, column: Column) -> PhaseProfile:
    answers = column.converged
    elements = composition.elements
    names, numbers = _follow(answers, elements)
    fractions = np.zeros((len(answers), len(names)))
    parts = np.full((len(answers), len(names), len(elements)), np.nan)
    for row, (answer, places) in enumerate(zip(answers, numbers, strict=True)):
        for entry, place in zip(answer.phases, places, strict=True):
            fractions[row, place] = entry.fraction
            parts[row, place] = [entry.composition[e] for e in elements]
    return PhaseProfile(
        composition,
        database,
        tier,
        elements,
        np.array([a.temperature_K for a in answers]),
        names,
        fractions,
        parts,
        column.transitions,
        tuple(a.temperature_K for a in column.answers if not a.phases),
    )


def _follow(
    answers: Sequence[PhaseEquilibrium], elements: tuple[str, ...]
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Names of the entries and, for each answer, which entry each of its phases is.

    From the highest temperature down, the phases of one name go to the entries whose last compositions are
    nearest, all together (the assignment problem); what is left over is a new entry. So the first entry is
    the solution that demixes on cooling and goes on as its nearer side.
    """
    tracks: list[tuple[str, Array]] = []  # name and last composition
    numbers: list[list[int]] = []
    for answer in reversed(answers):
        places = [-1] * len(answer.phases)
        for name in {p.name for p in answer.phases}:
            mine = [k for k, p in enumerate(answer.phases) if p.name == name]
            parts = [np.array([answer.phases[k].composition[e] for e in elements]) for k in mine]
            known = [t for t, (other, _) in enumerate(tracks) if other == name]
            cost = np.array([[np.abs(x - tracks[t][1]).sum() for t in known] for x in parts])
            rows, cols = linear_sum_assignment(cost.reshape(len(mine), len(known)))
            for row, col in zip(rows, cols, strict=True):
                places[mine[row]] = known[col]
                tracks[known[col]] = (name, parts[row])
            for part, k in zip(parts, mine, strict=True):
                if places[k] < 0:
                    places[k] = len(tracks)
                    tracks.append((name, part))
        numbers.append(places)
    counts: dict[str, int] = {}
    repeated = {name for name, _ in tracks if sum(other == name for other, _ in tracks) > 1}
    names = []
    for name, _ in tracks:
        counts[name] = counts.get(name, 0) + 1
        names.append(f"{name}#{counts[name]}" if name in repeated else name)
    return tuple(names), numbers[::-1]

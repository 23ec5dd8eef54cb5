"""Screening: between which temperatures an alloy is one bcc phase, for arrays of alloys.

The driving force of what competes with bcc is followed on a grid of temperatures up to where the alloy is
molten, and its zeros are narrowed down (regula falsi, Illinois variant: Dowell and Jarratt, BIT 11 (1971) 168,
doi 10.1007/BF01934364).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import MAX_TEMPERATURE_K, MIN_TEMPERATURE_K
from validators.calphad.screening.melting import bcc_solidus
from validators.calphad.screening.stability import TOLERANCE_J, require_arrays, screen

__all__ = ["GRID_K", "SinglePhaseWindow", "nearest_window", "single_phase_windows"]

Array = NDArray[np.float64]

GRID_K: Final = 50.0
"""Distance of the temperatures of the grid, K: an interval that is narrower can be left out."""

_BEYOND_K: Final = 5.0  # above the solidus of bcc, that is known to 2 K, liquid is stable for certain
_NARROW_K: Final = 0.2  # width of the bracket of an end
_ROUNDS: Final = 24
_DIGITS: Final = 0  # an end is given to 1 K


@dataclass(frozen=True, slots=True)
class SinglePhaseWindow:
    """An interval of temperatures in which bcc is stable and alone.

    Attributes:
        lower_K: Its lower end, K, to 1 K; None where bcc is alone down to 298.15 K, where the elements'
            descriptions end.
        upper_K: Its upper end, K, the solidus where bcc melts; None where it is alone up to 6000 K.
        lower_phase: What becomes stable on cooling; empty where the end is open. ``BCC_A2`` is a second bcc.
        upper_phase: What becomes stable on heating, mostly a liquid; likewise.
    """

    lower_K: float | None
    upper_K: float | None
    lower_phase: str = ""
    upper_phase: str = ""

    def distance(self, temperature_K: float) -> float:
        """How far a temperature is from the interval, K; zero inside."""
        low = MIN_TEMPERATURE_K if self.lower_K is None else self.lower_K
        high = MAX_TEMPERATURE_K if self.upper_K is None else self.upper_K
        return max(low - temperature_K, temperature_K - high, 0.0)

    def detail(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def nearest_window(windows: Sequence[SinglePhaseWindow], temperature_K: float) -> SinglePhaseWindow | None:
    """The interval that a temperature lies in, or else the nearest one; None where there is none."""
    return min(windows, key=lambda window: window.distance(temperature_K), default=None)


@dataclass(slots=True)
class _Samples:
    """Driving forces over (alloy, temperature), alloy by alloy, temperatures ascending."""

    alloy: NDArray[np.intp]
    T: Array
    force: Array
    phase: NDArray[np.str_]


def single_phase_windows(
    fractions: Array,
    elements: Sequence[str],
    database: CalphadDatabase,
    *,
    temperatures_K: Sequence[float] = (),
) -> list[tuple[SinglePhaseWindow, ...]]:
    """All intervals of temperature in which bcc is stable and alone, of ``n`` alloys.

    Args:
        fractions: ``(n, m)`` atomic fractions.
        elements: The ``m`` elements of the columns.
        database: From :func:`validators.calphad.load_database`.
        temperatures_K: Temperatures that the grid is to hold beside its own, so that no interval around one
            of them is left out.

    Returns:
        For each alloy its intervals, ascending; none where bcc is never alone.

    Raises:
        InputError: As :func:`validators.calphad.screening.screen`.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    elements = tuple(elements)
    x, _ = require_arrays(fractions, elements, np.asarray(MIN_TEMPERATURE_K), database)
    wanted = np.unique(np.asarray(temperatures_K, dtype=float))
    require_arrays(np.tile(x[:1], (len(wanted), 1)), elements, wanted, database)
    if not len(x):
        return []
    samples = _sample(x, elements, database, wanted)
    ends, phases = _ends(x, elements, database, samples)
    return _join(len(x), samples, ends, phases)


def _sample(x: Array, elements: tuple[str, ...], database: CalphadDatabase, wanted: Array) -> _Samples:
    grid = np.arange(np.ceil(MIN_TEMPERATURE_K / GRID_K) * GRID_K, MAX_TEMPERATURE_K + 1e-9, GRID_K)
    grid = np.unique(np.concatenate([[MIN_TEMPERATURE_K], grid, wanted]))
    molten = bcc_solidus(x, elements, database)
    # once liquid lies below the plane of bcc, it does so up to the end; the last point is one at which it does,
    # also where the solidus is itself a point of the grid, or else the change at it would not be seen
    last = np.searchsorted(grid, np.where(np.isnan(molten), MAX_TEMPERATURE_K, molten + _BEYOND_K))
    last = np.minimum(last, len(grid) - 1)
    inside = np.arange(len(grid)) <= last[:, None]
    alloy, place = np.nonzero(inside)
    answers = screen(x[alloy], elements, grid[place], database)
    return _Samples(alloy, grid[place], answers.driving_force, answers.competing_phase)


def _ends(
    x: Array, elements: tuple[str, ...], database: CalphadDatabase, samples: _Samples
) -> tuple[Array, NDArray[np.str_]]:
    """Between neighbours of which bcc is alone at one only: where it ends, and what becomes stable there."""
    alone = samples.force <= TOLERANCE_J
    change = np.flatnonzero((samples.alloy[1:] == samples.alloy[:-1]) & (alone[1:] != alone[:-1]))
    ends = np.full(len(alone), np.nan)
    phases = np.full(len(alone), "", dtype=samples.phase.dtype)
    if not len(change):
        return ends, phases
    inner = np.where(alone[change], change, change + 1)  # bcc is alone there
    outer = np.where(alone[change], change + 1, change)
    T_in, T_out = samples.T[inner].copy(), samples.T[outer].copy()
    f_in, f_out = samples.force[inner] - TOLERANCE_J, samples.force[outer] - TOLERANCE_J
    named = samples.phase[outer].copy()
    weight_in, weight_out = np.ones(len(change)), np.ones(len(change))
    open_ = np.arange(len(change))
    for step in range(_ROUNDS):
        open_ = open_[np.abs(T_in[open_] - T_out[open_]) > _NARROW_K]
        if not len(open_):
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            a, b = f_in[open_] * weight_in[open_], f_out[open_] * weight_out[open_]
            share = a / (a - b)
        share = np.where(np.isfinite(share) & (step % 4 != 3), np.clip(share, 0.02, 0.98), 0.5)
        T = T_in[open_] + share * (T_out[open_] - T_in[open_])
        answers = screen(x[samples.alloy[change[open_]]], elements, T, database)
        force = answers.driving_force - TOLERANCE_J
        within = force <= 0.0
        stay, leave = open_[within], open_[~within]
        T_in[stay], f_in[stay] = T[within], force[within]
        T_out[leave], f_out[leave] = T[~within], force[~within]
        named[leave] = answers.competing_phase[~within]
        # an end that stays where it is twice counts for half
        weight_out[stay] *= 0.5
        weight_in[stay] = 1.0
        weight_in[leave] *= 0.5
        weight_out[leave] = 1.0
    ends[change] = np.round((T_in + T_out) / 2, _DIGITS)
    phases[change] = named
    return ends, phases


def _join(
    count: int, samples: _Samples, ends: Array, phases: NDArray[np.str_]
) -> list[tuple[SinglePhaseWindow, ...]]:
    alone = samples.force <= TOLERANCE_J
    found: list[list[SinglePhaseWindow]] = [[] for _ in range(count)]
    begin: tuple[float | None, str] = (None, "")
    for k, alloy in enumerate(samples.alloy):
        first = k == 0 or samples.alloy[k - 1] != alloy
        final = k + 1 == len(alone) or samples.alloy[k + 1] != alloy
        if alone[k] and (first or not alone[k - 1]):
            begin = (None, "") if first else (float(ends[k - 1]), str(phases[k - 1]))
        if alone[k] and (final or not alone[k + 1]):
            end = (None, "") if final else (float(ends[k]), str(phases[k]))
            found[alloy].append(SinglePhaseWindow(begin[0], end[0], begin[1], end[1]))
    return [tuple(windows) for windows in found]

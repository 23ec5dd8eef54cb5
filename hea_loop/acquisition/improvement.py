"""Better candidates near those at hand, by moves that never leave the palette.

A pool from a generator is dense where the data are; the edge of what holds often lies between its members. Each
row climbs by itself with a (1+1) evolution strategy (Rechenberg's one-fifth rule for the step: Beyer and Schwefel
2002, doi 10.1023/A:1015059928466) whose moves are exchanges of whole parts between elements, an element taken up,
dropped, or replaced. All rows are judged together in one call of the surrogate per step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.acquisition.batch import BatchSurrogate
from hea_loop.acquisition.probability import Interval, log_probability_all
from hea_loop.composition import RESOLUTION
from hea_loop.errors import InputError
from hea_loop.palette import Palette

__all__ = ["climb", "improve"]

Array = NDArray[np.float64]
Parts = NDArray[np.int64]
Flags = NDArray[np.bool_]

_FIRST_STEP: Final = 60.0  # parts per 1000
_LEAST_STEP: Final = 1.0
_MOST_STEP: Final = 250.0
_UP: Final = 1.5
_DOWN: Final = 1.5**-0.25  # one success in five keeps the step
_SUBSET_MOVES: Final = 0.3  # share of moves that change which elements are present
_MOST_EXCHANGES: Final = 3  # exchanges in one move, so that more than two elements can change together
_ENOUGH: Final = np.log(0.98)
_SOFTNESS: Final = 0.01


def improve(
    fractions: Array,
    surrogate: BatchSurrogate,
    intervals: Iterable[Interval],
    palette: Palette,
    rng: np.random.Generator,
    steps: int = 40,
) -> Array:
    """Climb log P(all intervals hold) from every composition.

    A row that is as good as certain (P of 0.98) stays where it is: going on would only drive different
    candidates to the same place.

    Args:
        fractions: ``n x m``, in the palette.
        surrogate: Predicts every property that an interval is on.
        intervals: What has to hold.
        palette: The moves keep it exactly; its elements are the columns.
        rng: Draws the moves.
        steps: Moves tried of each row.

    Returns:
        ``n x m`` fractions in the palette, multiples of 0.001; no row is less probable than before.

    Raises:
        InputError: Rows outside the palette or of other columns, or negative steps.
    """
    wanted = tuple(intervals)

    def score(rows: Array) -> Array:
        return log_probability_all(surrogate.predict(rows), wanted, softness=_SOFTNESS)

    return climb(fractions, score, palette, rng, steps, enough=float(_ENOUGH))


def climb(
    fractions: Array,
    score: Callable[[Array], Array],
    palette: Palette,
    rng: np.random.Generator,
    steps: int,
    *,
    enough: float = np.inf,
) -> Array:
    """Climb any score from every composition by itself; see :func:`improve`.

    Args:
        fractions: ``n x m``, in the palette.
        score: From ``k x m`` fractions to ``k`` numbers, larger is better.
        palette: The moves keep it exactly.
        rng: Draws the moves.
        steps: Moves tried of each row.
        enough: A row with this score is not moved any more.

    Returns:
        ``n x m`` fractions, multiples of 0.001; no row has a lower score than before.
    """
    parts = _parts(fractions, palette)
    if steps < 0:
        raise InputError("steps", steps, "is below zero", "give the number of moves to try")
    if not len(parts) or not steps:
        return parts / RESOLUTION
    best = score(parts / RESOLUTION)
    step = np.full(len(parts), _FIRST_STEP)
    for _ in range(steps):
        moving = np.flatnonzero(best < enough)
        if not len(moving):
            break
        tried = _moved(parts[moving], step[moving], palette, rng)
        value = score(tried / RESOLUTION)
        better = value > best[moving]
        won = moving[better]
        parts[won], best[won] = tried[better], value[better]
        step[moving] = np.clip(step[moving] * np.where(better, _UP, _DOWN), _LEAST_STEP, _MOST_STEP)
    return parts / RESOLUTION


def _parts(fractions: Array, palette: Palette) -> Parts:
    rows = np.asarray(fractions, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != len(palette.elements):
        raise InputError(
            "fractions", rows.shape, f"is not n x {len(palette.elements)}", "one column per palette element"
        )
    parts: Parts = np.rint(rows * RESOLUTION).astype(np.int64)
    low, high, required = (np.array(a) for a in (palette.lower, palette.upper, palette.required))
    present = parts > 0
    count = present.sum(axis=1)
    wrong = (parts.sum(axis=1) != RESOLUTION) | (present & ((parts < low) | (parts > high))).any(axis=1)
    wrong |= (
        (~present & required).any(axis=1) | (count < palette.min_elements) | (count > palette.max_elements)
    )
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"fractions[{first}]",
            rows[first].tolist(),
            "is outside the palette",
            "snap it to the palette first",
        )
    return parts


def _moved(parts: Parts, step: Array, palette: Palette, rng: np.random.Generator) -> Parts:
    """Each row with one to three exchanges, some of them of the elements present."""
    out = parts.copy()
    times = rng.integers(1, _MOST_EXCHANGES + 1, size=len(parts))
    for turn in range(_MOST_EXCHANGES):
        rows = np.flatnonzero(times > turn)
        if not len(rows):
            continue
        change = rng.random(len(rows)) < _SUBSET_MOVES
        _exchange(out, rows[~change], step, palette, rng)
        _change_elements(out, rows[change], step, palette, rng)
    return out


def _pick(allowed: Flags, rng: np.random.Generator) -> tuple[NDArray[np.int64], Flags]:
    """One allowed column of each row by lot, and which rows have one."""
    lots = np.where(allowed, rng.random(allowed.shape), -1.0)
    some: Flags = np.asarray(allowed.any(axis=1))
    return lots.argmax(axis=1), some


def _exchange(
    out: Parts, rows: NDArray[np.int64], step: Array, palette: Palette, rng: np.random.Generator
) -> None:
    """Move some parts from one present element to another, as far as their bounds allow."""
    if not len(rows):
        return
    low, high = np.array(palette.lower), np.array(palette.upper)
    here = out[rows]
    giver, gives = _pick((here > 0) & (here > low), rng)
    index = np.arange(len(rows))
    can_take = (here > 0) & (here < high)
    can_take[index, giver] = False
    taker, takes = _pick(can_take, rng)
    wanted = np.ceil(np.abs(rng.standard_normal(len(rows))) * step[rows]).astype(np.int64)
    amount = np.minimum(wanted, here[index, giver] - low[giver])
    amount = np.minimum(amount, high[taker] - here[index, taker])
    amount = np.where(gives & takes, amount, 0)
    out[rows, giver] -= amount
    out[rows, taker] += amount


def _change_elements(
    out: Parts, rows: NDArray[np.int64], step: Array, palette: Palette, rng: np.random.Generator
) -> None:
    """Replace an element by one that is absent, drop one, or take one up; what does not fit is left alone."""
    if not len(rows):
        return
    low, high, required = (np.array(a) for a in (palette.lower, palette.upper, palette.required))
    here = out[rows]
    index = np.arange(len(rows))
    count = (here > 0).sum(axis=1)
    giver, _ = _pick(here > 0, rng)
    others = np.ones(here.shape, dtype=bool)
    others[index, giver] = False
    taker, has_taker = _pick(others, rng)
    given, got = here[index, giver], here[index, taker]
    new = got == 0
    whole = rng.random(len(rows)) < np.where(new, 0.5, 1.0)
    part = np.ceil(np.abs(rng.standard_normal(len(rows))) * step[rows]).astype(np.int64)
    amount = np.where(whole, given, np.maximum(part, low[taker]))
    after_giver, after_taker = given - amount, got + amount
    size = count + new - (after_giver == 0)
    fits = has_taker & (after_taker >= low[taker]) & (after_taker <= high[taker])
    fits &= (after_giver >= low[giver]) | ((after_giver == 0) & ~required[giver])
    fits &= (size >= palette.min_elements) & (size <= palette.max_elements)
    amount = np.where(fits, amount, 0)
    out[rows, giver] -= amount
    out[rows, taker] += amount

"""The palette: which elements a campaign may use, how much of each, and how many of them in one alloy.

All compositions a campaign proposes lie in this set exactly, at the resolution at which materials are told
apart (see :mod:`hea_loop.composition`): bounds are kept by construction, never by rejection afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Palette", "snapped"]

_UNIFORM_TRIES: Final = 2000


@dataclass(frozen=True, slots=True)
class Palette:
    """The set of allowed compositions.

    An element is either absent or within its bounds; a lower bound above zero therefore means "if present,
    at least" unless the element is ``required``.

    Attributes:
        elements: Symbols in alphabetical order, ``m`` of them.
        lower: Least parts (per 1000) of each element when present, at least 1.
        upper: Most parts of each element.
        required: Whether each element has to be present.
        min_elements: Fewest elements in one alloy.
        max_elements: Most elements in one alloy.
    """

    elements: tuple[str, ...]
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    required: tuple[bool, ...]
    min_elements: int
    max_elements: int

    def __post_init__(self) -> None:
        if not self.elements or list(self.elements) != sorted(set(self.elements)):
            raise InputError(
                "palette", self.elements, "is not a sorted list of different elements", "list each once"
            )
        for e, low, high in zip(self.elements, self.lower, self.upper, strict=True):
            if not 1 <= low <= high <= RESOLUTION:
                raise InputError(
                    f"palette.{e}",
                    (low / RESOLUTION, high / RESOLUTION),
                    "are not bounds with 0 <= min <= max <= 1",
                    "mend them",
                )
        if not 1 <= self.min_elements <= self.max_elements <= len(self.elements):
            raise InputError(
                "palette.number_of_elements",
                (self.min_elements, self.max_elements),
                f"does not fit a palette of {len(self.elements)} elements",
                f"give 1 <= min <= max <= {len(self.elements)}",
            )
        if not self._feasible_sizes():
            raise InputError(
                "palette",
                {
                    e: (lo / RESOLUTION, hi / RESOLUTION)
                    for e, lo, hi in zip(self.elements, self.lower, self.upper, strict=True)
                },
                "allows no composition: the bounds cannot sum to one with the allowed number of elements",
                "widen the bounds or the number of elements",
            )

    # -- feasibility of subsets ------------------------------------------------------------------------------

    def _subset_feasible(self, present: NDArray[np.bool_]) -> bool:
        low, high = np.array(self.lower), np.array(self.upper)
        return bool(low[present].sum() <= RESOLUTION <= high[present].sum())

    def _feasible_sizes(self) -> tuple[int, ...]:
        return _feasible_sizes(self)

    # -- membership ------------------------------------------------------------------------------------------

    def contains(self, composition: Composition) -> bool:
        """Whether the composition is allowed."""
        parts = dict(composition.parts)
        if not set(parts) <= set(self.elements) or not self.min_elements <= len(parts) <= self.max_elements:
            return False
        rows = zip(self.elements, self.lower, self.upper, self.required, strict=True)
        return all((lo <= parts[e] <= hi) if e in parts else not req for e, lo, hi, req in rows)

    # -- sampling --------------------------------------------------------------------------------------------

    def sample_uniform(self, number: int, rng: np.random.Generator) -> list[Composition]:
        """Draw uniform random compositions: the base rate against which every strategy is judged.

        The number of elements is drawn uniformly from those allowed, then the subset, then the fractions
        uniformly on the part of its simplex that the bounds leave (flat Dirichlet, by rejection; where the
        bounds leave too little for that, by hit-and-run within the bounds).

        Args:
            number: How many.
            rng: The random generator; the same state gives the same compositions.
        """
        sizes = self._feasible_sizes()
        required = np.flatnonzero(self.required)
        optional = np.flatnonzero(~np.array(self.required))
        out: list[Composition] = []
        while len(out) < number:
            size = int(rng.choice(sizes))
            present = np.zeros(len(self.elements), dtype=bool)
            present[required] = True
            present[rng.choice(optional, size - len(required), replace=False)] = True
            if not self._subset_feasible(present):
                continue
            out.append(self._sample_subset(present, rng))
        return out

    def _sample_subset(self, present: NDArray[np.bool_], rng: np.random.Generator) -> Composition:
        low = np.array(self.lower)[present] / RESOLUTION
        high = np.array(self.upper)[present] / RESOLUTION
        size = int(present.sum())
        # the bounded part of the simplex lies in the simplex above the lower bounds and in the one below the
        # upper bounds; points uniform on the smaller of the two are rejected more seldom
        above, below = 1 - low.sum(), high.sum() - 1
        tries = 0
        while tries < _UNIFORM_TRIES:
            batch = 4 if tries == 0 else 100
            points = rng.dirichlet(np.ones(size), batch)
            points = low + above * points if above <= below else high - below * points
            inside = ((points >= low - 1e-12) & (points <= high + 1e-12)).all(axis=1)
            if inside.any():
                return self._compose(present, points[int(inside.argmax())])
            tries += batch
        return self._compose(present, self._hit_and_run(low, high, rng))

    @staticmethod
    def _hit_and_run(
        low: NDArray[np.float64], high: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Uniform point of {x: sum x = 1, low <= x <= high} by pairwise exchanges.

        Source: hit-and-run sampling, Smith, Oper. Res. 32 (1984) 1296, doi 10.1287/opre.32.6.1296.
        """
        slack = high - low
        x: NDArray[np.float64] = low + slack * (1 - low.sum()) / max(slack.sum(), 1e-12)
        for _ in range(50 * len(x) if len(x) > 1 else 0):
            i, j = rng.choice(len(x), 2, replace=False)
            least, most = max(low[i] - x[i], x[j] - high[j]), min(high[i] - x[i], x[j] - low[j])
            move = rng.uniform(least, most) if most > least else 0.0
            x[i] += move
            x[j] -= move
        return x

    def _compose(self, present: NDArray[np.bool_], x: NDArray[np.float64]) -> Composition:
        parts = _round_within(x * RESOLUTION, np.array(self.lower)[present], np.array(self.upper)[present])
        symbols = [e for e, p in zip(self.elements, present, strict=True) if p]
        return Composition(tuple((e, int(n)) for e, n in zip(symbols, parts, strict=True)))

    # -- projection ------------------------------------------------------------------------------------------

    def snap(self, fractions: NDArray[np.float64]) -> list[Composition]:
        """Map raw generator output to the nearest allowed compositions.

        The elements kept are the required ones and then the largest, up to the allowed number and only those
        that reach half of their least amount; the fractions are projected on the bounds (Euclidean, onto the
        capped simplex) and rounded so that they sum to exactly one within the bounds.

        Args:
            fractions: ``n x m`` array, at least zero, rows of any positive sum.

        Returns:
            One composition per row; a row whose largest elements cannot sum to one within their bounds takes
            the nearest allowed number of elements, and of that size the subset it wants most that can.

        Raises:
            InputError: Not of that shape; a row with a negative or non-finite number, or of no positive sum.
        """
        rows = np.asarray(fractions, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != len(self.elements):
            raise InputError(
                "fractions", rows.shape, f"is not n x {len(self.elements)}", "one column per palette element"
            )
        bad = np.flatnonzero(
            ~np.isfinite(rows).all(axis=1) | (rows < 0).any(axis=1) | (rows.sum(axis=1) <= 0)
        )
        if bad.size:
            raise InputError(
                f"fractions[{bad[0]}]",
                rows[bad[0]].tolist(),
                "is not a composition",
                "give finite fractions, at least zero, with a positive sum",
            )
        return [self._snap_row(row) for row in rows]

    def _snap_row(self, row: NDArray[np.float64]) -> Composition:
        x = row / row.sum()
        low, req = np.array(self.lower), np.array(self.required)
        order = sorted(range(len(x)), key=lambda i: (not req[i], -x[i], i))
        wanted = int(((x * RESOLUTION >= 0.5 * low) | req).sum())
        sizes = self._feasible_sizes()
        size = min(sizes, key=lambda k: (abs(k - wanted), k))
        present = np.zeros(len(x), dtype=bool)
        # subsets of that size in the order of how much they are wanted; a feasible size has a feasible one
        for chosen in combinations(order, size):
            present[:] = False
            present[list(chosen)] = True
            if (present | ~req).all() and self._subset_feasible(present):
                break
        y = _project(x[present], low[present] / RESOLUTION, np.array(self.upper)[present] / RESOLUTION)
        return self._compose(present, y)


def snapped(
    fractions: NDArray[np.float64], elements: tuple[str, ...], palette: Palette
) -> NDArray[np.float64]:
    """Map raw fractions to the nearest allowed ones; see :meth:`Palette.snap`.

    Args:
        fractions: ``n x m``, at least zero, rows of any positive sum.
        elements: Symbols of the columns.
        palette: Its elements are the same in the same order.

    Returns:
        ``n x m`` multiples of 0.001 that sum to one.

    Raises:
        InputError: Other elements, or rows that are no compositions.
    """
    if tuple(elements) != palette.elements:
        raise InputError(
            "palette.elements",
            palette.elements,
            f"are not those of the data, {', '.join(elements)}",
            "use the same",
        )
    rows = [c.fraction_vector(palette.elements) for c in palette.snap(fractions)]
    return np.array(rows, dtype=float).reshape(-1, len(elements))


@lru_cache(maxsize=64)
def _feasible_sizes(palette: Palette) -> tuple[int, ...]:
    """Numbers of elements for which at least one subset can sum to one.

    Exact, by dynamic programming over the elements: for each number of elements and each sum of least parts,
    the largest sum of most parts (the sums of some subset lie at 1000 or to both sides of it).
    """
    nobody = -1
    best = np.full((len(palette.elements) + 1, RESOLUTION + 1), nobody)
    best[0, 0] = 0
    rows = zip(palette.lower, palette.upper, palette.required, strict=True)
    for low, high, required in rows:
        taken = np.full_like(best, nobody)
        before = best[:-1, : RESOLUTION + 1 - low]
        taken[1:, low:] = np.where(before == nobody, nobody, before + high)
        best = taken if required else np.maximum(best, taken)
    able: NDArray[np.bool_] = np.asarray((best >= RESOLUTION).any(axis=1))
    return tuple(k for k in range(palette.min_elements, palette.max_elements + 1) if able[k])


def _project(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Euclidean projection on {y: sum y = 1, low <= y <= high}.

    It is y = clip(x - t, low, high) with the t for which the sum is one; the sum is piecewise linear and falls
    with t, so t lies between two of the points where some element meets a bound, and is interpolated there.
    """
    bends = np.sort(np.concatenate((x - low, x - high)))
    sums = np.clip(x - bends[:, None], low, high).sum(axis=1)
    t = np.interp(-1.0, -sums, bends)  # np.interp wants rising abscissae
    y: NDArray[np.float64] = np.clip(x - t, low, high)
    return y


def _round_within(
    parts: NDArray[np.float64], low: NDArray[np.int_], high: NDArray[np.int_]
) -> NDArray[np.int_]:
    """Largest-remainder rounding to integers that sum to RESOLUTION and keep the bounds."""
    clipped = np.clip(np.round(parts, 9), low, high)
    floor: NDArray[np.int_] = np.clip(np.floor(clipped).astype(int), low, high)
    remainder = clipped - floor
    while (missing := RESOLUTION - int(floor.sum())) != 0:
        step = 1 if missing > 0 else -1
        room = (floor < high) if step > 0 else (floor > low)
        order = np.lexsort((np.arange(len(floor)), -step * np.round(remainder, 2)))
        chosen = [i for i in order if room[i]][: abs(missing)]
        floor[chosen] += step
        remainder[chosen] -= step
    return floor

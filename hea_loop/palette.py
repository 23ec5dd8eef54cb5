"""The palette: which elements a campaign may use, how much of each, and how many of them in one alloy.

All compositions a campaign proposes lie in this set exactly, at the resolution at which materials are told
apart (see :mod:`hea_loop.composition`): bounds are kept by construction, never by rejection afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Palette"]

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

    def _feasible_sizes(self) -> list[int]:
        """Numbers of elements for which at least one subset can sum to one."""
        low, high, req = np.array(self.lower), np.array(self.upper), np.array(self.required)
        sizes = []
        for k in range(max(self.min_elements, int(req.sum())), self.max_elements + 1):
            free = k - int(req.sum())
            least = low[req].sum() + np.sort(low[~req])[:free].sum()
            most = high[req].sum() + np.sort(high[~req])[::-1][:free].sum()
            if least <= RESOLUTION <= most:
                sizes.append(k)
        return sizes

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
        span = 1 - low.sum()
        size = int(present.sum())
        for _ in range(_UNIFORM_TRIES):
            x = low + span * rng.dirichlet(np.ones(size))
            if (x <= high).all():
                return self._compose(present, x)
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
        for _ in range(50 * len(x)):
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
            One composition per row; a row that no subset of its largest elements can serve takes the nearest
            subset that can.
        """
        rows = np.asarray(fractions, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != len(self.elements):
            raise InputError(
                "fractions", rows.shape, f"is not n x {len(self.elements)}", "one column per palette element"
            )
        return [self._snap_row(row) for row in rows]

    def _snap_row(self, row: NDArray[np.float64]) -> Composition:
        total = row.sum()
        x = np.full(len(row), 1 / len(row)) if not math.isfinite(total) or total <= 0 else row / total
        low, req = np.array(self.lower), np.array(self.required)
        order = sorted(range(len(x)), key=lambda i: (not req[i], -x[i], i))
        wanted = int(((x * RESOLUTION >= 0.5 * low) | req).sum())
        sizes = self._feasible_sizes()
        for size in sorted(sizes, key=lambda k: (abs(k - wanted), k)):
            present = np.zeros(len(x), dtype=bool)
            present[order[:size]] = True
            if not self._subset_feasible(present):
                present = self._repair(present, order, req)
            if self._subset_feasible(present):
                y = _project(
                    x[present], low[present] / RESOLUTION, np.array(self.upper)[present] / RESOLUTION
                )
                return self._compose(present, y)
        raise AssertionError("a palette with a feasible size has a feasible subset")

    def _repair(
        self, present: NDArray[np.bool_], order: Sequence[int], req: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Exchange the least wanted optional elements for those whose bounds make the sum possible."""
        low, high = np.array(self.lower), np.array(self.upper)
        present = present.copy()
        for i in [k for k in reversed(order) if present[k] and not req[k]]:
            too_much = low[present].sum() > RESOLUTION
            pool = [k for k in order if not present[k]]
            if not pool:
                break
            j = min(pool, key=lambda k: low[k]) if too_much else max(pool, key=lambda k: high[k])
            if (low[j] < low[i]) if too_much else (high[j] > high[i]):
                present[i], present[j] = False, True
            if self._subset_feasible(present):
                break
        return present


def _project(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Euclidean projection on {y: sum y = 1, low <= y <= high}: y = clip(x - t), the root t by bisection."""
    left, right = float((x - high).min()) - 1.0, float((x - low).max()) + 1.0
    for _ in range(100):
        middle = 0.5 * (left + right)
        if np.clip(x - middle, low, high).sum() > 1:
            left = middle
        else:
            right = middle
    y: NDArray[np.float64] = np.clip(x - 0.5 * (left + right), low, high)
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

"""The set in which answers are searched: exact bounds, required elements and numbers of elements, for whole arrays.

A palette's :meth:`~hea_loop.palette.Palette.snap` maps one row after the other; an optimiser that takes
thousands of steps needs the same for arrays, and has to stay inside at every step so that rounding at the end moves a
composition by a part per element at most. Without a palette the set is what the data show: their
combinations of elements, any amounts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import RESOLUTION
from hea_loop.errors import InputError
from hea_loop.generators.protocol import TrainingData
from hea_loop.palette import Palette, snapped

__all__ = ["AllowedRegion", "project_on_bounds"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_LEAST = 0.01
"""Atomic fraction that an element of a placed row has at least, where its bounds let it."""
_ROUNDING = 1e-9  # sums of bounds in parts per thousand are exact to much less


def project_on_bounds(x: Array, low: Array, high: Array) -> Array:
    """Euclidean projection of each row on {y: sum y = 1, low <= y <= high}.

    It is y = clip(x - t, low, high) with the t for which the sum is one. The sum falls with t, linearly between
    the points where some element meets a bound, so t is interpolated between the two that enclose it.

    Args:
        x: ``n x m``, any numbers.
        low: ``n x m``, rows summing to at most one.
        high: ``n x m``, rows summing to at least one; an element with both bounds zero is absent.

    Returns:
        ``n x m``.
    """
    bends = np.sort(np.concatenate((x - low, x - high), axis=1), axis=1)
    sums = np.clip(x[:, None, :] - bends[:, :, None], low[:, None, :], high[:, None, :]).sum(axis=2)
    rows = np.arange(len(x))
    after = np.clip((sums > 1).sum(axis=1), 1, bends.shape[1] - 1)
    left, right = bends[rows, after - 1], bends[rows, after]
    above, below = sums[rows, after - 1], sums[rows, after]
    fall = above - below
    share = np.where(fall > 0, (above - 1) / np.where(fall > 0, fall, 1.0), 0.0)
    t = left + np.clip(share, 0, 1) * (right - left)
    out: Array = np.clip(x - t[:, None], low, high)
    return out


@dataclass(frozen=True, eq=False)
class AllowedRegion:
    """Compositions that answers may be.

    Attributes:
        elements: Symbols of the columns, ``m`` of them.
        lower: Least fraction of each element when present, shape ``m``.
        upper: Most of each, shape ``m``.
        required: Whether each has to be present, shape ``m``.
        fewest: Fewest elements in one alloy.
        most: Most elements in one alloy.
        palette: The palette they come from; None where they come from the data.
        seen: Which elements each alloy of the data has, ``n x m``; drawn from where there is no palette.
    """

    elements: tuple[str, ...]
    lower: Array
    upper: Array
    required: Mask
    fewest: int
    most: int
    palette: Palette | None
    seen: Mask

    @classmethod
    def of(cls, data: TrainingData, palette: Palette | None) -> AllowedRegion:
        """Return the region of a palette, or of the data where there is none.

        Raises:
            InputError: A palette of other elements than the data's.
        """
        m = len(data.elements)
        seen = data.fractions > 0
        if palette is None:
            counts = seen.sum(axis=1)
            least = np.full(m, 1 / RESOLUTION)
            return cls(
                data.elements,
                least,
                np.ones(m),
                np.zeros(m, dtype=bool),
                int(counts.min()),
                int(counts.max()),
                None,
                seen,
            )
        if palette.elements != data.elements:
            raise InputError(
                "palette.elements",
                palette.elements,
                f"are not those of the data, {', '.join(data.elements)}",
                "use the same",
            )
        return cls(
            data.elements,
            np.array(palette.lower) / RESOLUTION,
            np.array(palette.upper) / RESOLUTION,
            np.array(palette.required),
            palette.min_elements,
            palette.max_elements,
            palette,
            seen,
        )

    def draw(self, number: int, rng: np.random.Generator) -> Array:
        """Draw compositions, ``number x m``: the palette's uniform law, or, without one, the combination of elements
        of a random alloy of the data with fractions uniform on its simplex.
        """  # noqa: D205 - one sentence
        if self.palette is not None:
            rows = [c.fraction_vector(self.elements) for c in self.palette.sample_uniform(number, rng)]
            return np.array(rows, dtype=np.float64).reshape(number, len(self.elements))
        present = self.seen[rng.integers(len(self.seen), size=number)]
        # a flat Dirichlet is normalised standard exponentials
        amounts = np.where(present, rng.standard_exponential(present.shape), 0.0)
        return self.within(amounts / amounts.sum(axis=1, keepdims=True), present)

    def within(self, x: Array, present: Mask) -> Array:
        """Nearest composition with exactly the given elements, ``n x m``.

        Args:
            x: ``n x m``, any numbers.
            present: ``n x m``; each row a combination of elements whose bounds can sum to one.
        """
        return project_on_bounds(
            np.where(present, x, 0.0), np.where(present, self.lower, 0.0), np.where(present, self.upper, 0.0)
        )

    def combination(self, liking: Array, wanted: NDArray[np.int_] | None = None) -> Mask:
        """Choose elements: the required ones, then those liked most, in an allowed number whose bounds can sum to one.

        Args:
            liking: ``n x m``; the larger, the sooner an element is taken.
            wanted: How many elements each row asks for, shape ``n``; by default as many as have a liking above zero.

        Returns:
            ``n x m``.
        """
        liking = np.where(self.required, np.inf, liking)
        number = (liking > 0).sum(axis=1) if wanted is None else wanted
        rank = np.argsort(np.argsort(-liking, axis=1, kind="stable"), axis=1, kind="stable")
        present: Mask = rank < np.clip(number, self.fewest, self.most)[:, None]
        least = np.where(present, self.lower, 0.0).sum(axis=1)
        greatest = np.where(present, self.upper, 0.0).sum(axis=1)
        wrong = (least > 1 + _ROUNDING) | (greatest < 1 - _ROUNDING)
        if self.palette is not None and wrong.any():
            # the palette finds the most wanted combination that can, one row after the other
            weight = np.where(present, 1.0, 1e-9 * (1 + self.lower.size - rank))
            present[wrong] = snapped(weight[wrong], self.elements, self.palette) > 0
        return present

    def bounds(self, present: Mask) -> tuple[Array, Array]:
        """Least and most of each element of alloys of the given elements, each ``n x m``.

        The least is an atomic percent where the bounds let it be: twice what counts as a trace.
        """
        lower, high = np.where(present, self.lower, 0.0), np.where(present, self.upper, 0.0)
        low = np.minimum(np.maximum(lower, np.where(present, _LEAST, 0.0)), high)
        return np.where(low.sum(axis=1, keepdims=True) <= 1, low, lower), high

    def placed(self, fractions: Array, presence: Array) -> tuple[Array, Array, Array]:
        """Rows as compositions of the region with the elements whose presence is above zero, as far as it allows.

        Args:
            fractions: ``n x m``, any numbers.
            presence: ``n x m``, see :meth:`combination`.

        Returns:
            Compositions and their :meth:`bounds`, each ``n x m``.
        """
        present = self.combination(presence)
        low, high = self.bounds(present)
        return project_on_bounds(np.where(present, fractions, 0.0), low, high), low, high

    def nearest(self, x: Array) -> Array:
        """Map any rows into the region, as :meth:`hea_loop.palette.Palette.snap` does but without rounding.

        The elements kept are the required ones and then the largest, up to the allowed number and only those that
        reach half of their least amount; see :meth:`combination` for bounds that cannot sum to one so.

        Args:
            x: ``n x m``, finite; negative numbers count as absent.

        Returns:
            ``n x m``.
        """
        x = np.maximum(x, 0.0)
        x = np.where(x.sum(axis=1, keepdims=True) > 0, x, 1.0)
        x = x / x.sum(axis=1, keepdims=True)
        wanted = ((x >= 0.5 * self.lower) | self.required).sum(axis=1)
        return self.within(x, self.combination(x, wanted))

    def rounded(self, x: Array) -> Array:
        """With a palette: whole parts per thousand, exactly in it. Without: as it is."""
        return x if self.palette is None else snapped(x, self.elements, self.palette)

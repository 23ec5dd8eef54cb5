"""Distances between compositions, and which elements they are made of."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOAT_NOISE", "element_sets", "nearest_distance"]

Array = NDArray[np.float64]

FLOAT_NOISE: Final = 2.5e-4
"""A quarter of the smallest step of a distance: parts are exact, their differences in floats are not."""

_ROWS_AT_ONCE: Final = 256  # bounds the distance table to 256 x known x elements numbers
_ABSENT: Final = 5e-4  # half of the resolution of a fraction


def nearest_distance(one: Array, other: Array) -> Array:
    """Total-variation distance of each row to its nearest row of another array.

    Args:
        one: ``n x m`` atomic fractions.
        other: ``k x m`` atomic fractions, rows may sum to less than one (what is missing are other elements).

    Returns:
        ``n`` distances from 0 to 1; infinite where ``k`` is zero.
    """
    if len(other) == 0:
        return np.full(len(one), np.inf)
    out = np.empty(len(one))
    outside = 1 - other.sum(axis=1)  # fraction in elements that are no columns: all of it has to be exchanged
    for start in range(0, len(one), _ROWS_AT_ONCE):
        block = one[start : start + _ROWS_AT_ONCE]
        total = np.zeros((len(block), len(other)))
        for column in range(one.shape[1]):
            total += np.abs(block[:, None, column] - other[None, :, column])
        out[start : start + _ROWS_AT_ONCE] = (0.5 * (total + outside)).min(axis=1)
    return out


def element_sets(fractions: Array) -> list[bytes]:
    """Which elements are present in each row of ``n x m`` fractions: ``n`` values, equal for equal sets."""
    present = np.asarray(fractions) > _ABSENT
    return [row.tobytes() for row in np.packbits(present, axis=1)]

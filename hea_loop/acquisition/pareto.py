"""Pareto fronts and the volume they dominate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["hypervolume", "pareto_front"]

Array = NDArray[np.float64]


def pareto_front(values: Array, maximize: Sequence[bool]) -> NDArray[np.bool_]:
    """Which of ``n x p`` values no other one beats: at least as good in all respects and better in one.

    Args:
        values: ``n x p``.
        maximize: For each of the ``p`` whether large is good.
    """
    signed = _signed(values, maximize)
    at_least = np.all(signed[:, None, :] <= signed[None, :, :], axis=2)
    better = np.any(signed[:, None, :] < signed[None, :, :], axis=2)
    front: NDArray[np.bool_] = ~np.asarray(np.any(at_least & better, axis=1), dtype=bool)
    return front


def hypervolume(values: Array, maximize: Sequence[bool], reference: Array) -> float:
    """Volume between a reference point and the front of ``n x p`` values, in the product of their units.

    By slicing along one objective after the other (While et al. 2006, doi 10.1109/TEVC.2005.851275). For one
    objective it is the best value's distance to the reference.

    Args:
        values: ``n x p``; what is worse than the reference in any respect adds nothing.
        maximize: For each of the ``p`` whether large is good.
        reference: ``p`` values, no better than what is to count.
    """
    gains = _signed(values, maximize) - _signed(np.asarray(reference, dtype=float)[None], maximize)
    return _volume(gains[(gains > 0).all(axis=1)])


def _signed(values: Array, maximize: Sequence[bool]) -> Array:
    signed: Array = np.asarray(values, dtype=float) * np.where(np.asarray(maximize, dtype=bool), 1.0, -1.0)
    return signed


def _volume(gains: Array) -> float:
    """Volume dominated above zero."""
    if len(gains) == 0:
        return 0.0
    if gains.shape[1] == 1:
        return float(gains.max())
    ordered = gains[np.argsort(-gains[:, 0], kind="stable")]
    lower = np.append(ordered[1:, 0], 0.0)
    slabs = ordered[:, 0] - lower
    return float(sum(slab * _volume(ordered[: i + 1, 1:]) for i, slab in enumerate(slabs) if slab > 0))

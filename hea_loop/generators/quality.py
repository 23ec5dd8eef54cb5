"""Measures of a generator: error, diversity, novelty and likeness to the data. Pure numpy.

A softmax never gives an exact zero, so measures of a generated alloy are taken after fractions below 0.5 at.%
are dropped (:func:`without_traces`), as the number of elements in an alloy means nothing otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError

__all__ = [
    "COLLAPSE_DIVERSITY",
    "NOVELTY_DISTANCE",
    "TRACE",
    "conditional_error",
    "diversity",
    "element_count_histogram",
    "histogram_distance",
    "likeness",
    "novelty",
    "pair_correlation",
    "pair_correlation_distance",
    "without_traces",
]

Array = NDArray[np.float64]

TRACE: Final = 0.005
"""Atomic fraction below which an element of a generated alloy counts as absent."""
NOVELTY_DISTANCE: Final = 0.02
"""Total-variation distance from every known alloy at which a generated one is new (2 at.% exchanged)."""
COLLAPSE_DIVERSITY: Final = 0.02
"""Mean distance among answers to one condition below which a generator has collapsed to one answer."""


def without_traces(fractions: Array, least: float = TRACE) -> Array:
    """Drop fractions below ``least`` and renormalise; a row with nothing above keeps its largest.

    Args:
        fractions: ``n x m``, rows summing to one.
        least: Atomic fraction.
    """
    x = np.asarray(fractions, dtype=np.float64)
    kept = np.where((x >= least) | (x == x.max(axis=1, keepdims=True)), x, 0.0)
    out: Array = kept / kept.sum(axis=1, keepdims=True)
    return out


def _distances(one: Array, other: Array) -> Array:
    """Total-variation distances, ``n x k``, in blocks so that memory stays small."""
    out: Array = np.empty((len(one), len(other)))
    for start in range(0, len(one), 256):
        block = one[start : start + 256]
        out[start : start + 256] = 0.5 * np.abs(block[:, None, :] - other[None, :, :]).sum(axis=2)
    return out


def diversity(answers: Array) -> float:
    """Mean total-variation distance among all pairs of answers to one condition, 0 (all alike) to 1.

    Args:
        answers: ``n x m`` fractions, n at least 2.
    """
    n = len(answers)
    if n < 2:
        raise InputError("answers", n, "are too few to compare", "give at least two")
    return float(_distances(answers, answers).sum() / (n * (n - 1)))


def novelty(generated: Array, known: Array, distance: float = NOVELTY_DISTANCE) -> float:
    """Share of generated alloys that lie at ``distance`` or more from every known one (total variation)."""
    return float((_distances(generated, known).min(axis=1) >= distance).mean())


def element_count_histogram(fractions: Array) -> Array:
    """Share of alloys with 1, 2, ..., m elements (fractions above zero); shape ``m``."""
    m = fractions.shape[1]
    counts = (fractions > 0).sum(axis=1)
    out: Array = np.bincount(counts, minlength=m + 1)[1 : m + 1] / len(fractions)
    return out


def histogram_distance(one: Array, other: Array) -> float:
    """Total-variation distance of two histograms that each sum to one, 0 to 1."""
    return float(0.5 * np.abs(one - other).sum())


def pair_correlation(fractions: Array) -> Array:
    """Correlation of the presence of each pair of elements over the alloys, ``m x m`` (phi coefficient).

    Positive: more often together than their frequencies suggest. An element that is in every alloy or in
    none has correlation 0 with the others. The diagonal is 1.
    """
    present = (fractions > 0).astype(np.float64)
    centred = present - present.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    safe = np.where(spread > 0, spread, 1.0)
    out: Array = (centred.T @ centred) / len(fractions) / np.outer(safe, safe)
    np.fill_diagonal(out, 1.0)
    return out


def pair_correlation_distance(one: Array, other: Array) -> float:
    """Mean absolute difference of the pair correlations of two sets of alloys, over the pairs; 0 for one element."""
    pairs = np.triu_indices(one.shape[1], k=1)
    gap = np.abs(pair_correlation(one) - pair_correlation(other))[pairs]
    return float(gap.mean()) if gap.size else 0.0


def conditional_error(reached: Array, wanted: Array, tolerance: float) -> dict[str, float]:
    """How well one property meets its condition.

    Args:
        reached: Values of the generated alloys, shape ``n``, in the property's unit.
        wanted: Values asked for, shape ``n`` or a scalar array.
        tolerance: In the same unit.

    Returns:
        ``mean`` and ``median`` of the values reached, ``mae`` (mean absolute error), ``bias`` (reached minus
        wanted), all in the unit, and ``share_within`` the tolerance.
    """
    gap = np.asarray(reached, dtype=np.float64) - np.asarray(wanted, dtype=np.float64)
    return {
        "mean": float(np.mean(reached)),
        "median": float(np.median(reached)),
        "mae": float(np.abs(gap).mean()),
        "bias": float(gap.mean()),
        "share_within": float((np.abs(gap) <= tolerance).mean()),
    }


def likeness(generated: Array, known: Array) -> dict[str, Any]:
    """Compare generated alloys (traces dropped) with those of the data.

    Returns:
        ``novelty``, ``element_count_distance`` and ``pair_correlation_distance``.
    """
    return {
        "novelty": novelty(generated, known),
        "element_count_distance": histogram_distance(
            element_count_histogram(generated), element_count_histogram(known)
        ),
        "pair_correlation_distance": pair_correlation_distance(generated, known),
    }

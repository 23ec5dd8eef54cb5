"""The probability that every interval holds.

Each property is taken as normal with the surrogate's mean and standard deviation, and the properties as
independent given the composition, so that P(all) = prod_k [Phi((high_k - mu_k) / sigma_k) - Phi((low_k - mu_k) /
sigma_k)]: the probability of feasibility of constrained Bayesian optimisation (Gardner et al. 2014, Proc. 31st
ICML, equation 7) with targets for constraints. It is worked out in logarithms, since among rare hits nearly
every candidate's P underflows and still one is better than another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from hea_loop.errors import InputError

__all__ = ["Interval", "Predictions", "intervals_of", "log_probability_all", "probability_all"]

Array = NDArray[np.float64]

Predictions = Mapping[str, tuple[Array, Array]]
"""Means and standard deviations by property, ``n`` numbers each, in the property's unit."""

_LEAST_WIDTH: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval on a property, open on one side if need be.

    Attributes:
        name: The property.
        low: Lower end in the property's unit; None or -inf for an open side.
        high: Upper end; None or inf for an open side.

    Raises:
        InputError: NaN, or the lower end above the upper.
    """

    name: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low <= high:
            raise InputError(
                f"interval {self.name}", (self.low, self.high), "is not an interval", "give low <= high"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends, infinite where open."""
        return (
            -math.inf if self.low is None else float(self.low),
            math.inf if self.high is None else float(self.high),
        )

    @property
    def scale(self) -> float:
        """Width of the interval; the magnitude of its one bound where a side is open, at least 1e-9."""
        low, high = self.bounds
        width = high - low
        if not math.isfinite(width):
            width = next((abs(end) for end in (low, high) if math.isfinite(end)), 1.0)
        elif width <= 0:
            width = abs(low)
        return max(width, 1e-9)


def intervals_of(targets: Mapping[str, tuple[float | None, float | None]]) -> tuple[Interval, ...]:
    """Intervals from ``{property: (low, high)}``, None for an open side."""
    return tuple(Interval(name, low, high) for name, (low, high) in targets.items())


def probability_all(predictions: Predictions, intervals: Iterable[Interval]) -> Array:
    """Probability that every interval holds.

    Args:
        predictions: Means and standard deviations of ``n`` compositions by property; a standard deviation of
            zero means known exactly.
        intervals: What has to hold; none at all always holds.

    Returns:
        ``n`` numbers from 0 to 1.

    Raises:
        InputError: An interval on a property without a prediction, or nothing predicted at all.
    """
    return np.exp(log_probability_all(predictions, intervals))


def log_probability_all(
    predictions: Predictions,
    intervals: Iterable[Interval],
    *,
    inflation: float = 1.0,
    softness: float = 0.0,
) -> Array:
    """Natural logarithm of the probability that every interval holds, without underflow.

    Args:
        predictions: As in :func:`probability_all`.
        intervals: As in :func:`probability_all`.
        inflation: Factor on every standard deviation; above one it favours what is not known well.
        softness: Least standard deviation as a share of each interval's scale, so that a property that is
            known exactly tells how far outside a composition lies, and not only that it does.

    Returns:
        ``n`` numbers, at most zero; minus infinity where a property known exactly lies outside.
    """
    wanted = list(intervals)
    missing = [i.name for i in wanted if i.name not in predictions]
    if missing:
        raise InputError(
            f"interval {missing[0]}",
            missing[0],
            "has no prediction",
            f"predicted are {', '.join(predictions) or 'none'}",
        )
    if not predictions:
        raise InputError("predictions", {}, "are empty", "predict at least one property")
    n = len(next(iter(predictions.values()))[0])
    total = np.zeros(n)
    for interval in wanted:
        mean, sigma = (np.asarray(a, dtype=float) for a in predictions[interval.name])
        spread = np.maximum(sigma * inflation, softness * interval.scale)
        total += _log_inside(mean, spread, *interval.bounds)
    return total


def _log_inside(mean: Array, sigma: Array, low: float, high: float) -> Array:
    """Log of the normal probability of [low, high]; a step where sigma is zero."""
    exact = sigma <= 0
    divisor = np.where(exact, 1.0, sigma)
    a, b = (low - mean) / divisor, (high - mean) / divisor
    # the normal law is symmetric: intervals above the mean are mirrored, where the tail keeps its digits
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    b = np.maximum(b, a + _LEAST_WIDTH)
    log_a, log_b = log_ndtr(a), log_ndtr(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isneginf(log_a), 0.0, np.exp(log_a - log_b))
        out = log_b + np.log1p(-np.minimum(ratio, 1.0))
    inside = (mean >= low) & (mean <= high)
    out = np.where(exact, np.where(inside, 0.0, -np.inf), out)
    return np.where(np.isnan(out), -np.inf, out)

"""Hits against budget, and how much sooner one finds them than another, with intervals over seeds."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["acceleration", "bootstrap_interval", "enhancement", "jobs_to_reach"]

Array = NDArray[np.float64]

_RESAMPLES: Final = 2000


def jobs_to_reach(curve: Array, hits: float) -> float:
    """Jobs after which a mean curve of cumulative hits has reached a number, by linear interpolation.

    Args:
        curve: Cumulative hits after 1, 2, ... jobs, never falling, shape ``(budget,)``.
        hits: Above zero.

    Returns:
        Number of jobs; infinite where the curve ends below.
    """
    reached = np.flatnonzero(curve >= hits - 1e-9)
    if not len(reached):
        return float("inf")
    i = int(reached[0])
    before = float(curve[i - 1]) if i else 0.0
    gained = float(curve[i]) - before
    return i + (hits - before) / gained if gained > 0 else float(i + 1)


def acceleration(ours: Array, other: Array) -> float:
    """Discovery acceleration factor: jobs the other needs over jobs we need, for the same number of hits.

    The number is the smaller of what the two have at the end, so that both have reached it and nothing is
    extrapolated. Above 1 we are faster. After the acceleration factor of Rohr et al., Chem. Sci. 11 (2020) 2696, doi
    10.1039/C9SC05999G, and Liang et al., npj Comput. Mater. 7 (2021) 188, doi 10.1038/s41524-021-00656-9, with the
    number of hits in place of the share of the best.

    Args:
        ours: ``seeds x budget`` cumulative hits.
        other: The same of the other.

    Returns:
        The factor of the means over seeds; NaN where either found nothing.
    """
    a, b = ours.mean(axis=0), other.mean(axis=0)
    hits = min(float(a[-1]), float(b[-1]))
    return jobs_to_reach(b, hits) / jobs_to_reach(a, hits) if hits > 0 else float("nan")


def enhancement(ours: Array, expected_rate: float) -> float:
    """Enhancement factor at the end of the budget: our hits over those of random (ibid.).

    Random is taken at its expectation, the measured base rate times the share of jobs that do not fail, which has
    none of the scatter of five short random campaigns.

    Args:
        ours: ``seeds x budget`` cumulative hits.
        expected_rate: Expected hits per job of random.
    """
    return float(ours[:, -1].mean() / (expected_rate * ours.shape[1]))


def bootstrap_interval(values: Array, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap of the mean over seeds (Efron and Tibshirani 1993, chapter 13).

    With five seeds it is a little narrow, as every bootstrap of so few is.

    Args:
        values: One number per seed.
        seed: Of the resampling.
        level: Of the interval.
    """
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (_RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

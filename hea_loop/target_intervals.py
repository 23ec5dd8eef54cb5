"""Intervals that targets ask for: checked, in words, and how likely a surrogate puts a value inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from hea_loop.errors import InputError
from hea_loop.properties import PROPERTIES

__all__ = ["Chance", "chance_of_interval", "checked_intervals", "describe_interval"]

Array = NDArray[np.float64]

Chance = Callable[[Array], Array]
"""From ``k x m`` fractions to the ``k`` probabilities that a target or verdict holds."""


def checked_intervals(
    targets: Mapping[str, tuple[float | None, float | None]], *, field: str = "targets"
) -> dict[str, tuple[float, float]]:
    """Intervals with infinities for open sides.

    Raises:
        InputError: Not a number, both sides open, or the low side above the high side.
    """
    out = {}
    for name, (least, most) in targets.items():
        low, high = -math.inf if least is None else float(least), math.inf if most is None else float(most)
        if not low <= high or low == math.inf or high == -math.inf or high - low == math.inf == -low == high:
            raise InputError(f"{field}.{name}", (least, most), "is not an interval", "give low <= high")
        out[name] = (low, high)
    return out


def describe_interval(name: str, low: float | None, high: float | None) -> str:
    """An interval in words, with its unit."""
    least = None if low is None or math.isinf(low) else low
    most = None if high is None or math.isinf(high) else high
    unit = PROPERTIES[name].unit if name in PROPERTIES else ""
    tail = "" if unit in {"", "1"} else f" {unit}"
    if least is None:
        return f"at most {most:g}{tail}"
    return f"at least {least:g}{tail}" if most is None else f"{least:g} to {most:g}{tail}"


def chance_of_interval(predict: Callable[[Array], tuple[Array, Array]], low: float, high: float) -> Chance:
    """From a surrogate's mean and standard deviation to the probability of lying in an interval."""

    def chance(fractions: Array) -> Array:
        mean, sigma = predict(fractions)
        sigma = np.maximum(sigma, 1e-12)
        out: Array = np.asarray(norm.cdf((high - mean) / sigma) - norm.cdf((low - mean) / sigma), dtype=float)
        return out

    return chance

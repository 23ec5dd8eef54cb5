"""The density of the data's property values, and conditions drawn from it.

A conditional generator has to be asked for values that exist: "a suitable distribution for the conditioning
vector must be provided" (Debnath et al. 2021, 10.20517/jmi.2021.05). It is the Gaussian kernel density of the
data with Scott's bandwidth, in all properties jointly, so that correlated properties are asked for together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from hea_loop.generators.protocol import TrainingData

__all__ = ["ConditionDensity", "checked_conditions", "conditions_for_targets", "prefers_logarithm"]

Array = NDArray[np.float64]

_DRAWS: Final = 4000  # draws of the density per round when looking for those inside the targets
_ROUNDS: Final = 10
_LEAST_SHARE: Final = 2e-3  # below this share of the density inside, "next to nothing" is there
_LEAST_SPREAD: Final = 1e-9  # relative; below it the spread is floating-point noise
_EDGE: Final = 1.0  # standard deviations beyond the data to which an open side reaches


class ConditionDensity:
    """Gaussian kernel density estimate of condition vectors (Scott 1992: bandwidth n^(-1/(p+4))).

    The covariance of a kernel is the data's covariance times the squared bandwidth, as in
    ``scipy.stats.gaussian_kde``; unlike there, collinear properties are allowed and one can condition on some.

    Args:
        conditions: ``n x p`` property values, each in its unit; n at least 2. Rows with NaN are left out: a joint
            density is learned from alloys of which all properties are known.

    Attributes:
        mean: Mean of each property, shape ``p``.
        scale: Standard deviation of each property, shape ``p``, in the property's unit.
        centres: Standardised data, ``n x p``.
        covariance: Of one kernel, standardised, ``p x p``.
    """

    def __init__(self, conditions: Array) -> None:
        data = np.asarray(conditions, dtype=np.float64)
        data = data[np.isfinite(data).all(axis=1)]
        if len(data) < 2:
            raise InputError(
                "conditions",
                len(data),
                "are too few alloys of which all properties are known",
                "leave out the property that few alloys have",
            )
        self.mean: Array = data.mean(axis=0)
        self.scale: Array = data.std(axis=0, ddof=1)
        if not (
            np.isfinite(self.scale).all() and (self.scale > _LEAST_SPREAD * np.abs(data).max(axis=0)).all()
        ):
            raise InputError(
                "conditions", self.scale.tolist(), "have no spread", "leave out a property that is constant"
            )
        self.centres: Array = self.standardise(data)
        n, p = data.shape
        bandwidth = n ** (-1.0 / (p + 4))
        self.covariance: Array = np.atleast_2d(np.cov(self.centres, rowvar=False)) * bandwidth**2

    def standardise(self, conditions: Array) -> Array:
        """Subtract the mean and divide by the standard deviation: ``n x p`` in units to dimensionless."""
        out: Array = (np.asarray(conditions, dtype=np.float64) - self.mean) / self.scale
        return out

    def kernel_root(self) -> Array:
        """Matrix ``R`` (``p x p``) with ``R R^T`` the covariance of a kernel, also where that is singular."""
        return _root(self.covariance)

    def sample(self, number: int, rng: np.random.Generator) -> Array:
        """Draw condition vectors, ``number x p``, each in its unit."""
        rows = rng.integers(len(self.centres), size=number)
        noise = rng.standard_normal((number, len(self.mean))) @ self.kernel_root().T
        out: Array = (self.centres[rows] + noise) * self.scale + self.mean
        return out

    def sample_given(self, known: Array, columns: list[int], rng: np.random.Generator) -> Array:
        """Draw condition vectors given the values of some properties, exactly (a Gaussian mixture conditional).

        Args:
            known: ``n x q`` values of the given properties, in their units.
            columns: Which ``q`` of the ``p`` properties they are.
            rng: The random generator.

        Returns:
            ``n x p``; the given columns are as given.
        """
        p = len(self.mean)
        rest = [j for j in range(p) if j not in columns]
        out: Array = np.empty((len(known), p))
        out[:, columns] = known
        if not rest:
            return out
        if not columns:
            return self.sample(len(known), rng)
        y = (np.asarray(known, dtype=np.float64) - self.mean[columns]) / self.scale[columns]
        inverse = np.linalg.pinv(self.covariance[np.ix_(columns, columns)])
        gain = self.covariance[np.ix_(rest, columns)] @ inverse
        remaining = self.covariance[np.ix_(rest, rest)] - gain @ self.covariance[np.ix_(columns, rest)]
        gap = y[:, None, :] - self.centres[None, :, columns]  # n x N x q
        log_weight = -0.5 * np.einsum("nkq,qr,nkr->nk", gap, inverse, gap)
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        cumulative = np.cumsum(weight, axis=1)
        thrown = rng.random((len(y), 1)) * cumulative[:, -1:]
        chosen = np.minimum((cumulative < thrown).sum(axis=1), len(self.centres) - 1)
        mean = self.centres[np.ix_(chosen, rest)] + gap[np.arange(len(y)), chosen] @ gain.T
        noise = rng.standard_normal((len(y), len(rest))) @ _root(remaining).T
        out[:, rest] = (mean + noise) * self.scale[rest] + self.mean[rest]
        return out

    def complete(self, conditions: Array, rng: np.random.Generator) -> Array:
        """Draw what is not asked for, NaN, from the density given what is asked for in the same row.

        Args:
            conditions: ``n x p``, in units, NaN where any value will do.
            rng: The random generator.

        Returns:
            ``n x p`` without NaN; what was given is as given.
        """
        out = np.array(conditions, dtype=np.float64)
        open_ = np.isnan(out)
        for pattern in np.unique(open_[open_.any(axis=1)], axis=0):
            rows = np.flatnonzero((open_ == pattern).all(axis=1))
            columns = np.flatnonzero(~pattern)
            out[rows] = self.sample_given(out[np.ix_(rows, columns)], columns.tolist(), rng)
        return out


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    out: Array = vectors * np.sqrt(np.clip(values, 0, None))
    return out


def prefers_logarithm(values: Array) -> bool:
    """Whether values are likelier under a log-normal than under a normal law.

    The likelihood that G. Box and D. Cox put between the two, J. R. Stat. Soc. B 26 (1964) 211,
    10.1111/j.2517-6161.1964.tb00553.x, equation 8 at lambda = 0 and 1.

    Args:
        values: Shape ``n``, finite; one that is not positive has no logarithm.
    """
    if values.min() <= 0 or np.ptp(values) == 0:
        return False
    logarithms = np.log(values)
    return bool(np.log(values.std()) > np.log(logarithms.std()) + logarithms.mean())


def checked_conditions(data: TrainingData, conditions: Array) -> Array:
    """Conditions of a call as ``n x p`` floats, NaN where any value will do.

    Raises:
        InputError: Another shape, or infinite values.
    """
    wanted = np.asarray(conditions, dtype=np.float64)
    p = len(data.condition_names)
    fits = wanted.ndim == 2 and wanted.shape[1] == p
    if not fits or np.isinf(wanted).any():
        raise InputError(
            "conditions",
            wanted.tolist() if fits else wanted.shape,
            f"are not n x {p} finite numbers",
            f"give one column for each of {', '.join(data.condition_names)}",
        )
    return wanted


def conditions_for_targets(
    data: TrainingData,
    targets: Mapping[str, tuple[float | None, float | None]],
    n: int,
    rng: np.random.Generator,
) -> Array:
    """Draw condition vectors that ask for the targets.

    They come from the density of the data, restricted to the intervals of those targets that are conditioning
    properties; other targets are not asked for (the generator does not know them). Where next to nothing of
    the density lies inside (a narrow interval, or one off the data), the targeted properties are drawn uniformly
    from their intervals, an open side ending one standard deviation beyond the data, and the others from the
    density given those.

    Args:
        data: What the generator was trained on.
        targets: Property to (low, high), each in the property's unit; None or an infinity for an open side.
        n: How many.
        rng: The random generator; the same state gives the same conditions.

    Returns:
        ``n x p`` in the order of ``data.condition_names``, every targeted value inside its interval.

    Raises:
        InputError: A low side above its high side, or not a number.
    """
    density = ConditionDensity(data.conditions)
    low, high = np.full(len(density.mean), -math.inf), np.full(len(density.mean), math.inf)
    for name, (least, most) in targets.items():
        bottom, top = -math.inf if least is None else least, math.inf if most is None else most
        if not bottom <= top or bottom == math.inf or top == -math.inf:
            raise InputError(
                f"targets.{name}", (least, most), "is not an interval", "give low <= high, None for open"
            )
        if name in data.condition_names:
            j = data.condition_names.index(name)
            low[j], high[j] = bottom, top
    asked = [j for j in range(len(low)) if math.isfinite(low[j]) or math.isfinite(high[j])]
    if not asked:
        return density.sample(n, rng)

    inside: list[Array] = []
    found, drawn = 0, 0
    for _ in range(_ROUNDS):
        draws = density.sample(_DRAWS, rng)
        held = draws[((draws >= low) & (draws <= high)).all(axis=1)]
        inside.append(held)
        found, drawn = found + len(held), drawn + _DRAWS
        if found >= n or found < _LEAST_SHARE * drawn:
            break
    if found >= _LEAST_SHARE * drawn:
        pool = np.concatenate(inside)
        if len(pool) >= n:
            return pool[:n]
        return np.concatenate([pool, pool[rng.integers(len(pool), size=n - len(pool))]])

    first, last = np.nanmin(data.conditions, axis=0), np.nanmax(data.conditions, axis=0)
    known = np.empty((n, len(asked)))
    for column, j in enumerate(asked):
        # An interval that lies wholly beyond the data collapses to the side that is nearer to them.
        start = min(max(low[j], first[j] - _EDGE * density.scale[j]), high[j])
        stop = max(min(high[j], last[j] + _EDGE * density.scale[j]), low[j])
        known[:, column] = rng.uniform(min(start, stop), max(start, stop), size=n)
    return density.sample_given(known, asked, rng)

"""How good the answers of a generator are: hits, variety, realism, and what could have been reached at all.

Pure numpy and scipy. Distances between alloys are total variation, half the sum of absolute differences of
their atomic fractions: the share of atoms that one would exchange to make one alloy of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from hea_loop.composition import RESOLUTION, Composition
from hea_loop.generators.quality import likeness
from hea_loop.palette import Palette

__all__ = [
    "coverage_and_density",
    "least_errors",
    "property_correlation_distance",
    "realism",
    "relative_errors",
    "share_valid",
    "tolerance_unit",
]

Array = NDArray[np.float64]
Evaluate = Callable[[Array], Array]

_NEIGHBOURS: Final = 5  # Naeem et al. take k = 5 for coverage
_STEP: Final = 1e-6  # finite differences in atomic fractions
_STARTS: Final = 4


def tolerance_unit(values: Array, targets: Array) -> Array:
    """What an error of 100% is, for each property of each target, ``n x p``.

    Of a property that has one sign throughout it is the target's own magnitude; of one that crosses zero (an
    enthalpy of mixing) a percentage of the value means nothing, and it is the standard deviation of the data.

    Args:
        values: ``k x p`` of the data, NaN where unknown.
        targets: ``n x p``.
    """
    one_sign = (np.nanmin(values, axis=0) > 0) | (np.nanmax(values, axis=0) < 0)
    spread = np.nanstd(values, axis=0)
    out: Array = np.where(one_sign, np.abs(targets), np.broadcast_to(spread, targets.shape))
    return out


def relative_errors(reached: Array, targets: Array, unit: Array) -> Array:
    """Largest error over the properties, in units of :func:`tolerance_unit`; shape ``n``.

    A value that could not be computed (NaN) is an infinite error: it is no hit.
    """
    gaps = np.abs(reached - targets) / unit
    out: Array = np.where(np.isfinite(gaps), gaps, np.inf).max(axis=1)
    return out


# -- realism ---------------------------------------------------------------------------------------------------


def coverage_and_density(
    real: Array, generated: Array, *, neighbours: int = _NEIGHBOURS
) -> tuple[float, float]:
    """Coverage and density of Naeem et al. 2020, "Reliable fidelity and diversity metrics", arXiv:2002.09797.

    Around each real alloy lies a ball that reaches to its k-th nearest real neighbour. Coverage (equation 4) is
    the share of real alloys whose ball holds a generated one; density (equation 3) the mean number of balls
    that a generated alloy lies in, over k: 1 on average where both sets are of one distribution, less where
    generated alloys lie off the real ones. Coverage grows with the number generated: give equal numbers.

    Args:
        real: ``n x m`` fractions, n at least 2; with no more than k rows, k is n - 1.
        generated: ``j x m`` fractions, j at least 1.
        neighbours: k.
    """
    k = min(neighbours, len(real) - 1)
    radius = np.sort(_distances(real, real), axis=1)[:, k]  # column 0 is the alloy itself
    inside = _distances(real, generated) <= radius[:, None]
    return float(inside.any(axis=1).mean()), float(inside.sum() / (k * len(generated)))


def _distances(one: Array, other: Array) -> Array:
    out: Array = 0.5 * np.asarray(cdist(one, other, metric="cityblock"))
    return out


def property_correlation_distance(one: Array, other: Array) -> float:
    """Mean absolute difference of the Pearson correlations of the properties, over their pairs.

    Args:
        one: ``n x p`` values; rows with NaN are left out.
        other: ``k x p`` values.

    Returns:
        0 (alike) to 2; NaN for a single property, fewer than three rows, or a property without spread.
    """
    found = []
    for values in (one, other):
        known = values[np.isfinite(values).all(axis=1)]
        if known.shape[1] < 2 or len(known) < 3 or not (known.std(axis=0) > 0).all():
            return float("nan")
        found.append(np.corrcoef(known, rowvar=False))
    pairs = np.triu_indices(one.shape[1], k=1)
    return float(np.abs(found[0] - found[1])[pairs].mean())


def realism(real: Array, generated: Array, known: Array, rng: np.random.Generator) -> dict[str, Any]:
    """Likeness of generated alloys to real ones.

    Args:
        real: ``n x m`` fractions of the real alloys.
        generated: ``j x m`` fractions, traces dropped.
        known: ``k x m`` fractions of the training alloys: novelty is counted against these.
        rng: Draws as many of the generated as there are real ones, for coverage and density.

    Returns:
        ``novelty``, ``element_count_distance``, ``pair_correlation_distance``, ``coverage``, ``density``, and
        ``unique``, the share of different compositions at the resolution of 0.1 at.%.
    """
    against_real = likeness(generated, real)
    against_known = likeness(generated, known)
    number = min(len(real), len(generated))
    drawn = generated[rng.choice(len(generated), number, replace=False)]
    coverage, density = coverage_and_density(real, drawn)
    rounded = np.unique(np.rint(generated * RESOLUTION).astype(int), axis=0)
    return {
        "novelty": against_known["novelty"],
        "element_count_distance": against_real["element_count_distance"],
        "pair_correlation_distance": against_real["pair_correlation_distance"],
        "coverage": coverage,
        "density": density,
        "unique": len(rounded) / len(generated),
    }


def share_valid(fractions: Array, palette: Palette) -> float:
    """Share of rows that are compositions of the palette: nothing negative, sum one, bounds and numbers kept."""
    return float(np.mean([_is_valid(row, palette) for row in fractions]))


def _is_valid(row: Array, palette: Palette) -> bool:
    parts = np.rint(row * RESOLUTION).astype(int)
    exact = np.abs(row * RESOLUTION - parts).max() < 1e-6 and (row >= 0).all() and parts.sum() == RESOLUTION
    if not exact:
        return False
    present = [(e, int(n)) for e, n in zip(palette.elements, parts, strict=True) if n]
    return palette.contains(Composition(tuple(present)))


# -- what can be reached ---------------------------------------------------------------------------------------


def least_errors(
    evaluate: Evaluate,
    targets: Array,
    unit: Array,
    starts: Array,
    *,
    upper: Array,
    seed: int,
    enough: float = 0.0,
) -> tuple[Array, Array]:
    """Smallest possible error of each target over all compositions of the elements, found directly.

    Minimises the largest error over the properties (its epigraph: the least t that bounds every error) by
    sequential quadratic programming (Kraft 1988, DFVLR-FB 88-28, as in scipy) from the nearest of the given
    compositions and from random ones. It is an upper bound: a target it misses is "not reached by a direct
    optimiser", no proof that nothing reaches it.

    Args:
        evaluate: ``k x m`` fractions to ``k x p`` properties.
        targets: ``n x p``.
        unit: ``n x p``, see :func:`tolerance_unit`.
        starts: ``k x m`` compositions to start from, the real alloys.
        upper: Largest fraction of each element, shape ``m``.
        seed: Of the random starts.
        enough: A target reached to this error is not improved further.

    Returns:
        The errors, shape ``n``, and the compositions that have them, ``n x m``.
    """
    rng = np.random.default_rng(seed)
    reached = evaluate(starts)
    errors, best = np.empty(len(targets)), np.empty((len(targets), starts.shape[1]))
    for i, (target, scale) in enumerate(zip(targets, unit, strict=True)):
        gaps = relative_errors(reached, np.tile(target, (len(reached), 1)), scale[None, :])
        nearest = starts[np.argsort(gaps)[:_STARTS]]
        random = rng.dirichlet(np.ones(starts.shape[1]), _STARTS)
        errors[i], best[i] = float(gaps.min()), nearest[0]
        for start in (*nearest, *random):
            if errors[i] <= enough:
                break
            x = _descend(evaluate, target, scale, start, upper)
            error = float(relative_errors(evaluate(x[None, :]), target[None, :], scale[None, :])[0])
            if error < errors[i]:
                errors[i], best[i] = error, x
    return errors, best


def _descend(evaluate: Evaluate, target: Array, scale: Array, start: Array, upper: Array) -> Array:
    m = len(start)

    def gap(z: Array) -> Array:
        x = np.clip(z[:, :m], 0, None)
        x = np.minimum(x / x.sum(axis=1, keepdims=True), upper)
        out: Array = (evaluate(x / x.sum(axis=1, keepdims=True)) - target) / scale
        return np.nan_to_num(out, nan=1e3)

    def bounds(z: Array) -> Array:
        here = gap(z[None, :])[0]
        return np.concatenate((z[m] - here, z[m] + here))

    def slopes(z: Array) -> Array:
        points = np.vstack((z[None, :m], z[None, :m] + _STEP * np.eye(m)))
        values = gap(points)
        slope = ((values[1:] - values[0]) / _STEP).T
        ones = np.ones((len(slope), 1))
        return np.vstack((np.hstack((-slope, ones)), np.hstack((slope, ones))))

    worst = float(np.abs(gap(start[None, :])).max())
    on_last: Any
    on_last, on_simplex = np.append(np.zeros(m), 1.0), np.append(np.ones(m), 0.0)
    constraints: Any = (
        {"type": "eq", "fun": lambda z: z[:m].sum() - 1, "jac": lambda _: on_simplex},
        {"type": "ineq", "fun": bounds, "jac": slopes},
    )
    stopping: Any = {"maxiter": 60, "ftol": 1e-6}
    bounds_of: Any = [*((0.0, float(u)) for u in upper), (0.0, None)]
    solve: Any = minimize  # the overloads of scipy's stubs know no gradient of this type
    found = solve(
        lambda z: float(z[m]),
        np.append(start, worst),
        jac=lambda _: on_last,
        bounds=bounds_of,
        constraints=constraints,
        method="SLSQP",
        options=stopping,
    )
    x = np.clip(found.x[:m], 0, upper)
    sound = np.isfinite(x).all() and x.sum() > 0
    out: Array = np.minimum(x / x.sum(), upper) / np.minimum(x / x.sum(), upper).sum() if sound else start
    return out

"""Minima of the distance of a phase from a tangent plane, for many points at once.

The distance per formula unit is F(y) = G(y) - sum_k n_k(y) mu_k. Successive substitution (Michelsen, Fluid
Phase Equilib. 9 (1982) 1, doi 10.1016/0378-3812(82)85001-2) sets each site fraction to what the gradient at
the last one asks for; here it is damped or stretched for each point by itself, so that F never rises. Few
steps bring a start into its basin; Newton's method finishes the ones that matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.screening.phase import MIN_FRACTION, Coefficients, Family

__all__ = ["Minima", "descend", "polish"]

Array = NDArray[np.float64]

_LOG_MIN: Final = float(np.log(MIN_FRACTION))
_LONGEST: Final = 8.0  # of a stretched step
_NOISE_J: Final = 1e-8


@dataclass(slots=True)
class Minima:
    """Points of one phase and how far from a minimum they are.

    Attributes:
        y: ``(dof, n)`` site fractions.
        distance: ``(n,)`` distance from the tangent plane, J per formula unit.
        slack: ``(n,)`` squared gradient in the metric of the ideal entropy, J per formula unit: zero at a
            minimum, and of the order of what is still to be gained near one.
    """

    y: Array
    distance: Array
    slack: Array


def _normalise(phase: Family, logarithm: Array) -> tuple[Array, Array]:
    """Fractions that sum to one on each sublattice from unnormalised logarithms, and their logarithms."""
    y = np.empty_like(logarithm)
    for sublattice in phase.mixing:
        part = slice(sublattice.start, sublattice.stop)
        shifted = logarithm[part] - logarithm[part].max(axis=0)
        np.maximum(shifted, _LOG_MIN, out=shifted)
        np.exp(shifted, out=y[part])
        total = y[part].sum(axis=0)
        y[part] /= total
        logarithm[part] = shifted - np.log(total)
    return y, logarithm


def descend(phase: Family, at: Coefficients, plane: tuple[Array, Array], y: Array, steps: int) -> Minima:
    """Successive substitution.

    Args:
        phase: The phase.
        at: Its coefficients for each point.
        plane: Of the tangent plane, for each point, as :meth:`Family.slope` gives it.
        y: ``(dof, n)`` site fractions to start from, positive.
        steps: How many steps.
    """
    linear, fixed = plane
    weight = phase.sites * at.RT
    y, logarithm = _normalise(phase, np.log(np.maximum(y, MIN_FRACTION)))
    stride = np.ones(y.shape[1])
    kept_y, kept_log = y, logarithm
    kept_value = np.full(y.shape[1], np.inf)
    direction = np.zeros_like(y)
    for step in range(steps + 1):
        value, gradient = phase.excess(y, at)
        gradient += linear
        target = gradient
        target /= -weight
        value = value + (y * (linear + weight * logarithm)).sum(axis=0) - fixed
        better = value <= kept_value + _NOISE_J
        if step == 0 or better.all():
            kept_y, kept_log, kept_value = y, logarithm, value
            direction = target - logarithm
        else:
            kept_y = np.where(better, y, kept_y)
            kept_log = np.where(better, logarithm, kept_log)
            kept_value = np.where(better, value, kept_value)
            direction = np.where(better, target - logarithm, direction)
        if step == steps:
            break
        if step:
            stride = np.where(better, np.minimum(stride * 1.4, _LONGEST), stride * 0.3)
        y, logarithm = _normalise(phase, kept_log + stride * direction)
    mean = phase.membership.T @ (phase.membership @ (kept_y * direction))
    slack = (weight * kept_y * (direction - mean) ** 2).sum(axis=0)
    return Minima(kept_y, kept_value, slack)


def polish(
    phase: Family, at: Coefficients, plane: tuple[Array, Array], found: Minima, steps: int = 4
) -> Minima:
    """Newton's method from points near a minimum; a step that does not lower F is not taken.

    Arguments as in :func:`descend`. Where the curvature is not positive, the point is left as it is.
    """
    linear, fixed = plane
    weight = phase.sites * at.RT
    y, best, slack = found.y, found.distance, found.slack
    count, constraints = phase.dof, len(phase.mixing)
    for _ in range(steps):
        _, gradient = phase.excess(y, at)
        root = np.sqrt(y)
        g = root * (gradient + linear + weight * (np.log(np.maximum(y, MIN_FRACTION)) + 1.0))
        matrix = np.zeros((y.shape[1], count + constraints, count + constraints))
        matrix[:, :count, :count] = phase.curvature(y, at) * (root.T[:, :, None] * root.T[:, None, :])
        diagonal = np.arange(count)
        matrix[:, diagonal, diagonal] += weight.T
        scale = at.RT[:, None, None]
        border = phase.membership[None] * root.T[:, None, :] * scale
        matrix[:, count:, :count] = border
        matrix[:, :count, count:] = border.transpose(0, 2, 1)
        corner = np.arange(count, count + constraints)
        matrix[:, corner, corner] = -1e-12 * at.RT[:, None]
        right = np.zeros((y.shape[1], count + constraints, 1))
        right[:, :count, 0] = -g.T
        step = root * np.linalg.solve(matrix, right)[:, :count, 0].T
        # never more than 90% of a fraction at once
        shrink = np.minimum(1.0, 0.9 / np.maximum((-step / np.maximum(y, MIN_FRACTION)).max(axis=0), 0.9))
        trial, logarithm = _normalise(phase, np.log(np.maximum(y + shrink * step, MIN_FRACTION)))
        value, new_gradient = phase.excess(trial, at)
        value = value + (trial * (linear + weight * logarithm)).sum(axis=0) - fixed
        better = value < best
        direction = -(new_gradient + linear) / weight - logarithm
        mean = phase.membership.T @ (phase.membership @ (trial * direction))
        new_slack = (weight * trial * (direction - mean) ** 2).sum(axis=0)
        y = np.where(better, trial, y)
        best = np.where(better, value, best)
        slack = np.where(better | (new_slack < slack) & (value <= best + 1e-6), new_slack, slack)
        if not better.any():
            break
    return Minima(y, best, slack)

"""Steering: move compositions on their own elements, as little as needed, onto the wanted property values.

A composition x with the elements S is moved to a solution of f(x) = target, sum x = 1, low <= x_S <= high, by
Gauss-Newton steps of least change (the minimum-norm solution of the linearised conditions, damped after Levenberg
and Marquardt), each followed by the Euclidean projection on the bounded simplex; elements that a step would carry out
of their bounds are held and the step is taken again among the others. Unreachable targets leave a residual, and
the nearest point found is kept.

Sources: J. Nocedal and S. Wright, Numerical Optimization, 2nd ed. (2006), sections 10.3 and 16.7; projection:
M. Held, P. Wolfe and H. Crowder, Math. Program. 6 (1974) 62, 10.1007/BF01580223.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

__all__ = ["project", "steer"]

_BISECTIONS: Final = 40
_DAMPING: Final = 1e-6
_LARGEST_MOVE: Final = 0.15  # total variation of one step
Model = Callable[[torch.Tensor], torch.Tensor]


def project(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Euclidean projection of each row on {y: sum y = 1, low <= y <= high}, by bisection of the shift.

    Args:
        x: ``n x m``.
        low: Lower bounds, ``n x m``; an absent element has both bounds zero.
        high: Upper bounds; each row's sums of bounds enclose one.
    """
    least, most = (x - high).min(dim=1, keepdim=True).values, (x - low).max(dim=1, keepdim=True).values
    for _ in range(_BISECTIONS):
        middle = 0.5 * (least + most)
        over = (x - middle).clamp(low, high).sum(dim=1, keepdim=True) > 1
        least, most = torch.where(over, middle, least), torch.where(over, most, middle)
    return (x - 0.5 * (least + most)).clamp(low, high)


def _jacobian(model: Model, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values ``n x p`` and derivatives ``n x p x m``; rows are independent of each other."""
    point = x.detach().requires_grad_(True)  # noqa: FBT003 - torch's own signature
    values = model(point)
    p = values.shape[1]
    slopes = [
        torch.autograd.grad(values[:, j].sum(), point, retain_graph=j < p - 1)[0] for j in range(p)
    ]
    return values.detach(), torch.stack(slopes, dim=1)


def _least_change(slopes: torch.Tensor, gap: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """Smallest dx over the free elements with sum dx = 0 and J dx = gap (damped): ``n x m``."""
    weight = free.to(slopes.dtype)
    centre = (slopes * weight[:, None, :]).sum(dim=2) / weight.sum(dim=1, keepdim=True).clamp_min(1)
    tangent = (slopes - centre[:, :, None]) * weight[:, None, :]
    normal = tangent @ tangent.transpose(1, 2)
    scale = normal.diagonal(dim1=1, dim2=2).amax(dim=1).clamp_min(1e-12)
    damped = normal + (_DAMPING * scale)[:, None, None] * torch.eye(gap.shape[1], dtype=gap.dtype)
    step: torch.Tensor = (tangent * torch.linalg.solve(damped, gap)[:, :, None]).sum(dim=1)
    return step


def steer(
    model: Model,
    x: torch.Tensor,
    target: torch.Tensor,
    scale: torch.Tensor,
    *,
    low: torch.Tensor,
    high: torch.Tensor,
    steps: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move each row towards its target.

    Args:
        model: ``n x m`` fractions to ``n x p`` properties, differentiable.
        x: Start, ``n x m`` float64, on the bounded simplex.
        target: ``n x p`` in units, NaN where any value will do.
        scale: ``n x p`` or broadcast to it: the unit in which gaps of the properties are compared.
        low: Lower bounds ``n x m``, zero for an absent element.
        high: Upper bounds, zero for an absent element.
        steps: At most this many.

    Returns:
        The rows of smallest residual met on the way, ``n x m``, and their residuals: the greatest scaled gap,
        shape ``n``; infinite where the model has no number.
    """
    asked = target.isfinite()
    best, best_gap = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype)
    present = high > 0
    for k in range(steps + 1):
        values, slopes = _jacobian(model, x)
        gap = torch.where(asked, (target - values) / scale, torch.zeros_like(values))
        worst = gap.abs().amax(dim=1).nan_to_num(torch.inf, torch.inf)
        better = worst < best_gap
        best = torch.where(better[:, None], x, best)
        best_gap = torch.where(better, worst, best_gap)
        if k == steps or bool((best_gap < 1e-4).all()):
            break
        gap = gap.nan_to_num(0.0, 0.0, 0.0)
        slopes = torch.where(asked[:, :, None], slopes / scale[..., None], torch.zeros_like(slopes))
        slopes = slopes.nan_to_num(0.0, 0.0, 0.0)
        free = present
        for _ in range(3):
            step = _least_change(slopes, gap, free)
            outward = ((x <= low + 1e-9) & (step < 0)) | ((x >= high - 1e-9) & (step > 0))
            if not bool((outward & free).any()):
                break
            free = free & ~outward
        size = 0.5 * step.abs().sum(dim=1, keepdim=True)
        step = step * (_LARGEST_MOVE / size.clamp_min(_LARGEST_MOVE))
        x = project(x + step, low, high)
    return best, best_gap

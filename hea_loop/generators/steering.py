"""Steering: move compositions on their own elements, as little as needed, onto the wanted property values.

A composition x with the elements S is moved to a solution of f(x) = target, sum x = 1, low <= x_S <= high, by
Gauss-Newton steps of least change (the minimum-norm solution of the linearised conditions, damped after Levenberg
and Marquardt), each followed by the Euclidean projection on the bounded simplex; elements that a step would carry
out of their bounds are held and the step is taken again among the others. Unreachable targets leave a residual, and
the nearest point found is kept.

Sources: J. Nocedal and S. Wright, Numerical Optimization, 2nd ed. (2006), sections 10.3 and 16.7; projection:
M. Held, P. Wolfe and H. Crowder, Math. Program. 6 (1974) 62, 10.1007/BF01580223.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from hea_loop.generators.allowed_region import project_on_bounds

__all__ = ["least_change", "steer"]

_DAMPING: Final = 1e-6
_LARGEST_MOVE: Final = 0.15  # total variation of one step
_HOLDS: Final = 3  # times a step is taken again with elements held on their bounds
_ON_BOUND: Final = 1e-9
_MET: Final = 1e-3
"""Scaled gap below which a row is left alone."""
_PROGRESS: Final = 0.8  # a step has to bring the gap below this share of the last
_FIRST: Final = 3  # the first steps are not judged so

Model = Callable[[torch.Tensor], torch.Tensor]


def _jacobian(model: Model, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values ``n x p`` and derivatives ``n x p x m``; rows are independent of each other."""
    point = x.detach().requires_grad_(True)
    values = model(point)
    p = values.shape[1]
    slopes = [torch.autograd.grad(values[:, j].sum(), point, retain_graph=j < p - 1)[0] for j in range(p)]
    return values.detach(), torch.stack(slopes, dim=1)


def least_change(slopes: torch.Tensor, gap: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """Smallest dx over the free elements with sum dx = 0 and J dx = gap (damped): ``n x m``."""
    weight = free.to(slopes.dtype)
    centre = (slopes * weight[:, None, :]).sum(dim=2) / weight.sum(dim=1, keepdim=True).clamp_min(1)
    tangent = (slopes - centre[:, :, None]) * weight[:, None, :]
    normal = tangent @ tangent.transpose(1, 2)
    scale = normal.diagonal(dim1=1, dim2=2).amax(dim=1).clamp_min(1e-12)
    damped = normal + (_DAMPING * scale)[:, None, None] * torch.eye(gap.shape[1], dtype=gap.dtype)
    step: torch.Tensor = (tangent * torch.linalg.solve(damped, gap)[:, :, None]).sum(dim=1)
    return step


def _bounded_step(
    x: torch.Tensor, slopes: torch.Tensor, gap: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """Step of least change that carries no element on its bound further out, of limited length: ``n x m``."""
    free = high > low
    step = least_change(slopes, gap, free)
    for _ in range(_HOLDS):
        outward = ((x <= low + _ON_BOUND) & (step < 0)) | ((x >= high - _ON_BOUND) & (step > 0))
        if not bool((outward & free).any()):
            break
        free = free & ~outward
        step = least_change(slopes, gap, free)
    size = 0.5 * step.abs().sum(dim=1, keepdim=True)
    return step * (_LARGEST_MOVE / size.clamp_min(_LARGEST_MOVE))


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
        scale: ``n x p``: the unit in which gaps of the properties are compared.
        low: Lower bounds ``n x m``, zero for an absent element.
        high: Upper bounds, zero for an absent element.
        steps: At most this many.

    Returns:
        The rows of smallest residual met on the way, ``n x m``, and their residuals: the greatest scaled gap,
        shape ``n``; infinite where the model has no number.
    """
    best, best_gap = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype)
    rows, here, last = torch.arange(len(x)), x, torch.full_like(best_gap, torch.inf)
    for k in range(steps + 1):
        values, slopes = _jacobian(model, here)
        gap = torch.where(
            target[rows].isfinite(), (target[rows] - values) / scale[rows], torch.zeros_like(values)
        )
        worst = gap.abs().amax(dim=1).nan_to_num(torch.inf, torch.inf)
        better = worst < best_gap[rows]
        best[rows[better]], best_gap[rows[better]] = here[better], worst[better]
        # a row that no longer gets nearer has reached what its elements and bounds allow
        going = (worst > _MET) & worst.isfinite() & ((worst < _PROGRESS * last) | torch.tensor(k < _FIRST))
        if k == steps or not bool(going.any()):
            break
        rows, here, gap, slopes, last = rows[going], here[going], gap[going], slopes[going], worst[going]
        asked = target[rows].isfinite()
        slopes = torch.where(asked[:, :, None], slopes / scale[rows][:, :, None], torch.zeros_like(slopes))
        step = _bounded_step(here, slopes.nan_to_num(0.0, 0.0, 0.0), gap, low[rows], high[rows])
        inside = project_on_bounds((here + step).numpy(), low[rows].numpy(), high[rows].numpy())
        here = torch.as_tensor(inside)
    return best, best_gap

"""Climbing: move compositions that meet their condition to where the models are surer that they do.

Steering makes the *mean* of each property what is wanted; of a learned property the truth may still be far off, where
no known alloy is near. The compositions of a set of elements that have the wanted means form a surface; on it the
logarithm of the probability that all properties hold (:func:`log_chance`) is climbed by its gradient, projected on
the surface (Rosen's gradient projection, J. SIAM 8 (1960) 181, 10.1137/0108011), with a Gauss-Newton step back onto it,
a step size of each row's own, and no step that makes a row less probable. Something that is wanted too may be added to
the probability, such as a distance: then no step makes the sum less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch

from hea_loop.generators.allowed_region import project_on_bounds
from hea_loop.generators.steering import least_change

__all__ = ["Addition", "AwayFromOthers", "climb", "log_chance"]

Spread = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Addition = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""From ``k x m`` points and the numbers of the rows they stand for, ``k`` values and their slopes, ``k x m``."""

_FIRST: Final = 0.03  # total variation of the first step
_MOST: Final = 0.15
_UP: Final = 1.4
_DOWN: Final = 0.4
_ARRIVED: Final = 0.0005  # a row whose step is smaller has arrived
_LIKELY: Final = -0.02  # nor is a row with a probability of 98% moved
_KNOWN: Final = 0.25  # a property is known well where its deviation is less than this share of the margin
_WALL: Final = 0.9  # and may then be this share of the margin off
_FAR: Final = 1e5  # standard deviations
_HUGE: Final = 1e100
_ON_BOUND: Final = 1e-9
_HOLDS: Final = 3
_AT_ONCE: Final = 256  # rows whose covariances with the data stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class AwayFromOthers:
    """An :data:`Addition`: a weight times the mean total variation to the other rows of the group, where these stand.

    Attributes:
        x: Where the rows stand, ``n x m``.
        group: Number of the group of each, shape ``n``; none is alone in its group.
        weight: See above.
    """

    x: torch.Tensor
    group: torch.Tensor
    weight: float

    def __call__(self, points: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values, shape ``k``, and slopes, ``k x m``, of points that stand for some rows."""
        value, slope = torch.zeros(len(points), dtype=points.dtype), torch.zeros_like(points)
        for number in self.group[rows].unique().tolist():
            members = torch.nonzero(self.group == number)[:, 0]
            here = torch.nonzero(self.group[rows] == number)[:, 0]
            away = points[here][:, None, :] - self.x[members]
            away[rows[here][:, None] == members] = 0.0  # not from itself
            share = 0.5 * self.weight / (len(members) - 1)
            value[here] = share * away.abs().sum(dim=(1, 2))
            slope[here] = share * away.sign().sum(dim=1)
        return value, slope


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What is seen at ``n`` points.

    Attributes:
        chance: Logarithm of the probability, shape ``n``.
        worth: What is climbed: the same, or the probability and what is added to it; shape ``n``.
        uphill: Gradient of the worth, ``n x m``.
        gap: What the means lack to the targets, ``n x p``; zero of what is not known well.
        slopes: Gradients of the means, ``n x p x m``; likewise.
    """

    chance: torch.Tensor
    worth: torch.Tensor
    uphill: torch.Tensor
    gap: torch.Tensor
    slopes: torch.Tensor

    def where(self, rows: torch.Tensor) -> _Look:
        """Some of the points."""
        return _Look(
            self.chance[rows], self.worth[rows], self.uphill[rows], self.gap[rows], self.slopes[rows]
        )

    def or_else(self, other: _Look, here: torch.Tensor) -> _Look:
        """Of each point this one where ``here``, else the other."""
        return _Look(
            torch.where(here, self.chance, other.chance),
            torch.where(here, self.worth, other.worth),
            torch.where(here[:, None], self.uphill, other.uphill),
            torch.where(here[:, None], self.gap, other.gap),
            torch.where(here[:, None, None], self.slopes, other.slopes),
        )


Looking = Callable[[torch.Tensor, torch.Tensor], _Look]
"""From points and the numbers of the rows they stand for."""


def log_chance(
    mean: torch.Tensor, deviation: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """Logarithm of the probability that all properties lie in their intervals, differentiable.

    They are taken as normal and independent, as in :mod:`hea_loop.acquisition.probability`.

    Args:
        mean: ``n x p``.
        deviation: ``n x p``, above zero.
        low: ``n x p``; minus infinity, like plus infinity in ``high``, where any value will do.
        high: ``n x p``.

    Returns:
        Shape ``n``.
    """
    # an open side is a far one: the slope of the law at infinity is no number
    below = ((low.clamp(-_HUGE, _HUGE) - mean) / deviation).clamp_min(-_FAR)
    above = ((high.clamp(-_HUGE, _HUGE) - mean) / deviation).clamp_max(_FAR)
    # the normal law is symmetric: intervals above the mean are mirrored, where the tail keeps its digits
    mirrored = below > 0
    below, above = torch.where(mirrored, -above, below), torch.where(mirrored, -below, above)
    lower, upper = torch.special.log_ndtr(below), torch.special.log_ndtr(above)
    out: torch.Tensor = (upper + torch.log1p(-torch.exp(lower - upper).clamp_max(1 - 1e-12))).sum(dim=1)
    return out


def climb(
    model: Spread,
    x: torch.Tensor,
    target: torch.Tensor,
    margin: torch.Tensor,
    *,
    low: torch.Tensor,
    high: torch.Tensor,
    steps: int,
    addition: Addition | None = None,
    least_chance: float = -torch.inf,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move each row to where its properties are likelier to lie within a margin of the target.

    Args:
        model: ``k x m`` fractions to ``k x p`` means and standard deviations (above zero), differentiable; rows are
            independent of each other.
        x: Start, ``n x m`` float64, on the bounded simplex.
        target: ``n x p``, NaN where any value will do.
        margin: ``n x p``, half the width of the interval about the target.
        low: Lower bounds ``n x m``, zero for an absent element.
        high: Upper bounds, zero for an absent element.
        steps: At most this many.
        addition: Added to the probability: their sum is climbed, and not the logarithm of the probability.
        least_chance: Logarithm of the probability below which nothing else counts: no row is moved below it, and one
            that starts there stays.

    Returns:
        The rows, ``n x m``, and the logarithm of the probability of each, shape ``n``; without an addition none is
        lower than at the start.
    """
    asked = target.isfinite()
    least = torch.where(asked, target - margin, -torch.inf)
    most = torch.where(asked, target + margin, torch.inf)

    def looked(points: torch.Tensor, rows: torch.Tensor) -> _Look:
        point = points.detach().requires_grad_(True)
        mean, deviation = model(point)
        own = mean.detach().requires_grad_(True), deviation.detach().requires_grad_(True)
        chance = log_chance(*own, least[rows], most[rows])
        by_mean, by_deviation = torch.autograd.grad(chance.sum(), own)
        known = asked[rows] & (own[1].detach() < _KNOWN * margin[rows])
        of_means = _slopes(mean, point, known.any(dim=0))
        # the others are not held anywhere: one pass back for all of them
        rest = (torch.where(known.any(dim=0), 0.0, by_mean) * mean + by_deviation * deviation).sum()
        uphill = (by_mean[:, :, None] * of_means).sum(dim=1) + torch.autograd.grad(rest, point)[0]
        reached = chance.detach().nan_to_num(-torch.inf, -torch.inf, -torch.inf)
        uphill, worth = uphill.nan_to_num(0.0, 0.0, 0.0), reached
        if addition is not None:
            more, slope = addition(points, rows)
            worth, uphill = reached.exp() + more, reached.exp()[:, None] * uphill + slope
        return _Look(
            reached,
            torch.where(reached >= least_chance, worth, -torch.inf),
            uphill,
            torch.where(known, target[rows] - own[0].detach(), 0.0),
            torch.where(known[:, :, None], of_means.nan_to_num(0.0, 0.0, 0.0), 0.0),
        )

    enough = _LIKELY if addition is None else torch.inf
    best, reached = [], []
    for part in torch.split(torch.arange(len(x)), _AT_ONCE):
        rows_of = partial(_part_of, looked, part)
        found = _climbed(rows_of, x[part], _WALL * margin[part], (low[part], high[part]), steps, enough)
        best.append(found[0])
        reached.append(found[1])
    if not best:
        return x.clone(), torch.zeros(0, dtype=x.dtype)
    return torch.cat(best), torch.cat(reached)


def _part_of(looked: Looking, part: torch.Tensor, points: torch.Tensor, rows: torch.Tensor) -> _Look:
    return looked(points, part[rows])


def _climbed(
    looked: Looking,
    x: torch.Tensor,
    wall: torch.Tensor,
    bounds: tuple[torch.Tensor, torch.Tensor],
    steps: int,
    enough: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`climb` of rows whose covariances stay in the processor's cache."""
    rows = torch.arange(len(x))
    best, here, low, high = x.clone(), x, *bounds
    look = looked(here, rows)
    reached = look.chance.clone()
    step = torch.full_like(reached, _FIRST)
    for _ in range(steps):
        going = (step > _ARRIVED) & (look.worth < enough) & look.worth.isfinite()
        if not bool(going.any()):
            break
        rows, here, step, look = rows[going], here[going], step[going], look.where(going)
        moved = _along(here, look, wall[rows], step, low[rows], high[rows])
        tried = torch.as_tensor(project_on_bounds(moved.numpy(), low[rows].numpy(), high[rows].numpy()))
        new = looked(tried, rows)
        better = new.worth > look.worth
        here = torch.where(better[:, None], tried, here)
        look = new.or_else(look, better)
        step = (step * torch.where(better, _UP, _DOWN)).clamp_max(_MOST)
        best[rows], reached[rows] = here, look.chance
    return best, reached


def _slopes(values: torch.Tensor, point: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Derivatives ``n x p x m`` of the wanted columns, zero of the others; rows are independent of each other."""
    out = torch.zeros(*values.shape, point.shape[1], dtype=point.dtype)
    for j in torch.nonzero(wanted)[:, 0].tolist():
        out[:, j] = torch.autograd.grad(values[:, j].sum(), point, retain_graph=True)[0]
    return out


def _along(
    x: torch.Tensor,
    look: _Look,
    wall: torch.Tensor,
    step: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
) -> torch.Tensor:
    """One step uphill that leaves no interval of what is known well: ``n x m``, not yet within the bounds."""
    free, uphill, slopes, gap = high > low, look.uphill, look.slopes, look.gap
    beyond = gap.abs() > wall
    for _ in range(_HOLDS):
        weight = free.to(x.dtype)
        centre = (uphill * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp_min(1)
        level = (uphill - centre) * weight
        outwards = beyond & ((slopes * level[:, None, :]).sum(dim=2) * gap < 0)
        held = torch.where(outwards[:, :, None], slopes, 0.0)
        along = level - least_change(held, (held * level[:, None, :]).sum(dim=2), free)
        outward = ((x <= low + _ON_BOUND) & (along < 0)) | ((x >= high - _ON_BOUND) & (along > 0))
        if not bool((outward & free).any()):
            break
        free = free & ~outward
    size = 0.5 * along.abs().sum(dim=1, keepdim=True)
    moved = along * (step[:, None] / size.clamp_min(1e-12))
    after = gap - (slopes * moved[:, None, :]).sum(dim=2)
    over = torch.where(after.abs() > wall, after - after.sign() * wall, 0.0)
    inside = torch.where((over != 0)[:, :, None], slopes, 0.0)
    return x + moved + least_change(inside, over, free)

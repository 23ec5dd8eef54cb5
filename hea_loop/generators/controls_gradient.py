"""The control ``surrogate-gradient``: projected gradient descent on the error of the property model, many starts.

For each answer, compositions are drawn, random ones and known alloys, a little changed, in turn. The best of them by
the property model, its variance added to the squared error, are descended from, each within its own combination of
elements (projected gradient: D. P. Bertsekas, IEEE Trans. Autom. Control 21 (1976) 174, doi 10.1109/TAC.1976.1101194;
here with the steps of Adam, arXiv:1412.6980), and the nearest to the condition is the answer. All at once.
"""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.condition_code import ConditionCode
from hea_loop.generators.property_search import PropertySearch

__all__ = ["SurrogateGradient", "SurrogateGradientOptions"]

Array = NDArray[np.float64]

_MOMENTUM: Final = (0.9, 0.99)  # of Adam, and of the square
_ROWS: Final = 4096  # descended at once


class SurrogateGradientOptions(BaseModel):
    """Options of ``surrogate-gradient``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Compositions drawn for each answer: random ones and known alloys, a little changed, in turn."""
    starts: Annotated[int, Field(ge=1, le=1000)] = 4
    """The best of them, from which the descent starts."""
    steps: Annotated[int, Field(ge=1, le=100_000)] = 80
    """Steps of the descent."""
    step_size: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.02
    """First step of each fraction; it falls linearly to a fiftieth."""


class SurrogateGradient(PropertySearch[SurrogateGradientOptions]):
    """Multi-start projected gradient descent on the property model.

    Args:
        options: See :class:`SurrogateGradientOptions`.
    """

    name = "surrogate-gradient"
    options_type = SurrogateGradientOptions

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        rng = np.random.default_rng(seed)
        starts = min(self.options.starts, self.options.draws)
        block = max(1, _ROWS // max(self.options.draws, starts))
        parts = [
            self._block(wanted[first : first + block], starts, region, rng)
            for first in range(0, len(wanted), block)
        ]
        return np.concatenate(parts)

    def _block(self, wanted: Array, starts: int, region: AllowedRegion, rng: np.random.Generator) -> Array:
        draws, n, m = self.options.draws, len(wanted), len(region.elements)
        drawn = self._starts(n * draws, region, rng)
        error = self._expected_squares(drawn, np.repeat(wanted, draws, axis=0))
        best = np.argsort(error.reshape(n, draws), axis=1, kind="stable")[:, :starts]
        x = drawn.reshape(n, draws, m)[np.arange(n)[:, None], best].reshape(-1, m)
        asked = np.repeat(wanted, starts, axis=0)
        x = self._descended(x, asked, region)
        left = self._expected_squares(x, asked).reshape(n, starts)
        out: Array = x.reshape(n, starts, m)[np.arange(n), left.argmin(axis=1)]
        return out

    def _descended(self, x: Array, wanted: Array, region: AllowedRegion) -> Array:
        o, present = self.options, x > 0
        target = torch.as_tensor(wanted)
        scale = torch.as_tensor(ConditionCode.of(self._trained().conditions).scale)
        mean, square = np.zeros_like(x), np.zeros_like(x)
        for step in range(1, o.steps + 1):
            at = torch.as_tensor(x).requires_grad_()
            (slope,) = torch.autograd.grad(self._error_tensor(at, target, scale).sum(), at)
            g = np.nan_to_num(np.where(present, slope.numpy(), 0.0))
            # the part along the simplex: what is common to all present elements moves nothing
            g = np.where(present, g - g.sum(axis=1, keepdims=True) / present.sum(axis=1, keepdims=True), 0.0)
            mean = _MOMENTUM[0] * mean + (1 - _MOMENTUM[0]) * g
            # one scale for all elements of an alloy, so that the direction is that of the gradient
            square = _MOMENTUM[1] * square + (1 - _MOMENTUM[1]) * (g**2).mean(axis=1, keepdims=True)
            upwards = np.sqrt(square / (1 - _MOMENTUM[1] ** step)) + 1e-12
            size = o.step_size * (1 - 0.98 * (step - 1) / o.steps)
            x = region.within(x - size * mean / (1 - _MOMENTUM[0] ** step) / upwards, present)
        return x

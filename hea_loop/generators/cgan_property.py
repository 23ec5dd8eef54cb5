"""The hybrid, as strategy ``cgan-property``: an adversarial generator that is also told how far it is off.

The authors of the seed ask for hybrid methods (Debnath et al. 2021, 10.20517/jmi.2021.05, conclusions). Here the
generator of ``cwgan-gp`` has a second term in its loss: the distance of the differentiable property model at its
answers from the conditions asked for, in units of each property's spread. The critic keeps answers like the data and
different from each other; the property term holds them to the condition, also where data are thin: its conditions are
drawn from the data with a preference for the rare, widened by noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from hea_loop.generators.condition_code import ConditionCode, hidden
from hea_loop.generators.cwgan_gp import AdversarialGenerator, CwganGpOptions
from hea_loop.generators.property_models import property_model
from hea_loop.generators.protocol import TrainingData

__all__ = ["CganProperty", "CganPropertyOptions"]

Array = NDArray[np.float64]

_SHARP = (
    0.02  # distance, in units of the spread, below which the property term turns from linear to quadratic
)
_EDGE = 0.5  # power of the inverse density by which conditions of the property term are drawn
_WIDENED = 0.1  # standard deviation of the noise on them


class CganPropertyOptions(CwganGpOptions):
    """Options of ``cgan-property``: those of ``cwgan-gp`` and two more."""

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 3000
    """Updates of the generator."""
    critic_steps: Annotated[int, Field(ge=1, le=100)] = 2
    """Updates of the critic for each of the generator."""
    presence_weight: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 3.0
    """Weight of whether an element is present in the critic's input."""
    property_weight: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 10.0
    """Weight of the property term beside the critic's score."""
    property_batch: Annotated[int, Field(ge=1, le=65536)] = 128
    """Conditions per update at which the property term is taken."""


class CganProperty(AdversarialGenerator[CganPropertyOptions]):
    """Conditional GAN with a differentiable property term in the generator's loss.

    Args:
        options: See :class:`CganPropertyOptions`.
    """

    name = "cgan-property"
    options_type = CganPropertyOptions

    def _property_term(
        self, data: TrainingData, seed: int, where: Any, /
    ) -> Callable[[Callable[[Any, Any], Any], Any], Any] | None:
        o, code = self.options, ConditionCode.of(data.conditions)
        model = property_model(data, seed=seed)
        mean, scale = torch.as_tensor(code.mean), torch.as_tensor(code.scale)
        codes = code.encode(data.conditions).to(where)
        rarity = torch.as_tensor(_rarity(code.standardised(data.conditions)), device=where)
        p = len(data.condition_names)

        def term(alloys: Callable[[Any, Any], Any], noise: Any) -> Any:
            rows = torch.multinomial(rarity, o.property_batch, replacement=True, generator=noise)
            asked = codes[rows].clone()
            asked[:, :p] += (
                _WIDENED * torch.randn(len(asked), p, generator=noise, device=where) * asked[:, p:]
            )
            asked = hidden(asked, o.hidden_share, noise)
            latent = torch.randn(len(asked), o.latent, generator=noise, device=where)
            # the model computes in double precision on the CPU; the gradient comes back through both
            reached = (model(alloys(latent, asked).double().cpu()) - mean) / scale
            wanted = asked.double().cpu()
            gap = torch.where(wanted[:, p:] > 0, reached - wanted[:, :p], 0.0)
            distance = (gap.square() + _SHARP**2).sqrt() - _SHARP
            return o.property_weight * distance.sum(dim=1).mean().to(asked)

        return term


def _rarity(standardised: Array) -> Array:
    """Weight of each alloy's condition, shape ``n``: the rarer, the larger (Gaussian kernel density, Scott's width)."""
    z = np.nan_to_num(standardised)
    n, p = z.shape
    width = n ** (-1.0 / (p + 4))
    density = np.exp(-0.5 * np.square((z[:, None] - z[None]) / width).sum(axis=2)).sum(axis=1)
    weight: Array = density**-_EDGE / (density**-_EDGE).sum()
    return weight

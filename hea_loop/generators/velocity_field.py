"""The network of ``flow-matching``: a conditional velocity field, its training and its flow.

Conditional flow matching: Lipman et al. 2023 (arXiv:2210.02747), with the straight path and independent coupling of
Liu et al. 2023 (arXiv:2209.03003) and Tong et al. 2023 (arXiv:2302.00482, "I-CFM"). With noise z_0 ~ N(0, I), a data
point z_1 with condition c and t uniform on [0, 1], the network v minimises

    E |v(z_t, t, c) - (z_1 - z_0)|^2,    z_t = (1 - t) z_0 + t z_1,

and the flow dz/dt = v carries noise at t = 0 to data at t = 1. The optimal-transport coupling of Tong et al. is
left out on purpose: drawn over a batch of different conditions it makes the noise depend on the condition, and the
answers to one condition then start from noise that was seldom paired with it.

Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598): conditions are hidden at random in training, so
that one network knows v with and without them, and the flow follows v(no c) + w (v(c) - v(no c)).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

__all__ = ["FieldSettings", "VelocityField", "flow", "train_field"]

_FREQUENCIES: Final = 4
"""Sines and cosines of t: quarter turns 1, 2, 4 and 8 over the unit interval."""
_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-8
_WARM_UP: Final = 100  # steps over which Adam's step size rises


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """How the field is trained.

    Attributes:
        steps: Updates.
        batch_size: Data points per update.
        learning_rate: Greatest step size of Adam; it falls to zero along a half cosine.
        averaging: Decay of the exponential average of the weights, which is what is kept.
        hide_one: Probability with which each condition is hidden.
        hide_all: Probability with which all of a data point's conditions are hidden.
    """

    steps: int
    batch_size: int
    learning_rate: float
    averaging: float
    hide_one: float
    hide_all: float


@dataclass(frozen=True, slots=True)
class VelocityField:
    """v(z, t, c): fully connected layers with SiLU between them, parameters in one flat tensor.

    Attributes:
        d: Dimensions of the state.
        p: Number of conditions.
        width: Units of a hidden layer.
        layers: Hidden layers.
    """

    d: int
    p: int
    width: int
    layers: int

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        first = self.d + 2 * _FREQUENCIES + 2 * self.p
        sizes = [first, *([self.width] * self.layers), self.d]
        return list(itertools.pairwise(sizes))

    def initialise(self, noise: torch.Generator) -> torch.Tensor:
        """Draw parameters: normal with variance 1 / inputs, the last layer and all biases zero."""
        parts: list[torch.Tensor] = []
        for i, (inputs, outputs) in enumerate(self._shapes):
            drawn = torch.randn(inputs * outputs, generator=noise) / inputs**0.5
            parts += [drawn * (i < self.layers), torch.zeros(outputs)]
        return torch.cat(parts)

    def __call__(
        self, parameters: torch.Tensor, z: torch.Tensor, t: torch.Tensor, c: torch.Tensor
    ) -> torch.Tensor:
        """Velocity, ``n x d``.

        Args:
            parameters: Flat tensor.
            z: States, ``n x d``.
            t: Times, shape ``n``.
            c: Standardised conditions, ``n x p``, NaN where hidden.
        """
        quarter = torch.pi / 2 * 2.0 ** torch.arange(_FREQUENCIES, device=z.device)
        angles = t[:, None] * quarter
        value = torch.cat([z, angles.sin(), angles.cos(), c.nan_to_num(), c.isfinite().to(z.dtype)], dim=1)
        lengths = [n for i, o in self._shapes for n in (i * o, o)]
        parts = parameters.split(lengths)
        for layer, (inputs, outputs) in enumerate(self._shapes):
            value = torch.nn.functional.linear(
                value, parts[2 * layer].view(outputs, inputs), parts[2 * layer + 1]
            )
            if layer < self.layers:
                value = torch.nn.functional.silu(value)
        return value


def train_field(
    field: VelocityField,
    batch: Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]],
    settings: FieldSettings,
    *,
    seed: int,
    device: torch.device,
    watch: Callable[[int, float, torch.Tensor], None],
) -> torch.Tensor:
    """Train by Adam (Kingma and Ba 2015, arXiv:1412.6980) and return the averaged parameters, on the CPU.

    Args:
        field: The network.
        batch: From a size and a random generator to states ``b x d`` and standardised conditions ``b x p``.
        settings: See :class:`FieldSettings`.
        seed: Of weights, noise and batches.
        device: Where to compute.
        watch: Called after every step with the step, the loss and the averaged parameters as they stand.
    """
    theta = field.initialise(torch.Generator().manual_seed(seed)).to(device)
    noise = torch.Generator(device).manual_seed(seed + 1)
    average, first, second = theta.clone(), torch.zeros_like(theta), torch.zeros_like(theta)
    for step in range(1, settings.steps + 1):
        z1, c = batch(settings.batch_size, noise)
        z0 = torch.randn(z1.shape, generator=noise, device=device)
        t = torch.rand(len(z1), generator=noise, device=device)
        hidden = torch.rand(c.shape, generator=noise, device=device) < settings.hide_one
        hidden |= torch.rand(len(c), 1, generator=noise, device=device) < settings.hide_all
        theta.requires_grad_(True)
        v = field(theta, torch.lerp(z0, z1, t[:, None]), t, c.masked_fill(hidden, math.nan))
        loss = (v - (z1 - z0)).square().mean()
        (slope,) = torch.autograd.grad(loss, theta)
        theta = theta.detach()
        first.lerp_(slope, 1 - _BETAS[0])
        second.lerp_(slope.square(), 1 - _BETAS[1])
        rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / settings.steps))
        rate *= min(1.0, step / _WARM_UP) / (1 - _BETAS[0] ** step)
        spread = (second / (1 - _BETAS[1] ** step)).sqrt_().add_(_EPSILON)
        theta.addcdiv_(first, spread, value=-rate)
        # early on the average forgets faster, or it would remember the first draw
        average.lerp_(theta, 1 - min(settings.averaging, step / (step + 10)))
        watch(step, float(loss.detach()), average)
    return average.cpu()


def flow(
    field: VelocityField,
    parameters: torch.Tensor,
    z: torch.Tensor,
    c: torch.Tensor,
    *,
    guidance: float,
    steps: int,
) -> torch.Tensor:
    """Carry noise to data by Heun's method along the guided velocity.

    Args:
        field: The network.
        parameters: Its parameters.
        z: Noise, ``n x d``.
        c: Standardised conditions, ``n x p``, NaN where open.
        guidance: w; 1 follows the conditional velocity alone.
        steps: Steps of 1 / steps in t, two evaluations each.
    """
    hidden = torch.full_like(c, math.nan)

    def velocity(state: torch.Tensor, time: float) -> torch.Tensor:
        t = torch.full((len(state),), time)
        given = field(parameters, state, t, c)
        if guidance == 1 or not c.shape[1]:
            return given
        free = field(parameters, state, t, hidden)
        return free + guidance * (given - free)

    h = 1 / steps
    with torch.no_grad():
        for k in range(steps):
            here = velocity(z, k * h)
            ahead = velocity(z + h * here, (k + 1) * h)
            z = z + 0.5 * h * (here + ahead)
    return z

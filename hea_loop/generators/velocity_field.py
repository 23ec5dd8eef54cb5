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

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.field_steps import FieldSteps

__all__ = ["Batch", "FieldSettings", "VelocityField", "flow", "train_field", "train_fields"]

_FREQUENCIES: Final = 4
"""Sines and cosines of t: quarter turns 1, 2, 4 and 8 over the unit interval."""
_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-8
_ROWS_AT_ONCE: Final = 2**13  # examples drawn at once: the calls do not count, the cache holds them
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
    def network(self) -> FeedForward:
        """Sizes of the layers; the order of the flat parameters is this network's."""
        first = self.d + 2 * _FREQUENCIES + 2 * self.p
        return FeedForward((first, *([self.width] * self.layers), self.d))

    def initialise(self, noise: torch.Generator) -> torch.Tensor:
        """Draw parameters: normal with variance 1 / inputs, the last layer and all biases zero."""
        parts: list[torch.Tensor] = []
        for i, (inputs, outputs) in enumerate(self.network.layers):
            drawn = torch.randn(inputs * outputs, generator=noise) / inputs**0.5
            parts += [drawn * (i < self.layers), torch.zeros(outputs)]
        return torch.cat(parts)

    def features(self, z: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """What the first layer reads; see :meth:`__call__`."""
        quarter = torch.pi / 2 * 2.0 ** torch.arange(_FREQUENCIES, device=z.device)
        angles = t[:, None] * quarter
        return torch.cat([z, angles.sin(), angles.cos(), c.nan_to_num(), c.isfinite().to(z.dtype)], dim=1)

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
        value = self.features(z, t, c)
        lengths = [n for i, o in self.network.layers for n in (i * o, o)]
        parts = parameters.split(lengths)
        for layer, (inputs, outputs) in enumerate(self.network.layers):
            value = torch.nn.functional.linear(
                value, parts[2 * layer].view(outputs, inputs), parts[2 * layer + 1]
            )
            if layer < self.layers:
                value = torch.nn.functional.silu(value)
        return value


Batch = Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]
"""From a size and a random generator to states ``b x d`` and standardised conditions ``b x p``, NaN where unknown."""


def _examples(
    field: VelocityField, batch: Batch, settings: FieldSettings, noise: torch.Generator, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and targets of every step, drawn in blocks of steps."""
    size = settings.batch_size
    block = max(1, _ROWS_AT_ONCE // size)
    for start in range(0, settings.steps, block):
        steps = min(block, settings.steps - start)
        z1, c = batch(steps * size, noise)
        z0 = torch.randn(z1.shape, generator=noise, device=device)
        t = torch.rand(len(z1), generator=noise, device=device)
        hidden = torch.rand(c.shape, generator=noise, device=device) < settings.hide_one
        hidden |= torch.rand(len(c), 1, generator=noise, device=device) < settings.hide_all
        inputs = field.features(torch.lerp(z0, z1, t[:, None]), t, c.masked_fill(hidden, math.nan))
        targets = z1 - z0
        yield from zip(inputs.view(steps, size, -1), targets.view(steps, size, -1), strict=True)


def train_fields(
    field: VelocityField,
    batches: Sequence[Batch],
    settings: FieldSettings,
    *,
    seeds: Sequence[int],
    device: torch.device,
    every: int,
    watch: Callable[[int, list[float], torch.Tensor], None],
) -> torch.Tensor:
    """Train by Adam (Kingma and Ba 2015, arXiv:1412.6980), one field for each seed, all at once.

    Args:
        field: The network.
        batches: One for each seed.
        settings: See :class:`FieldSettings`.
        seeds: Of weights, noise and batches.
        device: Where to compute.
        every: Steps between two calls of ``watch``; the last step is one of them.
        watch: Called with the step, the losses and the averaged parameters as they stand, on the CPU.

    Returns:
        Averaged parameters, one row for each seed, on the CPU.
    """
    start = [field.initialise(torch.Generator().manual_seed(seed)) for seed in seeds]
    steps = FieldSteps(
        field.network, torch.stack(start).to(device), settings.batch_size, betas=_BETAS, floor=_EPSILON
    )
    noise = [torch.Generator(device).manual_seed(seed + 1) for seed in seeds]
    examples = [_examples(field, b, settings, n, device) for b, n in zip(batches, noise, strict=True)]
    with torch.no_grad():
        steps.capture()
        for step, members in enumerate(zip(*examples, strict=True), start=1):
            for e, (inputs, targets) in enumerate(members):
                steps.inputs[e].copy_(inputs)
                steps.targets[e].copy_(targets)
            rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / settings.steps))
            # early on the average forgets faster, or it would remember the first draw
            steps.step(rate * min(1.0, step / _WARM_UP), min(settings.averaging, step / (step + 10)))
            if step % every == 0 or step == settings.steps:
                watch(step, steps.losses(), steps.average.values.cpu())
    return steps.average.values.cpu()


def train_field(
    field: VelocityField,
    batch: Batch,
    settings: FieldSettings,
    *,
    seed: int,
    device: torch.device,
    watch: Callable[[int, float, torch.Tensor], None],
    every: int = 1,
) -> torch.Tensor:
    """Train one field; see :func:`train_fields`. ``watch`` is called with one loss and one row of parameters."""
    return train_fields(
        field,
        [batch],
        settings,
        seeds=[seed],
        device=device,
        every=every,
        watch=lambda step, losses, average: watch(step, losses[0], average[0]),
    )[0]


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

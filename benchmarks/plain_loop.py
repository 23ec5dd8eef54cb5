"""``cgan-2021`` as one would write it from the papers: modules, automatic differentiation, a loop over parameters.

The reference that :mod:`benchmarks.training` measures the library's training against, and that the tests compare it
with: the same networks, losses, update rule, step sizes and number of steps. The unrolled critic is built with
:func:`torch.func.functional_call`, as higher-order gradients of a module need.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from hea_loop.generators.cgan_2021 import LATENT, Cgan2021Options
from hea_loop.generators.conditioning import ConditionDensity
from hea_loop.generators.feed_forward import SLOPE, FeedForward
from hea_loop.generators.protocol import TrainingData

__all__ = ["PlainLoop"]

Array = NDArray[np.float64]

DECAY, FLOOR = 0.99, 1e-8


def _network(sizes: tuple[int, ...]) -> Any:
    layers: list[Any] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.LeakyReLU(SLOPE)]
    return torch.nn.Sequential(*layers[:-1])


class _RootMeanSquare:
    """RMSProp over a list of parameters, as ``torch.optim.RMSprop`` does it, the floor under the root."""

    def __init__(self, parameters: list[Any], rate: float) -> None:
        self.parameters, self.rate = parameters, rate
        self.moments = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        for parameter, moment in zip(self.parameters, self.moments, strict=True):
            moment.mul_(DECAY).addcmul_(parameter.grad, parameter.grad, value=1 - DECAY)
            parameter.addcdiv_(parameter.grad, moment.add(FLOOR).sqrt_(), value=-self.rate)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


class PlainLoop:
    """The plain training loop.

    Args:
        data: Alloys, all properties known.
        options: Of ``cgan-2021``.
        seed: Of weights and noise; the weights are those that the library starts from.
        dtype: Of weights and data.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        data: TrainingData,
        options: Cgan2021Options,
        seed: int,
        dtype: Any = torch.float32,
        device: str = "cpu",
    ) -> None:
        self.options, o = options, options
        like = {"dtype": dtype, "device": device}
        (_, m), p = data.fractions.shape, data.conditions.shape[1]
        self.density = density = ConditionDensity(data.conditions)
        self.contrast = o.composition_weight / max(float(data.fractions.std()), 1e-6)
        self.centres = torch.as_tensor(density.centres, **like)
        self.root = torch.as_tensor(density.kernel_root(), **like)
        fractions = torch.as_tensor(data.fractions, **like)
        self.real = torch.cat([fractions * self.contrast, self.centres], dim=1)
        self.noise = torch.Generator(device).manual_seed(seed + 1)
        initial = torch.Generator().manual_seed(seed)
        w = o.width
        made = []
        for sizes in ((LATENT + p, w, w, w, m), (m + p, w, w, w, 1)):
            network = _network(sizes)
            flat = FeedForward(sizes).initialise(initial)
            torch.nn.utils.vector_to_parameters(flat, network.parameters())
            made.append(network.to(device, dtype))
        self.generator, self.critic = made
        self._clip()
        self.descent = _RootMeanSquare(list(self.generator.parameters()), o.generator_learning_rate)
        self.ascent = _RootMeanSquare(list(self.critic.parameters()), o.critic_learning_rate)

    def _clip(self) -> None:
        c = self.options.weight_clip
        with torch.no_grad():
            for parameter in self.critic.parameters():
                parameter.clamp_(-c, c)

    def request(self) -> Any:
        """A batch of latent vectors with conditions from the density of the data, ``b x (16 + p)``."""
        b = self.options.batch_size
        like: dict[str, Any] = {"generator": self.noise, "device": self.real.device}
        rows = torch.randint(len(self.centres), (b,), **like)
        like["dtype"] = self.real.dtype
        wanted = self.centres[rows] + torch.randn(b, self.centres.shape[1], **like) @ self.root.T
        return torch.cat([torch.randn(b, LATENT, **like), wanted], dim=1)

    def alloys(self) -> Any:
        """A batch of real pairs, ``b x (m + p)``."""
        like = {"generator": self.noise, "device": self.real.device}
        return self.real[torch.randint(len(self.real), (self.options.batch_size,), **like)]

    def answers(self, request: Any) -> Any:
        """False pairs, ``b x (m + p)``."""
        fractions = torch.softmax(self.generator(request), dim=1)
        return torch.cat([fractions * self.contrast, request[:, LATENT:]], dim=1)

    def critic_step(self, real: Any, request: Any) -> Any:
        """Update the critic; the loss before the update."""
        with torch.no_grad():
            false = self.answers(request)
        loss = self.critic(false).mean() - self.critic(real).mean()
        self.ascent.zero_grad()
        loss.backward()
        self.ascent.step()
        self._clip()
        return loss.detach()

    def generator_step(self, real: Any, request: Any) -> Any:
        """Update the generator against the critic k steps ahead; the loss before the update."""
        o = self.options
        false = self.answers(request)
        ahead = dict(self.critic.named_parameters())
        moments = dict(zip(ahead, self.ascent.moments, strict=True))
        for _ in range(o.unrolled_steps):
            loss = (
                functional_call(self.critic, ahead, (false,)).mean()
                - functional_call(self.critic, ahead, (real,)).mean()
            )
            gradients = torch.autograd.grad(loss, list(ahead.values()), create_graph=True)
            for (name, parameter), gradient in zip(list(ahead.items()), gradients, strict=True):
                moments[name] = DECAY * moments[name] + (1 - DECAY) * gradient**2
                new = parameter - self.ascent.rate * gradient / (moments[name] + FLOOR).sqrt()
                ahead[name] = new.clamp(-o.weight_clip, o.weight_clip)
        loss = -functional_call(self.critic, ahead, (false,)).mean()
        self.descent.zero_grad()
        loss.backward(inputs=self.descent.parameters)
        self.descent.step()
        return loss.detach()

    def step(self, left: float, inputs: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """One step of training.

        Args:
            left: Factor of both step sizes.
            inputs: Requests ``batches x b x (16 + p)`` and real pairs ``batches x b x (m + p)``; None to draw them.

        Returns:
            Losses of the last critic update and of the generator's.
        """
        o = self.options
        self.descent.rate = o.generator_learning_rate * left
        self.ascent.rate = o.critic_learning_rate * left
        loss: Any = None
        for j in range(o.critic_steps):
            request, real = (
                (self.request(), self.alloys()) if inputs is None else (inputs[0][j], inputs[1][j])
            )
            loss = self.critic_step(real, request)
        request, real = (self.request(), self.alloys()) if inputs is None else (inputs[0][-1], inputs[1][-1])
        return loss, self.generator_step(real, request)

    def train(self, first: int, last: int) -> None:
        """Train from step ``first`` to ``last``, counted from 1, both included."""
        total = self.options.steps
        for step in range(first, last + 1):
            self.step(min(1.0, 2 * (total - step + 1) / total))

    def weights(self) -> tuple[Any, Any]:
        """Flat parameters of generator and critic."""
        flat = torch.nn.utils.parameters_to_vector
        return flat(self.generator.parameters()).detach(), flat(self.critic.parameters()).detach()

    @torch.no_grad()
    def generate(self, conditions: Array, seed: int) -> Array:
        """Answer each condition with one composition, ``n x m``, as ``Cgan2021.generate`` does, on the CPU."""
        latent = torch.randn(len(conditions), LATENT, generator=torch.Generator().manual_seed(seed))
        asked = torch.as_tensor(self.density.standardise(conditions), dtype=torch.float32)
        request = torch.cat([latent, asked], dim=1).to(self.real)
        out: Array = torch.softmax(self.generator(request).double(), dim=1).cpu().numpy()
        return out

"""Feed-forward networks whose parameters are one flat tensor.

Parameters are passed in, not owned, so that a network can be evaluated at parameters that are themselves the
result of a differentiable update (see :mod:`hea_loop.generators.unrolling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch

__all__ = ["SLOPE", "FeedForward"]

SLOPE: Final = 0.2
"""Of the leaky rectifier below zero."""


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Fully connected layers, each with its own weights, leaky rectifiers between them and none at the end.

    Attributes:
        sizes: Width of the input, of each hidden layer and of the output: four layers have five sizes.
    """

    sizes: tuple[int, ...]

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def number_of_parameters(self) -> int:
        """Length ``d`` of the flat tensor: weights and biases of all layers."""
        return sum(i * o + o for i, o in self.layers)

    def initialise(self, noise: Any) -> Any:
        """Draw parameters: He's normal for leaky rectifiers (He et al. 2015, arXiv:1502.01852), biases zero.

        Args:
            noise: A ``torch.Generator`` on the CPU.

        Returns:
            A flat tensor of shape ``d``, float32, on the CPU.
        """
        parts = []
        for inputs, outputs in self.layers:
            spread = (2.0 / (1 + SLOPE**2) / inputs) ** 0.5
            parts += [torch.randn(inputs * outputs, generator=noise) * spread, torch.zeros(outputs)]
        return torch.cat(parts)

    def __call__(self, parameters: Any, inputs: Any) -> Any:
        """Evaluate the network.

        Args:
            parameters: Flat tensor of shape ``d``.
            inputs: ``b x sizes[0]``.

        Returns:
            ``b x sizes[-1]``.
        """
        lengths = [n for i, o in self.layers for n in (i * o, o)]
        parts = parameters.split(lengths)
        value = inputs
        for layer, (width_in, width_out) in enumerate(self.layers):
            weight, bias = parts[2 * layer].view(width_out, width_in), parts[2 * layer + 1]
            value = torch.nn.functional.linear(value, weight, bias)
            if layer < len(self.layers) - 1:
                value = torch.nn.functional.leaky_relu(value, SLOPE)
        return value

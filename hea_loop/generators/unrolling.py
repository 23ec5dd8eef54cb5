"""Unrolled critic steps: the generator's gradient goes through the critic's answer to it (Metz et al. 2016).

L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, "Unrolled generative adversarial networks", arXiv:1611.02163,
eqs. 5 to 8: with critic parameters ``phi``, generator parameters ``theta`` and the critic's loss ``f``,

    phi_0 = phi,   phi_{j+1} = phi_j - eta * step(grad_phi f(theta, phi_j)),

the generator descends ``L(theta, phi_k(theta))``, where ``phi_k`` depends on ``theta``. The update rule here is
the very one that trains the critic, so an unrolled step is what the critic would really do next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["DescentRule", "DescentState", "unroll"]


@dataclass(frozen=True, slots=True)
class DescentState:
    """Where the training of a network stands.

    Attributes:
        parameters: A flat tensor of shape ``d``.
        second_moment: Running mean of the squared gradient, shape ``d``; unused by the plain rule.
    """

    parameters: Any
    second_moment: Any


@dataclass(frozen=True, slots=True)
class DescentRule:
    """One descent step of a network, differentiable in all that its loss depends on.

    Attributes:
        learning_rate: eta.
        decay: Decay of the running mean of squared gradients (RMSProp, as in Arjovsky et al. 2017, algorithm
            1); None for plain gradient descent.
        clip: Weights are clipped to ``[-clip, clip]`` after the step: the Lipschitz bound of the Wasserstein
            GAN (Arjovsky et al. 2017, algorithm 1, line 7); None for no bound.
        floor: Added to the mean square under the root, so that its derivative is finite at zero gradient.
    """

    learning_rate: float
    decay: float | None = 0.99
    clip: float | None = None
    floor: float = 1e-8

    def start(self, parameters: Any) -> DescentState:
        """Return the state before the first step; weights are clipped already."""
        if self.clip is not None:
            parameters = parameters.clamp(-self.clip, self.clip)
        return DescentState(parameters, torch.zeros_like(parameters))

    def step(
        self, loss: Callable[[Any], Any], state: DescentState, *, differentiable: bool
    ) -> tuple[DescentState, Any]:
        """Take one step.

        Args:
            loss: The loss as a function of the flat parameters; a scalar tensor.
            state: Where training stands.
            differentiable: Keep the graph, so that the new parameters can be differentiated with respect to
                whatever the loss depends on (the generator). Otherwise the new state is detached.

        Returns:
            The new state and the loss before the step.
        """
        phi = state.parameters if differentiable else state.parameters.detach()
        if not phi.requires_grad:
            phi = phi.requires_grad_()
        value = loss(phi)
        (gradient,) = torch.autograd.grad(value, phi, create_graph=differentiable)
        moment = state.second_moment
        if self.decay is None:
            new = phi - self.learning_rate * gradient
        else:
            moment = self.decay * moment + (1 - self.decay) * gradient * gradient
            new = phi - self.learning_rate * gradient / (moment + self.floor).sqrt()
        if self.clip is not None:
            new = new.clamp(-self.clip, self.clip)
        if not differentiable:
            new, moment, value = new.detach(), moment.detach(), value.detach()
        return DescentState(new, moment), value


def unroll(loss: Callable[[Any], Any], state: DescentState, rule: DescentRule, steps: int) -> Any:
    """Return the critic's parameters after ``steps`` further steps, as a function of what the loss depends on.

    Args:
        loss: The critic's loss as a function of its flat parameters; its graph reaches the generator.
        state: Where the critic stands now; it is not changed.
        rule: How the critic descends.
        steps: k; 0 gives the present parameters, that is the plain adversarial gradient.

    Returns:
        phi_k, shape ``d``; for k > 0 attached to the graph of ``loss``.
    """
    ahead = DescentState(state.parameters.detach().clone(), state.second_moment.detach())
    for _ in range(steps):
        ahead, _ = rule.step(loss, ahead, differentiable=True)
    return ahead.parameters

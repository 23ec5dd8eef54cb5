"""Training of a conditional Wasserstein GAN with gradient penalty; with or without a property term.

The critic's loss is that of I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017,
arXiv:1704.00028, eq. 3,

    E D(false) - E D(real) + lambda E (||grad_u D(u)||_2 - 1)^2,   u between real and false,

with their Adam (algorithm 1). The networks are rectifier networks, so the gradient with respect to the input is a
product of weight matrices and slopes, and the slopes do not change with the weights almost everywhere:
:func:`score_and_gradient` writes it out, and one backward pass gives the penalty's gradient, not two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from hea_loop.generators.condition_code import hidden
from hea_loop.generators.feed_forward import FeedForward

__all__ = ["AdversarialSettings", "AdversarialTraining", "score_and_gradient", "sparsemax"]

_SLOPE: Final = 0.2  # of the leaky rectifier of FeedForward below zero
_CURVE_POINTS: Final = 60


def score_and_gradient(network: FeedForward, parameters: Any, inputs: Any) -> tuple[Any, Any]:
    """Evaluate a network of one output and its gradient with respect to the input.

    Args:
        network: With one output.
        parameters: Flat tensor.
        inputs: ``b x d``.

    Returns:
        Scores, shape ``b``, and gradients, ``b x d``, both differentiable in the parameters.
    """
    lengths = [n for i, o in network.layers for n in (i * o, o)]
    parts = parameters.split(lengths)
    weights = [parts[2 * k].view(o, i) for k, (i, o) in enumerate(network.layers)]
    value, slopes = inputs, []
    for k, weight in enumerate(weights):
        value = torch.nn.functional.linear(value, weight, parts[2 * k + 1])
        if k < len(weights) - 1:
            slopes.append(torch.where(value.detach() > 0, 1.0, _SLOPE))
            value = value * slopes[-1]
    gradient = weights[-1].expand(len(inputs), -1)
    for weight, slope in zip(reversed(weights[:-1]), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ weight
    return value[:, 0], gradient


def sparsemax(scores: Any) -> Any:
    """Euclidean projection of each row on the simplex: like softmax, but with exact zeros.

    Source: A. F. T. Martins, R. F. Astudillo, ICML 2016, arXiv:1602.02068, algorithm 1.

    Args:
        scores: ``b x m``.

    Returns:
        ``b x m``, at least zero, rows summing to one.
    """
    ordered, _ = scores.sort(dim=-1, descending=True)
    ranks = torch.arange(1, scores.shape[-1] + 1, device=scores.device, dtype=scores.dtype)
    totals = ordered.cumsum(dim=-1) - 1
    kept = (ordered * ranks > totals).sum(dim=-1, keepdim=True)
    threshold = totals.gather(-1, kept - 1) / kept
    return (scores - threshold).clamp(min=0)


@dataclass(frozen=True, slots=True)
class AdversarialSettings:
    """Sizes and step sizes; see the options of the generators."""

    latent: int
    width: int
    steps: int
    critic_steps: int
    batch_size: int
    learning_rate: float
    penalty: float
    composition_weight: float
    hidden_share: float
    averaging: float


class AdversarialTraining:
    """A generator and a critic, and how they train each other.

    Args:
        settings: Sizes and step sizes.
        m: Number of elements.
        p: Number of properties.
    """

    def __init__(self, settings: AdversarialSettings, m: int, p: int) -> None:
        self.settings = settings
        s = settings
        self.generator = FeedForward((s.latent + 2 * p, s.width, s.width, s.width, m))
        self.critic = FeedForward((m + 2 * p, s.width, s.width, s.width, 1))

    def alloys(self, parameters: Any, latent: Any, code: Any) -> Any:
        """Compositions of latent vectors ``b x latent`` and conditions ``b x 2p``: ``b x m``."""
        return sparsemax(self.generator(parameters, torch.cat([latent, code], dim=1)))

    def run(
        self,
        fractions: Any,
        codes: Any,
        seed: int,
        *,
        property_term: Callable[[Callable[[Any, Any], Any], Any], Any] | None = None,
        report: Callable[[int, dict[str, float], Callable[[], Any]], None],
    ) -> Any:
        """Train from new weights.

        Args:
            fractions: ``n x m`` float32 on the device of training.
            codes: ``n x 2p`` conditions of the same alloys.
            seed: Of weights and noise.
            property_term: Optional addition to the generator's loss: called with the map from (latent, code) to
                alloys and the generator of noise, gives a scalar.
            report: Called with the step, a point of the curve and a function that gives the weights as they
                would be kept now.

        Returns:
            The generator's weights (their running average over the steps), on the CPU.
        """
        s, where, n = self.settings, fractions.device, len(fractions)
        noise = torch.Generator(where).manual_seed(seed + 1)
        initial = torch.Generator().manual_seed(seed)
        theta = self.generator.initialise(initial).to(where).requires_grad_()
        phi = self.critic.initialise(initial).to(where).requires_grad_()
        # Gulrajani et al., algorithm 1: beta1 = 0, beta2 = 0.9
        descent = torch.optim.Adam([theta], lr=s.learning_rate, betas=(0.0, 0.9), fused=True)
        ascent = torch.optim.Adam([phi], lr=s.learning_rate, betas=(0.0, 0.9), fused=True)
        mean = theta.detach().clone()
        contrast = s.composition_weight / max(float(fractions.std()), 1e-6)
        b, m = s.batch_size, fractions.shape[1]

        def latent(*shape: int) -> Any:
            return torch.randn(*shape, s.latent, generator=noise, device=where)

        every = max(1, s.steps // _CURVE_POINTS)
        for step in range(1, s.steps + 1):
            left = min(1.0, 2 * (s.steps - step + 1) / s.steps)
            for optimiser in (descent, ascent):
                optimiser.param_groups[0]["lr"] = s.learning_rate * left
            total = b * (s.critic_steps + 1)
            rows = torch.randint(n, (total,), generator=noise, device=where)
            code = hidden(codes[rows], s.hidden_share, noise)
            with torch.no_grad():
                false = self.alloys(theta, latent(total), code)
            real_pairs = torch.cat([fractions[rows] * contrast, code], dim=1)
            false_pairs = torch.cat([false * contrast, code], dim=1)
            for k in range(s.critic_steps):
                part = slice(k * b, (k + 1) * b)
                value = self._critic_loss(phi, real_pairs[part], false_pairs[part], noise, m)
                ascent.zero_grad()
                value[0].backward()
                ascent.step()
            asked = code[-b:]
            made = self.alloys(theta, latent(b), asked)
            loss = -self.critic(phi.detach(), torch.cat([made * contrast, asked], dim=1)).mean()
            point = {}
            if property_term is not None:
                term = property_term(lambda z, c: self.alloys(theta, z, c), noise)
                loss, point = loss + term, {"property_term": term.detach()}
            descent.zero_grad()
            loss.backward()
            descent.step()
            weight = min(s.averaging, step / (step + 9.0))  # early averages forget the untrained weights
            mean.mul_(weight).add_(theta.detach(), alpha=1 - weight)
            if step % every == 0 or step == s.steps:
                numbers = {
                    "step": float(step),
                    "wasserstein_estimate": float(value[1]),
                    "generator_loss": float(loss.detach()),
                    **{key: float(v) for key, v in point.items()},
                }
                report(step, numbers, lambda: mean.detach().cpu().clone())
        return mean.detach().cpu()

    def _critic_loss(self, phi: Any, real: Any, false: Any, noise: Any, m: int) -> tuple[Any, Any]:
        """Loss of the critic and its estimate of the Wasserstein distance."""
        b = len(real)
        share = torch.rand(b, 1, generator=noise, device=real.device)
        between = share * real + (1 - share) * false
        scores, gradients = score_and_gradient(self.critic, phi, torch.cat([real, false, between]))
        distance = scores[:b].mean() - scores[b : 2 * b].mean()
        # the conditions of a pair are the same on both sides, so only the composition's slope is bounded
        slope = gradients[2 * b :, :m].square().sum(dim=1).add(1e-12).sqrt()
        penalty = (slope - 1).square().mean()
        return self.settings.penalty * penalty - distance, distance.detach()

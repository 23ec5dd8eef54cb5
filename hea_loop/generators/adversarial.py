"""Training of a conditional Wasserstein GAN with gradient penalty; with or without a property term.

The critic's loss is that of I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017,
arXiv:1704.00028, eq. 3,

    E D(false) - E D(real) + lambda E (||grad_u D(u)||_2 - 1)^2,   u between real and false,

with their Adam (algorithm 1). The networks are rectifier networks, so the gradient with respect to the input is a
product of weight matrices and slopes, and the slopes do not change with the weights almost everywhere:
:func:`critic_gradient` writes out the gradient of the whole loss, without a graph and without a second backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from hea_loop.generators.condition_code import hidden
from hea_loop.generators.feed_forward import FeedForward

__all__ = ["AdversarialSettings", "AdversarialTraining", "critic_gradient", "score_and_gradient", "sparsemax"]

_SLOPE: Final = 0.2  # of the leaky rectifier of FeedForward below zero
_CURVE_POINTS: Final = 60
_HALF: Final = 0.02  # atomic fraction at which an element counts as half present


def _layers(network: FeedForward, parameters: Any) -> list[tuple[Any, Any]]:
    """(weight, bias) of each layer as views of the flat tensor."""
    parts = parameters.split([n for i, o in network.layers for n in (i * o, o)])
    return [(parts[2 * k].view(o, i), parts[2 * k + 1]) for k, (i, o) in enumerate(network.layers)]


def _forward(layers: list[tuple[Any, Any]], inputs: Any) -> tuple[list[Any], list[Any], Any]:
    """What each layer reads, the rectifiers' slopes after each hidden layer, and the output."""
    reads, slopes = [inputs], []
    for weight, bias in layers[:-1]:
        value = torch.addmm(bias, reads[-1], weight.t())
        slopes.append(torch.where(value > 0, 1.0, _SLOPE))
        reads.append(value * slopes[-1])
    weight, bias = layers[-1]
    return reads, slopes, torch.addmm(bias, reads[-1], weight.t())


def score_and_gradient(network: FeedForward, parameters: Any, inputs: Any) -> tuple[Any, Any]:
    """Evaluate a network of one output and its gradient with respect to the input.

    Args:
        network: With one output.
        parameters: Flat tensor, without a graph.
        inputs: ``b x d``, without a graph.

    Returns:
        Scores, shape ``b``, and gradients, ``b x d``.
    """
    layers = _layers(network, parameters)
    _, slopes, out = _forward(layers, inputs)
    gradient = layers[-1][0].expand(len(inputs), -1)
    for (weight, _), slope in zip(reversed(layers[:-1]), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ weight
    return out[:, 0], gradient


def critic_gradient(
    network: FeedForward, parameters: Any, inputs: Any, *, bounded: int, penalty: float, out: Any
) -> Any:
    """Gradient of the critic's loss with respect to its parameters, written out.

    The loss is ``mean D(false) - mean D(real) + penalty * mean (||grad D(between)|| - 1)^2``. With ``u_k`` the gradient
    of D with respect to the linear output of layer k, ``u_{k-1} = s_{k-1} * (u_k W_k)``, the gradient with respect to
    the input is ``u_0 W_0``: linear in each weight, so the penalty's gradient runs through the same products backwards.

    Args:
        network: With one output.
        parameters: Flat tensor of shape ``d``, without a graph.
        inputs: ``3 b`` rows: real pairs, false pairs, points between them.
        bounded: How many of the first inputs the slope is taken in.
        penalty: Weight of the penalty.
        out: Flat tensor of shape ``d`` that the gradient is written to.

    Returns:
        The critic's estimate of the Wasserstein distance, a scalar tensor.
    """
    b = len(inputs) // 3
    layers, target = _layers(network, parameters), _layers(network, out)
    reads, slopes, scores = _forward(layers, inputs)
    # the distance: back through the real and the false pairs
    delta = torch.full((2 * b, 1), 1.0 / b, device=inputs.device)
    delta[:b] = -1.0 / b
    for k in range(len(layers) - 1, -1, -1):
        torch.mm(delta.t(), reads[k][: 2 * b], out=target[k][0])
        torch.sum(delta, dim=0, out=target[k][1])
        if k:
            delta = (delta @ layers[k][0]) * slopes[k - 1][: 2 * b]
    # the penalty: down to the input, then the same products backwards
    weights = [layers[0][0][:, :bounded], *(weight for weight, _ in layers[1:])]
    places = [target[0][0][:, :bounded], *(weight for weight, _ in target[1:])]
    steep = [slope[2 * b :] for slope in slopes]
    down = [torch.ones(b, 1, device=inputs.device)]
    for k in range(len(layers) - 1, 0, -1):
        down.insert(0, (down[0] @ weights[k]) * steep[k - 1])
    gradient = down[0] @ weights[0]
    size = gradient.square().sum(dim=1, keepdim=True).add(1e-12).sqrt()
    back = gradient * ((2 * penalty / b) * (1 - 1 / size))
    for k in range(len(layers)):
        places[k].addmm_(down[k].t(), back)
        if k < len(layers) - 1:
            back = (back @ weights[k].t()) * steep[k]
    return scores[:b].mean() - scores[b : 2 * b].mean()


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
    presence_weight: float
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
        self.critic = FeedForward((2 * m + 2 * p, s.width, s.width, s.width, 1))

    def alloys(self, parameters: Any, latent: Any, code: Any) -> Any:
        """Compositions of latent vectors ``b x latent`` and conditions ``b x 2p``: ``b x m``."""
        return sparsemax(self.generator(parameters, torch.cat([latent, code], dim=1)))

    def lifted(self, fractions: Any, contrast: float) -> Any:
        """What the critic reads of alloys, ``b x 2m``: fractions, and x / (x + 0.02) for presence.

        The latter is near one where an element is present and zero where it is not; without it a trace and nothing look
        the same to a critic of bounded slope.
        """
        presence = fractions / (fractions + _HALF)
        return torch.cat([fractions * contrast, presence * self.settings.presence_weight], dim=1)

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
        phi = self.critic.initialise(initial).to(where)
        phi.grad = torch.zeros_like(phi)
        # Gulrajani et al., algorithm 1: beta1 = 0, beta2 = 0.9
        descent = torch.optim.Adam([theta], lr=s.learning_rate, betas=(0.0, 0.9), fused=True)
        ascent = torch.optim.Adam([phi], lr=s.learning_rate, betas=(0.0, 0.9), fused=True)
        mean = theta.detach().clone()
        contrast = s.composition_weight / max(float(fractions.std()), 1e-6)
        b, m = s.batch_size, fractions.shape[1]
        lifted_data = self.lifted(fractions, contrast)

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
                false = self.lifted(self.alloys(theta, latent(total), code), contrast)
                real = lifted_data[rows]
                shares = torch.rand(total, 1, generator=noise, device=where)
                three = [
                    torch.cat([x, code], dim=1).view(-1, b, 2 * m + code.shape[1])
                    for x in (real, false, torch.lerp(false, real, shares))
                ]
                pairs = torch.stack(three, 1)
                for k in range(s.critic_steps):
                    distance = critic_gradient(
                        self.critic,
                        phi,
                        pairs[k].flatten(0, 1),
                        bounded=2 * m,
                        penalty=s.penalty,
                        out=phi.grad,
                    )
                    ascent.step()
            asked = code[-b:]
            made = self.lifted(self.alloys(theta, latent(b), asked), contrast)
            with torch.no_grad():
                score, slope = score_and_gradient(self.critic, phi, torch.cat([made, asked], dim=1))
            # the generator's loss is minus the score; its gradient reaches the generator by way of the composition
            loss = -(made * slope[:, : 2 * m]).sum() / b
            value = -score.mean()
            point = {}
            if property_term is not None:
                term = property_term(lambda z, c: self.alloys(theta, z, c), noise)
                loss, value, point = loss + term, value + term.detach(), {"property_term": term.detach()}
            descent.zero_grad()
            loss.backward()
            descent.step()
            weight = min(s.averaging, step / (step + 9.0))  # early averages forget the untrained weights
            mean.mul_(weight).add_(theta.detach(), alpha=1 - weight)
            if step % every == 0 or step == s.steps:
                numbers = {
                    "step": float(step),
                    "wasserstein_estimate": float(distance),
                    "generator_loss": float(value),
                    **{key: float(v) for key, v in point.items()},
                }
                report(step, numbers, lambda: mean.detach().cpu().clone())
        return mean.detach().cpu()

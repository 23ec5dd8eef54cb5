"""The conditional variational autoencoder, as strategy ``cvae``.

D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv:1312.6114; conditioned as in K. Sohn,
H. Lee, X. Yan, "Learning structured output representation using deep conditional generative models", NeurIPS 2015.
An alloy is described in two steps, so that absence is exact and element counts are right: which elements are present
(independent Bernoulli variables given latent vector and conditions), then how much of each (a softmax over
the present ones, given latent vector, conditions and presence; normal noise of a stated width in training).
The loss is the negative evidence lower bound

    - E log p(presence, fractions | z, c) + weight * KL(q(z | alloy, c) || N(0, 1)).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.answering import CollapseWatch, Learned, StoredGenerator
from hea_loop.generators.condition_code import ConditionCode, hidden
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.protocol import Progress, TrainingData

__all__ = ["Cvae", "CvaeOptions"]

Array = NDArray[np.float64]

_CURVE_POINTS: Final = 60
_ABSENT: Final = -1e4  # a score that no softmax gives weight to


class CvaeOptions(BaseModel):
    """Options of ``cvae``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent: Annotated[int, Field(ge=1, le=1024)] = 8
    """Dimensions of the latent vector."""
    width: Annotated[int, Field(ge=4, le=2048)] = 96
    """Units of each hidden layer."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    """Updates."""
    batch_size: Annotated[int, Field(ge=2, le=65536)] = 128
    """Alloys per batch."""
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 3e-3
    """Step size of Adam; it falls linearly to zero over the second half of training."""
    noise: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.07
    """Standard deviation of a fraction about the decoder's mean, as an atomic fraction, that the training supposes: the
    larger, the more an answer follows from the condition and the less from the latent vector."""
    divergence_weight: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 1.0
    """Weight of the divergence from the prior (1: the evidence lower bound); reached over the first fifth."""
    hidden_share: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1
    """Probability with which a known property is hidden, so that open requests are learned."""


class Cvae(StoredGenerator[CvaeOptions]):
    """Conditional variational autoencoder with exact absence.

    Args:
        options: See :class:`CvaeOptions`.
    """

    name = "cvae"
    options_type = CvaeOptions

    def _networks(self, m: int, p: int) -> tuple[FeedForward, FeedForward, FeedForward]:
        """Encoder, decoder of presence, decoder of amounts."""
        o = self.options
        return (
            FeedForward((2 * m + 2 * p, o.width, o.width, 2 * o.latent)),
            FeedForward((o.latent + 2 * p, o.width, o.width, m)),
            FeedForward((o.latent + 2 * p + m, o.width, o.width, m)),
        )

    def _learn(
        self, data: TrainingData, seed: int, where: Any, progress: Progress | None
    ) -> tuple[Learned, list[dict[str, float]]]:
        o, (n, m), p = self.options, data.fractions.shape, len(data.condition_names)
        networks = self._networks(m, p)
        initial = torch.Generator().manual_seed(seed)
        noise = torch.Generator(where).manual_seed(seed + 1)
        weights = torch.cat([net.initialise(initial) for net in networks]).to(where).requires_grad_()
        loss_of = self._loss(networks, [net.number_of_parameters for net in networks], noise)
        optimiser = torch.optim.Adam([weights], lr=o.learning_rate, fused=True)
        alloys = torch.as_tensor(data.fractions, dtype=torch.float32, device=where)
        codes = ConditionCode.of(data.conditions).encode(data.conditions).to(where)
        watch = CollapseWatch(data, seed, o.steps, progress)
        anything = AllowedRegion.of(data, None)
        every = max(1, o.steps // _CURVE_POINTS)
        for step in range(1, o.steps + 1):
            optimiser.param_groups[0]["lr"] = o.learning_rate * min(1.0, 2 * (o.steps - step + 1) / o.steps)
            rows = torch.randint(n, (o.batch_size,), generator=noise, device=where)
            # the divergence's weight rises from zero (S. R. Bowman et al. 2016, arXiv:1511.06349, section 3.1),
            # else the decoders learn to do without the latent vector
            warm = o.divergence_weight * min(1.0, 5 * step / o.steps)
            parts = loss_of(weights, alloys[rows], hidden(codes[rows], o.hidden_share, noise))
            loss = parts[0] + parts[1] + warm * parts[2]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % every == 0 or step == o.steps:
                names = ("presence_loss", "amount_loss", "divergence")
                numbers = {k: float(v.detach()) for k, v in zip(names, parts, strict=True)}
                now = {"weights": weights.detach().cpu()}
                point = {"step": float(step), "loss": float(loss.detach()), **numbers}
                watch.add(step, point, partial(self._made, data, now, anything))
        return {"weights": weights.detach().cpu(), **watch.learned()}, watch.curve

    def _loss(
        self, networks: tuple[FeedForward, FeedForward, FeedForward], sizes: list[int], noise: Any
    ) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
        """Parts of the loss as a function of (weights, fractions, code): presence, amounts, divergence."""
        encoder, presence_decoder, amount_decoder = networks
        latent, width = self.options.latent, self.options.noise

        def loss(weights: Any, x: Any, code: Any) -> tuple[Any, Any, Any]:
            encoding, deciding, sharing = weights.split(sizes)
            present = (x > 0).to(x.dtype)
            mean, log_variance = encoder(encoding, torch.cat([x, present, code], dim=1)).split(latent, dim=1)
            log_variance = log_variance.clamp(-12, 6)
            thrown = torch.randn(mean.shape, generator=noise, device=mean.device)
            z = torch.cat([mean + (0.5 * log_variance).exp() * thrown, code], dim=1)
            presence = torch.nn.functional.binary_cross_entropy_with_logits(
                presence_decoder(deciding, z), present, reduction="none"
            ).sum(dim=1)
            share = amounts(amount_decoder, sharing, z, present)
            amount = (share - x).square().sum(dim=1) / (2 * width**2)
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
            return presence.mean(), amount.mean(), divergence.mean()

        return loss

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        return self._made(self._trained(), self._learned, region, wanted, seed)

    def _made(
        self, data: TrainingData, learned: Learned, region: AllowedRegion, wanted: Array, seed: int
    ) -> Array:
        """Answers of given weights, ``n x m``."""
        o = self.options
        networks = self._networks(len(data.elements), len(data.condition_names))
        _, deciding, sharing = learned["weights"].split([net.number_of_parameters for net in networks])
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            code = ConditionCode.of(data.conditions).encode(wanted)
            z = torch.cat([torch.randn(len(wanted), o.latent, generator=noise), code], dim=1)
            likely = torch.sigmoid(networks[1](deciding, z))
            thrown = torch.rand(likely.shape, generator=noise)
            # the order in which elements are taken: those thrown present first, then by how likely they are
            present = region.combination((likely + (thrown < likely)).double().numpy() - 1.0)
            chosen = torch.as_tensor(present, dtype=torch.float32)
            made = amounts(networks[2], sharing, z, chosen).double().numpy()
        return region.within(made, present)


def amounts(network: FeedForward, weights: Any, z: Any, present: Any) -> Any:
    """Softmax over the present elements of what the network says of latent vector, conditions and presence."""
    scores = network(weights, torch.cat([z, present], dim=1))
    return torch.softmax(torch.where(present > 0, scores, _ABSENT), dim=1)

"""The conditional GAN of the seed paper, as strategy ``cgan-2021``.

A. Debnath et al., "Generative deep learning as a tool for inverse design of high entropy refractory alloys",
J. Mater. Inf. 2021, 1:3, 10.20517/jmi.2021.05, section "Building a generative model". From the paper: a
feed-forward network with four fully connected layers; a normally distributed latent vector of 16 dimensions;
conditioning on normalised properties drawn from their probability distribution in the data; the negative
critic score as the generator's loss; the Wasserstein loss (M. Arjovsky, S. Chintala, L. Bottou, ICML 2017,
PMLR 70:214) and the unrolled critic (L. Metz et al. 2016, arXiv:1611.02163).

The paper leaves open, and is filled in here: the widths and step sizes (options), the Lipschitz bound (weight
clipping and RMSProp, the algorithm of the Wasserstein GAN that it cites), the likeness of the critic to the
generator (also four layers), and the output (a softmax over the palette, so that fractions sum to one).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.errors import InputError
from hea_loop.generators.adversarial_feed import Feed
from hea_loop.generators.adversarial_steps import UnrolledSteps
from hea_loop.generators.alike import require_alike
from hea_loop.generators.collapse import CollapseMonitor
from hea_loop.generators.conditioning import ConditionDensity, checked_conditions
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.protocol import Progress, TrainingData, TrainingRecord
from hea_loop.generators.torch_execution import chosen_device, device_name, packed, unpacked
from hea_loop.generators.training_metrics import training_metrics
from hea_loop.generators.unrolling import DescentRule
from hea_loop.palette import Palette, snapped
from hea_loop.torch_threads import one_thread

__all__ = ["Cgan2021", "Cgan2021Options"]

Array = NDArray[np.float64]

LATENT: Final = 16
"""Dimensions of the latent vector, as in the paper."""
_FORMAT: Final = "hea-loop cgan-2021 1"
_CURVE_POINTS: Final = 60


class Cgan2021Options(BaseModel):
    """Options of ``cgan-2021``; the defaults are those of every figure in the documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Annotated[int, Field(ge=4, le=2048)] = 64
    """Units of each hidden layer, in the generator and in the critic."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 3000
    """Updates of the generator."""
    critic_steps: Annotated[int, Field(ge=1, le=100)] = 5
    """Updates of the critic for each of the generator (5 in Arjovsky et al. 2017)."""
    unrolled_steps: Annotated[int, Field(ge=0, le=50)] = 2
    """k: critic updates that the generator looks ahead."""
    batch_size: Annotated[int, Field(ge=2, le=65536)] = 64
    """Alloys per batch."""
    generator_learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 2e-3
    """Step size of RMSProp for the generator; both fall linearly to zero over the second half of training."""
    critic_learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 2e-4
    """Step size of RMSProp for the critic."""
    weight_clip: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.1
    """Bound on each weight of the critic."""
    composition_weight: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    """Weight of the fractions, in units of their spread, beside the normalised properties in the critic's input."""


class Cgan2021:
    """The seed's conditional GAN: latent vector and wanted properties in, composition out.

    Args:
        options: See :class:`Cgan2021Options`.
    """

    name = "cgan-2021"

    def __init__(self, options: Cgan2021Options | None = None) -> None:
        self.options = options or Cgan2021Options()
        self._data: TrainingData | None = None
        self._weights: Any = None

    # -- the two networks ------------------------------------------------------------------------------------

    def _generator(self, m: int, p: int) -> FeedForward:
        w = self.options.width
        return FeedForward((LATENT + p, w, w, w, m))

    def _critic(self, m: int, p: int) -> FeedForward:
        w = self.options.width
        return FeedForward((m + p, w, w, w, 1))

    # -- training --------------------------------------------------------------------------------------------

    def fit(
        self, data: TrainingData, *, seed: int, device: str | None = None, progress: Progress | None = None
    ) -> TrainingRecord:
        """Train on alloys; see :meth:`hea_loop.generators.protocol.Generator.fit`.

        Weights start anew: a second call forgets the first. Nothing global is changed: noise comes from the
        seed's own generator, and the number of torch threads is put back.

        Raises:
            InputError: A condition that is the same for all alloys, or an unusable device.
        """
        return self.fit_together([self], [data], [seed], device=device, progress=progress)[0]

    @classmethod
    def fit_together(
        cls,
        members: Sequence[Self],
        data: Sequence[TrainingData],
        seeds: Sequence[int],
        *,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> list[TrainingRecord]:
        """Train several at once, each on its own data from its own seed, as :meth:`fit` would to rounding.

        Args:
            members: Generators with the same options.
            data: One for each, with the same numbers of elements and of properties.
            seeds: One for each.
            device: See :meth:`fit`.
            progress: Called with the mean of the members' points; the members answer as they stand then.

        Returns:
            A record for each; ``seconds`` is the wall time of training all of them.

        Raises:
            InputError: As :meth:`fit`, or options or shapes that differ.
        """
        require_alike([member.options for member in members], data, seeds)
        data = [one.complete() for one in data]
        where = chosen_device(device)
        started = time.perf_counter()
        with one_thread():
            curves, monitors = cls._train(members, data, seeds, where, progress)
        seconds = time.perf_counter() - started
        kept = zip(members, data, seeds, curves, monitors, strict=True)
        return [
            TrainingRecord(member._metrics(one, seed, seen), curve, device_name(where), seconds)  # noqa: SLF001 - of this class
            for member, one, seed, curve, seen in kept
        ]

    @classmethod
    def _train(
        cls,
        members: Sequence[Self],
        data: Sequence[TrainingData],
        seeds: Sequence[int],
        where: Any,
        progress: Progress | None,
    ) -> tuple[list[list[dict[str, float]]], list[CollapseMonitor]]:
        """Train; curve and collapse monitor of each member, which has its weights."""
        o = members[0].options
        steps, feeds = members[0]._start(data, seeds, where)  # noqa: SLF001 - of this class
        monitors = [CollapseMonitor.for_data(d, seed=s) for d, s in zip(data, seeds, strict=True)]
        curves: list[list[dict[str, float]]] = [[] for _ in data]
        every = max(1, o.steps // _CURVE_POINTS)

        def look(step: int) -> None:
            for e, (member, weights) in enumerate(zip(members, steps.theta.values.cpu(), strict=True)):
                point = {
                    "step": float(step),
                    "wasserstein_estimate": -float(steps.critic_loss[e]),
                    "generator_loss": float(steps.generator_loss[e]),
                    **member._stand(data[e], weights.clone(), step, monitors[e]),  # noqa: SLF001 - likewise
                }
                curves[e].append(point)
            if progress is not None:
                latest = [curve[-1] for curve in curves]
                progress(step, o.steps, {k: float(np.mean([p[k] for p in latest])) for k in latest[0]})

        with torch.inference_mode():
            steps.capture()
        drawn = zip(*(feed.steps(o.steps) for feed in feeds), strict=True)
        for step, inputs in enumerate(drawn, start=1):
            with torch.inference_mode():
                for e, (requests, pairs) in enumerate(inputs):
                    steps.requests[e].copy_(requests)
                    steps.pairs[e].copy_(pairs)
                steps.step(min(1.0, 2 * (o.steps - step + 1) / o.steps))
            if step % every == 0 or step == o.steps:
                look(step)
        return curves, monitors

    def _stand(
        self, data: TrainingData, weights: Any, step: int, monitor: CollapseMonitor
    ) -> dict[str, float]:
        """Be the generator of this step; what the monitor sees."""
        self._data, self._weights = data, weights
        return monitor.observe(step, lambda wanted, seed: self.generate(wanted, seed=seed))

    def _start(
        self, data: Sequence[TrainingData], seeds: Sequence[int], where: Any, dtype: Any = torch.float32
    ) -> tuple[UnrolledSteps, list[Feed]]:
        """New networks and the noise of each member."""
        o = self.options
        m, p = data[0].fractions.shape[1], data[0].conditions.shape[1]
        generator, critic = self._generator(m, p), self._critic(m, p)
        feeds = [
            Feed(
                one,
                seed + 1,
                latent=LATENT,
                batches=o.critic_steps + 1,
                batch_size=o.batch_size,
                composition_weight=o.composition_weight,
                device=where,
                dtype=dtype,
            )
            for one, seed in zip(data, seeds, strict=True)
        ]
        theta, phi = [], []
        for seed in seeds:
            initial = torch.Generator().manual_seed(seed)
            theta.append(generator.initialise(initial))
            phi.append(critic.initialise(initial))
        steps = UnrolledSteps(
            generator,
            critic,
            torch.stack(theta).to(where, dtype),
            torch.stack(phi).to(where, dtype),
            torch.tensor([feed.contrast for feed in feeds], dtype=dtype),
            descent=DescentRule(o.generator_learning_rate),
            rule=DescentRule(o.critic_learning_rate, clip=o.weight_clip),
            critic_steps=o.critic_steps,
            unrolled_steps=o.unrolled_steps,
            batch_size=o.batch_size,
        )
        return steps, feeds

    def _metrics(
        self, data: TrainingData, seed: int, monitor: CollapseMonitor | None = None
    ) -> dict[str, Any]:
        """Quality on the data's own conditions, traces dropped, and whether it collapsed, and when."""
        metrics = training_metrics(self, data, seed=seed)
        seen = {} if monitor is None else monitor.metrics()
        collapsed = metrics["collapsed"] or seen.get("collapsed", False)
        return {**metrics, **seen, "collapsed": collapsed}

    # -- generation ------------------------------------------------------------------------------------------

    def generate(self, conditions: Array, *, seed: int, palette: Palette | None = None) -> Array:
        """Answer each condition with one composition; see the protocol. Runs on the CPU."""
        data, weights = self._trained()
        wanted = checked_conditions(data, conditions)
        density = ConditionDensity(data.conditions)
        wanted = density.complete(wanted, np.random.default_rng(seed))
        noise = torch.Generator().manual_seed(seed)
        with one_thread(), torch.inference_mode():
            latent = torch.randn(len(wanted), LATENT, generator=noise)
            asked = torch.as_tensor(density.standardise(wanted), dtype=torch.float32)
            network = self._generator(len(data.elements), wanted.shape[1])
            out = torch.softmax(network(weights, torch.cat([latent, asked], dim=1)).double(), dim=1)
        fractions: Array = out.numpy()
        return fractions if palette is None else snapped(fractions, data.elements, palette)

    def _trained(self) -> tuple[TrainingData, Any]:
        if self._data is None:
            raise InputError("strategy", self.name, "is not trained yet", "call fit() or from_checkpoint()")
        return self._data, self._weights

    # -- checkpoint ------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Weights, options, elements and the data that normalisation and density come from."""
        data, weights = self._trained()
        return packed(
            _FORMAT,
            {
                "options": self.options.model_dump(),
                "elements": list(data.elements),
                "condition_names": list(data.condition_names),
                "fractions": torch.from_numpy(data.fractions),
                "conditions": torch.from_numpy(data.conditions),
                "weights": weights,
            },
        )

    @classmethod
    def from_checkpoint(cls, content: bytes) -> Self:
        """Return the generator of a checkpoint; only tensors and plain values are loaded."""
        state = unpacked(_FORMAT, content)
        out = cls(Cgan2021Options(**state["options"]))
        out._data = TrainingData(
            tuple(state["elements"]),
            state["fractions"].numpy(),
            state["conditions"].numpy(),
            tuple(state["condition_names"]),
        )
        out._weights = state["weights"]
        return out

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

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.errors import InputError
from hea_loop.generators.conditioning import ConditionDensity, checked_conditions
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.protocol import Progress, TrainingData, TrainingRecord
from hea_loop.generators.quality import COLLAPSE_DIVERSITY, diversity, likeness, without_traces
from hea_loop.generators.unrolling import DescentRule, DescentState, unroll
from hea_loop.palette import Palette, snapped

__all__ = ["Cgan2021", "Cgan2021Options"]

Array = NDArray[np.float64]

LATENT: Final = 16
"""Dimensions of the latent vector, as in the paper."""
_FORMAT: Final = "hea-loop cgan-2021 1"
_CURVE_POINTS: Final = 60
_PROBES: Final = 8  # conditions at which diversity is measured
_ANSWERS: Final = 40  # answers to each


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
        data = data.complete()
        where = _chosen_device(device)
        started = time.perf_counter()
        with _one_thread():
            weights, curve = self._train(data, seed, where, progress)
        self._data, self._weights = data, weights
        return TrainingRecord(
            metrics=self._metrics(data, seed),
            curve=curve,
            device=torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
            seconds=time.perf_counter() - started,
        )

    def _train(
        self, data: TrainingData, seed: int, where: Any, progress: Progress | None
    ) -> tuple[Any, list[dict[str, float]]]:
        o = self.options
        (n, m), p = data.fractions.shape, data.conditions.shape[1]
        density = ConditionDensity(data.conditions)
        generator, critic = self._generator(m, p), self._critic(m, p)
        initial = torch.Generator().manual_seed(seed)
        noise = torch.Generator(where).manual_seed(seed + 1)

        def tensor(values: Array) -> Any:
            return torch.as_tensor(values, dtype=torch.float32, device=where)

        # the critic sees fractions in units of their spread, as it sees normalised properties
        contrast = o.composition_weight / max(float(data.fractions.std()), 1e-6)
        fractions, centres = tensor(data.fractions), tensor(density.centres)
        pairs, root = torch.cat([fractions * contrast, centres], dim=1), tensor(density.kernel_root())
        descent = DescentRule(o.generator_learning_rate)
        rule = DescentRule(o.critic_learning_rate, clip=o.weight_clip)
        theta = descent.start(generator.initialise(initial).to(where))
        phi = rule.start(critic.initialise(initial).to(where))

        def requests(batches: int) -> Any:
            """Latent vectors and conditions from the density of the data: ``batches x b x (16 + p)``."""
            size = batches * o.batch_size
            latent = torch.randn(size, LATENT, generator=noise, device=where)
            rows = torch.randint(n, (size,), generator=noise, device=where)
            wanted = centres[rows] + torch.randn(size, p, generator=noise, device=where) @ root.T
            return torch.cat([latent, wanted], dim=1).view(batches, o.batch_size, LATENT + p)

        def answers(parameters: Any, request: Any) -> Any:
            """Pairs (composition, condition) that the generator gives: ``b x (m + p)``."""
            alloys = torch.softmax(generator(parameters, request), dim=-1)
            return torch.cat([alloys * contrast, request[..., LATENT:]], dim=-1)

        def critic_loss(real: Any, false: Any) -> Any:
            """Minus the critic's estimate of the Wasserstein distance, as a function of its parameters."""
            batch, b = torch.cat([real, false]), len(real)

            def loss(parameters: Any) -> Any:
                score = critic(parameters, batch)
                return score[b:].mean() - score[:b].mean()

            return loss

        curve: list[dict[str, float]] = []
        every = max(1, o.steps // _CURVE_POINTS)
        for step in range(1, o.steps + 1):
            request = requests(o.critic_steps + 1)
            chosen = torch.randint(n, (o.critic_steps + 1, o.batch_size), generator=noise, device=where)
            with torch.no_grad():
                false = answers(theta.parameters, request[:-1])
            value: Any = None
            left = min(1.0, 2 * (o.steps - step + 1) / o.steps)
            descent = replace(descent, learning_rate=o.generator_learning_rate * left)
            rule = replace(rule, learning_rate=o.critic_learning_rate * left)
            for j in range(o.critic_steps):
                phi, value = rule.step(critic_loss(pairs[chosen[j]], false[j]), phi, differentiable=False)
            theta, generator_value = self._generator_step(
                descent=descent,
                theta=theta,
                rule=rule,
                phi=phi,
                critic=critic,
                critic_loss=critic_loss,
                real=pairs[chosen[-1]],
                answers=answers,
                request=request[-1],
            )
            if step % every == 0 or step == o.steps:
                point = {
                    "step": float(step),
                    "wasserstein_estimate": -float(value),
                    "generator_loss": float(generator_value),
                }
                curve.append(point)
                if progress is not None:
                    progress(step, o.steps, point)
        return theta.parameters.cpu(), curve

    def _generator_step(
        self,
        *,
        descent: DescentRule,
        theta: DescentState,
        rule: DescentRule,
        phi: DescentState,
        critic: FeedForward,
        critic_loss: Any,
        real: Any,
        answers: Any,
        request: Any,
    ) -> tuple[DescentState, Any]:
        """Update the generator against the critic as it will be k steps ahead."""

        def loss(parameters: Any) -> Any:
            false = answers(parameters, request)
            ahead = unroll(critic_loss(real, false), phi, rule, self.options.unrolled_steps)
            return -critic(ahead, false).mean()

        return descent.step(loss, theta, differentiable=False)

    def _metrics(self, data: TrainingData, seed: int) -> dict[str, Any]:
        """Quality on the data's own conditions, traces below 0.5 at.% dropped."""
        made = without_traces(self.generate(data.conditions, seed=seed))
        order = np.argsort(data.conditions[:, 0], kind="stable")
        probes = order[np.linspace(0, len(order) - 1, _PROBES + 2).astype(int)[1:-1]]
        spread = [
            diversity(
                without_traces(
                    self.generate(np.repeat(data.conditions[[i]], _ANSWERS, axis=0), seed=seed + k)
                )
            )
            for k, i in enumerate(probes)
        ]
        metrics: dict[str, Any] = {
            "diversity": float(np.mean(spread)),
            "collapsed": bool(np.mean(spread) < COLLAPSE_DIVERSITY),
            **likeness(made, without_traces(data.fractions)),
        }
        if data.reference is not None:
            gap = np.abs(data.reference(made) - data.conditions).mean(axis=0)
            metrics["conditional_mae"] = dict(zip(data.condition_names, map(float, gap), strict=True))
        return metrics

    # -- generation ------------------------------------------------------------------------------------------

    def generate(self, conditions: Array, *, seed: int, palette: Palette | None = None) -> Array:
        """Answer each condition with one composition; see the protocol. Runs on the CPU."""
        data, weights = self._trained()
        p = len(data.condition_names)
        wanted = checked_conditions(data, conditions)
        density = ConditionDensity(data.conditions)
        wanted = density.complete(wanted, np.random.default_rng(seed))
        noise = torch.Generator().manual_seed(seed)
        with _one_thread(), torch.no_grad():
            latent = torch.randn(len(wanted), LATENT, generator=noise)
            asked = torch.as_tensor(density.standardise(wanted), dtype=torch.float32)
            network = self._generator(len(data.elements), p)
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
        buffer = io.BytesIO()
        torch.save(
            {
                "format": _FORMAT,
                "options": self.options.model_dump(),
                "elements": list(data.elements),
                "condition_names": list(data.condition_names),
                "fractions": torch.from_numpy(data.fractions),
                "conditions": torch.from_numpy(data.conditions),
                "weights": weights,
            },
            buffer,
        )
        return buffer.getvalue()

    @classmethod
    def from_checkpoint(cls, content: bytes) -> Self:
        """Return the generator of a checkpoint; only tensors and plain values are loaded."""
        try:
            state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            known = isinstance(state, dict) and state.get("format") == _FORMAT
        except Exception as error:  # noqa: BLE001 - torch raises many kinds for bytes that are no checkpoint
            raise InputError(
                "checkpoint", f"{len(content)} bytes", f"cannot be read ({error})", "train the model again"
            ) from None
        if not known:
            raise InputError(
                "checkpoint", f"{len(content)} bytes", f"is not of {cls.name}", "train the model again"
            )
        out = cls(Cgan2021Options(**state["options"]))
        out._data = TrainingData(
            tuple(state["elements"]),
            state["fractions"].numpy(),
            state["conditions"].numpy(),
            tuple(state["condition_names"]),
        )
        out._weights = state["weights"]
        return out


def _chosen_device(device: str | None) -> Any:
    """CUDA if there, else the CPU; or the one asked for."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "device", device, f"cannot be used ({str(error).splitlines()[0]})", "leave it out, or give cpu"
        ) from None
    return where


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: networks this small are fastest so, and sums do not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Strategy ``flow-matching``: a conditional flow over alloys, steered onto the condition. The default.

Two parts. A flow (:mod:`hea_loop.generators.velocity_field`) learns which alloys are made, given their properties: it
gives realism and variety. A model of the properties (:mod:`hea_loop.generators.property_models`) then moves each
draw of the flow, on its own elements and as little as needed, onto the wanted values
(:mod:`hea_loop.generators.steering`): it gives accuracy, also where data are thin.

A state of the flow is a point in the plain coordinates of the simplex (standardised fractions) with one more
coordinate an element, +1 present or -1 absent: fractions alone leave a blur around zero, in which presence is lost,
and "analog bits" (Chen, Zhang and Hinton 2023, arXiv:2208.04202) are generated sharply.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.composition import RESOLUTION
from hea_loop.errors import InputError
from hea_loop.generators.collapse import CollapseMonitor
from hea_loop.generators.conditioning import checked_conditions
from hea_loop.generators.property_models import PropertyModel, property_model
from hea_loop.generators.protocol import Progress, TrainingData, TrainingRecord
from hea_loop.generators.quality import NOVELTY_DISTANCE, TRACE, diversity, likeness, without_traces
from hea_loop.generators.steering import project, steer
from hea_loop.generators.velocity_field import FieldSettings, VelocityField, flow, train_field
from hea_loop.palette import Palette, snapped

__all__ = ["FlowMatching", "FlowMatchingOptions"]

Array = NDArray[np.float64]

_FORMAT: Final = "hea-loop flow-matching 1"
_CURVE_POINTS: Final = 40
_CHECKS: Final = 8  # for collapse, while training
_PROBES: Final = 8
_ANSWERS: Final = 40
_BIT: Final = 1.0


class FlowMatchingOptions(BaseModel):
    """Options of ``flow-matching``; the defaults are those of every figure in the documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Annotated[int, Field(ge=4, le=2048)] = 128
    """Units of each hidden layer."""
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    """Hidden layers."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 3000
    """Updates."""
    batch_size: Annotated[int, Field(ge=2, le=65536)] = 256
    """Alloys per batch."""
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 2e-3
    """Greatest step size of Adam."""
    averaging: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.995
    """Decay of the exponential average of the weights."""
    hide_one: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Probability with which each condition is hidden in training."""
    hide_all: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Probability with which all conditions of an alloy are hidden."""
    jitter: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Standard deviation of the logarithm of the factors by which fractions of training alloys are varied."""
    blur: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    """Standard deviation of the noise on the conditions in training, in standard deviations of the property."""
    guidance: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.5
    """Weight of classifier-free guidance; 1 is none."""
    flow_steps: Annotated[int, Field(ge=1, le=1000)] = 12
    """Steps of Heun's method from noise to alloy."""
    draws: Annotated[int, Field(ge=1, le=1000)] = 12
    """Alloys drawn for each answer, of which one is kept."""
    steering_steps: Annotated[int, Field(ge=0, le=100)] = 10
    """Gauss-Newton steps onto the condition; 0 leaves the flow's own alloys."""
    tolerance: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.01
    """Gap at which a condition counts as met, in standard deviations of the property in the data."""
    reluctance: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 10.0
    """Among draws that meet the condition, one moved by steering by d (total variation) is kept with a weight
    exp(-reluctance d)."""


class FlowMatching:
    """Conditional flow matching with steering; see the module's text.

    Args:
        options: See :class:`FlowMatchingOptions`.
    """

    name = "flow-matching"

    def __init__(self, options: FlowMatchingOptions | None = None) -> None:
        self.options = options or FlowMatchingOptions()
        self._data: TrainingData | None = None
        self._model: Any = None
        self._weights: Any = None

    # -- the state of the flow -------------------------------------------------------------------------------

    @staticmethod
    def _scales(data: TrainingData) -> tuple[Array, float, Array, Array]:
        """Mean and spread of the fractions (one spread for all), mean and spread of each property."""
        x, c = data.fractions, data.conditions
        return (
            x.mean(axis=0),
            max(float((x - x.mean(axis=0)).std()), 1e-3),
            np.nanmean(c, axis=0),
            np.maximum(np.nanstd(c, axis=0), 1e-9),
        )

    def _field(self, data: TrainingData) -> VelocityField:
        return VelocityField(
            2 * len(data.elements), len(data.condition_names), self.options.width, self.options.layers
        )

    # -- training --------------------------------------------------------------------------------------------

    def fit(
        self, data: TrainingData, *, seed: int, device: str | None = None, progress: Progress | None = None
    ) -> TrainingRecord:
        """Train on alloys; see :meth:`hea_loop.generators.protocol.Generator.fit`."""
        where = torch.device(device or "cpu")
        started = time.perf_counter()
        with _one_thread():
            model = property_model(data, seed=seed)
            self._data, self._model = data, model
            monitor, curve = CollapseMonitor.for_data(data, seed=seed), []
            o = self.options
            every, check = max(1, o.steps // _CURVE_POINTS), max(1, o.steps // _CHECKS)

            def watch(step: int, loss: float, average: torch.Tensor) -> None:
                if step % every and step != o.steps:
                    return
                point = {"step": float(step), "loss": loss}
                if step % check < every or step == o.steps:
                    self._weights = average.cpu()
                    point |= monitor.observe(step, lambda c, s: self._answer(c, s, steered=False))
                curve.append(point)
                if progress is not None:
                    progress(step, o.steps, point)

            self._weights = train_field(
                self._field(data),
                self._batches(data, model, seed, where),
                FieldSettings(
                    steps=o.steps,
                    batch_size=o.batch_size,
                    learning_rate=o.learning_rate,
                    averaging=o.averaging,
                    hide_one=o.hide_one,
                    hide_all=o.hide_all,
                ),
                seed=seed,
                device=where,
                watch=watch,
            )
            metrics = self._metrics(data, seed, monitor)
        return TrainingRecord(
            metrics=metrics, curve=curve, device="cpu", seconds=time.perf_counter() - started
        )

    def _batches(self, data: TrainingData, model: PropertyModel, seed: int, where: Any) -> Any:
        o = self.options
        copies = max(1, min(32, 20000 // len(data.fractions)))
        rng = np.random.default_rng(seed)
        x = np.repeat(data.fractions, copies, axis=0)
        base = np.repeat(data.conditions, copies, axis=0)
        moved = x * np.exp(o.jitter * rng.standard_normal(x.shape))
        moved /= moved.sum(axis=1, keepdims=True)
        c = base + model.values(moved) - model.values(x) if o.jitter else base
        mean, spread, middle, scale = self._scales(data)
        states = np.concatenate([(moved - mean) / spread, np.where(moved > 0, _BIT, -_BIT)], axis=1)
        z = torch.as_tensor(states, dtype=torch.float32, device=where)
        conditions = torch.as_tensor((c - middle) / scale, dtype=torch.float32, device=where)

        def batch(size: int, noise: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            rows = torch.randint(len(z), (size,), generator=noise, device=where)
            wanted = conditions[rows]
            if o.blur:
                wanted = wanted + o.blur * torch.randn(wanted.shape, generator=noise, device=where)
            return z[rows], wanted

        return batch

    def _metrics(self, data: TrainingData, seed: int, monitor: CollapseMonitor) -> dict[str, Any]:
        made = without_traces(self.generate(data.conditions, seed=seed))
        order = np.argsort(data.conditions[:, 0], kind="stable")
        probes = order[np.linspace(0, len(order) - 1, _PROBES + 2).astype(int)[1:-1]]
        asked = np.repeat(data.conditions[probes], _ANSWERS, axis=0)
        answers = without_traces(self.generate(asked, seed=seed + 1)).reshape(len(probes), _ANSWERS, -1)
        return {
            "diversity": float(np.mean([diversity(group) for group in answers])),
            **monitor.metrics(),
            **likeness(made, without_traces(data.fractions)),
        }

    # -- generation ------------------------------------------------------------------------------------------

    def generate(self, conditions: Array, *, seed: int, palette: Palette | None = None) -> Array:
        """Answer each condition with one composition; see the protocol. Runs on the CPU."""
        if self._data is None:
            raise InputError("strategy", self.name, "is not trained yet", "call fit() or from_checkpoint()")
        wanted = checked_conditions(self._data, conditions)
        with _one_thread():
            out = self._answer(wanted, seed, palette=palette)
        return out if palette is None else snapped(out, self._data.elements, palette)

    def _answer(
        self, wanted: Array, seed: int, *, palette: Palette | None = None, steered: bool = True
    ) -> Array:
        data, o = self._data, self.options
        mean, spread, middle, scale = self._scales(data)
        m = len(data.elements)
        draws = o.draws if steered and o.steering_steps else 1
        noise = torch.Generator().manual_seed(seed)
        asked = (np.repeat(wanted, draws, axis=0) - middle) / scale
        known = (data.conditions - middle) / scale
        asked = np.clip(asked, np.nanmin(known, axis=0), np.nanmax(known, axis=0))
        z = torch.randn(len(asked), 2 * m, generator=noise)
        with torch.no_grad():
            z = flow(
                self._field(data),
                self._weights,
                z,
                torch.as_tensor(asked, dtype=torch.float32),
                guidance=o.guidance,
                steps=o.flow_steps,
            ).double().numpy()
        fractions, presence = z[:, :m] * spread + mean, z[:, m:] / _BIT
        low, high = self._support(fractions, presence, palette)
        lo, hi = torch.as_tensor(low), torch.as_tensor(high)
        x = project(torch.as_tensor(fractions), lo, hi)
        if not steered or not o.steering_steps:
            return x.numpy().reshape(len(wanted), draws, m)[:, 0]
        start = x
        target = torch.as_tensor(np.repeat(wanted, draws, axis=0))
        x, gap = steer(
            self._model, x, target, torch.as_tensor(scale)[None, :], low=lo, high=hi, steps=o.steering_steps
        )
        moved = 0.5 * (x - start).abs().sum(dim=1)
        x, gap, moved = x.numpy(), gap.numpy(), moved.numpy()
        self.last = (x, gap, moved)
        rng = np.random.default_rng(seed)
        return self._choose(x, gap, moved, draws, rng)

    def _choose(self, x, gap, moved, draws, rng):
        o = self.options
        n = len(x) // draws
        far = np.concatenate([
            0.5 * np.abs(x[i : i + 512, None, :] - self._data.fractions[None]).sum(2).min(1)
            for i in range(0, len(x), 512)
        ]) >= NOVELTY_DISTANCE
        met = gap <= o.tolerance
        # Gumbel: the greatest of log weight + noise is a draw by the weights
        gumbel = rng.gumbel(size=len(x))
        score = -o.reluctance * moved + gumbel
        tier = np.where(met & far, 0.0, np.where(met, 1e3, 1e6 + 1e3 * np.minimum(gap, 1e3)))
        score = (score - tier).reshape(n, draws)
        pick = score.argmax(axis=1)
        return x.reshape(n, draws, -1)[np.arange(n), pick]

    def _support(self, fractions, presence, palette):
        m = fractions.shape[1]
        present = presence > 0
        none = ~present.any(axis=1)
        present[none, presence[none].argmax(axis=1)] = True
        low = np.where(present, 0.01, 0.0)
        high = np.where(present, 1.0, 0.0)
        return low, high


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""What is common to the generators that keep their training data: the protocol around the science.

A generator says what it learns (:meth:`StoredGenerator._learn`) and how it answers
(:meth:`StoredGenerator._answer`); checks, one thread, timing, exactness in the palette and checkpoints are here.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from hea_loop.errors import InputError
from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.collapse import Answer, CollapseMonitor
from hea_loop.generators.conditioning import checked_conditions
from hea_loop.generators.protocol import Progress, TrainingData, TrainingRecord
from hea_loop.generators.torch_execution import chosen_device, device_name, packed, unpacked
from hea_loop.generators.training_metrics import training_metrics
from hea_loop.palette import Palette
from hea_loop.torch_threads import one_thread

__all__ = ["CollapseWatch", "Learned", "StoredGenerator"]

Array = NDArray[np.float64]
OptionsT = TypeVar("OptionsT", bound=BaseModel)

Learned = dict[str, Any]
"""What training gives: tensors and plain values by name."""

_LEAST_SPREAD = 1e-9  # relative; below it the spread is floating-point noise


_CHECKS = 3  # of the last points of a curve: that long a lack of variety is a collapse


class CollapseWatch:
    """The training curve, with diversity measured at each of its points.

    Args:
        data: What is trained on.
        seed: Of the latent noise of the checks.
        steps: Number of steps of the training.
        progress: Told of each point.

    Attributes:
        curve: The points so far, each with ``diversity`` and ``collapsed`` (1.0 or 0.0).
    """

    def __init__(self, data: TrainingData, seed: int, steps: int, progress: Progress | None) -> None:
        self._monitor = CollapseMonitor.for_data(data, seed=seed, patience=_CHECKS)
        self._steps, self._progress = steps, progress
        self.curve: list[dict[str, float]] = []

    def add(self, step: int, point: dict[str, float], answer: Answer) -> None:
        """Measure the generator as it stands and tell of it."""
        self.curve.append({**point, **self._monitor.observe(step, answer)})
        if self._progress is not None:
            self._progress(step, self._steps, self.curve[-1])

    def learned(self) -> dict[str, Any]:
        """What is kept beside the weights: since when the generator has been collapsed, None if it is not."""
        return {"collapsed_at_step": self._monitor.collapsed_at}


class StoredGenerator(ABC, Generic[OptionsT]):
    """A generator whose checkpoint is its options, its training data and what it learned.

    Args:
        options: None for the defaults.
    """

    name: str
    options_type: type[OptionsT]
    """The class of the options; set by each generator."""

    def __init__(self, options: OptionsT | None = None) -> None:
        self.options: OptionsT = options if options is not None else self.options_type()
        self._data: TrainingData | None = None
        self._learned: Learned = {}

    @abstractmethod
    def _learn(
        self, data: TrainingData, seed: int, where: Any, progress: Progress | None, /
    ) -> tuple[Learned, list[dict[str, float]]]:
        """Train; return what was learned and the training curve."""

    @abstractmethod
    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        """Answer ``n x p`` conditions (NaN: any) with ``n x m`` fractions in the region, not yet rounded."""

    def _adopt(self, data: TrainingData, learned: Learned) -> None:
        """Take over what training gave or a checkpoint held; to be extended by what derives more from it."""
        self._data, self._learned = data, learned

    def _metrics(self, data: TrainingData, seed: int) -> dict[str, Any]:
        metrics = training_metrics(self, data, seed=seed)
        if "collapsed_at_step" in self._learned:
            since = self._learned["collapsed_at_step"]
            # what the probes say in the end counts too, as a collapse of the last steps has had no time to last
            metrics["collapsed"] = metrics["collapsed"] or since is not None
            metrics["collapsed_at_step"] = since
        return metrics

    def fit(
        self, data: TrainingData, *, seed: int, device: str | None = None, progress: Progress | None = None
    ) -> TrainingRecord:
        """Train on alloys; see :meth:`hea_loop.generators.protocol.Generator.fit`.

        A second call forgets the first. Nothing global is changed: noise comes from the seed's own generators,
        and the number of torch threads is put back. Alloys with unknown properties take part.

        Raises:
            InputError: A condition that is the same for all alloys, or an unusable device.
        """
        where = chosen_device(device)
        _require_spread(data)
        started = time.perf_counter()
        with one_thread():
            learned, curve = self._learn(data, seed, where, progress)
            self._adopt(data, learned)
            metrics = self._metrics(data, seed)
        return TrainingRecord(
            metrics=metrics,
            curve=curve,
            device=device_name(where),
            seconds=time.perf_counter() - started,
        )

    def generate(self, conditions: Array, *, seed: int, palette: Palette | None = None) -> Array:
        """Answer each condition with one composition; see the protocol. Runs on the CPU."""
        data = self._trained()
        wanted = checked_conditions(data, conditions)
        region = AllowedRegion.of(data, palette)
        if len(wanted) == 0:
            return np.zeros((0, len(data.elements)))
        with one_thread():
            return region.rounded(self._answer(wanted, seed, region))

    def _trained(self) -> TrainingData:
        if self._data is None:
            raise InputError("strategy", self.name, "is not trained yet", "call fit() or from_checkpoint()")
        return self._data

    @classmethod
    def _kind(cls) -> str:
        return f"hea-loop {cls.name} 1"

    def checkpoint(self) -> bytes:
        """Options, training data and what was learned."""
        data = self._trained()
        return packed(
            self._kind(),
            {
                "options": self.options.model_dump(),
                "elements": list(data.elements),
                "condition_names": list(data.condition_names),
                "closed_form": list(data.closed_form),
                "fractions": torch.from_numpy(data.fractions),
                "conditions": torch.from_numpy(data.conditions),
                "learned": self._learned,
            },
        )

    @classmethod
    def from_checkpoint(cls, content: bytes) -> Self:
        """Return the generator of a checkpoint; only tensors and plain values are loaded."""
        state = unpacked(cls._kind(), content)
        out = cls(cls.options_type(**state["options"]))
        data = TrainingData(
            tuple(state["elements"]),
            state["fractions"].numpy(),
            state["conditions"].numpy(),
            tuple(state["condition_names"]),
            tuple(state["closed_form"]),
        )
        with one_thread():
            out._adopt(data, state["learned"])
        return out


def _require_spread(data: TrainingData) -> None:
    for name, column in zip(data.condition_names, data.conditions.T, strict=True):
        known = column[np.isfinite(column)]
        if known.std() <= _LEAST_SPREAD * np.abs(known).max():
            raise InputError(
                "conditions",
                name,
                "has no spread: it is constant over the alloys",
                "leave out a property that is constant",
            )

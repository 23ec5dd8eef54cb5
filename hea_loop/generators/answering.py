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
from hea_loop.generators.conditioning import checked_conditions
from hea_loop.generators.protocol import Progress, TrainingData, TrainingRecord
from hea_loop.generators.torch_execution import chosen_device, device_name, one_thread, packed, unpacked
from hea_loop.generators.training_metrics import training_metrics
from hea_loop.palette import Palette

__all__ = ["Learned", "StoredGenerator"]

Array = NDArray[np.float64]
OptionsT = TypeVar("OptionsT", bound=BaseModel)

Learned = dict[str, Any]
"""What training gives: tensors and plain values by name."""

_LEAST_SPREAD = 1e-9  # relative; below it the spread is floating-point noise


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
        self, data: TrainingData, seed: int, where: Any, progress: Progress | None
    ) -> tuple[Learned, list[dict[str, float]]]:
        """Train; return what was learned and the training curve."""

    @abstractmethod
    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        """Answer ``n x p`` conditions (NaN: any) with ``n x m`` fractions in the region, not yet rounded."""

    def _adopt(self, data: TrainingData, learned: Learned) -> None:
        """Take over what training gave or a checkpoint held; to be extended by what derives more from it."""
        self._data, self._learned = data, learned

    def _metrics(self, data: TrainingData, seed: int) -> dict[str, Any]:
        return training_metrics(self, data, seed=seed)

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

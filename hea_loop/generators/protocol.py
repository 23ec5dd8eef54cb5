"""What every generator is: a thing that learns alloys with their properties and answers conditions with alloys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError

__all__ = ["Generator", "Progress", "TrainingData", "TrainingRecord"]

Array = NDArray[np.float64]

Progress = Callable[[int, int, dict[str, float]], None]
"""Called now and then while training with (step, number of steps, the latest point of the training curve)."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Alloys and the properties a generator is conditioned on.

    Attributes:
        elements: Symbols of the columns, ``m`` of them.
        fractions: ``n x m`` atomic fractions; each row sums to one.
        conditions: ``n x p`` property values in their canonical units.
        condition_names: Names of the properties, ``p`` of them, from the vocabulary or the user's own.
        reference: Optional function from ``k x m`` fractions to the ``k x p`` properties that the alloys are
            held to have (the prediction loop). It never enters training; where it is given, the conditional
            error is among the metrics.

    Raises:
        InputError: Shapes that do not fit, fewer than two rows, values that are not finite or no fractions.
    """

    elements: tuple[str, ...]
    fractions: Array
    conditions: Array
    condition_names: tuple[str, ...]
    reference: Callable[[Array], Array] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        x, c = np.asarray(self.fractions, dtype=np.float64), np.asarray(self.conditions, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.elements) or not self.elements:
            raise InputError(
                "fractions", x.shape, f"is not n x {len(self.elements)}", "give one column per element"
            )
        if c.ndim != 2 or c.shape != (len(x), len(self.condition_names)) or not self.condition_names:
            raise InputError(
                "conditions",
                c.shape,
                f"is not {len(x)} x {len(self.condition_names)}",
                "give one row per alloy and one column per conditioning property",
            )
        if len(x) < 2:
            raise InputError("training data", len(x), "are too few alloys", "give at least two")
        for name, values in (("fractions", x), ("conditions", c)):
            if not np.isfinite(values).all():
                raise InputError(
                    name, int((~np.isfinite(values)).sum()), "are not finite", "leave out those alloys"
                )
        if (x < 0).any() or np.abs(x.sum(axis=1) - 1).max() > 1e-6:
            raise InputError(
                "fractions",
                [float(x.min()), float(np.abs(x.sum(axis=1) - 1).max())],
                "hold a negative value or rows that do not sum to one",
                "divide each row by its sum",
            )
        for label, names in (("elements", self.elements), ("condition_names", self.condition_names)):
            if len(set(names)) != len(names):
                raise InputError(label, names, "name one twice", "name each once")
        object.__setattr__(self, "fractions", x)
        object.__setattr__(self, "conditions", c)


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What training left behind, for the store.

    Attributes:
        metrics: Quality of the trained generator (see :mod:`hea_loop.generators.quality`), plain numbers.
        curve: Points of the training curve, each a mapping with ``step``.
        device: Where it was trained, as ``cpu`` or the name of the GPU.
        seconds: Wall time of training in s.
    """

    metrics: dict[str, Any]
    curve: list[dict[str, float]]
    device: str
    seconds: float


@runtime_checkable
class Generator(Protocol):
    """Proposes compositions for wanted property values."""

    name: str
    """The strategy's name in a campaign file."""

    def fit(
        self, data: TrainingData, *, seed: int, device: str | None = None, progress: Progress | None = None
    ) -> TrainingRecord:
        """Learn from alloys.

        Args:
            data: The alloys.
            seed: Same seed, data and versions on one kind of device: the same generator, bit by bit on a CPU.
            device: ``cpu``, ``cuda``; None to use CUDA where there is one.
            progress: Called now and then.
        """
        ...

    def generate(self, conditions: Array, *, seed: int) -> Array:
        """Answer each condition with one composition.

        Args:
            conditions: ``n x p`` wanted property values, in their units, in the order of the training data.
            seed: Of the latent noise.

        Returns:
            ``n x m`` fractions, float64; each row is at least zero and sums to one.

        Raises:
            InputError: Not trained yet, or conditions of another shape or not finite.
        """
        ...

    def checkpoint(self) -> bytes:
        """Weights and all that is needed to generate, loadable without executing anything."""
        ...

    @classmethod
    def from_checkpoint(cls, content: bytes) -> Self:
        """Return the generator of a checkpoint.

        Raises:
            InputError: The bytes are no checkpoint of this generator.
        """
        ...

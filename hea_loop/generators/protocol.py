"""What every generator is: a thing that learns alloys with their properties and answers conditions with alloys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from hea_loop.palette import Palette

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
        conditions: ``n x p`` property values in their canonical units; NaN where a value is not known.
        condition_names: Names of the properties, ``p`` of them, from the vocabulary or the user's own.
        closed_form: Those of them whose values follow from the composition by the formulas of
            :mod:`hea_loop.prediction`. A generator may use the formula itself for these; others it can only
            learn from the rows.
        reference: Optional function from ``k x m`` fractions to the ``k x p`` properties that the alloys are
            held to have (the prediction loop). It never enters training; where it is given, the conditional
            error is among the metrics.

    Raises:
        InputError: Shapes that do not fit, fewer than two rows, a property with fewer than two values, values
            that are infinite, or no fractions.
    """

    elements: tuple[str, ...]
    fractions: Array
    conditions: Array
    condition_names: tuple[str, ...]
    closed_form: tuple[str, ...] = ()
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
        for name, wrong in (("fractions", ~np.isfinite(x)), ("conditions", np.isinf(c))):
            if wrong.any():
                raise InputError(name, int(wrong.sum()), "are not finite", "leave out those alloys")
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
        self._require_values(c)
        object.__setattr__(self, "fractions", x)
        object.__setattr__(self, "conditions", c)

    def _require_values(self, conditions: Array) -> None:
        for name, column in zip(self.condition_names, conditions.T, strict=True):
            if (known := int(np.isfinite(column).sum())) < 2:
                raise InputError(
                    "conditions",
                    name,
                    f"has {known} values",
                    "leave out that property, or give more alloys that have it",
                )
        if unknown := [name for name in self.closed_form if name not in self.condition_names]:
            raise InputError("closed_form", unknown, "are no conditions", "name some of condition_names")

    def complete(self) -> TrainingData:
        """Only the alloys whose every property is known, for what cannot learn from the others.

        Raises:
            InputError: Fewer than two are left.
        """
        whole = np.isfinite(self.conditions).all(axis=1)
        if whole.all():
            return self
        if whole.sum() < 2:
            raise InputError(
                "conditions",
                list(self.condition_names),
                f"are all known of {int(whole.sum())} alloys only",
                "leave out the property that few alloys have",
            )
        return replace(self, fractions=self.fractions[whole], conditions=self.conditions[whole])


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

    def generate(self, conditions: Array, *, seed: int, palette: Palette | None = None) -> Array:
        """Answer each condition with one composition.

        Args:
            conditions: ``n x p`` wanted property values, in their units, in the order of the training data; NaN
                where a property may have any value.
            seed: Of the latent noise.
            palette: Bounds, required elements and numbers of elements that every answer keeps exactly; its
                elements are those of the training data, in the same order.

        Returns:
            ``n x m`` fractions, float64; each row is at least zero and sums to one. With a palette they are
            whole multiples of :data:`hea_loop.composition.RESOLUTION`'s step and lie in it.

        Raises:
            InputError: Not trained yet, conditions of another shape or infinite, or a palette of other elements.
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

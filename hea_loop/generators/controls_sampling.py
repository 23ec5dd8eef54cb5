"""Controls that look at no property model: ``random`` and ``neighbour-jitter``.

What any strategy has to beat: an allowed composition at random, and a known alloy near the condition, a little changed.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.answering import Learned, StoredGenerator
from hea_loop.generators.condition_code import ConditionCode
from hea_loop.generators.protocol import Progress, TrainingData

__all__ = ["NeighbourJitter", "NeighbourJitterOptions", "RandomAlloys", "RandomOptions"]

Array = NDArray[np.float64]


def _nothing_to_learn(progress: Progress | None) -> tuple[Learned, list[dict[str, float]]]:
    point = {"step": 1.0}
    if progress is not None:
        progress(1, 1, point)
    return {}, [point]


class RandomOptions(BaseModel):
    """``random`` has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RandomAlloys(StoredGenerator[RandomOptions]):
    """Uniform random compositions of the palette, or of the data's combinations of elements, whatever the condition."""

    name = "random"
    options_type = RandomOptions

    def _learn(
        self, _data: TrainingData, _seed: int, _where: Any, progress: Progress | None
    ) -> tuple[Learned, list[dict[str, float]]]:
        return _nothing_to_learn(progress)

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        return region.draw(len(wanted), np.random.default_rng(seed))


class NeighbourJitterOptions(BaseModel):
    """Options of ``neighbour-jitter``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neighbours: Annotated[int, Field(ge=1, le=10_000)] = 3
    """The answer starts from one of this many training alloys nearest to the condition, drawn at random."""
    jitter: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.02
    """Standard deviation of the normal change of each present element, as an atomic fraction."""


class NeighbourJitter(StoredGenerator[NeighbourJitterOptions]):
    """A training alloy whose properties are near the condition, its fractions changed by normal noise.

    Distances are in units of each property's spread, over the properties that are asked for and known.
    """

    name = "neighbour-jitter"
    options_type = NeighbourJitterOptions

    def _learn(
        self, _data: TrainingData, _seed: int, _where: Any, progress: Progress | None
    ) -> tuple[Learned, list[dict[str, float]]]:
        return _nothing_to_learn(progress)

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        data, rng = self._trained(), np.random.default_rng(seed)
        code = ConditionCode.of(data.conditions)
        known, asked = code.standardised(data.conditions), code.standardised(wanted)
        k = min(self.options.neighbours, len(known))
        start = np.empty((len(wanted), len(data.elements)))
        for row, condition in enumerate(asked):
            open_ = np.isnan(condition)
            gap = np.where(open_, 0.0, (known - condition) ** 2)
            # an alloy of which an asked property is unknown comes after all of which it is known
            distance = np.nan_to_num(gap, nan=np.inf).sum(axis=1)
            near = rng.permutation(len(known)) if open_.all() else np.argsort(distance, kind="stable")
            start[row] = data.fractions[near[rng.integers(k)]]
        noise = rng.normal(0.0, self.options.jitter, start.shape)
        return region.nearest(np.where(start > 0, start + noise, 0.0))

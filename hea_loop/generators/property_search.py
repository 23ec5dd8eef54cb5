"""What the searching controls share: the property model, the error they minimise, and how little it costs to be fit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.answering import Learned, StoredGenerator
from hea_loop.generators.condition_code import ConditionCode
from hea_loop.generators.property_models import PropertyModel, property_model
from hea_loop.generators.protocol import Progress, TrainingData
from hea_loop.generators.training_metrics import training_metrics

__all__ = ["PropertySearch", "distinct_requests", "untouched_global_noise"]

Array = NDArray[np.float64]
OptionsT = TypeVar("OptionsT", bound=BaseModel)

_JITTER = 0.02  # standard deviation of the change of known alloys, as an atomic fraction
_PROBES = 3  # a search takes its time for each condition, so fewer are measured
_ANSWERS = 12


class PropertySearch(StoredGenerator[OptionsT]):
    """A control that searches compositions for each condition with the property model of the data.

    There is nothing to train beyond that model; the curve has the one point of how well it gives the data back.
    """

    _model: PropertyModel | None = None

    def _learn(
        self, data: TrainingData, seed: int, _where: Any, progress: Progress | None
    ) -> tuple[Learned, list[dict[str, float]]]:
        model = property_model(data, seed=seed)
        gap = (model.values(data.fractions) - data.conditions) / ConditionCode.of(data.conditions).scale
        point = {"step": 1.0, "model_error": float(np.nanmean(np.abs(gap)))}
        if progress is not None:
            progress(1, 1, point)
        return {"property_model": model.state()}, [point]

    def _adopt(self, data: TrainingData, learned: Learned) -> None:
        super()._adopt(data, learned)
        self._model = PropertyModel.from_state(learned["property_model"])

    def _metrics(self, data: TrainingData, seed: int) -> dict[str, Any]:
        return training_metrics(self, data, seed=seed, probes=_PROBES, answers=_ANSWERS, on_probes_only=True)

    def _starts(self, number: int, region: AllowedRegion, rng: np.random.Generator) -> Array:
        """Where searches begin, ``number x m``: random compositions and known alloys, a little changed, in turn.

        A learned model knows most about what is near the known alloys; where it is a formula, random ones do as well.
        """
        known = self._trained().fractions
        near = known[rng.integers(len(known), size=number)]
        near = region.nearest(np.where(near > 0, near + rng.normal(0.0, _JITTER, near.shape), 0.0))
        out = region.draw(number, rng)
        out[::2] = near[::2]
        return out

    def _errors(self, x: Array, wanted: Array) -> Array:
        """Distance of each property from what is wanted in units of its spread, ``n x p``; zero where open."""
        data = self._trained()
        assert self._model is not None  # noqa: S101 - set wherever the data are
        gap = np.abs(self._model.values(x) - wanted) / ConditionCode.of(data.conditions).scale
        out: Array = np.where(np.isfinite(wanted), gap, 0.0)
        # a formula without a value there (the root of a negative number): as far off as nothing real is
        return np.nan_to_num(out, nan=1e6, posinf=1e6)

    def _expected(self, x: Array, wanted: Array) -> Array:
        """Root of the expected squared distance under the model's own uncertainty, ``n x p``; zero where open.

        E (f - t)^2 = (mean - t)^2 + sigma^2: where little is known, meeting the condition in the mean is worth little.
        For a formula it is the distance.
        """
        data = self._trained()
        assert self._model is not None  # noqa: S101 - set wherever the data are
        doubt = self._model.sigma(x) / ConditionCode.of(data.conditions).scale
        doubt = np.where(np.isfinite(wanted), np.nan_to_num(doubt), 0.0)
        out: Array = np.hypot(self._errors(x, wanted), doubt)
        return out

    def _expected_squares(self, x: Array, wanted: Array) -> Array:
        """Summed over the properties, shape ``n``."""
        out: Array = np.square(self._expected(x, wanted)).sum(axis=1)
        return out

    def _error_tensor(self, x: Any, wanted: Any, scale: Any) -> Any:
        """Sum of squared distances, shape ``n``, differentiable in ``x``."""
        assert self._model is not None  # noqa: S101 - set wherever the data are
        known = torch.isfinite(wanted)
        gap = (self._model(x) - torch.where(known, wanted, 0.0)) / scale
        return torch.where(known, gap, 0.0).square().sum(dim=1)


def distinct_requests(wanted: Array) -> list[tuple[Array, NDArray[np.int_]]]:
    """Equal conditions together: (condition ``p``, rows that ask for it), in the order of first appearance."""
    groups: dict[bytes, list[int]] = {}
    for row, condition in enumerate(wanted):
        groups.setdefault(np.where(np.isnan(condition), np.nan, condition + 0.0).tobytes(), []).append(row)
    return [(wanted[rows[0]], np.array(rows)) for rows in groups.values()]


@contextmanager
def untouched_global_noise() -> Iterator[None]:
    """Put the global random states of Python and numpy back, for packages that seed or draw from them."""
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002 - theirs, to put it back
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)  # noqa: NPY002

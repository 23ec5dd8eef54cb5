"""The control ``cma-es``: evolution strategies with covariance matrix adaptation, one for each answer.

N. Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772, as the package ``cma`` implements it (N. Hansen,
Y. Akimoto, P. Baudis, doi 10.5281/zenodo.2559634), with its own population size 4 + 3 ln m. A point of the search
space is mapped to the nearest allowed composition, whose squared property errors, in units of their spread and with
the model's variance added, are minimised; the distance to it is a small part of the objective, so that the search stays
near what it can reach. Answers to one condition come from different starts: random compositions and known alloys, a
little changed, in turn. All strategies step together, so that the property model is called once for each step.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.property_search import PropertySearch

__all__ = ["CmaEs", "CmaEsOptions"]

Array = NDArray[np.float64]

_STRAYING: Final = 0.1  # weight of the squared distance to the nearest allowed composition
_TOGETHER: Final = 64  # strategies at a time


class CmaEsOptions(BaseModel):
    """Options of ``cma-es``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[int, Field(ge=1, le=100_000)] = 80
    """Steps at most, each with one population evaluated."""
    spread: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.1
    """First standard deviation of the search, as an atomic fraction."""
    tolerance: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.002
    """Root of the summed squared errors, in units of the spread of the data, at which a strategy stops."""


class CmaEs(PropertySearch[CmaEsOptions]):
    """CMA-ES on the squared error of the property model.

    Args:
        options: See :class:`CmaEsOptions`.
    """

    name = "cma-es"
    options_type = CmaEsOptions

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        rng = np.random.default_rng(seed)
        starts = self._starts(len(wanted), region, rng)
        parts = [
            self._together(wanted[k : k + _TOGETHER], starts[k : k + _TOGETHER], region, rng)
            for k in range(0, len(wanted), _TOGETHER)
        ]
        return np.concatenate(parts)

    def _together(
        self, wanted: Array, starts: Array, region: AllowedRegion, rng: np.random.Generator
    ) -> Array:
        """One strategy for each row, from its start."""
        best, least = starts.copy(), self._expected_squares(starts, wanted)
        # nothing asked for, or a start that is near enough already: no search
        active = {
            k: self._strategy(starts[k], rng) for k in np.flatnonzero(least > self.options.tolerance**2)
        }
        for _ in range(self.options.steps):
            active = {
                k: s for k, s in active.items() if least[k] > self.options.tolerance**2 and not s.stop()
            }
            if not active:
                break
            asked = {k: np.array(strategy.ask()) for k, strategy in active.items()}
            rows = np.repeat(list(asked), [len(points) for points in asked.values()])
            points = np.concatenate(list(asked.values()))
            near = region.nearest(points)
            error = self._expected_squares(near, wanted[rows])
            loss = error + _STRAYING * np.square(points - near).sum(axis=1)
            first = 0
            for k, own in asked.items():
                part = slice(first, first + len(own))
                active[k].tell(list(own), loss[part].tolist())
                if error[part].min() < least[k]:
                    least[k] = error[part].min()
                    best[k] = near[part][error[part].argmin()]
                first += len(own)
        return best

    def _strategy(self, start: Array, rng: np.random.Generator) -> Any:
        import cma

        return cma.CMAEvolutionStrategy(
            start,
            self.options.spread,
            {
                "verbose": -9,
                # its noise from our generator, and no seeding of numpy's global one
                "randn": lambda *shape: rng.standard_normal(shape),
                "seed": np.nan,
                "tolfun": 0,
                "tolfunhist": 0,
            },
        )

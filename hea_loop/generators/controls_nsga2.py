"""The control ``nsga2``: a genetic algorithm on the distances of the properties from the condition.

K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Trans. Evol. Comput. 6 (2002) 182, doi 10.1109/4235.996017, as pymoo implements it (J. Blank, K. Deb, IEEE Access 8
(2020) 89497, doi 10.1109/ACCESS.2020.2990567), with its own crossover and mutation. One objective for each property
asked for: |predicted - wanted| in units of its spread, with the model's variance added where it is learned. Equal
conditions share a run: their answers are the members of its last population whose largest distance is least, so they
are often alike. The first population is random compositions and known alloys, a little changed, in turn. Children are
repaired into the allowed compositions, so the population never leaves them.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.property_search import PropertySearch, distinct_requests, untouched_global_noise

__all__ = ["Nsga2", "Nsga2Options"]

Array = NDArray[np.float64]


class Nsga2Options(BaseModel):
    """Options of ``nsga2``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    population: Annotated[int, Field(ge=4, le=10_000)] = 100
    """Members of the population (pymoo's default)."""
    generations: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Generations."""


class Nsga2(PropertySearch[Nsga2Options]):
    """NSGA-II on the errors of the property model.

    Args:
        options: See :class:`Nsga2Options`.
    """

    name = "nsga2"
    options_type = Nsga2Options

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        out = np.empty((len(wanted), len(region.elements)))
        rng = np.random.default_rng(seed)
        for condition, rows in distinct_requests(wanted):
            if np.isnan(condition).all():  # nothing is asked for: there is nothing to search
                out[rows] = region.draw(len(rows), rng)
                continue
            found: list[Array] = []
            while sum(map(len, found)) < len(rows):  # more answers than members: another run
                found.append(self._run(condition, int(rng.integers(2**31 - 1)), region))
            out[rows] = np.concatenate(found)[: len(rows)]
        return out

    def _run(self, condition: Array, seed: int, region: AllowedRegion) -> Array:
        """The last population of one run, in the order of its members' largest distance."""
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.optimize import minimize

        first = self._starts(self.options.population, region, np.random.default_rng(seed))
        with untouched_global_noise():
            result = minimize(
                self._problem(condition, region),
                NSGA2(pop_size=self.options.population, sampling=first, repair=self._repair(region)),
                ("n_gen", self.options.generations),
                seed=seed,
                verbose=False,
                copy_algorithm=False,
            )
        last = result.pop
        order = np.argsort(last.get("F").max(axis=1), kind="stable")
        out: Array = np.asarray(last.get("X"), dtype=np.float64)[order]
        return out

    def _problem(self, condition: Array, region: AllowedRegion) -> Any:
        from pymoo.core.problem import Problem

        errors, asked = self._expected, np.isfinite(condition)

        class Distances(Problem):  # type: ignore[misc]  # pymoo has no types
            """Distance of each property asked for."""

            def _evaluate(self, x: Array, out: dict[str, Any], *_: Any, **__: Any) -> None:
                out["F"] = errors(x, np.broadcast_to(condition, (len(x), len(condition))))[:, asked]

        return Distances(n_var=len(region.elements), n_obj=int(asked.sum()), xl=0.0, xu=1.0)

    def _repair(self, region: AllowedRegion) -> Any:
        from pymoo.core.repair import Repair

        class Nearest(Repair):  # type: ignore[misc]  # pymoo has no types
            """The nearest allowed composition."""

            def _do(self, _problem: Any, x: Array, **_: Any) -> Array:
                return region.nearest(x)

        return Nearest()

"""Contestants without a model: random, and two evolutionary optimisers from their own packages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns.harness import State, Task

__all__ = ["CmaEs", "Nsga2", "Random", "violations"]

Array = NDArray[np.float64]


def violations(values: dict[str, Array], targets: dict[str, tuple[float, float]]) -> Array:
    """How far values lie outside each target, over half the target's width; zero inside. ``n x p``."""
    columns = [
        np.maximum(np.maximum(low - values[name], values[name] - high), 0.0) / (0.5 * (high - low))
        for name, (low, high) in targets.items()
    ]
    return np.column_stack(columns)


class Random:
    """Uniform random compositions of the palette, or of the pool."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._rng = task, np.random.default_rng([seed, 1])

    def propose(self, state: State, number: int) -> Array:
        """Draw; see :class:`benchmarks.campaigns.harness.Contestant`."""
        if self._task.pool is not None:
            taken = {row.tobytes() for row in np.rint(1000 * state.asked)}
            free = [i for i, row in enumerate(np.rint(1000 * self._task.pool)) if row.tobytes() not in taken]
            return self._task.pool[self._rng.choice(free, number, replace=False)]
        drawn = self._task.palette.sample_uniform(number, self._rng)
        return np.array([c.fraction_vector(self._task.elements) for c in drawn])


class Nsga2:
    """NSGA-II of pymoo: each property's distance from its target is one objective (Deb et al. 2002).

    Answers come late and one by one, so that the generations are steady: each round the survivors of all
    answered alloys (rank and crowding) are parents, and the offspring of pymoo's own mating (tournament, simulated
    binary crossover, polynomial mutation, no duplicates) are the batch. An individual is repaired to the simplex.
    """

    _POPULATION = 24

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed

    def propose(self, state: State, number: int) -> Array:
        """Breed; see :class:`benchmarks.campaigns.harness.Contestant`."""
        from pymoo.algorithms.moo.nsga2 import NSGA2, RankAndCrowding
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.core.repair import Repair

        upper = np.array(self._task.palette.upper) / 1000

        class OnSimplex(Repair):  # type: ignore[misc]
            def _do(self, _: Any, X: Array, **__: Any) -> Array:
                return X / np.maximum(X.sum(axis=1, keepdims=True), 1e-9)

        worst = violations(state.values, self._task.targets)
        problem = Problem(n_var=len(upper), n_obj=worst.shape[1], xl=0.0, xu=upper)
        known = Population.new(X=state.fractions, F=worst, G=np.zeros((len(worst), 0)))
        for individual in known:
            individual.evaluated.update({"F", "G", "H"})
        parents = RankAndCrowding().do(
            problem, known, n_survive=min(self._POPULATION, len(known)), random_state=np.random.default_rng(0)
        )
        algorithm = NSGA2(pop_size=len(parents), n_offsprings=number, sampling=parents, repair=OnSimplex())
        algorithm.setup(problem, seed=self._seed * 1000 + state.round, verbose=False)
        algorithm.tell(infills=algorithm.ask())
        born = algorithm.ask().get("X")
        if len(born) < number:  # mating without duplicates may give fewer
            extra = Random(self._task, self._seed * 1000 + state.round).propose(state, number - len(born))
            born = np.vstack([born, extra])
        return np.asarray(born[:number], dtype=float)


class CmaEs:
    """CMA-ES of the package ``cma``, asked and told: the sum of the violations, over fractions in a box.

    Told as soon as as many answers are there as one generation has; while they are awaited it is asked again from
    the same distribution. It starts at the best initial alloy; what it asks is divided by its sum.
    """

    _SIGMA = 0.15

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed
        self._es: Any = None
        self._generation = max(task.batch, 6)  # of fewer it cannot learn a covariance
        self._asked: list[tuple[bytes, Array]] = []

    def propose(self, state: State, number: int) -> Array:
        """Tell what is new and ask; see :class:`benchmarks.campaigns.harness.Contestant`."""
        import cma

        from hea_loop.palette import snapped

        cost = violations(state.values, self._task.targets).sum(axis=1)
        if self._es is None:
            upper = (np.array(self._task.palette.upper) / 1000).tolist()
            options = {
                "bounds": [0, upper],
                "popsize": self._generation,
                "seed": self._seed + 1,
                "verbose": -9,
            }
            self._es = cma.CMAEvolutionStrategy(state.fractions[np.argmin(cost)], self._SIGMA, options)
        answered = {row.tobytes(): c for row, c in zip(np.rint(1000 * state.fractions), cost, strict=True)}
        ready = [(x, answered[key]) for key, x in self._asked if key in answered]
        if len(ready) >= self._generation:
            self._es.tell([x for x, _ in ready], [c for _, c in ready])
            failed = {row.tobytes() for row in np.rint(1000 * state.failed)}
            self._asked = [a for a in self._asked if a[0] not in answered and a[0] not in failed]
        drawn = np.array(self._es.ask(number))
        if self._task.pool is None:
            rows = snapped(np.maximum(drawn, 1e-9), self._task.elements, self._task.palette)
            self._asked += [(r.tobytes(), x) for r, x in zip(np.rint(1000 * rows), drawn, strict=True)]
        return drawn

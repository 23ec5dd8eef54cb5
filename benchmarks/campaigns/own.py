"""hea-loop as a contestant, and what is left of it when a part is taken away."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns.harness import State, Task
from hea_loop.acquisition import choose_batch, improve, intervals_of, log_probability_all, nearest_distance
from hea_loop.elements import element_vector
from hea_loop.generators import TrainingData, conditions_for_targets, generator_named
from hea_loop.surrogates.composition_gp import LinearCombination
from hea_loop.surrogates.property_surrogate import PropertySurrogate

__all__ = ["GeneratorAlone", "HeaLoop"]

Array = NDArray[np.float64]

_AVERAGED: Final = ("shear_modulus", "poisson_ratio")
"""Properties of the oracles whose prior mean is the linear combination."""
_GENERATOR: Final = "flow-matching"
_CHEAP_ROUNDS: Final = 4
_CHEAP_SHARE: Final = 0.2
_OPTIONS: Final = {"steps": 400, "known": 4}
"""A campaign starts from 20 alloys: longer training on so few changes nothing, and the acquisition climbs again."""


def _generated(task: Task, state: State, number: int, seed: int) -> Array:
    """Answers of the generator, trained on what is known, to conditions inside the targets; ``number x m``."""
    names = tuple(task.targets)
    data = TrainingData(
        task.elements, state.fractions, np.column_stack([state.values[n] for n in names]), names
    )
    generator = generator_named(_GENERATOR, _OPTIONS)
    generator.fit(data, seed=seed)
    wanted = conditions_for_targets(data, dict(task.targets), number, np.random.default_rng(seed))
    return generator.generate(wanted, seed=seed, palette=task.palette)


def _free(task: Task, state: State) -> Array:
    """Rows of the pool that have not been asked for."""
    taken = {row.tobytes() for row in np.rint(1000 * state.asked)}
    return np.array([r for r in task.pool if np.rint(1000 * r).tobytes() not in taken])  # type: ignore[union-attr]


class HeaLoop:
    """The default: the generator's proposals, improved, and chosen by P(all targets hold).

    In a pool the generator has nothing to say and the pool itself is what is chosen from.

    Args:
        task: What is known beforehand.
        seed: Of all draws.
        generated: Compositions of the generator per round; 0 for none.
        uniform: Uniform random compositions per round.
        improved: Of all these, how many climb.
        formulas: Whether properties of the vocabulary have the linear combination as prior mean.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        *,
        generated: int = 600,
        uniform: int = 0,
        improved: int = 100,
        formulas: bool = True,
    ) -> None:
        self._task, self._seed = task, seed
        self._generated, self._uniform, self._improved = generated, uniform, improved
        self._formulas = formulas
        self._intervals = intervals_of(task.targets)
        self._last: PropertySurrogate | None = None

    def propose(self, state: State, number: int) -> Array:
        """Learn, generate and choose; see :class:`benchmarks.campaigns.harness.Contestant`."""
        rng = np.random.default_rng([self._seed, state.round, 2])
        surrogate = self._fitted(state)
        candidates = self._candidates(state, surrogate, rng)
        chosen = choose_batch(
            candidates,
            surrogate,
            self._intervals,
            number=number,
            rng=rng,
            pending=state.pending,
            known=np.vstack([state.fractions, state.failed]),
            minimum_distance=self._task.minimum_distance,
        )
        return candidates[chosen]

    def ask_cheap(self, state: State) -> Array:
        """In the first rounds a fifth of the budget goes to cheap jobs, on uniform random alloys and likely ones."""
        if state.round >= _CHEAP_ROUNDS or self._task.cheap_cost is None:
            return np.empty((0, len(self._task.elements)))
        rng = np.random.default_rng([self._seed, state.round, 3])
        number = int(_CHEAP_SHARE * self._task.batch / self._task.cheap_cost)
        drawn = self._task.palette.sample_uniform(200 * number, rng)
        rows = np.array([c.fraction_vector(self._task.elements) for c in drawn])
        likely = np.argsort(-log_probability_all(self._fitted(state).predict(rows), self._intervals))
        return np.vstack([rows[likely[: number // 2]], rows[: number - number // 2]])

    def _fitted(self, state: State) -> PropertySurrogate:
        cheap = len(state.cheap_fractions)
        values = state.values
        if cheap:
            values = {n: np.concatenate([v, state.cheap_values[n]]) for n, v in values.items()}
        averaged = [n for n in state.values if self._formulas and n in _AVERAGED]
        elements = self._task.elements
        self._last = PropertySurrogate.fit(
            elements,
            np.vstack([state.fractions, state.cheap_fractions]),
            values,
            fidelity=["experiment"] * len(state.fractions) + ["calphad"] * cheap,
            prior_means={n: LinearCombination(tuple(element_vector(elements, n))) for n in averaged},
            noise={
                n: np.append(np.full(len(state.fractions), sigma), np.full(cheap, np.nan))
                for n, sigma in self._task.noise.items()
                if sigma > 0
            },
            start=self._last,
            seed=self._seed,
        )
        return self._last

    def _candidates(self, state: State, surrogate: PropertySurrogate, rng: np.random.Generator) -> Array:
        if self._task.pool is not None:
            return _free(self._task, state)
        drawn = self._task.palette.sample_uniform(self._uniform, rng)
        rows = np.array([c.fraction_vector(self._task.elements) for c in drawn], dtype=float)
        rows = rows.reshape(-1, len(self._task.elements))
        if self._generated:
            seed = 1000 * self._seed + state.round
            rows = np.vstack([_generated(self._task, state, self._generated, seed), rows])
        score = log_probability_all(surrogate.predict(rows), self._intervals)
        best = np.argsort(-score)[: self._improved]
        climbed = improve(rows[best], surrogate, self._intervals, self._task.palette, rng)
        return np.unique(np.vstack([rows, climbed]), axis=0)


class GeneratorAlone:
    """What the generator answers, in its own order: no acquisition, but no alloy asked for twice."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed

    def propose(self, state: State, number: int) -> Array:
        """Train and generate; see :class:`benchmarks.campaigns.harness.Contestant`."""
        rows = _generated(self._task, state, 10 * number, 1000 * self._seed + state.round)
        chosen = np.empty((0, rows.shape[1]))
        for row in rows:
            known = np.vstack([state.asked, chosen])
            if len(chosen) < number and nearest_distance(row[None], known)[0] >= self._task.minimum_distance:
                chosen = np.vstack([chosen, row])
        return np.vstack([chosen, rows[: number - len(chosen)]])

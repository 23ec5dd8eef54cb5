"""hea-loop as a contestant, and what is left of it when a part is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns.harness import State, Task
from hea_loop.acquisition import choose_batch, improve, intervals_of, log_probability_all
from hea_loop.elements import element_vector
from hea_loop.surrogates.composition_gp import CompositionGP, LinearCombination

__all__ = ["HeaLoop"]

Array = NDArray[np.float64]

_AVERAGED = ("shear_modulus", "poisson_ratio")


@dataclass(frozen=True, slots=True)
class _Processes:
    """One Gaussian process per property, as :func:`hea_loop.acquisition.choose_batch` wants a surrogate."""

    of: dict[str, CompositionGP]

    def predict(self, fractions: Array) -> dict[str, tuple[Array, Array]]:
        return {name: process.predict(fractions) for name, process in self.of.items()}

    def condition_on_pending(self, fractions: Array) -> Self:
        return type(self)({n: process.condition_on_pending(fractions) for n, process in self.of.items()})


class HeaLoop:
    """Proposals of the palette, improved and chosen by the probability that all targets hold.

    Args:
        task: What is known beforehand.
        seed: Of all draws.
        pool: Uniform random compositions per round.
        improved: Of these, how many climb.
        formulas: Whether properties of the vocabulary have the linear combination as prior mean.
    """

    def __init__(
        self, task: Task, seed: int, *, pool: int = 4000, improved: int = 200, formulas: bool = True
    ) -> None:
        self._task, self._seed = task, seed
        self._pool, self._improved, self._formulas = pool, improved, formulas
        self._intervals = intervals_of(task.targets)
        self._last: dict[str, CompositionGP] = {}

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

    def _fitted(self, state: State) -> _Processes:
        for name, values in state.values.items():
            prior: Any = None
            if self._formulas and name in _AVERAGED:
                prior = LinearCombination(tuple(element_vector(self._task.elements, name)))
            self._last[name] = CompositionGP.fit(
                self._task.elements,
                state.fractions,
                values,
                prior_mean=prior,
                noise=self._task.noise[name] or None,
                seed=self._seed,
                start=self._last.get(name),
            )
        return _Processes(dict(self._last))

    def _candidates(self, state: State, surrogate: _Processes, rng: np.random.Generator) -> Array:
        if self._task.pool is not None:
            taken = {row.tobytes() for row in np.rint(1000 * state.asked)}
            return np.array([r for r in self._task.pool if np.rint(1000 * r).tobytes() not in taken])
        drawn = self._task.palette.sample_uniform(self._pool, rng)
        rows = np.array([c.fraction_vector(self._task.elements) for c in drawn])
        score = log_probability_all(surrogate.predict(rows), self._intervals)
        best = np.argsort(-score)[: self._improved]
        climbed = improve(rows[best], surrogate, self._intervals, self._task.palette, rng)
        return np.unique(np.vstack([rows, climbed]), axis=0)

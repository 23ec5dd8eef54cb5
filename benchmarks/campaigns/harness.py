"""One campaign of one contestant: what it is told, what it proposes, and what the laboratory answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.oracles import Answer, Laboratory, Law, Oracle
from hea_loop.palette import Palette, snapped

__all__ = ["Contestant", "Factory", "Run", "State", "Task", "run_campaign"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What every contestant is told before the first round.

    Attributes:
        elements: Symbols of the columns, ``m`` of them.
        palette: Where compositions may lie.
        targets: Property to closed interval; a hit lies in all.
        noise: Property to the standard deviation of an answer.
        pool: ``k x m`` rows, the only ones that may be asked, or None.
        minimum_distance: Hits nearer than this (total variation) to one counted before are not counted.
        rounds: How many there are.
        batch: Jobs in each.
    """

    elements: tuple[str, ...]
    palette: Palette
    targets: dict[str, tuple[float, float]]
    noise: dict[str, float]
    pool: Array | None
    minimum_distance: float
    rounds: int
    batch: int


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is known when a round is chosen.

    Attributes:
        round: Its number, from 0.
        fractions: ``n x m`` answered alloys, the initial ones first.
        values: Property to ``n`` observed values.
        failed: ``f x m`` alloys whose jobs failed, as far as that is known yet.
        pending: ``q x m`` alloys that have been asked for and not been answered.
    """

    round: int
    fractions: Array
    values: dict[str, Array]
    failed: Array
    pending: Array

    @property
    def asked(self) -> Array:
        """All alloys that have been asked for, answered or not."""
        return np.vstack([self.fractions, self.failed, self.pending])


class Contestant(Protocol):
    """One who chooses alloys."""

    def propose(self, state: State, number: int) -> Array:
        """Choose the next alloys.

        Args:
            state: What is known.
            number: How many to choose.

        Returns:
            ``number x m`` fractions, at least zero; they are snapped to the palette (to the nearest row of the
            pool not asked for yet, where there is one) for everybody alike.
        """
        ...


Factory = Callable[[Task, int], Contestant]
"""Makes a contestant for a task and a seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one campaign found.

    Attributes:
        hits: Distinct true hits among answered jobs, cumulative over the jobs, shape ``(budget,)``.
        observed: The same by the observed values instead of the true ones.
        jobs: Jobs asked for.
        failed: Of these, without an answer.
        repeated: Of these, asked for before.
        seconds: The contestant's own time in s for each round.
        fractions: What it asked for, ``budget x m``.
    """

    hits: NDArray[np.int_]
    observed: NDArray[np.int_]
    jobs: int
    failed: int
    repeated: int
    seconds: list[float]
    fractions: Array


def run_campaign(
    oracle: Oracle,
    factory: Factory,
    *,
    seed: int,
    law: Law,
    rounds: int,
    batch: int,
    minimum_distance: float,
) -> Run:
    """Run one contestant on one oracle with one seed.

    Args:
        oracle: The truth.
        factory: Makes the contestant.
        seed: Of the initial alloys, the laboratory and the contestant.
        law: How the laboratory answers.
        rounds: How many rounds.
        batch: Jobs in each.
        minimum_distance: Between hits that count, total variation; 0 for different alloys.
    """
    targets, noise = oracle.targets, oracle.noise if law.noise else dict.fromkeys(oracle.noise, 0.0)
    task = Task(oracle.elements, oracle.palette, targets, noise, oracle.pool, minimum_distance, rounds, batch)
    laboratory = Laboratory(oracle, law, seed)
    answers = laboratory.ask(oracle.start(seed), -1)
    began = time.perf_counter()
    contestant = factory(task, seed)
    seconds, initial = [time.perf_counter() - began], len(answers)
    for number in range(rounds):
        state = _state(answers, number, oracle)
        began = time.perf_counter()
        proposed = contestant.propose(state, batch)
        if number:
            seconds.append(0.0)
        seconds[-1] += time.perf_counter() - began
        answers += laboratory.ask(_allowed(proposed, task, state), number)
    asked = answers[initial:]
    rows = np.array([a.fractions for a in asked])
    answered = np.array([a.values is not None for a in asked])
    true = oracle.hits(rows) & answered
    seen = oracle.inside(
        {n: np.array([np.nan if a.values is None else a.values[n] for a in asked]) for n in targets}
    )
    return Run(
        hits=distinct(rows, true, minimum_distance),
        observed=distinct(rows, seen, minimum_distance),
        jobs=len(asked),
        failed=int((~answered).sum()),
        repeated=len(rows) - len(np.unique(np.vstack([oracle.start(seed), rows]), axis=0)) + initial,
        seconds=seconds,
        fractions=rows,
    )


def _state(answers: list[Answer], number: int, oracle: Oracle) -> State:
    m = len(oracle.elements)
    known = [a for a in answers if a.due <= number]
    good = [(a.fractions, a.values) for a in known if a.values is not None]

    def rows(chosen: list[Array]) -> Array:
        return np.array(chosen, dtype=float).reshape(-1, m)

    return State(
        round=number,
        fractions=rows([x for x, _ in good]),
        values={name: np.array([v[name] for _, v in good]) for name in oracle.targets},
        failed=rows([a.fractions for a in known if a.values is None]),
        pending=rows([a.fractions for a in answers if a.due > number]),
    )


def _allowed(proposed: Array, task: Task, state: State) -> Array:
    """The nearest compositions that may be asked for."""
    x = np.maximum(np.nan_to_num(np.asarray(proposed, dtype=float)), 0.0)
    x[x.sum(axis=1) <= 0] = 1.0
    if task.pool is None:
        return snapped(x, task.elements, task.palette)
    x /= x.sum(axis=1, keepdims=True)
    taken = {row.tobytes() for row in np.rint(1000 * state.asked)}
    free = np.array([row.tobytes() not in taken for row in np.rint(1000 * task.pool)])
    out = []
    for row in x:
        far = np.where(free, np.abs(task.pool - row).sum(axis=1), np.inf)
        out.append(int(np.argmin(far)))
        free[out[-1]] = False
    return task.pool[out]


def distinct(fractions: Array, hit: NDArray[np.bool_], minimum_distance: float) -> NDArray[np.int_]:
    """Cumulative number of distinct hits in the order in which they were asked for.

    A hit counts if its total-variation distance, half the sum of the absolute differences, to every hit counted
    before is at least the minimum, and if it is another alloy.

    Args:
        fractions: ``n x m``.
        hit: Whether each is one, shape ``(n,)``.
        minimum_distance: 0 to 1.

    Returns:
        Shape ``(n,)``.
    """
    counted: list[Array] = []
    out = np.zeros(len(fractions), dtype=int)
    least = max(minimum_distance - 1e-9, 1e-9)
    for i, row in enumerate(fractions):
        if hit[i] and all(0.5 * np.abs(row - other).sum() >= least for other in counted):
            counted.append(row)
        out[i] = len(counted)
    return out

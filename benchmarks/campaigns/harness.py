"""One campaign of one contestant: what it is told, what it proposes, and what the laboratory answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmarks.oracles import CHEAP_COST, Answer, Laboratory, Law, Oracle
from hea_loop.errors import InputError
from hea_loop.palette import Palette, snapped

__all__ = ["CheapAsker", "Contestant", "Factory", "Run", "State", "Task", "run_campaign"]

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
        batch: Jobs in each, at the full fidelity.
        cheap_cost: Cost of a job at the cheap fidelity, in jobs at the full one; None where there is none.
    """

    elements: tuple[str, ...]
    palette: Palette
    targets: dict[str, tuple[float, float]]
    noise: dict[str, float]
    pool: Array | None
    minimum_distance: float
    rounds: int
    batch: int
    cheap_cost: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is known when a round is chosen.

    Attributes:
        round: Its number, from 0.
        fractions: ``n x m`` answered alloys, the initial ones first.
        values: Property to ``n`` observed values.
        failed: ``f x m`` alloys whose jobs failed, as far as that is known yet.
        pending: ``q x m`` alloys that have been asked for and not been answered.
        cheap_fractions: ``c x m`` alloys answered at the cheap fidelity.
        cheap_values: Property to ``c`` values of that fidelity.
    """

    round: int
    fractions: Array
    values: dict[str, Array]
    failed: Array
    pending: Array
    cheap_fractions: Array
    cheap_values: dict[str, Array]

    @property
    def asked(self) -> Array:
        """All alloys that have been asked for at the full fidelity, answered or not."""
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


@runtime_checkable
class CheapAsker(Protocol):
    """A contestant that also asks at the cheap fidelity, where there is one."""

    def ask_cheap(self, state: State) -> Array:
        """Alloys to ask cheaply before the round's batch is chosen, which their cost makes smaller; ``k x m``."""
        ...


Factory = Callable[[Task, int], Contestant]
"""Makes a contestant for a task and a seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one campaign found.

    Attributes:
        hits: Distinct true hits among answered jobs, cumulative over the budget in units of a job at the full
            fidelity, shape ``(budget,)``; what was spent on cheap jobs comes first in each round.
        observed: The same by the observed values instead of the true ones.
        jobs: Jobs asked for at the full fidelity.
        cheap: Jobs asked for at the cheap one.
        failed: Of these, without an answer.
        repeated: Of these, asked for before.
        too_near: True hits among answered jobs that do not count, as too near to one that does.
        seconds: The contestant's own processor time in s for each round, whatever else the machine does.
        fractions: What it asked for, ``jobs x m``.
    """

    hits: NDArray[np.int_]
    observed: NDArray[np.int_]
    jobs: int
    cheap: int
    failed: int
    repeated: int
    too_near: int
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
    two_fidelities: bool = False,
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
        two_fidelities: Whether the oracle's cheap fidelity may be asked.

    Raises:
        InputError: The contestant proposes more than it may.
    """
    targets, noise = oracle.targets, oracle.noise if law.noise else dict.fromkeys(oracle.noise, 0.0)
    cost = CHEAP_COST if two_fidelities and oracle.cheap is not None else None
    task = Task(
        oracle.elements, oracle.palette, targets, noise, oracle.pool, minimum_distance, rounds, batch, cost
    )
    laboratory = Laboratory(oracle, law, seed)
    answers = laboratory.ask(oracle.start(seed), -1)
    began = time.process_time()
    contestant = factory(task, seed)
    seconds = [time.process_time() - began] + [0.0] * (rounds - 1)
    for number in range(rounds):
        state, cheap = _state(answers, number, oracle), np.empty((0, len(oracle.elements)))
        began = time.process_time()
        if cost is not None and isinstance(contestant, CheapAsker):
            cheap = contestant.ask_cheap(state)
        left = batch - math.ceil(len(cheap) * (cost or 0.0) - 1e-9)
        proposed = contestant.propose(state, left) if left > 0 else cheap[:0]
        seconds[number] += time.process_time() - began
        if len(proposed) > left:
            raise InputError(
                "proposals", len(proposed), f"are more than {left}", "keep to the number asked for"
            )
        if len(cheap):
            answers += laboratory.ask(_allowed(cheap, task, state), number, "cheap")
        if len(proposed):
            answers += laboratory.ask(_allowed(proposed, task, state), number)
    return _found(oracle, answers, task, seconds)


def _found(oracle: Oracle, answers: list[Answer], task: Task, seconds: list[float]) -> Run:
    asked = [a for a in answers if a.round >= 0 and a.fidelity == "full"]
    rows = np.array([a.fractions for a in asked]).reshape(-1, len(task.elements))
    answered = np.array([a.values is not None for a in asked], dtype=bool)
    true = oracle.hits(rows) & answered
    seen = oracle.inside(
        {n: np.array([np.nan if a.values is None else a.values[n] for a in asked]) for n in task.targets}
    )
    when = np.array([a.round for a in asked], dtype=int)
    hits = distinct(rows, true, task.minimum_distance)
    return Run(
        hits=_over_budget(hits, when, task),
        observed=_over_budget(distinct(rows, seen, task.minimum_distance), when, task),
        jobs=len(asked),
        cheap=sum(a.fidelity == "cheap" for a in answers),
        failed=int((~answered).sum()),
        repeated=len(rows) - len(np.unique(rows, axis=0)),
        too_near=int(true.sum() - hits.max(initial=0)),
        seconds=seconds,
        fractions=rows,
    )


def _over_budget(counts: NDArray[np.int_], when: NDArray[np.int_], task: Task) -> NDArray[np.int_]:
    """Counts over the jobs as counts over the budget: what a round did not spend on full jobs comes first in it."""
    out: list[int] = []
    last = 0
    for number in range(task.rounds):
        own = counts[when == number].tolist()
        out += [last] * (task.batch - len(own)) + own
        last = out[-1]
    return np.array(out, dtype=int)


def _state(answers: list[Answer], number: int, oracle: Oracle) -> State:
    m, names = len(oracle.elements), oracle.targets
    known = [a for a in answers if a.due <= number]
    full = [(a.fractions, a.values) for a in known if a.values is not None and a.fidelity == "full"]
    cheap = [(a.fractions, a.values) for a in known if a.values is not None and a.fidelity == "cheap"]

    def rows(chosen: list[Array]) -> Array:
        return np.array(chosen, dtype=float).reshape(-1, m)

    return State(
        round=number,
        fractions=rows([x for x, _ in full]),
        values={name: np.array([v[name] for _, v in full]) for name in names},
        failed=rows([a.fractions for a in known if a.values is None and a.fidelity == "full"]),
        pending=rows([a.fractions for a in answers if a.due > number and a.fidelity == "full"]),
        cheap_fractions=rows([x for x, _ in cheap]),
        cheap_values={name: np.array([v[name] for _, v in cheap]) for name in names},
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

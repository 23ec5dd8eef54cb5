"""A batch of candidates, chosen one after the other.

The next one is the candidate with the largest probability that all holds, given what is chosen already and
what still waits for its answer: both are taken to answer what the surrogate expects (the kriging believer of
Ginsbourger, Le Riche and Carraro 2010, doi 10.1007/978-3-642-10701-6_6), which leaves the means as they are and
lowers the uncertainty around them, so that a second question in the same place is worth what it still tells.
Near a chosen one a candidate counts less besides, in proportion to its distance: answers there are correlated
beyond what the surrogate believes, and a batch of near-twins is one finding. The surer a candidate is, the less that
counts: what certainly holds need not give way to a far candidate that may fail.

While nothing is likely (no candidate above a fifth), a share of the batch is ranked with wider uncertainties.
Where every P is next to nothing the plain ranking follows the surrogate's errors of the mean; the wider law asks
where the targets could still be met, which is the upper confidence bound of P (Srinivas et al. 2012, doi
10.1109/TIT.2011.2182033), and stops as soon as a region is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hea_loop.acquisition.distance import FLOAT_NOISE, element_sets, nearest_distance
from hea_loop.acquisition.probability import Interval, Predictions, log_probability_all
from hea_loop.errors import InputError

__all__ = ["BatchSurrogate", "CandidatePool", "choose_batch"]

Array = NDArray[np.float64]

_SPREAD: Final = 3.0
"""A candidate nearer than this many minimum distances to a chosen one counts less, in proportion."""

_TWIN: Final = 1 / 6
"""How far, as an exponent, nearness counts of a candidate that is sure: its answer needs no neighbour's, but of two
sure ones the farther is the better finding."""

_SURE: Final = 4
"""Power of the probability by which nearness comes to count less: at 0.9 by half, at 0.6 hardly."""

_HOPEFUL: Final = math.log(0.2)
"""A candidate above it ends the search for a first region."""

_INFLATION: Final = 2.0
"""Factor on the standard deviations in that search."""

_SHORTLIST: Final = 512
"""Candidates that are judged anew after every update; the best of each element set are always among them."""

_OF_EACH_SET: Final = 2

_UPDATES: Final = 8
"""Times in one batch that the surrogate is told what has been chosen: each costs a pass over the shortlist."""


class BatchSurrogate(Protocol):
    """What the choice of a batch needs to know of a surrogate."""

    def predict(self, fractions: Array) -> Predictions:
        """Means and standard deviations of ``n x m`` fractions by property."""
        ...

    def condition_on_pending(self, fractions: Array) -> Self:
        """The surrogate as it would be had these ``k x m`` fractions answered what it expects."""
        ...


def choose_batch(
    fractions: Array,
    surrogate: BatchSurrogate,
    intervals: Iterable[Interval],
    *,
    number: int,
    rng: np.random.Generator,
    pending: Array | None = None,
    known: Array | None = None,
    minimum_distance: float = 0.0,
    diversity: float = 0.0,
    random_share: float = 0.0,
    exploration: float = 0.25,
    costs: Array | None = None,
) -> NDArray[np.int64]:
    """Choose a batch from a pool of candidates.

    Args:
        fractions: ``n x m`` atomic fractions of the pool.
        surrogate: Predicts every property that an interval is on.
        intervals: What has to hold.
        number: Size of the batch, the random share included.
        rng: Draws the random share and breaks ties; the same state gives the same batch.
        pending: ``k x m`` fractions whose answers are still awaited.
        known: Fractions of what needs no validation again; rows may sum to less than one.
        minimum_distance: Least total-variation distance to the known, the pending and among the chosen.
        diversity: Share of the batch, 0 to 1, that has to come from element sets that neither the batch nor the
            pending have yet, as long as the pool has one.
        random_share: Share of the batch, 0 to 1, drawn uniformly from the pool, after the others.
        exploration: Share of the batch, 0 to 1, that is ranked with wider uncertainties while no candidate is
            likely.
        costs: ``n`` costs above zero of validating each; the probability per cost is what counts.

    Returns:
        Indices into the pool, best first and the random ones last; fewer than ``number`` where the pool has no
        more that are far enough apart.

    Raises:
        InputError: A negative number, a share outside 0 to 1, costs that are not above zero, or arrays that do
            not fit.
    """
    rows = _checked(fractions, number, costs, diversity, random_share, exploration)
    waiting = np.empty((0, rows.shape[1])) if pending is None else np.asarray(pending, dtype=float)
    taken = np.empty((0, rows.shape[1])) if known is None else np.asarray(known, dtype=float)
    at_random = math.floor(random_share * number + 0.5)
    pool = CandidatePool(rows, minimum_distance, waiting)
    pool.close_near(taken)
    chosen = _greedy(
        pool,
        surrogate.condition_on_pending(waiting) if len(waiting) else surrogate,
        tuple(intervals),
        number=number - at_random,
        diversity=diversity,
        exploration=exploration,
        log_costs=np.zeros(len(rows)) if costs is None else np.log(np.asarray(costs, dtype=float)),
        rng=rng,
    )
    for _ in range(at_random):
        left = np.flatnonzero(pool.open)
        if not len(left):
            break
        chosen.append(int(rng.choice(left)))
        pool.take(chosen[-1])
    return np.array(chosen, dtype=np.int64)


def _checked(
    fractions: Array,
    number: int,
    costs: Array | None,
    diversity: float,
    random_share: float,
    exploration: float,
) -> Array:
    rows = np.asarray(fractions, dtype=float)
    if rows.ndim != 2:
        raise InputError("fractions", rows.shape, "is not n x m", "give one row per candidate")
    if number < 0:
        raise InputError("number", number, "is below zero", "give the size of the batch")
    shares = {"diversity": diversity, "random_share": random_share, "exploration": exploration}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(name, share, "is not a share", "give a number from 0 to 1")
    if costs is not None:
        prices = np.asarray(costs, dtype=float)
        if prices.shape != (len(rows),) or not (np.isfinite(prices) & (prices > 0)).all():
            raise InputError(
                "costs", prices.tolist(), f"are not {len(rows)} numbers above zero", "give each its cost"
            )
    return rows


@dataclass(slots=True)
class CandidatePool:
    """The candidates that may still be chosen, and how far each lies from what is chosen or pending.

    Attributes:
        rows: ``n x m`` fractions.
        minimum_distance: Least distance among the chosen.
        pending: ``k x m`` fractions that wait for answers.
        open: Which may still be chosen.
        nearest: Distance of each to the nearest chosen or pending one.
        sets: Which elements each is made of.
        used: Element sets of the chosen and the pending.
    """

    rows: Array
    minimum_distance: float
    pending: Array
    open: NDArray[np.bool_] = field(init=False)
    nearest: Array = field(init=False)
    sets: list[bytes] = field(init=False)
    used: set[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.open = np.ones(len(self.rows), dtype=bool)
        self.nearest = np.full(len(self.rows), np.inf)
        self.sets = element_sets(self.rows)
        self.used = set(element_sets(self.pending))
        if len(self.pending) and len(self.rows):
            self.nearest = nearest_distance(self.rows, self.pending)
            self.close_near(self.pending)

    def close_near(self, others: Array) -> None:
        """Leave out what is nearer than the minimum distance to any of these ``k x m`` fractions."""
        if len(others) and len(self.rows):
            # without a minimum distance only what is the very same is left out
            self.open &= nearest_distance(self.rows, others) >= self._least()

    def _least(self) -> float:
        return max(self.minimum_distance - FLOAT_NOISE, FLOAT_NOISE)

    def take(self, index: int) -> None:
        """Choose one, and leave out what is too near to it."""
        distance = 0.5 * np.abs(self.rows - self.rows[index]).sum(axis=1)
        self.nearest = np.minimum(self.nearest, distance)
        self.open &= distance >= self._least()
        self.open[index] = False
        self.used.add(self.sets[index])

    def log_spread(self, rows: NDArray[np.int64]) -> Array:
        """How much nearness to a chosen one takes off, as a logarithm."""
        if self.minimum_distance <= 0:
            return np.zeros(len(rows))
        share = np.minimum(1.0, self.nearest[rows] / (_SPREAD * self.minimum_distance))
        return np.log(np.maximum(share, 1e-12))

    def unused(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these candidates have an element set that nothing chosen or pending has."""
        return np.array([self.sets[i] not in self.used for i in rows], dtype=bool)


def _greedy(
    pool: CandidatePool,
    surrogate: BatchSurrogate,
    intervals: Sequence[Interval],
    *,
    number: int,
    diversity: float,
    exploration: float,
    log_costs: Array,
    rng: np.random.Generator,
) -> list[int]:
    chosen: list[int] = []
    if number <= 0 or not pool.open.any():
        return chosen
    order = rng.permutation(np.flatnonzero(pool.open))  # ties fall by lot, not by place in the pool
    scores = _scores(surrogate, pool.rows[order], intervals)
    short, (plain, wide) = _shortlist(order, scores, pool, log_costs)
    quota = math.ceil(diversity * number - 1e-9)
    explore = exploration if plain.max() < _HOPEFUL else 0.0
    every = math.ceil(number / _UPDATES)
    fresh = 0
    believed: list[int] = []
    while len(chosen) < number:
        open_ = pool.open[short]
        if not open_.any():
            if not pool.open.any():
                break
            # the shortlist is used up: go on with all that is left
            order = order[pool.open[order]]
            short, (plain, wide) = order, _scores(surrogate, pool.rows[order], intervals)
            continue
        # exploring picks are spread evenly over the batch
        exploring = math.floor((len(chosen) + 1) * explore) > math.floor(len(chosen) * explore)
        worth = (wide if exploring else plain) - log_costs[short] + _unsure(plain) * pool.log_spread(short)
        unused = pool.unused(short)
        forced = quota - fresh >= number - len(chosen)
        eligible = open_ & unused if forced and (open_ & unused).any() else open_
        best = int(np.argmax(np.where(eligible, np.maximum(worth, -1e300), -np.inf)))
        index = int(short[best])
        fresh += int(unused[best])
        chosen.append(index)
        believed.append(index)
        pool.take(index)
        if len(believed) >= every and len(chosen) < number:
            surrogate = surrogate.condition_on_pending(pool.rows[believed])
            believed = []
            plain, wide = _scores(surrogate, pool.rows[short], intervals)
    return chosen


def _unsure(log_probability: Array) -> Array:
    """How far nearness counts: wholly where P is low, by :data:`_TWIN` where it is one."""
    return np.asarray(1.0 - (1.0 - _TWIN) * np.exp(_SURE * np.minimum(log_probability, 0.0)))


def _scores(surrogate: BatchSurrogate, rows: Array, intervals: Sequence[Interval]) -> tuple[Array, Array]:
    """Log of P(all), plain and with wider uncertainties."""
    predictions = surrogate.predict(rows)
    return (
        log_probability_all(predictions, intervals),
        log_probability_all(predictions, intervals, inflation=_INFLATION),
    )


def _shortlist(
    order: NDArray[np.int64], scores: tuple[Array, Array], pool: CandidatePool, log_costs: Array
) -> tuple[NDArray[np.int64], tuple[Array, Array]]:
    """The best by either ranking, and the best of every element set."""
    if len(order) <= _SHORTLIST:
        return order, scores
    kept = np.zeros(len(order), dtype=bool)
    for score in scores:
        ranked = np.argsort(-(score - log_costs[order]), kind="stable")
        kept[ranked[: _SHORTLIST // 2]] = True
        seen: dict[bytes, int] = {}
        for place in ranked:
            name = pool.sets[order[place]]
            seen[name] = seen.get(name, 0) + 1
            if seen[name] <= _OF_EACH_SET:
                kept[place] = True
    return order[kept], (scores[0][kept], scores[1][kept])

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

from hea_loop.acquisition import Interval, choose_batch, element_sets, nearest_distance
from hea_loop.errors import InputError

INTERVALS = (Interval("g", 0.4, 0.6),)


@dataclass(frozen=True)
class Process:
    """An exact Gaussian process on fractions, believing its mean: small enough to be checked by eye."""

    seen: np.ndarray
    values: np.ndarray
    length: float = 0.15

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return 0.05 * np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(axis=2) / self.length**2)

    def predict(self, fractions):
        if not len(self.seen):
            return {"g": (np.zeros(len(fractions)), np.full(len(fractions), 0.05**0.5))}
        inverse = np.linalg.inv(self._kernel(self.seen, self.seen) + 1e-6 * np.eye(len(self.seen)))
        cross = self._kernel(fractions, self.seen)
        variance = 0.05 - np.einsum("ij,jk,ik->i", cross, inverse, cross)
        return {"g": (cross @ inverse @ self.values, np.sqrt(np.maximum(variance, 1e-12)))}

    def condition_on_pending(self, fractions):
        mean, _ = self.predict(fractions)["g"]
        return replace(
            self, seen=np.vstack([self.seen, fractions]), values=np.concatenate([self.values, mean])
        )


NOTHING = Process(np.empty((0, 4)), np.empty(0))


def pool(number: int, seed: int = 0, elements: int = 4) -> np.ndarray:
    return 0.96 * np.random.default_rng(seed).dirichlet(np.ones(elements), number) + 0.04 / elements


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def learned(rows: np.ndarray) -> Process:
    return Process(rows, rows[:, 0])


def test_the_likeliest_candidates_come_first():
    surrogate = learned(pool(60, seed=1))
    rows = pool(400)
    chosen = choose_batch(rows, surrogate, INTERVALS, number=10, rng=rng())
    assert np.all(np.abs(rows[chosen, 0] - 0.5) < 0.12)


@pytest.mark.parametrize("distance", [0.02, 0.1])
def test_the_minimum_distance_is_kept_to_the_known_the_pending_and_each_other(distance):
    rows, pending, known = pool(300), pool(5, seed=2), pool(20, seed=3)
    chosen = choose_batch(
        rows,
        NOTHING,
        INTERVALS,
        number=12,
        rng=rng(),
        pending=pending,
        known=known,
        minimum_distance=distance,
        random_share=0.25,
    )
    batch = rows[chosen]
    assert len(chosen) == 12
    assert nearest_distance(batch, np.vstack([pending, known])).min() >= distance
    pairs = [0.5 * np.abs(a - b).sum() for a, b in combinations(batch, 2)]
    assert min(pairs) >= distance - 2.5e-4


def test_a_pending_job_sends_the_next_question_elsewhere():
    surrogate = Process(np.array([[0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0]]), np.array([0.3, 0.29]))
    rows = np.array([[0.52, 0.48, 0, 0], [0.52, 0, 0.48, 0]])
    free = choose_batch(rows, surrogate, INTERVALS, number=1, rng=rng())
    waiting = choose_batch(
        rows, surrogate, INTERVALS, number=1, rng=rng(), pending=np.array([[0.54, 0.46, 0, 0]])
    )
    assert free.tolist() == [0]
    assert waiting.tolist() == [1]


def test_a_batch_asks_in_more_places_than_its_best_candidates_lie_in():
    surrogate = Process(np.array([[0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0]]), np.array([0.33, 0.31]))
    step = np.linspace(0, 0.04, 12)[:, None]
    rows = np.vstack(
        [
            np.array([0.5, 0.5, 0, 0]) + step * np.array([1, -1, 0, 0]),
            np.array([0.5, 0, 0.5, 0]) + step * np.array([1, 0, -1, 0]),
        ]
    )
    greedy = np.argsort(-surrogate.predict(rows)["g"][0])[:4]
    chosen = choose_batch(rows, surrogate, INTERVALS, number=4, rng=rng(), minimum_distance=0.01)
    assert len(set(element_sets(rows[greedy]))) == 1
    assert len(set(element_sets(rows[chosen]))) == 2


@dataclass(frozen=True)
class Stated:
    """Says a probability for each candidate, by the share of its first element."""

    sigma: dict[float, float]

    def predict(self, fractions):
        return {
            "g": (
                np.full(len(fractions), 0.5),
                np.array([self.sigma[round(float(x[0]), 3)] for x in fractions]),
            )
        }

    def condition_on_pending(self, fractions):  # noqa: ARG002 - the surrogates' interface
        return self


# standard deviations with which a mean in the middle of 0.4 to 0.6 lies inside with this probability
SIGMA = {1.0: 0.02, 0.99: 0.0388, 0.75: 0.0869, 0.5: 0.1483, 0.45: 0.1673}


@pytest.mark.parametrize(
    ("first", "near", "far", "taken"),
    [(1.0, 1.0, 0.75, "near"), (1.0, 1.0, 0.99, "far"), (0.5, 0.5, 0.45, "far")],
)
def test_a_sure_neighbour_gives_way_to_a_sure_stranger_and_not_to_a_doubtful_one(first, near, far, taken):
    rows = np.array([[0.5, 0.5, 0, 0], [0.44, 0.56, 0, 0], [0.1, 0, 0.9, 0]])
    surrogate = Stated({0.5: 0.9 * SIGMA[first], 0.44: SIGMA[near], 0.1: SIGMA[far]})
    chosen = choose_batch(rows, surrogate, INTERVALS, number=2, rng=rng(), minimum_distance=0.05)
    assert chosen.tolist() == [0, {"near": 1, "far": 2}[taken]]


def test_the_diversity_quota_takes_element_sets_that_the_batch_and_the_pending_have_not():
    rows = pool(200)
    others = np.array([[0.05, 0.95, 0, 0], [0.05, 0, 0.95, 0], [0.05, 0, 0, 0.95], [0.06, 0.94, 0, 0]])
    everything = np.vstack([rows, others])
    surrogate = learned(pool(80, seed=1))
    plain = choose_batch(everything, surrogate, INTERVALS, number=6, rng=rng())
    mixed = choose_batch(everything, surrogate, INTERVALS, number=6, rng=rng(), diversity=0.5)
    assert len(set(element_sets(everything[plain]))) == 1
    assert len(set(element_sets(everything[mixed]))) >= 3
    waiting = choose_batch(
        everything, surrogate, INTERVALS, number=2, rng=rng(), diversity=1, pending=everything[:1]
    )
    assert min(waiting) >= 200
    assert len(set(element_sets(everything[waiting]))) == 2


def test_the_random_share_comes_last_and_is_drawn_from_the_whole_pool():
    rows = pool(400)
    surrogate = learned(pool(60, seed=1))
    chosen = choose_batch(rows, surrogate, INTERVALS, number=40, rng=rng(), random_share=0.5)
    miss = np.abs(rows[chosen, 0] - 0.5)
    assert np.all(miss[:20] < 0.2)
    assert np.mean(miss[20:] > 0.2) > 0.4


def test_a_dear_candidate_has_to_be_likelier_by_as_much():
    rows = np.array([[0.5, 0.5, 0, 0], [0.45, 0.55, 0, 0]])
    surrogate = Process(np.array([[0.55, 0.45, 0, 0]]), np.array([0.4]))
    alike = choose_batch(rows, surrogate, INTERVALS, number=1, rng=rng())
    dear = np.ones(2)
    dear[alike[0]] = 100
    assert choose_batch(rows, surrogate, INTERVALS, number=1, rng=rng(), costs=dear)[0] != alike[0]


def test_while_nothing_is_likely_part_of_the_batch_asks_where_least_is_known():
    seen = pool(30, seed=1)
    seen[:, 0] *= 0.2
    seen /= seen.sum(axis=1, keepdims=True)
    surrogate = Process(seen, np.full(30, -0.6), length=0.12)
    rows = np.vstack([pool(300), seen + 0.0])
    _, sigma = surrogate.predict(rows)["g"]
    plain = choose_batch(
        rows, surrogate, INTERVALS, number=8, rng=rng(), exploration=0, minimum_distance=0.02
    )
    wide = choose_batch(rows, surrogate, INTERVALS, number=8, rng=rng(), exploration=1, minimum_distance=0.02)
    assert sigma[wide].mean() >= sigma[plain].mean()


def test_the_same_state_gives_the_same_batch_in_whatever_order_ties_lie():
    rows = pool(900)
    first = choose_batch(rows, NOTHING, INTERVALS, number=20, rng=rng(), minimum_distance=0.05)
    assert (
        first.tolist()
        == choose_batch(rows, NOTHING, INTERVALS, number=20, rng=rng(), minimum_distance=0.05).tolist()
    )
    assert len(set(first.tolist())) == 20


def test_a_pool_that_is_used_up_gives_a_short_batch_without_twins():
    rows = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0.1, 0.9, 0, 0]])
    chosen = choose_batch(rows, NOTHING, INTERVALS, number=5, rng=rng())
    assert sorted(rows[chosen, 0].tolist()) == [0.1, 0.5]
    assert choose_batch(np.empty((0, 4)), NOTHING, INTERVALS, number=5, rng=rng()).tolist() == []


def test_a_large_pool_is_gone_through_to_its_end_when_the_shortlist_does_not_fill_the_batch():
    rows = np.vstack([np.repeat([[0.5, 0.5, 0, 0]], 700, axis=0), pool(60)])
    chosen = choose_batch(rows, learned(pool(60, seed=1)), INTERVALS, number=40, rng=rng())
    assert len(chosen) == 40


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": -1}, "number = -1"),
        ({"diversity": 1.5}, "diversity = 1.5"),
        ({"random_share": -0.1}, "random_share = -0.1"),
        ({"exploration": 2}, "exploration = 2"),
        ({"costs": np.zeros(3)}, "costs"),
        ({"costs": np.ones(2)}, "costs"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(changes, words):
    with pytest.raises(InputError, match=words):
        choose_batch(pool(3), NOTHING, INTERVALS, **{"number": 1, "rng": rng(), **changes})

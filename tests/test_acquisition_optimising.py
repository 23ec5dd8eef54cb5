from __future__ import annotations

import numpy as np
import pytest

from hea_loop.acquisition.optimising import Objective, choose_optimising, objective_score
from hea_loop.acquisition.pareto import hypervolume, pareto_front
from hea_loop.errors import InputError


def rows(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), number)


def rising(x: np.ndarray) -> np.ndarray:
    return 100 + 50 * x[:, 0]


def hidden(x: np.ndarray) -> np.ndarray:
    return 2000 + 300 * x[:, 1] - 900 * (x[:, 2] - 0.2) ** 2


def learned(maximize: bool = True, *, baseline=None) -> Objective:
    seen = rows(25, seed=1)
    return Objective("solidus", maximize, None, seen, hidden(seen), baseline)


def exact(maximize: bool = False) -> Objective:
    return Objective("density", maximize, rising)


FOUND = rows(25, seed=1)[:8]


@pytest.mark.parametrize("maximize", [True, False])
def test_one_objective_is_taken_beyond_the_best_hit_in_its_direction(maximize):
    score = objective_score([learned(maximize)], FOUND, seed=1)
    pool = rows(300)
    chosen = choose_optimising(pool, np.zeros(300), score, number=5, minimum_distance=0.02)
    sign = 1 if maximize else -1
    assert np.min(sign * hidden(pool[chosen])) > np.max(sign * hidden(FOUND)) - 5
    assert np.median(sign * hidden(pool[chosen])) > np.quantile(sign * hidden(pool), 0.97)


def test_an_objective_that_a_formula_gives_needs_no_answers():
    score = objective_score([exact(maximize=True)], FOUND, seed=1)
    pool = rows(300)
    gain = score.log_improvement(pool)
    better = rising(pool) > rising(FOUND).max()
    assert gain[better].min() > gain[~better].max()
    assert np.argmax(gain) == np.argmax(rising(pool))


def test_two_objectives_extend_the_front_at_both_ends():
    score = objective_score([learned(), exact()], FOUND, seed=1)
    pool = rows(300)
    chosen = choose_optimising(pool, np.zeros(300), score, number=8, minimum_distance=0.02)
    both = np.column_stack([hidden(pool), rising(pool)])
    before = np.column_stack([hidden(FOUND), rising(FOUND)])
    reference = np.array([before[:, 0].min(), before[:, 1].max()])
    gained = hypervolume(np.vstack([before, both[chosen]]), [True, False], reference)
    lots = [
        hypervolume(
            np.vstack([before, both[np.random.default_rng(s).choice(300, 8)]]), [True, False], reference
        )
        for s in range(20)
    ]
    assert gained > np.max(lots)


def test_what_hardly_holds_its_targets_is_not_worth_its_improvement():
    score = objective_score([learned()], FOUND, seed=1)
    pool = rows(300)
    feasible = np.where(pool[:, 1] > 0.5, -60.0, 0.0)
    chosen = choose_optimising(pool, feasible, score, number=5)
    assert np.all(pool[chosen, 1] <= 0.5)


def test_a_pending_job_takes_the_gain_of_its_neighbours():
    pool = rows(300)
    free = objective_score([exact(maximize=True)], FOUND, seed=1)
    best = pool[[np.argmax(rising(pool))]]
    waiting = objective_score([exact(maximize=True)], FOUND, seed=1, pending=best)
    assert np.all(waiting.log_improvement(pool) <= free.log_improvement(pool) + 1e-9)
    assert waiting.log_improvement(best)[0] < free.log_improvement(best)[0] - 1


def test_the_baseline_carries_the_trend_where_nothing_has_been_answered():
    def trend(x: np.ndarray) -> np.ndarray:
        return 1800 + 1000 * x[:, 0]

    seen = rows(40, seed=1)
    seen = seen[seen[:, 0] < 0.4]
    informed = Objective("solidus", True, None, seen, trend(seen) - 20, trend)
    score = objective_score([informed], seen, seed=1)
    far = np.array([[0.9, 0.05, 0.05], [0.45, 0.3, 0.25]])
    gain = score.log_improvement(far)
    assert gain[0] > gain[1]
    assert np.exp(gain[0]) == pytest.approx(trend(far[:1])[0] - trend(seen).max(), rel=0.3)


def test_the_same_seed_gives_the_same_worth_and_leaves_the_global_generator_alone():
    import torch

    torch.manual_seed(3)
    before = torch.get_rng_state()
    gains = [objective_score([learned(), exact()], FOUND, seed=4).log_improvement(rows(20)) for _ in range(2)]
    assert np.array_equal(*gains)
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_hit_or_an_answer_there_is_nothing_to_improve_upon():
    assert objective_score([learned()], FOUND[:0], seed=1) is None
    assert objective_score([Objective("solidus", True, None, FOUND[:1], np.ones(1))], FOUND, seed=1) is None
    with pytest.raises(InputError, match="objectives"):
        objective_score([], FOUND, seed=1)


def test_the_front_is_what_nobody_beats():
    values = np.array([[1, 5], [2, 4], [2, 5], [3, 1], [0, 9]])
    assert pareto_front(values, [True, False]).tolist() == [False, False, False, True, False]
    assert pareto_front(values, [True, True]).tolist() == [False, False, True, True, True]
    assert pareto_front(np.array([[1.0], [1.0], [0.0]]), [True]).tolist() == [True, True, False]


def test_the_hypervolume_of_a_staircase_is_the_area_below_it():
    stairs = np.array([[1, 3], [2, 2], [3, 1]], dtype=float)
    assert hypervolume(stairs, [True, True], np.zeros(2)) == pytest.approx(6)
    assert hypervolume(-stairs, [False, False], np.zeros(2)) == pytest.approx(6)
    assert hypervolume(np.array([[4.0]]), [True], np.array([1.5])) == pytest.approx(2.5)
    assert hypervolume(stairs, [True, True], np.full(2, 5.0)) == 0
    cubes = np.array([[2, 1, 1], [1, 2, 1], [1, 1, 2]], dtype=float)
    assert hypervolume(cubes, [True] * 3, np.zeros(3)) == pytest.approx(4)

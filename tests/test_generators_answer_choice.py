"""Which steered draws become answers: the best tier, far from each other, and pairs of elements as they are wanted."""

import numpy as np

from hea_loop.generators.answer_choice import Candidates, chosen, pair_tilt
from hea_loop.generators.quality import diversity


def candidates(x: np.ndarray, condition: np.ndarray, **given: np.ndarray) -> Candidates:
    n = len(x)
    filled = {"gap": np.zeros(n), "moved": np.zeros(n), "nearest": np.ones(n), "doubt": np.zeros(n)} | given
    return Candidates(fractions=x, condition=condition, **filled)


def with_elements(number: int, present: np.ndarray, seed: int) -> np.ndarray:
    """``number`` rows with random amounts of the present elements."""
    raw = np.random.default_rng(seed).exponential(size=(number, present.shape[-1])) * present
    return raw / raw.sum(axis=1, keepdims=True)


def test_new_draws_that_meet_come_first_then_known_ones_then_repetitions_and_the_nearest_of_the_others_last() -> (
    None
):
    x = np.array([[0.5, 0.5], [0.4, 0.6], [0.401, 0.599], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    given = candidates(
        x,
        np.zeros(6, dtype=np.intp),
        gap=np.array([0.002, 0.001, 0.001, 0.5, 0.003, 0.2]),
        nearest=np.array([0.5, 0.5, 0.5, 0.5, 0.001, 0.5]),
    )
    tier = given.tiers(0.01)
    assert tier.tolist() == [0, 0, 0, 2, 1, 2]
    liking = np.array([0.0, 50.0, 0.0, 0.0, 0.0, 0.0])
    (rows,) = chosen(given, tier, liking, np.array([6]), variety=0.0, rng=np.random.default_rng(1))
    assert rows.tolist() == [1, 0, 4, 2, 5, 3]


def test_variety_draws_answers_to_one_condition_apart_and_each_condition_gets_its_own() -> None:
    x = with_elements(600, np.ones(4), seed=2)
    condition = np.repeat([0, 1], 300)
    given, liking = candidates(x, condition), np.zeros(600)
    spread = []
    for variety in (0.0, 60.0):
        rng = np.random.default_rng(3)
        first, second = chosen(given, given.tiers(0.01), liking, np.array([20, 5]), variety=variety, rng=rng)
        assert (condition[first] == 0).all()
        assert (condition[second] == 1).all()
        assert (len(set(first)), len(set(second))) == (20, 5)
        spread.append(diversity(x[first]))
    assert spread[1] > spread[0] + 0.05


def test_the_tilt_gives_pairs_of_elements_the_wanted_frequencies_and_leaves_right_ones_alone() -> None:
    rng = np.random.default_rng(4)
    kinds = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
    kind = rng.choice(4, 4000, p=[0.1, 0.1, 0.2, 0.6])
    x = with_elements(4000, kinds[kind], seed=5)
    condition = np.repeat(np.arange(40), 100)
    wanted = with_elements(500, kinds[rng.choice(4, 500, p=[0.4, 0.3, 0.2, 0.1])], seed=6)

    def together(weight: np.ndarray) -> float:
        """How often elements 1 and 2 stand in one alloy, each condition counting alike."""
        both = (x[:, 1] > 0) & (x[:, 2] > 0)
        return float(
            np.mean([np.average(both[condition == k], weights=weight[condition == k]) for k in range(40)])
        )

    tilt = pair_tilt(x, np.zeros(4000), condition, wanted, np.random.default_rng(7))
    aim = float(((wanted[:, 1] > 0) & (wanted[:, 2] > 0)).mean())
    assert abs(together(np.ones(4000)) - aim) > 0.15
    assert abs(together(np.exp(tilt)) - aim) < 0.05
    same = pair_tilt(x, np.zeros(4000), condition, x, np.random.default_rng(7))
    assert np.abs(np.exp(same - same.mean()) - 1).max() < 0.02


def test_more_candidates_than_the_tilt_is_found_on_are_tilted_alike() -> None:
    rng = np.random.default_rng(8)
    present = rng.random((30_000, 3)) < 0.7
    present[:, 0] = True
    x = with_elements(30_000, present, seed=9)
    condition = np.repeat(np.arange(30), 1000)
    wanted = x[present.sum(axis=1) == 2]
    tilt = pair_tilt(x, np.zeros(30_000), condition, wanted, np.random.default_rng(10))
    few = pair_tilt(x[::3], np.zeros(10_000), condition[::3], wanted, np.random.default_rng(10))
    assert np.abs(tilt[::3] - few).max() < 0.2
    assert tilt[present.sum(axis=1) == 2].mean() > tilt[present.sum(axis=1) == 3].mean() + 1

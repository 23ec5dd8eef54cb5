"""Answers whose learned properties hold: surer than by the mean alone, and formulas are left as exact as they were."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.assurance import Assurance
from hea_loop.generators.property_models import closed_form_value, property_model
from hea_loop.generators.protocol import TrainingData
from hea_loop.generators.quality import diversity

Array = NDArray[np.float64]

ELEMENTS = ("Hf", "Mo", "Nb", "Ta", "Ti")
NAMES = ("density", "hardness")


def density(x: Array) -> Array:
    return np.asarray(closed_form_value(torch.as_tensor(x), ELEMENTS, "density").numpy())


def hardness(x: Array) -> Array:
    """A rough function, of which 60 rows tell only part."""
    return np.asarray(300 * np.exp(np.sin(9 * x[:, 0] + 4 * x[:, 1]) + np.cos(8 * x[:, 2] - 5 * x[:, 4])))


@lru_cache(maxsize=1)
def given() -> tuple[Assurance, Array]:
    """Assurance of conditions of alloys never seen, and those conditions."""
    rng = np.random.default_rng(2)
    x = rng.dirichlet(np.ones(5), 90)
    values = np.column_stack([density(x), hardness(x)])
    data = TrainingData(ELEMENTS, x[:60], values[:60], NAMES, closed_form=("density",))
    model = property_model(data, seed=1)
    wanted = model.to_coordinates(values[60:])
    units = np.where([name in model.logarithmic for name in NAMES], 1.0, np.abs(wanted))
    return Assurance(model, data, AllowedRegion.of(data, None), units, wanted, 0.01, 0.05, 30), values[60:]


def test_the_surest_answers_hold_more_often_than_those_that_are_right_by_the_mean() -> None:
    sure, values = given()
    number = np.full(len(values), 4)
    found = sure.from_known(number, 2, np.random.default_rng(1))
    met = found.gap <= 0
    assert met.mean() > 0.9

    # the surest of each condition against all those that the same search would call right
    stated = np.exp(-found.doubt)
    off = np.abs(hardness(found.fractions) / values[found.condition, 1] - 1)
    best = [
        rows[np.argmax(stated[rows])]
        for rows in (np.flatnonzero(met & (found.condition == k)) for k in range(len(values)))
        if len(rows)
    ]
    assert (off[best] <= 0.05).mean() > (off[met] <= 0.05).mean()
    # and no more is promised than comes true, as far as 30 conditions tell
    assert stated[met].mean() < (off[met] <= 0.05).mean() + 0.1


def test_climbing_makes_answers_surer_and_keeps_a_formula_within_its_tolerance() -> None:
    sure, values = given()
    rows = np.arange(len(values))
    start = sure.from_known(np.ones(len(values), dtype=int), 1, np.random.default_rng(3))
    again = sure.climbed(start.fractions, start.condition, start.moved)
    assert (np.exp(-again.doubt) >= np.exp(-start.doubt) - 1e-9).all()
    assert set(start.condition) <= set(rows)
    met = start.gap <= 0
    off = np.abs(density(start.fractions) / values[start.condition, 0] - 1)
    assert off[met].max() <= 0.0101
    np.testing.assert_allclose(start.fractions.sum(axis=1), 1)


def test_answers_to_one_condition_move_apart_on_their_elements_and_stay_right_and_probable() -> None:
    sure, values = given()
    number = np.full(len(values), 8)
    number[0] = 1  # has nothing to move away from
    found = sure.from_known(number, 1, np.random.default_rng(4))
    moved, origin = sure.apart(found, 2.0)
    assert 0 not in moved.condition
    np.testing.assert_array_equal(moved.condition, found.condition[origin])
    np.testing.assert_array_equal(moved.fractions > 0, found.fractions[origin] > 0)
    likely = np.exp(-found.doubt)
    assert likely[origin].min() >= 0.003
    assert set(np.flatnonzero((likely > 0.01) & (found.condition > 0))) <= set(origin)

    off = np.abs(density(moved.fractions) / values[moved.condition, 0] - 1)
    assert off.max() <= 0.0101
    lost = likely[origin].mean() - np.exp(-moved.doubt).mean()
    won = np.mean(
        [
            diversity(moved.fractions[moved.condition == k])
            - diversity(found.fractions[origin][moved.condition == k])
            for k in np.unique(moved.condition)
        ]
    )
    assert won > 0.01
    assert 2.0 * won > lost
    np.testing.assert_allclose(
        moved.moved - found.moved[origin],
        0.5 * np.abs(moved.fractions - found.fractions[origin]).sum(axis=1),
    )


def test_an_open_condition_asks_for_nothing() -> None:
    sure, values = given()
    wanted = sure.conditions.copy()
    wanted[:, 1] = np.nan
    units = np.where(np.isfinite(wanted), sure.units, 1.0)
    free = Assurance(sure.model, sure.data, sure.region, units, wanted, 0.01, 0.05, 10)
    found = free.from_known(np.ones(len(values), dtype=int), 1, np.random.default_rng(3))
    assert np.exp(-found.doubt)[found.gap <= 0].min() > 0.9

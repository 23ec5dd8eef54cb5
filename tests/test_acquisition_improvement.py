from __future__ import annotations

import numpy as np
import pytest

from hea_loop.acquisition import Interval, climb, improve, log_probability_all
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.prediction import predict_array

TIGHT = Palette(
    elements=("Hf", "Mo", "Nb", "Ti", "V", "W"),
    lower=(50, 20, 1, 100, 1, 1),
    upper=(300, 350, 500, 600, 400, 250),
    required=(False, False, True, False, False, False),
    min_elements=3,
    max_elements=4,
)


class Formulas:
    """Density and shear modulus as the prediction loop has them: known exactly."""

    def predict(self, fractions):
        values = predict_array(fractions, TIGHT.elements, ("density", "shear_modulus"))
        return {name: (value, np.full(len(value), 0.5)) for name, value in values.items()}

    def condition_on_pending(self, fractions):  # noqa: ARG002 - exact: there is nothing to learn
        return self


WANTED = (Interval("density", 7.0, 7.3), Interval("shear_modulus", 50, 53))


def start(number: int = 60) -> np.ndarray:
    drawn = TIGHT.sample_uniform(number, np.random.default_rng(0))
    return np.array([c.fraction_vector(TIGHT.elements) for c in drawn])


def inside(rows: np.ndarray) -> np.ndarray:
    values = Formulas().predict(rows)
    return np.all([(values[i.name][0] >= i.low) & (values[i.name][0] <= i.high) for i in WANTED], axis=0)


def test_candidates_far_from_every_target_climb_into_them():
    before = start()
    after = improve(before, Formulas(), WANTED, TIGHT, np.random.default_rng(1), steps=250)
    assert inside(before).mean() < 0.1
    assert inside(after).mean() > 0.6


def test_no_candidate_gets_worse_and_all_stay_in_the_palette_exactly():
    before = start()
    after = improve(before, Formulas(), WANTED, TIGHT, np.random.default_rng(2), steps=60)
    assert np.allclose(np.round(after * 1000), after * 1000)
    assert all(TIGHT.contains(Composition.from_fractions(TIGHT.elements, row)) for row in after)
    scores = [
        log_probability_all(Formulas().predict(rows), WANTED, softness=0.01) for rows in (before, after)
    ]
    assert np.all(scores[1] >= scores[0] - 1e-9)


def test_moves_change_which_elements_are_present_within_their_numbers():
    before = start()
    after = improve(before, Formulas(), WANTED, TIGHT, np.random.default_rng(3), steps=60)
    assert np.any((before > 0) != (after > 0))
    assert set((after > 0).sum(axis=1)) <= {3, 4}


def test_a_candidate_that_is_as_good_as_certain_stays_where_it_is():
    rows = start(5)
    moved = climb(rows, lambda x: x[:, 0], TIGHT, np.random.default_rng(4), 30, enough=-1.0)
    assert np.array_equal(moved, rows)


def test_different_starts_stay_different():
    after = improve(start(), Formulas(), WANTED, TIGHT, np.random.default_rng(1), steps=120)
    assert len(np.unique(after, axis=0)) > 50


def test_the_same_generator_state_gives_the_same_candidates():
    one, other = (
        improve(start(), Formulas(), WANTED, TIGHT, np.random.default_rng(9), steps=20) for _ in range(2)
    )
    assert np.array_equal(one, other)


def test_rows_outside_the_palette_and_negative_steps_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"fractions\[0\].*outside the palette"):
        improve(np.array([[0.9, 0.1, 0, 0, 0, 0]]), Formulas(), WANTED, TIGHT, rng)
    with pytest.raises(InputError, match="is not n x 6"):
        improve(np.array([[0.9, 0.1]]), Formulas(), WANTED, TIGHT, rng)
    with pytest.raises(InputError, match="steps = -1"):
        improve(start(2), Formulas(), WANTED, TIGHT, rng, steps=-1)

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from hea_loop.acquisition import Interval, intervals_of, log_probability_all, probability_all
from hea_loop.errors import InputError


def one(mean: float, sigma: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"density": (np.array([mean]), np.array([sigma]))}


@given(st.floats(-3, 3), st.floats(0.2, 3), st.floats(-3, 2), st.floats(0.1, 4))
def test_the_probability_is_the_normal_mass_inside_the_interval(mean, sigma, low, width):
    expected, _ = quad(norm(mean, sigma).pdf, low, low + width)
    got = probability_all(one(mean, sigma), [Interval("density", low, low + width)])
    assert got[0] == pytest.approx(expected, abs=1e-7)


def test_the_properties_multiply():
    predictions = {"a": (np.zeros(2), np.ones(2)), "b": (np.array([0.0, 1.0]), np.array([1.0, 2.0]))}
    both = probability_all(predictions, intervals_of({"a": (0, None), "b": (None, 1)}))
    assert both == pytest.approx([0.5 * norm.cdf(1), 0.25])


@pytest.mark.parametrize("side", [1, -1])
def test_far_outside_the_logarithm_still_tells_which_is_nearer(side):
    means = side * np.array([30.0, 60.0, 400.0])
    log = log_probability_all({"a": (means, np.ones(3))}, [Interval("a", -1, 1)])
    assert np.all(np.isfinite(log))
    assert np.all(np.diff(log) < 0)
    # asymptotic tail of the normal law: log Q(x) is about -x^2/2 - log(x sqrt(2 pi))
    assert log[0] == pytest.approx(-(29**2) / 2 - math.log(29 * math.sqrt(2 * math.pi)), abs=2e-3)


def test_what_is_known_exactly_holds_or_does_not_and_the_ends_belong_to_the_interval():
    predictions = {"a": (np.array([0.9, 1.0, 2.0, 2.1]), np.zeros(4))}
    assert probability_all(predictions, [Interval("a", 1, 2)]).tolist() == [0, 1, 1, 0]


def test_softness_tells_how_far_outside_something_known_exactly_lies():
    predictions = {"a": (np.array([1.5, 2.2, 2.6]), np.zeros(3))}
    log = log_probability_all(predictions, [Interval("a", 1, 2)], softness=0.1)
    assert log[0] > -1e-4
    assert log[0] > log[1] > log[2] > -np.inf


def test_wider_uncertainty_favours_the_unknown_over_the_surely_missed():
    predictions = {"a": (np.array([2.0, 4.0]), np.array([0.2, 1.0]))}
    far = [Interval("a", None, 0.0)]
    assert np.argmax(log_probability_all(predictions, far)) == 1
    near_sure = {"a": (np.array([0.6, 3.0]), np.array([0.25, 1.0]))}
    assert np.argmax(log_probability_all(near_sure, far)) == 0
    gain = log_probability_all(near_sure, far, inflation=3.0) - log_probability_all(near_sure, far)
    assert np.all(gain > 0)


def test_no_interval_always_holds():
    assert probability_all(one(0, 1), []).tolist() == [1.0]


@pytest.mark.parametrize(("low", "high"), [(2, 1), (math.nan, 1), (0, math.nan)])
def test_an_interval_upside_down_or_of_no_number_is_refused(low, high):
    with pytest.raises(InputError, match="is not an interval"):
        Interval("density", low, high)


def test_an_interval_without_a_prediction_is_refused_by_name():
    with pytest.raises(InputError, match=r"solidus.*has no prediction"):
        probability_all(one(0, 1), [Interval("solidus", 1, 2)])

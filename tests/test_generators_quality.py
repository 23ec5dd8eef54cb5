"""Measures of a generator on cases that can be worked out by hand."""

import numpy as np
import pytest

from hea_loop.errors import InputError
from hea_loop.generators import quality

PURE = np.eye(3)


def test_diversity_is_zero_for_one_repeated_answer_and_one_for_disjoint_ones():
    assert quality.diversity(np.tile([0.2, 0.3, 0.5], (7, 1))) == 0
    assert quality.diversity(PURE) == pytest.approx(1)


def test_diversity_averages_over_pairs_and_not_over_an_alloy_with_itself():
    answers = np.array([[1.0, 0, 0], [1.0, 0, 0], [0.6, 0.4, 0]])
    assert quality.diversity(answers) == pytest.approx((0 + 0.4 + 0.4) / 3)


def test_diversity_of_one_answer_is_refused():
    with pytest.raises(InputError):
        quality.diversity(PURE[:1])


def test_an_alloy_two_percent_away_is_new_and_a_nearer_one_is_not():
    known = np.array([[0.5, 0.5, 0.0]])
    made = np.array([[0.52, 0.48, 0.0], [0.515, 0.485, 0.0], [0.5, 0.475, 0.025], [0.5, 0.5, 0.0]])
    assert quality.novelty(made, known, 0.0199) == 0.5


def test_traces_are_dropped_and_the_rest_sums_to_one():
    out = quality.without_traces(np.array([[0.599, 0.398, 0.003], [0.005, 0.495, 0.5]]))
    assert out[0] == pytest.approx([0.599 / 0.997, 0.398 / 0.997, 0])
    assert out[1] == pytest.approx([0.005, 0.495, 0.5])


def test_a_row_of_traces_alone_keeps_its_largest():
    out = quality.without_traces(np.array([[0.5, 0.3, 0.2]]), least=0.9)
    assert out.tolist() == [[1.0, 0.0, 0.0]]


def test_element_counts_are_shares_of_alloys():
    x = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.8, 0], [0.3, 0.3, 0.4]])
    assert quality.element_count_histogram(x).tolist() == [0.25, 0.5, 0.25]
    assert quality.histogram_distance(np.array([1.0, 0, 0]), np.array([0.25, 0.5, 0.25])) == 0.75


def test_pair_correlation_is_one_for_inseparable_and_minus_one_for_exclusive_elements():
    x = np.array([[0.5, 0.5, 0, 0], [0, 0, 1.0, 0], [0.2, 0.8, 0, 0], [0, 0, 1.0, 0]])
    r = quality.pair_correlation(x)
    assert r[0, 1] == pytest.approx(1)
    assert r[0, 2] == pytest.approx(-1)
    assert r[0, 3] == 0  # the fourth element is in no alloy
    assert np.diag(r).tolist() == [1, 1, 1, 1]


def test_pair_correlation_distance_averages_over_the_pairs():
    together = np.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    apart = np.array([[1.0, 0.0], [0.0, 1.0]])
    expected = abs(quality.pair_correlation(together)[0, 1] - (-1))
    assert quality.pair_correlation_distance(together, apart) == pytest.approx(expected)
    assert quality.pair_correlation_distance(together, together) == 0


def test_conditional_error_has_mean_median_bias_and_the_share_inside_the_tolerance():
    got = quality.conditional_error(np.array([85.0, 90.0, 99.0]), np.array([90.0]), 5)
    assert got == pytest.approx(
        {"mean": 274 / 3, "median": 90, "mae": 14 / 3, "bias": 4 / 3, "share_within": 2 / 3}
    )

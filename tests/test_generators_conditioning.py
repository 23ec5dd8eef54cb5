"""The density of the data's conditions, and conditions drawn for targets."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gaussian_kde, ks_2samp

from hea_loop.errors import InputError
from hea_loop.generators import ConditionDensity, TrainingData, conditions_for_targets

NAMES = ("shear_modulus", "fracture_toughness_rice")


def correlated(n=400, seed=3):
    rng = np.random.default_rng(seed)
    g = rng.gamma(6, 9, n) + 25
    return np.column_stack([g, 0.005 * g + rng.normal(0, 0.02, n)])


def data(conditions, names=NAMES):
    return TrainingData(("Nb", "Ta"), np.tile([0.5, 0.5], (len(conditions), 1)), conditions, names)


def test_a_kernel_has_the_covariance_that_scipy_gives_it():
    c = correlated()
    density = ConditionDensity(c)
    expected = gaussian_kde(((c - density.mean) / density.scale).T).covariance
    assert density.covariance == pytest.approx(expected, rel=1e-10)


def test_samples_follow_the_density_that_scipy_samples():
    c = correlated()
    mine = ConditionDensity(c).sample(4000, np.random.default_rng(1))
    theirs = gaussian_kde(c.T).resample(4000, seed=np.random.default_rng(2)).T
    for axis in ([1.0, 0.0], [0.0, 1.0], [0.005, -1.0]):
        assert ks_2samp(mine @ axis, theirs @ axis).pvalue > 1e-3


def test_properties_that_are_not_given_follow_the_density_given_the_others():
    c = correlated()
    draws = gaussian_kde(c.T).resample(400_000, seed=np.random.default_rng(4)).T
    near = draws[np.abs(draws[:, 0] - 80) < 1, 1]
    mine = ConditionDensity(c).sample_given(np.full((4000, 1), 80.0), [0], np.random.default_rng(5))
    assert (mine[:, 0] == 80).all()
    assert ks_2samp(mine[:, 1], near).pvalue > 1e-3


def test_collinear_properties_are_sampled_on_their_line():
    c = correlated()
    c[:, 1] = 2 * c[:, 0] + 1
    drawn = ConditionDensity(c).sample(200, np.random.default_rng(0))
    assert drawn[:, 1] == pytest.approx(2 * drawn[:, 0] + 1, rel=1e-6)


def test_a_constant_property_is_refused():
    c = correlated()
    c[:, 1] = 0.3
    with pytest.raises(InputError, match="leave out a property that is constant"):
        ConditionDensity(c)


bound = st.one_of(st.none(), st.floats(-500, 900, allow_nan=False), st.just(math.inf), st.just(-math.inf))


@settings(max_examples=60, deadline=None)
@given(one=bound, other=bound, k=st.tuples(st.floats(-1, 2), st.floats(0, 1)))
def test_every_targeted_value_lies_in_its_interval_wherever_that_is(one, other, k):
    low = -math.inf if one is None else one
    high = math.inf if other is None else other
    if low > high or low == math.inf or high == -math.inf:
        return
    targets = {NAMES[0]: (one, other), NAMES[1]: (k[0], k[0] + k[1])}
    drawn = conditions_for_targets(data(correlated()), targets, 50, np.random.default_rng(1))
    assert drawn.shape == (50, 2)
    assert np.isfinite(drawn).all()
    assert ((drawn[:, 0] >= low) & (drawn[:, 0] <= high)).all()
    assert ((drawn[:, 1] >= k[0]) & (drawn[:, 1] <= k[0] + k[1])).all()


def test_inside_the_data_the_conditions_follow_the_restricted_density():
    c = correlated()
    drawn = conditions_for_targets(data(c), {NAMES[0]: (60, 100)}, 2000, np.random.default_rng(1))
    draws = gaussian_kde(c.T).resample(60_000, seed=np.random.default_rng(2)).T
    held = draws[(draws[:, 0] >= 60) & (draws[:, 0] <= 100)]
    for j in (0, 1):
        assert ks_2samp(drawn[:, j], held[:, j]).pvalue > 1e-3


def test_targets_that_are_no_conditions_are_not_asked_for():
    drawn = conditions_for_targets(data(correlated()), {"density": (1, 2)}, 20, np.random.default_rng(1))
    assert np.array_equal(drawn, ConditionDensity(correlated()).sample(20, np.random.default_rng(1)))


def test_an_open_side_far_from_the_data_ends_near_its_finite_side():
    drawn = conditions_for_targets(data(correlated()), {NAMES[0]: (900, None)}, 20, np.random.default_rng(1))
    assert (drawn[:, 0] == 900).all()


@pytest.mark.parametrize("interval", [(2, 1), (math.nan, 1), (1, math.nan)])
def test_what_is_no_interval_is_refused_by_its_name(interval):
    with pytest.raises(InputError, match=r"targets\.shear_modulus"):
        conditions_for_targets(data(correlated()), {NAMES[0]: interval}, 5, np.random.default_rng(1))


@pytest.mark.parametrize("interval", [(math.inf, None), (None, -math.inf)])
def test_an_interval_with_nothing_in_it_is_refused(interval):
    with pytest.raises(InputError, match=r"targets\.shear_modulus"):
        conditions_for_targets(data(correlated()), {NAMES[0]: interval}, 5, np.random.default_rng(1))


def test_what_is_not_asked_for_is_drawn_given_what_is():
    c = correlated()
    density = ConditionDensity(c)
    wanted = np.array([[90.0, np.nan]] * 200 + [[np.nan, np.nan]] * 200 + [[60.0, 0.3]])
    drawn = density.complete(wanted, np.random.default_rng(1))
    assert (drawn[:200, 0] == 90).all()
    assert drawn[:200, 1].mean() == pytest.approx(0.45, abs=0.02)
    assert drawn[200:400].std(axis=0) == pytest.approx(c.std(axis=0), rel=0.2)
    assert drawn[400].tolist() == [60.0, 0.3]


def test_alloys_with_an_unknown_property_teach_the_joint_density_nothing():
    c = correlated()
    holes = np.vstack([c, [[500.0, np.nan], [np.nan, 9.0]]])
    assert ConditionDensity(holes).mean == pytest.approx(ConditionDensity(c).mean)
    with pytest.raises(InputError, match="too few alloys"):
        ConditionDensity(np.array([[1.0, np.nan], [np.nan, 2.0], [2.0, 1.0]]))

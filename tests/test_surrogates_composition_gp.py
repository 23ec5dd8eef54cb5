"""One property on composition: what the process knows, how sure it is, and that it can be kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hea_loop.elements import element_vector
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array
from hea_loop.surrogates.composition_gp import CompositionGP, LinearCombination
from hea_loop.surrogates.descriptors import element_embedding
from hea_loop.surrogates.kernels import CompositionKernel

ELEMENTS = ("Mo", "Nb", "Ti", "V")
MEAN = LinearCombination(tuple(element_vector(ELEMENTS, "shear_modulus")))


def property_of(x: np.ndarray) -> np.ndarray:
    """The linear combination with a bowing that the prior mean does not know."""
    return predict_array(x, ELEMENTS, ("shear_modulus",))["shear_modulus"] + 60 * x[:, 0] * x[:, 2] - 8


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(4), 90)


@pytest.fixture(scope="module")
def fitted(rows) -> CompositionGP:
    return CompositionGP.fit(ELEMENTS, rows[:60], property_of(rows[:60]), prior_mean=MEAN)


@pytest.fixture(scope="module")
def scattered(rows) -> CompositionGP:
    """Of values with a scatter of 3 GPa."""
    values = property_of(rows[:60]) + np.random.default_rng(3).normal(0, 3, 60)
    return CompositionGP.fit(ELEMENTS, rows[:60], values, prior_mean=MEAN)


def test_it_foretells_new_alloys_far_better_than_its_prior_mean(rows, fitted):
    truth = property_of(rows[60:])
    mean, sigma = fitted.predict(rows[60:])
    miss = np.abs(mean - truth)
    assert miss.mean() < 0.05 * np.abs(MEAN(torch.as_tensor(rows[60:])).numpy() - truth).mean()
    assert np.mean(miss < 3 * sigma) > 0.9


def test_the_same_rows_give_the_same_model_whatever_the_number_of_threads(rows, fitted):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = CompositionGP.fit(ELEMENTS, rows[:60], property_of(rows[:60]), prior_mean=MEAN)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for one, two in zip(fitted.predict(rows), again.predict(rows), strict=True):
        assert np.array_equal(one, two)


def test_a_state_restores_the_model_exactly(rows, fitted):
    restored = CompositionGP.from_state(fitted.state())
    for one, two in zip(fitted.predict(rows), restored.predict(rows), strict=True):
        assert np.array_equal(one, two)


def test_the_state_of_a_function_as_prior_mean_asks_for_it_again(rows):
    fitted = CompositionGP.fit(ELEMENTS, rows[:5], rows[:5, 0], prior_mean=lambda x: x[:, 0])
    with pytest.raises(InputError, match="prior_mean"):
        CompositionGP.from_state(fitted.state())
    restored = CompositionGP.from_state(fitted.state(), prior_mean=lambda x: x[:, 0])
    assert np.array_equal(restored.predict(rows)[0], fitted.predict(rows)[0])


def test_the_mean_of_a_tensor_is_that_of_the_array_and_has_the_slope_of_finite_differences(rows, fitted):
    x = torch.tensor(rows[60:64], requires_grad=True)
    mean = fitted.mean(x)
    assert mean.detach().numpy() == pytest.approx(fitted.predict(rows[60:64])[0], abs=1e-8)
    (slope,) = torch.autograd.grad(mean.sum(), x)
    step = torch.zeros_like(x)
    step[:, 2] = 1e-5
    with torch.no_grad():
        numeric = (fitted.mean(x + step) - fitted.mean(x - step)) / 2e-5
    assert slope[:, 2].numpy() == pytest.approx(numeric.numpy(), rel=1e-4)


def test_conditioning_gives_what_a_factor_of_all_rows_gives(rows, fitted):
    more = fitted.condition_on(rows[60:70], property_of(rows[60:70]))
    rebuilt = CompositionGP.from_state(more.state())
    for one, two in zip(more.predict(rows[70:]), rebuilt.predict(rows[70:]), strict=True):
        assert one == pytest.approx(two, abs=1e-6)
    truth = property_of(rows[60:70])
    assert (
        np.abs(more.predict(rows[60:70])[0] - truth).mean()
        < 0.5 * np.abs(fitted.predict(rows[60:70])[0] - truth).mean()
    )


def test_a_pending_alloy_makes_its_surroundings_surer_and_leaves_the_mean(rows):
    fitted = CompositionGP.fit(ELEMENTS, rows[:10], property_of(rows[:10]), prior_mean=MEAN)
    pending = fitted.condition_on_pending(rows[80:81])
    (before, wide), (after, narrow) = fitted.predict(rows), pending.predict(rows)
    assert after == pytest.approx(before, abs=1e-6)
    assert np.all(narrow <= wide + 1e-9)
    assert narrow[80] < 0.7 * wide[80]


def test_leaving_groups_out_in_closed_form_gives_what_leaving_them_out_gives(rows, scattered):
    groups = [str(i % 6) for i in range(60)]
    mean, sigma = scattered.left_out(groups)
    held = np.array(groups) == "2"
    state = scattered.state()
    for name in ("fractions", "differences", "noise"):
        state[name] = state[name][torch.as_tensor(~held)]
    other = CompositionGP.from_state(state)
    expected, width = other.predict(rows[:60][held], noise=True)
    assert mean[held] == pytest.approx(expected, abs=1e-4)
    assert sigma[held] == pytest.approx(width, rel=1e-3)


def test_calibration_makes_the_left_out_rows_lie_within_their_intervals(rows, scattered):
    groups = [str(i % 6) for i in range(60)]
    mean, sigma = scattered.left_out(groups)
    observed = property_of(rows[:60]) + np.random.default_rng(3).normal(0, 3, 60)
    calibrated = scattered.calibrated(groups)
    inside = np.abs(mean - observed) <= 1.96 * calibrated.widening * sigma
    assert 0.93 <= inside.mean() <= 0.97
    assert calibrated.predict(rows)[1] == pytest.approx(calibrated.widening * scattered.predict(rows)[1])


def test_known_noise_is_taken_and_unknown_noise_is_learned():
    rng = np.random.default_rng(2)
    x = rng.dirichlet(np.ones(4), 120)
    y = property_of(x) + rng.normal(0, 5, 120)
    learned = CompositionGP.fit(ELEMENTS, x, y, prior_mean=MEAN)
    assert 3.5 < learned.spread * np.sqrt(learned.new_noise) < 6.5
    noise = np.where(np.arange(120) < 60, 5.0, np.nan)
    mixed = CompositionGP.fit(ELEMENTS, x, y, prior_mean=MEAN, noise=noise)
    assert mixed.spread * np.sqrt(mixed.noise[:60].numpy()) == pytest.approx(np.full(60, 5.0))
    assert np.abs(mixed.predict(x)[0] - property_of(x)).mean() < 0.6 * np.abs(y - property_of(x)).mean()


def test_rows_without_a_value_are_left_out(rows):
    y = np.where(np.arange(30) < 20, property_of(rows[:30]), np.nan)
    with_gaps = CompositionGP.fit(ELEMENTS, rows[:30], y)
    without = CompositionGP.fit(ELEMENTS, rows[:20], y[:20])
    assert np.array_equal(with_gaps.predict(rows)[0], without.predict(rows)[0])


@pytest.mark.parametrize(
    ("fractions", "values", "noise", "said"),
    [
        (np.ones((2, 3)) / 3, np.ones(2), None, "is not n x 4"),
        (np.ones((2, 4)) / 4, np.ones(3), None, "do not fit 2 compositions"),
        (np.ones((2, 4)), np.ones(2), None, "no composition"),
        (np.ones((2, 4)) / 4, np.full(2, np.nan), None, "no known value"),
        (np.ones((2, 4)) / 4, np.ones(2), -1.0, "not a standard deviation"),
    ],
)
def test_rows_that_make_no_sense_are_refused(fractions, values, noise, said):
    with pytest.raises(InputError, match=said):
        CompositionGP.fit(ELEMENTS, fractions, values, noise=noise)


def test_every_row_can_be_a_group_of_its_own(rows, scattered):
    mean, sigma = scattered.left_out([str(i) for i in range(60)])
    assert mean.shape == sigma.shape == (60,)
    assert np.all(sigma > 0)


def test_the_left_out_density_is_that_of_each_row_foretold_from_the_others(rows, scattered):
    values = property_of(rows[:60]) + np.random.default_rng(3).normal(0, 3, 60)
    mean, sigma = scattered.left_out([str(i) for i in range(60)])
    expected = -0.5 * ((values - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    assert scattered.left_out_density() == pytest.approx(expected.mean(), rel=1e-6)


def test_a_model_that_sees_the_descriptors_of_strengthening_is_kept_with_them(rows):
    more = CompositionGP.fit(ELEMENTS, rows[:40], property_of(rows[:40]), strengthening=True)
    plain = CompositionGP.fit(ELEMENTS, rows[:40], property_of(rows[:40]))
    assert len(more.state()["theta"]) == len(plain.state()["theta"]) + 4
    assert np.array_equal(CompositionGP.from_state(more.state()).predict(rows)[1], more.predict(rows)[1])
    without_a_word = {k: v for k, v in plain.state().items() if k != "strengthening"}
    assert np.array_equal(CompositionGP.from_state(without_a_word).predict(rows)[0], plain.predict(rows)[0])
    with pytest.raises(InputError, match="other descriptors"):
        CompositionGP.fit(ELEMENTS, rows[:40], property_of(rows[:40]), start=more)


def test_the_descriptors_of_strengthening_follow_their_formulas_and_lack_what_the_table_lacks(rows):
    embedding = element_embedding(ELEMENTS, strengthening=True)
    found = dict(zip(embedding.names, embedding.descriptors(torch.as_tensor(rows)).numpy().T, strict=True))
    moduli = element_vector(ELEMENTS, "shear_modulus")
    mean = rows @ moduli
    mismatch = np.sqrt((rows * (1 - moduli / mean[:, None]) ** 2).sum(axis=1))
    np.testing.assert_allclose(found["mean_shear_modulus"], (mean - 50) / 30)
    np.testing.assert_allclose(found["modulus_mismatch"], 3 * mismatch, atol=1e-3)
    enthalpy = predict_array(rows, ELEMENTS, ("mixing_enthalpy",))["mixing_enthalpy"] / 1000
    np.testing.assert_allclose(found["mixing_enthalpy"], enthalpy / 10, rtol=1e-9)
    melting = rows @ element_vector(ELEMENTS, "melting_temperature")
    np.testing.assert_allclose(found["mean_melting_temperature"], (melting - 2300) / 500)
    assert set(element_embedding(ELEMENTS).names) < set(found)
    rare = element_embedding(("Nb", "Ti", "Xe"), strengthening=True)
    assert not set(rare.names) & {"mean_shear_modulus", "modulus_mismatch", "mixing_enthalpy"}


def test_the_weighted_sum_of_covariances_and_its_slope_are_those_of_the_covariances(rows, fitted):
    kernel, known = (
        CompositionKernel(ELEMENTS, strengthening=True).requires_grad_(False),
        torch.as_tensor(rows[:50]),
    )
    weights = torch.as_tensor(np.random.default_rng(4).normal(size=50))
    x = torch.tensor(rows[50:60], requires_grad=True)
    one, two = kernel.weighted_sum(x, known, weights), kernel.forward(x, known) @ weights
    assert one.detach().numpy() == pytest.approx(two.detach().numpy(), abs=1e-12)
    slopes = [torch.autograd.grad((y * torch.arange(10)).sum(), x)[0].numpy() for y in (one, two)]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-10)

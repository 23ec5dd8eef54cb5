"""G, B and nu: what first-principles alloys teach, what is not believed, and where the linear combination returns."""

from __future__ import annotations

import numpy as np
import pytest

from db.literature import read_first_principles
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array
from hea_loop.surrogates.composition_gp import CompositionGP
from hea_loop.surrogates.doubtful_rows import fit_doubting
from hea_loop.surrogates.elastic import ELASTIC_PROPERTIES, ElasticSurrogate
from hea_loop.surrogates.group_validation import folds_of_groups, systems_of, widening_for

ELEMENTS = ("Mo", "Nb", "Ti", "V", "W", "Zr")
LEFT_OUT = "Mo-Nb-Ti"
WIDENING = dict.fromkeys(ELASTIC_PROPERTIES, 2.5)


@pytest.fixture(scope="module")
def ternaries():
    rows = [r for r in read_first_principles() if set(r.composition.elements) <= set(ELEMENTS)]
    x = np.array([r.composition.fraction_vector(ELEMENTS) for r in rows])
    values = {
        "shear_modulus": np.array([r.shear_modulus for r in rows]),
        "bulk_modulus": np.array([r.bulk_modulus for r in rows]),
        "poisson_ratio": np.array([r.poisson_ratio for r in rows]),
    }
    return x, values, np.array(systems_of(ELEMENTS, x)) == LEFT_OUT


@pytest.fixture(scope="module")
def learned(ternaries) -> ElasticSurrogate:
    x, values, held = ternaries
    used = np.flatnonzero(~held)[::3]  # every third alloy is plenty, and faster
    G, B, nu = (values[name][used] for name in ELASTIC_PROPERTIES)
    return ElasticSurrogate.fit(ELEMENTS, x[used], G, B, nu, widening=WIDENING)


def test_a_system_that_was_left_out_is_foretold_far_better_than_by_the_linear_combination(ternaries, learned):
    x, values, held = ternaries
    found = learned.predict(x[held], ELEMENTS)
    for name in ("shear_modulus", "poisson_ratio"):
        before = np.abs(predict_array(x[held], ELEMENTS, (name,))[name] - values[name][held]).mean()
        assert np.abs(found[name][0] - values[name][held]).mean() < 0.25 * before
    assert np.abs(found["bulk_modulus"][0] - values["bulk_modulus"][held]).mean() < 3.2


def test_the_toughness_follows_from_the_learned_moduli_and_carries_the_doubt_about_the_stacking_fault(
    learned,
):
    x = np.array([[0.3, 0.3, 0.4, 0, 0, 0]])
    found = learned.predict(x, ELEMENTS)
    energy = predict_array(x, ELEMENTS, ("unstable_stacking_fault_energy",))["unstable_stacking_fault_energy"]
    (G, _), (nu, _) = found["shear_modulus"], found["poisson_ratio"]
    toughness, sigma = found["fracture_toughness_rice"]
    expected = 0.0316228 * np.sqrt(2 * G * energy / (1 - nu))
    assert toughness == pytest.approx(expected, rel=1e-4)
    assert sigma[0] / toughness[0] > 0.5 * 0.2545  # half the relative uncertainty of the energy, and more


def test_an_element_that_was_not_learned_brings_the_linear_combination_and_its_uncertainty_back(learned):
    wider = (*ELEMENTS, "Re")
    x = np.array([[0.5, 0.5, 0, 0, 0, 0, 0], [0.25, 0.25, 0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0, 0, 1.0]])
    mean, sigma = learned.predict(x, wider)["shear_modulus"]
    linear = predict_array(x, wider, ("shear_modulus",))["shear_modulus"]
    assert mean[2] == pytest.approx(linear[2])
    assert sigma[2] == pytest.approx(learned.prior_sigma["shear_modulus"])
    assert sigma[0] < sigma[1] < sigma[2]
    assert abs(mean[1] - linear[1]) == pytest.approx(0.5 * abs(mean[0] - linear[0]))


def test_columns_may_stand_in_another_order(ternaries, learned):
    x = ternaries[0][:20]
    turned = tuple(reversed(ELEMENTS))
    for name, (mean, sigma) in learned.predict(x, ELEMENTS).items():
        other = learned.predict(x[:, ::-1], turned)[name]
        assert other[0] == pytest.approx(mean)
        assert other[1] == pytest.approx(sigma)


def test_a_state_restores_the_surrogate_exactly(ternaries, learned):
    restored = ElasticSurrogate.from_state(learned.state())
    x = ternaries[0][:10]
    for name, (mean, sigma) in learned.predict(x, ELEMENTS).items():
        assert np.array_equal(restored.predict(x, ELEMENTS)[name][0], mean)
        assert np.array_equal(restored.predict(x, ELEMENTS)[name][1], sigma)
    assert restored.widening == WIDENING


def test_the_widening_is_found_by_refits_without_whole_systems():
    rows = [r for r in read_first_principles() if set(r.composition.elements) <= {"Mo", "Nb", "Ti", "V"}]
    symbols = ("Mo", "Nb", "Ti", "V")
    x = np.array([r.composition.fraction_vector(symbols) for r in rows])[::4]
    columns = [
        [r.shear_modulus for r in rows],
        [r.bulk_modulus for r in rows],
        [r.poisson_ratio for r in rows],
    ]
    found = ElasticSurrogate.fit(symbols, x, *(np.array(column)[::4] for column in columns))
    assert set(found.widening) == set(ELASTIC_PROPERTIES)
    assert found.widening["shear_modulus"] > 1.0  # another system is harder than the scatter within one


def test_rows_that_their_surroundings_contradict_are_doubted_and_do_not_bend_the_rest():
    rng = np.random.default_rng(0)
    x = rng.dirichlet(np.ones(3), 120)
    truth = 100 + 50 * x[:, 0] - 30 * x[:, 0] * x[:, 1]
    values = truth + rng.normal(0, 0.2, 120)
    values[[3, 40, 77]] += (60, -45, 80)
    model, doubted = fit_doubting(("Mo", "Nb", "Ti"), x, values)
    assert set(np.flatnonzero(doubted)) >= {3, 40, 77}
    assert doubted.sum() < 12
    plain = CompositionGP.fit(("Mo", "Nb", "Ti"), x, values)
    asked = rng.dirichlet(np.ones(3), 100)
    real = 100 + 50 * asked[:, 0] - 30 * asked[:, 0] * asked[:, 1]
    assert np.abs(model.predict(asked)[0] - real).mean() < 0.3 * np.abs(plain.predict(asked)[0] - real).mean()


def test_folds_never_divide_a_system_and_leave_every_row_out_once():
    groups = ["a", "b", "a", "c", "d", "b", "e"]
    folds = folds_of_groups(groups, 3, seed=1)
    assert np.sum(folds, axis=0).tolist() == [1] * 7
    for name in set(groups):
        assert len({tuple(f[i] for f in folds) for i, g in enumerate(groups) if g == name}) == 1
    with pytest.raises(InputError, match="groups"):
        folds_of_groups(["a", "a"], 3, seed=1)


def test_the_widening_makes_nineteen_of_twenty_lie_inside():
    rng = np.random.default_rng(5)
    missed = rng.standard_t(3, 4000)
    factor = widening_for(missed, np.zeros(4000), np.ones(4000))
    assert np.mean(np.abs(missed) <= 1.96 * factor) == pytest.approx(0.95, abs=0.001)


def test_what_cannot_be_learned_is_refused(ternaries):
    x, values, _ = ternaries
    G, B, nu = (values[name][:10] for name in ELASTIC_PROPERTIES)
    with pytest.raises(InputError, match="are in no row"):
        ElasticSurrogate.fit((*ELEMENTS, "Ta"), np.column_stack([x[:10], np.zeros(10)]), G, B, nu)
    with pytest.raises(InputError, match="shear_modulus"):
        ElasticSurrogate.fit(ELEMENTS, x, G, values["bulk_modulus"], values["poisson_ratio"])

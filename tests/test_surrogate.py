"""The surrogate, on real equilibria of one ternary system with a Laves phase, and on what little is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.prediction import predict_array
from hea_loop.scoring import KnownValue, judge
from hea_loop.surrogate import MOST_ANSWERS, fit_surrogate
from validators.calphad import CalphadSettings, validate_many

ELEMENTS = ("Cr", "Nb", "Ti")
TEMPERATURES = (1273.0, 1473.0)


def campaign(**changes) -> Campaign:
    return parse_campaign(
        {
            "name": "laves",
            "palette": {"elements": list(ELEMENTS)},
            "targets": {"solidus": {"min": 1950}},
            "verdicts": {"single_phase_bcc": {"temperatures_K": list(TEMPERATURES)}},
            "validators": {"calphad": {"budget": 100}},
            **changes,
        }
    )


def answer(held: tuple[float, ...], solidus: float) -> list[KnownValue]:
    return [
        KnownValue("solidus", solidus, "calphad"),
        *[KnownValue("single_phase_bcc", h, "calphad", t) for h, t in zip(held, TEMPERATURES, strict=False)],
    ]


@pytest.fixture(scope="module")
def equilibria() -> tuple[np.ndarray, list[list[KnownValue]]]:
    """Answers of the CALPHAD validator on 110 uniform random alloys of Cr-Nb-Ti."""
    palette = Palette(ELEMENTS, (1,) * 3, (1000,) * 3, (False,) * 3, 3, 3)
    alloys = palette.sample_uniform(110, np.random.default_rng(5))
    outcomes = validate_many(alloys, CalphadSettings(temperatures_K=TEMPERATURES))
    asked = [(a, o) for a, o in zip(alloys, outcomes, strict=True) if o.values]
    fractions = np.array([a.fraction_vector(ELEMENTS) for a, _ in asked])
    return fractions, [
        [KnownValue(v.property, v.value, "calphad", v.temperature_K) for v in o.values] for _, o in asked
    ]


def test_real_equilibria_are_foretold_better_than_by_their_frequency(equilibria):
    fractions, answers = equilibria
    truth = np.array([judge(campaign(), values).hit for values in answers])
    learned, asked = slice(0, 70), slice(70, None)
    surrogate = fit_surrogate(campaign(), ELEMENTS, fractions[learned], answers[learned])
    foretold = surrogate.probability(fractions[asked])
    frequency = np.full(len(foretold), truth[learned].mean())
    assert 0.1 < frequency[0] < 0.9
    hits, others = foretold[truth[asked]], foretold[~truth[asked]]
    # the area under the ROC curve is the share of pairs in the right order
    assert mannwhitneyu(hits, others).statistic / (len(hits) * len(others)) > 0.9
    brier, before = (np.mean((said - truth[asked]) ** 2) for said in (foretold, frequency))
    assert brier < 0.5 * before


def test_the_solidus_comes_with_an_uncertainty_that_covers_the_misses(equilibria):
    fractions, answers = equilibria
    surrogate = fit_surrogate(campaign(), ELEMENTS, fractions[:70], answers[:70])
    estimate = surrogate.estimates(fractions[70:])["solidus"]
    truth = np.array([v.value for a in answers[70:] for v in a if v.property == "solidus"])
    miss = np.abs(estimate.mean - truth)
    assert miss.mean() < 0.3 * np.abs(truth - truth.mean()).mean()
    assert np.mean(miss < 2 * estimate.sigma) > 0.85


def test_the_same_answers_give_the_same_surrogate(equilibria):
    fractions, answers = equilibria
    one, two = (fit_surrogate(campaign(), ELEMENTS, fractions[:40], answers[:40]) for _ in range(2))
    assert np.array_equal(one.probability(fractions), two.probability(fractions))


def test_without_any_answer_a_verdict_is_open_and_the_solidus_lies_below_the_mixture_melting_point():
    surrogate = fit_surrogate(campaign(), ELEMENTS, np.empty((0, 3)), [])
    x = np.array([[0.2, 0.4, 0.4], [0.1, 0.8, 0.1]])
    assert surrogate.answers == 0
    assert surrogate.verdict_probability(x)["single_phase_bcc"] == pytest.approx([0.5, 0.5])
    estimate = surrogate.estimates(x)["solidus"]
    melting = predict_array(x, ELEMENTS, ["melting_temperature_rom"])["melting_temperature_rom"]
    assert np.all(estimate.mean < melting)
    assert np.all(estimate.sigma > 200)
    assert surrogate.probability(x)[1] > surrogate.probability(x)[0]


def test_targets_that_a_prediction_decides_are_not_learned():
    spec = campaign(targets={"density": {"max": 9}})
    surrogate = fit_surrogate(spec, ELEMENTS, np.empty((0, 3)), [])
    assert surrogate.estimates(np.array([[0.2, 0.4, 0.4]])) == {}
    assert surrogate.probability(np.array([[0.2, 0.4, 0.4]])) == pytest.approx([0.5])


@pytest.mark.parametrize(("held", "above"), [((1.0, 1.0), True), ((0.0, 0.0), False)])
def test_one_sided_answers_tell_more_nearby_than_far_away(held, above):
    near = np.array([[0.2, 0.4, 0.4]])
    rows = near + 0.02 * np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1], [1, 0, -1]])
    surrogate = fit_surrogate(campaign(), ELEMENTS, rows, [answer(held, 2000.0)] * 4)
    close = surrogate.verdict_probability(near)["single_phase_bcc"][0]
    far = surrogate.verdict_probability(np.array([[0.9, 0.05, 0.05]]))["single_phase_bcc"][0]
    assert (close > 0.6) if above else (close < 0.1)
    assert abs(far - 0.5) < abs(close - 0.5)


def test_an_alloy_that_misses_one_temperature_is_nearer_to_a_yes_than_one_that_misses_all():
    rows = np.array([[0.2, 0.4, 0.4], [0.6, 0.2, 0.2]])
    surrogate = fit_surrogate(
        campaign(), ELEMENTS, rows, [answer((0.0, 1.0), 2000.0), answer((0.0, 0.0), 2000.0)]
    )
    one, none = surrogate.verdict_probability(rows)["single_phase_bcc"]
    assert none < one < 0.5


def test_a_missing_temperature_leaves_the_verdict_open_unless_another_failed():
    rows = np.array([[0.2, 0.4, 0.4]])
    open_ = fit_surrogate(campaign(), ELEMENTS, rows, [answer((1.0,), 2000.0)])
    assert open_.verdict_probability(rows)["single_phase_bcc"] == pytest.approx([0.5])
    decided = fit_surrogate(campaign(), ELEMENTS, rows, [answer((0.0,), 2000.0)])
    assert decided.verdict_probability(rows)["single_phase_bcc"][0] < 0.3


def test_predictions_are_no_answers():
    rows = np.array([[0.2, 0.4, 0.4]])
    guessed = fit_surrogate(campaign(), ELEMENTS, rows, [[KnownValue("solidus", 500.0, "prediction")]])
    empty = fit_surrogate(campaign(), ELEMENTS, np.empty((0, 3)), [])
    assert guessed.estimates(rows)["solidus"].mean == pytest.approx(empty.estimates(rows)["solidus"].mean)


def test_only_the_newest_answers_are_taken_when_there_are_too_many():
    rng = np.random.default_rng(0)
    old, new = rng.dirichlet(np.ones(3), 30), rng.dirichlet(np.ones(3), MOST_ANSWERS)
    spec = campaign(verdicts={})
    late = [answer((), 2000.0 + 100 * x[0]) for x in new]
    both = fit_surrogate(spec, ELEMENTS, np.vstack([old, new]), [answer((), 500.0)] * 30 + late)
    alone = fit_surrogate(spec, ELEMENTS, new, late)
    assert both.answers == MOST_ANSWERS
    assert np.array_equal(both.probability(old), alone.probability(old))


def test_no_composition_gives_no_probability():
    surrogate = fit_surrogate(campaign(), ELEMENTS, np.array([[0.2, 0.4, 0.4]]), [answer((1, 1), 2000.0)])
    assert surrogate.probability(np.empty((0, 3))).shape == (0,)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not fit 1 compositions"):
        fit_surrogate(campaign(), ELEMENTS, np.array([[0.2, 0.4, 0.4]]), [])
    surrogate = fit_surrogate(campaign(), ELEMENTS, np.empty((0, 3)), [])
    with pytest.raises(InputError, match="is not n x 3"):
        surrogate.probability(np.array([[0.5, 0.5]]))


def test_a_pending_alloy_makes_its_surroundings_surer_and_leaves_what_is_expected():
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.ones(3), 8)
    surrogate = fit_surrogate(
        campaign(), ELEMENTS, rows, [answer((float(x[0] < 0.3),) * 2, 2000.0 + 300 * x[1]) for x in rows]
    )
    asked = rng.dirichlet(np.ones(3), 5)
    pending = surrogate.condition_on_pending(asked[:2])
    before, after = (s.estimates(asked)["solidus"] for s in (surrogate, pending))
    assert after.mean == pytest.approx(before.mean, abs=1e-3)
    assert np.all(after.sigma[:2] < 0.8 * before.sigma[:2])
    one, two = (s.verdict_probability(asked[:2])["single_phase_bcc"] for s in (surrogate, pending))
    assert np.all(np.abs(two - 0.5) > np.abs(one - 0.5))
    assert surrogate.condition_on_pending(asked[:0]) is surrogate


def test_pending_alloys_leave_what_has_no_answer_as_open_as_it_was():
    surrogate = fit_surrogate(campaign(), ELEMENTS, np.empty((0, 3)), [])
    x = np.array([[0.2, 0.4, 0.4]])
    assert surrogate.condition_on_pending(x).probability(x) == pytest.approx(surrogate.probability(x))


def test_a_verdict_is_as_sure_as_left_out_answers_allow(equilibria):
    """One answer in eight is turned round, of those learned from and of those foretold."""
    fractions, answers = equilibria
    rng = np.random.default_rng(3)
    wrong = set(rng.permutation(len(answers))[: len(answers) // 8].tolist())
    held = np.array([judge(campaign(targets={}), values).hit for values in answers])
    held ^= np.array([i in wrong for i in range(len(held))])
    said = [answer((float(h),) * 2, 2000.0) for h in held]
    surrogate = fit_surrogate(campaign(), ELEMENTS, fractions[:70], said[:70])
    bare = replace(surrogate, verdicts=tuple(replace(v, doubt=1.0) for v in surrogate.verdicts))

    def surprise(model) -> float:
        p = np.clip(model.verdict_probability(fractions[70:])["single_phase_bcc"], 1e-9, 1 - 1e-9)
        return float(-np.log(np.where(held[70:], p, 1 - p)).mean())

    assert surrogate.verdicts[0].doubt > 1.0
    assert surprise(surrogate) < surprise(bare)

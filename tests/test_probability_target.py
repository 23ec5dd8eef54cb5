"""A campaign may ask that an alloy be probably observed as single-phase bcc."""

from __future__ import annotations

import numpy as np
import pytest

from flows.planning import calphad_settings, check_campaign
from hea_loop import parse_composition
from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.errors import InputError
from hea_loop.scoring import KnownValue, judge
from hea_loop.surrogate import fit_surrogate
from validators.calphad import CalphadSettings, load_database, validate, validate_many
from validators.calphad.build import build_tdb
from validators.calphad.observed import observed_probability
from validators.outcome import OutcomeStatus

ELEMENTS = ("Cr", "Hf", "Nb", "Ta", "Ti", "Zr")
PROBABILITY = "single_phase_bcc_probability"


def campaign(**calphad) -> Campaign:
    return parse_campaign(
        {
            "name": "seen",
            "palette": {"elements": list(ELEMENTS)},
            "targets": {PROBABILITY: {"min": 0.6}},
            "validators": {"calphad": {"budget": 10, **calphad}},
        }
    )


def asked(**given) -> CalphadSettings:
    return CalphadSettings(temperatures_K=(), properties=(PROBABILITY,), **given)


def test_the_validator_answers_what_the_campaign_asks():
    settings = calphad_settings(campaign())
    assert settings.properties == (PROBABILITY,)
    good, bad = validate_many([parse_composition("HfNbTaTiZr"), parse_composition("CrNbTiZr")], settings)
    assert [good.status, bad.status] == [OutcomeStatus.CONVERGED] * 2
    verdicts = [
        judge(campaign(), [KnownValue(v.property, v.value, "calphad") for v in outcome.values]).hit
        for outcome in (good, bad)
    ]
    assert verdicts == [True, False]
    (value,) = good.values
    (expected,) = observed_probability([parse_composition("HfNbTaTiZr")], load_database())
    assert (value.value, value.sigma) == (expected.probability, expected.sigma)
    assert value.detail["processing"] == "as cast"


def test_the_state_of_the_material_changes_the_answer_and_the_configuration():
    alloy = parse_composition("HfNbTaTiZr")
    cast, powder = asked(), asked(processing="powder")
    assert validate(alloy, cast).values[0].value != validate(alloy, powder).values[0].value
    assert cast.configuration_hash() != powder.configuration_hash()
    # where nothing is asked that depends on it, it is no part of the configuration
    plain = CalphadSettings(properties=("solidus",))
    assert (
        plain.configuration_hash()
        == CalphadSettings(properties=("solidus",), processing="powder").configuration_hash()
    )


def test_an_unknown_state_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"processing = 'boiled'.*as cast"):
        check_campaign(campaign(processing="boiled"))


def test_a_database_that_the_model_was_not_trained_with_is_refused_before_any_work(tmp_path):
    path = tmp_path / "mine.tdb"
    path.write_text(build_tdb().replace("15911+3.35*T", "15912+3.35*T"), encoding="utf-8")
    with pytest.raises(InputError, match="is not the one that the model of observed phases was trained with"):
        check_campaign(campaign(database=str(path)))


def test_every_answer_says_what_it_rests_on():
    settings = CalphadSettings(temperatures_K=(1273.0,), properties=("single_phase_bcc", "solidus"))
    for formula, some in (("CrNbTiZr", True), ("HfNbTaTiZr", False)):
        values = validate(parse_composition(formula), settings).values
        for value in values:
            rests_on = value.detail["rests_on"]
            assert (rests_on["estimated_parameters"] > 0) is some
            assert rests_on["text"][0].startswith("this answer uses ")
    laves = validate(parse_composition("CrNbTiZr"), settings).values[0].detail["rests_on"]["text"][0]
    assert "in phases present LAVES_C15 (Cr2Ti, Cr2Zr)" in laves


def test_the_surrogate_learns_a_probability():
    rng = np.random.default_rng(3)
    x = rng.dirichlet(np.ones(len(ELEMENTS)), 60)
    truth = 1.0 / (1.0 + np.exp(20.0 * (x[:, 0] - 0.15)))  # chromium spoils
    answers = [[KnownValue(PROBABILITY, float(p), "calphad")] for p in truth]
    before = fit_surrogate(campaign(), ELEMENTS, x[:0], [])
    assert np.allclose(before.estimates(x)[PROBABILITY].mean, 0.5)
    learned = fit_surrogate(campaign(), ELEMENTS, x[:45], answers[:45])
    error = np.abs(learned.estimates(x[45:])[PROBABILITY].mean - truth[45:])
    assert error.mean() < 0.5 * np.abs(truth[45:] - truth[:45].mean()).mean()

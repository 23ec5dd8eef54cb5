from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.errors import InputError
from hea_loop.scoring import (
    CandidateResult,
    KnownValue,
    decisive_value,
    judge,
    probability_inside,
    score,
    wilson_interval,
)


@pytest.fixture
def campaign() -> Campaign:
    return parse_campaign(
        {
            "name": "hot",
            "palette": {"elements": ["Mo", "Nb", "Ta", "W"]},
            "targets": {"shear_modulus": {"min": 50, "max": 60}, "solidus": {"min": 2273}},
            "verdicts": {"single_phase_bcc": {"temperatures_K": [1273, 1673]}},
            "validators": {"calphad": {"budget": 10}},
        }
    )


def values(
    *, shear: float = 55.0, solidus: float = 2400.0, cold: float = 1.0, hot: float = 1.0
) -> list[KnownValue]:
    return [
        KnownValue("shear_modulus", shear, "prediction"),
        KnownValue("solidus", solidus, "calphad"),
        KnownValue("single_phase_bcc", cold, "calphad", 1273.15),
        KnownValue("single_phase_bcc", hot, "calphad", 1673.0),
    ]


def test_all_targets_and_verdicts_inside_is_a_hit_at_the_fidelity_of_the_validator(campaign):
    judged = judge(campaign, values())
    assert judged.hit
    assert judged.fidelity == "calphad"
    assert judged.reason == ""


def test_the_bounds_of_a_target_belong_to_it(campaign):
    assert judge(campaign, values(shear=50, solidus=2273)).hit
    assert judge(campaign, values(shear=60)).hit


def test_a_target_that_is_missed_is_named_with_value_and_bound(campaign):
    judged = judge(campaign, values(solidus=2110))
    assert not judged.hit
    assert judged.failed == ("solidus 2110 K below 2273 K",)
    assert judge(campaign, values(shear=61.5)).failed == ("shear_modulus 61.5 GPa above 60 GPa",)


def test_a_value_just_outside_is_printed_with_digits_that_show_it(campaign):
    assert judge(campaign, values(solidus=2272.9996)).failed == ("solidus 2272.9996 K below 2273 K",)


def test_a_verdict_has_to_hold_at_every_temperature(campaign):
    assert judge(campaign, values(cold=0)).failed == ("single_phase_bcc does not hold at 1273 K",)
    assert judge(campaign, values(hot=0)).failed == ("single_phase_bcc does not hold at 1673 K",)


def test_a_property_without_a_value_is_missing_and_never_a_hit(campaign):
    judged = judge(campaign, [v for v in values() if v.property != "solidus"])
    assert not judged.hit
    assert judged.failed == ()
    assert judged.missing == ("solidus",)
    assert judged.reason == "no value of solidus"


def test_a_verdict_at_another_temperature_does_not_answer(campaign):
    given_ = [*values()[:3], KnownValue("single_phase_bcc", 1.0, "calphad", 1673.6)]
    assert judge(campaign, given_).missing == ("single_phase_bcc at 1673 K",)
    given_[-1] = KnownValue("single_phase_bcc", 1.0, "calphad", 1673.5)
    assert judge(campaign, given_).hit


def test_nothing_known_has_no_fidelity(campaign):
    judged = judge(campaign, [])
    assert (judged.hit, judged.fidelity, len(judged.missing)) == (False, None, 4)


def test_the_highest_fidelity_decides_in_either_direction(campaign):
    spoiled = [KnownValue("shear_modulus", 70, "dft"), *values()]
    judged = judge(campaign, spoiled)
    assert judged.failed == ("shear_modulus 70 GPa above 60 GPa",)
    assert judged.fidelity == "dft"
    saved = judge(campaign, [KnownValue("shear_modulus", 55, "experiment"), *values(shear=90)])
    assert saved.hit
    assert saved.fidelity == "experiment"


def test_of_two_values_at_one_fidelity_the_later_decides(campaign):
    assert not judge(campaign, [*values(), KnownValue("solidus", 2000, "calphad")]).hit


def test_a_value_that_is_not_finite_is_no_value(campaign):
    assert judge(campaign, values(solidus=math.nan)).missing == ("solidus",)
    assert judge(campaign, [*values(), KnownValue("solidus", math.inf, "dft")]).fidelity == "calphad"


def test_a_hot_measurement_does_not_decide_a_target_at_room_temperature():
    hot = KnownValue("shear_modulus", 30, "experiment", 1273.0)
    cool = KnownValue("shear_modulus", 50, "dft", 0.0)
    assert decisive_value([cool, hot], "shear_modulus") == cool


def test_an_unknown_fidelity_is_refused():
    with pytest.raises(InputError, match=r"fidelity = 'guess'.*use prediction, calphad, dft, experiment"):
        KnownValue("solidus", 2000, "guess")


# -- Wilson


def test_wilsons_interval_agrees_with_the_formula_worked_by_hand():
    # z^2 = 3.8414588; centre (0.3 + 0.19207294) / 1.38414588 = 0.35550656
    # half width: 0.3 * 0.7 / 10 + 3.8414588 / 400 = 0.030603647, times z^2 = 0.11756265, its root 0.34287410,
    # over 1.38414588 = 0.24771529
    low, high = wilson_interval(3, 10)
    assert low == pytest.approx(0.35550656 - 0.24771529, abs=1e-7)
    assert high == pytest.approx(0.35550656 + 0.24771529, abs=1e-7)


def test_wilsons_interval_without_a_hit_ends_at_the_closed_form():
    low, high = wilson_interval(0, 10)
    assert low == 0
    assert high == pytest.approx(3.8414588 / 13.8414588, rel=1e-7)  # z^2 / (n + z^2)


def test_no_trial_has_no_interval():
    assert wilson_interval(0, 0) is None


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_rate_and_mirrors(case):
    hits, n = case
    low, high = wilson_interval(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    mirrored = wilson_interval(n - hits, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (1, 0)])
def test_impossible_counts_are_refused(hits, n):
    with pytest.raises(InputError, match="are not hits out of n"):
        wilson_interval(hits, n)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_impossible_confidences_are_refused(confidence):
    with pytest.raises(InputError, match="is no confidence"):
        wilson_interval(1, 2, confidence)


# -- counting


def test_counts_are_kept_per_origin_and_together():
    rows = [
        *[CandidateResult("strategy", "validated", hit=True, fidelity="calphad")] * 3,
        *[CandidateResult("strategy", "validated", hit=False, fidelity="calphad")] * 2,
        CandidateResult("strategy", "failed"),
        CandidateResult("strategy", "unconverged"),
        CandidateResult("strategy", "queued"),
        CandidateResult("random", "validated", hit=False, fidelity="calphad"),
        CandidateResult("random", "unconverged"),
    ]
    rates = score(rows)
    s, r, both = rates["strategy"], rates["random"], rates["all"]
    assert (s.proposed, s.validated, s.failed, s.unconverged, s.hit, s.rate) == (8, 5, 1, 1, 3, 0.6)
    assert (r.proposed, r.validated, r.failed, r.unconverged, r.hit, r.rate) == (2, 1, 0, 1, 0, 0.0)
    assert (both.proposed, both.validated, both.failed, both.unconverged, both.hit) == (10, 6, 1, 2, 3)
    assert (s.ci_low, s.ci_high) == wilson_interval(3, 5)


def test_nothing_validated_has_no_rate_rather_than_zero():
    rates = score([CandidateResult("strategy", "unconverged")])
    assert (rates["strategy"].rate, rates["strategy"].ci_low, rates["random"].ci_high) == (None, None, None)


def test_rates_of_different_fidelity_are_not_mixed():
    rows = [
        CandidateResult("strategy", "validated", hit=True, fidelity="dft"),
        CandidateResult("strategy", "validated", hit=False, fidelity="calphad"),
    ]
    assert (score(rows)["strategy"].hit, score(rows)["strategy"].validated) == (0, 1)
    assert (score(rows, fidelity="dft")["strategy"].hit, score(rows, fidelity="dft")["all"].validated) == (
        1,
        1,
    )


def test_a_validated_candidate_without_a_judgement_is_refused():
    with pytest.raises(InputError, match="is unknown for a validated candidate"):
        CandidateResult("strategy", "validated", fidelity="calphad")


@pytest.mark.parametrize(
    ("low", "high", "value", "sigma", "expected"),
    [
        (-1.0, 1.0, 0.0, 1.0, 0.682689),  # one standard deviation on either side
        (0.0, None, 0.0, 2.0, 0.5),
        (None, 0.0, 2.0, 1.0, 0.022750),
        (None, None, 2.0, 1.0, 1.0),
        (1.0, 2.0, 1.0, 0.0, 1.0),
        (1.0, 2.0, 0.9, 0.0, 0.0),
    ],
)
def test_the_chance_to_lie_inside_is_that_of_a_normal_error(low, high, value, sigma, expected):
    assert probability_inside(low, high, value, sigma) == pytest.approx(expected, abs=1e-6)

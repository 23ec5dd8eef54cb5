"""The bcc verdict learned from driving forces, on real ones of the screening tier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import verdict_learning
from hea_loop.campaign import load_campaign, parse_campaign
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.scoring import KnownValue
from hea_loop.surrogate import fit_surrogate
from hea_loop.surrogates.phase_competition import PhaseAnswer, PhaseCompetition
from validators.calphad import load_database
from validators.calphad.verdict import driving_forces_in, screen_verdicts

ELEMENTS = ("Cr", "Mo", "Nb", "Ti", "Zr")
TEMPERATURES = (1273.0, 1473.0)


@pytest.fixture(scope="module")
def screened() -> tuple[np.ndarray, list[list[KnownValue]]]:
    drawn = Palette(ELEMENTS, (20,) * 5, (600,) * 5, (False,) * 5, 2, 4).sample_uniform(
        260, np.random.default_rng(2)
    )
    found = screen_verdicts(drawn, TEMPERATURES, load_database())
    values = [
        KnownValue(
            "single_phase_bcc", float(bool(v.single_phase_bcc)), "calphad", v.temperature_K, v.driving_forces
        )
        for v in found
    ]
    rows = np.array([c.fraction_vector(ELEMENTS) for c in drawn])
    return rows, [values[k : k + 2] for k in range(0, len(values), 2)]


def without(answers):
    return [[replace(v, driving_forces={}) for v in values] for values in answers]


def campaign():
    return parse_campaign(
        {
            "name": "competition",
            "palette": {"elements": list(ELEMENTS)},
            "verdicts": {"single_phase_bcc": {"temperatures_K": list(TEMPERATURES)}},
            "validators": {"calphad": {"budget": 300}},
        }
    )


def chance(rows, answers, asked) -> np.ndarray:
    fitted = fit_surrogate(campaign(), ELEMENTS, rows, answers)
    return fitted.verdict_probability(asked)["single_phase_bcc"]


def test_driving_forces_foretell_verdicts_better_than_the_verdicts_themselves(screened):
    rows, answers = screened
    held = np.array([all(v.value >= 0.5 for v in values) for values in answers])[60:]

    def surprise(given) -> float:
        p = np.clip(chance(rows[:60], given, rows[60:]), 1e-6, 1 - 1e-6)
        return float(-np.log(np.where(held, p, 1 - p)).mean())

    assert surprise(answers[:60]) < 0.8 * surprise(without(answers[:60]))


def test_one_answer_without_driving_forces_is_learned_from_by_counting_temperatures(screened):
    rows, answers = screened
    mixed = [*answers[:29], *without(answers[29:30])]
    assert chance(rows[:30], mixed, rows[30:]) == pytest.approx(
        chance(rows[:30], without(answers[:30]), rows[30:]), abs=1e-12
    )


def test_the_verdict_decides_where_a_driving_force_says_otherwise():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(5), 30)
    # pycalphad found bcc alone in all of them, though screening saw a Laves phase just stable
    said = [[PhaseAnswer(alone=True, driving_forces={"LAVES_C15": 5.0, "LIQUID": -9000.0})] for _ in rows]
    fitted = PhaseCompetition.fit(ELEMENTS, rows, said)
    assert fitted.probability(rows).min() > 0.5
    denied = [[PhaseAnswer(alone=False, driving_forces={"LAVES_C15": -5.0, "LIQUID": -9000.0})] for _ in rows]
    assert PhaseCompetition.fit(ELEMENTS, rows, denied).probability(rows).max() < 0.5


def test_polytypes_of_a_phase_compete_as_one(screened):
    rows, answers = screened
    said = [[PhaseAnswer(v.value >= 0.5, v.driving_forces) for v in values] for values in answers[:40]]
    assert set(PhaseCompetition.fit(ELEMENTS, rows[:40], said).processes) == {"BCC", "HCP", "LAVES", "LIQUID"}


def test_a_pending_alloy_makes_its_surroundings_surer(screened):
    rows, answers = screened
    fitted = fit_surrogate(campaign(), ELEMENTS, rows[:40], answers[:40])
    before = fitted.verdict_probability(rows[50:60])["single_phase_bcc"]
    after = fitted.condition_on_pending(rows[50:60]).verdict_probability(rows[50:60])["single_phase_bcc"]
    assert np.all((after - 0.5) * (before - 0.5) >= 0)
    # each of the four phases only grows surer of the side that its mean is on
    unsure = (before > 0.05) & (before < 0.95)
    assert unsure.any()
    assert np.abs(after - 0.5)[unsure].mean() > np.abs(before - 0.5)[unsure].mean()


def test_driving_forces_are_read_from_what_the_validator_writes(screened):
    found = screen_verdicts(
        [
            Palette(ELEMENTS, (100,) * 5, (300,) * 5, (False,) * 5, 4, 4).sample_uniform(
                1, np.random.default_rng(1)
            )[0]
        ],
        TEMPERATURES,
        load_database(),
    )[0]
    read = driving_forces_in(found.detail())
    assert read.keys() == found.driving_forces.keys()
    assert read["LIQUID"] == pytest.approx(found.driving_forces["LIQUID"], abs=0.51)
    assert driving_forces_in({}) == {}


def test_the_benchmark_shows_both_ways_and_names_what_is_wrong(capsys, tmp_path):
    assert verdict_learning.main(["--smoke"]) == 0
    table = capsys.readouterr().out
    assert "driving forces" in table
    assert "counted temperatures" in table
    stated = load_campaign(Path("campaigns/quickstart.yaml"))
    with pytest.raises(InputError, match="single_phase_bcc"):
        verdict_learning.measure(stated.model_copy(update={"verdicts": {}}), 1)
    assert verdict_learning.main(["--tables", str(tmp_path / "none.json")]) == 2

"""Published phases as the lower fidelity of the bcc verdict, on the packaged literature and real equilibria."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from db.literature import load_packaged_data, read_literature
from db.reported_phases import reported_phases
from db.store import open_store
from hea_loop import parse_composition
from hea_loop.campaign import parse_campaign
from hea_loop.composition import Composition
from hea_loop.palette import Palette
from hea_loop.scoring import KnownValue
from hea_loop.surrogate import fit_surrogate
from hea_loop.surrogates.reported_phases import PhaseReport, ReportedPhases, is_single_phase_bcc, link
from validators.calphad import load_database
from validators.calphad.screening import screen

ELEMENTS = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")


def reports() -> list[PhaseReport]:
    return [
        PhaseReport(row.composition, is_single_phase_bcc(row.text))
        for row in read_literature()
        if row.property == "phases_observed" and row.text
    ]


@pytest.fixture(scope="module")
def reported() -> ReportedPhases:
    fitted = ReportedPhases.fit(ELEMENTS, reports())
    assert fitted is not None
    return fitted


def campaign():
    return parse_campaign(
        {
            "name": "reported",
            "palette": {"elements": list(ELEMENTS)},
            "verdicts": {"single_phase_bcc": {"temperatures_K": [1373, 1673]}},
            "validators": {"calphad": {"budget": 100}},
        }
    )


def chance(fractions: np.ndarray, answered=(), answers=(), said=()) -> np.ndarray:
    rows = np.array(answered, dtype=float).reshape(-1, len(ELEMENTS))
    fitted = fit_surrogate(campaign(), ELEMENTS, rows, list(answers), reports=said)
    return fitted.verdict_probability(fractions)["single_phase_bcc"]


def test_reports_foretell_the_equilibria_of_random_alloys(reported):
    bounds = (50,) * 9, (500,) * 9, (False,) * 9
    drawn = Palette(ELEMENTS, *bounds, 3, 6).sample_uniform(300, np.random.default_rng(8))
    x = np.array([c.fraction_vector(ELEMENTS) for c in drawn])
    single = np.asarray(screen(x, ELEMENTS, 1473.0, load_database()).single_phase_bcc)
    mean, sigma = reported.predict(x)
    area = mannwhitneyu(mean[single], mean[~single]).statistic / (single.sum() * (~single).sum())
    assert area > 0.8
    assert sigma.min() >= 1.0, "a report is never as sure as an equilibrium"


def test_without_reports_and_answers_a_verdict_is_open():
    some = np.array([parse_composition("MoNbTaW").fraction_vector(ELEMENTS)])
    assert chance(some) == pytest.approx(0.5)


def test_before_any_answer_a_published_bcc_alloy_is_likelier_than_a_published_laves_former():
    alloys = [parse_composition(text) for text in ("MoNbTaW", "CrNbTiZr")]
    x = np.array([c.fraction_vector(ELEMENTS) for c in alloys])
    bcc, laves = chance(x, said=reports())
    assert bcc > 0.7
    assert laves < 0.4


def test_answers_that_contradict_the_reports_win():
    alloys = sorted(
        {r.composition for r in reports() if set(r.composition.elements) <= set(ELEMENTS)}, key=str
    )
    x = np.array([c.fraction_vector(ELEMENTS) for c in alloys[::6]])
    said = reports()
    opposite = [
        [KnownValue("single_phase_bcc", float(p < 0.5), "calphad", t) for t in (1373.0, 1673.0)]
        for p in chance(x, said=said)
    ]
    held = np.array([values[0].value > 0.5 for values in opposite])
    after = chance(x, x, opposite, said)
    assert ((after > 0.5) == held).mean() > 0.9


def test_the_link_is_never_negative_and_grows_where_answers_follow_the_reports(reported):
    alloys = [
        parse_composition(text) for text in ("MoNbTaW", "CrNbTiZr", "NbTaTi", "CrTaW", "HfMoNb", "CrHfZr")
    ]
    x = np.array([c.fraction_vector(ELEMENTS) for c in alloys])
    mean = reported.process.predict(x)[0]
    assert link(reported, x, -mean).rho == 0.0
    assert link(reported, x, mean).rho > link(reported, x, 0.1 * mean).rho > 0.0


def test_too_few_reports_and_foreign_elements_are_no_ground():
    few = [PhaseReport(parse_composition("NbTa"), single=True)] * 50
    foreign = [
        PhaseReport(Composition.from_fractions(("Fe", "Nb"), (x, 1 - x)), single=True)
        for x in np.linspace(0.1, 0.9, 40)
    ]
    assert ReportedPhases.fit(ELEMENTS, few + foreign) is None


def test_the_store_gives_the_reports_within_a_palette_in_one_order(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path}/s.sqlite")
    load_packaged_data(store)
    with store.read() as session:
        first, again = (reported_phases(session, ELEMENTS) for _ in range(2))
        narrow = reported_phases(session, ("Nb", "Ta", "Ti"))
    assert first == again
    assert len(first) > 300
    assert narrow
    assert {e for r in narrow for e in r.composition.elements} <= {"Nb", "Ta", "Ti"}
    assert 0.5 < np.mean([r.single for r in first]) < 0.95

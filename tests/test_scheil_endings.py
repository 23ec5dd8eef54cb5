"""How Scheil solidification ends: at invariants, at lowest melting points, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.diagram_output import scheil_output
from hea_loop.formula import parse_composition
from validators.calphad import load_database, phases_at
from validators.calphad.diagrams import Solidification, scheil_solidification
from validators.calphad.diagrams.freezing import balance, entries_of, freeze_on
from validators.outcome import OutcomeStatus


@pytest.fixture(scope="module")
def database():
    return load_database()


@pytest.fixture(scope="module")
def eutectic(database):
    return scheil_solidification(parse_composition("Cr85Nb15"), database)


def _deposited(found):
    steps = np.diff(np.vstack([np.zeros((1, len(found.phases))), found.amounts]), axis=0)
    whole = np.einsum("nk,nkm->m", steps, np.nan_to_num(found.solid_compositions))
    return whole + found.liquid_left * found.liquid_compositions[-1]


@pytest.mark.parametrize(
    ("formula", "solids", "at_once"),
    [
        ("AlZr", {"AL3M2", "AL4ZR5"}, (0.75, 0.85)),
        ("CrZr", {"BCC_A2", "LAVES_C15"}, (0.4, 0.5)),
        ("Cr836Nb164", {"BCC_A2", "LAVES_C15"}, (0.9, 1.0)),  # the eutectic itself
    ],
)
def test_at_a_eutectic_the_rest_of_the_liquid_freezes_into_both_solids(database, formula, solids, at_once):
    found = scheil_solidification(parse_composition(formula), database, step_K=20.0)
    assert found.status is OutcomeStatus.CONVERGED
    assert set(found.invariant_solids) == solids
    assert at_once[0] < found.frozen_at_once <= at_once[1]
    assert found.liquid_left == 0.0
    assert sum(found.as_cast.values()) == pytest.approx(1.0, abs=1e-9)
    own = [found.composition.fractions[e] for e in found.elements]
    assert _deposited(found) == pytest.approx(own, abs=5e-4)
    assert (np.diff(found.temperatures_K) <= 0).all()
    # pycalphad alone: the alloy has liquid just above, none just below
    above, below = (
        phases_at(found.composition, found.final_temperature_K + d, database) for d in (1.0, -1.0)
    )
    assert above.has_liquid()
    assert {p.name for p in below.phases} == solids | ({"LAVES_C15"} if formula == "CrZr" else set())


def test_before_the_eutectic_the_liquid_freezes_as_one_solid_whose_share_is_that_of_scheil(eutectic):
    assert eutectic.first_solid["Cr"] > 0.85 > eutectic.last_liquid["Cr"]
    alone = eutectic.amounts[-2]
    assert alone[eutectic.phases.index("BCC_A2")] == pytest.approx(1.0 - eutectic.frozen_at_once)
    assert alone[eutectic.phases.index("LAVES_C15")] == 0.0
    assert eutectic.partition["Nb"] < 1.0 < eutectic.partition["Cr"]


def test_a_ternary_freezes_to_the_lowest_point_of_its_two_solids(database):
    found = scheil_solidification(parse_composition("CrTiZr"), database, step_K=10.0)
    assert found.status is OutcomeStatus.CONVERGED
    assert found.liquid_left < 0.01
    own = [found.composition.fractions[e] for e in found.elements]
    assert _deposited(found) == pytest.approx(own, abs=5e-4)


def test_a_temperature_at_which_no_liquid_is_stable_is_no_invariant(database):
    ending = freeze_on(database, ("Cr", "Nb"), np.array([0.836, 0.164]), 1500.0, 0.5, step_K=5.0, until=0.01)
    assert ending.steps == ()
    assert ending.at_once == 0.0
    assert "no liquid is stable at 1500 K with 50.0% of liquid left" in ending.problem


def test_shares_say_how_far_they_miss_what_they_cannot_make_up():
    parts = np.array([[1.0, 0.0], [0.5, 0.5]])
    share, missed = balance(parts, np.array([0.7, 0.3]))
    assert share == pytest.approx([0.4, 0.6])
    assert missed < 1e-9
    assert balance(parts, np.array([0.3, 0.7]))[1] > 0.1


def test_a_second_solution_of_the_same_name_gets_a_number_of_its_own():
    rich, poor, laves = np.array([0.9, 0.1]), np.array([0.1, 0.9]), np.array([1 / 3, 2 / 3])
    names = entries_of(
        ("BCC_A2", "LAVES", "BCC_A2"), np.array([poor, laves, rich]), ["BCC_A2"], {"BCC_A2": rich}
    )
    assert names == ("BCC_A2#2", "LAVES", "BCC_A2")
    both = {"BCC_A2": rich, "BCC_A2#2": poor}
    assert entries_of(("BCC_A2",), np.array([poor]), list(both), both) == ("BCC_A2#2",)


def test_a_path_that_did_not_end_is_not_shown_as_a_casting(eutectic, capsys):
    cut = replace(
        eutectic,
        status=OutcomeStatus.UNCONVERGED,
        message="the path ended at 1939 K with 86.2% of liquid left",
        temperatures_K=eutectic.temperatures_K[:-1],
        solid_fraction=eutectic.solid_fraction[:-1],
        amounts=eutectic.amounts[:-1],
        solid_compositions=eutectic.solid_compositions[:-1],
        liquid_compositions=eutectic.liquid_compositions[:-1],
        frozen_at_once=0.0,
    )
    detail, figure, table = scheil_output(cut, None, quiet=False)
    printed = capsys.readouterr().out
    assert "unconverged: the path ended at 1939 K" in printed
    assert "as cast" not in printed
    assert "segregation" not in printed
    assert detail["as_cast"] == detail["partition"] == detail["last_liquid"] == {}
    assert detail["final_temperature_K"] is None
    assert "unconverged" in figure.axes[0].get_title(loc="left")
    assert len(table.rows) == len(cut.temperatures_K)


def test_a_casting_says_what_froze_at_once(eutectic, capsys):
    detail, _, _ = scheil_output(eutectic, None, quiet=False)
    printed = capsys.readouterr().out
    assert "the last 86.2% freeze at 1939 K as BCC_A2 + LAVES_C15" in printed
    assert "as cast: BCC_A2 0.686, LAVES_C15 0.314" in printed
    assert detail["frozen_at_once"] == pytest.approx(0.862, abs=1e-3)


def test_a_casting_without_a_path_says_why_and_draws_nothing(capsys):
    alloy = parse_composition("NbTi")
    found = Solidification(alloy, "a database", OutcomeStatus.UNCONVERGED, "nothing was found")
    detail, _, table = scheil_output(found, None, quiet=False)
    assert capsys.readouterr().out.strip() == "NbTi, Scheil: unconverged: nothing was found"
    assert detail["liquid_left"] is None
    assert detail["rests_on"] == (("Nb", "Ti"), ())
    assert list(table.rows) == []

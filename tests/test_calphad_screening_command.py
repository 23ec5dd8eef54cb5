"""`hea-loop check --tier`."""

from __future__ import annotations

from importlib.resources import files

from app.check_command import _outcome_text, _window_text
from tests.in_process_cli import hea_loop

COST507 = str(files("pycalphad") / "tests" / "databases" / "COST507.tdb")


def test_check_screens_when_asked_to_and_says_so():
    ended = hea_loop(
        "check", "CrNbTiZr", "MoNbTaW", "--tier", "screen", "--temperature", "1273", "--solidus", "--json"
    )
    assert ended.code == 0
    laves, alone = ended.json
    assert (laves["tier"], laves["single_phase_bcc"], laves["phases"]) == ("screen", False, [])
    assert laves["competing_phase"].startswith("LAVES")
    assert laves["driving_force_J_per_mol"] > 100
    assert alone["single_phase_bcc"] is True
    assert alone["phases"] == [{"name": "BCC_A2", "fraction": 1.0}]
    assert 2900 < alone["solidus_K"] < 3200


def test_check_confirms_by_default():
    row = hea_loop("check", "CrNbTiZr", "--temperature", "1273", "--json").json[0]
    assert row["tier"] == "confirm"
    assert {p["name"] for p in row["phases"]} == {"BCC_A2", "LAVES_C15"}


def test_an_unknown_tier_is_refused():
    ended = hea_loop("check", "NbTi", "--tier", "guess")
    assert ended.code == 2
    assert "guess" in ended.err


def test_the_heading_of_screening_says_what_its_competitor_is():
    shown = " ".join(hea_loop("check", "CrNbTiZr", "--tier", "screen", "--temperature", "1273").out.split())
    assert "competitor: largest driving force; amounts not computed" in shown


def test_a_window_that_was_not_computed_is_a_dash_and_null_with_the_reason():
    asked = ("check", "TiV", "--database-file", COST507, "--temperature", "1273")
    (row,) = hea_loop(*asked, "--json").json
    assert (row["single_phase_window"], row["single_phase_window_computed"]) == (None, False)
    assert "no window" in row["remark"]
    assert "disordered part of BCC_B2" in row["remark"]
    assert _window_text(row) == "-"
    assert _window_text(row | {"single_phase_window_computed": True}) == "none"
    refused = hea_loop(*asked, "--tier", "screen")
    assert refused.code != 0
    assert "disordered part of BCC_B2 (order-disorder model)" in refused.err


def test_a_solidus_that_ends_the_window_is_shown_as_the_same_number():
    for tier in ("screen", "confirm"):
        ended = hea_loop("check", "W", "--tier", tier, "--temperature", "1273", "--solidus")
        row = next(line for line in ended.out.splitlines() if line.startswith("W "))
        end = row.split("<")[1].split()[0]
        assert row.split().count(end) == 2
        assert abs(float(end) - 3695) <= 1


def test_aluminium_melts_in_screening_too():
    (row,) = hea_loop("check", "Al", "--tier", "screen", "--temperature", "800", "--solidus", "--json").json
    assert abs(row["solidus_K"] - 933.5) <= 1
    assert row["solidus_outcome"] == "converged"


def test_the_outcome_says_that_a_solidus_was_not_found():
    row = {"outcome": "converged", "message": "", "remark": ""}
    found = {"solidus_outcome": "unconverged", "solidus_message": "solidus: solid up to 6000 K"}
    assert _outcome_text(row | found) == "converged; solidus unconverged: solid up to 6000 K"
    assert _outcome_text(row | {"solidus_outcome": "converged", "solidus_message": ""}) == "converged"
    assert _outcome_text(row) == "converged"

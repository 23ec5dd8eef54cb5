"""`hea-loop check --tier`."""

from __future__ import annotations

from tests.in_process_cli import hea_loop


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

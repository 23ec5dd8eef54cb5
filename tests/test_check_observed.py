"""``hea-loop check --observed``: the calibrated verdict beside the equilibrium."""

from __future__ import annotations

import pytest

from hea_loop import parse_composition
from tests.in_process_cli import hea_loop
from validators.calphad import load_database
from validators.calphad.observed import observed_probability

COMMAND = ("check", "HfNbTaTiZr", "CrNbTiZr", "--tier", "screen", "--temperature", "1473")


def test_each_alloy_carries_the_probability_of_its_state():
    rows = hea_loop(*COMMAND, "--observed", "as cast", "--json").json
    alloys = [parse_composition("HfNbTaTiZr"), parse_composition("CrNbTiZr")]
    expected = observed_probability(alloys, load_database(), processing="as cast")
    assert [r["observed"]["single_phase_bcc_probability"] for r in rows] == [a.probability for a in expected]
    assert rows[0]["observed"]["single_phase_bcc_probability"] > 0.5
    assert rows[1]["observed"]["single_phase_bcc_probability"] < 0.5
    assert "LAVES_C15 up to" in rows[1]["observed"]["text"]


def test_the_table_says_that_it_is_learned_and_for_which_state():
    shown = hea_loop(*COMMAND, "--observed", "powder").out
    assert "reported as single-phase BCC, powder (learned from the literature)" in shown
    assert "reported as" not in hea_loop(*COMMAND).out


@pytest.mark.parametrize("state", ["boiled", ""])
def test_an_unknown_state_is_refused_with_those_that_there_are(state):
    ended = hea_loop(*COMMAND, "--observed", state)
    assert ended.code == 2
    assert ended.err.startswith(
        f"error: --observed = {state!r}: is not a processing state; use one of as cast,"
    )
    assert ended.err.count("\n") == 1

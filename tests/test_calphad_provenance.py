"""What an answer rests on: estimates of phases present and competing, ternaries extrapolated."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from validators.calphad import load_database
from validators.calphad.build import build_tdb
from validators.calphad.provenance import provenance
from validators.calphad.tables import load_tables
from validators.calphad.tdb_text import STATUS_LINE


def estimated_in_the_tables(elements):
    """Parameters with an estimate among their rows, counted from the tables and not from the TDB."""
    inside = {e.upper() for e in elements}
    return {
        (p.phase, p.constituents, p.order, p.kind)
        for p in load_tables().parameters
        if p.status == "estimate" and p.elements <= inside
    }


@pytest.mark.parametrize(
    "elements", [("Cr", "Nb", "Ti", "Zr"), ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr"), ("Mo", "Nb")]
)
def test_every_estimate_within_the_elements_is_counted_once(elements):
    found = provenance(load_database(), elements, ["BCC_A2", "LAVES_C15"])
    expected = estimated_in_the_tables(elements)
    assert found.number_of_estimates == len(expected)
    phases = Counter(phase for phase, *_ in expected)
    assert Counter(e.phase for e in (*found.present, *found.competing)) == phases
    assert {e.phase for e in found.present} <= {"BCC_A2", "LAVES_C15"}
    assert not {e.phase for e in found.competing} & {"BCC_A2", "LAVES_C15"}


def test_the_text_names_the_estimates_of_present_phases_first():
    found = provenance(load_database(), ("Cr", "Ti"), ["LAVES_C15"])
    text = found.estimates_text()
    assert text.startswith(f"this answer uses {found.number_of_estimates} estimated parameter")
    assert text.index("LAVES_C15 (Cr2Ti)") < text.index("LAVES_C14 (Cr2Ti)")


def test_a_long_list_is_shortened_and_says_how_to_see_all():
    text = provenance(load_database(), load_database().elements).estimates_text()
    assert " more)" in text
    assert " other phase" in text
    assert len(text) < 500
    elements = "-".join(load_database().elements)
    assert f"hea-loop calphad parameters --elements {elements} --status estimate" in text


def test_an_answer_without_estimates_says_so():
    (no_estimate,) = [pair for pair in [("Nb", "Ti")] if not estimated_in_the_tables(pair)]
    assert (
        provenance(load_database(), no_estimate).estimates_text()
        == "this answer uses no estimated parameters"
    )


def test_ternaries_are_told_apart_by_their_parameters():
    found = provenance(load_database(), ("Cr", "Mo", "Ti", "V"))
    assert found.ternaries_assessed == (("Cr", "Ti", "V"),)
    assert found.ternaries_text() == "3 of 4 ternaries are extrapolated from binaries; assessed: Cr-Ti-V"
    assert provenance(load_database(), ("Cr", "V")).ternaries_text() == ""


def test_a_database_of_others_states_no_estimates(tmp_path):
    path = tmp_path / "others.tdb"
    path.write_text(
        "\n".join(line for line in build_tdb(["Cr", "Ti"]).splitlines() if not line.startswith("$"))
    )
    found = provenance(load_database(path), ("Cr", "Ti"))
    assert not found.states_estimates
    assert "others states no estimates" in found.estimates_text()
    assert found.detail()["estimates"] is None


def test_a_compiled_database_says_the_same_as_the_tables_it_came_from(tmp_path):
    path = tmp_path / "compiled.tdb"
    path.write_text(build_tdb(["Cr", "Nb", "Ti", "Zr"]))
    assert STATUS_LINE in path.read_text()
    own = provenance(load_database(), ("Cr", "Nb", "Zr"), ["LAVES_C15"])
    its = provenance(load_database(path), ("Cr", "Nb", "Zr"), ["LAVES_C15"])
    assert its.present == own.present
    assert its.competing == own.competing


def test_everything_is_plain_json():
    detail = provenance(load_database(), ("Cr", "Nb", "Ti"), ["BCC_A2"]).detail()
    assert json.loads(json.dumps(detail)) == detail
    assert all(e["remark"] for e in detail["estimates_competing"])

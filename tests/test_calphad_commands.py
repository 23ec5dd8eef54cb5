"""`hea-loop calphad`: build our database, see what any lacks, and where the values come from."""

from __future__ import annotations

import csv
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tests.in_process_cli import hea_loop
from tests.programs import ROOT
from validators.calphad import load_database

GHOSH = str(files("pycalphad") / "tests" / "databases" / "crtiv_ghosh.tdb")


def table(name: str) -> list[dict[str, str]]:
    """A table of the package, read here and not by the code under test."""
    with (ROOT / "validators/calphad/data" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_build_writes_the_database_and_counts_what_is_in_it(here):
    ended = hea_loop("calphad", "build", "--json")
    assert ended.code == 0, ended.err
    rows, references = table("parameters.csv"), {r["reference"]: r for r in table("references.csv")}
    cited = {r["reference"] for r in (*rows, *table("elements.csv"))}
    assert ended.json["parameter_rows"] == len(rows)
    assert ended.json["published"] == sum(r["status"] == "published" for r in rows)
    assert ended.json["estimates"] == sum(r["status"] == "estimate" for r in rows)
    assert ended.json["of_these_untraced"] == sum(
        references[r["reference"]]["attribution"] == "untraced" for r in rows
    )
    assert ended.json["references"] == len(cited)
    assert [p.name for p in here.iterdir()] == [ended.json["file"]]


def energies(database, phase, elements, points, temperatures):
    from pycalphad import calculate

    found = calculate(
        database.parsed, [*(e.upper() for e in elements), "VA"], [phase], T=temperatures, P=101325, N=1,
        points=points, to_xarray=False,
    )  # fmt: skip
    return np.asarray(found.GM).reshape(-1)


def test_the_written_file_has_the_gibbs_energies_of_ours_in_every_phase(here):
    assert hea_loop("calphad", "build", "--out", "written.tdb").code == 0
    own, written = load_database(), load_database("written.tdb")
    assert written.phases == own.phases
    assert written.elements == own.elements
    rng = np.random.default_rng(5)
    temperatures = [300.0, 1100.0, 1800.0, 3500.0]
    for phase, described in own.contents.phases.items():
        points = np.hstack([rng.dirichlet(np.ones(len(s)), 20) for s in described.constituents])
        mine = energies(own, phase, own.elements, points, temperatures)
        its = energies(written, phase, own.elements, points, temperatures)
        assert np.abs(mine).max() > 1000
        assert np.abs(its - mine).max() < 1e-6, phase


def test_the_written_file_keeps_to_the_lines_and_names_that_other_programs_read(here):
    assert hea_loop("calphad", "build", "--out", "written.tdb").code == 0
    text = Path("written.tdb").read_text(encoding="ascii")
    assert max(map(len, text.splitlines())) < 80
    names = re.findall(r"^ FUNCTION (\S+)", text, re.MULTILINE)
    assert max(map(len, names)) <= 8
    commands = [c for c in re.sub(r"^\$.*$", "", text, flags=re.MULTILINE).split("!") if c.strip()]
    assert {c.split()[0] for c in commands} == {
        "ELEMENT", "FUNCTION", "TYPE_DEFINITION", "DEFINE_SYSTEM_DEFAULT", "DEFAULT_COMMAND", "PHASE",
        "CONSTITUENT", "PARAMETER", "LIST_OF_REFERENCES",
    }  # fmt: skip
    listed = commands[-1]
    cited = {c.split()[-1] for c in commands if c.split()[0] == "PARAMETER"}
    assert all(re.search(rf"^ {key} '", listed, re.MULTILINE) for key in cited)
    assert all(
        r["doi"] in re.sub(r"\s+", "", listed) for r in table("references.csv") if r["reference"] in cited
    )


def test_a_part_of_it_is_built_for_the_elements_asked_for(here):
    assert hea_loop("calphad", "build", "--elements", "Nb,Ti Zr", "--out", "part.tdb").code == 0
    assert load_database("part.tdb").elements == ("Nb", "Ti", "Zr")


def test_a_build_that_is_refused_leaves_what_was_there(here):
    Path("old.tdb").write_text("$ of yesterday\n")
    assert hea_loop("calphad", "build", "--elements", "Nb-Re", "--out", "old.tdb").code == 2
    assert Path("old.tdb").read_text() == "$ of yesterday\n"


def test_coverage_of_ours_finds_nothing_lacking():
    ended = hea_loop("calphad", "coverage", "--json")
    assert ended.json["complete"] is True
    assert ended.json["binaries_lacking"] == {}
    assert "no element, bcc or liquid binary is lacking" in hea_loop("calphad", "coverage").out


def test_coverage_of_another_database_names_what_a_campaign_lacks(tmp_path):
    ended = hea_loop(
        "calphad", "coverage", "--database-file", GHOSH, "--campaign", str(ROOT / "campaigns/quickstart.yaml"), "--json"
    )  # fmt: skip
    assert "Nb" in ended.json["elements_lacking"]
    assert ended.json["complete"] is False
    text = hea_loop("calphad", "coverage", "--database-file", GHOSH, "--elements", "Cr-Nb-Ti").out
    assert re.search(r"elements +Nb", text)


def test_parameters_are_listed_with_reference_doi_and_status():
    rows = hea_loop("calphad", "parameters", "--phase", "laves_c15", "--elements", "Cr-Ti", "--json").json
    assert rows
    assert {r["phase"] for r in rows} == {"LAVES_C15"}
    assert {r["constituents"] for r in rows} == {"Cr:Ti"}
    known = {r["reference"]: r for r in table("references.csv")}
    assert all(r["citation"] == known[r["reference"]]["citation"] for r in rows)
    assert all(r["doi"] == known[r["reference"]]["doi"] for r in rows)


def test_estimates_alone_are_as_many_as_the_table_has():
    rows = hea_loop("calphad", "parameters", "--status", "estimate", "--json").json
    assert len(rows) == sum(r["status"] == "estimate" for r in table("parameters.csv"))
    assert "Cr:Ti" in hea_loop("calphad", "parameters", "--status", "estimate").out


def test_every_row_is_counted_with_one_reference():
    rows = hea_loop("calphad", "references", "--json").json
    assert sum(r["rows"] for r in rows) == len(table("parameters.csv"))
    assert any(r["doi"] for r in rows)
    assert "Dinsdale" in hea_loop("calphad", "references", "--elements", "Nb").out


def test_ternaries_name_the_phases_of_their_parameters():
    found = hea_loop("calphad", "ternaries", "--elements", "Cr-Ti-V-Zr", "--json").json
    assert [t["ternary"] for t in found["assessed"]] == ["Cr-Ti-V"]
    assert "BCC_A2" in found["assessed"][0]["phases"]
    assert len(found["extrapolated"]) == 3
    assert "Cr-Ti-V" in hea_loop("calphad", "ternaries", "--database-file", GHOSH).out

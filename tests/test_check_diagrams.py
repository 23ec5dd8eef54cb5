"""`hea-loop check` with diagrams: what it prints, writes and refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from tests.in_process_cli import hea_loop

SOLID = """
ELEMENT VA VACUUM 0 0 0 !
ELEMENT NB BCC_A2 92.906 5220 36.27 !
ELEMENT TI HCP_A3 47.867 4810 30.72 !
PHASE BCC_A2 % 2 1 3 !
CONSTITUENT BCC_A2 : NB,TI : VA : !
PARAMETER G(BCC_A2,NB:VA;0) 298.15 0; 6000 N !
PARAMETER G(BCC_A2,TI:VA;0) 298.15 0; 6000 N !
PARAMETER G(BCC_A2,NB,TI:VA;0) 298.15 13000; 6000 N !
"""

FAST = ("--tier", "screen", "--temperature", "1273")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_profile_is_printed_drawn_and_tabulated(tmp_path):
    out = tmp_path / "new" / "folder"
    ended = hea_loop("check", "CrNbTiZr", *FAST, "--profile", "--range", "1400:1900", "--out", str(out))
    assert ended.code == 0, ended.err
    assert "solidus 1" in ended.out
    assert "Laves solvus 1" in ended.out
    assert "BCC_A2 + LAVES_C15 + LIQUID" in ended.out
    assert ended.out.splitlines()[-2:] == [f"wrote {out / f'CrNbTiZr-profile.{e}'}" for e in ("png", "csv")]
    assert "phase profile of CrNbTiZr" in ended.err
    with Image.open(out / "CrNbTiZr-profile.png") as image:
        assert min(image.size) > 300
    rows = _rows(out / "CrNbTiZr-profile.csv")
    assert set(rows[0]) == {"temperature_K", "phase", "fraction", "x_Cr", "x_Nb", "x_Ti", "x_Zr"}
    assert {r["phase"] for r in rows} == {"BCC_A2", "LAVES_C15", "LIQUID"}
    assert sorted(p.name for p in out.iterdir()) == ["CrNbTiZr-profile.csv", "CrNbTiZr-profile.png"]


def test_without_a_folder_files_go_to_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = hea_loop("check", "NbTi", *FAST, "--profile", "--range", "1200:1400", "--format", "svg")
    assert ended.code == 0, ended.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["NbTi-profile.csv", "NbTi-profile.svg"]
    assert (tmp_path / "NbTi-profile.svg").read_text().lstrip().startswith("<?xml")


def test_json_holds_verdicts_and_diagrams_and_writes_nothing_unless_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = hea_loop("check", "NbZr", *FAST, "--profile", "--scheil", "--range", "1800:2400", "--json")
    assert ended.code == 0, ended.err
    found = ended.json
    assert set(found) == {"verdicts", "profile", "scheil", "files"}
    assert found["files"] == []
    assert list(tmp_path.iterdir()) == []
    profile, casting = found["profile"], found["scheil"]
    assert profile["solidus_K"] < profile["liquidus_K"]
    assert casting["final_temperature_K"] < profile["solidus_K"]
    assert casting["outcome"] == "converged"
    assert profile["estimated_parameters"]["number"] is not None


def test_a_section_marks_the_alloy_and_says_what_it_rests_on(tmp_path):
    ended = hea_loop(
        "check", "NbTi", *FAST, "--isopleth", "Cr:0:0.4", "--ternary", "Cr-Nb-Ti", "--range", "1250:1300",
        "--out", str(tmp_path), "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (section,), (triangle,) = ended.json["isopleth"], ended.json["ternary"]
    assert section["candidate"] == 0.0
    assert section["estimated_parameters"]["number"] >= 0
    assert triangle["temperature_K"] == 1273.0
    assert {Path(f).name for f in ended.json["files"]} == {
        f"NbTi-{name}.{e}" for name in ("isopleth-Cr-0-0.4", "Cr-Nb-Ti-1273K") for e in ("png", "csv")
    }


def test_a_binary_without_an_invariant_says_so_and_lists_its_lowest_melting_point(tmp_path):
    ended = hea_loop(
        "check", "TiZr", *FAST, "--binary", "Ti-Zr", "--range", "1750:1900", "--out", str(tmp_path)
    )
    assert ended.code == 0, ended.err
    assert "Ti-Zr: no three-phase invariant at 1750-1900 K" in ended.out
    assert "three phases (" not in ended.out
    (line,) = (line for line in ended.out.splitlines() if "congruent minimum" in line)
    assert line.split()[:3] == ["1826", "BCC_A2,", "LIQUID"]


def test_a_casting_that_ends_in_a_eutectic_is_whole(tmp_path):
    ended = hea_loop("check", "CrNb", *FAST, "--scheil", "--out", str(tmp_path))
    assert ended.code == 0, ended.err
    assert "freeze at 1979 K as BCC_A2 + LAVES_C15" in ended.out
    assert _rows(tmp_path / "CrNb-scheil.csv")[-1]["solid_fraction"] == "1.0"


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_computed(tmp_path):
    # the system grants it to root by its permissions, and refuses all the same
    ended = hea_loop("check", "NbTi", "--profile", "--out", "/proc/nothing-goes-here")
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert "--out = '/proc/nothing-goes-here': cannot be written to" in line


def test_without_a_liquid_scheil_is_named_as_what_to_drop(tmp_path):
    database = tmp_path / "solid.tdb"
    database.write_text(SOLID)
    ended = hea_loop("check", "NbTi", "--scheil", "--database-file", str(database))
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "has no liquid phase; drop --scheil" in line
    assert "solidus" not in line


def test_a_verdict_names_the_competitor_its_amount_its_driving_force_and_the_window():
    ended = hea_loop("check", "CrNbTiZr", "NbTi", "--temperature", "1273")
    assert ended.code == 0
    laves, alone = (line for line in ended.out.splitlines() if line.startswith(("CrNbTiZr ", "NbTi ")))
    assert "LAVES_C15 0." in laves
    assert "J/mol" in laves
    assert "none" in laves
    assert "yes" in alone
    assert "Cr-Nb-Ti-Zr: " in ended.out


def test_every_row_of_json_says_how_many_estimates_it_rests_on():
    (row,) = hea_loop("check", "CrNbTiZr", *FAST, "--json").json
    estimates = row["estimated_parameters"]
    listed = len(estimates["in_phases_present"]) + len(estimates["in_competing_phases"])
    assert estimates["number"] == listed
    assert any("estimated parameter" in line for line in estimates["text"])


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("NbTi", "HfTa", "--profile"), ("--profile", "2 compositions")),
        (("NbTi", "--binary", "Nb"), ("--binary", "'Nb'", "two")),
        (("NbTi", "--binary", "Nb-Nb"), ("--binary", "'Nb-Nb'")),
        (("NbTi", "--binary", "Nb-Xx"), ("--binary", "'Nb-Xx'", "Xx")),
        (("NbTi", "--binary", "Nb-Re"), ("--binary", "'Nb-Re'", "Re")),
        (("NbTi", "--ternary", "Nb-Ti"), ("--ternary", "'Nb-Ti'", "three")),
        (("NbTi", "--ternary", "Hf-Ta-W", "--keep-others"), ("--ternary", "'Hf-Ta-W'", "NbTi")),
        (("NbTi", "--keep-others"), ("--keep-others",)),
        (("NbTi", "--isopleth", "Ti:0.2"), ("--isopleth", "0.2")),
        (("NbTi", "--isopleth", "Ti:0.5:1.5"), ("--isopleth", "'Ti:0.5:1.5'", "0 to 1")),
        (("NbTi", "--isopleth", "Ti:a:b"), ("--isopleth", "'a'", "not a number")),
        (("NbTi", "--isopleth", "Ti:0:0.5:1"), ("--isopleth", "'Ti:0:0.5:1'")),
        (("NbTi", "--isopleth", "NbTi:TiNb"), ("--isopleth", "same alloy")),
        (("Nb", "--isopleth", "Nb"), ("--isopleth", "'Nb'")),
        (("Nb", "--scheil"), ("--scheil", "'Nb'", "one element")),
        (("NbTi", "--profile", "--range", "1000"), ("--range", "'1000'")),
        (("NbTi", "--profile", "--range", "2000:1000"), ("--range", "2000:1000")),
        (("NbTi", "--profile", "--range", "100:1000"), ("--range", "100")),
        (("NbTi", "--range", "1000:2000"), ("--range", "no diagram")),
        (("NbTi", "--out", "."), ("--out", "no diagram")),
        (("NbTi", "--profile", "--out", "file"), ("--out", "'file'", "file")),
        (("NbTi", "--profile", "--out", "file/below"), ("--out", "'file/below'")),
        (("NbTi", "--profile", "--format", "gif"), ("--format", "gif")),
    ],
)
def test_what_cannot_be_drawn_is_one_line_before_anything_is_computed(
    tmp_path, monkeypatch, arguments, names
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    ended = hea_loop("check", *arguments)
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    for name in names:
        assert name in line
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

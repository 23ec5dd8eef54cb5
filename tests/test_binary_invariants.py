"""Published invariants beside the database's, and the table of them in the documentation."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.binary_invariants import Compared, Published, compare, main, read_published, table
from hea_loop.errors import InputError
from validators.calphad.tables import load_tables

DOCS = Path(__file__).parents[1] / "docs" / "database.md"


def row(**changes: object) -> Published:
    values: dict[str, object] = {
        "system": "Nb-Zr", "reaction": "gap", "kind": "critical point", "marker": "BCC_A2", "element": "Nb",
        "probe": 60.0, "temperature_K": 1250.0, "at_percent": 60.0, "phase": "BCC_A2", "source": "x",
        "reference": "x", "doi": "", "looked_up": False, "remark": "",
    }  # fmt: skip
    return Published(**(values | changes))  # type: ignore[arg-type]


def test_at_least_25_invariants_of_at_least_15_binaries_have_a_reference() -> None:
    rows = read_published()
    assert len(rows) >= 25
    assert len({r.system for r in rows}) >= 15
    assert all(r.reference for r in rows)
    assert len({r.kind for r in rows}) >= 7


@pytest.fixture(scope="module")
def found() -> list[Compared]:
    return list(compare(read_published()))


def test_every_invariant_is_within_25_kelvin_and_5_percent_or_has_a_remark(found: list[Compared]) -> None:
    assert not [c for c in found if c.needs_remark and not c.published.remark]
    assert sum(not c.needs_remark for c in found) > len(found) * 3 // 4


def test_documentation_shows_what_the_command_finds(found: list[Compared]) -> None:
    def cells(line: str) -> list[str]:
        return [cell.strip() for cell in line.strip("|").split(" | ")]

    documented = DOCS.read_text(encoding="utf-8").splitlines()
    computed = table(found)
    start = documented.index(computed[0])
    for shown, line in zip(documented[start : start + len(computed)], computed, strict=True):
        for number, (there, here) in enumerate(zip(cells(shown), cells(line), strict=True)):
            if number in {3, 4, 6, 7} and there != here:  # pycalphad's last digits; a minimum is flat
                assert float(there) == pytest.approx(float(here), abs=1.01), shown
            else:
                assert there == here, shown


def test_documentation_counts_the_rows_as_they_are() -> None:
    tables = load_tables()
    attribution = {r.key: r.attribution for r in tables.references}
    rows = [p for p in tables.parameters if "AL" not in p.elements]
    kinds = Counter(attribution[p.reference] for p in rows)
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert f"Of the {len(rows)} rows without Al {kinds['estimate']} are estimates" in text
    assert (
        f"Of the {len(rows) - kinds['estimate']} published rows without Al {kinds['stated']} are stated"
        in text
    )
    assert f"{kinds['matched']} matched, {kinds['attributed']} attributed" in text
    assert f"{kinds['untraced']} untraced" in text


def test_documentation_says_how_many_invariants_were_looked_up() -> None:
    rows = read_published()
    looked_up = sum(r.looked_up for r in rows)
    assert looked_up < len(rows)
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert f"Of the {len(rows)} invariants {looked_up} were looked up" in text


def test_a_difference_beyond_the_limits_needs_a_remark() -> None:
    assert not Compared(row(), 1274.0, 64.0).needs_remark
    assert Compared(row(), 1276.0, 60.0).needs_remark
    assert Compared(row(), 1250.0, 54.0).needs_remark
    assert Compared(row(), math.nan, math.nan).needs_remark


def test_an_invariant_that_the_database_lacks_is_none_and_not_the_nearest_thing() -> None:
    (found,) = compare([row(system="Mo-W", element="W", probe=50.0, temperature_K=1500.0)])
    assert math.isnan(found.temperature_K)
    (found,) = compare([row(kind="eutectic", marker="LIQUID", phase="LIQUID")])
    assert math.isnan(found.temperature_K)


def test_the_command_prints_one_system_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--system", "Nb-Zr", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["invariants"]) == 3
    assert answer["without_remark"] == []
    assert main(["--system", "V-Zr"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 3


def test_the_command_ends_with_one_where_a_remark_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = row(kind="monotectoid", marker="HCP_A3", probe=50.0, temperature_K=950.0, at_percent=18.5)
    monkeypatch.setattr("benchmarks.binary_invariants.read_published", lambda _: [wrong])
    assert main([]) == 1
    assert "no remark: Nb-Zr" in capsys.readouterr().out


def test_a_system_that_the_table_lacks_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="choose among"):
        read_published(["Fe-C"])
    with pytest.raises(SystemExit) as stopped:
        main(["--system", "Fe-C"])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1

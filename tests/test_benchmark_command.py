"""`hea-loop benchmark` on a table of one's own alloys: what it prints, and every way the input can be wrong."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from hea_loop.benchmark_data import problem_of_rows, read_alloy_rows
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array
from tests.in_process_cli import hea_loop

ELEMENTS = ("Mo", "Nb", "Ti", "Zr")


def alloys() -> list[tuple[str, float, float]]:
    """Formula, a property of one's own, and the shear modulus of the linear combination."""
    grid = [x for x in itertools.product((0, 10, 20, 30, 40), repeat=4) if sum(x) == 100]
    out = []
    for amounts in grid:
        x = np.array([amounts]) / 100
        shear = float(predict_array(x, ELEMENTS, ("shear_modulus",))["shear_modulus"][0])
        formula = "".join(f"{e}{a}" for e, a in zip(ELEMENTS, amounts, strict=True) if a)
        out.append((formula, 300 + 3 * amounts[0] + 0.02 * amounts[1] * amounts[2], shear))
    return out


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "alloys.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["composition", "hardness_HV10", "shear_modulus", "remark"])
        for k, (formula, hardness, shear) in enumerate(alloys()):
            writer.writerow([formula, "" if k % 7 == 0 else hardness, shear, "as cast"])
    return path


@pytest.fixture(scope="module")
def ended(table):
    return hea_loop(
        *("benchmark", "--data", str(table), "--targets", "hardness_HV10=330:360", "--conditions", "shear_modulus"),
        *("--strategy", "random", "--strategy", "neighbour-jitter", "--seeds", "1"),
        *("--held-out-targets", "4", "--answers", "10", "--json"),
    )  # fmt: skip


def test_each_strategy_gets_a_row_with_hits_variety_and_what_it_knew(ended):
    assert ended.code == 0
    rows = {row["strategy"]: row for row in ended.json["summary"]}
    assert set(rows) == {"random", "neighbour-jitter"}
    assert rows["random"]["knows"] == "nothing"
    assert rows["neighbour-jitter"]["hits_5"] > rows["random"]["hits_5"]
    for row in rows.values():
        assert 0 <= row["inside_targets"] <= 1
        assert row["valid"] == 1.0


def test_a_column_that_is_the_formula_is_judged_by_it_and_any_other_by_a_learned_model(ended):
    judged = ended.json["judged_by"]
    assert "linear-combination" in judged["shear_modulus"]
    assert "Gaussian process" in judged["hardness_HV10"]


def test_the_table_names_the_judges_and_goes_to_stdout_with_progress_on_stderr(table):
    printed = hea_loop(
        *("benchmark", "--data", str(table), "--targets", "shear_modulus=40:50", "--strategy", "random"),
        *("--seeds", "1", "--held-out-targets", "3", "--answers", "4"),
    )
    assert printed.code == 0
    assert "shear_modulus is judged by the formula" in printed.out
    assert "in targets" in printed.out
    assert "seed 1: random" in printed.err


def test_one_column_per_element_is_read_as_the_formula_is(table, tmp_path):
    path = tmp_path / "columns.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*ELEMENTS, "shear_modulus"])
        for formula, _, shear in alloys():
            amounts = dict(zip(ELEMENTS, _amounts(formula), strict=True))
            writer.writerow([*(amounts[e] or "" for e in ELEMENTS), shear])
    by_column, by_formula = (read_alloy_rows(p, ["shear_modulus"]) for p in (path, table))
    assert [c.key for c in by_column.compositions] == [c.key for c in by_formula.compositions]
    assert np.allclose(by_column.columns["shear_modulus"], by_formula.columns["shear_modulus"])


def _amounts(formula: str) -> list[int]:
    rest, out = formula, []
    for e in ELEMENTS:
        if rest.startswith(e):
            digits = "".join(itertools.takewhile(str.isdigit, rest[len(e) :]))
            out.append(int(digits))
            rest = rest[len(e) + len(digits) :]
        else:
            out.append(0)
    return out


def test_a_property_that_is_no_column_but_follows_from_the_composition_is_computed(table):
    rows = read_alloy_rows(table, ["density"])
    assert np.isfinite(rows.columns["density"]).all()
    assert problem_of_rows(rows).closed_form == ("density",)


def test_rows_of_one_composition_are_averaged(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("composition;hardness\nNbTi;300\nTiNb;310\nNbZr;\n")
    rows = read_alloy_rows(path, ["hardness"])
    assert len(rows.compositions) == 2
    assert min(rows.columns["hardness"]) == 305.0


# -- bad input ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Content of the file (None: there is none), options, and what the error names."""

    content: str | None
    options: tuple[str, ...]
    names: tuple[str, ...]


GOOD = "composition,hardness\n" + "".join(f"Nb{k}Ti{100 - k},{300 + k}\n" for k in range(20, 80, 2))
ASK = ("--conditions", "hardness")

CASES = {
    "a file that is not there": Case(None, ASK, ("--data", "does not exist")),
    "no column of compositions": Case("alloy,hardness\nNbTi,300\n", ASK, ("--data", "composition", "alloy, hardness")),
    "a formula that cannot be read": Case(
        "composition,hardness\nNbTi,300\nNbXx,310\n", ASK, ("line 3", "'NbXx'", "Xx")
    ),
    "a property that is no column": Case(GOOD, ("--conditions", "hardnes"), ("hardnes", "did you mean hardness")),
    "a column that is text": Case(
        "composition,hardness\nNbTi,hard\n", ASK, ("line 2, hardness", "'hard'", "number")
    ),
    "too few alloys": Case("composition,hardness\nNbTi,300\nNbZr,310\n", ASK, ("--data", "2 different alloys", "20")),
    "an empty file": Case("", ASK, ("--data", "composition")),
    "two columns of one name": Case("composition,hardness,hardness\nNbTi,1,2\n", ASK, ("two columns hardness",)),
    "negative amounts": Case("Nb,Ti,hardness\n50,-50,300\n", ASK, ("line 2", "amounts")),
    "a property that is constant": Case(
        "composition,hardness\n" + "".join(f"Nb{k}Ti{100 - k},300\n" for k in range(20, 80, 2)),
        ASK,
        ("hardness", "same value"),
    ),
    "low above high": Case(GOOD, ("--targets", "hardness=400:300"), ("--targets", "hardness=400:300", "above")),
    "a target without a colon": Case(GOOD, ("--targets", "hardness=400"), ("--targets", "NAME=LOW:HIGH")),
    "a target without a number": Case(GOOD, ("--targets", "hardness=a:b"), ("--targets", "NAME=LOW:HIGH")),
    "a target with neither side": Case(GOOD, ("--targets", "hardness=:"), ("--targets", "neither side")),
    "two targets on one property": Case(
        GOOD, ("--targets", "hardness=300:", "--targets", "hardness=:400"), ("--targets", "second")
    ),
    "nothing asked for": Case(GOOD, (), ("--targets", "neither")),
    "an unknown strategy": Case(GOOD, (*ASK, "--strategy", "cgan-2012"), ("--strategy", "cgan-2021")),
    "no seeds": Case(GOOD, (*ASK, "--seeds", "0"), ("--seeds",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_one_clear_line_and_exit_code_2(case, tmp_path):
    path = tmp_path / "alloys.csv"
    if case.content is not None:
        path.write_text(case.content)
    said = hea_loop("benchmark", "--data", str(path), *case.options)
    assert said.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    for name in case.names:
        assert name in said.err


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path):
    path = tmp_path / "alloys.csv"
    path.write_bytes(b"\xff\xfe\x00composition")
    with pytest.raises(InputError, match="UTF-8"):
        read_alloy_rows(path, ["hardness"])

from __future__ import annotations

import math

import pytest

from hea_loop.alloy_table import read_alloy_table
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition


def table(folder, text):
    file = folder / "alloys.csv"
    file.write_text(text, encoding="utf-8")
    return read_alloy_table(file)


def test_numbers_are_read_by_column_with_gaps_and_notes_passed_over(tmp_path):
    read = table(tmp_path, "composition,creep life,note\nNbTi,12.5,good\nMoNb,,bad\nNbTi,13.5,\n")
    assert [c.key for c in read.compositions] == ["Nb:500 Ti:500", "Mo:500 Nb:500", "Nb:500 Ti:500"]
    assert list(read.columns) == ["creep life"]
    assert read.value(parse_composition("NbTi"), "creep life") == 13.0
    assert math.isnan(read.value(parse_composition("MoNb"), "creep life"))
    assert math.isnan(read.value(parse_composition("MoW"), "creep life"))
    assert math.isnan(read.value(parse_composition("NbTi"), "hardness"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alloy,hardness\nNbTi,3\n", "has no column composition"),
        ("composition,hardness\n", "has no column composition with alloys in it"),
        ("composition,hardness\nNbTi,300\nXx,2\n", "line 3"),
        ("composition,hardness\nNbTi,300\nMoNb,hard\n", "hardness, line 3"),
        ("composition,hardness\nNbTi,300\nMoNb,inf\n", "hardness, line 3"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        table(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_alloy_table(tmp_path / "none.csv")

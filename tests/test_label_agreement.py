"""Agreement between publications, on cases that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.label_agreement import agreement
from db.literature import read_literature
from hea_loop import parse_composition

ELEMENTS = ("Nb", "Ti", "Zr", "V")


@pytest.fixture(scope="module")
def example():
    return next(r for r in read_literature() if r.property == "phases_observed")


def reports(example, *said):
    return [
        replace(example, composition=parse_composition(alloy), text=text, doi=doi, processing=steps)
        for alloy, doi, text, steps in said
    ]


def test_pairs_are_counted_both_ways_round(example):
    rows = reports(
        example,
        ("NbTiZr", "a", "BCC", ("cast",)),
        ("NbTiZr", "b", "BCC", ("cast",)),
        ("NbTiZr", "c", "BCC+BCC", ("cast",)),
        ("NbTiV", "a", "BCC+BCC", ("cast",)),
        ("NbTiV", "b", "BCC+BCC", ("cast",)),
        ("NbZr", "a", "BCC", ("cast",)),  # two elements are too few
        ("NbTiVZr", "a", "BCC", ("cast",)),  # reported once
    )
    found = agreement(rows, ELEMENTS, by_processing=False)
    assert (found["alloys"], found["pairs"]) == (2, 4)
    assert (found["both_single"], found["neither"], found["disagree"]) == (1, 1, 2)
    # of the 4 times that one said single, the other did so in 2; likewise of the other kind
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    assert found["knowing_the_truth"] == pytest.approx(0.5)


def test_reports_that_err_once_in_ten_are_known_by_their_agreement(example):
    rows = []
    for k in range(100):  # 82 of 100 pairs agree, (1 - e)^2 + e^2 with e = 0.1
        first, second = ("BCC", "BCC") if k < 41 else ("B2", "B2") if k < 82 else ("BCC", "B2")
        alloy = f"Nb{20 + k / 5:.1f} Ti{30 - k / 10:.1f} Zr bal"
        rows += reports(example, (alloy, "a", first, ()), (alloy, "b", second, ()))
    found = agreement(rows, ELEMENTS, by_processing=True)
    assert found["pairs"] == 100
    assert found["balanced_accuracy"] == pytest.approx(0.82)
    assert found["knowing_the_truth"] == pytest.approx(0.9)


def test_other_processing_is_another_observation(example):
    rows = reports(example, ("NbTiZr", "a", "BCC", ("cast",)), ("NbTiZr", "b", "BCC", ("annealed",)))
    assert agreement(rows, ELEMENTS, by_processing=False)["pairs"] == 1
    assert agreement(rows, ELEMENTS, by_processing=True)["pairs"] == 0

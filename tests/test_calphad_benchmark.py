"""`python -m benchmarks.calphad --smoke --json` runs through and answers in the fields that it promises."""

from __future__ import annotations

import json

import pytest

from benchmarks.calphad import main, random_alloys


@pytest.mark.slow
def test_the_smoke_run_gives_every_field_for_four_and_five_components(capsys):
    assert main(["--smoke", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = result["rows"]
    assert [row["components"] for row in rows] == [4, 5]
    for row in rows:
        assert row["screen_per_s"] > row["warm_per_s"] > row["naive_per_s"] > 0
        assert row["screen_over_naive"] == pytest.approx(row["screen_per_s"] / row["naive_per_s"])
        assert 0.5 <= row["agreement"] <= 1.0
        assert row["screen_wrong"] == 0.0
        settled = row["settled"]
        compared = settled["same"] + settled["unanswered"] + len(settled["differences"])
        assert compared == settled["alloys"] == 2
    melting = result["solidus"]
    assert melting["within_10_K"] == melting["compared"] <= melting["chosen"] == 2
    assert 0 < melting["settled"] <= melting["alloys"] == 20


def test_random_alloys_are_the_same_for_the_same_seed():
    import numpy as np

    first, second = (
        random_alloys(5, 4, ("Cr", "Nb", "Ta", "Ti", "V"), np.random.default_rng(1)) for _ in "ab"
    )
    assert first[0] == second[0]
    assert (first[1] == second[1]).all()
    assert all(len(alloy.elements) == 4 for alloy in first[0])

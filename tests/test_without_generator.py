"""The selection on uniform random compositions, without a generator."""

import pytest

from benchmarks.without_generator import main, measure
from tests.small_campaign import small_campaign


def test_uniform_pools_are_judged_by_the_campaigns_own_selection_and_criteria() -> None:
    turns = measure(small_campaign(batch_size=4, random_share=0.25), seed=2, iterations=2, pool=60)
    assert [t.iteration for t in turns] == [1, 2]
    assert all(0 < t.inside_predicted <= t.pool == 60 for t in turns)
    # a batch of four less its random share of one
    assert all(t.validated == 3 and 0 <= t.hits <= 3 for t in turns)
    assert turns == measure(small_campaign(batch_size=4, random_share=0.25), seed=2, iterations=2, pool=60)


def test_bad_numbers_and_files_end_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--iterations", "0"]) == 2
    assert main(["nowhere.yaml"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "nowhere.yaml" in said.err

"""The generation benchmark: what it measures, on cases whose answer is known, and its command."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import generation, generation_grounds, generation_tables, tables
from hea_loop.errors import InputError
from hea_loop.generation_benchmark import Problem, Setting, judged, summarise, trial, with_hits
from hea_loop.generation_measures import (
    coverage_and_density,
    least_errors,
    property_correlation_distance,
    relative_errors,
    share_valid,
    tolerance_unit,
)
from hea_loop.generators.registry import GENERATORS
from hea_loop.palette import Palette

PALETTE = Palette(("Mo", "Nb", "Ti"), (5, 5, 5), (1000, 1000, 1000), (False,) * 3, 1, 3)


def linear(x):
    """Two properties that are averages over the atoms."""
    return x @ np.array([[100.0, 1.0], [50.0, 3.0], [20.0, 2.0]])


@pytest.fixture(scope="module")
def problem():
    x = np.round(np.random.default_rng(1).dirichlet(np.ones(3), 60), 2)
    x[:, 2] = 1 - x[:, 0] - x[:, 1]
    x = np.clip(x, 0, None) / np.clip(x, 0, None).sum(axis=1, keepdims=True)
    return Problem("toy", PALETTE.elements, x, linear(x), ("stiff", "light"), linear, {}, (), PALETTE)


@pytest.fixture(scope="module")
def given(problem):
    return trial(problem, 3, Setting(targets=8, answers=5))


# -- trials --------------------------------------------------------------------------------------------------------


def test_held_out_alloys_are_a_fifth_and_none_of_them_is_trained_on(problem, given):
    assert len(given.held_out) == 12
    assert sorted([*given.held_out, *given.training]) == list(range(60))


def test_the_same_seed_gives_the_same_targets_and_another_seed_others(problem, given):
    again, other = (trial(problem, seed, Setting(targets=8)) for seed in (3, 4))
    assert np.array_equal(given.targets, again.targets)
    assert not np.allclose(given.targets, other.targets)


def test_a_target_that_compositions_reach_is_found_reachable_and_one_beyond_all_of_them_is_not():
    targets = np.array([[60.0, 2.0], [150.0, 2.0]])
    starts = np.eye(3)
    least, closest = least_errors(linear, targets, np.abs(targets), starts, upper=np.ones(3), seed=1)
    assert least[0] < 1e-4
    assert np.allclose(linear(closest[:1]), targets[:1], rtol=1e-3)
    # pure Mo is the stiffest: 100 of 150 and half of the 2 wanted; the best balances both errors
    assert least[1] > 0.3


def test_the_direct_optimiser_keeps_the_upper_bounds():
    targets = np.array([[100.0, 1.0]])
    upper = np.array([0.5, 1.0, 1.0])
    _, closest = least_errors(
        linear, targets, np.abs(targets), np.array([[0.2, 0.4, 0.4]]), upper=upper, seed=1
    )
    assert closest[0, 0] <= 0.5 + 1e-6


# -- judging ---------------------------------------------------------------------------------------------------------


def test_answers_that_are_exact_are_all_hits_and_repeating_one_alloy_shows_as_no_variety(problem, given):
    run = {"seed": 3, "strategy": "exact", "problem": "toy", "knows": "all"}
    answers = np.repeat(given.closest[:, None, :], 5, axis=1)
    [row] = with_hits([run | judged(problem, given, answers)], {3: given})
    assert row["hits_2_reachable"] == 1.0
    assert row["hits_2"] == pytest.approx(row["reachable_2"])
    assert row["diversity"] == pytest.approx(0.0, abs=1e-9)
    assert row["collapsed"]


def test_a_target_that_only_a_contestant_reaches_counts_as_reachable_for_all(problem, given):
    base = {
        "seed": 3,
        "problem": "toy",
        "knows": "",
        **judged(problem, given, given.closest[:, None, :].repeat(2, 1)),
    }
    far = base | {"strategy": "far", "errors": np.ones((8, 2)).tolist()}
    near = base | {"strategy": "near", "errors": np.zeros((8, 2)).tolist()}
    rows = with_hits([far, near], {3: given})
    assert [row["reachable_2"] for row in rows] == [1.0, 1.0]
    assert [row["hits_2_reachable"] for row in rows] == [0.0, 1.0]
    assert [entry["strategy"] for entry in summarise(rows)] == ["near", "far"]


def test_a_value_that_cannot_be_computed_is_no_hit():
    wanted = np.array([[1.0, 2.0]])
    assert np.isinf(relative_errors(np.array([[1.0, np.nan]]), wanted, wanted))[0]


def test_a_property_that_crosses_zero_is_judged_by_its_spread_and_not_in_percent_of_itself():
    values = np.array([[-10.0, 1.0], [10.0, 3.0]])
    unit = tolerance_unit(values, np.array([[0.01, 2.0]]))
    assert unit[0].tolist() == [10.0, 2.0]


def test_coverage_and_density_are_one_for_the_data_themselves_and_zero_far_from_them():
    x = np.random.default_rng(2).dirichlet(np.ones(4), 80)
    coverage, density = coverage_and_density(x, x)
    assert coverage == 1.0
    assert density == pytest.approx((80 * 6) / (5 * 80))  # each ball holds its centre and five neighbours
    assert coverage_and_density(0.99 * np.eye(4)[[0] * 40] + 0.0025, np.eye(4)[[1] * 40]) == (0.0, 0.0)


def test_generating_one_real_alloy_over_and_over_covers_few():
    x = np.random.default_rng(2).dirichlet(np.ones(4), 80)
    assert coverage_and_density(x, np.repeat(x[:1], 80, axis=0))[0] < 0.3


def test_correlations_of_opposite_sign_are_two_apart():
    x = np.linspace(0, 1, 9)
    assert property_correlation_distance(np.column_stack((x, x)), np.column_stack((x, -x))) == pytest.approx(
        2
    )


def test_validity_counts_rows_that_are_compositions_of_the_palette():
    rows = np.array([[0.5, 0.5, 0.0], [0.5, 0.499, 0.001], [0.5, 0.4, 0.0], [1.2, -0.2, 0.0]])
    assert share_valid(rows, PALETTE) == 0.25


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    path = tmp_path_factory.mktemp("generation") / "result.json"
    arguments = ["--smoke", "--problem", "A", "--strategy", "random", "neighbour-jitter", "--out", str(path)]
    return generation.main(arguments), path


def test_the_smoke_run_writes_versions_seeds_machine_and_a_row_for_each_strategy(printed):
    code, path = printed
    assert code == 0
    result = json.loads(path.read_text())
    assert result["environment"]["versions"]["torch"]
    assert result["environment"]["machine"]
    assert result["seeds"] == [1]
    rows = result["problems"]["A"]["summary"]
    assert {row["strategy"] for row in rows} == {"random", "neighbour-jitter"}
    assert all(row["valid"] == 1.0 for row in rows)
    assert result["problems"]["A"]["alloys"] > 400


def test_a_smoke_run_is_not_written_into_the_documents(printed, capfd):
    assert generation.main(["--tables", str(printed[1])]) == 2
    assert "no full result" in capfd.readouterr().err


def test_an_unknown_strategy_ends_with_one_line_and_code_2(capfd):
    assert generation.main(["--smoke", "--strategy", "cgan-2012"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "did you mean cgan-2021" in said.err


def test_every_registered_strategy_takes_part_unless_some_are_named():
    assert generation._arguments([]).strategy == list(GENERATORS)


def test_bars_say_pass_or_missed_by_the_measured_mean():
    entry = {"hits_2": 0.7, "hits_2_reachable": 0.9, "diversity": 0.21, "novelty": 0.95}
    rows = [
        {"strategy": "flow-matching", "pair_correlation_distance": 0.06, **entry},
        {"strategy": "cgan-2021", "pair_correlation_distance": 0.10, **entry},
    ]
    found = generation_tables.bars({"problems": {"A": {"summary": rows}}}, "flow-matching")["bars"]
    assert [bar["passed"] for bar in found] == [True, False, True, True, False]


def test_several_results_are_put_together_row_by_row(printed):
    one = json.loads(printed[1].read_text())
    other = json.loads(
        printed[1].read_text().replace("neighbour-jitter", "cvae").replace('"random"', '"cma-es"')
    )
    both = generation_tables.merged([one, other])
    names = {row["strategy"] for row in both["problems"]["A"]["summary"]}
    assert names == {"random", "neighbour-jitter", "cvae", "cma-es"}


def test_a_block_of_a_document_is_replaced_and_the_rest_left(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- begin generated: x; by y -->\nold\n<!-- end generated: x -->\nafter\n")
    tables.fill(path, {"x": "new"})
    assert "new" in path.read_text()
    assert "old" not in path.read_text()
    assert path.read_text().startswith("before\n")
    assert path.read_text().endswith("after\n")
    with pytest.raises(InputError, match="0 times"):
        tables.fill(path, {"z": "new"})


def test_targets_of_positive_spread_out_properties_are_drawn_in_logarithms_and_every_centre_is_used_before_any_twice():
    rng = np.random.default_rng(5)
    x = rng.dirichlet(np.ones(3), 60)
    strength = np.exp(rng.normal(4, 1.2, 60))
    enthalpy = rng.normal(0, 3, 60)
    palette = Palette(("Mo", "Nb", "Ti"), (1,) * 3, (1000,) * 3, (False,) * 3, 1, 3)
    values = np.column_stack([strength, enthalpy])
    problem = Problem("odd", ("Mo", "Nb", "Ti"), x, values, ("s", "h"), lambda y: y[:, :2], {}, (), palette)
    given = trial(problem, 1, Setting(targets=48))
    assert (given.targets[:, 0] > 0).all()
    assert given.targets[:, 1].min() < 0
    assert abs(np.log(given.targets[:, 0]).std() - 1.2) < 0.4
    # 12 alloys are held out: each is the centre of four targets, whose mean is near it in the logarithm
    assert abs(np.log(given.targets[:, 0]).mean() - np.log(strength[given.held_out]).mean()) < 0.3


def test_the_grounds_of_targets_and_descriptors_are_measured_and_printed(capsys):
    assert generation_grounds.main(["--smoke", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    at_scott = {
        (r["problem"], r["logarithms"]): r["systems"] for r in printed["density"] if r["width"] == 1.0
    }
    assert at_scott["A", True] > at_scott["A", False]
    assert at_scott["B", True] > at_scott["B", False] + 0.1
    assert [row["model"] for row in printed["ceiling"]] == ["ours", "own features"]
    for row in printed["ceiling"]:
        # of the most probable answers one is surer than eight that have to differ
        assert 0 < row["many_stated"] < row["one_stated"] <= 1
        assert row["variety"] >= 0.35
    for row in printed["descriptors"]:
        assert 0.05 < row["chosen"] < 1.05 * row["three"]

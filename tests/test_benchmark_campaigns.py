"""The campaign benchmark: metrics on sequences made by hand, every contestant with its own package, the command."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.campaigns.__main__ import main
from benchmarks.campaigns.controls import violations
from benchmarks.campaigns.harness import State, Task, distinct, run_campaign
from benchmarks.campaigns.metrics import acceleration, bootstrap_interval, enhancement, jobs_to_reach
from benchmarks.campaigns.registry import CONTESTANTS
from benchmarks.campaigns.report import block, write_tables
from benchmarks.oracles import Law, rare_hit, ternary_pool
from benchmarks.tables import load_result
from hea_loop.errors import InputError

TINY = {"seed": 1, "law": Law(), "minimum_distance": 0.05}


class _Spy:
    """Proposes the same alloys and keeps what it was told."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.states = task, []
        self.rows = np.random.default_rng(seed).dirichlet(np.ones(len(task.elements)), 200)

    def propose(self, state: State, number: int) -> np.ndarray:
        self.states.append(state)
        return self.rows[state.round * number : (state.round + 1) * number]


def test_a_hit_counts_once_within_the_minimum_distance() -> None:
    rows = np.array([[0.5, 0.5, 0], [0.48, 0.52, 0], [0.2, 0.4, 0.4], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    hit = np.array([True, True, True, True, False])
    assert distinct(rows, hit, 0.05).tolist() == [1, 1, 2, 2, 2]
    assert distinct(rows, hit, 0.01).tolist() == [1, 2, 3, 3, 3]
    # the same alloy is never two hits, whatever the distance
    assert distinct(rows, hit, 0.0).tolist() == [1, 2, 3, 3, 3]


def test_jobs_to_reach_a_number_of_hits() -> None:
    curve = np.array([0.0, 0.0, 1.0, 3.0, 3.0])
    assert jobs_to_reach(curve, 1) == 3
    assert jobs_to_reach(curve, 2) == 3.5
    assert jobs_to_reach(curve, 4) == np.inf


def test_acceleration_is_the_ratio_of_jobs_to_the_number_both_reach() -> None:
    fast = np.cumsum(np.ones((2, 10)), axis=1)  # a hit in every job
    slow = np.tile(np.repeat(np.arange(1, 6), 2), (2, 1)).astype(float) - np.tile(
        [1, 0], 5
    )  # in every second
    assert acceleration(fast, slow) == pytest.approx(2)
    assert acceleration(slow, fast) == pytest.approx(0.5)
    assert acceleration(fast, fast) == pytest.approx(1)
    assert np.isnan(acceleration(fast, np.zeros((2, 10))))


def test_enhancement_is_hits_over_the_expectation_of_random() -> None:
    hits = np.array([[0, 2, 4], [0, 0, 2]], dtype=float)
    assert enhancement(hits, 0.1) == pytest.approx(3 / 0.3)


def test_bootstrap_interval_holds_the_mean_and_narrows_with_the_scatter() -> None:
    wide, narrow = np.array([10.0, 20, 30, 40, 50]), np.array([29.0, 29.5, 30, 30.5, 31])
    low, high = bootstrap_interval(wide)
    assert 10 < low < 30 < high < 50
    assert np.subtract(*bootstrap_interval(narrow)[::-1]) < 0.2 * (high - low)
    assert bootstrap_interval(np.full(5, 7.0)) == (7.0, 7.0)


def test_violation_is_zero_inside_and_one_half_width_outside() -> None:
    found = violations({"g": np.array([65.0, 80, 87.5, 50])}, {"g": (65.0, 80.0)})
    np.testing.assert_allclose(found[:, 0], [0, 0, 1, 2])


def test_contestants_see_answers_late_and_jobs_that_wait_and_fail() -> None:
    spies: list[_Spy] = []

    def factory(task: Task, seed: int) -> _Spy:
        spies.append(_Spy(task, seed))
        return spies[-1]

    run = run_campaign(rare_hit(), factory, seed=2, law=Law(), rounds=5, batch=10, minimum_distance=0.05)
    states = spies[0].states
    assert [len(s.fractions) + len(s.failed) + len(s.pending) for s in states] == [20, 30, 40, 50, 60]
    # nothing of the first round is known in the second; all of it is in the fourth
    assert len(states[1].fractions) == 20
    assert len(states[1].pending) == 10
    assert 20 < len(states[2].fractions) + len(states[2].failed) < 30
    assert len(states[3].pending) < 20
    assert sum(len(s.failed) for s in states) > 0
    assert run.jobs == 50
    assert run.hits.shape == (50,)
    assert (np.diff(run.hits) >= 0).all()


class _Spender(_Spy):
    """Asks ten cheap jobs in the first round."""

    def ask_cheap(self, state: State) -> np.ndarray:
        return self.rows[100:110] if state.round == 0 else self.rows[:0]


def test_cheap_jobs_cost_their_share_of_the_round() -> None:
    spenders: list[_Spender] = []

    def factory(task: Task, seed: int) -> _Spender:
        spenders.append(_Spender(task, seed))
        return spenders[-1]

    tiny = {"rounds": 4, "batch": 3, **TINY}
    run = run_campaign(rare_hit(), factory, two_fidelities=True, **tiny)
    assert (run.cheap, run.jobs, run.hits.shape) == (10, 11, (12,))
    last = spenders[0].states[-1]
    assert 5 <= len(last.cheap_fractions) <= 10  # a fifth fails
    assert not np.isin(last.cheap_values["shear_modulus"], last.values["shear_modulus"]).any()
    # where there is one fidelity, nobody asks for another
    assert run_campaign(rare_hit(), factory, **tiny).cheap == 0


def test_more_proposals_than_asked_for_are_refused() -> None:
    class Greedy(_Spy):
        def propose(self, state: State, number: int) -> np.ndarray:
            return super().propose(state, number + 1)

    with pytest.raises(InputError, match="keep to the number"):
        run_campaign(rare_hit(), Greedy, rounds=1, batch=2, **TINY)


def test_without_noise_true_and_observed_hits_are_the_same() -> None:
    law = Law(noise=False, failure_rate=0, late=(0,))
    run = run_campaign(
        rare_hit(), CONTESTANTS["random"], seed=1, law=law, rounds=10, batch=50, minimum_distance=0.05
    )
    assert run.hits.tolist() == run.observed.tolist()
    assert run.failed == 0
    assert 1 <= run.hits[-1] <= 15  # of 500 at a base rate of 1.1%


# one restart of the search for the maximum, where the benchmark has several: the package and its calls are the same
@pytest.mark.parametrize(
    ("name", "options"),
    [("random", {}), ("pymoo nsga2", {}), ("cma", {})]
    + [(name, {"restarts": 1}) for name in ("botorch", "botorch qLogNEI", "baybe", "ax")],
)
def test_each_peer_runs_with_its_own_package_inside_the_palette(name: str, options: dict[str, int]) -> None:
    factory = partial(CONTESTANTS[name], **options)
    run = run_campaign(rare_hit(), factory, rounds=2, batch=1, **TINY)
    assert run.jobs == 2
    assert len(np.unique(run.fractions, axis=0)) == 2
    assert run.fractions.max() <= 0.4
    np.testing.assert_allclose(run.fractions.sum(axis=1), 1)


@pytest.mark.parametrize("name", ["hea-loop", "generator without acquisition"])
def test_hea_loop_runs_and_repeats_itself(name: str) -> None:
    runs = [run_campaign(rare_hit(), CONTESTANTS[name], rounds=1, batch=2, **TINY) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].fractions, runs[1].fractions)


@pytest.mark.parametrize("name", ["hea-loop", "botorch", "pymoo nsga2"])
def test_in_a_pool_only_members_are_asked_for_and_each_once(name: str) -> None:
    oracle = ternary_pool()
    run = run_campaign(oracle, CONTESTANTS[name], rounds=2, batch=2, **TINY)
    assert oracle.pool is not None
    members = {tuple(row) for row in oracle.pool}
    assert {tuple(row) for row in run.fractions} <= members
    assert run.repeated == 0


def test_the_smoke_run_prints_and_writes_json_that_fills_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, document = tmp_path / "results" / "campaigns.json", tmp_path / "benchmarks.md"
    chosen = ["--smoke", "--contestant", "cma", "random", "--out", str(out)]
    assert main([*chosen, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [r["contestant"] for r in printed["runs"]] == ["cma", "random"]
    assert printed["versions"]["cma"]
    assert printed["oracles"]["rare-hit"]["base_rate"] == pytest.approx(0.011, abs=0.006)
    # what was measured before stays, what is measured again is replaced
    assert main([*chosen, "--contestant", "random", "pymoo nsga2", "--add"]) == 0
    joined = load_result(out)
    assert sorted(r["contestant"] for r in joined["runs"]) == ["cma", "pymoo nsga2", "random"]
    document.write_text(
        "before\n<!-- begin generated: campaigns; by hand -->\n<!-- end generated: campaigns -->\nafter\n"
    )
    assert main(["--tables", str(out), "--document", str(document)]) == 0
    text = document.read_text()
    assert text.startswith("before\n")
    assert "| cma (cma " in text
    assert (tmp_path / "images" / "campaigns-rare-hit.png").stat().st_size > 5000


def test_the_verdict_says_when_the_default_falls_short(tmp_path: Path) -> None:
    runs = [
        {"oracle": "o", "contestant": name, "seed": 1, "hits": [0, hits], "observed_hits": hits, "failed": 0}
        | {"repeated": 0, "too_near": 0, "cpu_seconds": 1.0, "cpu_seconds_of_a_round": 1.0}
        for name, hits in (("hea-loop", 6), ("botorch", 5))
    ]
    about = {
        "elements": ["Nb"],
        "targets": {"g": [0, 1]},
        "units": {"g": "1"},
        "noise": {"g": 0.0},
        "pool": None,
    }
    about |= {
        "base_rate": 0.5,
        "base_rate_of": 10,
        "rounds": 1,
        "batch": 2,
        "cheap_cost": None,
        "minimum_distance": 0.05,
    }
    result = {
        "runs": runs,
        "oracles": {"o": about | {"failure_rate": 0.0, "late": [0]}},
        "seeds": [1],
        "commands": ["python"],
        "versions": {"botorch": "0"},
        "environment": {"made_at": "2026-11-23", "machine": "m", "load_average_1_min": 0.0},
    }
    document = tmp_path / "d.md"
    document.write_text("<!-- begin generated: campaigns -->\n<!-- end generated: campaigns -->\n")
    write_tables(result, document)
    assert (
        "1.20 times the hits of the best peer, botorch (short of 1.25; on the 1 seed that both ran)"
        in document.read_text()
    )
    document.write_text("nothing\n")
    with pytest.raises(InputError, match="stands 0 times"):
        write_tables(result, document)


def test_a_pool_of_ones_own_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "mine.csv"
    rng = np.random.default_rng(0)
    rows = [f"Nb{a} Mo{b} Ti{1000 - a - b},{a / 10},x" for a, b in rng.integers(100, 400, (150, 2))]
    table.write_text("composition,strength,note\n" + "\n".join([*rows, "NbTi,,unknown"]) + "\n")
    chosen = ["--data", str(table), "--seeds", "1", "--contestant", "hea-loop", "random", "--rounds", "3"]
    assert main([*chosen, "--target", "strength=35:", "--batch", "6", "--no-delay", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["oracles"]["mine"]["pool"] == len(set(rows))
    ours, random = (run["hits"][-1] for run in result["runs"])
    # a line in one element is learned at once
    assert ours > 10 > random
    for wrong, message in (
        (["--target", "strength=5"], "write it as"),
        (["--target", "hardness=1:2"], "has no column hardness"),
        (["--target", "strength=90:"], "has 0 hits"),
    ):
        assert main([*chosen, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_bad_arguments_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
    assert main(["--tables", "no-such-file.json"]) == 2
    assert "no-such-file.json" in capsys.readouterr().err


def test_the_documents_tables_are_those_of_the_packaged_results() -> None:
    docs = Path(__file__).parents[1] / "docs"
    result = load_result(docs / "results" / "campaigns.json")
    assert block(result) in (docs / "benchmarks.md").read_text(encoding="utf-8")
    for oracle in result["oracles"]:
        assert (docs / "images" / f"campaigns-{oracle}.png").exists()

"""The benchmark that leaves out whole systems: it runs, and what it prints is complete."""

from __future__ import annotations

import json

from benchmarks.surrogate import main


def test_a_smoke_run_prints_scores_versions_seed_and_machine(capsys):
    assert main(["--smoke", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    score = printed["results"]["shear_modulus"]
    assert score["systems"] == 9
    assert score["mean_absolute_error"] < 0.2 * score["baseline_mean_absolute_error"]
    assert 0.8 < score["coverage"] <= 1
    assert printed["seed"] == 0
    assert printed["versions"]["gpytorch"]
    assert printed["machine"]["cores"] >= 1

"""The ceiling of problem B: the process that may see the oracle's features sees just those, and variety is kept."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.generation_ceiling import OwnFeatures, own_features
from benchmarks.generation_grounds import ceiling_table
from benchmarks.generation_kind_b import kind_b_problem
from benchmarks.oracle_models import packaged_models, strength_features
from benchmarks.oracles import SERVICE_K


def test_the_own_features_are_those_of_the_oracle() -> None:
    x = kind_b_problem().fractions
    models = packaged_models()
    expected = (strength_features(x, np.full(len(x), SERVICE_K)) - models.centre) / models.scale
    np.testing.assert_allclose(own_features(torch.as_tensor(x)).numpy(), expected, atol=1e-4)


def test_the_process_of_the_own_features_knows_its_rows_and_doubts_what_is_far_from_them() -> None:
    problem = kind_b_problem()
    y = np.log(problem.values[:, problem.names.index("strength_1200C")])
    process = OwnFeatures.fit(problem.fractions[::2], y[::2])
    mean, deviation = process.mean_and_deviation(torch.as_tensor(problem.fractions))
    off = np.abs(mean.numpy() - y)
    assert off[::2].max() < 0.01
    assert np.median(off[1::2]) < 0.05
    assert deviation.numpy()[::2].max() < np.median(deviation.numpy()[1::2])
    far = torch.eye(10, dtype=torch.float64)[:1]
    assert float(process.mean_and_deviation(far)[1]) > float(np.quantile(deviation.numpy(), 0.9))


def test_the_table_has_a_line_for_each_model() -> None:
    row = {"seed": 1, "one": 0.8, "one_stated": 0.79, "many": 0.65, "many_stated": 0.66, "variety": 0.35}
    table = ceiling_table([{**row, "model": "ours"}, {**row, "seed": 2, "model": "ours", "many": 0.67}])
    assert table.splitlines()[2] == "| ours | 80% ± 0% | 79% ± 0% | 66% ± 1% | 66% ± 0% | 0.35 ± 0.00 |"

"""Climbing: what is learned becomes surer, what is known stays within its margin, bounds are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hea_loop.acquisition.probability import Interval, log_probability_all
from hea_loop.generators.climbing import AwayFromOthers, climb, log_chance
from hea_loop.surrogates.composition_gp import CompositionGP

HOME = torch.tensor([0.3, 0.3, 0.3, 0.1], dtype=torch.float64)
"""Where the models below are surest."""
KNOWN = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)


def models(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One property that is the same everywhere but known worse away from home, and one that is known well."""
    away = (x - HOME).square().sum(dim=1)
    mean = torch.stack([torch.ones_like(away) + 0 * away, x @ KNOWN], dim=1)
    return mean, torch.stack([0.01 + away, torch.full_like(away, 0.001)], dim=1)


def starts() -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.as_tensor(rng.dirichlet(np.ones(4), 300))


def climbed(x: torch.Tensor, second: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.ones(len(x), 2, dtype=torch.float64)
    target[:, 1] = second
    margin = torch.tensor([0.05, 0.2], dtype=torch.float64).expand(len(x), 2)
    bounds = {"low": torch.zeros_like(x), "high": (x > 0).double()}
    return climb(models, x, target, margin, steps=80, **bounds)


def test_a_composition_is_moved_to_where_its_properties_are_known_best() -> None:
    found, _ = climbed(starts(), float("nan"))
    moved = 0.5 * (found - HOME).abs().sum(dim=1)
    before = 0.5 * (starts() - HOME).abs().sum(dim=1)
    # at a deviation of a third of the margin it is as good as certain, and left alone
    assert float(before.median()) > 0.3
    assert float(moved.max()) < 0.16


def test_no_composition_becomes_less_probable_and_all_stay_on_their_elements() -> None:
    x = starts()
    x[::2, 3] = 0
    x = x / x.sum(dim=1, keepdim=True)
    wanted = x @ KNOWN
    mean, deviation = models(x)
    target = torch.stack([torch.ones_like(wanted), wanted], dim=1)
    margin = torch.tensor([0.05, 0.2], dtype=torch.float64)
    before = log_chance(mean, deviation, target - margin, target + margin)
    found, chance = climbed(x, wanted)
    assert bool((chance >= before).all())
    assert float(chance.mean()) > float(before.mean()) + 0.5
    assert bool((found[x == 0] == 0).all())
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(x), dtype=torch.float64))
    assert bool((found >= 0).all())


def test_what_is_known_well_stays_within_its_margin() -> None:
    x = starts()
    wanted = x @ KNOWN
    found, _ = climbed(x, wanted)
    off = (found @ KNOWN - wanted).abs()
    assert float(off.max()) <= 0.2
    assert float(off.max()) > 0.1  # and uses it


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (2.0, 3.0), (-np.inf, 0.5), (5.0, np.inf), (40.0, 41.0)]
)
def test_the_probability_is_that_of_the_acquisition_and_has_a_slope(low: float, high: float) -> None:
    mean = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].requires_grad_(True)
    deviation = torch.linspace(0.2, 2, 9, dtype=torch.float64)[:, None].requires_grad_(True)
    ends = [torch.full((9, 1), v, dtype=torch.float64) for v in (low, high)]
    found = log_chance(mean, deviation, *ends)
    same = log_probability_all(
        {"p": (mean.detach().numpy()[:, 0], deviation.detach().numpy()[:, 0])}, [Interval("p", low, high)]
    )
    np.testing.assert_allclose(found.detach().numpy(), same, rtol=1e-9)
    slopes = torch.autograd.grad(found.sum(), (mean, deviation))
    assert all(bool(slope.isfinite().all()) for slope in slopes)


def test_rows_move_apart_as_far_as_the_probability_allows_and_none_becomes_a_wild_guess() -> None:
    x = starts()
    group = torch.arange(len(x)) // 10
    target = torch.ones(len(x), 2, dtype=torch.float64)
    target[:, 1] = float("nan")
    margin = torch.tensor([0.05, 0.2], dtype=torch.float64).expand(len(x), 2)
    bounds = {"low": torch.zeros_like(x), "high": torch.ones_like(x)}
    near, before = climb(models, x, target, margin, steps=80, **bounds)
    worth = []
    for weight in (0.0, 1.0, 20.0):
        others = AwayFromOthers(near, group, weight)
        found, after = climb(
            models, near, target, margin, steps=40, addition=others, least_chance=float(np.log(0.2)), **bounds
        )
        sums = [p.exp() + others(y, torch.arange(len(x)))[0] for y, p in ((near, before), (found, after))]
        assert bool((sums[1] >= sums[0] - 1e-12).all())
        torch.testing.assert_close(found.sum(dim=1), torch.ones(len(x), dtype=torch.float64))
        groups = found.reshape(-1, 10, 4)
        apart = 0.5 * (groups[:, :, None] - groups[:, None]).abs().sum(dim=3).mean()
        worth.append((float(apart), float(after.exp().mean()), float(after.exp().min())))
    apart, mean, least = zip(*worth, strict=True)
    assert apart[0] + 0.02 < apart[1] < apart[2]
    assert mean[0] > mean[1] > mean[2]
    assert least[2] >= 0.2 - 1e-9
    # at so great a weight the bound is all that holds a row
    assert mean[2] < 0.3

    # a row that is a wild guess at the start stays where it is
    far = torch.eye(4, dtype=torch.float64)[:2]
    found, _ = climb(
        models, far, target[:2], margin[:2], steps=9, least_chance=-0.1, low=far * 0, high=far * 0 + 1
    )
    assert torch.equal(found, far)


def test_the_distance_to_the_others_has_the_slope_it_says_and_leaves_out_the_row_itself() -> None:
    rng = np.random.default_rng(1)
    x = torch.as_tensor(rng.dirichlet(np.ones(4), 7))
    others = AwayFromOthers(x, torch.tensor([0, 0, 0, 1, 1, 0, 1]), 3.0)
    rows = torch.tensor([6, 0, 5])
    points = torch.as_tensor(rng.dirichlet(np.ones(4), 3))
    value, slope = others(points, rows)
    for k, mates in enumerate(([3, 4], [1, 2, 5], [0, 1, 2])):
        expected = 3 * np.mean([0.5 * np.abs((points[k] - x[j]).numpy()).sum() for j in mates])
        assert float(value[k]) == pytest.approx(expected)
    step = 1e-6
    for i in range(4):
        moved = points.clone()
        moved[:, i] += step
        np.testing.assert_allclose((others(moved, rows)[0] - value) / step, slope[:, i], atol=1e-6)


def test_nothing_to_climb_is_nothing() -> None:
    found, chance = climbed(torch.zeros(0, 4, dtype=torch.float64), 1.0)
    assert found.shape == (0, 4)
    assert chance.shape == (0,)


def test_a_process_tells_mean_and_deviation_differentiably() -> None:
    rng = np.random.default_rng(5)
    x = rng.dirichlet(np.ones(4), 60)
    process = CompositionGP.fit(
        ("Hf", "Mo", "Nb", "Ti"), x, np.sin(5 * x[:, 0]) + x[:, 1], strengthening=True
    )
    new = rng.dirichlet(np.ones(4), 5)
    mean, deviation = process.mean_and_deviation(torch.as_tensor(new))
    expected = process.predict(new)
    np.testing.assert_allclose(mean.numpy(), expected[0], rtol=1e-9)
    np.testing.assert_allclose(deviation.numpy(), expected[1], rtol=1e-6)
    point = torch.as_tensor(new).requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda p: torch.stack(process.mean_and_deviation(p)), (point,), eps=1e-6, atol=1e-5
    )

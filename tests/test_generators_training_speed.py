"""The written-out training of cgan-2021 gives what automatic differentiation gives, for one seed or several."""

import numpy as np
import pytest
import torch

from benchmarks.plain_loop import PlainLoop
from hea_loop.errors import InputError
from hea_loop.generators import TrainingData
from hea_loop.generators.adversarial_steps import UnrolledSteps
from hea_loop.generators.cgan_2021 import LATENT, Cgan2021, Cgan2021Options
from hea_loop.generators.ensembles import fit_ensemble
from hea_loop.generators.explicit_gradients import Parameters, ScoreGradient
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.unrolling import DescentRule

CPU = torch.device("cpu")
SMALL = {"steps": 30, "width": 16, "batch_size": 16}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def alloys(n=120, m=5, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.full(m, 0.6), n)
    moduli = np.linspace(30, 120, m)
    values = np.column_stack([x @ moduli, x @ moduli**1.1 / 100 + rng.normal(0, 0.05, n)])
    return TrainingData(tuple("ABCDEFGH"[:m]), x, values, ("shear_modulus", "fracture_toughness_rice"))


def critic(members, *, seed=0, sizes=(6, 12, 12, 12, 1)):
    network, noise = FeedForward(sizes), torch.Generator().manual_seed(seed)
    flat = torch.stack([network.initialise(noise).double() for _ in range(members)])
    flat += 0.1 * torch.randn(flat.shape, generator=noise, dtype=torch.float64)  # biases that are not zero
    inputs = torch.randn(members, 10, sizes[0], generator=noise, dtype=torch.float64)
    coefficients = torch.randn(10, generator=noise, dtype=torch.float64)
    along = torch.randn(flat.shape, generator=noise, dtype=torch.float64)
    return network, flat, inputs, coefficients, along


@pytest.mark.parametrize("sizes", [(6, 12, 12, 12, 1), (6, 9, 1), (3, 7, 5, 1)])
def test_the_gradient_of_a_critic_is_that_of_automatic_differentiation(sizes):
    network, flat, inputs, coefficients, _ = critic(3, sizes=sizes)
    explicit = ScoreGradient(network, coefficients, 3, rows=slice(4, 10))
    at, loss = Parameters(network, flat.clone()), torch.zeros(3, dtype=torch.float64)
    explicit.at(at, inputs)
    explicit.loss(at, loss)
    slope = torch.zeros(3, 6, sizes[0], dtype=torch.float64)
    explicit.add_input_gradient(at, slope)
    for e in range(3):
        phi, x = flat[e].clone().requires_grad_(), inputs[e].clone().requires_grad_()
        value = (coefficients * network(phi, x)[:, 0]).sum()
        of_parameters, of_inputs = torch.autograd.grad(value, (phi, x))
        assert torch.allclose(explicit.gradient.values[e], of_parameters, rtol=0, atol=1e-10)
        assert torch.allclose(slope[e], of_inputs[4:], rtol=0, atol=1e-10)
        assert float(loss[e]) == pytest.approx(float(value.detach()), abs=1e-10)


@pytest.mark.parametrize("sizes", [(6, 12, 12, 12, 1), (6, 9, 1), (3, 7, 5, 1)])
@pytest.mark.parametrize("inner", [True, False])
def test_the_second_derivative_of_a_critic_is_that_of_automatic_differentiation(inner, sizes):
    network, flat, inputs, coefficients, along = critic(2, sizes=sizes)
    explicit = ScoreGradient(network, coefficients, 2, rows=slice(5, 10), second=True)
    at, u = Parameters(network, flat.clone()), Parameters(network, along)
    out = torch.ones(2, 5, sizes[0], dtype=torch.float64)  # added to, not overwritten
    explicit.at(at, inputs)
    explicit.differentiate(at, inputs, u, out, inner=inner)
    for e in range(2):
        phi, x = flat[e].clone().requires_grad_(), inputs[e].clone().requires_grad_()
        value = (coefficients * network(phi, x)[:, 0]).sum()
        (gradient,) = torch.autograd.grad(value, phi, create_graph=True)
        of_parameters, of_inputs = torch.autograd.grad((gradient * along[e]).sum(), (phi, x))
        assert torch.allclose(out[e] - 1, of_inputs[5:], rtol=0, atol=1e-9)
        if inner:
            assert torch.allclose(explicit.curvature.values[e], of_parameters, rtol=0, atol=1e-9)
            assert of_parameters.abs().max() > 0.1


def both_after(steps, dtype, **options):
    """Weights of generator and critic, and both losses, by the plain loop and by the library's steps."""
    data, chosen = alloys(), Cgan2021Options(**{**SMALL, **options})
    plain = PlainLoop(data, chosen, 4, dtype)
    made, feeds = Cgan2021(chosen)._start([data], [4], CPU, dtype)
    b, losses = chosen.batch_size, (0.0, 0.0)
    for k, (requests, pairs) in enumerate(feeds[0].steps(steps)):
        left = 1 - k / steps
        losses = plain.step(left, (requests, pairs[:, :b]))
        with torch.inference_mode():
            made.requests[0].copy_(requests)
            made.pairs[0].copy_(pairs)
            made.step(left)
    return (*plain.weights(), *losses), (
        made.theta.values[0],
        made.phi.values[0],
        made.critic_loss[0],
        made.generator_loss[0],
    )


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_many_steps_in_double_precision_are_those_of_the_plain_loop(k):
    plain, fast = both_after(25, torch.float64, unrolled_steps=k, critic_learning_rate=5e-3, weight_clip=0.12)
    for one, other in zip(plain, fast, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"critic_steps": 1, "unrolled_steps": 3}, {"width": 64, "batch_size": 64}]
)
def test_steps_in_single_precision_are_those_of_the_plain_loop_to_rounding(options):
    plain, fast = both_after(5, torch.float32, **options)
    for one, other in zip(plain, fast, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)


def test_the_comparison_would_notice_an_update_that_does_not_look_ahead():
    plain, _ = both_after(25, torch.float64, unrolled_steps=2, critic_learning_rate=5e-3)
    _, fast = both_after(25, torch.float64, unrolled_steps=0, critic_learning_rate=5e-3)
    assert (plain[0] - fast[0]).abs().max() > 1e-3


def test_a_rule_without_a_running_mean_is_refused():
    network, flat, *_ = critic(1)
    with pytest.raises(ValueError, match="RMSProp"):
        UnrolledSteps(
            network,
            network,
            flat,
            flat,
            torch.ones(1),
            descent=DescentRule(0.1, decay=None),
            rule=DescentRule(0.1),
            critic_steps=1,
            unrolled_steps=0,
            batch_size=2,
        )


def test_without_a_gpu_no_graph_is_captured_and_nothing_is_trained_by_trying():
    steps, _ = Cgan2021(Cgan2021Options(**SMALL))._start([alloys()], [1], CPU)
    before = [tensor.clone() for tensor in steps.state()]
    assert steps.capture() is False
    assert all(torch.equal(one, other) for one, other in zip(steps.state(), before, strict=True))


def test_a_feed_gives_real_pairs_of_the_data_and_the_conditions_of_the_requests():
    data = alloys()
    _, (feed,) = Cgan2021(Cgan2021Options(**SMALL))._start([data], [1], CPU)
    requests, pairs = feed.draw(3)
    assert requests.shape == (3, 6, 16, LATENT + 2)
    assert pairs.shape == (3, 6, 32, 7)
    fractions = pairs[:, :, :16, :5].flatten(0, 2) / feed.contrast
    gap = np.abs(fractions.numpy()[:, None] - data.fractions[None]).max(axis=2)
    assert gap.min(axis=1).max() < 1e-6
    nearest = gap.argmin(axis=1)
    standard = (data.conditions - data.conditions.mean(axis=0)) / data.conditions.std(axis=0, ddof=1)
    assert np.allclose(pairs[:, :, :16, 5:].flatten(0, 2).numpy(), standard[nearest], atol=1e-5)
    assert torch.equal(pairs[:, :, 16:, 5:], requests[..., LATENT:])
    assert (pairs[:, :, 16:, :5] == 0).all()


def test_steps_do_not_depend_on_the_size_of_the_blocks_they_are_drawn_in(monkeypatch):
    # not bit by bit the same draws, but the same number of them, each of a step's own
    _, (feed,) = Cgan2021(Cgan2021Options(**SMALL))._start([alloys()], [1], CPU)
    monkeypatch.setattr("hea_loop.generators.adversarial_feed._ROWS", 7 * 96)
    drawn = list(feed.steps(17))
    assert len(drawn) == 17
    assert len({float(requests[0, 0, 0]) for requests, _ in drawn}) == 17


@pytest.mark.parametrize("options", [SMALL, {"steps": 10}])
def test_members_of_an_ensemble_are_what_training_each_on_its_own_gives_bit_by_bit(options):
    seeds, data = [3, 7, 11], [alloys(seed=s, n=n) for s, n in ((1, 120), (2, 80), (3, 120))]
    members = fit_ensemble("cgan-2021", data, seeds, options=options, device="cpu")
    for member, seed, own in zip(members, seeds, data, strict=True):
        alone = Cgan2021(Cgan2021Options(**options))
        record = alone.fit(own, seed=seed, device="cpu")
        assert member.generator.checkpoint() == alone.checkpoint()
        assert member.record.curve == record.curve
        assert member.record.metrics == record.metrics


def test_members_of_odd_sizes_are_what_training_each_on_its_own_gives_to_rounding():
    options, data = {"steps": 3, "width": 13, "batch_size": 7}, alloys(m=3)
    members = fit_ensemble("cgan-2021", data, [1, 2, 3], options=options, device="cpu")
    for member, seed in zip(members, [1, 2, 3], strict=True):
        alone = Cgan2021(Cgan2021Options(**options))
        alone.fit(data, seed=seed, device="cpu")
        assert torch.allclose(member.generator._weights, alone._weights, rtol=0, atol=1e-5)


def test_one_set_of_alloys_serves_all_seeds_and_the_members_differ():
    seen = []
    members = fit_ensemble(
        "cgan-2021",
        alloys(),
        [1, 2],
        options={**SMALL, "steps": 4},
        device="cpu",
        progress=lambda step, of, point: seen.append((step, of, point)),
    )
    assert not torch.equal(members[0].generator._weights, members[1].generator._weights)
    assert seen[-1][:2] == (4, 4)
    estimates = [member.record.curve[-1]["wasserstein_estimate"] for member in members]
    assert seen[-1][2]["wasserstein_estimate"] == pytest.approx(np.mean(estimates))


@pytest.mark.parametrize(
    ("data", "seeds", "said"),
    [
        (alloys(), [], "seeds"),
        ([alloys(), alloys()], [1, 2, 3], "one a seed"),
        ([alloys(), alloys(m=4)], [1, 2], "the same columns"),
    ],
)
def test_an_ensemble_that_does_not_fit_together_is_refused(data, seeds, said):
    with pytest.raises(InputError, match=said):
        fit_ensemble("cgan-2021", data, seeds, options={**SMALL, "steps": 1}, device="cpu")


def test_members_of_other_options_are_refused():
    one, other = Cgan2021(), Cgan2021(Cgan2021Options(width=8))
    with pytest.raises(InputError, match="options that differ"):
        Cgan2021.fit_together([one, other], [alloys()] * 2, [1, 2])


def test_a_collapse_is_seen_while_training_and_said():
    # against a critic that never learns, the generator ends at the one composition that it scores highest
    frozen = {"critic_learning_rate": 1e-9, "generator_learning_rate": 0.02, "composition_weight": 10.0}
    options = {**SMALL, **frozen, "steps": 240, "unrolled_steps": 0, "critic_steps": 1}
    points = []
    record = Cgan2021(Cgan2021Options(**options)).fit(
        alloys(), seed=4, device="cpu", progress=lambda _step, _of, point: points.append(point)
    )
    assert record.metrics["collapsed"] is True
    assert 0 < record.metrics["collapsed_at_step"] < 240
    assert points[-1]["collapsed"] == 1.0
    assert points[-1]["diversity"] < 0.02
    assert points == record.curve

"""Adversarial generators: the penalty's gradient, exact zeros, what they learn, and a real collapse that is told."""

import numpy as np
import pytest
import torch
from test_generators_every_strategy import alloys

from hea_loop.generators import generator_named
from hea_loop.generators.adversarial import critic_gradient, score_and_gradient, sparsemax
from hea_loop.generators.collapse import collapse_words
from hea_loop.generators.condition_code import ConditionCode, hidden
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.quality import COLLAPSE_DIVERSITY, diversity


def network(seed=1):
    net = FeedForward((5, 12, 9, 7, 1))
    noise = torch.Generator().manual_seed(seed)
    parameters = net.initialise(noise) + 0.1 * torch.randn(net.number_of_parameters, generator=noise)
    return net, parameters.double(), torch.randn(20, 5, generator=noise).double()


def test_the_score_is_that_of_the_network_and_the_gradient_that_of_autograd():
    net, parameters, inputs = network()
    inputs.requires_grad_()
    score, gradient = score_and_gradient(net, parameters, inputs)
    assert torch.allclose(score, net(parameters, inputs)[:, 0])
    (expected,) = torch.autograd.grad(net(parameters, inputs).sum(), inputs)
    assert torch.allclose(gradient, expected)


def test_the_written_out_gradient_of_the_critic_is_that_of_two_backward_passes():
    net, parameters, _ = network(2)
    parameters = parameters.float()
    noise = torch.Generator().manual_seed(3)
    real, false = torch.randn(8, 5, generator=noise), torch.randn(8, 5, generator=noise)
    between = torch.lerp(real, false, torch.rand(8, 1, generator=noise))
    found = torch.full_like(parameters, 7.0)  # what was there before does not count
    estimate = critic_gradient(
        net, parameters, torch.cat([real, false, between]), bounded=3, penalty=10.0, out=found
    )
    parameters.requires_grad_()
    between.requires_grad_()
    (slope,) = torch.autograd.grad(net(parameters, between).sum(), between, create_graph=True)
    distance = net(parameters, real).mean() - net(parameters, false).mean()
    (10.0 * (slope[:, :3].norm(dim=1) - 1).square().mean() - distance).backward()
    assert torch.allclose(found, parameters.grad, atol=1e-5)
    assert parameters.grad.abs().max() > 0.1
    assert float(estimate) == pytest.approx(distance.item(), abs=1e-6)


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    scores = torch.tensor([[0.5, 0.2, 0.1], [3.0, 0.0, 0.0], [0.3, 0.3, -5.0]])
    # by hand: (0.8 - 1) / 3 is taken from each; one is far ahead; one far behind
    expected = torch.tensor([[0.5 + 0.2 / 3, 0.2 + 0.2 / 3, 0.1 + 0.2 / 3], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    assert torch.allclose(sparsemax(scores), expected)


def test_conditions_are_coded_as_value_and_flag():
    code = ConditionCode.of(np.array([[1.0, 10.0], [3.0, np.nan], [5.0, 30.0]]))
    assert code.mean.tolist() == [3.0, 20.0]
    expected = torch.tensor([[-1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    assert torch.allclose(code.encode(np.array([[1.0, np.nan], [3.0, 20.0]])), expected)


def test_hiding_takes_the_value_and_its_flag_together():
    code = torch.tensor([[2.0, 3.0, 1.0, 1.0]]).repeat(400, 1)
    out = hidden(code, 0.25, torch.Generator().manual_seed(1))
    assert torch.equal(out[:, :2] != 0, out[:, 2:] != 0)
    assert 0.2 < float((out[:, 2:] == 0).float().mean()) < 0.3


@pytest.fixture(scope="module")
def hybrid():
    data = alloys(120)
    generator = generator_named("cgan-property", {"steps": 600, "width": 32, "property_batch": 64})
    return data, generator, generator.fit(data, seed=1, device="cpu")


def error(generator, data):
    reached = data.reference(generator.generate(data.conditions, seed=1))
    return (np.abs(reached - data.conditions) / data.conditions.std(axis=0)).mean()


def test_the_property_term_brings_answers_nearer_to_their_conditions(hybrid):
    data, generator, _ = hybrid
    without = generator_named("cgan-property", {"steps": 600, "width": 32, "property_weight": 0.0})
    without.fit(data, seed=1, device="cpu")
    assert error(generator, data) < 0.8 * error(without, data)


def test_the_hybrid_still_gives_different_answers_with_exact_zeros(hybrid):
    data, generator, record = hybrid
    x = generator.generate(np.repeat(data.conditions[:1], 40, axis=0), seed=1)
    assert diversity(x) > COLLAPSE_DIVERSITY
    assert record.metrics["collapsed"] is False
    assert record.metrics["collapsed_at_step"] is None
    assert (x == 0).any(axis=1).mean() > 0.5


def test_the_critic_learns_to_tell_and_the_generator_learns_conditions():
    data = alloys(120)
    first, last = (generator_named("cwgan-gp", {"steps": steps, "width": 32}) for steps in (1, 250))
    first.fit(data, seed=1, device="cpu")
    record = last.fit(data, seed=1, device="cpu")
    assert error(last, data) < 0.7 * error(first, data)
    assert record.metrics["collapsed"] is False
    assert record.curve[-1]["wasserstein_estimate"] > 0


def test_a_generator_that_the_property_term_drives_into_collapse_is_said_to_have_collapsed():
    # a property term that outweighs the critic many times rewards one sure answer for each condition
    data, seen = alloys(120), []
    generator = generator_named(
        "cgan-property",
        {
            "steps": 700,
            "width": 32,
            "latent": 1,
            "learning_rate": 1e-2,
            "property_weight": 1e5,
            "critic_steps": 1,
        },
    )
    record = generator.fit(data, seed=1, device="cpu", progress=lambda _step, _of, point: seen.append(point))
    answers = generator.generate(np.repeat(data.conditions[:1], 40, axis=0), seed=1)
    assert record.metrics["diversity"] < COLLAPSE_DIVERSITY
    assert diversity(answers) < 0.05
    assert record.metrics["collapsed"] is True
    assert record.metrics["collapsed_at_step"] > 1
    assert seen[0]["collapsed"] == 0.0
    assert seen[-1]["collapsed"] == 1.0
    assert "one composition" in collapse_words(record.metrics)
    # its error does not tell: answers meet their conditions
    assert error(generator, data) < 0.3

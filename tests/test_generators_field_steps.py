"""The written-out training of velocity fields gives what automatic differentiation and torch's Adam give."""

import math

import numpy as np
import pytest
import torch

from hea_loop.errors import InputError
from hea_loop.generators import TrainingData, generator_named
from hea_loop.generators.ensembles import fit_ensemble
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.field_steps import FieldSteps
from hea_loop.generators.velocity_field import FieldSettings, VelocityField, train_field, train_fields
from hea_loop.prediction import predict_array

CPU = torch.device("cpu")
FIELD = VelocityField(d=6, p=2, width=16, layers=2)
SETTINGS = FieldSettings(
    steps=12, batch_size=8, learning_rate=2e-3, averaging=0.9, hide_one=0.2, hide_all=0.2
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch_of(seed):
    states = torch.randn(50, 6, generator=torch.Generator().manual_seed(seed))
    conditions = states[:, :2] * 0.5

    def batch(size, noise):
        rows = torch.randint(50, (size,), generator=noise)
        return states[rows], conditions[rows]

    return batch


def test_the_field_at_its_features_is_the_network_that_the_steps_train():
    noise = torch.Generator().manual_seed(1)
    theta, z, t = (
        torch.randn(FIELD.network.number_of_parameters, generator=noise),
        torch.randn(5, 6),
        torch.rand(5),
    )
    c = torch.tensor([[1.0, math.nan]]).repeat(5, 1)
    steps = FieldSteps(FIELD.network, theta[None], 5, betas=(0.9, 0.99), floor=1e-8)
    steps.inputs[0] = FIELD.features(z, t, c)
    steps.targets[0] = FIELD(theta, z, t, c) + 3.0
    steps.step(0.0, 0.0)
    assert steps.losses() == pytest.approx([9.0], rel=1e-5)


@pytest.mark.parametrize("sizes", [(5, 9, 9, 4), (3, 7, 2), (4, 6, 6, 6, 3)])
def test_steps_are_those_of_automatic_differentiation_with_adam(sizes):
    network, noise, b = FeedForward(sizes), torch.Generator().manual_seed(2), 11
    start = torch.randn(2, network.number_of_parameters, generator=noise, dtype=torch.float64) * 0.5
    # a floor that is too small to matter: torch adds it to the root, the library under it
    steps = FieldSteps(network, start, b, betas=(0.9, 0.99), floor=1e-14)
    plain = start.clone().requires_grad_()
    adam = torch.optim.Adam([plain], lr=1e-2, betas=(0.9, 0.99), eps=1e-14)
    average = start.clone()
    for k in range(15):
        inputs = torch.randn(2, b, sizes[0], generator=noise, dtype=torch.float64)
        targets = torch.randn(2, b, sizes[-1], generator=noise, dtype=torch.float64)
        losses = []
        for e in range(2):
            value, parts = inputs[e], plain[e].split([n for i, o in network.layers for n in (i * o, o)])
            for layer, (i, o) in enumerate(network.layers):
                value = torch.nn.functional.linear(value, parts[2 * layer].view(o, i), parts[2 * layer + 1])
                if layer < len(network.layers) - 1:
                    value = torch.nn.functional.silu(value)
            losses.append((value - targets[e]).square().mean())
        adam.zero_grad()
        sum(losses).backward()
        adam.param_groups[0]["lr"] = 1e-2 / (k + 1)
        adam.step()
        average.lerp_(plain.detach(), 0.2)
        steps.inputs.copy_(inputs)
        steps.targets.copy_(targets)
        with torch.no_grad():
            steps.step(1e-2 / (k + 1), 0.8)
        assert steps.losses() == pytest.approx([float(x.detach()) for x in losses], rel=1e-9)
    assert torch.allclose(steps.theta.values, plain.detach(), rtol=0, atol=1e-9)
    assert torch.allclose(steps.average.values, average, rtol=0, atol=1e-9)
    assert (plain.detach() - start).abs().max() > 0.01


def train(seeds, every=100, settings=SETTINGS, seen=None):
    return train_fields(
        FIELD,
        [batch_of(seed) for seed in seeds],
        settings,
        seeds=seeds,
        device=CPU,
        every=every,
        watch=lambda step, losses, average: seen is not None and seen.append((step, losses, average.clone())),
    )


def test_fields_trained_at_once_are_what_training_each_on_its_own_gives_bit_by_bit():
    together = train([1, 2, 3])
    for e, seed in enumerate([1, 2, 3]):
        assert torch.equal(together[e], train([seed])[0])
    assert not torch.equal(together[0], together[1])


def test_watching_is_told_loss_and_average_now_and_then_and_at_the_end():
    seen = []
    weights = train([1, 2], every=5, seen=seen)
    assert [step for step, *_ in seen] == [5, 10, 12]
    assert torch.equal(seen[-1][2], weights)
    assert all(len(losses) == 2 and min(losses) > 0 for _, losses, _ in seen)


def test_one_field_is_trained_as_the_first_of_several():
    seen = []
    weights = train_field(
        FIELD,
        batch_of(1),
        SETTINGS,
        seed=1,
        device=CPU,
        every=6,
        watch=lambda step, loss, average: seen.append((step, loss, average.shape)),
    )
    assert torch.equal(weights, train([1])[0])
    assert [step for step, *_ in seen] == [6, 12]
    assert seen[0][2] == weights.shape


def test_training_lowers_the_loss():
    seen = []
    settings = FieldSettings(
        steps=400, batch_size=64, learning_rate=5e-3, averaging=0.99, hide_one=0.1, hide_all=0.1
    )
    train([1], every=20, settings=settings, seen=seen)
    losses = [losses[0] for _, losses, _ in seen]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def ternaries(seed, n=60):
    x = np.random.default_rng(seed).dirichlet(np.ones(3), n)
    properties = ("shear_modulus", "density")
    elements = ("Hf", "Nb", "W")
    values = predict_array(x, elements, properties)
    conditions = np.column_stack([values[name] for name in properties])
    return TrainingData(elements, x, conditions, properties, closed_form=properties)


def test_an_ensemble_of_flow_matching_is_what_training_each_on_its_own_gives_bit_by_bit():
    options, seeds = {"steps": 12, "width": 16, "batch_size": 32, "draws": 2}, [5, 6]
    data, seen = [ternaries(1), ternaries(2, n=50)], []
    members = fit_ensemble(
        "flow-matching",
        data,
        seeds,
        options=options,
        device="cpu",
        progress=lambda step, of, point: seen.append((step, of, point["loss"])),
    )
    for member, own, seed in zip(members, data, seeds, strict=True):
        alone = generator_named("flow-matching", options)
        record = alone.fit(own, seed=seed, device="cpu")
        assert member.generator.checkpoint() == alone.checkpoint()
        assert member.record.curve == record.curve
        assert member.record.metrics == record.metrics
    assert seen[-1][:2] == (12, 12)
    last = [member.record.curve[-1]["loss"] for member in members]
    assert seen[-1][2] == pytest.approx(np.mean(last))


def test_members_with_other_columns_are_refused():
    one = ternaries(1)
    fewer = TrainingData(one.elements, one.fractions, one.conditions[:, :1], one.condition_names[:1])
    with pytest.raises(InputError, match="the same columns"):
        fit_ensemble("flow-matching", [one, fewer], [1, 2], options={"steps": 1}, device="cpu")

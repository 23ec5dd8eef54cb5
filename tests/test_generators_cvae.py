"""The conditional autoencoder: exact absence, its bound, and what it learns."""

import math

import numpy as np
import pytest
import torch
from test_generators_every_strategy import alloys

from hea_loop.generators import generator_named
from hea_loop.generators.condition_code import ConditionCode
from hea_loop.generators.cvae import Cvae, CvaeOptions, amounts
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.quality import diversity, element_count_histogram, histogram_distance


@pytest.fixture(scope="module")
def trained():
    data = alloys(150)
    generator = generator_named("cvae", {"steps": 800, "width": 48})
    return data, generator, generator.fit(data, seed=1, device="cpu")


def error(generator, data):
    reached = data.reference(generator.generate(data.conditions, seed=1))
    return (np.abs(reached - data.conditions) / data.conditions.std(axis=0)).mean()


def test_training_brings_the_answers_to_their_conditions(trained):
    data, generator, record = trained
    untrained = generator_named("cvae", {"steps": 1, "width": 48})
    untrained.fit(data, seed=1, device="cpu")
    assert error(generator, data) < 0.6 * error(untrained, data)
    assert record.curve[-1]["loss"] < record.curve[0]["loss"]


def test_the_numbers_of_elements_are_those_of_the_data(trained):
    data, generator, _ = trained
    made = generator.generate(data.conditions, seed=1)
    counts = (made > 0).sum(axis=1)
    assert counts.min() >= 2
    assert counts.max() <= 4
    distance = histogram_distance(element_count_histogram(made), element_count_histogram(data.fractions))
    assert distance < 0.25


def test_answers_to_one_condition_differ(trained):
    data, generator, record = trained
    assert diversity(generator.generate(np.repeat(data.conditions[:1], 40, axis=0), seed=1)) > 0.05
    assert record.metrics["collapsed"] is False
    assert all(point["collapsed"] == 0.0 for point in record.curve)


def test_open_properties_are_met_where_others_are_asked_for(trained):
    data, generator, _ = trained
    wanted = data.conditions.copy()
    wanted[:, 0] = np.nan
    reached = data.reference(generator.generate(wanted, seed=1))[:, 1]
    assert np.corrcoef(reached, wanted[:, 1])[0, 1] > 0.8


def test_an_absent_element_has_no_amount():
    net = FeedForward((3 + 4, 6, 4))
    weights = net.initialise(torch.Generator().manual_seed(1))
    present = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    share = amounts(net, weights, torch.ones(2, 3), present)
    assert ((share > 0) == (present > 0)).all()
    assert share.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_the_loss_is_the_negative_evidence_lower_bound():
    # weights of zero: the encoder says N(0, 1), the decoders say one half and equal shares
    model = Cvae(CvaeOptions(latent=3, width=4, noise=0.1))
    networks = model._networks(4, 2)
    sizes = [net.number_of_parameters for net in networks]
    loss = model._loss(networks, sizes, torch.Generator().manual_seed(1))
    x = torch.tensor([[0.6, 0.4, 0.0, 0.0], [0.3, 0.2, 0.5, 0.0]])
    code = ConditionCode.of(np.array([[1.0, 2.0], [2.0, 5.0]])).encode(np.array([[1.0, 2.0], [2.0, np.nan]]))
    presence, amount, divergence = loss(torch.zeros(sum(sizes)), x, code)
    assert float(presence) == pytest.approx(4 * math.log(2))
    squares = (2 * 0.1**2 + (1 / 3 - 0.3) ** 2 + (1 / 3 - 0.2) ** 2 + (0.5 - 1 / 3) ** 2) / 2
    assert float(amount) == pytest.approx(squares / (2 * 0.1**2), rel=1e-5)
    assert float(divergence) == pytest.approx(0, abs=1e-6)


def test_the_divergence_is_that_of_two_normal_distributions():
    model = Cvae(CvaeOptions(latent=1, width=4))
    networks = model._networks(2, 1)
    sizes = [net.number_of_parameters for net in networks]
    weights = torch.zeros(sum(sizes))
    weights[sizes[0] - 2 : sizes[0]] = torch.tensor([0.7, math.log(0.25)])  # mean and log variance
    x, code = torch.tensor([[0.5, 0.5]]), torch.zeros(1, 2)
    loss = model._loss(networks, sizes, torch.Generator().manual_seed(1))
    posterior = torch.distributions.Normal(0.7, 0.5)
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    assert float(loss(weights, x, code)[2]) == pytest.approx(float(expected), rel=1e-5)

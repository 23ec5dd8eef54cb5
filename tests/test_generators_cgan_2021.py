"""The seed's conditional GAN: what it learns, that it repeats itself, and what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hea_loop.errors import InputError
from hea_loop.generators import (
    Generator,
    TrainingData,
    generator_from_checkpoint,
    generator_named,
)
from hea_loop.generators.cgan_2021 import Cgan2021, Cgan2021Options
from hea_loop.generators.quality import diversity

MODULI = np.array([30.0, 60.0, 120.0, 45.0])
SMALL = {"steps": 30, "width": 16, "batch_size": 16}


def alloys(n=150, seed=1, p=2):
    """Random ternaries of four elements; the first property is linear in the fractions."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 4))
    for row in x:
        row[rng.choice(4, 3, replace=False)] = rng.dirichlet(np.ones(3))
    columns = [x @ MODULI, x @ MODULI**1.1 / 100 + rng.normal(0, 0.05, n), x[:, 0] + x[:, 1]]
    return TrainingData(
        ("Hf", "Nb", "W", "Zr"),
        x,
        np.column_stack(columns[:p]),
        ("shear_modulus", "fracture_toughness_rice", "density")[:p],
    )


@pytest.fixture(scope="module")
def trained():
    data = alloys()
    data = TrainingData(
        data.elements,
        data.fractions,
        data.conditions,
        data.condition_names,
        reference=lambda x: np.column_stack([x @ MODULI, x @ MODULI**1.1 / 100]),
    )
    generator = generator_named("cgan-2021", {"steps": 500, "width": 32})
    return generator, data, generator.fit(data, seed=3, device="cpu")


def small(seed=5, data=None, **options):
    generator = generator_named("cgan-2021", {**SMALL, **options})
    record = generator.fit(data or alloys(), seed=seed, device="cpu")
    return generator, record


def test_it_satisfies_the_protocol():
    assert isinstance(Cgan2021(), Generator)


def test_training_brings_the_answers_to_their_conditions(trained):
    generator, data, _ = trained
    untrained, _ = small(steps=1)

    def error(g):
        reached = g.generate(data.conditions, seed=1) @ MODULI
        return np.abs(reached - data.conditions[:, 0]).mean()

    assert error(generator) < 0.4 * error(untrained)
    assert error(generator) < 8  # GPa; the spread of the data is 19 GPa


def test_answers_to_one_condition_differ(trained):
    generator, data, record = trained
    answers = generator.generate(np.repeat(data.conditions[:1], 40, axis=0), seed=1)
    assert diversity(answers) > 0.02
    assert record.metrics["collapsed"] is False


def test_a_generator_that_gives_one_answer_is_reported_as_collapsed():
    data = alloys()
    # a latent vector of no weight: the first layer of the trained weights is cut from the noise
    generator, _ = small(data=data)
    first = 16 * (16 + 2)
    generator._weights[:first].view(16, 18)[:, :16] = 0.0
    metrics = generator._metrics(data, seed=1)
    assert metrics["diversity"] == 0
    assert metrics["collapsed"] is True


def test_fractions_are_not_negative_and_sum_to_one(trained):
    generator, data, _ = trained
    x = generator.generate(data.conditions * 3 - 40, seed=2)
    assert x.shape == data.fractions.shape
    assert x.dtype == np.float64
    assert (x >= 0).all()
    assert x.sum(axis=1) == pytest.approx(np.ones(len(x)), abs=1e-12)


def test_the_record_holds_metrics_and_the_training_curve(trained):
    _, _, record = trained
    assert record.device == "cpu"
    assert record.seconds > 0
    assert set(record.metrics) == {
        "diversity",
        "collapsed",
        "collapsed_at_step",
        "novelty",
        "element_count_distance",
        "pair_correlation_distance",
        "conditional_mae",
    }
    assert record.metrics["conditional_mae"]["shear_modulus"] < 8
    steps = [point["step"] for point in record.curve]
    assert steps == sorted(steps)
    assert steps[-1] == 500
    assert all(np.isfinite(list(point.values())).all() for point in record.curve)


def test_the_same_seed_gives_the_same_generator_bit_by_bit():
    (one, _), (two, _) = small(), small()
    assert one.checkpoint() == two.checkpoint()
    wanted = alloys().conditions
    assert np.array_equal(one.generate(wanted, seed=7), two.generate(wanted, seed=7))
    assert not np.array_equal(one.generate(wanted, seed=7), one.generate(wanted, seed=8))


def test_another_seed_gives_another_generator():
    assert not torch.equal(small(seed=1)[0]._weights, small(seed=2)[0]._weights)


def test_the_number_of_threads_changes_nothing():
    program = (
        "import hashlib, torch, numpy as np\n"
        "from test_generators_cgan_2021 import small\n"
        "g, _ = small(width=128, batch_size=128)\n"
        "assert torch.get_num_threads() == THREADS\n"
        "print(hashlib.sha256(g.checkpoint()).hexdigest())\n"
    )
    digests, here = set(), Path(__file__).parent
    for threads in (1, 2):
        code = f"import torch; torch.set_num_threads({threads}); THREADS = {threads}\n" + program
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)]),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_training_touches_no_global_random_state():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    generator, _ = small()
    generator.generate(alloys().conditions, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_a_checkpoint_answers_as_the_generator_it_was_taken_from():
    generator, _ = small()
    again = generator_from_checkpoint("cgan-2021", generator.checkpoint())
    wanted = alloys().conditions
    assert np.array_equal(again.generate(wanted, seed=4), generator.generate(wanted, seed=4))
    assert again.checkpoint() == generator.checkpoint()


@pytest.mark.parametrize("damage", [lambda _: b"", lambda b: b[:200], lambda _: b"not a checkpoint"])
def test_bytes_that_are_no_checkpoint_are_refused(damage):
    generator, _ = small(steps=1)
    with pytest.raises(InputError, match="checkpoint"):
        generator_from_checkpoint("cgan-2021", damage(generator.checkpoint()))


@pytest.mark.parametrize("p", [1, 3])
def test_any_number_of_properties_can_be_conditions(p):
    data = alloys(p=p)
    generator, _ = small(data=data)
    assert generator.generate(data.conditions[:9], seed=1).shape == (9, 4)


def test_each_network_has_four_layers_with_weights_of_their_own():
    model = Cgan2021(Cgan2021Options(width=10))
    for network in (model._generator(4, 2), model._critic(4, 2)):
        assert len(network.layers) == 4
        parameters = network.initialise(torch.Generator().manual_seed(0))
        assert parameters.numel() == sum(i * o + o for i, o in network.layers)
        # each single weight counts: its own gradient is not that of another layer's
        parameters.requires_grad_()
        inputs = torch.randn(8, network.sizes[0], generator=torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad(network(parameters, inputs).square().sum(), parameters)
        second, third = gradient[-(110 + 10 * network.sizes[-1] + network.sizes[-1]) - 110 :][:220].split(110)
        assert not torch.allclose(second, third)
        assert (gradient != 0).sum() > 0.8 * gradient.numel()


def test_unrolling_changes_what_the_generator_learns():
    assert not torch.equal(small(unrolled_steps=0)[0]._weights, small(unrolled_steps=3)[0]._weights)


def test_progress_reports_the_last_step():
    seen = []
    generator = generator_named("cgan-2021", SMALL)
    generator.fit(alloys(), seed=1, device="cpu", progress=lambda step, of, _: seen.append((step, of)))
    assert seen[-1] == (30, 30)


def test_an_untrained_generator_refuses_to_generate():
    with pytest.raises(InputError, match="not trained yet"):
        generator_named("cgan-2021").generate(np.zeros((1, 2)), seed=1)


@pytest.mark.parametrize("wanted", [np.zeros(2), np.zeros((3, 1)), np.array([[1.0, np.inf]])])
def test_conditions_of_another_shape_or_not_finite_are_refused(wanted):
    generator, _ = small(steps=1)
    with pytest.raises(InputError, match="shear_modulus, fracture_toughness_rice"):
        generator.generate(wanted, seed=1)


def test_an_unusable_device_is_refused():
    with pytest.raises(InputError, match="device"):
        generator_named("cgan-2021", SMALL).fit(alloys(), seed=1, device="abacus")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cgan-2020", {}, "did you mean cgan-2021"),
        ("anneal", {}, "known are"),
        ("cgan-2021", {"step": 5}, "strategy.options.step = 5"),
        ("cgan-2021", {"steps": 0}, "strategy.options.steps = 0"),
        ("cgan-2021", {"width": "wide"}, "strategy.options.width"),
        ("cgan-2021", {"weight_clip": float("nan")}, "strategy.options.weight_clip"),
        ("cgan-2021", {"unrolled_steps": -1}, "strategy.options.unrolled_steps = -1"),
    ],
)
def test_unknown_names_and_options_are_refused_in_one_line(name, options, said):
    with pytest.raises(InputError) as caught:
        generator_named(name, options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def good():
    return {
        "elements": ("Nb", "Ta"),
        "fractions": np.array([[0.5, 0.5], [0.2, 0.8]]),
        "conditions": np.array([[1.0], [2.0]]),
        "condition_names": ("shear_modulus",),
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fractions": np.array([[0.5, 0.4], [0.2, 0.8]])}, "do not sum to one"),
        ({"fractions": np.array([[1.5, -0.5], [0.2, 0.8]])}, "negative"),
        ({"fractions": np.array([[np.nan, 0.5], [0.2, 0.8]])}, "not finite"),
        ({"fractions": np.eye(3)}, "one column per element"),
        ({"conditions": np.array([[1.0], [np.inf]])}, "not finite"),
        ({"conditions": np.array([[1.0]])}, "one row per alloy"),
        ({"elements": ("Nb", "Nb")}, "name each once"),
        ({"fractions": np.array([[0.5, 0.5]]), "conditions": np.array([[1.0]])}, "too few"),
    ],
)
def test_training_data_that_do_not_fit_are_refused(change, said):
    TrainingData(**good())
    with pytest.raises(InputError, match=said):
        TrainingData(**{**good(), **change})


def test_a_condition_that_is_the_same_for_all_alloys_is_refused():
    data = TrainingData(**{**good(), "conditions": np.array([[3.0], [3.0]])})
    with pytest.raises(InputError, match="constant"):
        generator_named("cgan-2021", SMALL).fit(data, seed=1, device="cpu")


def test_a_property_that_is_known_of_one_alloy_only_is_refused():
    with pytest.raises(InputError, match="has 1 values"):
        TrainingData(**{**good(), "conditions": np.array([[3.0], [np.nan]])})


def test_alloys_with_unknown_properties_are_left_out_by_what_cannot_learn_from_them():
    c = np.array([[3.0, 1.0], [np.nan, 2.0], [4.0, 3.0]])
    data = TrainingData(("Nb", "Ta"), np.array([[0.5, 0.5], [0.1, 0.9], [0.2, 0.8]]), c, ("a", "b"))
    assert data.complete().conditions.tolist() == [[3.0, 1.0], [4.0, 3.0]]
    with pytest.raises(InputError, match="known of 1 alloys only"):
        TrainingData(("Nb", "Ta"), data.fractions, c * [[1, np.nan], [1, 1], [1, 1]], ("a", "b")).complete()

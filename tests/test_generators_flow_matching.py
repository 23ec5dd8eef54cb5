"""Flow matching with steering: answers meet their conditions, look like the data, and keep the palette exactly."""

import numpy as np
import pytest
import torch

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.generators import TrainingData, generator_from_checkpoint, generator_named
from hea_loop.generators.flow_matching import FlowMatching, FlowMatchingOptions
from hea_loop.generators.property_models import PropertyModel
from hea_loop.generators.quality import diversity, novelty
from hea_loop.generators.steering import steer
from hea_loop.palette import Palette
from hea_loop.prediction import predict_array

ELEMENTS = ("Hf", "Mo", "Nb", "Ta", "Ti", "W", "Zr")
NAMES = ("shear_modulus", "density")
SMALL = {"steps": 250, "width": 48, "batch_size": 128, "draws": 8}


def alloys(number: int, seed: int) -> np.ndarray:
    """Alloys of three to five elements in which Hf and W never meet."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(number):
        barred = rng.choice(["Hf", "W"])
        chosen = rng.choice([e for e in ELEMENTS if e != barred], rng.integers(3, 6), replace=False)
        amounts = rng.dirichlet(np.full(len(chosen), 8.0))
        rows.append([dict(zip(chosen, np.maximum(amounts, 0.02), strict=True)).get(e, 0.0) for e in ELEMENTS])
    x = np.array(rows)
    return x / x.sum(axis=1, keepdims=True)


def values(x: np.ndarray) -> np.ndarray:
    return np.column_stack(list(predict_array(x, ELEMENTS, NAMES).values()))


def closed_data(seed: int = 1, number: int = 160) -> TrainingData:
    x = alloys(number, seed)
    return TrainingData(ELEMENTS, x, values(x), NAMES, closed_form=NAMES, reference=values)


@pytest.fixture(scope="module")
def trained() -> FlowMatching:
    generator = FlowMatching(FlowMatchingOptions(**SMALL))
    generator.fit(closed_data(), seed=1)
    return generator


def test_answers_meet_conditions_of_alloys_never_seen_and_differ_from_each_other(
    trained: FlowMatching,
) -> None:
    wanted = values(alloys(12, seed=99))
    made = trained.generate(np.repeat(wanted, 10, axis=0), seed=3)
    error = np.abs(values(made) / np.repeat(wanted, 10, axis=0) - 1).max(axis=1)
    assert (error < 0.02).mean() > 0.9
    assert np.mean([diversity(group) for group in made.reshape(12, 10, -1)]) > 0.2
    assert novelty(made, closed_data().fractions) > 0.9


def test_elements_that_never_meet_in_the_data_seldom_meet_in_answers(trained: FlowMatching) -> None:
    made = trained.generate(closed_data().conditions, seed=4)
    together = ((made[:, 0] > 0) & (made[:, 5] > 0)).mean()
    apart = (made[:, 0] > 0).mean() * (made[:, 5] > 0).mean()
    assert together < 0.6 * apart
    assert 3 <= (made > 0).sum(axis=1).mean() <= 5.5
    assert made[made > 0].min() >= 0.01 - 1e-12


def test_steering_is_what_makes_answers_exact() -> None:
    data = closed_data()
    wanted = values(alloys(60, seed=98))
    errors = []
    for steps in (0, 10):
        generator = FlowMatching(FlowMatchingOptions(**SMALL | {"steering_steps": steps, "steps": 60}))
        generator.fit(data, seed=1)
        errors.append(np.median(np.abs(values(generator.generate(wanted, seed=2)) / wanted - 1)))
    assert errors[1] < 0.1 * errors[0]


def test_an_open_condition_is_free_and_the_others_are_met(trained: FlowMatching) -> None:
    wanted = values(alloys(40, seed=97))
    wanted[:, 1] = np.nan
    made = values(trained.generate(wanted, seed=5))
    assert (np.abs(made[:, 0] / wanted[:, 0] - 1) < 0.02).mean() > 0.9
    free = values(trained.generate(np.full((40, 2), np.nan), seed=5))
    assert free[:, 0].std() > 0.5 * closed_data().conditions[:, 0].std()


def test_answers_to_one_condition_are_different_alloys_and_hold_pairs_as_the_data_do(
    trained: FlowMatching,
) -> None:
    wanted = values(alloys(10, seed=96))
    made = trained.generate(np.repeat(wanted, 20, axis=0), seed=7)
    for group in made.reshape(10, 20, -1):
        apart = 0.5 * np.abs(group[:, None] - group[None]).sum(axis=2) + np.eye(20)
        assert (apart.min(axis=1) > 0.004).mean() > 0.8
    counts = (made > 0).sum(axis=1)
    assert ((made[:, 0] > 0) & (made[:, 5] > 0)).mean() < 0.2
    assert 3 <= counts.mean() <= 5.5


def test_conditions_that_few_draws_meet_are_drawn_for_again() -> None:
    generator = FlowMatching(FlowMatchingOptions(**SMALL | {"draws": 1, "further_rounds": 0}))
    generator.fit(closed_data(), seed=1)
    wanted = values(alloys(60, seed=95))
    shares = []
    for rounds in (0, 2):
        generator.options = generator.options.model_copy(update={"further_rounds": rounds})
        error = np.abs(values(generator.generate(wanted, seed=2)) / wanted - 1).max(axis=1)
        shares.append((error < 0.02).mean())
    assert shares[1] > max(shares[0] + 0.1, 0.9)


def test_a_target_beyond_reach_is_answered_by_what_comes_nearest(trained: FlowMatching) -> None:
    made = values(trained.generate(np.array([[400.0, 3.0]] * 4), seed=6))
    assert np.isfinite(made).all()
    assert (made[:, 0] < 200).all()
    one = values(trained.generate(np.array([[400.0, np.nan]] * 4), seed=6))
    assert (one[:, 0] > np.quantile(closed_data().conditions[:, 0], 0.9)).all()


PALETTES = {
    "bounds": Palette(
        ELEMENTS, (50, 1, 50, 1, 1, 100, 1), (400, 350, 600, 350, 350, 350, 350), (False,) * 7, 3, 5
    ),
    "required and fixed": Palette(
        ELEMENTS,
        (1, 1, 250, 1, 1, 1, 1),
        (500, 500, 250, 500, 500, 500, 500),
        (False, False, True, False, False, False, False),
        4,
        4,
    ),
    "narrow": Palette(
        ELEMENTS, (100, 100, 200, 100, 100, 100, 100), (250, 250, 300, 250, 250, 250, 250), (False,) * 7, 4, 6
    ),
}


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_is_kept_exactly_and_reachable_conditions_are_still_met(
    trained: FlowMatching, name: str
) -> None:
    palette = PALETTES[name]
    inside = palette.sample_uniform(30, np.random.default_rng(7))
    wanted = values(np.array([c.fraction_vector(ELEMENTS) for c in inside]))
    made = trained.generate(wanted, seed=8, palette=palette)
    assert all(palette.contains(Composition.from_fractions(ELEMENTS, row)) for row in made)
    np.testing.assert_allclose(made * 1000, np.round(made * 1000), atol=1e-9)
    error = np.abs(values(made) / wanted - 1).max(axis=1)
    assert (error < 0.02).mean() > 0.7


def test_rows_with_unknown_properties_train_and_a_property_without_a_formula_is_learned() -> None:
    x = alloys(120, seed=11)

    def strength(y: np.ndarray) -> np.ndarray:
        return 200 + 900 * y[:, 1] - 300 * y[:, 4] + 800 * y[:, 2] * y[:, 3]

    given = np.column_stack([values(x)[:, 1], strength(x)])
    given[::5, 0], given[1::5, 1] = np.nan, np.nan
    data = TrainingData(ELEMENTS, x, given, ("density", "strength"), closed_form=("density",))
    generator = FlowMatching(FlowMatchingOptions(**SMALL))
    record = generator.fit(data, seed=1)
    held_out = alloys(50, seed=12)
    wanted = np.column_stack([values(held_out)[:, 1], strength(held_out)])
    made = generator.generate(wanted, seed=2)
    assert (np.abs(values(made)[:, 1] / wanted[:, 0] - 1) < 0.02).mean() > 0.9
    assert (np.abs(strength(made) / wanted[:, 1] - 1) < 0.1).mean() > 0.7
    assert np.isfinite(record.metrics["diversity"])
    again = generator_from_checkpoint("flow-matching", generator.checkpoint())
    assert np.array_equal(again.generate(wanted, seed=2), made)


def test_answers_to_one_condition_are_moved_apart_where_properties_are_learned_and_single_ones_are_not() -> (
    None
):
    def strength(y: np.ndarray) -> np.ndarray:
        return np.asarray(500 * np.exp(np.sin(6 * y[:, 1]) - y[:, 4] + 3 * y[:, 2] * y[:, 3]))

    x = alloys(100, seed=11)
    data = TrainingData(
        ELEMENTS,
        x,
        np.column_stack([values(x)[:, 1], strength(x)]),
        ("density", "strength"),
        closed_form=("density",),
    )
    generator = FlowMatching(FlowMatchingOptions(**SMALL))
    generator.fit(data, seed=1)
    other = alloys(8, seed=12)
    wanted = np.column_stack([values(other)[:, 1], strength(other)])
    apart, hits, single = [], [], []
    for spreading in (0, 5):
        generator.options = generator.options.model_copy(update={"spreading": spreading})
        made = generator.generate(np.repeat(wanted, 15, axis=0), seed=3)
        apart.append(np.mean([diversity(group) for group in made.reshape(8, 15, -1)]))
        off = np.abs(strength(made) / np.repeat(wanted[:, 1], 15) - 1)
        hits.append((off < 0.05).mean())
        assert (np.abs(values(made)[:, 1] / np.repeat(wanted[:, 0], 15) - 1) < 0.02).mean() > 0.9
        single.append(generator.generate(wanted, seed=3))
    # worth it at the exchange that was asked for
    assert apart[1] > apart[0] + 0.005
    assert hits[1] - hits[0] + generator.options.exchange * (apart[1] - apart[0]) > 0
    assert np.array_equal(*single)


def test_the_same_seed_gives_the_same_generator_bit_by_bit_and_the_global_state_is_left_alone() -> None:
    data = closed_data(number=60)
    few = SMALL | {"steps": 40}
    before = torch.random.get_rng_state()
    first, second, other = (FlowMatching(FlowMatchingOptions(**few)) for _ in range(3))
    for generator, seed in ((first, 1), (second, 1), (other, 2)):
        generator.fit(data, seed=seed)
    wanted = data.conditions[:20]
    made = first.generate(wanted, seed=9)
    assert np.array_equal(made, second.generate(wanted, seed=9))
    assert not np.array_equal(made, other.generate(wanted, seed=9))
    assert not np.array_equal(made, first.generate(wanted, seed=10))
    assert torch.equal(before, torch.random.get_rng_state())
    again = generator_from_checkpoint("flow-matching", first.checkpoint())
    assert np.array_equal(again.generate(wanted, seed=9), made)


def test_the_record_tells_quality_and_the_progress_tells_loss_and_diversity() -> None:
    points: list[tuple[int, int, dict[str, float]]] = []
    generator = FlowMatching(FlowMatchingOptions(**SMALL | {"steps": 80}))
    record = generator.fit(closed_data(), seed=1, progress=lambda *point: points.append(point))
    assert points[-1][:2] == (80, 80)
    assert [p[2] for p in points] == record.curve
    assert record.curve[-1]["loss"] < record.curve[0]["loss"]
    assert record.curve[-1]["diversity"] > 0.1
    assert record.metrics["collapsed"] is False
    assert set(record.metrics) >= {
        "diversity",
        "novelty",
        "pair_correlation_distance",
        "element_count_distance",
        "conditional_mae",
        "collapsed_at_step",
    }


def test_options_data_and_calls_that_make_no_sense_are_refused(trained: FlowMatching) -> None:
    with pytest.raises(InputError, match=r"strategy\.options\.draws"):
        generator_named("flow-matching", {"draws": 0})
    with pytest.raises(InputError, match="not trained yet"):
        FlowMatching().generate(np.zeros((1, 2)), seed=1)
    with pytest.raises(InputError, match="are not n x 2"):
        trained.generate(np.zeros((1, 3)), seed=1)
    with pytest.raises(InputError, match="checkpoint"):
        FlowMatching.from_checkpoint(b"no checkpoint")
    with pytest.raises(InputError, match="palette"):
        trained.generate(np.zeros((1, 2)), seed=1, palette=Palette(("Hf",), (1,), (1000,), (True,), 1, 1))
    x = alloys(10, seed=13)
    flat = TrainingData(ELEMENTS, x, np.full((10, 1), 3.0), ("density",))
    with pytest.raises(InputError, match="same for all alloys"):
        FlowMatching().fit(flat, seed=1)


def test_no_answers_are_asked_for_and_none_are_given(trained: FlowMatching) -> None:
    assert trained.generate(np.empty((0, 2)), seed=1).shape == (0, len(ELEMENTS))


def test_steering_moves_least_and_stays_on_its_elements_within_bounds() -> None:
    model = PropertyModel(ELEMENTS, ("shear_modulus",), ("shear_modulus",), {})
    x = torch.as_tensor(alloys(30, seed=14))
    low, high = torch.where(x > 0, 0.01, 0.0).double(), (x > 0).double()
    target = torch.as_tensor(values(x.numpy())[:, :1]) + 4.0
    made, gap = steer(model, x, target, torch.full_like(target, 10.0), low=low, high=high, steps=20)
    met = gap < 1e-3
    assert met.double().mean() > 0.8
    assert bool(((made > 0) <= (x > 0)).all())
    np.testing.assert_allclose(made.sum(dim=1).numpy(), 1, atol=1e-12)
    np.testing.assert_allclose(values(made.numpy())[met.numpy(), 0], target[met, 0].numpy(), atol=0.02)
    # G is linear: away from the bounds the least change is along the centred values of the present elements
    shear = predict_array(np.eye(len(ELEMENTS)), ELEMENTS, ("shear_modulus",))["shear_modulus"]
    for row, end in zip(x[met].numpy(), made[met].numpy(), strict=True):
        inside = row > 0
        if end[inside].min() > 0.011:
            direction = shear[inside] - shear[inside].mean()
            np.testing.assert_allclose(
                (end - row)[inside], 4.0 * direction / (direction @ direction), atol=1e-4
            )

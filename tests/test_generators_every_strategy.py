"""What holds for every generator of the registry: the palette is kept, answers repeat, checkpoints answer the same."""

import random

import numpy as np
import pytest
import torch

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.generators import (
    GENERATORS,
    Generator,
    TrainingData,
    generator_from_checkpoint,
    generator_named,
)
from hea_loop.generators.registry import _classes
from hea_loop.palette import Palette
from hea_loop.prediction import predict_array

ELEMENTS = ("Hf", "Mo", "Nb", "Ta", "W", "Zr")
PROPERTIES = ("shear_modulus", "density")
SHORT = {
    "steps": 12,
    "batch_size": 16,
    "width": 16,
    "property_batch": 16,
    "population": 12,
    "generations": 4,
}
LEARNS = ("cgan-2021", "cwgan-gp", "cvae", "cgan-property")
"""Those that train a network on the alloys."""

PALETTES = {
    "wide": Palette(ELEMENTS, (1,) * 6, (1000,) * 6, (False,) * 6, 2, 5),
    "bounds": Palette(ELEMENTS, (50,) * 6, (350,) * 6, (False,) * 6, 3, 6),
    "required": Palette(
        ELEMENTS,
        (1, 1, 100, 1, 200, 1),
        (1000, 300, 400, 50, 600, 1000),
        (False, False, True, False, True, False),
        3,
        4,
    ),
    "one size": Palette(ELEMENTS, (100,) * 6, (400,) * 6, (False,) * 6, 4, 4),
    "narrow": Palette(ELEMENTS, (1, 1, 330, 330, 1, 330), (5, 5, 335, 335, 5, 340), (False,) * 6, 3, 6),
    "pure": Palette(ELEMENTS, (1,) * 6, (1000,) * 6, (False, False, True, False, False, False), 1, 1),
}  # fmt: skip


def properties(fractions):
    values = predict_array(fractions, ELEMENTS, PROPERTIES)
    return np.column_stack([values[name] for name in PROPERTIES])


def alloys(n=60, seed=1, unknown=0.0):
    """Random alloys of two to four of six elements with G and density by the formulas."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 6))
    for row in x:
        k = rng.integers(2, 5)
        row[rng.choice(6, k, replace=False)] = rng.dirichlet(np.full(k, 3.0))
    c = properties(x)
    if unknown:
        c[rng.random(c.shape) < unknown] = np.nan
    return TrainingData(ELEMENTS, x, c, PROPERTIES, closed_form=PROPERTIES, reference=properties)


def short(name):
    """A generator that trains for a moment."""
    known = _classes(name)[1].model_fields
    return generator_named(name, {key: value for key, value in SHORT.items() if key in known})


@pytest.fixture(scope="module")
def trained():
    """Every generator, trained once: name to (generator, record)."""
    data = alloys()
    out = {}
    for name in GENERATORS:
        generator = short(name)
        out[name] = (generator, generator.fit(data, seed=3, device="cpu"))
    return out


def requests():
    """Conditions of alloys, far off any alloy, and with one and all properties open."""
    known = alloys(4, seed=9).conditions
    off = np.array([[300.0, 2.0], [1.0, 25.0]])
    open_ = known.copy()
    open_[0, 0], open_[1, 1], open_[2] = np.nan, np.nan, np.nan
    return np.concatenate([known, off, open_])


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("which", PALETTES)
def test_every_answer_lies_in_the_palette_exactly(trained, name, which):
    palette = PALETTES[which]
    x = trained[name][0].generate(requests(), seed=2, palette=palette)
    assert x.shape == (len(requests()), 6)
    assert x.dtype == np.float64
    parts = np.round(x * 1000).astype(int)
    assert np.array_equal(parts / 1000, x)
    assert (parts.sum(axis=1) == 1000).all()
    for row in parts:
        present = tuple((e, int(k)) for e, k in zip(ELEMENTS, row, strict=True) if k)
        assert palette.contains(Composition(present)), row


@pytest.mark.parametrize("name", GENERATORS)
def test_without_a_palette_answers_are_fractions_that_sum_to_one(trained, name):
    x = trained[name][0].generate(requests(), seed=2)
    assert (x >= 0).all()
    assert x.sum(axis=1) == pytest.approx(np.ones(len(x)), abs=1e-9)


@pytest.mark.parametrize("name", GENERATORS)
def test_no_request_gives_no_answer(trained, name):
    assert trained[name][0].generate(np.zeros((0, 2)), seed=1, palette=PALETTES["wide"]).shape == (0, 6)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_checkpoint_answers_as_the_generator_it_was_taken_from(trained, name):
    generator, _ = trained[name]
    content = generator.checkpoint()
    again = generator_from_checkpoint(name, content)
    assert isinstance(again, Generator)
    assert again.name == name
    for palette in (None, PALETTES["required"]):
        assert np.array_equal(
            again.generate(requests(), seed=4, palette=palette),
            generator.generate(requests(), seed=4, palette=palette),
        )
    assert again.checkpoint() == content


@pytest.mark.parametrize("name", GENERATORS)
def test_bytes_that_are_no_checkpoint_of_it_are_refused(trained, name):
    other = trained["cvae" if name != "cvae" else "random"][0].checkpoint()
    for content in (b"", b"no checkpoint", other):
        with pytest.raises(InputError, match="checkpoint"):
            generator_from_checkpoint(name, content)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_same_seed_repeats_and_nothing_global_changes(trained, name):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        generator = short(name)
        generator.fit(alloys(), seed=3, device="cpu")
        assert torch.get_num_threads() == 2
        again = generator.generate(requests(), seed=5)
    finally:
        torch.set_num_threads(before)
    first = trained[name][0]
    assert np.array_equal(again, first.generate(requests(), seed=5))
    assert not np.array_equal(again, first.generate(requests(), seed=6))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


@pytest.mark.parametrize("name", GENERATORS)
def test_alloys_with_unknown_properties_take_part_in_training(name):
    generator = short(name)
    data = alloys(unknown=0.3)
    record = generator.fit(data, seed=1, device="cpu")
    x = generator.generate(data.conditions[:12], seed=1, palette=PALETTES["wide"])
    assert np.isfinite(x).all()
    assert np.isfinite(list(record.metrics["conditional_mae"].values())).all()


@pytest.mark.parametrize("name", GENERATORS)
def test_the_record_says_how_good_and_how_varied_the_answers_are(trained, name):
    _, record = trained[name]
    expected = {
        "diversity",
        "collapsed",
        "novelty",
        "element_count_distance",
        "pair_correlation_distance",
        "conditional_mae",
    }
    assert expected <= set(record.metrics)
    assert set(record.metrics["conditional_mae"]) == set(PROPERTIES)
    assert record.device == "cpu"
    steps = [point["step"] for point in record.curve]
    assert steps == sorted(steps)
    assert steps
    assert all(np.isfinite(list(point.values())).all() for point in record.curve)


@pytest.mark.parametrize("name", GENERATORS)
def test_progress_reports_the_last_step(name):
    seen = []
    generator = short(name)
    generator.fit(
        alloys(20), seed=1, device="cpu", progress=lambda step, of, point: seen.append((step, of, point))
    )
    assert seen[-1][0] == seen[-1][1]
    assert all("step" in point for _, _, point in seen)


@pytest.mark.parametrize("name", GENERATORS)
def test_wrong_use_is_refused_in_one_line(trained, name):
    generator, _ = trained[name]
    other = Palette(("Hf", "Nb"), (1, 1), (1000, 1000), (False, False), 1, 2)
    constant = alloys()
    constant = TrainingData(
        ELEMENTS, constant.fractions, np.column_stack([constant.conditions[:, 0], np.full(60, 7.0)]), PROPERTIES
    )  # fmt: skip
    for wrong in (
        lambda: generator.generate(np.zeros(2), seed=1),
        lambda: generator.generate(np.array([[1.0, np.inf]]), seed=1),
        lambda: generator.generate(requests(), seed=1, palette=other),
        lambda: short(name).generate(requests(), seed=1),
        lambda: short(name).fit(alloys(), seed=1, device="abacus"),
        lambda: short(name).fit(constant, seed=1, device="cpu"),
        lambda: generator_named(name, {"no_such_option": 1}),
    ):
        with pytest.raises(InputError) as caught:
            wrong()
        assert "\n" not in str(caught.value)

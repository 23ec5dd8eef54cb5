"""Every sampled or snapped composition lies in the palette."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.palette import Palette

NINE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")


@st.composite
def palettes(draw):
    size = draw(st.integers(1, 7))
    lower = draw(st.lists(st.integers(1, 400), min_size=size, max_size=size))
    widths = draw(st.lists(st.sampled_from([0, 5, 50, 300, 999]), min_size=size, max_size=size))
    fewest = draw(st.integers(1, size))
    try:
        return Palette(
            elements=NINE[:size],
            lower=tuple(lower),
            upper=tuple(min(1000, low + width) for low, width in zip(lower, widths, strict=True)),
            required=tuple(draw(st.lists(st.booleans(), min_size=size, max_size=size))),
            min_elements=fewest,
            max_elements=draw(st.integers(fewest, size)),
        )
    except InputError:
        assume(False)


def palette(**changes):
    nine = {
        "elements": NINE,
        "lower": (1,) * 9,
        "upper": (1000,) * 9,
        "required": (False,) * 9,
        "min_elements": 3,
        "max_elements": 6,
    }
    return Palette(**(nine | changes))


@settings(
    deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], max_examples=60
)
@given(palettes(), st.integers(0, 2**32 - 1))
def test_uniform_samples_lie_in_the_palette(allowed, seed):
    assert all(allowed.contains(c) for c in allowed.sample_uniform(3, np.random.default_rng(seed)))


@settings(
    deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], max_examples=60
)
@given(palettes(), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 5.0]))
def test_snapped_rows_lie_in_the_palette(allowed, seed, concentration):
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(len(allowed.elements), concentration), 4)
    assert all(allowed.contains(c) for c in allowed.snap(rows))


@settings(
    deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], max_examples=40
)
@given(palettes(), st.integers(0, 2**32 - 1))
def test_snapping_an_allowed_composition_changes_nothing(allowed, seed):
    samples = allowed.sample_uniform(3, np.random.default_rng(seed))
    rows = np.array([c.fraction_vector(allowed.elements) for c in samples])
    assert allowed.snap(rows) == samples


def test_same_state_of_the_generator_gives_the_same_samples():
    first = palette().sample_uniform(50, np.random.default_rng(7))
    assert palette().sample_uniform(50, np.random.default_rng(7)) == first
    assert palette().sample_uniform(50, np.random.default_rng(8)) != first


def test_uniform_samples_have_the_mean_of_the_flat_simplex():
    # three elements, all required: each fraction has mean 1/3 and standard deviation sqrt(1/18)
    allowed = Palette(("Hf", "Nb", "Ta"), (1,) * 3, (1000,) * 3, (True,) * 3, 3, 3)
    rows = np.array(
        [c.fraction_vector(allowed.elements) for c in allowed.sample_uniform(2000, np.random.default_rng(1))]
    )
    assert rows.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=4 * np.sqrt(1 / 18 / 2000))
    assert rows.std(axis=0) == pytest.approx([np.sqrt(1 / 18)] * 3, rel=0.08)


def test_samples_under_tight_upper_bounds_are_uniform_too():
    # at most one half of each of three elements: a triangle half as large, so half the standard deviation
    allowed = Palette(("Hf", "Nb", "Ta"), (1,) * 3, (500,) * 3, (True,) * 3, 3, 3)
    rows = np.array(
        [c.fraction_vector(allowed.elements) for c in allowed.sample_uniform(2000, np.random.default_rng(1))]
    )
    assert rows.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=4 * np.sqrt(1 / 72 / 2000))
    assert rows.std(axis=0) == pytest.approx([np.sqrt(1 / 72)] * 3, rel=0.08)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_snapping_finds_the_nearest_point_within_the_bounds(seed):
    rng = np.random.default_rng(seed)
    allowed = Palette(("Hf", "Nb", "Ta", "W"), (50, 1, 100, 1), (400, 300, 600, 350), (True,) * 4, 4, 4)
    row = rng.dirichlet(np.full(4, 0.5))
    nearest = np.array(allowed.snap(row[None])[0].fraction_vector(allowed.elements))
    others = np.array([c.fraction_vector(allowed.elements) for c in allowed.sample_uniform(200, rng)])
    # rounding moves a point by at most a part per element
    assert np.linalg.norm(row - nearest) <= np.linalg.norm(row - others, axis=1).min() + 0.002


def test_numbers_of_elements_are_drawn_equally_often():
    counts = np.bincount(
        [len(c.elements) for c in palette().sample_uniform(2000, np.random.default_rng(2))], minlength=7
    )
    assert counts[:3].sum() == 0
    assert counts[3:7] == pytest.approx([500] * 4, abs=4 * np.sqrt(2000 * 0.25 * 0.75))


def test_snap_keeps_the_largest_elements_and_projects_on_the_bounds():
    allowed = palette(elements=("Hf", "Nb", "Ta"), lower=(100,) * 3, upper=(500,) * 3, required=(False,) * 3,
                      min_elements=2, max_elements=3)  # fmt: skip
    assert allowed.snap(np.array([[0.8, 0.19, 0.01]])) == [Composition((("Hf", 500), ("Nb", 500)))]
    assert allowed.snap(np.array([[0.6, 0.2, 0.2]])) == [Composition((("Hf", 500), ("Nb", 250), ("Ta", 250)))]


def test_palette_whose_bounds_straddle_one_in_no_subset_is_refused():
    # two of A and B reach 0.004, of C and D at least 1.2, one of each at most 0.702
    with pytest.raises(InputError, match="allows no composition"):
        Palette(("Hf", "Nb", "Ta", "W"), (1, 1, 600, 600), (2, 2, 700, 700), (False,) * 4, 2, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"elements": ()},
        {"elements": NINE[::-1]},
        {"lower": (0,) * 9},
        {"lower": (600,) * 9, "upper": (500,) * 9},
        {"upper": (1001,) * 9},
        {"min_elements": 5, "max_elements": 4},
        {"max_elements": 10},
        {"min_elements": 0},
        {"upper": (100,) * 9},
        {"required": (True,) * 9},
    ],
)
def test_palette_that_allows_nothing_or_is_ill_formed_is_refused(changes):
    with pytest.raises(InputError):
        palette(**changes)


@pytest.mark.parametrize(
    "rows",
    [[[0.5, 0.5]], [0.1] * 9, [[0.0] * 9], [[np.nan] * 9], [[-0.1, *[0.2] * 8]], [[np.inf, *[0.0] * 8]]],
)
def test_rows_that_are_no_compositions_are_refused(rows):
    with pytest.raises(InputError):
        palette().snap(np.array(rows))


def test_composition_outside_the_palette_is_not_contained():
    allowed = palette(upper=(300,) * 9, required=(True, *[False] * 8))
    assert allowed.contains(Composition((("Cr", 300), ("Hf", 300), ("Mo", 200), ("Nb", 200))))
    assert not allowed.contains(Composition((("Hf", 300), ("Mo", 300), ("Nb", 200), ("W", 200))))
    assert not allowed.contains(Composition((("Cr", 301), ("Hf", 299), ("Mo", 200), ("Nb", 200))))
    assert not allowed.contains(Composition((("Al", 300), ("Cr", 300), ("Mo", 200), ("Nb", 200))))
    assert not allowed.contains(Composition((("Cr", 1000),)))

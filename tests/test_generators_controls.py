"""The controls: what they search, that they find it where it exists, and the region they search in."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_generators_every_strategy import ELEMENTS, PALETTES, alloys, properties
from test_palette import palettes

from hea_loop.generators import TrainingData, generator_from_checkpoint, generator_named
from hea_loop.generators.allowed_region import AllowedRegion, project_on_bounds
from hea_loop.generators.property_search import distinct_requests
from hea_loop.generators.quality import diversity
from hea_loop.palette import Palette

WIDE = PALETTES["wide"]


def fitted(name, data=None, **options):
    generator = generator_named(name, options)
    generator.fit(data or alloys(), seed=1, device="cpu")
    return generator


def plain_data(m):
    """Two alloys of the first m elements of the palette tests, for a region."""
    elements = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")[:m]
    x = np.full((2, m), 1 / m)
    return TrainingData(elements, x, np.array([[1.0], [2.0]]), ("shear_modulus",))


# -- the region --------------------------------------------------------------------------------------------------


def test_projection_on_bounds_is_that_of_a_quadratic_programme():
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    low, high = np.array([0.05, 0.0, 0.1, 0.0]), np.array([0.4, 0.3, 0.9, 0.0])
    points = rng.normal(0.3, 0.6, (12, 4))
    found = project_on_bounds(points, np.tile(low, (12, 1)), np.tile(high, (12, 1)))
    for point, y in zip(points, found, strict=True):
        best = minimize(
            lambda v, p=point: ((v - p) ** 2).sum(),
            np.clip(np.full(4, 0.33), low, high),
            jac=lambda v, p=point: 2 * (v - p),
            bounds=list(zip(low, high, strict=True)),
            constraints={"type": "eq", "fun": lambda v: v.sum() - 1, "jac": np.ones_like},
            method="SLSQP",
            options={"ftol": 1e-14},
        )
        assert y == pytest.approx(best.x, abs=1e-6)
    assert found.sum(axis=1) == pytest.approx(np.ones(12), abs=1e-12)


@settings(
    deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], max_examples=60
)
@given(palettes(), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0]))
def test_rounding_what_lies_in_the_region_moves_it_by_a_part_at_most(palette, seed, concentration):
    rng = np.random.default_rng(seed)
    region = AllowedRegion.of(plain_data(len(palette.elements)), palette)
    rows = rng.dirichlet(np.full(len(palette.elements), concentration), 5)
    for x in (region.nearest(rows), region.draw(4, rng)):
        rounded = region.rounded(x)
        assert ((rounded > 0) == (x > 0)).all()
        assert np.abs(rounded - x).max() <= 0.001 + 1e-9


def test_the_nearest_of_the_region_is_what_the_palette_snaps_to():
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.full(6, 0.5), 200)
    for which in ("wide", "bounds", "one size"):
        region = AllowedRegion.of(alloys(), PALETTES[which])
        assert np.abs(region.nearest(rows) - region.rounded(rows)).max() <= 0.001 + 1e-9


# -- what does not search ----------------------------------------------------------------------------------------


def test_random_answers_are_the_uniform_ones_of_the_palette():
    made = fitted("random").generate(np.full((50, 2), np.nan), seed=7, palette=WIDE)
    uniform = WIDE.sample_uniform(50, np.random.default_rng(7))
    assert np.array_equal(made, [c.fraction_vector(ELEMENTS) for c in uniform])


def test_random_answers_without_a_palette_have_the_elements_of_alloys_of_the_data():
    data = alloys()
    made = fitted("random", data).generate(np.full((50, 2), np.nan), seed=7)
    known = {tuple(row) for row in data.fractions > 0}
    assert {tuple(row) for row in made > 0} <= known


def test_the_nearest_alloy_is_the_answer_where_nothing_is_changed():
    data = alloys()
    generator = fitted("neighbour-jitter", data, neighbours=1, jitter=0.0)
    made = generator.generate(data.conditions[:20] * 1.0001, seed=1)
    assert made == pytest.approx(data.fractions[:20], abs=1e-3)


def test_the_neighbour_is_sought_in_the_properties_that_are_asked_for():
    data = alloys()
    generator = fitted("neighbour-jitter", data, neighbours=1, jitter=0.0)
    wanted = np.column_stack([np.full(5, np.nan), data.conditions[:5, 1]])
    made = properties(generator.generate(wanted, seed=1))
    assert made[:, 1] == pytest.approx(wanted[:, 1], rel=1e-3)
    # an alloy whose density is unknown is nobody's neighbour in density
    hole = data.conditions.copy()
    hole[:5, 1] = np.nan
    holed = TrainingData(ELEMENTS, data.fractions, hole, data.condition_names, data.closed_form)
    others = fitted("neighbour-jitter", holed, neighbours=1, jitter=0.0).generate(wanted, seed=1)
    assert not any(np.allclose(a, b, atol=1e-9) for a, b in zip(others, data.fractions[:5], strict=True))


def test_jitter_keeps_the_elements_and_changes_the_amounts():
    data = alloys()
    generator = fitted("neighbour-jitter", data, neighbours=1, jitter=0.02)
    made = generator.generate(np.repeat(data.conditions[:1], 30, axis=0), seed=1)
    assert ((made > 0) <= (data.fractions[0] > 0)).all()
    assert 0.005 < diversity(made) < 0.1


# -- what searches -----------------------------------------------------------------------------------------------

SEARCHES = {
    "nsga2": {"population": 60, "generations": 60},
    "cma-es": {"steps": 60},
    "surrogate-gradient": {},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_meets_conditions_that_can_be_met_and_gives_different_answers(name):
    data = alloys()
    generator = fitted(name, data, **SEARCHES[name])
    targets = properties(np.array([[0.2, 0.2, 0.2, 0.2, 0.2, 0.0], [0.3, 0.0, 0.3, 0.0, 0.1, 0.3]]))
    wanted = np.repeat(targets, 10, axis=0)
    made = generator.generate(wanted, seed=1, palette=WIDE)
    gap = np.abs(properties(made) / wanted - 1).max(axis=1)
    assert (gap < 0.02).mean() >= 0.9
    for answers in (made[:10], made[10:]):
        # the genetic algorithm converges: its answers differ, but not by much
        assert diversity(answers) > (0.0 if name == "nsga2" else 0.02)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_ignores_properties_that_are_left_open(name):
    generator = fitted(name, **SEARCHES[name])
    wanted = np.tile([np.nan, 12.0], (6, 1))
    made = properties(generator.generate(wanted, seed=1, palette=WIDE))
    assert made[:, 1] == pytest.approx(np.full(6, 12.0), rel=0.01)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_what_a_tight_palette_allows(name):
    # between 20 and 30 parts in a hundred of each of four elements: the condition is the middle of it
    tight = Palette(ELEMENTS, (200,) * 6, (300,) * 6, (True, True, True, True, False, False), 4, 4)
    target = properties(np.array([[0.22, 0.28, 0.26, 0.24, 0.0, 0.0]]))
    made = fitted(name, **SEARCHES[name]).generate(np.repeat(target, 5, axis=0), seed=1, palette=tight)
    assert np.abs(properties(made) / target - 1).max() < 0.015


def test_equal_conditions_share_one_run_of_the_genetic_algorithm(monkeypatch):
    generator = fitted("nsga2", population=8, generations=2)
    runs = []
    plain = type(generator)._run
    monkeypatch.setattr(type(generator), "_run", lambda *given: runs.append(1) or plain(*given))
    wanted = np.array([[60.0, 12.0]] * 8 + [[60.0, np.nan]] * 3 + [[np.nan, np.nan]])
    made = generator.generate(wanted, seed=1, palette=WIDE)
    assert len(runs) == 2
    assert len(np.unique(made[:8], axis=0)) > 1
    runs.clear()
    generator.generate(np.tile([60.0, 12.0], (9, 1)), seed=1, palette=WIDE)
    assert len(runs) == 2  # nine answers from populations of eight


def test_requests_are_grouped_in_the_order_of_their_first_appearance():
    groups = distinct_requests(np.array([[2.0, np.nan], [1.0, 1.0], [2.0, np.nan], [1.0, 1.0], [1.0, 2.0]]))
    assert [rows.tolist() for _, rows in groups] == [[0, 2], [1, 3], [4]]


@pytest.mark.parametrize("name", ["surrogate-gradient", "nsga2", "cma-es"])
def test_a_property_of_ones_own_is_learned_from_its_rows_and_kept_in_the_checkpoint(name):
    known = alloys(80)
    own = TrainingData(
        ELEMENTS, known.fractions, known.conditions, ("shear_modulus", "mine"), closed_form=("shear_modulus",)
    )
    generator = fitted(name, own, **SEARCHES[name])
    wanted = np.repeat(known.conditions[:2], 4, axis=0)
    made = generator.generate(wanted, seed=1, palette=WIDE)
    assert np.median(np.abs(properties(made) / wanted - 1).max(axis=1)) < 0.03
    again = generator_from_checkpoint(name, generator.checkpoint())
    assert np.array_equal(again.generate(wanted, seed=1, palette=WIDE), made)

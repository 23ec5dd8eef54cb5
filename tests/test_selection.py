from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array
from hea_loop.scoring import KnownValue
from hea_loop.selection import (
    improved_candidates,
    nearest_distance,
    number_at_random,
    predicted_violation,
    select,
)
from hea_loop.surrogate import Surrogate, fit_surrogate

ELEMENTS = ("Mo", "Nb", "Ti", "V")


def campaign(**changes) -> Campaign:
    return parse_campaign(
        {
            "name": "light",
            "palette": {"elements": list(ELEMENTS), "number_of_elements": {"min": 2}},
            "targets": {"density": {"max": 8.0}, "shear_modulus": {"min": 40, "max": 60}},
            "verdicts": {"single_phase_bcc": {"temperatures_K": [1273]}},
            "validators": {"calphad": {"budget": 100}},
            "minimum_distance": 0.03,
            **changes,
        }
    )


def ignorant(spec: Campaign) -> Surrogate:
    return fit_surrogate(spec, spec.design_space().elements, np.empty((0, len(spec.palette.elements))), [])


def sample(spec: Campaign, number: int, seed: int = 0) -> list[Composition]:
    return spec.design_space().sample_uniform(number, np.random.default_rng(seed))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def chosen_by(selection, origin: str) -> list[Composition]:
    return [s.composition for s in selection.selected if s.origin == origin]


def test_candidates_inside_the_predicted_targets_come_before_all_others():
    spec = campaign()
    made = select(sample(spec, 400), spec, [], ignorant(spec), number=20, rng=rng())
    strategy = chosen_by(made, "strategy")
    assert len(strategy) == 18
    rows = np.array([c.fraction_vector(ELEMENTS) for c in strategy])
    values = predict_array(rows, ELEMENTS, ["density", "shear_modulus"])
    assert np.all(values["density"] <= 8.0)
    assert np.all((values["shear_modulus"] >= 40) & (values["shear_modulus"] <= 60))
    assert made.report.outside_chosen == 0


def test_when_too_few_are_inside_the_smallest_misses_follow_and_are_counted():
    spec = campaign(targets={"density": {"max": 5.6}}, random_share=0)
    alloys = sample(spec, 60)
    made = select(alloys, spec, [], ignorant(spec), number=15, rng=rng())
    rows = np.array([s.composition.fraction_vector(ELEMENTS) for s in made.selected])
    outside = predict_array(rows, ELEMENTS, ["density"])["density"] > 5.6
    assert 0 < made.report.inside < 15
    assert made.report.outside_chosen == outside.sum() > 0
    first = int(np.argmax(outside))
    assert outside[first:].all()
    assert all(s.probability == 0 for s in made.selected[first:])
    everyone = np.array([c.fraction_vector(ELEMENTS) for c in alloys])
    density = np.sort(predict_array(everyone, ELEMENTS, ["density"])["density"])
    assert predict_array(rows, ELEMENTS, ["density"])["density"].max() < np.median(density)


def test_what_the_validators_said_decides_between_candidates_that_predictions_cannot_tell_apart():
    spec = campaign(targets={}, random_share=0)
    good, bad = np.array([[0.1, 0.6, 0.2, 0.1]]), np.array([[0.1, 0.1, 0.2, 0.6]])
    shift = 0.03 * np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1], [-1, 0, 0, 1], [1, 0, -1, 0]])
    answers = [[KnownValue("single_phase_bcc", held, "calphad", 1273)] for held in (1.0, 0.0) for _ in shift]
    learned = fit_surrogate(spec, ELEMENTS, np.vstack([good + shift, bad + shift]), answers)
    made = select(sample(spec, 500), spec, [], learned, number=10, rng=rng())
    rows = np.array([s.composition.fraction_vector(ELEMENTS) for s in made.selected])
    assert np.all(nearest_distance(rows, good) < nearest_distance(rows, bad))


@pytest.mark.parametrize("distance", [0.0, 0.03, 0.1])
def test_strategy_candidates_keep_the_minimum_distance_to_the_known_and_to_each_other(distance):
    spec = campaign(minimum_distance=distance)
    known = [*sample(spec, 40, seed=1), Composition.from_amounts({"Al": 1, "Ti": 1})]
    made = select([*sample(spec, 300), *known[:40]], spec, known, ignorant(spec), number=15, rng=rng())
    strategy = chosen_by(made, "strategy")
    pairs = [a.distance(b) for a, b in combinations(strategy, 2)]
    pairs += [a.distance(b) for a in strategy for b in known]
    assert min(pairs) >= max(distance, 1 / RESOLUTION) - 1e-12


def test_a_candidate_at_exactly_the_minimum_distance_is_far_enough():
    spec = campaign(targets={}, random_share=0)
    known = Composition.from_key("Nb:500 Ti:500")
    made = select(
        [Composition.from_key("Nb:530 Ti:470"), Composition.from_key("Nb:471 Ti:529")],
        spec,
        [known],
        ignorant(spec),
        number=2,
        rng=rng(),
    )
    assert [s.composition.key for s in made.selected] == ["Nb:530 Ti:470"]
    assert made.report.near_known == 1


def test_the_random_share_comes_last_and_is_not_filtered_by_predictions():
    spec = campaign(random_share=0.5, targets={"density": {"max": 5.6}})
    made = select(sample(spec, 200), spec, [], ignorant(spec), number=40, rng=rng())
    assert [s.origin for s in made.selected] == ["strategy"] * 20 + ["random"] * 20
    assert [s.rank for s in made.selected] == list(range(1, 41))
    rows = np.array([c.fraction_vector(ELEMENTS) for c in chosen_by(made, "random")])
    density = predict_array(rows, ELEMENTS, ["density"])["density"]
    assert (density > 6.5).sum() >= 10


def test_the_random_share_is_what_the_palette_draws_save_for_known_materials():
    spec = campaign(random_share=0.5)
    drawn = sample(spec, 6, seed=7)
    plain = select([], spec, [], ignorant(spec), number=10, rng=rng())
    assert chosen_by(plain, "random") == drawn[:5]
    made = select([], spec, [drawn[1]], ignorant(spec), number=10, rng=rng())
    assert chosen_by(made, "random") == [drawn[0], *drawn[2:6]]


@pytest.mark.parametrize(
    ("number", "share", "expected"),
    [(50, 0.1, 5), (12, 0.1, 1), (3, 0.01, 1), (15, 0.1, 2), (50, 0, 0), (0, 0.5, 0)],
)
def test_the_random_share_is_rounded_and_at_least_one(number, share, expected):
    assert number_at_random(number, share) == expected


def test_a_batch_that_falls_short_says_how_many_and_why():
    spec = campaign(targets={}, random_share=0.1)
    few = [Composition.from_key(k) for k in ("Nb:500 Ti:500", "Nb:510 Ti:490", "Mo:500 Nb:500")]
    made = select(few, spec, [few[2]], ignorant(spec), number=10, rng=rng())
    assert (made.report.chosen, made.report.short) == (2, 8)
    assert (made.report.near_known, made.report.near_chosen) == (1, 1)
    assert made.report.why.startswith("8 too few from the strategy: of 3 generated 3 are distinct")


def test_an_exhausted_palette_gives_what_is_left():
    spec = campaign(
        palette={"elements": {"Nb": {"min": 0.499, "max": 0.501}, "Ti": {"min": 0.499, "max": 0.501}},
                 "number_of_elements": {"min": 2}},
        targets={},
        random_share=0.9,
    )  # fmt: skip
    made = select([], spec, [], ignorant(spec), number=10, rng=rng())
    assert {s.composition.key for s in made.selected} == {f"Nb:{n} Ti:{1000 - n}" for n in (499, 500, 501)}
    assert "6 too few at random" in made.report.why


def test_candidates_outside_the_palette_and_duplicates_are_passed_over():
    spec = campaign(targets={}, random_share=0)
    inside = Composition.from_key("Nb:500 Ti:500")
    made = select(
        [inside, inside, Composition.from_key("Al:500 Ti:500"), Composition.from_key("Ti:1000")],
        spec,
        [],
        ignorant(spec),
        number=4,
        rng=rng(),
    )
    assert [s.composition for s in made.selected] == [inside]
    assert (made.report.generated, made.report.distinct) == (4, 1)


def test_the_same_state_of_the_generator_gives_the_same_batch():
    spec = campaign()
    one, two = (select(sample(spec, 300), spec, [], ignorant(spec), number=20, rng=rng()) for _ in range(2))
    assert one.selected == two.selected


def test_a_batch_spreads_out_where_nothing_else_tells_candidates_apart():
    spec = campaign(targets={}, random_share=0)
    crowd = [Composition.from_key(f"Nb:{500 + n} Ti:{500 - n}") for n in (0, 30, 60, 90)]
    lone = Composition.from_key("Mo:500 V:500")
    made = select([*crowd, lone], spec, [], ignorant(spec), number=2, rng=rng())
    assert made.selected[1].composition in {lone, crowd[3]}


def test_what_was_predicted_is_kept_with_the_candidate():
    spec = campaign(targets={"density": {"max": 8.0}, "solidus": {"min": 2000}})
    made = select(sample(spec, 100), spec, [], ignorant(spec), number=10, rng=rng())
    best = made.selected[0]
    assert set(best.predicted) == {"density", "solidus", "solidus_sigma", "p_single_phase_bcc"}
    assert all(isinstance(v, float) and np.isfinite(v) for v in best.predicted.values())
    assert 0 < best.probability <= 0.5


def test_a_surrogate_of_other_elements_is_refused():
    spec = campaign()
    other = ignorant(campaign(palette={"elements": ["Nb", "Ti"]}))
    with pytest.raises(InputError, match="has other elements than the palette"):
        select([], spec, [], other, number=5, rng=rng())


def test_the_violation_is_zero_exactly_inside():
    spec = campaign()
    rows = np.array([c.fraction_vector(ELEMENTS) for c in sample(spec, 300)])
    violation, values = predicted_violation(rows, ELEMENTS, spec.targets)
    inside = np.array([all(t.holds(values[n][i]) for n, t in spec.targets.items()) for i in range(len(rows))])
    assert 0 < inside.sum() < len(rows)
    assert np.array_equal(violation == 0, inside)


@given(st.integers(0, 2**32 - 1))
def test_array_distances_are_those_of_compositions(seed):
    generator = np.random.default_rng(seed)
    spec = campaign()
    one, other = (spec.design_space().sample_uniform(3, generator) for _ in range(2))
    foreign = Composition.from_amounts({"Al": 1, "Nb": 3})
    rows = np.array([c.fraction_vector(ELEMENTS) for c in one])
    others = np.array([[c.fractions.get(e, 0.0) for e in ELEMENTS] for c in [*other, foreign]])
    expected = [min(a.distance(b) for b in [*other, foreign]) for a in one]
    assert nearest_distance(rows, others) == pytest.approx(expected, abs=1e-12)


def test_jobs_that_wait_for_their_answers_are_kept_away_from():
    spec = campaign(targets={}, random_share=0, minimum_distance=0.1)
    alloys = sample(spec, 200)
    waiting = sample(spec, 3, seed=4)
    made = select(alloys, spec, waiting, ignorant(spec), number=10, rng=rng(), pending=waiting)
    assert min(a.distance(b) for a in chosen_by(made, "strategy") for b in waiting) >= 0.1


def test_candidates_outside_every_predicted_target_are_improved_into_them():
    spec = campaign(targets={"density": {"max": 6.0}})
    alloys = [
        c for c in sample(spec, 300) if predicted_violation(rows_of([c]), ELEMENTS, spec.targets)[0] > 0.05
    ]
    better = improved_candidates(alloys, spec, ignorant(spec), rng=rng(), number=40, steps=60)
    assert not set(better) & set(alloys)
    assert all(spec.design_space().contains(c) for c in better)
    assert (predicted_violation(rows_of(better), ELEMENTS, spec.targets)[0] <= 0).mean() > 0.5
    assert improved_candidates([], spec, ignorant(spec), rng=rng()) == []


def test_the_share_of_other_element_sets_is_kept():
    spec = campaign(targets={"density": {"max": 7.0}}, random_share=0, strategy={"diversity": 0.8})
    made = select(sample(spec, 400), spec, [], ignorant(spec), number=10, rng=rng())
    assert len({s.composition.elements for s in made.selected}) >= 8


def rows_of(compositions) -> np.ndarray:
    return np.array([c.fraction_vector(ELEMENTS) for c in compositions])

from __future__ import annotations

import numpy as np
import pytest

from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.objectives import objective_progress, optimisation
from hea_loop.prediction import predict_array
from hea_loop.scoring import KnownValue
from hea_loop.selection import improved_candidates, select
from hea_loop.surrogate import fit_surrogate

ELEMENTS = ("Mo", "Nb", "Ti", "W")


def campaign(**changes) -> Campaign:
    return parse_campaign(
        {
            "name": "hot",
            "palette": {"elements": list(ELEMENTS)},
            "targets": {"density": {"max": 11}, "solidus": {"min": 2200}},
            "objectives": {"solidus": "maximize", "density": "minimize"},
            "validators": {"calphad": {"budget": 100}},
            "random_share": 0,
            **changes,
        }
    )


def answers(number: int = 40, seed: int = 0):
    drawn = campaign().design_space().sample_uniform(number, np.random.default_rng(seed))
    rows = np.array([c.fraction_vector(ELEMENTS) for c in drawn])
    return rows, [[KnownValue("solidus", float(value), "calphad")] for value in solidus(rows)]


def solidus(rows: np.ndarray) -> np.ndarray:
    melting = predict_array(rows, ELEMENTS, ("melting_temperature_rom",))["melting_temperature_rom"]
    return melting - 150 - 300 * rows[:, 1] * rows[:, 2]


def test_only_answered_compositions_inside_every_target_count_as_found():
    rows, known = answers()
    found = optimisation(campaign(), rows, known, 1)
    density = predict_array(rows, ELEMENTS, ("density",))["density"]
    hits = (density <= 11) & (solidus(rows) >= 2200)
    assert 0 < hits.sum() < 40
    assert np.array_equal(found.hits, rows[hits])
    assert [(o.name, o.maximize, o.formula is None) for o in found.objectives] == [
        ("solidus", True, True),
        ("density", False, False),
    ]


def test_a_campaign_without_objectives_has_nothing_to_optimise():
    assert optimisation(campaign(objectives={}), *answers(), 1) is None


def test_a_batch_of_an_optimising_campaign_gains_more_than_one_that_only_hits():
    spec = campaign(objectives={"solidus": "maximize"})
    rows, known = answers()
    surrogate = fit_surrogate(spec, ELEMENTS, rows, known)
    pool = spec.design_space().sample_uniform(300, np.random.default_rng(5))
    found = optimisation(spec, rows, known, 1)

    def chosen(optimised) -> np.ndarray:
        better = improved_candidates(
            pool, spec, surrogate, rng=np.random.default_rng(2), number=30, steps=15, optimised=optimised
        )
        made = select(
            [*pool, *better],
            spec,
            [],
            surrogate,
            number=8,
            rng=np.random.default_rng(1),
            optimised=optimised,
        )
        return np.array([s.composition.fraction_vector(ELEMENTS) for s in made.selected])

    best = solidus(found.hits).max()
    optimising, hitting = chosen(found), chosen(None)
    assert solidus(optimising).max() > max(best, solidus(hitting).max())
    assert np.all(predict_array(optimising, ELEMENTS, ("density",))["density"] <= 11)


def test_progress_keeps_the_best_the_front_and_a_volume_that_never_shrinks():
    hits = [
        (1, "a", {"solidus": 2300.0, "density": 10.0}),
        (2, "b", {"solidus": 2250.0, "density": 10.5}),
        (3, "c", {"solidus": 2500.0, "density": 10.4}),
    ]
    progress = objective_progress(campaign(), hits, 4)
    assert [p.iteration for p in progress] == [1, 2, 3, 4]
    assert progress[0].best == {"solidus": 2300, "density": 10}
    assert progress[2].best == {"solidus": 2500, "density": 10}
    assert [row["composition"] for row in progress[1].front] == ["a"]
    assert [row["composition"] for row in progress[3].front] == ["a", "c"]
    assert progress[3].reference == {"solidus": 2250, "density": 10.5}
    assert [p.hypervolume for p in progress] == pytest.approx([25, 25, 45, 45])


def test_before_the_first_hit_there_is_nothing_to_show():
    progress = objective_progress(campaign(), [(2, "a", {"solidus": 2300.0, "density": 10.0})], 2)
    assert progress[0].best == {}
    assert progress[0].hypervolume == 0
    assert progress[1].best["solidus"] == 2300


def test_an_objective_on_a_number_of_the_validator_is_a_question_to_it():
    spec = campaign(targets={"density": {"max": 11}}, objectives={"liquidus": "minimize"})
    assert spec.questions() == ("liquidus",)


def test_the_default_conditions_are_the_predicted_targets_and_written_out():
    spec = campaign()
    assert spec.strategy.conditions == ["density"]
    assert spec.spec_hash == campaign(strategy={"conditions": ["density"]}).spec_hash
    assert campaign(strategy={"conditions": ["shear_modulus"]}).strategy.conditions == ["shear_modulus"]
    nothing = campaign(targets={"solidus": {"min": 2200}})
    assert nothing.strategy.conditions == ["shear_modulus", "fracture_toughness_rice"]

"""``elasticity: first-principles``: learned with a doubt, ranked by it, judged by it, apart from formulas."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from benchmarks.elasticity import judge_hits, random_shares
from db import models
from db.campaigns import (
    NewCandidate,
    TrainedModel,
    begin_iteration,
    claim,
    register,
    save_candidates,
    save_model,
)
from db.elasticity import elastic_data, elastic_points, packaged_elastic_data
from db.jobs import FinishedJob, JobRequest, claim_jobs, dispatch, finish_jobs, known_values, open_jobs
from db.literature import load_packaged_data
from db.materials import NewDataPoint, add_data_points
from db.ownership import new_owner
from db.results import campaign_candidates
from db.scores import score_iteration
from db.store import open_store
from flows.atomistic_request import own_sources
from flows.planning import check_campaign, elastic_model, next_validations, training_data
from hea_loop import parse_composition
from hea_loop.acquisition import Fidelity
from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.composition import Composition
from hea_loop.elasticity import LEARNED_PROPERTIES
from hea_loop.errors import InputError
from hea_loop.feasibility import judge_targets
from hea_loop.generators import generator_named
from hea_loop.objectives import optimisation
from hea_loop.prediction import predict, predict_array
from hea_loop.scoring import KnownValue, judge
from hea_loop.selection import improved_candidates
from hea_loop.selection import select as select_candidates
from hea_loop.surrogate import fit_surrogate
from tests.elastic_models import ELEMENTS, small_elastic_data, small_elastic_model

G, K = "shear_modulus", "fracture_toughness_rice"
ALLOY = parse_composition("MoNbTiV")
LEARNED = {"elasticity": "first-principles"}
MODEL = TrainedModel("cgan-2021", b"weights", {}, {}, [], "cpu", 1)


def campaign(**changes: object) -> Campaign:
    return parse_campaign(
        {
            "name": "stiff",
            "palette": {"elements": list(ELEMENTS), "number_of_elements": {"min": 2}},
            "targets": {G: {"min": 45, "max": 60}},
            "verdicts": {"single_phase_bcc": {"temperatures_K": [1473]}},
            "validators": {"calphad": {"budget": 100}},
            "random_share": 0,
            **LEARNED,
            **changes,
        }
    )


def surrogate(spec: Campaign):
    return fit_surrogate(spec, ELEMENTS, np.empty((0, 4)), [], small_elastic_model())


def learned_values(compositions: list[Composition], name: str = G) -> tuple[np.ndarray, np.ndarray]:
    x = np.array([c.fraction_vector(ELEMENTS) for c in compositions])
    return small_elastic_model().predict(x, ELEMENTS, (name,))[name]


def test_the_field_takes_two_words_and_is_part_of_what_a_campaign_is():
    with pytest.raises(InputError, match="elasticity"):
        campaign(elasticity="dft")
    assert campaign().spec_hash != campaign(elasticity="linear-combination").spec_hash
    assert (
        campaign(elasticity="linear-combination").spec_hash
        == parse_campaign(
            {k: v for k, v in campaign().model_dump(mode="json").items() if k != "elasticity"}
        ).spec_hash
    )


def test_the_bulk_modulus_may_be_a_target_where_somebody_predicts_it():
    spec = campaign(targets={"bulk_modulus": {"min": 140}})
    assert spec.strategy.conditions == ["bulk_modulus"]
    with pytest.raises(InputError, match="bulk_modulus"):
        campaign(targets={"bulk_modulus": {"min": 140}}, elasticity="linear-combination")


def test_an_element_without_a_shear_modulus_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"no shear_modulus of N\b") as refused:
        check_campaign(campaign(palette={"elements": [*ELEMENTS, "N"]}))
    assert refused.value.field == "palette.elements"


def test_a_surrogate_without_the_model_that_the_campaign_asks_for_is_refused():
    with pytest.raises(InputError, match="elasticity"):
        fit_surrogate(campaign(), ELEMENTS, np.empty((0, 4)), [])
    with pytest.raises(InputError, match="elasticity"):
        fit_surrogate(
            campaign(elasticity="linear-combination"), ELEMENTS, np.empty((0, 4)), [], small_elastic_model()
        )


def test_candidates_are_ranked_by_how_sure_the_model_is_and_judged_by_its_mean():
    spec = campaign(targets={K: {"min": 0.3, "max": 0.36}})
    pool = spec.design_space().sample_uniform(300, np.random.default_rng(1))
    chosen = select_candidates(
        pool, spec, [], surrogate(spec), number=12, rng=np.random.default_rng(2)
    ).selected
    mean, sigma = learned_values([s.composition for s in chosen], K)
    assert ((mean >= 0.3) & (mean <= 0.36)).all()
    assert [s.predicted[K] for s in chosen] == pytest.approx(mean.tolist())
    assert [s.predicted[f"{K}_sigma"] for s in chosen] == pytest.approx(sigma.tolist())
    inside = surrogate(spec).probability(np.array([c.fraction_vector(ELEMENTS) for c in pool]))
    assert 0 < inside.max() < 0.5  # half of it the verdict's, the rest the stacking-fault energy's doubt
    assert [s.probability for s in chosen] == pytest.approx(
        surrogate(spec)
        .probability(np.array([s.composition.fraction_vector(ELEMENTS) for s in chosen]))
        .tolist()
    )
    in_reach = (learned_values(pool, K)[0] >= 0.3) & (learned_values(pool, K)[0] <= 0.36)
    assert chosen[0].probability == pytest.approx(inside[in_reach].max(), rel=1e-6)


def test_the_choice_is_the_same_again_and_improved_candidates_climb_into_the_learned_targets():
    spec = campaign(targets={G: {"min": 62, "max": 63}})
    pool = spec.design_space().sample_uniform(60, np.random.default_rng(1))
    once, again = (
        improved_candidates(pool, spec, surrogate(spec), rng=np.random.default_rng(4), number=12, steps=15)
        for _ in range(2)
    )
    assert once == again
    inside = np.mean([62 <= v <= 63 for v in learned_values(once)[0]])
    assert inside > np.mean([62 <= v <= 63 for v in learned_values(pool)[0]])


def test_a_generator_learns_the_models_values_from_rows_and_formulas_as_formulas(store):
    spec = campaign(targets={G: {"min": 45, "max": 60}, "density": {"max": 9}})
    alloys = spec.design_space().sample_uniform(25, np.random.default_rng(0))
    with store.write() as session:
        add_data_points(
            session,
            [
                NewDataPoint(c, "hardness", "literature", "experiment", "as published", f"t:{i}", value=300.0)
                for i, c in enumerate(alloys)
            ],
        )
    with store.read() as session:
        data = training_data(session, spec, generator_named("cvae", {}), small_elastic_model())
    assert data.condition_names == ("shear_modulus", "density")
    assert data.closed_form == ("density",)
    expected = small_elastic_model().means(data.fractions, data.elements, (G,))[G]
    assert data.conditions[:, 0] == pytest.approx(expected)
    assert not np.allclose(expected, predict_array(data.fractions, data.elements, (G,))[G])
    assert data.reference is not None
    assert data.reference(data.fractions) == pytest.approx(data.conditions)


def test_the_store_teaches_what_is_measured_or_computed_and_never_a_prediction(store):
    def point(name, value, kind, fidelity, source, temperature=None):
        return NewDataPoint(
            ALLOY, name, kind, fidelity, "a method", source, value=value, temperature_K=temperature
        )

    with store.write() as session:
        add_data_points(
            session,
            [
                point(G, 50.0, "literature", "dft", "a", 0.0),
                point(G, 51.0, "validation", "dft", "b"),
                point(G, 52.0, "experiment", "experiment", "c", 298.0),
                point(G, 30.0, "experiment", "experiment", "hot", 1273.0),
                point("youngs_modulus", 120.0, "literature", "experiment", "two phases"),
                NewDataPoint(
                    ALLOY,
                    "youngs_modulus",
                    "literature",
                    "experiment",
                    "as published",
                    "one phase",
                    value=130.0,
                    conditions={"phases": ["BCC"]},
                ),
                NewDataPoint(
                    ALLOY,
                    "youngs_modulus",
                    "literature",
                    "experiment",
                    "as published",
                    "a bound",
                    value=90.0,
                    conditions={"phases": ["BCC"], "qualifier": "at least"},
                ),
                point("density", 7.0, "experiment", "experiment", "other"),
                *elastic_points(small_elastic_model(), [ALLOY]),
            ],
        )
    with store.read() as session:
        assert len(elastic_data(session, "atomistic:").rows) == 3
        assert elastic_data(session, ("atomistic:", "b")) == elastic_data(session)
        data = elastic_data(session)
    assert [(r.level, r.value) for r in data.rows] == [
        ("literature", 50.0),
        ("dft", 51.0),
        ("experiment", 52.0),
        ("experiment", 130.0),
    ]


def test_a_campaign_learns_from_its_own_calculator_and_preset_and_from_no_other(store):
    asked = {"budget": 2, "calculator": "emt", "preset": "test"}
    ours = campaign(validators={"calphad": {"budget": 100}, "atomistic": asked})
    theirs = campaign(validators={"calphad": {"budget": 100}, "atomistic": asked | {"preset": "screening"}})
    none = campaign()
    literature = [
        NewDataPoint(r.composition, r.property, "literature", "dft", "EMTO", "a table", value=r.value)
        for r in small_elastic_data().rows
    ]
    computed = [
        NewDataPoint(ALLOY, G, "validation", "dft", "EMT", f"{source}:0K", value=30.0 + n)
        for n, source in enumerate((*own_sources(ours), *own_sources(theirs)))
    ]
    with store.write() as session:
        add_data_points(session, [*literature, *computed])
    with store.read() as session:
        # one source for each size of cell: 8, 16 and 54 atoms
        for spec, values in ((ours, [30.0, 31.0, 32.0]), (theirs, [33.0, 34.0, 35.0]), (none, [])):
            rows = elastic_data(session, own_sources(spec)).of("dft").rows
            assert [r.value for r in rows] == values
        learned, untaught = (elastic_model(session, spec) for spec in (ours, none))
    assert learned.alloys["dft"] == 1
    assert untaught.alloys["dft"] == 0
    x = np.array([ALLOY.fraction_vector(ELEMENTS)])
    low, high = (m.means(x, ELEMENTS, (G,))[G][0] for m in (learned, untaught))
    assert low < high - 5  # a level of its own, far below what the literature's level says


def test_stored_values_carry_their_doubt_their_method_and_the_hash_of_the_data():
    (toughness,) = [p for p in elastic_points(small_elastic_model(), [ALLOY]) if p.property == K]
    mean, sigma = learned_values([ALLOY], K)
    assert (toughness.value, toughness.sigma) == (pytest.approx(mean[0]), pytest.approx(sigma[0]))
    assert (toughness.kind, toughness.fidelity) == ("prediction", "prediction")
    assert small_elastic_model().sha256[:12] in toughness.method
    assert small_elastic_model().sha256[:12] in toughness.source
    assert {p.property for p in elastic_points(small_elastic_model(), [ALLOY])} == set(LEARNED_PROPERTIES)
    nitride = parse_composition("Mo9N")
    assert [p.property for p in elastic_points(small_elastic_model(), [nitride])] == []


def target_between() -> dict[str, dict[str, float]]:
    """A target that the linear combination's G of the alloy misses and the learned one meets."""
    (linear,) = [p.value for p in predict([ALLOY], [G])]
    learned = float(learned_values([ALLOY])[0][0])
    assert abs(linear - learned) > 2
    middle = (linear + learned) / 2
    return {G: {"min": middle} if learned > middle else {"max": middle}}


@pytest.mark.parametrize("elasticity", ["first-principles", "linear-combination"])
def test_each_campaign_is_judged_by_its_own_kind_of_prediction(store, elasticity):
    spec = campaign(elasticity=elasticity, targets=target_between())
    owner = new_owner()
    with store.write() as session:
        row = register(session, spec)
        claim(session, row.id, owner, None)
        iteration = begin_iteration(session, row.id, owner).id
        save_model(session, iteration, owner, MODEL)
        learned = elastic_points(small_elastic_model(), [ALLOY])
        new = [NewCandidate(ALLOY, "strategy", 0.5, {})]
        save_candidates(session, iteration, owner, new, review=False, learned=learned)
        dispatch(session, iteration, owner, JobRequest("calphad", "calphad", {}, "c" * 64, budget=9))
        jobs = open_jobs(session, iteration)
        claim_jobs(session, jobs, owner)
        value = {
            "property": "single_phase_bcc",
            "value": 1.0,
            "temperature_K": 1473.0,
            "sigma": None,
            "detail": {},
        }
        finish_jobs(session, [FinishedJob(jobs[0], "converged", "x", (value,), "", {})], owner)
        rates = score_iteration(session, iteration, owner)
        assert {r.fidelity: r.hit for r in rates if r.origin == "strategy"} == {
            "calphad": int(elasticity == "first-principles"),
            "prediction": int(elasticity == "first-principles"),
        }
    with store.read() as session:
        (candidate,) = campaign_candidates(session, "stiff")
        material = session.scalar(select(models.Material.id))
        known = known_values(session, material, ("prediction", "calphad"), elasticity=elasticity)
    fact = candidate.best(G)
    assert candidate.hit is (elasticity == "first-principles")
    assert fact is not None
    assert fact.method.startswith("first-principles-gp" if candidate.hit else "linear-combination")
    assert judge(spec, known).hit is candidate.hit


def test_feasibility_counts_by_the_model_and_says_how_far_it_can_be_believed():
    palette = campaign().design_space()
    model = small_elastic_model()
    target = {G: (48.0, 52.0)}
    told = judge_targets(palette, target, number=500, seed=1, elasticity=model)
    drawn = palette.sample_uniform(500, np.random.default_rng(1))
    mean, _ = learned_values(drawn)
    assert told.random.inside == int(((mean >= 48) & (mean <= 52)).sum())
    assert told.targets[0].judged_by == "first-principles"
    assert "are expected to be" in told.targets[0].reason
    assert told.random.inside != judge_targets(palette, target, number=500, seed=1).random.inside


def test_what_the_model_cannot_reach_is_infeasible_as_far_as_a_search_tells():
    palette = campaign().design_space()
    told = judge_targets(palette, {G: (400.0, None)}, number=100, elasticity=small_elastic_model())
    assert (told.verdict, told.proved) == ("infeasible", False)
    assert told.composition is not None


def test_a_campaign_that_optimises_a_learned_property_is_told_its_learned_values():
    spec = campaign(objectives={G: "maximize"})
    rows = np.array([ALLOY.fraction_vector(ELEMENTS)])
    known = [[KnownValue("single_phase_bcc", 1.0, "calphad", 1473.0)]]
    found = optimisation(spec, rows, known, 1, small_elastic_model())
    assert found is not None
    formula = found.objectives[0].formula
    assert formula is not None
    assert formula(rows) == pytest.approx(learned_values([ALLOY])[0])
    held = 45 <= learned_values([ALLOY])[0][0] <= 60
    assert len(found.hits) == int(held)


def test_the_dear_validator_gets_the_confirmed_candidates_of_an_iteration_best_first(store):
    spec = campaign(targets={G: {"min": 45, "max": 60}})
    pool = spec.design_space().sample_uniform(8, np.random.default_rng(6))
    owner = new_owner()
    with store.write() as session:
        row = register(session, spec)
        claim(session, row.id, owner, None)
        iteration = begin_iteration(session, row.id, owner).id
        save_model(session, iteration, owner, MODEL)
        new = [NewCandidate(c, "strategy", 0.5, {}) for c in pool]
        learned = elastic_points(small_elastic_model(), pool)
        ids = save_candidates(session, iteration, owner, new, review=False, learned=learned)
        request = JobRequest("calphad", "calphad", {}, "c" * 64, budget=9)
        dispatch(session, iteration, owner, request)
        waiting = next_validations(session, spec, iteration, validators(), small_elastic_model())
        assert waiting == {"calphad": [], "atomistic": []}
        jobs = open_jobs(session, iteration)
        claim_jobs(session, jobs, owner)
        finish_jobs(
            session,
            [FinishedJob(j, "converged", "x", (single(k),), "", {}) for k, j in enumerate(jobs)],
            owner,
        )
        asked = dict(session.execute(select(models.Job.id, models.Job.candidate_id)).tuples().all())
        sent = next_validations(session, spec, iteration, validators(), small_elastic_model())
    confirmed = [asked[j] for k, j in enumerate(jobs) if k % 2 == 0]
    chance = dict(
        zip(
            ids,
            surrogate(spec).probability(np.array([c.fraction_vector(ELEMENTS) for c in pool])),
            strict=True,
        )
    )
    best = sorted((i for i in confirmed if chance[i] > 0), key=lambda i: -chance[i])[:2]
    assert sent == {"calphad": [], "atomistic": best}


def single(number: int) -> dict[str, object]:
    """CALPHAD's answer: every other alloy is one phase."""
    return {
        "property": "single_phase_bcc",
        "value": float(number % 2 == 0),
        "temperature_K": 1473.0,
        "sigma": None,
        "detail": {},
    }


def validators() -> list[Fidelity]:
    return [
        Fidelity("calphad", 1.0, 100, ("single_phase_bcc",)),
        Fidelity("atomistic", 50.0, 2, (G,), after=("calphad",)),
    ]


def test_a_store_that_nobody_added_to_teaches_what_is_packaged(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        load_packaged_data(store)
        with store.read() as session:
            assert elastic_data(session).sha256 == packaged_elastic_data().sha256
    assert len(packaged_elastic_data().of("experiment").rows) > 10


def test_the_benchmark_holds_the_model_against_hits_that_the_linear_combination_judged():
    spec = campaign(elasticity="linear-combination", targets={G: {"min": 45, "max": 60}})
    pool = spec.design_space().sample_uniform(40, np.random.default_rng(8))
    judged = judge_hits(spec, small_elastic_model(), pool)
    mean, sigma = learned_values(pool)
    assert judged.inside_all == judged.inside[G] == np.mean((mean >= 45) & (mean <= 60))
    assert judged.median_sigma[G] == pytest.approx(np.median(sigma))
    assert 0 < judged.expected_linear[G] < 0.7  # an interval of 15 GPa, known to 16
    shares = random_shares(spec, small_elastic_model(), number=200, seed=0)
    assert shares.both <= min(shares.linear, shares.learned)

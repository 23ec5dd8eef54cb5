"""After CALPHAD: who goes to the dear validator, by what is sure, what is doubtful and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from hea_loop.acquisition import Fidelity
from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.next_validation import choose_next_validations
from hea_loop.prediction import predict_array
from hea_loop.scoring import KnownValue
from hea_loop.surrogate import fit_surrogate
from tests.elastic_models import ELEMENTS, small_elastic_model

G = "shear_modulus"
ROWS = np.random.default_rng(5).dirichlet(np.ones(4), 12)
ALLOYS = [Composition.from_fractions(ELEMENTS, row.tolist()) for row in ROWS]
DONE = np.ones(len(ALLOYS), dtype=bool)


def campaign(elasticity: str = "first-principles", **target: float) -> Campaign:
    return parse_campaign(
        {
            "name": "two-steps",
            "palette": {"elements": list(ELEMENTS), "number_of_elements": {"min": 2}},
            "targets": {
                G: target or {"min": 45, "max": 60},
                "solidus": {"min": 2000},
                "density": {"max": 99},
            },
            "verdicts": {"single_phase_bcc": {"temperatures_K": [1273, 1473]}},
            "validators": {"calphad": {"budget": 100}},
            "elasticity": elasticity,
        }
    )


def surrogate(spec: Campaign):
    learned = small_elastic_model() if spec.elasticity == "first-principles" else None
    return fit_surrogate(spec, ELEMENTS, np.empty((0, 4)), [], learned)


def both(calphad: int = 100, dft: int = 4, cost: float = 50.0) -> list[Fidelity]:
    return [
        Fidelity("calphad", 1.0, calphad, ("solidus", "single_phase_bcc")),
        Fidelity("dft", cost, dft, (G,), after=("calphad",)),
    ]


def known(*, solidus: float = 2300.0, single: float = 1.0, density: float = 8.0) -> list[KnownValue]:
    return [
        KnownValue("density", density, "prediction"),
        KnownValue("solidus", solidus, "calphad"),
        KnownValue("single_phase_bcc", 1.0, "calphad", 1273.0),
        KnownValue("single_phase_bcc", single, "calphad", 1473.0),
    ]


def sent_to_dft(spec: Campaign, values: list[list[KnownValue]], **more: object) -> list[int]:
    return choose_next_validations(
        spec, both(), surrogate(spec), ALLOYS, values, answered={"calphad": DONE}, **more
    )["dft"]


def chances(spec: Campaign) -> np.ndarray:
    x = np.array([c.fraction_vector(ELEMENTS) for c in ALLOYS])
    return surrogate(spec).probability(x) / surrogate(spec).verdict_probability(x)["single_phase_bcc"]


def test_of_those_that_calphad_confirmed_the_likeliest_go_within_the_budget():
    spec = campaign()
    sent = sent_to_dft(spec, [known()] * len(ALLOYS))
    x = np.array([c.fraction_vector(ELEMENTS) for c in ALLOYS])
    mean, sigma = small_elastic_model().predict(x, ELEMENTS, (G,))[G]
    from scipy.stats import norm

    chance = norm.cdf(60, mean, sigma) - norm.cdf(45, mean, sigma)
    assert sent == np.argsort(-chance, kind="stable")[:4].tolist()


def test_no_candidate_goes_on_that_misses_the_solidus_a_verdict_or_a_predicted_target():
    values = [known() for _ in ALLOYS]
    free = sent_to_dft(campaign(), values)
    best = free[0]
    for bad in (known(solidus=1900.0), known(single=0.0), known(density=120.0)):
        values[best] = bad
        again = sent_to_dft(campaign(), values)
        assert best not in again
        assert set(free[1:]) < set(again)


def test_a_formula_is_not_the_truth_that_a_validator_will_find():
    spec = campaign("linear-combination", min=45.0, max=60.0)
    x = np.array([c.fraction_vector(ELEMENTS) for c in ALLOYS])
    linear = predict_array(x, ELEMENTS, (G,))[G]
    sent = sent_to_dft(spec, [known()] * len(ALLOYS))
    # known to 16 GPa, the middle of the interval is likelier than its edge, and outside is not out of reach
    assert sent == np.argsort(np.abs(linear - 52.5), kind="stable")[:4].tolist()


def test_the_dear_validators_no_is_final_and_its_missing_answer_too():
    values = [known() for _ in ALLOYS]
    free = sent_to_dft(campaign(), values)
    values = [[*v, KnownValue(G, 50.0, "prediction")] for v in values]
    values[free[0]] = [*values[free[0]], KnownValue(G, 90.0, "dft")]
    dft = np.zeros(len(ALLOYS), dtype=bool)
    dft[free[:2]] = True  # the first said no, the second did not converge
    spec = campaign()
    again = choose_next_validations(
        spec, both(), surrogate(spec), ALLOYS, values, answered={"calphad": DONE, "dft": dft}
    )
    assert not set(free[:2]) & set(again["dft"])
    assert again["calphad"] == []


def test_who_is_at_work_is_not_sent_again_and_before_calphad_answers_it_is_calphads_turn():
    spec = campaign(min=20.0, max=140.0)
    busy = np.zeros(len(ALLOYS), dtype=bool)
    busy[3] = True
    open_ = [[KnownValue("density", 8.0, "prediction")] for _ in ALLOYS]
    sent = choose_next_validations(spec, both(), surrogate(spec), ALLOYS, open_, pending={"calphad": busy})
    assert sorted(sent["calphad"]) == [i for i in range(len(ALLOYS)) if i != 3]
    assert sent["dft"] == []


def test_no_candidates_is_an_answer_and_a_collection_too_few_is_refused():
    spec = campaign()
    assert choose_next_validations(spec, both(), surrogate(spec), [], []) == {"calphad": [], "dft": []}
    with pytest.raises(InputError, match="known"):
        choose_next_validations(spec, both(), surrogate(spec), ALLOYS, [])

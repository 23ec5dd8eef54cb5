from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hea_loop.acquisition import Fidelity, Interval, choose_fidelities
from hea_loop.acquisition.fidelities import pass_probabilities
from hea_loop.errors import InputError


def two(calphad: int = 10, dft: int = 3, dft_cost: float = 100) -> list[Fidelity]:
    return [
        Fidelity("calphad", 1, calphad, ("solidus",)),
        Fidelity("dft", dft_cost, dft, ("shear_modulus",)),
    ]


def test_the_cheap_question_comes_first():
    sent = choose_fidelities(two(), {"calphad": np.full(4, 0.6), "dft": np.full(4, 0.5)})
    assert sent["calphad"].tolist() == [0, 1, 2, 3]
    assert sent["dft"].tolist() == []


def test_nothing_goes_to_dft_once_calphad_has_said_no():
    passes = {"calphad": np.array([0.0, 1.0]), "dft": np.array([0.99, 0.2])}
    sent = choose_fidelities(two(), passes, answered={"calphad": np.array([True, True])})
    assert sent["dft"].tolist() == [1]
    assert sent["calphad"].tolist() == []


def test_of_those_that_calphad_confirmed_dft_gets_the_likeliest_within_its_budget():
    passes = {"calphad": np.ones(6), "dft": np.array([0.1, 0.9, 0.3, 0.8, 0.5, 0.7])}
    sent = choose_fidelities(two(dft=3), passes, answered={"calphad": np.ones(6, dtype=bool)})
    assert sent["dft"].tolist() == [1, 3, 5]


def test_a_dear_question_that_is_nearly_sure_to_end_it_comes_before_a_cheap_one_that_hardly_ever_does():
    fidelities = [Fidelity("calphad", 1, 5), Fidelity("dft", 3, 5)]
    passes = {"calphad": np.array([0.99]), "dft": np.array([0.05])}
    assert choose_fidelities(fidelities, passes)["dft"].tolist() == [0]
    waits = [fidelities[0], Fidelity("dft", 3, 5, after=("calphad",))]
    assert choose_fidelities(waits, passes)["calphad"].tolist() == [0]


def test_a_candidate_confirmed_by_all_or_still_at_work_is_sent_nowhere():
    passes = {"calphad": np.ones(3), "dft": np.array([1.0, 0.5, 0.5])}
    sent = choose_fidelities(
        two(),
        passes,
        answered={"calphad": np.ones(3, dtype=bool), "dft": np.array([True, False, False])},
        pending={"dft": np.array([False, True, False])},
    )
    assert sent["dft"].tolist() == [2]


def test_predicted_targets_that_are_missed_spend_no_budget():
    sent = choose_fidelities(
        two(), {"calphad": np.full(2, 0.5), "dft": np.full(2, 0.5)}, other=np.array([0.0, 1.0])
    )
    assert sent["calphad"].tolist() == [1]


@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 20), st.integers(0, 30))
def test_no_budget_is_ever_exceeded_and_nobody_is_sent_twice(seed, calphad, dft, number):
    rng = np.random.default_rng(seed)
    passes = {"calphad": rng.random(40), "dft": rng.random(40)}
    sent = choose_fidelities(two(calphad, dft, 2.0), passes, number=number)
    assert len(sent["calphad"]) <= calphad
    assert len(sent["dft"]) <= dft
    both = np.concatenate(list(sent.values()))
    assert len(both) == len(set(both.tolist())) <= number


def test_a_property_that_two_fidelities_answer_is_decided_by_the_higher():
    fidelities = [Fidelity("calphad", 1, 1, ("a", "b")), Fidelity("dft", 9, 1, ("b",))]
    predictions = {"a": (np.zeros(1), np.ones(1)), "b": (np.zeros(1), np.ones(1))}
    passes = pass_probabilities(predictions, [Interval("a", 0, None), Interval("b", -1, None)], fidelities)
    assert passes["calphad"] == pytest.approx([0.5])
    assert passes["dft"] == pytest.approx([0.8413447], abs=1e-6)


@pytest.mark.parametrize("wrong", [{"cost": 0}, {"cost": -1}, {"cost": float("nan")}, {"budget": -1}])
def test_a_cost_or_budget_below_zero_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Fidelity(**{"name": "dft", "cost": 1, "budget": 1, **wrong})


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"dft.*no probabilities"):
        choose_fidelities(two(), {"calphad": np.ones(2)})
    with pytest.raises(InputError, match="are not 2 probabilities"):
        choose_fidelities(two(), {"calphad": np.ones(2), "dft": np.array([0.5, 1.5])})
    with pytest.raises(InputError, match="aimd"):
        choose_fidelities(
            two(), {"calphad": np.ones(2), "dft": np.ones(2)}, answered={"aimd": np.ones(2, dtype=bool)}
        )
    circle = [Fidelity("a", 1, 1, after=("b",)), Fidelity("b", 1, 1, after=("a",))]
    with pytest.raises(InputError, match="wait for each other"):
        choose_fidelities(circle, {"a": np.full(1, 0.5), "b": np.full(1, 0.5)})

"""The probability of known alloys, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from hea_loop import parse_composition
from hea_loop.errors import InputError
from hea_loop.properties import PROPERTIES
from validators.calphad import CalphadDatabase, load_database, screen_compositions
from validators.calphad.observed import RIVALS, competition, load_model, observed_probability
from validators.outcome import OutcomeStatus


@pytest.fixture(scope="module")
def database() -> CalphadDatabase:
    return load_database()


def probability(formula: str, database: CalphadDatabase, **asked: str) -> float:
    found = observed_probability([parse_composition(formula)], database, **asked)[0].probability
    assert found is not None
    return found


def test_a_rival_is_stable_below_the_temperature_given_and_not_above(database: CalphadDatabase) -> None:
    alloy = parse_composition("HfNbTaTiZr")
    found = competition([alloy], database)
    for k, phases in enumerate((["BCC_A2"], ["HCP_A3"])):
        top = found.stable_up_to[0, k] * found.solidus_K[0]
        forces = screen_compositions([alloy], [top - 40.0, top + 40.0], database).driving_forces
        below, above = (max(forces[p][side] for p in phases) for side in (0, 1))
        assert below > 1.0 > above


def test_alloys_known_as_single_phase_are_more_probable_than_alloys_known_for_laves_phases(
    database: CalphadDatabase,
) -> None:
    single = [probability(f, database) for f in ("MoNbTaW", "HfNbTaTiZr", "NbTaTiV", "MoNbTi")]
    laves = [probability(f, database) for f in ("CrNbTiZr", "CrNbTiVZr", "CrMo0.5NbTa0.5TiZr")]
    assert min(single) > 0.6
    assert max(laves) < 0.35
    assert min(single) > max(laves) + 0.3


def test_what_speaks_against_a_laves_former_names_the_laves_phase_and_its_temperature(
    database: CalphadDatabase,
) -> None:
    found = observed_probability([parse_composition("CrNbTiVZr")], database)[0]
    (laves,) = [a for a in found.against if a.rival == "Laves"]
    assert laves.phase.startswith("LAVES_C1")
    assert laves.homologous is not None
    assert laves.homologous > 0.8
    assert found.solidus_K is not None
    assert laves.stable_up_to_K == pytest.approx(laves.homologous * found.solidus_K, rel=1e-3)


def test_what_the_rivals_alone_give_is_the_product_of_what_does_not_spoil_it(
    database: CalphadDatabase,
) -> None:
    found = observed_probability([parse_composition("MoNbTaTiZr")], database)[0]
    assert found.status is OutcomeStatus.CONVERGED
    assert found.probability is not None
    assert found.from_rivals == pytest.approx(np.prod([1 - a.probability for a in found.against]), abs=1e-5)
    # of this alloy nearly all reports are of two phases, which its rivals do not tell
    assert found.probability < found.from_rivals - 0.1
    assert {a.rival for a in found.against} == {*RIVALS, "anything else"}
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low < found.probability < found.high <= 1.0


def test_powder_is_less_often_single_phase_than_a_casting_of_the_same_alloy(
    database: CalphadDatabase,
) -> None:
    assert probability("MoNbTaW", database, processing="powder") < probability("MoNbTaW", database)


def test_an_answer_does_not_depend_on_the_alloys_beside_it(database: CalphadDatabase) -> None:
    alloys = [
        parse_composition(f) for f in ("MoNbTaTiZr", "HfNbTaTiZr", "NbTiZr", "Mo0.5NbTaTiZr", "CrNbTiZr")
    ]
    together = observed_probability(alloys, database)
    reversed_ = observed_probability(alloys[::-1], database)[::-1]
    alone = [observed_probability([a], database)[0] for a in alloys]
    assert together == reversed_ == alone


def test_no_alloy_is_no_answer(database: CalphadDatabase) -> None:
    assert observed_probability([], database) == []


def test_a_binary_is_marked_as_outside_what_was_learned_from(database: CalphadDatabase) -> None:
    binary, ternary = observed_probability([parse_composition("NbTi"), parse_composition("MoNbTi")], database)
    assert not binary.in_domain
    assert ternary.in_domain


def test_another_database_is_refused(database: CalphadDatabase) -> None:
    other = replace(database, content_hash="0" * 64, name="other")
    with pytest.raises(InputError, match="is not the one that the model of observed phases was trained with"):
        observed_probability([parse_composition("MoNbTaW")], other)


def test_an_element_outside_the_database_is_refused(database: CalphadDatabase) -> None:
    with pytest.raises(InputError, match="Re"):
        observed_probability([parse_composition("MoNbRe")], database)


def test_an_unknown_processing_is_refused_with_the_known_ones(database: CalphadDatabase) -> None:
    with pytest.raises(InputError, match="as cast, heat treated"):
        observed_probability([parse_composition("MoNbTaW")], database, processing="forged")


def test_the_probability_is_a_property_of_the_vocabulary() -> None:
    assert PROPERTIES["single_phase_bcc_probability"].unit == "1"


def test_the_model_says_what_it_was_trained_on() -> None:
    trained = load_model().trained_on
    assert {"database", "database_sha256", "literature_sha256", "observations", "systems", "versions"} <= set(
        trained
    )

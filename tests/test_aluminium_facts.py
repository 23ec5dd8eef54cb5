"""Al in the packaged database: nothing changes without it, nothing is undefined, and what is known comes out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hea_loop import Composition, parse_composition
from validators.calphad import load_database, phases_at, screen_verdicts, solidus
from validators.calphad.build import build_tdb
from validators.calphad.screening import melting_range
from validators.calphad.tables import load_tables
from validators.outcome import OutcomeStatus

NINE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
SOLUTIONS = {"LIQUID", "BCC_A2", "HCP_A3", "LAVES_C14", "LAVES_C15", "LAVES_C36"}


def names_at(text: str, temperature_K: float) -> set[str]:
    found = phases_at(parse_composition(text), temperature_K, load_database())
    assert found.status is OutcomeStatus.CONVERGED, found.message
    return {p.name for p in found.phases}


def test_a_compound_of_al_is_absent_without_al():
    for phase in load_tables().phases:
        alone = ("AL",) in phase.constituents or phase.name == "FCC_A1"
        assert alone != (phase.name in SOLUTIONS), phase.name


@pytest.mark.parametrize(("text", "temperature"), [("CrNbTiVZr", 1273.0), ("HfNbTaTiZr", 873.0)])
def test_an_alloy_without_al_has_the_same_energy_whether_or_not_al_is_in_the_tables(
    text, temperature, tmp_path
):
    path = tmp_path / "nine.tdb"
    path.write_text(build_tdb(NINE), encoding="utf-8")
    alloy, nine = parse_composition(text), load_database(path)
    assert set(nine.phases) == SOLUTIONS
    with_al, without = phases_at(alloy, temperature, load_database()), phases_at(alloy, temperature, nine)
    assert with_al.gibbs_energy == without.gibbs_energy
    assert with_al.phases == without.phases


def test_no_end_member_of_any_phase_is_undefined():
    tables = load_tables()
    described = {(p.phase, p.constituents) for p in tables.parameters if p.kind == "G" and p.order == 0}
    for phase in tables.phases:
        for corner in itertools.product(*phase.constituents):
            assert (phase.name, tuple((c,) for c in corner)) in described, (phase.name, corner)


def test_every_metal_has_an_interaction_with_al_in_liquid_bcc_and_hcp():
    described = {(p.phase, p.elements) for p in load_tables().parameters if len(p.elements) == 2}
    for element, phase in itertools.product(NINE, ("LIQUID", "BCC_A2", "HCP_A3")):
        assert (phase, frozenset({"AL", element.upper()})) in described


def test_aluminium_melts_where_it_does():
    found = solidus(parse_composition("Al"), load_database(), tolerance_K=0.5)
    assert found.temperature_K == pytest.approx(933.47, abs=1.0)
    assert names_at("Al", 900.0) == {"FCC_A1"}


def test_a_pure_element_that_is_never_bcc_melts_at_one_temperature_in_screening_too():
    found = melting_range(np.ones((1, 1)), ("Al",), load_database(), tolerance_K=0.5)
    assert found.solidus_K == pytest.approx(933.47, abs=0.5)
    assert found.liquidus_K == pytest.approx(933.47, abs=0.5)
    assert found.solidus_settled.all()


def test_titanium_aluminide_does_not_stand_in_for_fcc_al():
    assert names_at("Al99Nb1", 700.0) == {"FCC_A1", "AL3M_D022"}
    for other in ("Nb1", "Ti1", "V1", "Mo1", "Ta1", "Cr1", "W1", "Nb1Ti1", "Ti5V5", "Nb5Ta5Ti5"):
        for temperature in (500.0, 900.0):
            found = names_at(f"Al90{other}", temperature)
            assert "FCC_A1" in found, (other, temperature)
            assert "ALTI" not in found, (other, temperature)


@pytest.mark.parametrize(
    ("text", "temperature", "phases"),
    [
        ("Al22Nb78", 2300.0, {"A15"}),  # Nb3Al melts by a peritectic at 2333 K
        ("Al32Nb68", 2200.0, {"SIGMA"}),
        ("Al22Nb78", 2360.0, {"BCC_A2", "LIQUID"}),
        ("Al30Ti70", 1300.0, {"ALM_D019"}),  # Ti3Al orders from hcp below 1453 K
        ("Al30Ti70", 1490.0, {"HCP_A3"}),
        ("Al45Ti55", 1300.0, {"ALM_D019", "ALTI"}),
        ("Al40V60", 1500.0, {"BCC_A2"}),
        ("Al38Zr62", 1500.0, {"AL2M3", "AL3ZR5"}),
    ],
)
def test_binaries_have_the_phases_that_their_diagrams_have(text, temperature, phases):
    assert names_at(text, temperature) == phases


def test_al_turns_the_laves_phase_of_zr_and_v_from_c15_into_c14():
    assert "LAVES_C15" in names_at("V66Zr34", 1073.0)
    assert "LAVES_C14" in names_at("Al20V46Zr34", 1073.0)


def test_both_tiers_agree_on_random_alloys_with_al():
    database, rng = load_database(), np.random.default_rng(8)
    for elements in (("Al", "Cr", "Nb", "Ti"), ("Al", "Hf", "Nb", "Zr")):
        for fractions in rng.dirichlet((0.6, 1.0, 1.0, 1.0), 4):
            alloy = Composition.from_amounts(dict(zip(elements, fractions, strict=True)))
            temperature = float(rng.uniform(1073.0, 1673.0))
            (screened,) = screen_verdicts([alloy], [temperature], database)
            found = phases_at(alloy, temperature, database)
            assert found.status is OutcomeStatus.CONVERGED
            assert screened.single_phase_bcc == found.single_phase_bcc, (alloy, temperature)

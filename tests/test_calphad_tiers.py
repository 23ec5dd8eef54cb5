"""Both tiers give one kind of answer, the confirming one sees what screening saw, and windows end where they say."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hea_loop import Composition, parse_composition
from hea_loop.errors import InputError
from validators.calphad import (
    CalphadSettings,
    SinglePhaseWindow,
    confirm,
    confirm_at,
    liquidus,
    load_database,
    melting_range,
    nearest_window,
    phases_at,
    screen,
    screen_verdicts,
    single_phase_windows,
    solidus,
    validate,
)
from validators.calphad.build import build_tdb
from validators.calphad.equilibrium import PhaseEquilibrium
from validators.calphad.screening import bcc_solidus
from validators.calphad.screening.phase import GAS_CONSTANT
from validators.calphad.solidus import _Search
from validators.outcome import OutcomeStatus


def windows_of(formula: str, database=None, **options) -> tuple[SinglePhaseWindow, ...]:
    alloy = parse_composition(formula)
    fractions = np.array([alloy.fraction_vector(alloy.elements)])
    return single_phase_windows(fractions, alloy.elements, database or load_database(), **options)[0]


@pytest.mark.parametrize(
    "formula", ["Mo15.9Nb15.2Ta20Ti42.8Zr6.1", "Mo9Nb36.9Ta17.4Ti23.3Zr13.4", "Cr12.2Mo4Ti42W41.8"]
)
def test_the_validator_finds_the_second_phase_just_below_the_window_and_none_above(formula):
    # pycalphad's own samplings say one phase at both
    alloy = parse_composition(formula)
    window = windows_of(formula)[-1]
    cold, warm = window.lower_K - 8.0, window.lower_K + 3.0
    asked = CalphadSettings(temperatures_K=(cold, warm), properties=("single_phase_bcc",))
    values = validate(alloy, asked).values
    assert [v.value for v in values] == [0.0, 1.0]
    assert values[0].detail["energy_gain_J_per_mol"] > 0.0
    assert values[0].detail["competing_phase"] == window.lower_phase
    for value in values:
        found = value.detail["single_phase_window"]
        assert found | {"lower_K": window.lower_K} == window.detail()
        assert found["lower_K"] == pytest.approx(window.lower_K, abs=1.0)  # it is searched to 1 K
    assert values[1].detail["competing_fraction"] == 0.0
    assert values[1].detail["driving_force_J_per_mol"] < 0.0
    json.dumps([v.detail for v in values], allow_nan=False)


def test_both_tiers_say_the_same_of_one_alloy_but_for_what_only_one_computes():
    database, alloy = load_database(), parse_composition("CrNbTiZr")
    confirmed = confirm_at(alloy, (1273.0, 1473.0), database)
    screened = screen_verdicts([alloy], (1273.0, 1473.0), database)
    for found, fast in zip(confirmed, screened, strict=True):
        assert found.detail().keys() == fast.detail().keys()
        assert found.competing_phase == fast.competing_phase
        assert found.driving_force == fast.driving_force == fast.driving_forces[fast.competing_phase]
        assert found.window == fast.window
        assert 0.0 < found.competing_fraction < 1.0
        assert fast.competing_fraction is None
        assert 0.0 < found.energy_gain < found.driving_force


def test_a_database_that_cannot_be_screened_is_validated_from_the_samplings_alone_and_says_so(tmp_path):
    path = tmp_path / "einstein.tdb"
    theta = "".join(f" PARAMETER THETA(LIQUID,{e};0) 298.15 8; 6000 N !\n" for e in ("MO", "NB"))
    path.write_text(build_tdb(["Mo", "Nb"]).replace(" LIST_OF_REF", theta + " LIST_OF_REF"))
    asked = CalphadSettings(database=str(path), temperatures_K=(1500.0,))
    outcome = validate(parse_composition("MoNb"), asked)
    assert outcome.status is OutcomeStatus.CONVERGED
    verdict, onset = outcome.values
    assert verdict.value == 1.0
    assert "samplings alone" in verdict.detail["remark"]
    assert "LIQUID has a parameter of the type THETA" in verdict.detail["remark"]
    assert verdict.detail["single_phase_window"] is None
    assert 2500.0 < onset.value < 3500.0


def test_elements_are_bcc_between_transformation_and_melting():
    (titanium,) = windows_of("Ti")
    assert titanium == SinglePhaseWindow(1155.0, 1941.0, "HCP_A3", "LIQUID")
    (molybdenum,) = windows_of("Mo")
    assert molybdenum.lower_K is None
    assert molybdenum.upper_K == pytest.approx(2896.0, abs=1.0)
    assert windows_of("CrNbTiZr") == ()


def test_the_window_of_a_regular_solution_begins_at_the_binodal(tmp_path):
    path = tmp_path / "regular.tdb"
    path.write_text(
        "TYPE_DEFINITION % SEQ * !\n"
        "ELEMENT VA VACUUM 0 0 0 !\nELEMENT NB BCC_A2 92.9 0 0 !\nELEMENT ZR BCC_A2 91.2 0 0 !\n"
        "PHASE BCC_A2 % 2 1 3 !\nCONSTITUENT BCC_A2 : NB,ZR : VA : !\n"
        "PARAMETER G(BCC_A2,NB:VA;0) 298.15 0; 6000 N !\nPARAMETER G(BCC_A2,ZR:VA;0) 298.15 0; 6000 N !\n"
        "PARAMETER L(BCC_A2,NB,ZR:VA;0) 298.15 25000; 6000 N !\n"
    )
    database = load_database(path)
    for x in (0.05, 0.2):
        T = 25000 * (2 * x - 1) / (GAS_CONSTANT * np.log(x / (1 - x)))
        (window,) = single_phase_windows(np.array([[x, 1 - x]]), ("Nb", "Zr"), database)[0]
        assert window.lower_K == pytest.approx(T, abs=1.0)
        assert window.lower_phase == "BCC_A2"
        assert (window.upper_K, window.upper_phase) == (None, "")


def test_a_window_ends_at_the_solidus_also_where_that_is_a_temperature_of_the_grid():
    assert windows_of("Nb") == windows_of("Nb", temperatures_K=[3000.0])
    (niobium,) = windows_of("Nb")  # whose solidus lies on the grid of 50 K
    assert niobium == SinglePhaseWindow(None, pytest.approx(2750.0, abs=1.0), "", "LIQUID")
    for formula in ("W", "MoNbTaW", "HfNbTaTiZr", "NbTiV", "MoNbTa"):
        alloy, (window, *_) = parse_composition(formula), windows_of(formula)[::-1]
        x = np.array([alloy.fraction_vector(alloy.elements)])
        melts = float(bcc_solidus(x, alloy.elements, load_database())[0])
        assert window.upper_K == pytest.approx(melts, abs=1.5)
        for asked in (melts, window.upper_K, melts - 0.3, melts + 0.3):
            again = windows_of(formula, temperatures_K=[asked])[-1]
            assert again.upper_phase == "LIQUID"
            assert again.upper_K == pytest.approx(window.upper_K, abs=1.0)


def test_an_element_melts_from_its_most_stable_solid():
    # the SGTE melting point of Al, whose solid is fcc: 933.47 K (Dinsdale, Calphad 15 (1991) 317)
    melting = melting_range(np.eye(3)[:2], ("Al", "Ti", "W"), load_database())
    assert melting.solidus_K == pytest.approx([933.47, 1941.0], abs=1.0)
    assert melting.liquidus_K == pytest.approx([933.47, 1941.0], abs=1.0)
    assert melting.solidus_settled.all()


def test_a_database_without_a_liquid_is_named_where_a_window_is_open_above(tmp_path):
    path = tmp_path / "solid.tdb"
    path.write_text(
        "TYPE_DEFINITION % SEQ * !\n"
        "ELEMENT VA VACUUM 0 0 0 !\nELEMENT NB BCC_A2 92.9 0 0 !\nELEMENT ZR BCC_A2 91.2 0 0 !\n"
        "PHASE BCC_A2 % 2 1 3 !\nCONSTITUENT BCC_A2 : NB,ZR : VA : !\n"
        "PARAMETER G(BCC_A2,NB:VA;0) 298.15 0; 6000 N !\nPARAMETER G(BCC_A2,ZR:VA;0) 298.15 0; 6000 N !\n"
        "PARAMETER L(BCC_A2,NB,ZR:VA;0) 298.15 25000; 6000 N !\n"
    )
    alloy, database = parse_composition("NbZr"), load_database(path)
    for verdict in (screen_verdicts([alloy], [1800.0], database)[0], confirm(alloy, 1800.0, database)):
        assert verdict.window.upper_K is None
        assert verdict.remark == "no liquid in this database"
    assert screen_verdicts([alloy], [1800.0], load_database())[0].remark == ""


def test_a_window_that_was_not_computed_is_not_one_that_does_not_exist():
    cost507 = load_database(Path(str(files("pycalphad") / "tests" / "databases" / "COST507.tdb")))
    found = confirm(parse_composition("TiV"), 1273.0, cost507)
    assert found.single_phase_bcc is True
    assert (found.window, found.window_computed) == (None, False)
    assert "BCC_A2 is the disordered part of BCC_B2 (order-disorder model)" in found.remark
    never = screen_verdicts([parse_composition("CrNbTiZr")], [1273.0], load_database())[0]
    assert (never.window, never.window_computed) == (None, True)


def test_what_screening_has_proved_is_said_where_pycalphad_does_not_converge():
    found = confirm(parse_composition("Al75Nb25"), 1273.0, load_database())
    assert found.status is OutcomeStatus.UNCONVERGED
    assert found.single_phase_bcc is None
    assert found.message.endswith("screening: not single BCC, AL3M_D022 +11970 J/mol")


def test_a_window_does_not_depend_on_the_other_alloys_and_screening_agrees_with_it():
    database = load_database()
    rng = np.random.default_rng(6)
    elements = ("Hf", "Mo", "Nb", "Ta", "Ti", "V")
    x = rng.dirichlet(np.ones(6), 12)
    x[::3, 0] = 0.0
    x /= x.sum(axis=1, keepdims=True)
    together = single_phase_windows(x, elements, database)
    alone = [single_phase_windows(x[[k]], elements, database)[0] for k in range(12)]
    assert together == alone
    assert sum(len(windows) for windows in together) >= 6
    for k, windows in enumerate(together):
        for T in np.arange(320.0, 3600.0, 53.0):
            if all(abs(T - (end or 0.0)) > 2.0 for w in windows for end in (w.lower_K, w.upper_K)):
                inside = any(w.distance(T) == 0.0 for w in windows)
                assert inside == bool(screen(x[[k]], elements, T, database).single_phase_bcc[0])


def test_the_nearest_window_is_the_one_that_holds_the_temperature():
    low, high = SinglePhaseWindow(None, 700.0, "", "LAVES_C15"), SinglePhaseWindow(1200.0, None, "BCC_A2", "")
    assert nearest_window([low, high], 500.0) is low
    assert nearest_window([low, high], 900.0) is low
    assert nearest_window([low, high], 1000.0) is high
    assert nearest_window([low, high], 5000.0) is high
    assert nearest_window([], 500.0) is None


@pytest.mark.parametrize("guess", [400.0, 1900.0, 2147.0, 2600.0, 5500.0])
def test_the_solidus_does_not_depend_on_where_the_search_begins(guess):
    alloy, database = parse_composition("HfNbTaTiZr"), load_database()
    search = _Search(alloy, database, 1.0, PhaseEquilibrium.has_liquid, "solidus")
    assert search.run(guess, 16.0) == solidus(alloy, database).temperature_K


def test_nothing_but_liquid_is_left_at_the_liquidus():
    alloy, database = parse_composition("CrNbTiZr"), load_database()
    found = liquidus(alloy, database)
    assert found.status is OutcomeStatus.CONVERGED
    assert found.temperature_K > solidus(alloy, database).temperature_K + 50.0
    assert phases_at(alloy, found.temperature_K + 0.5, database).is_liquid()
    assert not phases_at(alloy, found.temperature_K - 0.5, database).is_liquid()
    asked = CalphadSettings(temperatures_K=(), properties=("liquidus",))
    assert [(v.property, v.value) for v in validate(alloy, asked).values] == [
        ("liquidus", found.temperature_K)
    ]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(700.0, 1900.0))
def test_pycalphad_finds_no_less_energy_where_screening_finds_bcc_alone(seed, count, temperature):
    database = load_database()
    rng = np.random.default_rng(seed)
    elements = sorted(str(e) for e in rng.choice(database.elements, count, replace=False))
    alloy = Composition.from_amounts(dict(zip(elements, rng.dirichlet(np.ones(count)), strict=True)))
    x = np.array([alloy.fraction_vector(alloy.elements)])
    fast = screen(x, alloy.elements, temperature, database)
    found = phases_at(alloy, temperature, database, keep_grid=False)
    if bool(fast.single_phase_bcc[0]) and found.status is OutcomeStatus.CONVERGED:
        assert found.gibbs_energy > float(fast.energy[0]) - 1e-2
    elif found.status is OutcomeStatus.CONVERGED:
        # what screening finds below the plane of bcc, the confirming tier finds too
        assert confirm(alloy, temperature, database).single_phase_bcc is False


@pytest.mark.parametrize("temperature", [298.0, 6000.5, math.nan, -1.0])
def test_a_temperature_out_of_range_is_one_clear_error_in_both_tiers(temperature):
    alloy, database = parse_composition("MoNb"), load_database()
    for ask in (
        lambda: confirm(alloy, temperature, database),
        lambda: screen_verdicts([alloy], [temperature], database),
        lambda: single_phase_windows(
            np.array([[0.5, 0.5]]), ("Mo", "Nb"), database, temperatures_K=[temperature]
        ),
    ):
        with pytest.raises(InputError, match="temperature"):
            ask()


def test_a_composition_outside_the_elements_is_one_clear_error_in_both_tiers():
    alloy, database = parse_composition("NbRe"), load_database()
    for ask in (
        lambda: confirm(alloy, 1273.0, database),
        lambda: screen_verdicts([alloy], [1273.0], database),
        lambda: solidus(alloy, database),
        lambda: liquidus(alloy, database),
    ):
        with pytest.raises(InputError, match="Re"):
            ask()

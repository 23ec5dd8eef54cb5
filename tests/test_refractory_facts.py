"""What is known of the nine refractory metals and their alloys, asked of the packaged database.

Melting points and the transitions of the pure elements are in ``test_calphad_database``.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hea_loop import parse_composition
from validators.calphad import confirm, load_database, phases_at, solidus
from validators.calphad.screening import starting_points
from validators.calphad.tables import load_tables
from validators.outcome import OutcomeStatus

NINE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
LAVES_ALLOYS = ("CrNbTiZr", "CrNbTiVZr", "CrTaTiVZr", "CrMoTaTi", "CrMo0.5NbTa0.5TiZr")


def names(formula: str, temperature: float) -> list[str]:
    found = phases_at(parse_composition(formula), temperature, load_database())
    assert found.status is OutcomeStatus.CONVERGED, found.message
    return sorted(p.name for p in found.phases)


@pytest.mark.parametrize("temperature", [873.0, 1073.0, 1273.0, 1473.0, 1673.0])
def test_monbtaw_is_one_bcc_phase_over_the_whole_range_of_use(temperature: float) -> None:
    assert names("MoNbTaW", temperature) == ["BCC_A2"]


def test_hfnbtatizr_is_one_bcc_phase_at_1473_kelvin_and_screening_finds_nothing_below_it() -> None:
    # Senkov et al. 2011, 10.1016/j.jallcom.2011.02.171: one bcc phase after 24 h at 1473 K
    alloy, database = parse_composition("HfNbTaTiZr"), load_database()
    assert starting_points(alloy, 1473.0, database) == ()
    assert confirm(alloy, 1473.0, database).single_phase_bcc
    assert phases_at(alloy, 1473.0, database).single_phase_bcc


def test_hfnbtatizr_decomposes_below() -> None:
    assert names("HfNbTaTiZr", 1073.0) == ["BCC_A2", "BCC_A2"]
    assert names("HfNbTaTiZr", 873.0) == ["BCC_A2", "HCP_A3"]


@pytest.mark.parametrize("formula", LAVES_ALLOYS)
def test_alloys_with_chromium_and_large_atoms_have_a_laves_phase_at_1273_kelvin(formula: str) -> None:
    assert any(name.startswith("LAVES") for name in names(formula, 1273.0))


@pytest.mark.parametrize("formula", ["TiVZr", "NbTiVZr"])
def test_no_miscibility_gap_opens_when_an_alloy_with_v_and_zr_is_heated(formula: str) -> None:
    single = [names(formula, t) == ["BCC_A2"] for t in (973.0, 1173.0, 1273.0, 1373.0, 1473.0)]
    assert single == sorted(single)  # once one phase, always one phase until it melts
    assert single[-1]


@pytest.mark.parametrize("formula", ["NbTaTi", "Nb2Ta2Ti", "MoTaTi"])
def test_a_ternary_without_compounds_does_not_melt_above_the_mean_of_its_elements(formula: str) -> None:
    # a ternary interaction once raised the solidus of Nb2Ta2Ti to 195 K above that mean
    melting = {"Mo": 2896.0, "Nb": 2750.0, "Ta": 3290.0, "Ti": 1941.0}
    alloy = parse_composition(formula)
    mean = sum(melting[e] * x for e, x in alloy.fractions.items())
    assert solidus(alloy, load_database()).temperature_K < mean


def laves_energies(pair: tuple[str, str], temperature: float) -> dict[str, float]:
    """J per formula unit of the three Laves phases of one binary, without what they share."""
    from pycalphad import calculate

    small, large = pair
    symbols = [small.upper(), large.upper()]
    phases = ["LAVES_C14", "LAVES_C15", "LAVES_C36"]
    return {
        phase: 3.0
        * float(
            calculate(
                load_database().parsed, [*symbols, "VA"], [phase], T=temperature, P=101325, N=1,
                points=np.array([[1.0, 1.0]]), to_xarray=False,
            ).GM.item()
        )
        for phase in phases
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pair", "sequence"),
    [
        (("Cr", "Hf"), {1273.0: "LAVES_C15", 1973.0: "LAVES_C14"}),
        (("Cr", "Nb"), {1273.0: "LAVES_C15", 1973.0: "LAVES_C15"}),
        (("Cr", "Ta"), {1273.0: "LAVES_C15", 2173.0: "LAVES_C14"}),
        (("Cr", "Ti"), {973.0: "LAVES_C15", 1273.0: "LAVES_C36", 1623.0: "LAVES_C14"}),
        (("Cr", "Zr"), {1273.0: "LAVES_C15", 1880.0: "LAVES_C36", 1930.0: "LAVES_C14"}),
        (("V", "Ta"), {1073.0: "LAVES_C15", 1473.0: "LAVES_C14"}),
        (("V", "Hf"), {1273.0: "LAVES_C15"}),
        (("V", "Zr"), {1273.0: "LAVES_C15"}),
        (("Mo", "Zr"), {1273.0: "LAVES_C15", 2073.0: "LAVES_C15"}),
        (("Mo", "Hf"), {1273.0: "LAVES_C15", 2373.0: "LAVES_C36"}),
        (("W", "Zr"), {1273.0: "LAVES_C15", 2273.0: "LAVES_C15"}),
        (("W", "Hf"), {1273.0: "LAVES_C15", 2273.0: "LAVES_C15"}),
    ],
)
def test_laves_polymorphs_follow_each_other_as_reported(
    pair: tuple[str, str], sequence: dict[float, str]
) -> None:
    for temperature, stable in sequence.items():
        energies = laves_energies(pair, temperature)
        assert min(energies, key=lambda phase: energies[phase]) == stable, (temperature, energies)


@pytest.mark.parametrize(
    "formula", ["Nb2V", "NbV2", "Mo2Nb", "Mo2Ta", "Mo2Ti", "W2Nb", "W2Ta", "W2Ti", "V2Ti"]
)
def test_binaries_without_a_laves_phase_have_none(formula: str) -> None:
    assert not any(name.startswith("LAVES") for name in names(formula, 1073.0))


def test_the_bcc_interaction_of_v_and_zr_does_not_grow_with_temperature() -> None:
    rows = [p for p in load_tables().parameters if p.phase == "BCC_A2" and p.elements == {"V", "ZR"}]
    assert rows
    assert all("T" not in p.expression for p in rows)


def test_assessed_ternaries_are_those_with_three_elements_on_one_sublattice() -> None:
    assessed = {
        tuple(sorted(sublattice))
        for p in load_tables().parameters
        if p.elements <= {e.upper() for e in NINE}
        for sublattice in p.constituents
        if len(sublattice) == 3
    }
    assert assessed == {("CR", "TI", "V"), ("TA", "W", "ZR")}
    assert len(list(itertools.combinations(NINE, 3))) == 84  # the other 82 are extrapolated

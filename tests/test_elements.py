"""The pure-element table and the pairs: complete, sourced, and read by one rule."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from hea_loop.elements import (
    element_value,
    element_values,
    element_vector,
    mixing_enthalpy_matrix,
    own_structures,
)
from hea_loop.errors import InputError
from hea_loop.properties import PROPERTIES

PALETTE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")


def test_every_number_has_its_source_doi_and_unit():
    assert len(element_values()) > 1000
    for row in element_values():
        assert math.isfinite(row.value)
        assert row.source
        assert row.doi.startswith("10.")
        assert row.unit


def test_no_element_structure_quantity_and_source_stands_twice():
    keys = Counter((r.element, r.structure, r.quantity, r.source, r.note) for r in element_values())
    assert max(keys.values()) == 1


def test_quantities_of_the_vocabulary_are_in_its_canonical_unit():
    for row in element_values():
        if row.quantity in PROPERTIES and row.quantity != "price":
            assert row.unit == PROPERTIES[row.quantity].unit, row


def test_unphysical_stacking_fault_energy_of_ruthenium_is_not_carried():
    energies = [r.value for r in element_values() if r.quantity == "unstable_stacking_fault_energy"]
    assert min(energies) > 0
    with pytest.raises(InputError, match="no value in the element table"):
        element_value("Ru", "unstable_stacking_fault_energy", source="Hu2021")


@pytest.mark.parametrize(
    ("symbol", "structure"),
    [("W", "bcc"), ("Ti", "hcp"), ("Hf", "hcp"), ("Al", "fcc"), ("Ni", "fcc"), ("Si", "hcp")],
)
def test_structure_is_bcc_where_known_and_else_the_elements_own(symbol, structure):
    assert element_value(symbol, "shear_modulus").structure == structure


def test_named_structure_and_source_are_obeyed():
    assert element_value("Ti", "shear_modulus", structure="fcc").structure == "fcc"
    assert element_value("Ti", "unstable_stacking_fault_energy").value == pytest.approx(0.206, abs=1e-3)
    bcc = element_value("Ti", "unstable_stacking_fault_energy", source="Hu2021")
    assert (bcc.structure, bcc.value) == ("bcc", pytest.approx(0.2302))
    assert element_value("Ti", "unstable_stacking_fault_energy", source="PSU-PureElements").value == 0.41


@pytest.mark.parametrize(
    ("symbol", "quantity", "low", "high"),
    [
        ("W", "melting_temperature", 3687, 3696),
        ("Cr", "melting_temperature", 2130, 2190),
        ("Ti", "melting_temperature", 1940, 1944),
        ("W", "density", 19.25, 19.3),
        ("Ti", "density", 4.50, 4.52),
        ("Nb", "metallic_radius", 142.5, 143.5),
        ("Zr", "metallic_radius", 159, 161),
        ("Mo", "shear_modulus", 110, 130),
    ],
)
def test_values_agree_with_handbooks(symbol, quantity, low, high):
    assert low <= element_value(symbol, quantity).value <= high


def test_radii_of_bcc_metals_are_half_the_neighbour_distance_of_their_lattice():
    # lattice parameters at room temperature in pm: W 316.5, Ta 330.3, Nb 330.0, V 302.4, Cr 288.5, Mo 314.7
    lattice = {"W": 316.5, "Ta": 330.3, "Nb": 330.0, "V": 302.4, "Cr": 288.5, "Mo": 314.7}
    for symbol, a in lattice.items():
        assert element_value(symbol, "metallic_radius").value == pytest.approx(
            a * math.sqrt(3) / 4, rel=0.006
        )


def test_valence_electrons_count_as_the_field_counts_them():
    counts = element_vector(("Al", "Si", "Ti", "Nb", "W", "Re", "Ru", "Co", "Ni", "Cu"), "valence_electrons")
    assert counts.tolist() == [3, 4, 4, 5, 6, 7, 8, 9, 10, 11]


def test_vector_is_nan_where_nothing_is_known():
    vector = element_vector(("Nb", "O", "W"), "density")
    assert np.isnan(vector).tolist() == [False, True, False]


def test_everything_needed_for_the_palette_and_its_neighbours_is_known():
    symbols = (*PALETTE, "Al", "Re", "Ru", "Si")
    for quantity in ("shear_modulus", "poisson_ratio", "unstable_stacking_fault_energy", "density",
                     "metallic_radius", "valence_electrons", "melting_temperature"):  # fmt: skip
        assert np.isfinite(element_vector(symbols, quantity)).all(), quantity
    assert np.isfinite(mixing_enthalpy_matrix(symbols)).all()


@pytest.mark.parametrize(
    ("pair", "enthalpy"),
    [
        ("Al-Ti", -30), ("Hf-Nb", 4), ("Nb-Ti", 2), ("Al-Zr", -44), ("Cr-Zr", -12), ("Mo-Ti", -4),
        ("Nb-W", -8), ("Ta-W", -7), ("Hf-Mo", -4), ("W-Zr", -9), ("Fe-Ni", -2), ("Al-Co", -19),
    ],
)  # fmt: skip
def test_pairs_have_the_published_enthalpies(pair, enthalpy):
    matrix = mixing_enthalpy_matrix(pair.split("-"))
    assert matrix.tolist() == [[0, enthalpy], [enthalpy, 0]]


def test_pairs_without_data_are_nan():
    assert np.isnan(mixing_enthalpy_matrix(("Nb", "O"))[0, 1])


def test_every_element_with_data_has_an_own_structure():
    for symbol in {row.element for row in element_values()}:
        assert own_structures(symbol), symbol


def test_all_pairs_of_the_listed_metals_are_there():
    metals = sorted({r.element for r in element_values() if r.quantity == "metallic_radius"})
    matrix = mixing_enthalpy_matrix(metals)
    lacking = [
        f"{metals[i]}-{metals[j]}" for i, j in combinations(range(len(metals)), 2) if np.isnan(matrix[i, j])
    ]
    assert lacking == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("Xx", "density"), "not a chemical element"),
        (("Nb", "colour"), "not in the element table"),
        (("O", "density"), "no value"),
        (("Nb", "shear_modulus", "fcc"), "structure fcc"),
        (("Nb", "density", None, "nobody"), "source nobody"),
    ],
)
def test_number_that_is_not_there_is_an_error(arguments, problem):
    with pytest.raises(InputError, match=problem):
        element_value(*arguments)

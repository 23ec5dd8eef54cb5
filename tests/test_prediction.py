"""Predictions against cases computed by hand and against measurements."""

import csv
import math
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hea_loop import InputError, parse_composition
from hea_loop.elements import element_values
from hea_loop.palette import Palette
from hea_loop.prediction import (
    METHODS,
    PREDICTED_PROPERTIES,
    PredictedValue,
    missing_inputs,
    predict,
    predict_array,
    rice_toughness,
    sigma_array,
)
from hea_loop.properties import PROPERTIES

PALETTE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")


def predicted(formula, name):
    (value,) = predict([parse_composition(formula)], [name])
    return value.value


def sigma(formula, name):
    (value,) = predict([parse_composition(formula)], [name])
    return value.sigma


def test_rice_toughness_of_given_inputs_in_its_unit():
    # sqrt(2 * 50e9 Pa * 0.7 J/m2 / (1 - 0.3)) = sqrt(1e11) Pa m^0.5 = 0.316228 MPa m^0.5
    values = rice_toughness(np.array([50.0]), np.array([0.7]), np.array([0.3]))
    assert values[0] == pytest.approx(0.31622776601683794, rel=1e-14)


def test_tungsten_alone_has_its_own_values():
    assert predicted("W", "shear_modulus") == pytest.approx(146.6, abs=0.01)
    # sqrt(2 * 146.600005 * 1.562 / (1 - 0.2941)) = 25.4711 sqrt(GPa J/m2); times 0.0316228
    assert predicted("W", "fracture_toughness_rice") == pytest.approx(0.80547, abs=1e-4)
    assert predicted("W", "density") == pytest.approx(19.25, rel=1e-12)
    assert predicted("W", "mixing_entropy") == 0
    assert predicted("W", "mixing_enthalpy") == 0
    assert predicted("W", "size_mismatch") == 0
    assert predicted("W", "valence_electron_concentration") == 6


def test_toughness_averages_first_and_applies_rice_afterwards():
    # NbW: G (25.010014 + 146.600005)/2 = 85.80501, E (0.485 + 1.562)/2 = 1.0235,
    # nu (0.4321 + 0.2941)/2 = 0.3631
    # sqrt(2 * 85.80501 * 1.0235 / 0.6369) = 16.6066; times 0.0316228 = 0.52515
    assert predicted("NbW", "fracture_toughness_rice") == pytest.approx(0.52515, abs=2e-5)
    mean_of_toughnesses = (
        predicted("Nb", "fracture_toughness_rice") + predicted("W", "fracture_toughness_rice")
    ) / 2
    assert predicted("NbW", "fracture_toughness_rice") != pytest.approx(mean_of_toughnesses, rel=0.005)


def test_linear_combination_takes_hcp_values_of_titanium():
    # (44.30937 + 146.600005) / 2
    assert predicted("TiW", "shear_modulus") == pytest.approx(95.4546875, abs=1e-6)


def test_entropy_of_equiatomic_alloys_is_r_ln_n():
    assert predicted("NbMoTaW", "mixing_entropy") == pytest.approx(8.314462618 * math.log(4), rel=1e-9)
    assert predicted("HfNbTaTiZr", "mixing_entropy") == pytest.approx(8.314462618 * math.log(5), rel=1e-9)


def test_valence_electron_concentration_is_the_mean_over_the_atoms():
    assert predicted("HfNbTaTiZr", "valence_electron_concentration") == pytest.approx((4 + 5 + 5 + 4 + 4) / 5)
    assert predicted("NbMoTaW", "valence_electron_concentration") == pytest.approx(5.5)
    assert predicted("Al20Nb80", "valence_electron_concentration") == pytest.approx(4.6)


def test_size_mismatch_by_hand():
    # Nb 142.9 and Zr 160.25 pm, mean 151.575: each is off by 8.675, so delta = 8.675 / 151.575
    assert predicted("NbZr", "size_mismatch") == pytest.approx(100 * 8.675 / 151.575, rel=1e-12)
    # radii 142.9 136.26 143.0 136.7, mean 139.715, squares of the deviations 10.144 11.937 10.791 9.090
    expected = 100 * math.sqrt((10.144225 + 11.937025 + 10.791225 + 9.090225) / 4) / 139.715
    assert predicted("NbMoTaW", "size_mismatch") == pytest.approx(expected, rel=1e-9)


def test_mixing_enthalpy_by_hand():
    # 4/16 of the six pairs: Mo-Nb -6, Mo-Ta -5, Mo-W 0, Nb-Ta 0, Nb-W -8, Ta-W -7 kJ/mol
    assert predicted("NbMoTaW", "mixing_enthalpy") == pytest.approx(-6500.0)
    # 4/25 of: Hf-Nb 4, Hf-Ta 3, Hf-Ti 0, Hf-Zr 0, Nb-Ta 0, Nb-Ti 2, Nb-Zr 4, Ta-Ti 1, Ta-Zr 3, Ti-Zr 0
    assert predicted("HfNbTaTiZr", "mixing_enthalpy") == pytest.approx(2720.0)


def test_omega_and_melting_point_by_hand():
    assert predicted("NbMoTaW", "melting_temperature_rom") == pytest.approx((2750 + 2896 + 3290 + 3695) / 4)
    assert predicted("NbMoTaW", "omega") == pytest.approx(3157.75 * 8.314462618 * math.log(4) / 6500)


def test_density_by_hand_from_molar_volumes():
    # 92.90638 + 183.84 g over 92.90638/8.57 + 183.84/19.25 cm3
    assert predicted("NbW", "density") == pytest.approx(
        276.74638 / (92.90638 / 8.57 + 183.84 / 19.25), rel=1e-9
    )


@pytest.mark.parametrize(
    ("formula", "measured"),
    [
        ("NbMoTaW", 13.75),  # 10.1016/j.intermet.2010.05.014
        ("VNbMoTaW", 12.36),  # 10.1016/j.intermet.2010.05.014
        ("HfNbTaTiZr", 9.94),  # 10.1016/j.jallcom.2011.02.171
        ("NbTiVZr", 6.52),  # 10.1016/j.actamat.2012.11.032
        ("CrNbTiZr", 6.67),  # 10.1016/j.actamat.2012.11.032
        ("HfMoNbTiZr", 8.68),  # 10.1016/j.intermet.2015.10.011
        ("MoNbTaTiW", 11.72),  # 10.1016/j.actamat.2019.06.032
    ],
)
def test_density_is_within_three_percent_of_the_published_values(formula, measured):
    assert predicted(formula, "density") == pytest.approx(measured, rel=0.03)


def test_every_value_names_its_unit_and_its_versioned_method():
    values = predict([parse_composition("HfNbTaTiZr")])
    assert tuple(v.property for v in values) == PREDICTED_PROPERTIES
    for value in values:
        assert isinstance(value, PredictedValue)
        assert value.unit == PROPERTIES[value.property].unit
        assert value.method == METHODS[value.property]
        assert all(part.rpartition("/")[2].isdigit() for part in value.method.split(" + "))


def test_uncertainty_of_the_shear_modulus_is_that_against_first_principles():
    assert sigma("HfNbTaTiZr", "shear_modulus") == pytest.approx(15.722)
    assert sigma("HfNbTaTiZr", "poisson_ratio") == pytest.approx(0.05542)


def test_uncertainty_of_the_toughness_is_propagated():
    # W: G 146.6 +- 15.722, E 1.562 +- 25.45%, 1 - nu 0.7059 +- 0.05542
    relative = 0.5 * math.sqrt((15.722 / 146.6) ** 2 + 0.2545**2 + (0.05542 / 0.7059) ** 2)
    assert sigma("W", "fracture_toughness_rice") == pytest.approx(0.80547 * relative, rel=1e-3)


def test_where_nothing_is_known_of_the_uncertainty_none_is_given():
    assert sigma("NbMoTaW", "size_mismatch") is None
    assert sigma_array(np.array([[0.5, 0.5]]), ("Nb", "W"), ["omega"]) == {"omega": None}


def test_stored_scatter_of_the_stacking_fault_energy_is_that_of_the_two_tables():
    quantity = "unstable_stacking_fault_energy"
    tables = {}
    for row in element_values():
        if row.quantity == quantity:
            tables.setdefault((row.element, row.source), {})[row.structure] = row.value
    own = {
        "Cr": "bcc",
        "Hf": "hcp",
        "Mo": "bcc",
        "Nb": "bcc",
        "Ti": "hcp",
        "V": "bcc",
        "W": "bcc",
        "Zr": "hcp",
    }
    squares = []
    for symbol, structure in own.items():
        a = tables[symbol, "PSU-ULTERA"][structure]
        b = tables[symbol, "PSU-PureElements"][structure]
        assert abs(a - b) > 0.01 * a
        squares.append(((a - b) / ((a + b) / 2)) ** 2)
    with files("hea_loop").joinpath("data/prediction_uncertainty.csv").open(encoding="utf-8") as file:
        (stored,) = (row for row in csv.DictReader(file) if row["property"] == quantity)
    assert int(stored["number"]) == len(squares)
    assert float(stored["value"]) == pytest.approx(math.sqrt(sum(squares) / len(squares) / 2), abs=5e-5)


def test_property_without_data_is_left_out_and_the_missing_inputs_are_named():
    oxide = parse_composition("Nb90O10")
    names = [v.property for v in predict([oxide])]
    assert names == ["mixing_entropy", "valence_electron_concentration"]
    assert missing_inputs(oxide, "density") == {"O": ("density",)}
    assert missing_inputs(oxide, "omega") == {"O": ("melting_temperature",), "Nb-O": ("mixing_enthalpy",)}
    assert missing_inputs(parse_composition("HfNbTaTiZr"), "fracture_toughness_rice") == {}


def test_one_composition_without_data_takes_nothing_from_the_others():
    alone = predict([parse_composition("NbMoTaW")])
    together = predict([parse_composition("Nb90O10"), parse_composition("NbMoTaW")])
    assert [(v.property, v.value) for v in together[2:]] == [
        (v.property, pytest.approx(v.value, rel=1e-12)) for v in alone
    ]


def test_omega_is_left_out_where_it_has_no_value():
    assert "omega" not in [v.property for v in predict([parse_composition("W"), parse_composition("HfTi")])]
    assert predict_array(np.array([[0.5, 0.5]]), ("Hf", "Ti"), ["omega"])["omega"].tolist() == [math.inf]


rows = st.lists(st.integers(0, 1000), min_size=9, max_size=9).filter(lambda row: sum(row) > 0)


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=5))
def test_array_and_single_predictions_agree(parts):
    from hea_loop import Composition

    compositions = [Composition.from_fractions(PALETTE, row) for row in parts]
    fractions = np.array([c.fraction_vector(PALETTE) for c in compositions])
    arrays = predict_array(fractions, PALETTE)
    sigmas = sigma_array(fractions, PALETTE)
    for i, composition in enumerate(compositions):
        for value in predict([composition]):
            assert value.value == pytest.approx(arrays[value.property][i], rel=1e-12, abs=1e-12)
            if value.sigma is not None:
                assert value.sigma == pytest.approx(sigmas[value.property][i], rel=1e-12, abs=1e-12)


def test_column_of_an_unknown_element_is_no_matter_while_it_is_empty():
    values = predict_array(np.array([[0.5, 0.5, 0.0]]), ("Nb", "W", "O"), ["density"])
    assert values["density"][0] == pytest.approx(predicted("NbW", "density"), rel=1e-12)
    with pytest.raises(InputError, match="O: density"):
        predict_array(np.array([[0.5, 0.4, 0.1]]), ("Nb", "W", "O"), ["density"])


@pytest.mark.parametrize(
    ("fractions", "elements", "properties"),
    [
        ([[0.5, 0.5]], ("Nb",), None),
        ([0.5, 0.5], ("Nb", "W"), None),
        ([[0.0, 0.0]], ("Nb", "W"), None),
        ([[math.nan, 0.5]], ("Nb", "W"), None),
        ([[-0.5, 1.5]], ("Nb", "W"), None),
        ([[0.5, 0.5]], ("Nb", "Xx"), None),
        ([[0.5, 0.5]], ("Nb", "W"), ["hardness"]),
    ],
)
def test_bad_input_is_one_clear_error(fractions, elements, properties):
    with pytest.raises(InputError):
        predict_array(np.array(fractions), elements, properties)


def test_nothing_asked_gives_nothing():
    assert predict([]) == []
    assert predict([parse_composition("W")], []) == []


def test_a_prediction_does_not_depend_on_the_company_that_it_is_made_in() -> None:
    """Else a killed run, which predicts what is left in other chunks, stores other last digits."""
    rng = np.random.default_rng(4)
    palette = Palette(
        ("Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr"), (1,) * 8, (1000,) * 8, (False,) * 8, 2, 6
    )
    alloys = palette.sample_uniform(60, rng)
    together = predict(alloys)
    apart = [value for alloy in alloys for value in predict([alloy])]
    mixed = predict([*alloys[::-1], *palette.sample_uniform(7, rng)])
    assert together == apart
    by_alloy = {(v.composition, v.property): v for v in mixed}
    assert all(by_alloy[v.composition, v.property] == v for v in together)

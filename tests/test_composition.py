"""The identity of a material, its printed formula and its distance to others."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hea_loop import Composition, InputError, parse_composition

METALS = ("Al", "Cr", "Hf", "Mo", "Nb", "Re", "Si", "Ta", "Ti", "V", "W", "Zr")

amounts = st.dictionaries(st.sampled_from(METALS), st.integers(1, 1000), min_size=1, max_size=9)
written = st.dictionaries(
    st.sampled_from(METALS),
    st.one_of(
        st.integers(1, 100).map(float),
        st.decimals("0.01", "100", places=2).map(float),
        st.builds(lambda n, k: n / 2**k, st.integers(1, 64), st.integers(1, 6)),
    ),
    min_size=1,
    max_size=9,
)
compositions = amounts.map(Composition.from_amounts)


@settings(deadline=None)
@given(written)
def test_parts_are_positive_and_sum_to_exactly_one_thousand(given_amounts):
    composition = Composition.from_amounts(given_amounts)
    assert sum(n for _, n in composition.parts) == 1000
    assert all(n > 0 for _, n in composition.parts)
    assert math.fsum(composition.fractions.values()) == pytest.approx(1.0, abs=1e-15)


@settings(deadline=None)
@given(written, st.randoms(use_true_random=False))
def test_order_of_elements_never_makes_a_second_material(given_amounts, random):
    items = list(given_amounts.items())
    random.shuffle(items)
    assert Composition.from_amounts(dict(items)).key == Composition.from_amounts(given_amounts).key


@settings(deadline=None)
@given(written, st.sampled_from([0.01, 1 / 3, 0.1, 3.0, 7.0, 100.0, 1e6, 1e-9]))
def test_common_factor_never_makes_a_second_material(given_amounts, factor):
    scaled = {e: a * factor for e, a in given_amounts.items()}
    assert Composition.from_amounts(scaled) == Composition.from_amounts(given_amounts)


@settings(deadline=None)
@given(written, st.lists(st.floats(-1e-12, 1e-12), min_size=12, max_size=12))
def test_noise_of_floating_point_never_makes_a_second_material(given_amounts, noise):
    total = sum(given_amounts.values())
    fractions = {e: a / total for e, a in given_amounts.items()}
    noisy = {e: x + d for (e, x), d in zip(fractions.items(), noise, strict=False)}
    # a fraction whose digits happen to end in a five right at the noise has no stable rounding at any choice
    tail = [math.modf(abs(x) * 1e11)[0] for x in fractions.values()]
    assume(all(abs(t - 0.5) > 0.15 for t in tail))
    assert Composition.from_amounts(noisy) == Composition.from_amounts(fractions)


@pytest.mark.parametrize("divisor", [3, 6, 7, 8, 16, 32, 48, 64, 96, 128, 256, 512])
def test_ties_of_cells_of_atoms_are_broken_the_same_way_under_noise(divisor):
    cell = {"Hf": 1.0, "Nb": 1.0, "Ta": 1.0, "W": divisor - 3.0 or 1.0}
    expected = Composition.from_amounts(cell)
    total = sum(cell.values())
    for sign in range(16):
        noisy = {e: n / total + (1e-12 if sign >> i & 1 else -1e-12) for i, (e, n) in enumerate(cell.items())}
        assert Composition.from_amounts(noisy) == expected


def test_sixteenths_round_to_the_first_elements_of_the_alphabet():
    composition = Composition.from_amounts({"W": 13, "Ta": 1, "Nb": 1, "Hf": 1})
    assert composition.key == "Hf:63 Nb:63 Ta:62 W:812"


def test_rounded_percent_and_exact_sixth_are_one_material():
    assert parse_composition("Al16.67Nb33.33Ti50") == Composition.from_amounts({"Al": 1, "Nb": 2, "Ti": 3})


@settings(deadline=None)
@given(compositions)
def test_key_names_the_material_and_gives_it_back(composition):
    assert Composition.from_key(composition.key) == composition
    assert hash(Composition.from_key(composition.key)) == hash(composition)


@settings(deadline=None)
@given(compositions, compositions, compositions)
def test_distance_is_a_metric(a, b, c):
    assert a.distance(a) == 0
    assert (a.distance(b) == 0) == (a == b)
    assert a.distance(b) == b.distance(a)
    assert a.distance(c) <= a.distance(b) + b.distance(c) + 1e-12
    assert 0 <= a.distance(b) <= 1


def test_distance_is_the_fraction_of_atoms_to_exchange():
    assert parse_composition("Nb80W20").distance(parse_composition("Nb70Ta10W20")) == pytest.approx(0.1)
    assert parse_composition("NbTa").distance(parse_composition("HfW")) == 1.0


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("Zr Ti Ta Nb Hf", "HfNbTaTiZr"),
        ("Cr1Mo0.5Nb1Ta0.5Ti1Zr1", "CrMo0.5NbTa0.5TiZr"),
        ("Nb47 Ti22 Si16 Mo15", "Mo15Nb47Si16Ti22"),
        ("Nb95W5", "Nb95W5"),
        ("W100", "W"),
        ("HfNbTa", "HfNbTa"),
    ],
)
def test_formula_is_printed_the_way_the_field_writes_it(text, formula):
    assert parse_composition(text).formula == formula
    assert str(parse_composition(text)) == formula


def test_fraction_vector_follows_the_order_of_the_palette():
    assert parse_composition("Nb80W20").fraction_vector(["W", "Hf", "Nb"]) == [0.2, 0.0, 0.8]
    with pytest.raises(InputError, match="contains W"):
        parse_composition("Nb80W20").fraction_vector(["Nb", "Ta"])


def test_fractions_of_an_array_row_make_the_composition_without_its_zeros():
    assert Composition.from_fractions(["Hf", "Nb", "W"], [0.0, 0.25, 0.75]).key == "Nb:250 W:750"


def test_trace_below_the_resolution_drops_out():
    assert Composition.from_amounts({"Nb": 99.99, "C": 0.01}).elements == ("Nb",)


def test_pymatgen_sees_the_same_composition():
    theirs = parse_composition("Nb80W20").to_pymatgen()
    assert theirs.get_atomic_fraction("Nb") == pytest.approx(0.8)
    assert theirs.get_wt_fraction("W") == pytest.approx(0.2 * 183.84 / (0.2 * 183.84 + 0.8 * 92.90638))


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({}, "has no element"),
        ({"Qq": 1.0}, "not a chemical element"),
        ({"D": 1.0}, "not a chemical element"),
        ({"Nb": -1.0, "W": 2.0}, "negative"),
        ({"Nb": 0.0, "W": 2.0}, "zero"),
        ({"Nb": math.nan}, "not finite"),
        ({"Nb": math.inf}, "not finite"),
        ({"Nb": "5"}, "no number"),
        ({"Nb": None}, "no number"),
    ],
)
def test_amounts_that_are_no_composition_are_refused(bad, problem):
    with pytest.raises(InputError, match=problem):
        Composition.from_amounts(bad)


@pytest.mark.parametrize("key", ["", "Hf", "Hf:x", "Hf:500", "W:500 Hf:500", "Hf:0 W:1000"])
def test_text_that_is_no_key_is_refused(key):
    with pytest.raises(InputError):
        Composition.from_key(key)

"""Phase profiles, solidification and diagrams: against known temperatures and against balances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from validators.calphad import load_database, phases_at
from validators.calphad.diagrams import (
    Equilibria,
    binary_diagram,
    isopleth,
    isopleth_between,
    phase_profile,
    scheil_solidification,
    ternary_section,
)
from validators.calphad.diagrams.binary import Boundary, extrema
from validators.calphad.diagrams.profile import is_laves
from validators.outcome import OutcomeStatus

CRNBTIZR = "CrNbTiZr"


@pytest.fixture(scope="module")
def database():
    return load_database()


@pytest.fixture(scope="module")
def laves_profile(database):
    return phase_profile(parse_composition(CRNBTIZR), database, confirm=False)


@pytest.fixture(scope="module")
def laves_casting(database):
    return scheil_solidification(parse_composition(CRNBTIZR), database, step_K=10.0)


def _whole(profile):
    return np.einsum("nk,nkm->nm", profile.fractions, np.nan_to_num(profile.compositions))


def test_the_phases_of_a_profile_add_up_to_the_alloy_at_every_temperature(laves_profile):
    assert laves_profile.fractions.sum(axis=1) == pytest.approx(1.0, abs=5e-6)
    assert np.abs(_whole(laves_profile) - 0.25).max() < 1e-5


@pytest.mark.parametrize(
    ("formula", "temperature", "tolerance"),
    [("Ti", 1155.0, 2.0), ("Zr", 1139.0, 2.0), ("Hf", 2016.0, 2.0)],
)
def test_hcp_turns_into_bcc_where_the_elements_do(database, formula, temperature, tolerance):
    profile = phase_profile(parse_composition(formula), database, confirm=False)
    (transition, melting) = profile.transitions
    assert (transition.below, transition.above) == (("HCP_A3",), ("BCC_A2",))
    assert transition.temperature_K == pytest.approx(temperature, abs=tolerance)
    assert transition.tolerance_K <= 1.0
    assert melting.temperature_K == profile.solidus_K == profile.liquidus_K


def test_both_tiers_give_the_same_profile(database):
    alloy = parse_composition(CRNBTIZR)
    span = {"low_K": 1500.0, "high_K": 1900.0, "step_K": 50.0}
    fast, sure = (phase_profile(alloy, database, confirm=c, **span) for c in (False, True))
    assert (fast.tier, sure.tier) == ("screen", "confirm")
    assert fast.names == sure.names
    assert [t.temperature_K for t in fast.transitions] == pytest.approx(
        [t.temperature_K for t in sure.transitions], abs=0.01
    )
    assert fast.fractions == pytest.approx(sure.fractions, abs=2e-4)


def test_solidus_liquidus_and_laves_solvus_enclose_what_pycalphad_finds(database, laves_profile):
    alloy = parse_composition(CRNBTIZR)
    for edge, phase, above in (
        (laves_profile.solidus_K, "LIQUID", True),
        (laves_profile.laves_solvus_K, "LAVES_C15", False),
        (laves_profile.liquidus_K, "BCC_A2", False),
    ):
        names = [{p.name for p in phases_at(alloy, edge + d, database).phases} for d in (-2.0, 2.0)]
        assert (phase in names[1]) is above
        assert (phase in names[0]) is not above
    assert laves_profile.solvus_K("LAVES_C15") == laves_profile.laves_solvus_K
    assert math.isnan(laves_profile.solvus_K("LAVES_C14"))


def test_the_top_of_the_gap_in_nb_zr_is_where_it_was_measured(database):
    # Abriata and Bolcich 1982: critical point at 60.6 at.% Nb and 1261 K, monotectoid at 893 K
    profile = phase_profile(
        parse_composition("Nb61Zr39"), database, low_K=700.0, high_K=1500.0, confirm=False
    )
    top = next(t.temperature_K for t in profile.transitions if t.above == ("BCC_A2",))
    assert top == pytest.approx(1261.0, abs=25.0)
    assert profile.bcc_windows_K[-1][0] == top


def test_the_two_sides_of_a_gap_keep_their_names_over_temperature(database):
    profile = phase_profile(parse_composition("NbZr"), database, low_K=950.0, high_K=1400.0, confirm=False)
    assert set(profile.names) == {"BCC_A2#1", "BCC_A2#2"}
    niobium = profile.elements.index("Nb")
    for k in range(2):
        x = profile.compositions[:, k, niobium]
        known = x[np.isfinite(x)]
        # near the top of a gap compositions change as a square root: quickly, but on one side
        assert np.abs(np.diff(known)).max() < 0.15
    both = profile.fractions.min(axis=1) > 0
    below = profile.compositions[both][:, :, niobium]
    assert (np.sign(below[:, 0] - below[:, 1]) == np.sign(below[0, 0] - below[0, 1])).all()


def test_points_that_one_search_leaves_open_are_answered_all_the_same(database):
    # beside the top of a gap, where the second bcc lies close to the first
    alloy = parse_composition("NbZr")
    profile = phase_profile(alloy, database, low_K=1100.0, high_K=1400.0, confirm=False)
    (top,) = (t.temperature_K for t in profile.transitions)
    found = Equilibria(database, alloy.elements).at(np.full((2, 2), 0.5), np.array([top - 3.0, top + 3.0]))
    assert [len(f.phases) for f in found] == [2, 1]


def test_an_alloy_beyond_its_range_has_open_ends_instead_of_invented_ones(database):
    profile = phase_profile(
        parse_composition("MoNbTaW"), database, low_K=1000.0, high_K=2000.0, confirm=False, step_K=200.0
    )
    assert math.isnan(profile.solidus_K)
    assert math.isnan(profile.liquidus_K)
    assert profile.bcc_windows_K == ((1000.0, 2000.0),)
    assert profile.transitions == ()


@pytest.mark.parametrize("name", ["LAVES_C15", "C14_LAVES", "C15", "C36"])
def test_laves_phases_go_by_several_names(name):
    assert is_laves(name)
    assert not is_laves("BCC_A2")
    assert not is_laves("C22_ZRAL")


def test_scheil_neither_makes_nor_loses_an_element_where_two_solids_form_together(laves_casting):
    found = laves_casting
    assert found.status is OutcomeStatus.CONVERGED
    assert set(found.phases) == {"BCC_A2", "LAVES_C15"}
    steps = np.diff(np.vstack([np.zeros((1, len(found.phases))), found.amounts]), axis=0)
    whole = np.einsum("nk,nkm->m", steps, np.nan_to_num(found.solid_compositions))
    whole += found.liquid_left * found.liquid_compositions[-1]
    assert whole == pytest.approx(np.full(4, 0.25), abs=2e-4)
    assert sum(found.as_cast.values()) + found.liquid_left == pytest.approx(1.0, abs=1e-9)


def test_scheil_ends_below_the_equilibrium_solidus_and_begins_at_the_liquidus(laves_casting, laves_profile):
    assert laves_casting.final_temperature_K < laves_profile.solidus_K
    first = laves_casting.temperatures_K[laves_casting.solid_fraction > 0][0]
    assert laves_profile.liquidus_K - 10.0 <= first <= laves_profile.liquidus_K + 1.0
    assert (np.diff(laves_casting.solid_fraction) >= 0).all()


def test_in_monbtaw_tungsten_goes_to_the_dendrites_and_niobium_stays_between_them(database):
    alloy = parse_composition("MoNbTaW")
    found = scheil_solidification(alloy, database, step_K=20.0)
    # as measured on castings: Senkov et al., Intermetallics 18 (2010) 1758
    assert found.partition["W"] > 1.1
    assert found.partition["Nb"] < 0.9
    assert found.phases == ("BCC_A2",)
    profile = phase_profile(alloy, database, low_K=2800.0, confirm=False)
    assert found.final_temperature_K < profile.solidus_K
    assert sum(found.first_solid.values()) == pytest.approx(1.0)
    assert sum(found.last_liquid.values()) == pytest.approx(1.0)


def test_scheil_gives_the_same_path_every_time(database):
    alloy = parse_composition("NbZr")
    one, two = (scheil_solidification(alloy, database, step_K=20.0) for _ in range(2))
    assert one.temperatures_K.tolist() == two.temperatures_K.tolist()
    assert one.amounts.tolist() == two.amounts.tolist()


def test_an_element_alone_does_not_segregate(database):
    with pytest.raises(InputError, match="one element"):
        scheil_solidification(parse_composition("Nb"), database)


@pytest.fixture(scope="module")
def hafnium_tantalum(database):
    return binary_diagram(("Hf", "Ta"), database, low_K=1000.0)


def test_the_binary_has_its_monotectoid_and_both_melting_points(hafnium_tantalum):
    diagram = hafnium_tantalum
    assert diagram.status is OutcomeStatus.CONVERGED
    (invariant,) = diagram.invariants
    assert sorted(p.partition("#")[0] for p in invariant.phases) == ["BCC_A2", "BCC_A2", "HCP_A3"]
    assert 1300 < invariant.temperature_K < 1420
    # the last field of each column is the liquid, from the melting points of Hf and Ta upwards
    assert [column[-1][2] for column in (diagram.fields[0], diagram.fields[-1])] == [("LIQUID",)] * 2
    assert [diagram.fields[k][-1][0] for k in (0, -1)] == pytest.approx([2506, 3290], abs=3)


def test_the_binary_has_the_top_of_its_gap_and_its_lowest_melting_point(database, hafnium_tantalum):
    melting, gap = hafnium_tantalum.extrema
    assert melting.phases == ("BCC_A2", "LIQUID")
    assert (melting.highest, melting.is_gap) == (False, False)
    assert gap.phases == ("BCC_A2", "BCC_A2")
    assert (gap.highest, gap.is_gap) == (True, True)
    for one, sides in ((melting, (["BCC_A2"], ["LIQUID"])), (gap, (["BCC_A2", "BCC_A2"], ["BCC_A2"]))):
        x = np.array([[1.0 - one.x, one.x]] * 2)
        found = Equilibria(database, ("Hf", "Ta")).at(x, one.temperature_K + np.array([-2.0, 2.0]))
        assert tuple([p.name for p in answer.phases] for answer in found) == sides


def test_extrema_are_where_tie_lines_vanish_and_each_is_named_once():
    d = np.linspace(-0.3, 0.3, 8)  # none of them zero
    x = np.stack([0.4 - d / 2, 0.4 + d / 2])
    gap = Boundary(("BCC_A2", "BCC_A2#2"), x, 1200.0 - 500.0 * d**2)
    again = Boundary(("BCC_A2#2", "BCC_A2"), x[::-1], 1200.5 - 500.0 * d**2)
    melting = Boundary(("BCC_A2", "LIQUID"), x, 2000.0 + 500.0 * d**2)
    element = Boundary(("BCC_A2", "LIQUID"), np.stack([1e-9 * d, -1e-9 * d]), 2500.0 + d)
    first, second = extrema([gap, again, melting, element])
    assert (first.temperature_K, first.x, first.highest) == (
        pytest.approx(2000.0),
        pytest.approx(0.4),
        False,
    )
    assert second.temperature_K == pytest.approx(1200.0, abs=1.0)
    assert second.is_gap
    short = Boundary(gap.phases, x[:, :4], gap.temperatures_K[:4])
    assert extrema([short]) == ()


def test_a_field_may_end_at_its_extremum():
    d = np.array([0.3, 0.2, 0.1, 0.04, 0.003, 0.0004])  # the mapping ends there, in noise
    x = np.stack([0.4 - d / 2, 0.4 + d / 2])
    T = 1200.0 - 500.0 * d**2
    T[-1] -= 3.0
    for boundary in (
        Boundary(("BCC_A2", "BCC_A2#2"), x, T),
        Boundary(("BCC_A2", "BCC_A2#2"), x[:, ::-1], T[::-1]),
    ):
        (gap,) = extrema([boundary])
        assert (gap.temperature_K, gap.x) == (pytest.approx(1200.0, abs=0.1), pytest.approx(0.4, abs=1e-3))
        assert (gap.highest, gap.is_gap) == (True, True)
    # an element's field shrinks to nothing too, and is no extremum
    pure = Boundary(("BCC_A2", "LIQUID"), np.stack([0.004 * d, 0.01 * d]), T)
    assert extrema([pure]) == ()


def test_fields_of_a_binary_agree_with_the_boundaries_that_were_mapped(hafnium_tantalum):
    diagram = hafnium_tantalum
    for boundary in diagram.boundaries:
        for k in range(0, len(boundary.temperatures_K), 5):
            T, (a, b) = boundary.temperatures_K[k], boundary.x[:, k]
            inside = [j for j, x in enumerate(diagram.fractions) if min(a, b) + 0.01 < x < max(a, b) - 0.01]
            for j in inside[::6]:
                names = next(n for low, high, n in diagram.fields[j] if low <= T <= high)
                edges = [e for low, high, _ in diagram.fields[j] for e in (low, high)]
                if min(abs(T - e) for e in edges) > 2.0:
                    assert sorted(p.partition("#")[0] for p in boundary.phases) == sorted(names)


def test_an_isopleth_through_the_alloy_has_the_alloys_own_transitions(database, laves_profile):
    section = isopleth(
        parse_composition(CRNBTIZR), "Cr", database, high=0.5, low_K=1300.0, high_K=1900.0, points=3
    )
    assert section.candidate == 0.25
    column = section.fields[int(np.flatnonzero(section.coordinates == 0.25)[0])]
    mine = [t.temperature_K for t in laves_profile.transitions if t.temperature_K > 1300]
    assert [high for _, high, _ in column[:-1]] == pytest.approx(mine, abs=1.5)


def test_an_isopleth_between_two_alloys_marks_only_an_alloy_on_its_line(database):
    ends = parse_composition("NbTi"), parse_composition("NbZr")
    span = {"low_K": 1300.0, "high_K": 1500.0, "points": 3}
    on = isopleth_between(*ends, database, candidate=parse_composition("Nb50Ti25Zr25"), **span)
    off = isopleth_between(*ends, database, candidate=parse_composition("NbTiZr"), **span)
    assert on.candidate == pytest.approx(0.5)
    assert math.isnan(off.candidate)


def test_a_ternary_section_meets_its_binaries_on_the_edges(database):
    section = ternary_section(
        ("Nb", "Ti", "Zr"), 1073.0, database, candidate=parse_composition("NbTiZr"), divisions=10
    )
    assert len(section.phases) == 66
    assert section.inside
    assert section.candidate == pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=1e-3)
    by_place = {
        tuple(np.round(10 * f).astype(int)): p for f, p in zip(section.fractions, section.phases, strict=True)
    }
    assert by_place[10, 0, 0] == ("BCC_A2",)
    assert by_place[0, 0, 10] == ("HCP_A3",)
    assert by_place[5, 0, 5] == ("BCC_A2", "BCC_A2")
    gap = section.driving_force[[p == ("BCC_A2", "BCC_A2") for p in section.phases]]
    assert (gap > 0).all()
    alone = section.driving_force[[p == ("BCC_A2",) for p in section.phases]]
    assert (alone <= 1e-3).all()


def test_a_ternary_section_can_keep_the_other_elements_of_the_alloy(database):
    alloy = parse_composition("HfNbTaTiZr")
    kept = ternary_section(
        ("Nb", "Ti", "Zr"), 1273.0, database, candidate=alloy, keep_others=True, divisions=3
    )
    assert kept.others == {"Hf": 0.2, "Ta": 0.2}
    assert kept.inside
    assert not ternary_section(("Nb", "Ti", "Zr"), 1273.0, database, candidate=alloy, divisions=3).inside
    place = next(k for k, f in enumerate(kept.fractions) if f == pytest.approx([1 / 3] * 3))
    own = phases_at(alloy, 1273.0, database).phases
    assert kept.phases[place] == tuple(sorted(p.name for p in own))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda d: phase_profile(parse_composition("NbTi"), d, low_K=900, high_K=905), "range"),
        (lambda d: phase_profile(parse_composition("NbRe"), d), "composition"),
        (lambda d: binary_diagram(("Nb", "Nb"), d), "binary"),
        (lambda d: binary_diagram(("Nb", "Re"), d), "binary"),
        (lambda d: isopleth(parse_composition("NbTi"), "Re", d), "isopleth"),
        (lambda d: isopleth(parse_composition("NbTi"), "Nb", d, low=0.5, high=0.4), "isopleth"),
        (lambda d: isopleth(parse_composition("Nb"), "Nb", d), "isopleth"),
        (lambda d: ternary_section(("Nb", "Ti"), 1273.0, d), "ternary"),
        (lambda d: ternary_section(("Nb", "Ti", "Zr"), 100.0, d), "temperature_K"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(database, call, field):
    with pytest.raises(InputError) as refused:
        call(database)
    assert refused.value.field == field

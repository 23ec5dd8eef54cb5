"""Cells of pure elements and alloys: geometry, composition in whole atoms, and how random they are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from validators.atomistic.structures import (
    decorate,
    lattice_guess,
    primitive_cell,
    quasirandom_cell,
    rounded_composition,
    smallest_cell,
    to_pymatgen,
)

MONBTAW = parse_composition("MoNbTaW")


def weighted_mismatch(atoms):
    """What the search minimises, from the periodic neighbours of the finished cell."""
    symbols = np.array(atoms.get_chemical_symbols())
    kinds = sorted(set(symbols))
    a = (2 * atoms.get_volume() / len(atoms)) ** (1 / 3)
    i, j, d = neighbor_list("ijd", atoms, 1.6 * a)
    total = 0.0
    for weight, shell in zip((1.0, 0.5, 0.25), (math.sqrt(3) / 2, 1.0, math.sqrt(2)), strict=True):
        here = np.abs(d / a - shell) < 0.01
        for one, other in itertools.product(kinds, kinds):
            share = np.mean((symbols[i[here]] == one) & (symbols[j[here]] == other))
            total += weight * abs(share - np.mean(symbols == one) * np.mean(symbols == other)) / 2
    return total


@pytest.mark.parametrize("atoms", [8, 16, 54])
def test_a_quasirandom_cell_is_a_bcc_lattice_of_the_counts_asked_for(atoms):
    cell = quasirandom_cell(MONBTAW, atoms, 0, a=3.2)
    assert len(cell.atoms) == atoms
    assert cell.atoms.get_volume() == pytest.approx(atoms * 3.2**3 / 2)
    assert [shell.neighbours for shell in cell.shells] == [8, 6, 12]
    assert [shell.distance for shell in cell.shells] == pytest.approx(
        [3.2 * math.sqrt(3) / 2, 3.2, 3.2 * math.sqrt(2)], abs=1e-3
    )
    symbols = cell.atoms.get_chemical_symbols()
    assert {e: symbols.count(e) for e in set(symbols)} == cell.rounding.counts


def test_an_fcc_cell_has_twelve_nearest_neighbours():
    cell = quasirandom_cell(parse_composition("CuAu"), 32, 0, lattice="fcc", a=3.9)
    assert cell.shells[0].neighbours == 12
    assert cell.atoms.get_volume() == pytest.approx(32 * 3.9**3 / 4)


@pytest.mark.parametrize("atoms", [8, 16])
def test_equal_seeds_give_equal_cells_and_other_seeds_others(atoms):
    first, again, other = (quasirandom_cell(MONBTAW, atoms, seed, a=3.2).atoms for seed in (1, 1, 2))
    assert first == again
    assert first.get_chemical_symbols() != other.get_chemical_symbols()


def test_of_eight_atoms_no_arrangement_is_more_random():
    found = quasirandom_cell(parse_composition("NbW"), 8, 0, a=3.2).atoms
    others = []
    for chosen in itertools.combinations(range(8), 4):
        arranged = found.copy()
        arranged.set_chemical_symbols(["Nb" if k in chosen else "W" for k in range(8)])
        others.append(weighted_mismatch(arranged))
    assert weighted_mismatch(found) == pytest.approx(min(others))
    assert max(others) > 2 * min(others)


def test_of_more_atoms_the_search_beats_random_arrangements():
    found = quasirandom_cell(MONBTAW, 16, 0, a=3.2).atoms
    generator = np.random.default_rng(0)
    shuffled = []
    for _ in range(200):
        other = found.copy()
        other.set_chemical_symbols(generator.permutation(found.get_chemical_symbols()).tolist())
        shuffled.append(weighted_mismatch(other))
    assert weighted_mismatch(found) <= min(shuffled)
    assert weighted_mismatch(found) < 0.5 * np.mean(shuffled)


def test_the_reported_mismatch_is_that_of_the_cell():
    cell = quasirandom_cell(MONBTAW, 8, 0, a=3.2)
    reported = sum(w * s.mismatch for w, s in zip((1.0, 0.5, 0.25), cell.shells, strict=True))
    assert reported == pytest.approx(weighted_mismatch(cell.atoms))
    # no atom of eight can have its like as second neighbour as often as at random: there is one like it
    assert cell.shells[1].largest_warren_cowley == pytest.approx(1.0)


def test_an_ordered_arrangement_is_not_taken_for_a_random_one():
    sites = quasirandom_cell(parse_composition("NbW"), 8, 0, a=3.2).atoms
    _, shells = decorate(sites, {"W": 8}, np.random.default_rng(0))
    assert [shell.mismatch for shell in shells] == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(
    ("formula", "atoms", "counts", "distance"),
    [
        ("MoNbTaW", 8, {"Mo": 2, "Nb": 2, "Ta": 2, "W": 2}, 0.0),
        ("HfNbTaTiZr", 8, {"Hf": 2, "Nb": 2, "Ta": 2, "Ti": 1, "Zr": 1}, 0.15),
        ("Nb97W3", 8, {"Nb": 8}, 0.03),
        ("Nb97W3", 54, {"Nb": 52, "W": 2}, 2 / 54 - 0.03),
    ],
)
def test_a_composition_becomes_whole_atoms_and_says_how_far_it_moved(formula, atoms, counts, distance):
    rounded = rounded_composition(parse_composition(formula), atoms)
    assert rounded.counts == counts
    assert rounded.distance == pytest.approx(distance)
    assert rounded.distance == pytest.approx(rounded.requested.distance(rounded.composition), abs=2e-3)


CELLS = {8: "8 atoms", 16: "16 atoms", 54: "54 atoms"}


def test_a_cell_of_another_alloy_is_refused_with_the_size_that_would_do():
    with pytest.raises(InputError, match="use 16 atoms") as refused:
        rounded_composition(parse_composition("HfNbTaTiZr"), 8).require_within(0.05, CELLS)
    assert refused.value.field == "composition"
    assert smallest_cell(parse_composition("HfNbTaTiZr"), 0.05) == 16
    assert smallest_cell(parse_composition("Nb47Ti22Si16Mo15"), 0.001) is None


def test_a_dilute_alloy_is_not_computed_as_the_pure_metal():
    dilute = parse_composition("Nb97W3")
    with pytest.raises(InputError, match=r"becomes Nb in 8 atoms, which is no alloy; use 54 atoms$"):
        rounded_composition(dilute, 8).require_within(0.05, CELLS)
    assert smallest_cell(dilute, 0.05) == 54
    assert rounded_composition(dilute, 8).detail()["elements_lost"] == ["W"]
    rounded_composition(parse_composition("Nb"), 8).require_within(0.0)


def test_in_eight_atoms_symmetry_holds_every_atom_and_in_more_it_does_not():
    held = [quasirandom_cell(MONBTAW, n, 0, a=3.2).ions_held_by_symmetry for n in (8, 16, 54)]
    assert held == [True, False, False]


@pytest.mark.parametrize("seed", range(6))
def test_eight_atoms_are_never_four_repeated(seed):
    atoms = quasirandom_cell(MONBTAW, 8, seed, a=3.2).atoms
    kinds = np.array(atoms.get_atomic_numbers())
    scaled = atoms.get_scaled_positions()
    for shift in scaled[1:] - scaled[0]:
        difference = (scaled + shift)[:, None] - scaled[None]
        image = np.abs(difference - np.rint(difference)).max(axis=2).argmin(axis=1)
        assert (kinds[image] != kinds).any()


@pytest.mark.parametrize(("element", "edge"), [("W", 3.165), ("Nb", 3.301), ("V", 3.03), ("Mo", 3.147)])
def test_the_first_guess_is_near_the_measured_lattice_parameter(element, edge):
    assert lattice_guess({element: 1}, "bcc") == pytest.approx(edge, rel=0.02)


def test_an_element_without_a_known_volume_is_refused():
    with pytest.raises(InputError, match="N"):
        lattice_guess({"N": 1}, "bcc")


def test_pure_cells_have_the_neighbours_of_their_structures():
    for structure, neighbours, distance in (("bcc", 8, 3**0.5 / 2), ("fcc", 12, 0.5**0.5), ("hcp", 12, 1.0)):
        atoms = primitive_cell("Ti", structure, 3.0)
        i, d = neighbor_list("id", atoms, 3.0 * distance * 1.02)
        assert np.bincount(i).tolist() == [neighbours] * len(atoms)
        assert d == pytest.approx(np.full(len(d), 3.0 * distance), rel=1e-9)
    with pytest.raises(InputError, match="diamond"):
        primitive_cell("Si", "diamond", 5.4)


def test_the_cell_is_the_same_in_pymatgen():
    atoms = quasirandom_cell(MONBTAW, 8, 0, a=3.2).atoms
    structure = to_pymatgen(atoms)
    assert structure.lattice.matrix == pytest.approx(np.asarray(atoms.cell))
    assert [site.specie.symbol for site in structure] == atoms.get_chemical_symbols()

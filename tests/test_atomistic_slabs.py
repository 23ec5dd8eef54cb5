"""Cells of the {110}<111> fault: planes, areas, repeats, and a slide by a whole Burgers vector."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from hea_loop.errors import InputError
from validators.atomistic.slabs import (
    burgers_vector,
    fault_area,
    plane_indices,
    slab_cut_at,
    slid,
    stacked_planes,
    tilted,
)

A = 3.2
NEAREST = A * math.sqrt(3) / 2
SPACING = A / math.sqrt(2)


def coordination(atoms):
    """Neighbours of each atom at the distance that they have in bcc."""
    i, d = neighbor_list("id", atoms, NEAREST * 1.05)
    return np.bincount(i[np.abs(d / NEAREST - 1) < 1e-6], minlength=len(atoms))


@pytest.mark.parametrize("columns", [1, 2, 4, 8])
@pytest.mark.parametrize("layers", [2, 8, 12])
def test_the_stack_is_bcc_with_the_area_of_its_columns(columns, layers):
    stack = stacked_planes(A, layers, columns, element="W")
    assert len(stack) == layers * columns
    assert stack.get_volume() == pytest.approx(layers * columns * A**3 / 2)
    assert fault_area(stack) == pytest.approx(columns * A**2 / math.sqrt(2))
    assert coordination(stack).tolist() == [8] * len(stack)
    assert (np.bincount(plane_indices(stack, layers)) == columns).all()


def test_the_burgers_vector_is_half_the_space_diagonal_and_lies_in_the_plane():
    b = burgers_vector(A)
    assert np.linalg.norm(b) == pytest.approx(NEAREST)
    # it joins two atoms of the bulk: moved by it, every atom falls on another one's place
    stack = stacked_planes(A, 4, 4, element="W")
    moved = stack.copy()
    moved.translate(b)
    both = stack + moved
    both.set_pbc(True)
    i = neighbor_list("i", both, 0.01)
    assert len(i) == 2 * len(stack)


@pytest.mark.parametrize("cut", [0, 3, 5])
def test_a_slide_by_a_whole_burgers_vector_restores_the_crystal(cut):
    stack = stacked_planes(A, 6, 2, element="W")
    assert coordination(tilted(stack, 6, cut, burgers_vector(A))).tolist() == [8] * len(stack)
    half = coordination(tilted(stack, 6, cut, 0.5 * burgers_vector(A)))
    # the two neighbours across the fault have come nearer, for the two planes beside it and no others
    assert sorted(half.tolist()) == [6] * 4 + [8] * 8


@pytest.mark.parametrize("cut", [0, 2, 5])
def test_a_slab_has_two_surfaces_and_its_middle_at_the_cut(cut):
    stack = stacked_planes(A, 6, 2, element="W")
    slab = slab_cut_at(stack, 6, cut, 10.0)
    heights = slab.get_positions()[:, 2]
    assert slab.cell[2, 2] == pytest.approx(5 * SPACING + 10.0)
    assert heights.min() == pytest.approx(5.0)
    # a surface atom of (110) misses two of its eight neighbours
    assert sorted(coordination(slab).tolist()) == [6] * 4 + [8] * 8
    upper = slab.get_tags() == 1
    assert upper.sum() == 6
    assert heights[upper].min() == pytest.approx(heights[~upper].max() + SPACING)
    assert set(plane_indices(stack, 6)[upper]) == {(cut + k) % 6 for k in range(3)}


def test_sliding_moves_the_upper_half_only_and_a_whole_burgers_vector_changes_nothing():
    slab = slab_cut_at(stacked_planes(A, 6, 1, element="W"), 6, 3, 10.0)
    whole = slid(slab, burgers_vector(A))
    assert sorted(coordination(whole).tolist()) == sorted(coordination(slab).tolist())
    half = slid(slab, 0.5 * burgers_vector(A))
    moved = half.get_positions() - slab.get_positions()
    assert moved[slab.get_tags() == 1] == pytest.approx(np.tile(0.5 * burgers_vector(A), (3, 1)))
    assert np.abs(moved[slab.get_tags() == 0]).max() == 0.0


@pytest.mark.parametrize(("layers", "columns", "field"), [(7, 1, "layers"), (8, 3, "columns")])
def test_planes_that_close_no_cell_are_refused(layers, columns, field):
    with pytest.raises(InputError) as refused:
        stacked_planes(A, layers, columns)
    assert refused.value.field == field

"""Cells for the {110}<111> stacking fault of bcc: planes (1-10) stacked along z, Burgers vector along x.

The periodic stack (:func:`stacked_planes`) is the alloy's bulk in another orientation. To make a fault, one half
is moved against the other by a fraction of the Burgers vector a/2[111]: in a slab between two surfaces
(:func:`slab_cut_at` and :func:`slid`), or without surfaces in a cell whose third vector is tilted by the
displacement (:func:`tilted`), where the fault repeats at every period. See Vitek, Philos. Mag. 18 (1968) 773, doi
10.1080/14786436808227500.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from hea_loop.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

__all__ = ["burgers_vector", "fault_area", "plane_indices", "slab_cut_at", "slid", "stacked_planes", "tilted"]

# slip direction [111], its partner in the plane, and the normal of the plane, in the cube's axes
_X: Final = np.array([1.0, 1.0, 1.0]) / math.sqrt(3)
_Z: Final = np.array([1.0, -1.0, 0.0]) / math.sqrt(2)
_FRAME: Final = np.array([_X, np.cross(_Z, _X), _Z])

_B1: Final = np.array([0.5, 0.5, 0.5])
_B2: Final = np.array([0.5, 0.5, -0.5])
_IN_PLANE: Final = {
    1: (_B1, _B2),
    2: (_B1 + _B2, _B1 - _B2),  # a<110> by a<001>: no atom has its own image as a nearest neighbour
    4: (2 * _B1, 2 * _B2),
    8: (2 * (_B1 + _B2), 2 * (_B1 - _B2)),
}


def burgers_vector(a: float) -> NDArray[np.float64]:
    """a/2[111] in the frame of the cells, angstrom, shape ``(3,)``."""
    return np.array([a * math.sqrt(3) / 2, 0.0, 0.0])


def stacked_planes(a: float, layers: int, columns: int, *, element: str = "X") -> Atoms:
    """A periodic stack of {110} planes, sites ordered from the lowest plane up.

    Args:
        a: Edge of the cube, angstrom.
        layers: Number of planes, even: the stacking repeats every second one.
        columns: Atoms per plane: 1, 2, 4 or 8.
        element: On every site.

    Raises:
        InputError: A number of planes or of columns that closes no cell.
    """
    from ase import Atoms

    if layers < 2 or layers % 2:
        raise InputError("layers", layers, "is no even number of planes", "use 8, 12, 16, ...")
    if columns not in _IN_PLANE:
        raise InputError("columns", columns, "closes no cell", f"use {', '.join(map(str, _IN_PLANE))}")
    cell = a * np.array([*_IN_PLANE[columns], layers / 2 * np.array([1.0, -1.0, 0.0])]) @ _FRAME.T
    cell[:2, 2] = 0.0
    cell[2, :2] = 0.0
    # the plane above is shifted by a/2[1-11] within the cell's own repeats
    shift = a * np.array([0.5, -0.5, 0.5]) @ _FRAME.T
    positions = [
        site + layer % 2 * shift * (1, 1, 0) + (0.0, 0.0, layer * a / math.sqrt(2))
        for layer in range(layers)
        for site in _sites_of_plane(a, columns)
    ]
    atoms = Atoms([element] * len(positions), cell=cell, positions=positions, pbc=True)
    atoms.wrap(pbc=(True, True, False))
    return atoms


def _sites_of_plane(a: float, columns: int) -> NDArray[np.float64]:
    """Positions of one plane's atoms, ``(columns, 3)``."""
    first, second = (a * v @ _FRAME.T for v in _IN_PLANE[columns])
    b1, b2 = a * _B1 @ _FRAME.T, a * _B2 @ _FRAME.T
    inverse = np.linalg.inv(np.array([first[:2], second[:2]]))
    found: list[NDArray[np.float64]] = []
    seen: set[tuple[float, float]] = set()
    for i in range(-4, 5):
        for j in range(-4, 5):
            site = i * b1 + j * b2
            u, v = (round(float(x) % 1.0, 6) % 1.0 for x in site[:2] @ inverse)
            if (u, v) not in seen:
                seen.add((u, v))
                found.append(site * (1, 1, 0))
    return np.array(found)


def plane_indices(atoms: Atoms, layers: int) -> NDArray[np.int64]:
    """Index of the plane of each atom of a stack of :func:`stacked_planes`, relaxed or not, shape ``(n,)``."""
    height = atoms.get_positions() @ np.array([0.0, 0.0, 1.0])
    return np.asarray(np.rint(height / (atoms.cell[2, 2] / layers)).astype(np.int64) % layers)


def fault_area(atoms: Atoms) -> float:
    """Area of the cell's {110} face, square angstrom."""
    return float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))


def slab_cut_at(stack: Atoms, layers: int, cut: int, vacuum: float) -> Atoms:
    """The slab whose middle lies between planes ``cut - 1`` and ``cut`` of the stack.

    Args:
        stack: Of :func:`stacked_planes`, unrelaxed.
        layers: Its planes.
        cut: Index of the first plane of the upper half, 0 to ``layers - 1``.
        vacuum: Between the slab and its image, angstrom, above zero.

    Returns:
        The slab, its lowest plane at half the vacuum; atoms of the upper half have tag 1, others 0.
    """
    spacing = stack.cell[2, 2] / layers
    place = (plane_indices(stack, layers) - cut + layers // 2) % layers
    slab = stack.copy()
    positions = stack.get_positions()
    positions[:, 2] = place * spacing + vacuum / 2
    slab.set_positions(positions)
    cell = np.array(stack.cell)
    cell[2] = (0.0, 0.0, (layers - 1) * spacing + vacuum)
    slab.set_cell(cell)
    slab.set_tags((place >= layers // 2).astype(int))
    return slab


def slid(slab: Atoms, displacement: NDArray[np.float64]) -> Atoms:
    """The slab with its upper half moved by a displacement, angstrom, shape ``(3,)``."""
    moved = slab.copy()
    moved.set_positions(slab.get_positions() + np.outer(slab.get_tags() == 1, displacement))
    return moved


def tilted(stack: Atoms, layers: int, cut: int, displacement: NDArray[np.float64]) -> Atoms:
    """The stack with one fault per period below plane ``cut``, and no surface.

    Args:
        stack: Of :func:`stacked_planes`, relaxed or not.
        layers: Its planes.
        cut: Index of the first plane that moves.
        displacement: Of the planes from there to the top of the cell, angstrom, shape ``(3,)``.
    """
    moved = stack.copy()
    above = plane_indices(stack, layers) >= cut
    moved.set_positions(stack.get_positions() + np.outer(above, displacement))
    cell = np.array(stack.cell)
    cell[2] = cell[2] + displacement
    moved.set_cell(cell)
    return moved

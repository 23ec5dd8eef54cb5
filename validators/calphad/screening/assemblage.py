"""The tangent plane of the stable assemblage of some phases, for many alloys at once.

Column generation: a linear programme over points of the phases (least energy that gives the composition) has
a plane as its dual; the minima of every phase against that plane are new points; the programme takes those
that lie below the plane by simplex pivots. The lowest point below the plane bounds how far the energy is from
the minimum, so it ends with a known error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.screening.phase import Coefficients
from validators.calphad.screening.system import VectorSystem

__all__ = ["Assemblage", "stable_assemblage"]

Array = NDArray[np.float64]

_ROUNDS: Final = 30
_GAP_J: Final = 2.0  # J/mol by which the energy may lie above the minimum
_WORTH_J: Final = 0.05  # J/mol below the plane that is worth a pivot
_POINTS: Final = 3  # minima of each phase and alloy that are followed


@dataclass(slots=True)
class Assemblage:
    """Points whose mixture has the least energy, for ``n`` alloys of ``c`` elements.

    Attributes:
        energy: ``(n,)`` J per mole of atoms.
        potentials: ``(c, n)`` J/mol.
        gap: ``(n,)`` J/mol by which the energy lies above the minimum at most.
        compositions: ``(n, c, c)`` atomic fractions, a column for each point.
        fractions: ``(n, c)`` amounts of the points.
        phases: ``(n, c)`` number of each point's phase in ``names``.
        names: The phases.
    """

    energy: Array
    potentials: Array
    gap: Array
    compositions: Array
    fractions: Array
    phases: NDArray[np.intp]
    names: tuple[str, ...]


class _Programme:
    """The linear programmes of ``n`` alloys, each with its basis."""

    def __init__(self, x: Array, pure: Array, phase: int) -> None:
        c, n = x.shape
        self.x = np.ascontiguousarray(x.T)[:, :, None]
        self.basis = np.repeat(np.eye(c)[None], n, axis=0)
        self.energies = np.ascontiguousarray(pure.T)
        self.phases = np.full((n, c), phase)
        self._solve()

    def _solve(self) -> None:
        self.inverse = np.linalg.inv(self.basis)
        self.fractions = np.maximum((self.inverse @ self.x)[:, :, 0], 0.0)
        self.potentials = (self.energies[:, None, :] @ self.inverse)[:, 0, :]

    def take(self, compositions: Array, energies: Array, phases: NDArray[np.intp]) -> None:
        """Pivot until none of these points, ``(n, k, c)``, lies below the plane."""
        everyone = np.arange(len(self.x))
        for _ in range(energies.shape[1] + 4):
            below = energies - np.einsum("nkc,nc->nk", compositions, self.potentials)
            chosen = below.argmin(axis=1)
            enters = below[everyone, chosen] < -_WORTH_J
            if not enters.any():
                return
            point = compositions[everyone, chosen]
            change = (self.inverse @ point[:, :, None])[:, :, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(change > 1e-7, self.fractions / change, np.inf)
            # among equal ratios the largest pivot keeps the basis well conditioned
            least = ratio.min(axis=1, keepdims=True)
            leaving = np.where(ratio <= least + 1e-12, change, -1.0).argmax(axis=1)
            who = everyone[enters & np.isfinite(least[:, 0])]
            if not len(who):
                return
            self.basis[who, :, leaving[who]] = point[who]
            self.energies[who, leaving[who]] = energies[who, chosen[who]]
            self.phases[who, leaving[who]] = phases[who, chosen[who]]
            self._solve()
            energies[who, chosen[who]] = np.inf


def stable_assemblage(
    system: VectorSystem, names: Sequence[str], at: dict[str, Coefficients], x: Array
) -> Assemblage:
    """Find the stable assemblage among some phases.

    Args:
        system: The phases.
        names: Which of them may form; the first is a substitutional solution, in which every element by
            itself can stand.
        at: Coefficients of each for the alloys.
        x: ``(c, n)`` compositions.
    """
    c, n = x.shape
    names = tuple(names)
    first = system.phases[names[0]]
    pure = np.empty((c, n))
    for k in range(c):
        corner = np.full((c, n), 1e-12)
        corner[k] = 1.0
        pure[k] = first.energy(corner, at[names[0]])[0] / first.sites[0, 0]
    programme = _Programme(x, pure, 0)
    mixed = first.potentials(x, at[names[0]])[1]
    gap = np.full(n, np.inf)
    energy, potentials = np.full(n, np.inf), np.zeros((c, n))
    open_ = np.arange(n)
    held: dict[str, Array] = {}
    for turn in range(_ROUNDS):
        # the plane of the solution at the alloy's own composition is a better first one than that of the elements
        plane = mixed if turn == 0 else np.ascontiguousarray(programme.potentials.T)
        lists: list[tuple[Array, Array, int]] = []
        lowest = np.zeros(len(open_))
        for number, name in enumerate(names):
            phase = system.phases[name]
            here = at[name]
            found, owner = system.minima(name, here, plane, more=held.get(name), kept=_POINTS)
            amounts = phase.amounts(found.y)
            atoms = amounts.sum(axis=0)
            compositions = amounts / atoms
            distance = found.distance / atoms
            np.minimum.at(lowest, owner, distance)
            energies = distance + (compositions * plane[:, owner]).sum(axis=0)
            lists.append(_by_alloy(compositions, energies, owner, len(open_), number))
            if phase.dof:
                held[name] = _last(found.y, owner, len(open_))
        if turn:
            gap[open_] = -lowest
            energy[open_] = (programme.fractions * programme.energies).sum(axis=1)
            potentials[:, open_] = plane
        points = np.concatenate([part[0] for part in lists], axis=1)
        energies_ = np.concatenate([part[1] for part in lists], axis=1)
        numbers = np.concatenate([np.full(part[1].shape, part[2]) for part in lists], axis=1)
        programme.take(points, energies_, numbers)
        if turn and (gap < _GAP_J).all():
            break
    return Assemblage(
        energy, potentials, gap, programme.basis, programme.fractions, programme.phases, names
    )


def _by_alloy(
    compositions: Array, energies: Array, owner: NDArray[np.intp], count: int, number: int
) -> tuple[Array, Array, int]:
    """Points of each alloy in rows, ``(count, k, c)`` and ``(count, k)``; infinite energy where there is none."""
    place = _places(owner)
    width = int(place.max(initial=-1)) + 1
    points = np.zeros((count, width, len(compositions)))
    values = np.full((count, width), np.inf)
    points[owner, place] = compositions.T
    values[owner, place] = energies
    return points, values, number


def _last(y: Array, owner: NDArray[np.intp], count: int) -> Array:
    """The points as starts, ``(dof, k, count)``; where an alloy has fewer, the middle of the phase."""
    place = _places(owner)
    width = int(place.max(initial=-1)) + 1
    starts = np.full((len(y), width, count), 1.0 / len(y))
    starts[:, place, owner] = y
    return starts


def _places(owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many equal entries stand before each entry of a sorted array."""
    if not len(owner):
        return owner
    begins = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    result: NDArray[np.intp] = np.arange(len(owner)) - np.repeat(
        begins, np.diff(np.append(begins, len(owner)))
    )
    return result

"""The tangent plane of the stable assemblage of some phases, for many alloys at once.

Column generation: a linear programme over points of the phases (least energy that gives the composition) has
a plane as its dual; the minima of every phase against that plane are new points; the programme takes those
that lie below the plane by simplex pivots. The lowest point below the plane bounds how far the energy is from
the minimum, so it ends with a known error. That finds the phases; the last decimals are
Newton's method on their compositions and amounts (Hillert, Physica B 103 (1981) 31,
doi 10.1016/0378-4363(81)90999-1; Sundman, Lu and Ohtani, Comput. Mater. Sci. 101 (2015) 127).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.screening.batch import Batch, minima
from validators.calphad.screening.clusters import Clusters
from validators.calphad.screening.phase import Coefficients

__all__ = ["GAP_J", "Assemblage", "stable_assemblage"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_ROUNDS: Final = (7, 4, 4, 4)  # of column generation before each attempt of Newton's method
GAP_J: Final = 1.0
"""J/mol by which the energy of an assemblage that counts as found may lie above the minimum."""

_WORTH_J: Final = 0.05  # J/mol below the plane that is worth a pivot
_POINTS: Final = 3  # minima of each phase and alloy that are followed


@dataclass(slots=True)
class Assemblage:
    """Points whose mixture has the least energy, for ``n`` alloys of ``c`` elements.

    Attributes:
        energy: ``(n,)`` J per mole of atoms.
        potentials: ``(c, n)`` J/mol.
        gap: ``(n,)`` J/mol by which a phase lies below the plane: the energy is above the minimum by no more.
        phases: ``(n, c)`` number of the phase in each slot, in the names of the batch.
        fractions: ``(n, c)`` moles of atoms in each slot, zero for an empty one.
        y: ``(n, c, width)`` site fractions in each slot, filled up with zeros.
    """

    energy: Array
    potentials: Array
    gap: Array
    phases: Index
    fractions: Array
    y: Array

    def take(self, which: Index) -> Assemblage:
        """Those of some of the alloys."""
        return Assemblage(
            self.energy[which],
            self.potentials[:, which],
            self.gap[which],
            self.phases[which],
            self.fractions[which],
            self.y[which],
        )

    def put(self, which: Index, other: Assemblage) -> None:
        """Replace those of some of the alloys."""
        self.energy[which] = other.energy
        self.potentials[:, which] = other.potentials
        self.gap[which] = other.gap
        self.phases[which] = other.phases
        self.fractions[which] = other.fractions
        self.y[which] = other.y


class _Programme:
    """The linear programmes of ``n`` alloys, each with its basis of ``c`` points."""

    def __init__(self, x: Array, pure: Array, parent: int, width: int) -> None:
        c, n = x.shape
        self.x = np.ascontiguousarray(x.T)[:, :, None]
        self.basis = np.repeat(np.eye(c)[None], n, axis=0)
        self.energies = np.ascontiguousarray(pure.T)
        self.phases = np.full((n, c), parent, dtype=np.intp)
        self.y = np.zeros((n, c, width))
        self.y[:, np.arange(c), np.arange(c)] = 1.0
        self._solve()

    def _solve(self) -> None:
        self.inverse = np.linalg.inv(self.basis)
        self.fractions = np.maximum((self.inverse @ self.x)[:, :, 0], 0.0)
        self.potentials = (self.energies[:, None, :] @ self.inverse)[:, 0, :]

    def take(self, compositions: Array, energies: Array, phases: Index, y: Array) -> None:
        """Pivot until none of these points, ``(n, k, ...)``, lies below the plane."""
        everyone = np.arange(len(self.x))
        for _ in range(energies.shape[1] + 4):
            below = energies - np.einsum("nkc,nc->nk", compositions, self.potentials)
            chosen = below.argmin(axis=1)
            enters = below[everyone, chosen] < -_WORTH_J
            point = compositions[everyone, chosen]
            change = (self.inverse @ point[:, :, None])[:, :, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(change > 1e-7, self.fractions / change, np.inf)
            least = ratio.min(axis=1, keepdims=True)
            # among equal ratios the largest pivot keeps the basis well conditioned
            leaving = np.where(ratio <= least + 1e-12, change, -1.0).argmax(axis=1)
            who = everyone[enters & np.isfinite(least[:, 0])]
            if not len(who):
                return
            out, into = leaving[who], chosen[who]
            self.basis[who, :, out] = point[who]
            self.energies[who, out] = energies[who, into]
            self.phases[who, out] = phases[who, into]
            self.y[who, out] = y[who, into]
            self._solve()
            energies[who, into] = np.inf


def stable_assemblage(
    batch: Batch,
    among: Sequence[int],
    coefficients: Sequence[Coefficients],
    near: Assemblage | None = None,
) -> Assemblage:
    """Find the tangent plane of the stable assemblage among some phases.

    Args:
        batch: The alloys.
        among: Which of its families may form, the parent among them.
        coefficients: Of every family of the batch, :meth:`Batch.at`.
        near: Assemblages of the same alloys at another temperature, to begin with.
    """
    if near is None:
        return _generate(batch, among, coefficients)
    result = _empty(batch)
    begin = np.isfinite(near.potentials).all(axis=0)
    plane = np.where(begin, near.potentials, 0.0)
    clusters = Clusters(batch, among, coefficients, near.phases, near.fractions, near.y)
    refined = clusters.refine(plane)
    usable = np.isfinite(refined).all(axis=0) & begin
    plane = np.where(usable, refined, plane)
    _, lowest = _below(batch, among, coefficients, plane, {}, result.y.shape[2])
    _keep(result, batch.x, plane, np.where(usable, -lowest, np.inf), clusters)
    rest = np.flatnonzero(result.gap >= GAP_J)
    if len(rest):
        part, chosen, at = _part(batch, among, coefficients, rest)
        result.put(rest, _generate(part, chosen, at))
    return result


def _part(
    batch: Batch, among: Sequence[int], coefficients: Sequence[Coefficients], which: Index
) -> tuple[Batch, list[int], list[Coefficients]]:
    """The same for some of the alloys."""
    temperatures = np.full(batch.x.shape[1], np.nan)
    for k in among:
        temperatures[batch.families[k].alloy] = coefficients[k].T
    part = batch.take(which)
    roles = {batch.families[k].role for k in among}
    chosen = [k for k, family in enumerate(part.families) if family.role in roles]
    return part, chosen, part.at(temperatures[which])


def _empty(batch: Batch) -> Assemblage:
    c, n = batch.x.shape
    return Assemblage(
        np.full(n, np.nan),
        np.full((c, n), np.nan),
        np.full(n, np.inf),
        np.zeros((n, c), dtype=np.intp),
        np.zeros((n, c)),
        # as wide as the batch, so that parts of it fit into one another
        np.zeros((n, c, batch.width)),
    )


def _generate(batch: Batch, among: Sequence[int], coefficients: Sequence[Coefficients]) -> Assemblage:
    """From nothing: columns, then Newton, then again for the alloys that are not there yet."""
    result = _empty(batch)
    x = batch.x
    c, n = x.shape
    width = result.y.shape[2]
    parent, at = batch.parent, coefficients[0]
    pure = np.empty((c, n))
    for k in range(c):
        corner = np.full((c, n), 1e-12)
        corner[k] = 1.0
        pure[k] = parent.potentials(corner, at)[0]
    programme = _Programme(x, pure, int(batch.numbers[0][0]), width)
    # the plane of the solution at the alloy's own composition is a better first one than that of the elements
    plane = parent.potentials(x, at)[1]
    held: dict[int, Array] = {}
    for rounds in _ROUNDS:
        for _ in range(rounds):
            points, _ = _below(batch, among, coefficients, plane, held, width)
            programme.take(*points)
            plane = np.ascontiguousarray(programme.potentials.T)
        clusters = Clusters(batch, among, coefficients, programme.phases, programme.fractions, programme.y)
        refined = clusters.refine(plane)
        plane = np.where(np.isfinite(refined).all(axis=0), refined, plane)
        points, lowest = _below(batch, among, coefficients, plane, held, width)
        _keep(result, x, plane, -lowest, clusters)
        if (result.gap < GAP_J).all():
            break
        programme.take(*points)
        plane = np.ascontiguousarray(programme.potentials.T)
    return result


def _keep(result: Assemblage, x: Array, plane: Array, gap: Array, clusters: Clusters) -> None:
    """Remember the planes with the smallest gap so far."""
    better = gap < result.gap
    result.phases[better] = clusters.number[better]
    result.fractions[better] = clusters.fractions()[better]
    result.y[better] = clusters.y[better]
    result.gap[better] = gap[better]
    result.potentials[:, better] = plane[:, better]
    # a plane that no phase lies below, shifted down by the gap, bounds the energy from below
    result.energy[better] = (x * plane).sum(axis=0)[better]


def _below(
    batch: Batch,
    among: Sequence[int],
    coefficients: Sequence[Coefficients],
    plane: Array,
    held: dict[int, Array],
    width: int,
) -> tuple[tuple[Array, Array, Index, Array], Array]:
    """The minima of every phase against the planes, in rows for each alloy, and the lowest distance."""
    c, count = batch.x.shape
    lowest = np.zeros(count)
    rows: list[tuple[Array, Array, Index, Array]] = []
    for k in among:
        family = batch.families[k]
        found, owner = minima(family, coefficients[k], plane, more=held.get(k), kept=_POINTS)
        amounts = family.amounts(found.y, owner)
        atoms = amounts.sum(axis=0)
        compositions = amounts / atoms
        distance = found.distance / atoms
        alloy = family.alloy[owner]
        np.minimum.at(lowest, alloy, distance)
        if family.dof:
            place = _places(owner)
            starts = np.full(
                (family.dof, int(place.max(initial=-1)) + 1, len(family.alloy)), 1.0 / family.dof
            )
            starts[:, place, owner] = found.y
            held[k] = starts
        # entries are in the order of their alloys, and so are the points
        place = _places(alloy)
        most = int(place.max(initial=-1)) + 1
        points, values = np.zeros((count, most, c)), np.full((count, most), np.inf)
        fractions, numbers = np.zeros((count, most, width)), np.zeros((count, most), dtype=np.intp)
        points[alloy, place] = compositions.T
        values[alloy, place] = distance + (compositions * plane[:, alloy]).sum(axis=0)
        fractions[alloy, place, : family.dof] = found.y.T
        numbers[alloy, place] = batch.numbers[k][owner]
        rows.append((points, values, numbers, fractions))
    joined = tuple(np.concatenate([row[k] for row in rows], axis=1) for k in range(4))
    return (joined[0], joined[1], joined[2], joined[3]), lowest


def _places(owner: Index) -> Index:
    """How many equal entries stand before each entry of a sorted array."""
    begins = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])) if len(owner) else owner
    result: Index = np.arange(len(owner)) - np.repeat(begins, np.diff(np.append(begins, len(owner))))
    return result

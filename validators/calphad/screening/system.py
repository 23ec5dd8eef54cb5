"""All phases of a database for one set of elements, as arrays, and where the search in each begins."""

from __future__ import annotations

import itertools
import threading
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from validators.calphad.database import CalphadDatabase
from validators.calphad.screening.descent import Minima, descend, polish
from validators.calphad.screening.model import NotVectorisable, Translation
from validators.calphad.screening.phase import Coefficients, VectorPhase

__all__ = ["PARENT", "VectorSystem", "is_liquid", "system_of"]

Array = NDArray[np.float64]

PARENT: Final = "BCC_A2"
"""The phase that has to be alone."""

_NEAR_PURE: Final = 0.96  # fraction of the main constituent at a start near a corner
_MOST_CORNERS: Final = 120
_FIRST_STEPS: Final = 4
_MORE_STEPS: Final = 8
_KEPT: Final = 4  # points of each phase and alloy that go on after the first steps
_SETTLED_J: Final = 1e-4  # slack below which a point needs no more steps


def is_liquid(phase: str) -> bool:
    """Whether databases call a liquid so."""
    return phase.startswith(("LIQUID", "IONIC_LIQ"))


def _spread(count: int, main: tuple[int, ...]) -> Array:
    """A composition of ``count`` constituents that is mostly the main ones."""
    y = np.full(count, (1.0 - _NEAR_PURE) / count)
    y[list(main)] += _NEAR_PURE / len(main)
    return y


def _starts(phase: VectorPhase) -> Array:
    """``(dof, starts)``: near every end-member, on the middle of every binary edge, and in the middle."""
    if not phase.mixing:
        return np.zeros((0, 1))
    sizes = [len(s.constituents) for s in phase.mixing]
    corners = list(itertools.islice(itertools.product(*(range(size) for size in sizes)), _MOST_CORNERS))
    points = [np.concatenate([_spread(n, (i,)) for n, i in zip(sizes, c, strict=True)]) for c in corners]
    if len(sizes) == 1:
        points += [_spread(sizes[0], pair) for pair in itertools.combinations(range(sizes[0]), 2)]
    points.append(np.concatenate([np.full(n, 1.0 / n) for n in sizes]))
    return np.array(points).T


class VectorSystem:
    """The phases that a set of elements can form.

    Args:
        translation: The translated database.
        elements: Elements as the field writes them, alphabetical.

    Raises:
        NotVectorisable: A phase or parameter has no arrays, or there is no substitutional bcc.
    """

    def __init__(self, translation: Translation, elements: tuple[str, ...]) -> None:
        self.elements = elements
        symbols = tuple(e.upper() for e in elements)
        self.phases = {
            name: VectorPhase(translation.terms(name, symbols), symbols)
            for name in translation.phase_names(symbols)
        }
        parent = self.phases.get(PARENT)
        if parent is None:
            raise NotVectorisable(translation.name, f"it has no {PARENT} of {'-'.join(elements)}")
        if len(elements) > 1 and not parent.substitutional:
            raise NotVectorisable(translation.name, f"its {PARENT} is not a solution on one sublattice")
        self.starts = {name: _starts(phase) for name, phase in self.phases.items()}

    def parent_potentials(self, name: str, x: Array, at: Coefficients) -> tuple[Array, Array]:
        """Energy per mole of atoms ``(n,)`` and chemical potentials ``(c, n)`` of a solution at ``(c, n)``."""
        phase = self.phases[name]
        if len(x) > 1:
            return phase.potentials(x, at)
        # an element: nothing to mix
        energy = phase.excess(np.zeros((0, x.shape[1])), at)[0] / phase.fixed_atoms.sum()
        return energy, energy[None]

    def along_softest(self, name: str, x: Array, at: Coefficients) -> tuple[Array, NDArray[np.bool_]]:
        """Starts along the softest direction of a solution, both ways, and where it is in a spinodal.

        A negative curvature is a spinodal: the solution demixes without a barrier.

        Args:
            name: The solution.
            x: ``(c, n)`` compositions.
            at: Its coefficients.

        Returns:
            ``(c, k, n)`` starts, and ``(n,)`` whether the smallest curvature is negative.
        """
        phase = self.phases[name]
        c = len(x)
        curvature = phase.curvature(x, at)
        diagonal = np.arange(c)
        curvature[:, diagonal, diagonal] += (phase.sites * at.RT / x).T
        # in the space of changes that sum to zero: an orthonormal basis of it
        basis = np.linalg.qr(np.eye(c) - 1.0 / c)[0][:, : c - 1]
        values, vectors = np.linalg.eigh(basis.T @ curvature @ basis)
        direction = basis @ vectors[:, :, 0].T
        points = []
        for way in (direction, -direction):
            with np.errstate(divide="ignore"):  # as far as the first element runs out
                reach = np.min(np.where(way < 0, -x / way, np.inf), axis=0)
            points += [np.maximum(x + part * reach * way, 1e-6) for part in (0.3, 0.8)]
        return np.stack(points, axis=1), values[:, 0] < 0.0

    def minima(
        self,
        name: str,
        at: Coefficients,
        mu: Array,
        *,
        more: Array | None = None,
        leave_out: Array | None = None,
        kept: int = _KEPT,
    ) -> tuple[Minima, NDArray[np.intp]]:
        """The lowest minima of one phase against the tangent planes of ``n`` alloys.

        Args:
            name: The phase.
            at: Coefficients of the phase for the alloys.
            mu: ``(elements, n)``, J/mol.
            more: ``(dof, k, n)`` further starts for each alloy.
            leave_out: ``(dof, n)`` a point that is known and not looked for, the parent itself.
            kept: How many minima of each alloy to follow to the end.

        Returns:
            Points, and for each the number of its alloy; every alloy has at least one unless all of its
            starts ran into the point that is left out.
        """
        phase = self.phases[name]
        count = mu.shape[1]
        alloys = np.arange(count)
        if phase.dof == 0:
            value, _ = phase.excess(np.zeros((0, count)), at)
            distance = value - (phase.fixed_atoms * mu).sum(axis=0)
            return Minima(np.zeros((0, count)), distance, np.zeros(count)), alloys
        starts = self.starts[name]
        y = np.repeat(starts, count, axis=1)
        owner = np.tile(alloys, starts.shape[1])
        if more is not None:
            y = np.concatenate([y, more.reshape(phase.dof, -1)], axis=1)
            owner = np.concatenate([owner, np.tile(alloys, more.shape[1])])
        found = descend(phase, at.take(owner), mu[:, owner], y, _FIRST_STEPS)
        found, owner = _choose(found, owner, leave_out, kept)
        if not len(owner):
            return found, owner
        there, plane = at.take(owner), mu[:, owner]
        found = descend(phase, there, plane, found.y, _MORE_STEPS)
        # Newton where it can matter: not settled, and near the lowest of its alloy
        lowest = np.full(count, np.inf)
        np.minimum.at(lowest, owner, found.distance)
        matters = (found.slack > _SETTLED_J) & (found.distance - 2.0 * found.slack < lowest[owner] + 1.0)
        which = np.flatnonzero(matters)
        if len(which):
            part = Minima(found.y[:, which], found.distance[which], found.slack[which])
            better = polish(phase, there.take(which), plane[:, which], part)
            found.y[:, which] = better.y
            found.distance[which] = better.distance
            found.slack[which] = better.slack
        return found, owner


def _choose(
    found: Minima, owner: NDArray[np.intp], leave_out: Array | None, kept: int
) -> tuple[Minima, NDArray[np.intp]]:
    """The lowest distinct points of each alloy."""
    wanted = np.ones(len(owner), dtype=bool)
    if leave_out is not None:
        near = np.abs(found.y - leave_out[:, owner]).max(axis=0) < 0.01
        wanted &= ~(near & (found.distance > -1e-6))
    which = np.flatnonzero(wanted)
    order = which[np.lexsort((found.distance[which], owner[which]))]
    # of points that are the same to 0.02 only the lowest; told apart by a hash of the rounded point
    rounded = np.rint(found.y[:, order] * 50.0).astype(np.int64)
    mark = (rounded.T @ _HASH[: len(rounded)]) % (1 << 40) + (owner[order].astype(np.int64) << 40)
    _, first = np.unique(mark, return_index=True)
    order = order[np.sort(first)]
    own = owner[order]
    begins = np.flatnonzero(np.concatenate([[True], own[1:] != own[:-1]])) if len(own) else own
    rank = np.arange(len(own)) - np.repeat(begins, np.diff(np.append(begins, len(own))))
    order = order[rank < kept]
    return Minima(found.y[:, order], found.distance[order], found.slack[order]), owner[order]


_HASH: Final = np.array([pow(1000003, k, 1 << 39) for k in range(200)], dtype=np.int64)


class _Translated:
    """One translation and its systems per database, kept while the database is."""

    def __init__(self, database: CalphadDatabase) -> None:
        self.translation = Translation(database)
        self.systems: dict[tuple[str, ...], VectorSystem] = {}


_LOCK: Final = threading.RLock()
_HELD: Final[WeakKeyDictionary[CalphadDatabase, _Translated]] = WeakKeyDictionary()


def system_of(database: CalphadDatabase, elements: tuple[str, ...]) -> tuple[Translation, VectorSystem]:
    """The translation of a database and its system of these elements, built on first use.

    Raises:
        InputError: The database does not describe these elements.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    database.require_elements(elements)
    with _LOCK:
        held = _HELD.get(database)
        if held is None:
            held = _HELD[database] = _Translated(database)
        system = held.systems.get(elements)
        if system is None:
            system = held.systems[elements] = VectorSystem(held.translation, elements)
        return held.translation, system

"""Alloys of as many elements each, worked on at once, and the search for minima of their phases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.database import CalphadDatabase
from validators.calphad.screening.descent import Minima, descend, polish
from validators.calphad.screening.phase import Coefficients, Family, Member, Shape
from validators.calphad.screening.system import Translated, translated

__all__ = ["Batch", "batches", "minima", "softest"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_NEAR_PURE: Final = 0.96  # fraction of the main constituent at a start near a corner
_MOST_CORNERS: Final = 120
_FIRST_STEPS: Final = 4
_MORE_STEPS: Final = 8
_KEPT: Final = 4  # points of each phase and alloy that go on after the first steps
_SETTLED_J: Final = 1e-4  # slack below which a point needs no more steps
_POINTS: Final = 1536  # at once: what is worked on stays in the processor's cache
_MOST_ALLOYS: Final = 4096  # in one batch


def _spread(count: int, main: tuple[int, ...]) -> Array:
    """A composition of ``count`` constituents that is mostly the main ones."""
    y = np.full(count, (1.0 - _NEAR_PURE) / count)
    y[list(main)] += _NEAR_PURE / len(main)
    return y


def _starts(sizes: Sequence[int]) -> Array:
    """``(dof, starts)``: near every end-member, on the middle of every binary edge, and in the middle."""
    if not sizes:
        return np.zeros((0, 1))
    corners = list(itertools.islice(itertools.product(*(range(size) for size in sizes)), _MOST_CORNERS))
    points = [np.concatenate([_spread(n, (i,)) for n, i in zip(sizes, c, strict=True)]) for c in corners]
    if len(sizes) == 1:
        points += [_spread(sizes[0], pair) for pair in itertools.combinations(range(sizes[0]), 2)]
    points.append(np.concatenate([np.full(n, 1.0 / n) for n in sizes]))
    return np.array(points).T


@dataclass(slots=True)
class Batch:
    """``n`` alloys of ``c`` elements each, not necessarily the same.

    Attributes:
        where: ``(n,)`` positions in the caller's arrays.
        columns: ``(c, n)`` columns of its elements in the caller's arrays.
        x: ``(c, n)`` atomic fractions.
        names: All of their phases.
        families: Their phases by shape; the first is the parent, its entries the alloys in their order.
        numbers: For each family ``(k,)`` the number of each entry's phase in ``names``.
        database: Their database.
        width: The most site fractions that one of the phases has.
    """

    where: Index
    columns: Index
    x: Array
    names: tuple[str, ...]
    families: list[Family]
    numbers: list[Index]
    database: Translated
    width: int

    def take(self, which: Index) -> Batch:
        """Some of the alloys."""
        where = np.full(self.x.shape[1], -1)
        where[which] = np.arange(len(which))
        families, numbers = [], []
        for family in self.families:
            part = family.take(where)
            if len(part.alloy):
                families.append(part)
                numbers.append(self._numbers(part))
        return Batch(
            self.where[which],
            self.columns[:, which],
            self.x[:, which],
            self.names,
            families,
            numbers,
            self.database,
            self.width,
        )

    def _numbers(self, family: Family) -> Index:
        number = {name: k for k, name in enumerate(self.names)}
        return np.array([number[m.name] for m in family.members], dtype=np.intp)[family.member]

    def at(self, temperatures_K: Array) -> list[Coefficients]:
        """Coefficients of each family, the alloys at these temperatures ``(n,)``."""
        unique, column = np.unique(temperatures_K, return_inverse=True)
        table = self.database.translation.program.values(unique)
        return [family.coefficients(temperatures_K, table, column) for family in self.families]

    @property
    def parent(self) -> Family:
        """The phase that has to be alone."""
        return self.families[0]


def batches(x: Array, elements: Sequence[str], database: CalphadDatabase) -> Iterator[Batch]:
    """Alloys by how many elements they have; the elements of each in alphabetical order.

    Args:
        x: ``(n, m)`` atomic fractions.
        elements: The ``m`` elements.
        database: Their database.

    Raises:
        NotVectorisable: It has something that screening has no arrays for.
    """
    held = translated(database)
    order = np.argsort(list(elements))
    present = x[:, order] > 0.0
    count = present.sum(axis=1)
    code = present @ (1 << np.arange(len(order), dtype=np.int64))
    for size in np.unique(count):
        of_size = np.flatnonzero(count == size)
        # alloys of one system side by side: a large batch is cut where as few systems as possible are
        of_size = of_size[np.argsort(code[of_size], kind="stable")]
        for begin in range(0, len(of_size), _MOST_ALLOYS):
            where = of_size[begin : begin + _MOST_ALLOYS]
            columns = order[np.nonzero(present[where])[1].reshape(len(where), size)].T
            inside = x[where, columns]
            x_of = inside / inside.sum(axis=0)
            yield _batch(held, database, where, columns, x_of, elements, code[where])


def _batch(
    held: Translated,
    database: CalphadDatabase,
    where: Index,
    columns: Index,
    x: Array,
    elements: Sequence[str],
    code: NDArray[np.int64],
) -> Batch:
    _, first, of_alloy = np.unique(code, return_index=True, return_inverse=True)
    sets = [held.elements(tuple(elements[k] for k in columns[:, i]), database) for i in first]
    by_set = [np.flatnonzero(of_alloy == k) for k in range(len(sets))]
    members: dict[Shape, list[Member]] = {}
    owners: dict[Shape, list[tuple[int, Index]]] = {}
    for one, alloys in zip(sets, by_set, strict=True):
        for member in one.members:
            group = members.setdefault(member.shape, [])
            owners.setdefault(member.shape, []).append((len(group), alloys))
            group.append(member)
    families = []
    for shape, group in members.items():
        index = np.concatenate([np.full(len(alloys), k) for k, alloys in owners[shape]])
        alloy = np.concatenate([alloys for _, alloys in owners[shape]])
        order = np.argsort(alloy, kind="stable")
        families.append(Family(group, index[order], alloy[order], held.vocabulary))
    families.sort(key=lambda family: family.role != "parent")
    names = tuple(sorted({m.name for family in families for m in family.members}))
    width = max(family.dof for family in families)
    result = Batch(where, columns, x, names, families, [], held, width)
    result.numbers = [result._numbers(family) for family in families]  # noqa: SLF001 - its own class
    return result


def softest(family: Family, x: Array, at: Coefficients) -> tuple[Array, NDArray[np.bool_]]:
    """Starts along the softest direction of a solution, both ways, and where it is in a spinodal.

    A negative curvature is a spinodal: the solution demixes without a barrier.

    Args:
        family: The solution.
        x: ``(c, n)`` compositions.
        at: Its coefficients.

    Returns:
        ``(c, k, n)`` starts, and ``(n,)`` whether the smallest curvature is negative.
    """
    c = len(x)
    curvature = family.curvature(x, at)
    diagonal = np.arange(c)
    curvature[:, diagonal, diagonal] += (family.sites * at.RT / x).T
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
    family: Family,
    at: Coefficients,
    mu: Array,
    *,
    more: Array | None = None,
    leave_out: Array | None = None,
    kept: int = _KEPT,
) -> tuple[Minima, Index]:
    """The lowest minima of each entry of a family against the tangent plane of its alloy.

    Args:
        family: The phases.
        at: Their coefficients.
        mu: ``(elements, alloys)``, J/mol.
        more: ``(dof, s, k)`` further starts for each entry.
        leave_out: ``(dof, k)`` a point that is known and not looked for, the parent itself.
        kept: How many minima of each entry to follow to the end.

    Returns:
        Points, and for each the number of its entry; every entry has at least one unless all of its starts
        ran into the point that is left out.
    """
    slope, fixed = family.slope(mu)
    count = len(family.alloy)
    if family.dof == 0:
        value, _ = family.excess(np.zeros((0, count)), at)
        return Minima(np.zeros((0, count)), value - fixed, np.zeros(count)), np.arange(count)
    starts = _starts([len(s.constituents) for s in family.mixing])
    each = starts.shape[1] + (0 if more is None else more.shape[1])
    step = max(1, _POINTS // each)
    parts: list[Minima] = []
    owners: list[Index] = []
    for begin in range(0, count, step):
        entries = np.arange(begin, min(begin + step, count))
        y = np.repeat(starts, len(entries), axis=1)
        if more is not None:
            y = np.concatenate([y, more[:, :, entries].reshape(family.dof, -1)], axis=1)
        owner = np.tile(entries, each)
        found = descend(family, at.take(owner), (slope[:, owner], fixed[owner]), y, _FIRST_STEPS)
        found, owner = _choose(found, owner, leave_out, kept)
        parts.append(found)
        owners.append(owner)
    y, owner = np.concatenate([p.y for p in parts], axis=1), np.concatenate(owners)
    if not len(owner):
        return parts[0], owner
    parts = []
    for begin in range(0, len(owner), _POINTS):
        of = owner[begin : begin + _POINTS]
        plane = slope[:, of], fixed[of]
        parts.append(descend(family, at.take(of), plane, y[:, begin : begin + _POINTS], _MORE_STEPS))
    found = Minima(
        np.concatenate([p.y for p in parts], axis=1),
        np.concatenate([p.distance for p in parts]),
        np.concatenate([p.slack for p in parts]),
    )
    # Newton where it can matter: not settled, and near the lowest of its entry
    lowest = np.full(count, np.inf)
    np.minimum.at(lowest, owner, found.distance)
    matters = (found.slack > _SETTLED_J) & (found.distance - 2.0 * found.slack < lowest[owner] + 1.0)
    unsettled = np.flatnonzero(matters)
    for begin in range(0, len(unsettled), _POINTS):
        which = unsettled[begin : begin + _POINTS]
        of = owner[which]
        part = Minima(found.y[:, which], found.distance[which], found.slack[which])
        better = polish(family, at.take(of), (slope[:, of], fixed[of]), part)
        found.y[:, which] = better.y
        found.distance[which] = better.distance
        found.slack[which] = better.slack
    return found, owner


def _choose(found: Minima, owner: Index, leave_out: Array | None, kept: int) -> tuple[Minima, Index]:
    """The lowest distinct points of each entry."""
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

"""What screening hands to the confirming tier: points below the plane of bcc, and a mixture of less energy."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import require_temperature
from validators.calphad.screening.assemblage import stable_assemblage
from validators.calphad.screening.batch import Batch, batches, minima, softest
from validators.calphad.screening.descent import descend
from validators.calphad.screening.phase import Coefficients, Family
from validators.calphad.screening.stability import TOLERANCE_J
from validators.calphad.systems import StartingPoint

__all__ = ["stable_points", "starting_points"]

Array = NDArray[np.float64]

_ROUNDS: Final = 12
_FIRST: Final = np.zeros(1, dtype=np.intp)
_AMOUNTS: Final = np.concatenate([np.geomspace(1e-6, 1e-2, 20), np.linspace(0.02, 0.99, 98)])


def starting_points(
    composition: Composition, temperature_K: float, database: CalphadDatabase
) -> tuple[StartingPoint, ...]:
    """Points below the tangent plane of bcc; none where bcc is stable.

    The first two are a mixture of the alloy's composition whose Gibbs energy is below that of bcc alone, the
    phase of the largest driving force and the bcc that is left: their fractions sum to one. The last are those
    of :func:`stable_points`.

    Raises:
        InputError: An element that the database does not have, a temperature out of range.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    database.require(composition)
    temperature = require_temperature(temperature_K)
    elements = tuple(sorted(composition.elements))
    if len(elements) == 1:
        return ()
    batch = next(batches(np.array([composition.fraction_vector(elements)]), elements, database))
    coefficients = batch.at(np.array([temperature]))
    x, parent, at = batch.x, batch.parent, coefficients[0]
    points = _below(batch, coefficients, parent.potentials(x, at)[1], x)
    if not points:
        return ()
    points.sort(key=lambda point: -point[0].driving_force)
    mixture = _mixture(parent, at, points[0], x)
    return (*mixture, *(point for point, *_ in points), *_stable(batch, coefficients))


def stable_points(
    composition: Composition, temperature_K: float, database: CalphadDatabase
) -> tuple[StartingPoint, ...]:
    """The phases that screening finds stable together, and what still lies below their tangent plane.

    Raises:
        InputError: An element that the database does not have, a temperature out of range.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    database.require(composition)
    temperature = require_temperature(temperature_K)
    elements = tuple(sorted(composition.elements))
    if len(elements) == 1:
        return ()
    batch = next(batches(np.array([composition.fraction_vector(elements)]), elements, database))
    return _stable(batch, batch.at(np.array([temperature])))


def _stable(batch: Batch, coefficients: list[Coefficients]) -> tuple[StartingPoint, ...]:
    found = stable_assemblage(batch, range(len(batch.families)), coefficients)
    points = []
    for slot in np.flatnonzero(found.fractions[0] > 0.0):
        number = found.phases[0, slot]
        for family, numbers in zip(batch.families, batch.numbers, strict=True):
            for entry in np.flatnonzero(numbers == number):
                member = family.members[family.member[entry]]
                points.append(
                    StartingPoint(member.name, member.pycalphad_order(found.y[0, slot, : family.dof]), 0.0)
                )
    if np.isfinite(found.potentials).all():
        points += [point for point, *_ in _below(batch, coefficients, found.potentials, None)]
    return tuple(points)


def _below(
    batch: Batch, coefficients: list[Coefficients], mu: Array, x: Array | None
) -> list[tuple[StartingPoint, Array, Family, Coefficients]]:
    """Points below a tangent plane, that of the parent's composition ``x`` if there is one."""
    points = []
    for family, there in zip(batch.families, coefficients, strict=True):
        own = x is not None and family is batch.parent
        more = softest(family, batch.x, there)[0] if own else None
        found, owner = minima(family, there, mu, more=more, leave_out=x if own else None)
        forces = -found.distance / family.amounts(found.y, owner).sum(axis=0)
        for k in np.flatnonzero(forces > TOLERANCE_J):
            one = family.entry(int(owner[k]))
            member = one.members[one.member[0]]
            point = StartingPoint(member.name, member.pycalphad_order(found.y[:, k]), float(forces[k]))
            points.append((point, found.y[:, [k]], one, there.take(owner[[k]])))
    return points


def _mixture(
    parent: Family, at: Coefficients, best: tuple[StartingPoint, Array, Family, Coefficients], x: Array
) -> tuple[StartingPoint, ...]:
    """Two phases of the least energy that a few rounds find, by turns the amount and the second phase."""
    point, y, phase, there = best
    alone = float(parent.potentials(x, at)[0][0])
    many = at.take(np.zeros(len(_AMOUNTS), dtype=np.intp))
    lowest: tuple[float, float, Array, Array] | None = None
    for _ in range(_ROUNDS):
        amounts = phase.amounts(y, _FIRST)
        atoms = amounts.sum()
        rest = (x - _AMOUNTS * amounts / atoms) / (1.0 - _AMOUNTS)
        possible = rest.min(axis=0) > 0.0
        rest = np.where(possible, rest, x)
        energies = (1.0 - _AMOUNTS) * parent.potentials(rest, many)[0]
        energies += _AMOUNTS * phase.energy(y, there)[0] / atoms
        k = int(np.where(possible, energies, np.inf).argmin())
        if not possible[k] or energies[k] >= (alone if lowest is None else lowest[0]) - 1e-9:
            break
        lowest = (float(energies[k]), float(_AMOUNTS[k]), y, rest[:, [k]])
        y = descend(phase, there, phase.slope(parent.potentials(lowest[3], at)[1]), y, 8).y
    if lowest is None:
        return ()
    _, amount, second, left = lowest
    bcc = parent.members[parent.member[0]]
    return (
        StartingPoint(bcc.name, bcc.pycalphad_order(left[:, 0]), 0.0, 1.0 - amount),
        StartingPoint(
            point.phase,
            phase.members[phase.member[0]].pycalphad_order(second[:, 0]),
            point.driving_force,
            amount,
        ),
    )

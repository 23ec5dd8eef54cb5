"""What screening hands to the confirming tier: points below the plane of bcc, and a mixture of less energy."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import require_temperature
from validators.calphad.screening.descent import descend
from validators.calphad.screening.phase import Coefficients, VectorPhase
from validators.calphad.screening.stability import TOLERANCE_J
from validators.calphad.screening.system import PARENT, system_of
from validators.calphad.systems import StartingPoint

__all__ = ["starting_points"]

Array = NDArray[np.float64]

_ROUNDS: Final = 12
_AMOUNTS: Final = np.concatenate([np.geomspace(1e-6, 1e-2, 20), np.linspace(0.02, 0.99, 98)])


def starting_points(
    composition: Composition, temperature_K: float, database: CalphadDatabase
) -> tuple[StartingPoint, ...]:
    """Points below the tangent plane of bcc; none where bcc is stable.

    The first two are a mixture of the alloy's composition whose Gibbs energy is below that of bcc alone, the
    phase of the largest driving force and the bcc that is left: their fractions sum to one.

    Raises:
        InputError: An element that the database does not have, a temperature out of range.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    database.require(composition)
    temperature = require_temperature(temperature_K)
    elements = tuple(sorted(composition.elements))
    if len(elements) == 1:
        return ()
    translation, system = system_of(database, elements)
    T = np.array([temperature])
    table = translation.program.values(T)
    x = np.array([[composition.fractions[e]] for e in elements])
    x /= x.sum()
    parent = system.phases[PARENT]
    at = parent.coefficients(T, table)
    mu = parent.potentials(x, at)[1]
    points: list[tuple[StartingPoint, Array]] = []
    for name, phase in system.phases.items():
        more = system.along_softest(PARENT, x, at)[0] if name == PARENT else None
        there = phase.coefficients(T, table)
        found, _ = system.minima(name, there, mu, more=more, leave_out=x if name == PARENT else None)
        forces = -found.distance / phase.amounts(found.y).sum(axis=0)
        points += [
            (StartingPoint(name, phase.pycalphad_order(found.y[:, k]), float(force)), found.y[:, [k]])
            for k, force in enumerate(forces)
            if force > TOLERANCE_J
        ]
    if not points:
        return ()
    points.sort(key=lambda point: -point[0].driving_force)
    best, y = points[0]
    phase = system.phases[best.phase]
    mixture = _mixture(parent, at, phase, phase.coefficients(T, table), x, y, best.driving_force)
    return (*mixture, *(point for point, _ in points))


def _mixture(
    parent: VectorPhase,
    at: Coefficients,
    phase: VectorPhase,
    there: Coefficients,
    x: Array,
    y: Array,
    force: float,
) -> tuple[StartingPoint, ...]:
    """Two phases of the least energy that a few rounds find, by turns the amount and the second phase."""
    alone = float(parent.potentials(x, at)[0][0])
    many = at.take(np.zeros(len(_AMOUNTS), dtype=int))
    best: tuple[float, float, Array, Array] | None = None
    for _ in range(_ROUNDS):
        amounts = phase.amounts(y)
        atoms = amounts.sum()
        rest = (x - _AMOUNTS * amounts / atoms) / (1.0 - _AMOUNTS)
        possible = rest.min(axis=0) > 0.0
        rest = np.where(possible, rest, x)
        energies = (1.0 - _AMOUNTS) * parent.potentials(rest, many)[0]
        energies += _AMOUNTS * phase.energy(y, there)[0] / atoms
        k = int(np.where(possible, energies, np.inf).argmin())
        if not possible[k] or energies[k] >= (alone if best is None else best[0]) - 1e-9:
            break
        best = (float(energies[k]), float(_AMOUNTS[k]), y, rest[:, [k]])
        y = descend(phase, there, parent.potentials(best[3], at)[1], y, 8).y
    if best is None:
        return ()
    _, amount, second, left = best
    return (
        StartingPoint(parent.name, parent.pycalphad_order(left[:, 0]), 0.0, 1.0 - amount),
        StartingPoint(phase.name, phase.pycalphad_order(second[:, 0]), force, amount),
    )

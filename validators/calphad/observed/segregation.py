"""What a casting freezes to: Scheil and Gulliver's solidification of arrays of alloys, by the screening tier.

No diffusion in the solid, complete mixing in the liquid (Gulliver, J. Inst. Met. 9 (1913) 120; Scheil,
Z. Metallkd. 34 (1942) 70). From one step to the next the partition coefficients k of the solid that touches the
plane of the liquid are constant, so that the liquid follows x_L ~ f_L^(k - 1) exactly and no fraction can become
negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import MAX_TEMPERATURE_K
from validators.calphad.screening.melting import crossing
from validators.calphad.screening.model import NotVectorisable
from validators.calphad.screening.stability import blocks, require_arrays
from validators.calphad.screening.system import PARENT, VectorSystem, is_liquid, system_of
from validators.calphad.screening.temperature import TemperatureProgram

__all__ = ["SOLID_FRACTIONS", "Casting", "cast"]

Array = NDArray[np.float64]

SOLID_FRACTIONS: Final = (0.0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96)
"""Fractions of solid at which the solid that forms is computed."""

_TOLERANCE_K: Final = 4.0
_SMALLEST: Final = 1e-9  # of an element in the liquid
_FIRST_GUESS_K: Final = 2300.0


@dataclass(frozen=True, slots=True)
class Casting:
    """Solidification of ``n`` alloys at ``s`` fractions of solid (:data:`SOLID_FRACTIONS`).

    Attributes:
        elements: The ``m`` columns of the compositions.
        temperatures_K: ``(n, s)`` temperature at which that much is solid, K; NaN from where the search was lost.
        bcc: ``(n, s)`` whether the solid that forms there is bcc.
        solids: ``(n, s, m)`` atomic fractions of the solid that forms there.
    """

    elements: tuple[str, ...]
    temperatures_K: Array
    bcc: NDArray[np.bool_]
    solids: Array


def cast(fractions: Array, elements: Sequence[str], database: CalphadDatabase) -> Casting:
    """Solidify ``n`` alloys.

    Args:
        fractions: ``(n, m)`` atomic fractions.
        elements: The ``m`` elements of the columns.
        database: From :func:`validators.calphad.load_database`.

    Raises:
        InputError: As :func:`validators.calphad.screening.screen`, or a database without a liquid.
        NotVectorisable: The database has something that screening has no arrays for, or its liquid is no
            solution on one sublattice.
    """
    elements = tuple(elements)
    x, T = require_arrays(fractions, elements, np.asarray(_FIRST_GUESS_K), database)
    liquids = [p for p in database.phases if is_liquid(p)]
    if not liquids:
        raise InputError(
            "database", database.name, "has no liquid phase", "give a database that has one to cast from"
        )
    n, s, m = len(x), len(SOLID_FRACTIONS), len(elements)
    result = Casting(
        elements, np.full((n, s), np.nan), np.zeros((n, s), dtype=bool), np.full((n, s, m), np.nan)
    )
    column = {e: k for k, e in enumerate(elements)}
    for chosen, block in blocks(x, T, elements):
        translation, system = system_of(database, chosen)
        liquid = liquids[0]
        if liquid not in system.phases or not (len(chosen) == 1 or system.phases[liquid].substitutional):
            raise NotVectorisable(database.name, f"its {liquid} is not a solution on one sublattice")
        columns = np.array([column[e] for e in chosen])
        _solidify(_Freezing(translation.program, system, liquid), block.x, block.where, columns, result)
    return result


class _Freezing:
    """The solids of one system against the plane of its liquid."""

    def __init__(self, program: TemperatureProgram, system: VectorSystem, liquid: str) -> None:
        self._program = program
        self._system = system
        self._liquid = liquid
        self._solids = [name for name in system.phases if not is_liquid(name)]

    def lowest(self, x: Array, T: Array) -> tuple[Array, NDArray[np.bool_], Array]:
        """The solid that lies lowest against the plane of liquids.

        Args:
            x: ``(c, n)`` compositions of the liquids.
            T: ``(n,)``, K.

        Returns:
            Its distance ``(n,)`` in J per mole of atoms, whether it is bcc, and its composition ``(c, n)``.
        """
        table = self._program.values(T)
        phases = self._system.phases
        mu = self._system.parent_potentials(self._liquid, x, phases[self._liquid].coefficients(T, table))[1]
        least = np.full(len(T), np.inf)
        is_bcc = np.zeros(len(T), dtype=bool)
        solid = np.full_like(x, np.nan)
        for name in self._solids:
            phase = phases[name]
            found, owner = self._system.minima(name, phase.coefficients(T, table), mu)
            amounts = phase.amounts(found.y)
            atoms = amounts.sum(axis=0)
            distance = found.distance / atoms
            order = np.lexsort((-distance, owner))  # the lowest of each alloy is written last
            best = np.full(len(T), -1)
            best[owner[order]] = order
            which = np.flatnonzero(best >= 0)
            ahead = which[distance[best[which]] < least[which]]
            least[ahead] = distance[best[ahead]]
            is_bcc[ahead] = name == PARENT
            solid[:, ahead] = amounts[:, best[ahead]] / atoms[best[ahead]]
        return least, is_bcc, solid


def _solidify(
    freezing: _Freezing, x: Array, where: NDArray[np.intp], columns: NDArray[np.intp], result: Casting
) -> None:
    liquid = np.maximum(x, _SMALLEST)
    liquid /= liquid.sum(axis=0)
    guess = np.full(x.shape[1], _FIRST_GUESS_K)
    left = 1.0
    for step, solid_fraction in enumerate(SOLID_FRACTIONS):
        if step:
            ratio = (1.0 - solid_fraction) / left
            k = np.nan_to_num(solid / liquid, nan=1.0)  # noqa: F821 - of the step before
            liquid = np.maximum(liquid * ratio ** (np.minimum(k, 50.0) - 1.0), _SMALLEST)
            liquid /= liquid.sum(axis=0)
        left = 1.0 - solid_fraction
        T = crossing(
            lambda T, who, at=liquid: -freezing.lowest(at[:, who], T)[0],  # type: ignore[misc]
            guess,
            _TOLERANCE_K,
        )
        T = np.where(np.isfinite(T), T, np.nan)
        _, is_bcc, solid = freezing.lowest(liquid, np.where(np.isfinite(T), T, guess))
        result.temperatures_K[where, step] = T
        result.bcc[where, step] = is_bcc
        result.solids[np.ix_(where, [step], columns)] = solid.T[:, None, :]
        guess = np.minimum(np.where(np.isfinite(T), T, guess), MAX_TEMPERATURE_K - 1.0)

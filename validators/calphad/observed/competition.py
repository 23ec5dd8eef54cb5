"""The thermodynamic features: up to what temperature, of its melting point, each rival of bcc is stable.

Diffusion in metals goes with the homologous temperature T / T_solidus, not with T: a second phase that is
stable up to 0.45 T_solidus has no time to form in a casting, one that is stable up to 0.9 T_solidus hardly fails
to. So for each class of rivals the feature is the highest homologous temperature at which one of them lies below
the tangent plane of bcc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import MIN_TEMPERATURE_K
from validators.calphad.screening import melting_range, screen
from validators.calphad.solidus import solidus
from validators.outcome import OutcomeStatus

__all__ = ["LOWEST", "RIVALS", "STABLE_ABOVE_J", "Competition", "competition"]

Array = NDArray[np.float64]

RIVALS: Final = ("second bcc", "hcp", "Laves", "other phase")
"""Classes of rivals: bcc of another composition, HCP_A3, the phases named LAVES_..., every other solid phase."""

LOWEST: Final = 0.3
"""T / T_solidus from which up rivals are looked for: nothing diffuses below. A class that has none gets it."""

STABLE_ABOVE_J: Final = 1.0
"""J per mole of atoms below the tangent plane from which on a rival counts."""

_GRID: Final = np.linspace(LOWEST, 1.0, 8)
_BISECTIONS: Final = 3  # 0.1 / 2^3: a homologous temperature to 0.0125, its middle to half of that


@dataclass(frozen=True, slots=True)
class Competition:
    """What competes with bcc in ``n`` alloys.

    Attributes:
        compositions: The alloys.
        solidus_K: ``(n,)``, K; NaN where neither tier has an answer.
        stable_up_to: ``(n, 4)`` highest T / T_solidus at which a rival of each class (:data:`RIVALS`) is stable
            against bcc, from :data:`LOWEST` to 1; NaN where there is no solidus.
        rivals: ``(n, 4)`` name of the phase that is stable there; empty where none is.
    """

    compositions: tuple[Composition, ...]
    solidus_K: Array
    stable_up_to: Array
    rivals: NDArray[np.str_]


def competition(compositions: Sequence[Composition], database: CalphadDatabase) -> Competition:
    """Compute the features of ``n`` alloys; those of one do not depend on which others are asked for.

    Args:
        compositions: The alloys.
        database: From :func:`validators.calphad.load_database`.

    Raises:
        InputError: An element that the database does not have, or a database without a liquid.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    alloys = tuple(compositions)
    for alloy in alloys:
        database.require(alloy)
    count = len(alloys)
    elements = tuple(sorted({e for c in alloys for e in c.elements}))
    x = np.array([[c.fractions.get(e, 0.0) for e in elements] for c in alloys]).reshape(count, len(elements))
    solidus_K = np.full(count, np.nan)
    top = np.full((count, len(RIVALS)), np.nan)
    names = np.full((count, len(RIVALS)), "", dtype="U24")
    if count:
        melting = melting_range(x, elements, database, liquidus=False)
        solidus_K = np.where(melting.solidus_settled, melting.solidus_K, np.nan)
        for k in np.flatnonzero(np.isnan(solidus_K)):  # screening did not find the solids: pycalphad
            found = solidus(alloys[k], database)
            if found.status is OutcomeStatus.CONVERGED:
                solidus_K[k] = found.temperature_K
        known = np.flatnonzero(np.isfinite(solidus_K))
        if len(known):
            top[known], names[known] = _tops(x[known], elements, solidus_K[known], database)
    return Competition(alloys, solidus_K, top, names)


def _forces(
    x: Array, elements: tuple[str, ...], T: Array, database: CalphadDatabase
) -> tuple[Array, NDArray[np.str_]]:
    """Largest driving force of each class, ``(n, 4)`` in J per mole of atoms, and the phase that has it."""
    found = screen(x, elements, np.maximum(T, MIN_TEMPERATURE_K), database)
    force = np.full((len(x), len(RIVALS)), -np.inf)
    name = np.full((len(x), len(RIVALS)), "", dtype="U24")
    for phase, value in sorted(found.driving_forces.items()):
        if phase.startswith(("LIQUID", "IONIC_LIQ")):  # at the solidus itself
            continue
        k = _class_of(phase)
        ahead = value > force[:, k]
        force[ahead, k] = value[ahead]
        name[ahead, k] = phase
    return force, name


def _class_of(phase: str) -> int:
    if phase in {"BCC_A2", "HCP_A3"}:
        return RIVALS.index("second bcc" if phase == "BCC_A2" else "hcp")
    return RIVALS.index("Laves" if phase.startswith("LAVES") else "other phase")


def _tops(
    x: Array, elements: tuple[str, ...], solidus_K: Array, database: CalphadDatabase
) -> tuple[Array, NDArray[np.str_]]:
    count, steps, classes = len(x), len(_GRID), len(RIVALS)
    T = (solidus_K[:, None] * _GRID).ravel()
    force, name = _forces(np.repeat(x, steps, axis=0), elements, T, database)
    stable = (force > STABLE_ABOVE_J).reshape(count, steps, classes)
    last = np.where(stable.any(axis=1), steps - 1 - stable[:, ::-1].argmax(axis=1), -1)
    top = np.where(last >= 0, _GRID[last], LOWEST)
    rivals = np.where(
        last >= 0,
        np.take_along_axis(name.reshape(count, steps, classes), np.maximum(last, 0)[:, None, :], axis=1)[
            :, 0
        ],
        "",
    )
    # between that temperature and the next one of the grid, by halves
    alloy, which = np.nonzero((last >= 0) & (last < steps - 1))
    low, high = top[alloy, which], _GRID[last[alloy, which] + 1]
    for _ in range(_BISECTIONS if len(alloy) else 0):
        middle = (low + high) / 2
        force, name = _forces(x[alloy], elements, solidus_K[alloy] * middle, database)
        here = np.arange(len(alloy))
        above = force[here, which] > STABLE_ABOVE_J
        low, high = np.where(above, middle, low), np.where(above, high, middle)
        rivals[alloy[above], which[above]] = name[here[above], which[above]]
    top[alloy, which] = (low + high) / 2
    return top, rivals

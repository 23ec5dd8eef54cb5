"""Screening: is bcc alone? Tangent-plane distances over arrays of compositions and temperatures.

A single phase is stable if and only if no phase lies below the tangent plane of its Gibbs energy at the
composition (Baker, Pierce and Luks, SPE J. 22 (1982) 731; Michelsen, Fluid Phase Equilib. 9 (1982) 1,
doi 10.1016/0378-3812(82)85001-2). Bcc against itself is the miscibility gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import require_temperature
from validators.calphad.screening.system import PARENT, VectorSystem, system_of

__all__ = ["TOLERANCE_J", "Screening", "screen", "screen_compositions"]

Array = NDArray[np.float64]

TOLERANCE_J: Final = 1e-3
"""J/mol of atoms below the tangent plane from which on another phase counts as stable."""

_ITSELF: Final = 0.01  # largest difference of a fraction
_BLOCK: Final = 192  # alloys at once: what is worked on stays in the processor's cache


@dataclass(frozen=True, slots=True)
class Screening:
    """Answers for ``n`` alloys, each at its temperature.

    Attributes:
        elements: Columns of the compositions.
        temperatures_K: ``(n,)``, K.
        single_phase_bcc: ``(n,)`` whether bcc is stable and alone.
        competing_phase: ``(n,)`` the phase of the largest driving force, stable or not.
        driving_force: ``(n,)`` J per mole of atoms of that phase, against bcc of the alloy's composition;
            negative where bcc is stable. Minus infinity where there is no other phase or second minimum.
        trial: ``(n, m)`` atomic fractions of that phase.
        driving_forces: Per phase ``(n,)`` the same of each phase.
        energy: ``(n,)`` Gibbs energy of bcc, J per mole of atoms.
        potentials: ``(n, m)`` its chemical potentials, J/mol; NaN for elements that the alloy does not have.
    """

    elements: tuple[str, ...]
    temperatures_K: Array
    single_phase_bcc: NDArray[np.bool_]
    competing_phase: NDArray[np.str_]
    driving_force: Array
    trial: Array
    driving_forces: dict[str, Array]
    energy: Array
    potentials: Array


@dataclass(slots=True)
class Block:
    """Alloys of one set of elements.

    Attributes:
        where: ``(k,)`` positions in the caller's arrays.
        x: ``(c, k)`` atomic fractions.
        T: ``(k,)``, K.
    """

    where: NDArray[np.intp]
    x: Array
    T: Array


def require_arrays(
    fractions: Array, elements: Sequence[str], temperatures_K: Array, database: CalphadDatabase
) -> tuple[Array, Array]:
    """Compositions ``(n, m)`` and temperatures ``(n,)``, checked; raises as :func:`screen`."""
    x = np.atleast_2d(np.asarray(fractions, dtype=float))
    unknown = sorted(set(elements) - set(database.elements))
    if unknown:
        raise InputError(
            "elements",
            list(elements),
            f"{', '.join(unknown)} not in the database {database.name}",
            f"use only {', '.join(database.elements)}",
        )
    if x.ndim != 2 or x.shape[1] != len(elements) or len(set(elements)) != len(elements):
        raise InputError(
            "fractions",
            x.shape,
            f"does not fit the elements {', '.join(elements)}",
            "give one column for each",
        )
    if not np.isfinite(x).all() or x.min(initial=0.0) < 0 or (np.abs(x.sum(axis=1) - 1.0) > 1e-6).any():
        raise InputError(
            "fractions", "rows", "are not atomic fractions that sum to one", "normalise the compositions"
        )
    T = np.broadcast_to(np.asarray(temperatures_K, dtype=float), (len(x),)).astype(float)
    for extreme in (T.min(initial=np.inf), T.max(initial=-np.inf)) if len(T) else ():
        require_temperature(float(extreme), "temperatures_K")
    if np.isnan(T).any():
        require_temperature(float("nan"), "temperatures_K")
    return x, T


def blocks(x: Array, T: Array, elements: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Block]]:
    """Alloys by their set of elements, in pieces; the elements in alphabetical order."""
    order = np.argsort(list(elements))
    present = x[:, order] > 0.0
    code = present @ (1 << np.arange(len(order), dtype=np.int64))
    for one in np.unique(code):
        where = np.flatnonzero(code == one)
        columns = order[present[where[0]]]
        chosen = tuple(elements[k] for k in columns)
        for begin in range(0, len(where), _BLOCK):
            part = where[begin : begin + _BLOCK]
            inside = x[np.ix_(part, columns)].T
            yield chosen, Block(part, inside / inside.sum(axis=0), T[part])


def screen(
    fractions: Array, elements: Sequence[str], temperatures_K: Array | float, database: CalphadDatabase
) -> Screening:
    """Test the stability of bcc for ``n`` alloys, each at one temperature.

    Args:
        fractions: ``(n, m)`` atomic fractions; zero for an element that an alloy does not have.
        elements: The ``m`` elements (``Nb``) of the columns.
        temperatures_K: ``(n,)`` or one for all, K. For every alloy at every temperature repeat both
            (``np.repeat``, ``np.tile``).
        database: From :func:`validators.calphad.load_database`.

    Raises:
        InputError: An element that the database does not have, fractions that do not sum to one, a
            temperature out of range.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    elements = tuple(elements)
    x, T = require_arrays(fractions, elements, np.asarray(temperatures_K), database)
    count = len(x)
    result = Screening(
        elements,
        T,
        np.ones(count, dtype=bool),
        np.full(count, "", dtype="U24"),
        np.full(count, -np.inf),
        np.full((count, len(elements)), np.nan),
        {},
        np.full(count, np.nan),
        np.full((count, len(elements)), np.nan),
    )
    if not count:
        return result
    column = {e: k for k, e in enumerate(elements)}
    unique, inverse = np.unique(T, return_inverse=True)
    table: Array | None = None
    for chosen, block in blocks(x, T, elements):
        translation, system = system_of(database, chosen)
        if table is None:
            table = translation.program.values(unique)
        _screen_block(
            system, block, table[:, inverse[block.where]], result, np.array([column[e] for e in chosen])
        )
    return result


def _screen_block(
    system: VectorSystem, block: Block, table: Array, result: Screening, columns: NDArray[np.intp]
) -> None:
    where, x = block.where, block.x
    at = system.phases[PARENT].coefficients(block.T, table)
    energy, mu = system.parent_potentials(PARENT, x, at)
    result.energy[where] = energy
    result.potentials[np.ix_(where, columns)] = mu.T
    for name, phase in system.phases.items():
        of_phase = at if name == PARENT else phase.coefficients(block.T, table)
        more = None
        spinodal = np.zeros(len(where), dtype=bool)
        if name == PARENT:
            if len(x) == 1:
                continue
            more, spinodal = system.along_softest(PARENT, x, at)
        found, owner = system.minima(
            name, of_phase, mu, more=more, leave_out=x if name == PARENT else None, kept=4
        )
        amounts = phase.amounts(found.y)
        atoms = amounts.sum(axis=0)
        gain = -found.distance / atoms
        if name == PARENT:
            # a point that ran back into the alloy itself is no second bcc
            back = (np.abs(found.y - x[:, owner]).max(axis=0) < _ITSELF) & (gain <= TOLERANCE_J)
            gain = np.where(back, -np.inf, gain)
        force = np.full(len(where), -np.inf)
        np.maximum.at(force, owner, gain)
        if name == PARENT:
            # inside a spinodal there is a gap, even where no second minimum was kept
            force = np.where(spinodal, np.maximum(force, 2 * TOLERANCE_J), force)
        result.driving_forces.setdefault(name, np.full(len(result.energy), -np.inf))[where] = force
        ahead = force > result.driving_force[where]
        result.driving_force[where[ahead]] = force[ahead]
        result.competing_phase[where[ahead]] = name
        best = np.flatnonzero(ahead[owner] & (gain >= force[owner]))
        rows = where[owner[best]]
        result.trial[rows] = np.nan_to_num(result.trial[rows], nan=0.0)
        result.trial[np.ix_(rows, columns)] = (amounts[:, best] / atoms[best]).T
    result.single_phase_bcc[where] = result.driving_force[where] <= TOLERANCE_J


def screen_compositions(
    compositions: Sequence[Composition], temperatures_K: Sequence[float], database: CalphadDatabase
) -> Screening:
    """The same for every composition at every temperature, temperatures running fastest.

    Raises:
        InputError: As :func:`screen`.
    """
    for composition in compositions:
        database.require(composition)
    elements = tuple(sorted({e for c in compositions for e in c.elements}))
    x = np.array([[c.fractions.get(e, 0.0) for e in elements] for c in compositions])
    x = x.reshape(len(compositions), len(elements))
    T = np.tile(np.asarray(temperatures_K, dtype=float), len(compositions))
    return screen(np.repeat(x, len(temperatures_K), axis=0), elements, T, database)

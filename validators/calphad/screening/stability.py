"""Screening: is bcc alone? Tangent-plane distances over arrays of compositions and temperatures.

A single phase is stable if and only if no phase lies below the tangent plane of its Gibbs energy at the
composition (Baker, Pierce and Luks, SPE J. 22 (1982) 731; Michelsen, Fluid Phase Equilib. 9 (1982) 1,
doi 10.1016/0378-3812(82)85001-2). Bcc against itself is the miscibility gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import require_temperature
from validators.calphad.screening.batch import Batch, batches, minima, softest

__all__ = ["TOLERANCE_J", "Screening", "screen", "screen_compositions"]

Array = NDArray[np.float64]

TOLERANCE_J: Final = 1e-3
"""J/mol of atoms below the tangent plane from which on another phase counts as stable."""

_ITSELF: Final = 0.01  # largest difference of a fraction


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
    for batch in batches(x, elements, database):
        _screen_batch(batch, T[batch.where], result)
    return result


def _screen_batch(batch: Batch, T: Array, result: Screening) -> None:
    where, x = batch.where, batch.x
    coefficients = batch.at(T)
    energy, mu = batch.parent.potentials(x, coefficients[0])
    result.energy[where] = energy
    result.potentials[where, batch.columns] = mu
    forces = np.full((len(batch.names), len(where)), -np.inf)
    trials = np.full((len(batch.names), *x.shape), np.nan)
    for family, numbers, at in zip(batch.families, batch.numbers, coefficients, strict=True):
        more = leave_out = None
        spinodal = np.zeros(len(where), dtype=bool)
        if family is batch.parent:
            if len(x) == 1:
                continue
            more, spinodal = softest(family, x, at)
            leave_out = x
        found, owner = minima(family, at, mu, more=more, leave_out=leave_out)
        amounts = family.amounts(found.y, owner)
        atoms = amounts.sum(axis=0)
        gain = -found.distance / atoms
        if leave_out is not None:
            # a point that ran back into the alloy itself is no second bcc
            back = (np.abs(found.y - x[:, owner]).max(axis=0) < _ITSELF) & (gain <= TOLERANCE_J)
            gain = np.where(back, -np.inf, gain)
        # of each entry the point of the largest gain
        order = np.lexsort((-gain, owner))
        best = order[np.concatenate([[True], owner[order][1:] != owner[order][:-1]])] if len(order) else order
        name, alloy = numbers[owner[best]], family.alloy[owner[best]]
        forces[name, alloy] = gain[best]
        trials[name, :, alloy] = (amounts[:, best] / atoms[best]).T
        if leave_out is not None:
            # inside a spinodal there is a gap, even where no second minimum was kept
            number = numbers[0]
            forces[number] = np.where(spinodal, np.maximum(forces[number], 2 * TOLERANCE_J), forces[number])
    for name, force in zip(batch.names, forces, strict=True):
        result.driving_forces.setdefault(name, np.full(len(result.energy), -np.inf))[where] = force
    first = forces.argmax(axis=0)
    everyone = np.arange(len(where))
    result.driving_force[where] = forces[first, everyone]
    known = np.flatnonzero(np.isfinite(forces[first, everyone]))
    result.competing_phase[where[known]] = np.array(batch.names)[first[known]]
    result.trial[where[known]] = 0.0
    result.trial[where[known], batch.columns[:, known]] = trials[first[known], :, known].T
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

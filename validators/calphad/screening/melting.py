"""Screening: solidus and liquidus of arrays of alloys.

The liquidus is where a solid touches the tangent plane of the liquid from above on cooling; the solidus is
where the liquid touches the plane of the stable solids on heating. A single element melts where the Gibbs
energies of liquid and most stable solid cross, whichever solid that is. Where bcc is alone up to melting, its own
tangent plane is that plane; elsewhere it is that of the stable assemblage of the solids
(:mod:`validators.calphad.screening.assemblage`). Where that was not found, the answer is marked as not
settled: the confirming tier gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import MAX_TEMPERATURE_K, MIN_TEMPERATURE_K
from validators.calphad.screening.assemblage import Assemblage, stable_assemblage
from validators.calphad.screening.batch import Batch, batches, minima, softest
from validators.calphad.screening.stability import TOLERANCE_J, require_arrays
from validators.calphad.screening.system import is_liquid

__all__ = ["MeltingRange", "bcc_solidus", "melting_range"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_SOLIDS: Final = ("parent", "solid")
_GUESS_K: Final = 2300.0
_SLOPE: Final = -9.0  # J/(mol K): entropies of melting of metals are near R (Richard's rule)
_LONGEST_STEP_K: Final = 400.0
_EVALUATIONS_OF_BCC: Final = 8  # what has no answer by then is not alone
_LOW_GUESS_K, _HIGH_GUESS_K = 1500.0, 3600.0
_TRUSTED_GAP_J: Final = 10.0
"""J/mol that the plane of the solids may be off: 1 K of a solidus, by Richard's rule."""


@dataclass(frozen=True, slots=True)
class MeltingRange:
    """Answers for ``n`` alloys.

    Attributes:
        solidus_K: ``(n,)``; NaN where there is none within 298.15 to 6000 K.
        liquidus_K: ``(n,)``; likewise.
        solidus_settled: ``(n,)`` whether the stable solids just below the solidus were found.
        liquidus_settled: ``(n,)`` whether the liquid does not itself demix at the liquidus.
    """

    solidus_K: Array
    liquidus_K: Array
    solidus_settled: NDArray[np.bool_]
    liquidus_settled: NDArray[np.bool_]


def crossing(
    function: Callable[[Array, Index], Array],
    guess: Array,
    tolerance_K: float,
    evaluations: int = 40,
) -> Array:
    """Where a function that falls with temperature crosses zero, for ``n`` alloys at once.

    Secant steps inside a bracket, bisection where they stall (Ridders' and Brent's idea, kept simple).

    Args:
        function: From temperatures ``(k,)`` of the alloys with these numbers ``(k,)`` to values ``(k,)``, J/mol.
        guess: ``(n,)`` first temperatures, K.
        tolerance_K: Width of the bracket, or length of the last step, K.
        evaluations: How many at most.

    Returns:
        ``(n,)``, NaN where there is no crossing within 298.15 to 6000 K.
    """
    count = len(guess)
    low, high = np.full(count, MIN_TEMPERATURE_K), np.full(count, MAX_TEMPERATURE_K - 1.0)
    at_low, at_high = np.full(count, np.inf), np.full(count, -np.inf)
    T, slope = guess.copy(), np.full(count, _SLOPE)
    last_T, last = np.full(count, np.nan), np.full(count, np.nan)
    open_ = np.arange(count)
    for _ in range(evaluations):
        if not len(open_):
            break
        now = T[open_]
        value = function(now, open_)
        above = value > 0
        up, down = open_[above], open_[~above]
        low[up], at_low[up] = now[above], value[above]
        high[down], at_high[down] = now[~above], value[~above]
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = (value - last[open_]) / (now - last_T[open_])
        usable = np.isfinite(secant) & (secant < -0.2)
        slope[open_] = np.where(usable, secant, slope[open_])
        last_T[open_], last[open_] = now, value
        with np.errstate(invalid="ignore"):
            step = np.clip(-value / slope[open_], -_LONGEST_STEP_K, _LONGEST_STEP_K)
        step = np.where(np.isfinite(step), step, np.where(above, _LONGEST_STEP_K, -_LONGEST_STEP_K))
        done = (np.abs(step) < 0.3 * tolerance_K) | (high[open_] - low[open_] < tolerance_K)
        following = now + step
        outside = (following <= low[open_]) | (following >= high[open_])
        T[open_] = np.where(outside, (low[open_] + high[open_]) / 2, following)
        T[open_[done]] = np.clip(following[done], low[open_[done]], high[open_[done]])
        open_ = open_[~done]
    reach = 2 * tolerance_K
    missing = np.isinf(at_low) & (reach > T - MIN_TEMPERATURE_K)
    missing |= np.isinf(at_high) & (reach > MAX_TEMPERATURE_K - 1.0 - T)
    T[missing] = np.nan
    T[open_] = np.nan
    return T


class _Melting:
    """One batch of alloys."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def lowest(
        self, parent: str, others: Sequence[str], T: Array, which: Index, *, itself: bool = False
    ) -> Array:
        """The least distance of other phases from the plane of one phase, J per mole of atoms.

        Args:
            parent: Role of the one phase.
            others: Roles of the others, in which the parent can be one.
            T: Temperatures, K, of the alloys ``which``.
            which: Numbers of the alloys in the batch.
            itself: Look for a second composition of the parent more closely.
        """
        if not len(which):  # of an empty batch not even the parent is there
            return np.zeros(0)
        batch = self._batch if len(which) == len(self._batch.where) else self._batch.take(which)
        coefficients = batch.at(T)
        own = next(k for k, family in enumerate(batch.families) if family.role == parent)
        mu = batch.families[own].potentials(batch.x, coefficients[own])[1]
        least = np.full(len(which), np.inf)
        for k, (family, at) in enumerate(zip(batch.families, coefficients, strict=True)):
            if family.role not in others:
                continue
            # a pure element has no second composition
            if k == own and len(batch.x) == 1:
                continue
            more = leave_out = None
            if k == own:
                leave_out = batch.x
                if itself:
                    more = softest(family, batch.x, at)[0]
            found, owner = minima(family, at, mu, more=more, leave_out=leave_out)
            distance = found.distance / family.amounts(found.y, owner).sum(axis=0)
            np.minimum.at(least, family.alloy[owner], distance)
        return least

    def liquid_above_solids(
        self, T: Array, which: Index, near: Assemblage | None
    ) -> tuple[Array, Assemblage]:
        """Least distance of the liquid from the plane of the stable solids, J/mol, and those solids."""
        batch = self._batch.take(which)
        coefficients = batch.at(T)
        solids = [k for k, family in enumerate(batch.families) if family.role != "liquid"]
        stable = stable_assemblage(batch, solids, coefficients, near)
        least = np.full(len(which), np.inf)
        for family, at in zip(batch.families, coefficients, strict=True):
            if family.role == "liquid":
                found, owner = minima(family, at, stable.potentials)
                distance = found.distance / family.amounts(found.y, owner).sum(axis=0)
                np.minimum.at(least, family.alloy[owner], distance)
        return least, stable

    def _liquid_above_best_solid(self, T: Array, which: Index) -> Array:
        """Gibbs energy of the liquid of an element above that of its most stable solid, J/mol."""
        solid = np.minimum(self.lowest("parent", _SOLIDS, T, which), 0.0)  # bcc itself is at zero
        return self.lowest("parent", ("liquid",), T, which) - solid

    def solidus(self, guess: Array, tolerance_K: float) -> tuple[Array, NDArray[np.bool_]]:
        """Solidus ``(n,)`` and whether it is settled."""
        if len(self._batch.x) == 1:
            melting = crossing(self._liquid_above_best_solid, guess, tolerance_K)
            return melting, np.isfinite(melting)
        found = crossing(
            lambda T, who: self.lowest("parent", ("liquid",), T, who), guess, tolerance_K, _EVALUATIONS_OF_BCC
        )
        settled = np.zeros(len(guess), dtype=bool)
        known = np.flatnonzero(np.isfinite(found))
        below = np.maximum(found[known] - 2 * tolerance_K, MIN_TEMPERATURE_K)
        settled[known] = self.lowest("parent", _SOLIDS, below, known, itself=True) > -TOLERANCE_J
        # where bcc is not alone: the stable solids, beginning at what bcc alone would give
        rest = np.flatnonzero(~settled)
        if len(rest):
            last: list[Assemblage] = []  # of all of the rest, once there is one

            def distance(T: Array, who: NDArray[np.intp]) -> Array:
                value, stable = self.liquid_above_solids(T, rest[who], last[0].take(who) if last else None)
                if last:
                    last[0].put(who, stable)
                else:
                    last.append(stable)
                return value

            start = np.clip(np.nan_to_num(found[rest], nan=_LOW_GUESS_K), _LOW_GUESS_K, _HIGH_GUESS_K)
            found[rest] = crossing(distance, start, tolerance_K)
            settled[rest] = np.isfinite(found[rest]) & (last[0].gap < _TRUSTED_GAP_J)
        return found, settled


def melting_range(
    fractions: Array,
    elements: Sequence[str],
    database: CalphadDatabase,
    *,
    tolerance_K: float = 2.0,
    liquidus: bool = True,
) -> MeltingRange:
    """Solidus and liquidus of ``n`` alloys.

    Args:
        fractions: ``(n, m)`` atomic fractions.
        elements: The ``m`` elements of the columns.
        database: From :func:`validators.calphad.load_database`.
        tolerance_K: How far the search may end from the crossing, K.
        liquidus: Whether to search the liquidus as well; NaN otherwise.

    Raises:
        InputError: As :func:`validators.calphad.screening.screen`, or a database without a liquid.
        NotVectorisable: The database has something that screening has no arrays for.
    """
    elements = tuple(elements)
    x, _ = require_arrays(fractions, elements, np.asarray(_GUESS_K), database)
    if not any(is_liquid(p) for p in database.phases):
        raise InputError(
            "database", database.name, "has no liquid phase", "ask for no solidus, or use another database"
        )
    count = len(x)
    result = MeltingRange(
        np.full(count, np.nan),
        np.full(count, np.nan),
        np.zeros(count, dtype=bool),
        np.zeros(count, dtype=bool),
    )
    for batch in batches(x, elements, database):
        melting = _Melting(batch)
        where = batch.where
        solidus, settled = melting.solidus(np.full(len(where), _GUESS_K), tolerance_K)
        result.solidus_K[where] = solidus
        result.solidus_settled[where] = settled
        liquids = [family for family in batch.families if family.role == "liquid"]
        if liquidus and len(liquids) == 1 and (len(batch.x) == 1 or liquids[0].substitutional):
            guess = np.where(np.isfinite(solidus), solidus + 50.0, _GUESS_K)
            found = crossing(
                lambda T, who, m=melting: -m.lowest("liquid", _SOLIDS, T, who),  # type: ignore[misc]
                np.minimum(guess, MAX_TEMPERATURE_K - 1.0),
                tolerance_K,
            )
            result.liquidus_K[where] = found
            known = np.flatnonzero(np.isfinite(found))
            rival = melting.lowest("liquid", ("liquid",), found[known], known, itself=True)
            result.liquidus_settled[where[known]] = rival > -TOLERANCE_J
    return result


def bcc_solidus(
    fractions: Array, elements: Sequence[str], database: CalphadDatabase, *, tolerance_K: float = 2.0
) -> Array:
    """Where liquid begins to lie below the tangent plane of bcc, ``(n,)`` K, whether bcc is alone or not.

    The solidus of bcc that is kept from decomposing; NaN where there is none, or no liquid. Arguments and
    errors as of :func:`melting_range`.
    """
    elements = tuple(elements)
    x, _ = require_arrays(fractions, elements, np.asarray(_GUESS_K), database)
    result = np.full(len(x), np.nan)
    for batch in batches(x, elements, database):
        if any(family.role == "liquid" for family in batch.families):
            melting = _Melting(batch)
            result[batch.where] = crossing(
                lambda T, who, m=melting: m.lowest("parent", ("liquid",), T, who),  # type: ignore[misc]
                np.full(len(batch.where), _GUESS_K),
                tolerance_K,
            )
    return result

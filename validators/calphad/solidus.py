"""Solidus and liquidus: the temperatures at which liquid appears on heating, and at which nothing else is left.

Both by bisection on real equilibria. Screening's value, where there is one, only says where to begin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import MAX_TEMPERATURE_K, MIN_TEMPERATURE_K, PhaseEquilibrium, phases_at
from validators.calphad.screening import NotVectorisable, melting_range, stable_points
from validators.calphad.systems import StartingPoint
from validators.outcome import OutcomeStatus

__all__ = ["Solidus", "liquidus", "require_liquid", "require_tolerance", "solidus"]

_FIRST_STEP_K: Final = 128.0
_NEAR_STEP_K: Final = 1.0  # first step from screening's value, which is mostly right to 1 K
_GROWTH: Final = 4
_BELOW_RULE: Final = 0.95  # a first guess only: alloys begin to melt below the average of their elements

_Melts = Callable[[PhaseEquilibrium], bool]


@dataclass(frozen=True, slots=True)
class Solidus:
    """The answer.

    Attributes:
        status: Converged, unconverged or failed.
        temperature_K: Middle of the last bracket, K; NaN unless converged.
        tolerance_K: Width of that bracket, K: no liquid at its lower end, some at its upper end.
        message: Why there is no answer; empty when converged.
        equilibria: Number of equilibria it took.
    """

    status: OutcomeStatus
    temperature_K: float = math.nan
    tolerance_K: float = math.nan
    message: str = ""
    equilibria: int = 0


class _Unanswered(Exception):  # noqa: N818 - not an error: it carries an outcome out of the search
    def __init__(self, status: OutcomeStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Search:
    """Bisection on the lattice of multiples of the tolerance.

    On a lattice the temperatures asked for do not depend on where the search began, so an answer neither.
    """

    def __init__(
        self,
        composition: Composition,
        database: CalphadDatabase,
        tolerance_K: float,
        melts: _Melts,
        name: str,
    ) -> None:
        self._composition = composition
        self._database = database
        self._step = tolerance_K
        self._lowest = math.ceil(MIN_TEMPERATURE_K / tolerance_K)
        self._highest = math.floor(MAX_TEMPERATURE_K / tolerance_K)
        self._melts = melts
        self._name = name
        self.equilibria = 0

    def _above(self, index: int) -> bool:
        self.equilibria += 1
        found = phases_at(
            self._composition,
            index * self._step,
            self._database,
            keep_grid=False,
            points=self._points(index * self._step),
        )
        if found.status is not OutcomeStatus.CONVERGED:
            raise _Unanswered(found.status, f"{self._name}: {found.message}")
        return self._melts(found)

    def _points(self, temperature_K: float) -> tuple[StartingPoint, ...]:
        """What screening finds stable there: sampled, liquids and gaps can be left out."""
        try:
            return stable_points(self._composition, temperature_K, self._database)
        except NotVectorisable:
            return ()

    def run(self, guess_K: float, first_step_K: float) -> float:
        stride = max(1, round(first_step_K / self._step))
        low = high = min(max(round(guess_K / self._step), self._lowest), self._highest)
        if self._above(low):
            while self._above(low := max(low - stride, self._lowest)):
                if low == self._lowest:
                    raise _Unanswered(
                        OutcomeStatus.UNCONVERGED, f"{self._name}: liquid down to {MIN_TEMPERATURE_K} K"
                    )
                high, stride = low, stride * _GROWTH
        else:
            while not self._above(high := min(high + stride, self._highest)):
                if high == self._highest:
                    raise _Unanswered(
                        OutcomeStatus.UNCONVERGED, f"{self._name}: solid up to {MAX_TEMPERATURE_K:.0f} K"
                    )
                low, stride = high, stride * _GROWTH
        while high - low > 1:
            middle = (low + high) // 2
            if self._above(middle):
                high = middle
            else:
                low = middle
        return (low + high) / 2 * self._step


def require_tolerance(tolerance_K: float, field: str = "tolerance_K") -> float:
    """Return the tolerance if it can be reached.

    Raises:
        InputError: It is not within 0.01 to 100 K.
    """
    if not (isinstance(tolerance_K, int | float) and 0.01 <= tolerance_K <= 100):
        raise InputError(field, tolerance_K, "is not between 0.01 and 100 K", "give for example 1.0")
    return float(tolerance_K)


def require_liquid(
    database: CalphadDatabase, *, mend: str = "ask for no solidus, or use another database"
) -> None:
    """Refuse a database in which nothing can melt.

    Args:
        database: From :func:`validators.calphad.load_database`.
        mend: What to do about it, in the words of what was asked for.

    Raises:
        InputError: It has no liquid phase.
    """
    if not any(p.startswith(("LIQUID", "IONIC_LIQ")) for p in database.phases):
        raise InputError("database", database.name, "has no liquid phase", mend)


def solidus(composition: Composition, database: CalphadDatabase, *, tolerance_K: float = 1.0) -> Solidus:
    """Find the solidus by bisection on real equilibria.

    It assumes that once liquid has appeared on heating it stays; an alloy with a retrograde liquid (none is
    known in this database) would get one of its several answers. Four to six equilibria for 1 K where
    screening knows the solidus, ten to thirteen otherwise.

    Args:
        composition: Any composition of the database's elements.
        database: From :func:`validators.calphad.load_database`.
        tolerance_K: Width of the last bracket, K.

    Raises:
        InputError: An element that the database does not have, a database without a liquid, a tolerance out
            of range.
    """
    return _found(composition, database, tolerance_K, PhaseEquilibrium.has_liquid, "solidus")


def liquidus(composition: Composition, database: CalphadDatabase, *, tolerance_K: float = 1.0) -> Solidus:
    """Find the liquidus, the lowest temperature at which nothing but liquid is stable; as :func:`solidus`."""
    return _found(composition, database, tolerance_K, PhaseEquilibrium.is_liquid, "liquidus")


def _found(
    composition: Composition, database: CalphadDatabase, tolerance_K: float, melts: _Melts, name: str
) -> Solidus:
    require_tolerance(tolerance_K)
    database.require(composition)
    require_liquid(database)
    search = _Search(composition, database, tolerance_K, melts, name)
    try:
        guess = _screened_guess(composition, database, name)
        if guess is None:
            middle = search.run(_first_guess(composition, database), _FIRST_STEP_K)
        else:
            middle = search.run(guess, _NEAR_STEP_K)
    except _Unanswered as reason:
        return Solidus(reason.status, message=reason.message, equilibria=search.equilibria)
    return Solidus(OutcomeStatus.CONVERGED, middle, tolerance_K, equilibria=search.equilibria)


def _screened_guess(composition: Composition, database: CalphadDatabase, name: str) -> float | None:
    """Screening's value, None where it has none."""
    try:
        melting = melting_range(
            np.array([composition.fraction_vector(composition.elements)]),
            composition.elements,
            database,
            liquidus=name == "liquidus",
        )
    except NotVectorisable:
        return None
    value = melting.solidus_K if name == "solidus" else melting.liquidus_K
    return float(value[0]) if math.isfinite(value[0]) else None


def _first_guess(composition: Composition, database: CalphadDatabase) -> float:
    if len(composition.elements) == 1:
        return 2000.0
    melting = {e: _melting_point(e, database) for e in composition.elements}
    return _BELOW_RULE * sum(x * melting[e] for e, x in composition.fractions.items())


def _melting_point(element: str, database: CalphadDatabase) -> float:
    """Melting point of an element in this database, K, found once per process."""
    known = database.melting_points
    if element not in known:
        pure = Composition.from_amounts({element: 1.0})
        search = _Search(pure, database, 1.0, PhaseEquilibrium.has_liquid, "melting point")
        known[element] = search.run(2000.0, _FIRST_STEP_K)
    return known[element]

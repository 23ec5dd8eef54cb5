"""Phases along temperature at fixed compositions: a grid, and bisection of every change of phases.

Each interval whose ends have different phases is halved until it is narrower than the tolerance, and both
halves are looked at again, so that a narrow field between two others is found as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.assemblages import Equilibria, Progress
from validators.calphad.equilibrium import PhaseEquilibrium, require_temperature
from validators.outcome import OutcomeStatus

__all__ = ["Column", "ColumnSearch", "Transition", "columns", "field_of", "require_range"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of the stable phases with temperature.

    Attributes:
        temperature_K: Middle of the last bracket, K.
        tolerance_K: Width of that bracket, K.
        below: Names of the phases below it, alphabetical; a miscibility gap repeats a name.
        above: Likewise above it.
    """

    temperature_K: float
    tolerance_K: float
    below: tuple[str, ...]
    above: tuple[str, ...]

    @property
    def appearing(self) -> tuple[str, ...]:
        """Phases that are there above and not below."""
        return _without(self.above, self.below)

    @property
    def vanishing(self) -> tuple[str, ...]:
        """Phases that are there below and not above."""
        return _without(self.below, self.above)


def _without(some: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    rest = list(some)
    for name in others:
        if name in rest:
            rest.remove(name)
    return tuple(rest)


@dataclass(frozen=True, slots=True)
class Column:
    """All answers at one composition.

    Attributes:
        answers: By rising temperature, those that did not converge included.
        transitions: By rising temperature.
    """

    answers: tuple[PhaseEquilibrium, ...]
    transitions: tuple[Transition, ...]

    @property
    def converged(self) -> tuple[PhaseEquilibrium, ...]:
        """Those that are answers."""
        return tuple(a for a in self.answers if a.status is OutcomeStatus.CONVERGED)

    def fields(self) -> tuple[tuple[float, float, tuple[str, ...]], ...]:
        """Lowest and highest temperature, K, and phases of each field of the column, rising."""
        answers = self.converged
        if not answers:
            return ()
        edges = [t.temperature_K for t in self.transitions]
        lows = [answers[0].temperature_K, *edges]
        highs = [*edges, answers[-1].temperature_K]
        names = [field_of(answers[0]), *(t.above for t in self.transitions)]
        return tuple(zip(lows, highs, names, strict=True))


def field_of(answer: PhaseEquilibrium) -> tuple[str, ...]:
    """Names of the phases of an answer, alphabetical; a miscibility gap repeats a name."""
    return tuple(sorted(p.name for p in answer.phases))


def require_range(low_K: float, high_K: float, field: str = "range") -> tuple[float, float]:
    """Return the temperatures if they are a range that can be drawn.

    Raises:
        InputError: One is outside 298.15 to 6000 K, or they are not at least 10 K apart in rising order.
    """
    low, high = require_temperature(low_K, field), require_temperature(high_K, field)
    if high - low < 10:
        raise InputError(
            field,
            f"{low_K:g}:{high_K:g}",
            "is no range of at least 10 K",
            "give it as LOW:HIGH, as in 600:3200",
        )
    return low, high


class ColumnSearch:
    """Columns of one diagram, to which compositions and temperatures are added as they turn out to be needed.

    Args:
        database: From :func:`validators.calphad.load_database`.
        elements: The ``m`` elements.
        tolerance_K: Width of the last bracket of a transition, K.
        confirm: Ask pycalphad for every answer.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: An element that the database does not have.
    """

    def __init__(
        self,
        database: CalphadDatabase,
        elements: Sequence[str],
        *,
        tolerance_K: float = 1.0,
        confirm: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._solver = Equilibria(database, elements, confirm=confirm)
        self._tolerance = tolerance_K
        self._progress = progress
        self._x = np.zeros((0, len(tuple(elements))))
        self._held: list[dict[float, PhaseEquilibrium]] = []
        self._done = 0

    def add(self, fractions: Array, temperatures_K: Array) -> None:
        """Add compositions ``(n, m)``, each at all of these temperatures."""
        x = np.atleast_2d(np.asarray(fractions, dtype=float))
        first = len(self._held)
        self._x = np.concatenate([self._x, x])
        self._held += [{} for _ in x]
        grid = np.asarray(temperatures_K, dtype=float)
        self.ask(np.repeat(first + np.arange(len(x)), len(grid)), np.tile(grid, len(x)))

    def ask(self, numbers: NDArray[np.intp], temperatures_K: Array) -> None:
        """Ask at further temperatures of columns with these numbers, and enclose what changes there."""
        who, T = numbers, temperatures_K
        while len(T):
            before, total = self._done, self._done + len(T)

            def shown(done: int, _: int, before: int = before, total: int = total) -> None:
                if self._progress is not None:
                    self._progress(before + done, total)

            found = self._solver.at(self._x[who], T, shown)
            self._done = total
            for column, answer in zip(who, found, strict=True):
                self._held[column][answer.temperature_K] = answer
            middles = [
                (column, (low + high) / 2)
                for column in np.unique(who)
                for low, high in _open(self._held[column], self._tolerance)
            ]
            who = np.array([column for column, _ in middles], dtype=np.intp)
            T = np.array([t for _, t in middles])

    def spread(self, order: Sequence[int], rounds: int = 4) -> None:
        """Look in each column for the fields of its neighbours: a narrow one may lie between two grid points.

        Args:
            order: Numbers of the columns as they stand side by side.
            rounds: How far a field can be passed on.
        """
        for _ in range(rounds):
            fields = [self.column(k).fields() for k in order]
            more = [
                (order[k], (low + high) / 2)
                for k in range(len(order))
                for other in (k - 1, k + 1)
                if 0 <= other < len(order)
                for low, high, names in fields[other]
                if _count(fields[k], names) < _count(fields[other], names)
            ]
            new = [
                (k, t) for k, t in more if min((abs(t - known) for known in self._held[k]), default=9e9) > 1.0
            ]
            if not new:
                return
            self.ask(np.array([k for k, _ in new], dtype=np.intp), np.array([t for _, t in new]))

    def column(self, number: int) -> Column:
        """What is known of one column."""
        return _column(self._held[number])


def _count(fields: Sequence[tuple[float, float, tuple[str, ...]]], names: tuple[str, ...]) -> int:
    return sum(other == names for _, _, other in fields)


def columns(
    fractions: Array,
    elements: Sequence[str],
    temperatures_K: Array,
    database: CalphadDatabase,
    *,
    tolerance_K: float = 1.0,
    confirm: bool = False,
    progress: Progress | None = None,
) -> list[Column]:
    """Phases of ``n`` compositions along temperature, each for itself.

    Args:
        fractions: ``(n, m)`` atomic fractions.
        elements: The ``m`` elements of the columns.
        temperatures_K: ``(k,)`` rising grid, K; a field of phases narrower than its step can be missed
            where both its neighbours are the same field.
        database: From :func:`validators.calphad.load_database`.
        tolerance_K: Width of the last bracket of a transition, K.
        confirm: Ask pycalphad for every answer.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: As :class:`validators.calphad.diagrams.Equilibria`.
    """
    search = ColumnSearch(database, elements, tolerance_K=tolerance_K, confirm=confirm, progress=progress)
    search.add(fractions, temperatures_K)
    return [search.column(k) for k in range(len(np.atleast_2d(fractions)))]


def _open(answers: dict[float, PhaseEquilibrium], tolerance_K: float) -> list[tuple[float, float]]:
    """Intervals that hold a change and are wider than the tolerance."""
    order = sorted(answers)
    return [
        (low, high)
        for low, high in itertools.pairwise(order)
        if high - low > tolerance_K
        and answers[low].phases
        and answers[high].phases
        and field_of(answers[low]) != field_of(answers[high])
    ]


def _column(answers: dict[float, PhaseEquilibrium]) -> Column:
    ordered = tuple(answers[t] for t in sorted(answers))
    known = [a for a in ordered if a.phases]
    return Column(
        ordered,
        tuple(
            Transition(
                (low.temperature_K + high.temperature_K) / 2,
                high.temperature_K - low.temperature_K,
                field_of(low),
                field_of(high),
            )
            for low, high in itertools.pairwise(known)
            if field_of(low) != field_of(high)
        ),
    )

"""Phases along temperature at fixed compositions: a grid, and bisection of every change of phases.

Each interval whose ends have different phases is halved until it is narrower than the tolerance, and both
halves are looked at again, so that a narrow field between two others is found as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.assemblages import Equilibria, Progress
from validators.calphad.equilibrium import PhaseEquilibrium, require_temperature
from validators.outcome import OutcomeStatus

__all__ = ["Column", "Transition", "columns", "field_of", "require_range"]

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
            field, f"{low_K:g}:{high_K:g}", "is no range of at least 10 K", "give it as LOW:HIGH, as in 600:3200"
        )
    return low, high


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
    """Phases of ``n`` compositions along temperature.

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
    x = np.atleast_2d(np.asarray(fractions, dtype=float))
    grid = np.asarray(temperatures_K, dtype=float)
    solver = Equilibria(database, elements, confirm=confirm)
    held: list[dict[float, PhaseEquilibrium]] = [{} for _ in x]
    who = np.repeat(np.arange(len(x)), len(grid))
    T = np.tile(grid, len(x))
    before = 0
    while len(T):
        total = before + len(T)

        def shown(done: int, _: int, before: int = before, total: int = total) -> None:
            if progress is not None:
                progress(before + done, total)

        found = solver.at(x[who], T, shown)
        for column, answer in zip(who, found, strict=True):
            held[column][answer.temperature_K] = answer
        before = total
        middles = [
            (column, (low + high) / 2)
            for column, answers in enumerate(held)
            for low, high in _open(answers, tolerance_K)
        ]
        who = np.array([column for column, _ in middles], dtype=np.intp)
        T = np.array([t for _, t in middles])
    return [_column(answers) for answers in held]


def _open(answers: dict[float, PhaseEquilibrium], tolerance_K: float) -> list[tuple[float, float]]:
    """Intervals that hold a change and are wider than the tolerance."""
    order = sorted(answers)
    return [
        (low, high)
        for low, high in zip(order[:-1], order[1:], strict=True)
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
            for low, high in zip(known[:-1], known[1:], strict=True)
            if field_of(low) != field_of(high)
        ),
    )

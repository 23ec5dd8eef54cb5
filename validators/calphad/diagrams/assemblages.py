"""Stable phases with fractions and compositions for many points at once, and whoever can answer for each.

The arrays of screening where they close (:mod:`validators.calphad.diagrams.points`); pycalphad where they do not,
and for databases that screening has no arrays for. Its answers are tested like all others: no phase may lie
below their plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.points import SystemPoints
from validators.calphad.equilibrium import PhaseEquilibrium, phases_at
from validators.calphad.screening import NotVectorisable, starting_points
from validators.calphad.screening.stability import require_arrays
from validators.calphad.systems import StartingPoint
from validators.outcome import OutcomeStatus

__all__ = ["Equilibria", "Progress"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Progress = Callable[[int, int], None]
"""Called with how many points are done and how many there are so far; a refinement adds to the latter."""

_OVERLOOKED_J: Final = 0.05
"""J/mol below the plane of pycalphad's answer at which it is no answer: less than 2 K at the top of a gap."""

_LOWER_J: Final = 0.05
"""J/mol by which pycalphad's Gibbs energy lies above the arrays' where theirs is kept."""

_AT_ONCE: Final = 192  # points: often enough for progress, and for what is worked on to stay in the cache


def _systems(x: Array, elements: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Index, Index]]:
    """Elements in alphabetical order, points and columns of each set of elements, in pieces."""
    order = np.argsort(list(elements))
    present = x[:, order] > 0.0
    for kind in np.unique(present, axis=0):
        where = np.flatnonzero((present == kind).all(axis=1))
        columns = order[kind]
        for begin in range(0, len(where), _AT_ONCE):
            yield tuple(elements[k] for k in columns), where[begin : begin + _AT_ONCE], columns


class Equilibria:
    """The stable phases of many points of one diagram, 101325 Pa.

    What is found serves as the start of points asked for later.

    Args:
        database: From :func:`validators.calphad.load_database`.
        elements: Columns of the compositions.
        confirm: Let pycalphad minimise at every point, from its own samplings and from what the arrays found;
            the lower Gibbs energy is kept.

    Raises:
        InputError: An element that the database does not have.
    """

    def __init__(self, database: CalphadDatabase, elements: Sequence[str], *, confirm: bool = False) -> None:
        self.elements = tuple(elements)
        self._database = database
        self._confirm = confirm
        self._known: dict[tuple[str, ...], SystemPoints | None] = {}
        require_arrays(np.zeros((0, len(self.elements))), self.elements, np.zeros(0), database)

    def _points(self, elements: tuple[str, ...]) -> SystemPoints | None:
        """Arrays of these elements; None where screening has none."""
        if elements not in self._known:
            try:
                self._known[elements] = SystemPoints(self._database, elements)
            except NotVectorisable:
                self._known[elements] = None
        return self._known[elements]

    def at(
        self, fractions: Array, temperatures_K: Array, progress: Progress | None = None
    ) -> list[PhaseEquilibrium]:
        """Answers of ``n`` points; those that are unconverged or failed have no phases.

        pycalphad is asked at the resolution of a composition, 0.1 at.%.

        Args:
            fractions: ``(n, m)`` atomic fractions; zero for an element that a point does not have.
            temperatures_K: ``(n,)``, K.
            progress: Called with the points done and ``n``.

        Raises:
            InputError: Fractions that do not sum to one, a temperature out of range.
        """
        x, T = require_arrays(fractions, self.elements, temperatures_K, self._database)
        answers: list[PhaseEquilibrium | None] = [None] * len(x)
        starts: list[tuple[StartingPoint, ...]] = [()] * len(x)
        done = 0
        for chosen, where, columns in _systems(x, self.elements):
            points = self._points(chosen)
            if points is None:
                continue
            inside = x[np.ix_(where, columns)]
            found, mixtures = points.solve(inside / inside.sum(axis=1, keepdims=True), T[where])
            for place, answer, mixture in zip(where, found, mixtures, strict=True):
                starts[place] = mixture
                answers[place] = answer
                if answer is not None and not self._confirm:
                    done += 1
            if progress is not None:
                progress(done, len(x))
        for place, answer in enumerate(answers):
            if answer is None or self._confirm:
                composition = Composition.from_fractions(self.elements, x[place])
                minimised = self._minimise(composition, float(T[place]), starts[place])
                if answer is None or (
                    minimised.phases and minimised.gibbs_energy <= answer.gibbs_energy + _LOWER_J
                ):
                    answers[place] = minimised
                done += 1
                if progress is not None:
                    progress(done, len(x))
        return [a for a in answers if a is not None]

    def _minimise(
        self, composition: Composition, temperature_K: float, mixture: tuple[StartingPoint, ...]
    ) -> PhaseEquilibrium:
        points = self._points(composition.elements)
        if points is not None and not mixture:
            mixture = starting_points(composition, temperature_K, self._database)
        found = phases_at(composition, temperature_K, self._database, keep_grid=False, points=mixture)
        if points is None or not found.phases:
            return found
        below = points.overlooked(found)
        if below <= _OVERLOOKED_J:
            return found
        return replace(
            found,
            status=OutcomeStatus.UNCONVERGED,
            phases=(),
            message=f"at {temperature_K:g} K a phase lies {below:.3g} J/mol below the plane of the answer",
        )

"""The end of a Scheil path: on down to less and less liquid, or all at once at an invariant.

Where the liquid of an alloy has as many solids beside it as the phase rule allows, its temperature cannot fall
while there is any of it: a eutectic, or the lowest melting point of a solution. No step of temperature, however
small, finds liquid below. What is left freezes there, into the solids that are stable just below, in the amounts
of the lever rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, nnls

from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.assemblages import Equilibria
from validators.calphad.equilibrium import MIN_TEMPERATURE_K, PhaseEntry, PhaseEquilibrium
from validators.calphad.screening.system import is_liquid

__all__ = ["Ending", "Step", "balance", "entries_of", "freeze_on"]

Array = NDArray[np.float64]

_INVARIANT_K: Final = 0.05
"""A liquid that is whole at one temperature and gone this far below it has frozen at one temperature, K."""

_UNBALANCED: Final = 2e-3
"""Atomic fraction by which the solids may miss the liquid that they come from."""

_MOST_STEPS: Final = 500


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the path.

    Attributes:
        temperature_K: K.
        names: Of the solids, one entry each; a name twice is a miscibility gap.
        amounts: Mole fraction of the alloy that becomes each.
        parts: ``(k, m)`` their atomic fractions.
        left: Mole fraction of liquid after it.
        liquid: ``(m,)`` atomic fractions of that liquid; of the one that froze where none is left.
    """

    temperature_K: float
    names: tuple[str, ...]
    amounts: Array
    parts: Array
    left: float
    liquid: Array


@dataclass(frozen=True, slots=True)
class Ending:
    """The last steps of a path.

    Attributes:
        steps: By falling temperature.
        at_once: Mole fraction of liquid that froze at the last temperature; zero where there was no invariant.
        problem: Why the path does not end; empty where it does.
    """

    steps: tuple[Step, ...]
    at_once: float = 0.0
    problem: str = ""


def balance(parts: Array, whole: Array) -> tuple[Array, float]:
    """Shares of phases that make up a composition, sum one, and how far they miss it (atomic fraction).

    Args:
        parts: ``(k, m)`` atomic fractions of the phases.
        whole: ``(m,)`` atomic fractions to be made up.
    """
    share, _ = nnls(parts.T, whole)
    share /= share.sum()
    return share, float(np.abs(share @ parts - whole).max())


def entries_of(
    names: tuple[str, ...], parts: Array, known: list[str], last: dict[str, Array]
) -> tuple[str, ...]:
    """Which solid of the path each phase of a step is: of its name, the nearest in composition; else a new one.

    Args:
        names: Of the step's phases, a name twice for a miscibility gap.
        parts: ``(k, m)`` their atomic fractions.
        known: The path's solids so far, ``NAME`` or ``NAME#2``.
        last: Atomic fractions of what each of them deposited last.
    """
    found = [""] * len(names)
    for name in set(names):
        mine = [k for k, other in enumerate(names) if other == name]
        theirs = [other for other in known if other.partition("#")[0] == name and other in last]
        cost = np.array([[np.abs(parts[k] - last[other]).sum() for other in theirs] for k in mine])
        rows, columns = linear_sum_assignment(cost.reshape(len(mine), len(theirs)))
        for row, column in zip(rows, columns, strict=True):
            found[mine[row]] = theirs[column]
        number = 1
        for k in mine:
            while not found[k]:
                label = name if number == 1 else f"{name}#{number}"
                number += 1
                if label not in found and label not in known and f"{label}#1" not in known:
                    found[k] = label
    return tuple(found)


def freeze_on(
    database: CalphadDatabase,
    elements: tuple[str, ...],
    liquid: Array,
    temperature_K: float,
    left: float,
    *,
    step_K: float,
    until: float,
) -> Ending:
    """Go on freezing a liquid step by step, with shorter steps where one finds no liquid.

    Args:
        database: Its thermodynamics.
        elements: The ``m`` elements.
        liquid: ``(m,)`` atomic fractions of a liquid that is stable at ``temperature_K``.
        temperature_K: K.
        left: Mole fraction of liquid.
        step_K: First step, K.
        until: Mole fraction of liquid at which the path ends.
    """
    path = _Path(Equilibria(database, elements), liquid, temperature_K, left, step_K)
    try:
        while path.left >= until:
            path.advance()
    except _Stuck as stuck:
        return Ending(tuple(path.steps), problem=f"{stuck} with {path.left:.1%} of liquid left")
    return Ending(tuple(path.steps), at_once=path.at_once)


class _Stuck(Exception):  # noqa: N818 - not an error: it carries the reason out of the path
    pass


class _Path:
    """A liquid on its way down."""

    def __init__(
        self, equilibria: Equilibria, liquid: Array, temperature_K: float, left: float, step_K: float
    ) -> None:
        self.left = left
        self.at_once = 0.0
        self.steps: list[Step] = []
        self._equilibria = equilibria
        self._liquid = np.array(liquid, dtype=float)
        self._T = temperature_K
        self._step = step_K

    def _at(self, temperature_K: float) -> PhaseEquilibrium:
        whole = self._liquid[None] / self._liquid.sum()
        return self._equilibria.at(whole, np.array([temperature_K]))[0]

    def advance(self) -> None:
        """One step down, a shorter step, or the end.

        Raises:
            _Stuck: There is no way down.
        """
        if len(self.steps) == _MOST_STEPS or self._T - self._step < MIN_TEMPERATURE_K:
            raise _Stuck(f"the path ended at {self._T:.0f} K")
        below = self._at(self._T - self._step)
        if not below.phases:
            raise _Stuck(below.message or f"no answer at {self._T:.0f} K")
        solids = [p for p in below.phases if not is_liquid(p.name)]
        liquids = [p for p in below.phases if is_liquid(p.name)]
        if len(liquids) > 1:
            raise _Stuck(f"the liquid demixes at {self._T:.0f} K")
        if not liquids and self._step > _INVARIANT_K:
            self._step /= 2
        elif not solids:
            self._T -= self._step
        else:
            self._deposit(solids, liquids)

    def _deposit(self, solids: list[PhaseEntry], liquids: list[PhaseEntry]) -> None:
        # without a liquid just above too, its absence below would say nothing about where it froze
        if not liquids and not self._at(self._T + _INVARIANT_K).has_liquid():
            raise _Stuck(f"no liquid is stable at {self._T:.0f} K")
        elements = self._equilibria.elements
        parts = np.array([[p.composition[e] for e in elements] for p in (*solids, *liquids)])
        share, missed = balance(parts, self._liquid)
        if missed > _UNBALANCED:
            raise _Stuck(f"the phases at {self._T:.0f} K do not balance")
        amounts = self.left * share[: len(solids)]
        if liquids:
            self._T -= self._step
            self._liquid = parts[-1]
            self.left *= float(share[-1])
        else:
            self.at_once, self.left = self.left, 0.0
        names = tuple(p.name for p in solids)
        self.steps.append(Step(self._T, names, amounts, parts[: len(solids)], self.left, self._liquid))

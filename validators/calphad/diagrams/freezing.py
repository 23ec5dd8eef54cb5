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
from validators.calphad.equilibrium import MIN_TEMPERATURE_K, PhaseEquilibrium
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
    equilibria = Equilibria(database, elements)

    def at(T: float) -> PhaseEquilibrium:
        return equilibria.at(x[None] / x.sum(), np.array([T]))[0]

    x, T, step = np.array(liquid, dtype=float), temperature_K, step_K
    steps: list[Step] = []
    while left >= until:
        lost = f"{left:.1%} of liquid left"
        if len(steps) == _MOST_STEPS or T - step < MIN_TEMPERATURE_K:
            return Ending(tuple(steps), problem=f"the path ended at {T:.0f} K with {lost}")
        below = at(T - step)
        if not below.phases:
            return Ending(tuple(steps), problem=f"{below.message or 'no answer'}, with {lost}")
        solids = [p for p in below.phases if not is_liquid(p.name)]
        liquids = [p for p in below.phases if is_liquid(p.name)]
        if len(liquids) > 1:
            return Ending(tuple(steps), problem=f"the liquid demixes at {T - step:.0f} K with {lost}")
        if not liquids and step > _INVARIANT_K:
            step /= 2
            continue
        if not solids:
            T -= step
            continue
        # without a liquid just above too, its absence below would say nothing about where it froze
        if not liquids and not at(T + _INVARIANT_K).has_liquid():
            return Ending(tuple(steps), problem=f"no liquid is stable at {T:.0f} K, with {lost}")
        parts = np.array([[p.composition[e] for e in elements] for p in (*solids, *liquids)])
        share, missed = balance(parts, x)
        if missed > _UNBALANCED:
            return Ending(tuple(steps), problem=f"the phases at {T:.0f} K do not balance, with {lost}")
        names = tuple(p.name for p in solids)
        count = len(solids)
        if not liquids:
            steps.append(Step(T, names, left * share, parts, 0.0, x))
            return Ending(tuple(steps), at_once=left)
        T, x = T - step, parts[-1]
        amounts, left = left * share[:count], left * float(share[-1])
        steps.append(Step(T, names, amounts, parts[:count], left, x))
    return Ending(tuple(steps))

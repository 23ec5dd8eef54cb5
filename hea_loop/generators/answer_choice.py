"""Which of many steered draws become the answers.

A draw is good where it meets its condition. Which draws do is no accident: with three properties to meet, an alloy
of few elements has hardly a freedom left, so that a choice at random among those that meet their conditions holds
more elements, and others together, than alloys with these properties do. Three things are weighed, each as a term of
the logarithm of the probability of being chosen:

- what steering did: moved far, or sure by the models only (:class:`Candidates`);
- *pairs*: the tilt nearest to no tilt (least relative entropy) under which each pair of elements stands in the
  answers as often as in the flow's own draws for the same conditions, before steering; the exponential family of I.
  Csiszar, Ann. Probab. 3 (1975) 146, 10.1214/aop/1176996454, with the moments softened by a ridge as M. Dudik, S.
  Phillips and R. Schapire do, J. Mach. Learn. Res. 8 (2007) 1217;
- *variety*: answers to one condition are chosen one after the other, those far from the ones before preferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hea_loop.generators.quality import NOVELTY_DISTANCE

__all__ = ["Candidates", "chosen", "pair_tilt", "varied"]

Array = NDArray[np.float64]
Whole = NDArray[np.intp]

_RIDGE: Final = 0.01
"""How far the tilt lets frequencies of pairs stay off: a factor of e on a pair costs as much as a hundredth."""
_MOST_TILTED: Final = 20_000  # candidates that the tilt is found on
_UNMET: Final = 2  # the tier of those that do not meet their condition
_TAKEN: Final = 9  # above all levels
_SAME: Final = 0.005
"""Total variation below which an answer repeats another."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Steered draws for some conditions.

    Attributes:
        fractions: ``n x m``.
        condition: Number of the condition of each, shape ``n``.
        gap: How far each is from it, shape ``n``.
        moved: Total variation by which steering moved it, shape ``n``.
        nearest: Total variation to the nearest training alloy, shape ``n``.
        doubt: Minus the logarithm of the probability that its learned properties hold, shape ``n``.
    """

    fractions: Array
    condition: Whole
    gap: Array
    moved: Array
    nearest: Array
    doubt: Array

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All of several."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def where(self, rows: Whole) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__slots__))

    def tiers(self, tolerance: float) -> Whole:
        """0: meets its condition and is new; 1: meets it; 2: does not."""
        met = self.gap <= tolerance
        out: Whole = np.where(met & (self.nearest >= NOVELTY_DISTANCE), 0, np.where(met, 1, 2))
        return out


def _pairs(fractions: Array) -> Array:
    """Which elements, and which pairs of them, each of ``n x m`` rows has: ``n x m (m + 1) / 2`` of 0 and 1."""
    present = (fractions > 0).astype(np.float64)
    i, j = np.triu_indices(present.shape[1])
    out: Array = present[:, i] * present[:, j]
    return out


def pair_tilt(
    fractions: Array, liking: Array, condition: Whole, wanted: Array, rng: np.random.Generator
) -> Array:
    """What is added to the likings so that pairs of elements are chosen as often as wanted.

    Of each condition one row is chosen with a probability proportional to exp(liking + tilt), the tilt a sum of one
    number for each element and each pair present.

    Args:
        fractions: ``n x m``.
        liking: Logarithms of weights, shape ``n``.
        condition: Of each row, shape ``n``; the conditions count alike.
        wanted: Alloys whose pairs are to be had, ``k x m``.
        rng: Draws the rows it is found on, where there are more than 20,000.

    Returns:
        Shape ``n``.
    """
    rows = np.arange(len(fractions))
    if len(rows) > _MOST_TILTED:
        rows = rng.choice(rows, _MOST_TILTED, replace=False)
    rows = rows[np.argsort(condition[rows], kind="stable")]
    features, base = _pairs(fractions[rows]), liking[rows]
    _, first, of = np.unique(condition[rows], return_index=True, return_inverse=True)
    frequency = _pairs(wanted).mean(axis=0)

    def objective(tilt: Array) -> tuple[float, Array]:
        score = base + features @ tilt
        top = np.maximum.reduceat(score, first)
        weight = np.exp(score - top[of])
        total = np.add.reduceat(weight, first)
        value = (np.log(total) + top).mean() - tilt @ frequency + 0.5 * _RIDGE * tilt @ tilt
        slope = features.T @ (weight / total[of]) / len(first) - frequency + _RIDGE * tilt
        return float(value), slope

    solve: Any = minimize  # the overloads of scipy's stubs know no function that gives its gradient too
    found = solve(
        objective, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 50}
    )
    out: Array = _pairs(fractions) @ found.x
    return out


def chosen(
    given: Candidates, tier: Whole, liking: Array, number: Whole, *, variety: float, rng: np.random.Generator
) -> list[Whole]:
    """Choose answers to each condition, one after the other.

    First come those that meet it, are new and differ from the answers before; then the known ones that meet it; then
    near repetitions of answers; then those that do not meet it, the nearest first. In each of these groups the next
    answer is drawn with a probability proportional to exp(liking + variety * mean total variation to the answers so
    far), as the greatest of that plus Gumbel noise.

    Args:
        given: At least as many of each condition as are to be chosen.
        tier: Of each candidate, as :meth:`Candidates.tiers` gives them.
        liking: Logarithm of the weight of each.
        number: How many for each condition ``0, 1, ...``.
        variety: See above.
        rng: Draws.

    Returns:
        Of each condition the rows of the chosen, none twice.
    """
    score = np.where(tier < _UNMET, liking + rng.gumbel(size=len(liking)), -given.gap)
    order = np.argsort(given.condition, kind="stable")
    ends = np.searchsorted(given.condition[order], np.arange(len(number) + 1))
    parts = [order[ends[k] : ends[k + 1]] for k in range(len(number))]
    return [
        rows[_one_after_another(given.fractions[rows], tier[rows], score[rows], int(wanted), variety)]
        for rows, wanted in zip(parts, number, strict=True)
    ]


def _one_after_another(x: Array, tier: Whole, score: Array, number: int, variety: float) -> Whole:
    """The rows chosen for one condition; see :func:`chosen`."""
    level = 2 * tier
    away = np.zeros(len(x))
    taken: list[int] = []
    for _ in range(number):
        best = level.min()
        pull = variety * away / max(len(taken), 1) if best < 2 * _UNMET else 0.0
        i = int(np.argmax(np.where(level == best, score + pull, -np.inf)))
        taken.append(i)
        apart = 0.5 * np.abs(x - x[i]).sum(axis=1)
        level[(apart < _SAME) & (tier < _UNMET) & (level < _TAKEN)] = 2 * _UNMET - 1
        level[i] = _TAKEN
        away += apart
    return np.array(taken, dtype=np.intp)


def varied(x: Array, liking: Array, number: int, variety: float) -> Whole:
    """Rows one after the other, each the greatest of liking + variety * mean total variation to those before.

    Args:
        x: Fractions, ``n x m``.
        liking: Shape ``n``.
        number: How many; all, where there are not so many.
        variety: See above.

    Returns:
        Rows, none twice.
    """
    away, score = np.zeros(len(x)), liking.copy()
    taken: list[int] = []
    for _ in range(min(number, len(x))):
        i = int(np.argmax(score + variety * away / max(len(taken), 1)))
        taken.append(i)
        away += 0.5 * np.abs(x - x[i]).sum(axis=1)
        score[i] = -np.inf
    return np.array(taken, dtype=np.intp)

"""What to send where: the next question of each candidate, and which candidates are worth it.

A candidate is a hit once every fidelity that decides something has said yes. A no anywhere ends it, so its
remaining questions are a least-cost testing sequence: asked in the order of cost over the probability of a no, the
expected cost is smallest (Mitten 1960, J. Ind. Eng. 11, 17; Simon and Kadane 1975, doi 10.1016/0004-3702(75)90012-9).
With that order, the candidate's worth is the probability that it is confirmed over the expected cost of
finding out, P / E(cost), and the best are sent first while the budgets last. Cheap and doubtful questions come
first by themselves, nothing is sent on after a no, and what is expensive goes to candidates whose cheaper verdicts
hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.acquisition.probability import Interval, Predictions, probability_all
from hea_loop.errors import InputError

__all__ = ["Fidelity", "choose_fidelities", "pass_probabilities"]

Array = NDArray[np.float64]

_LEAST_DOUBT: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A validator as the allocation of the budgets sees it.

    Attributes:
        name: ``calphad``, ``dft``, ...
        cost: Cost of one answer, above zero, in a unit shared by all fidelities.
        budget: How many answers are left, at least zero.
        answers: The properties that it decides.
        after: Fidelities that have to have said yes before it is asked.
    """

    name: str
    cost: float
    budget: int
    answers: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (np.isfinite(self.cost) and self.cost > 0):
            raise InputError(f"cost of {self.name}", self.cost, "is not above zero", "give its cost")
        if self.budget < 0:
            raise InputError(
                f"budget of {self.name}", self.budget, "is below zero", "give what is left of it"
            )


def pass_probabilities(
    predictions: Predictions, intervals: Sequence[Interval], fidelities: Sequence[Fidelity]
) -> dict[str, Array]:
    """Probability that all holds that each fidelity decides, ``n`` numbers by fidelity.

    An interval that several of them decide belongs to the last one given: the highest decides.
    """
    judge = {i.name: f.name for f in fidelities for i in intervals if i.name in f.answers}
    return {
        f.name: probability_all(predictions, [i for i in intervals if judge.get(i.name) == f.name])
        for f in fidelities
    }


def choose_fidelities(
    fidelities: Sequence[Fidelity],
    passes: Mapping[str, Array],
    *,
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
    pending: Mapping[str, NDArray[np.bool_]] | None = None,
    other: Array | None = None,
    number: int | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Decide which candidates go to which fidelity now.

    Args:
        fidelities: The validators with their costs and what is left of their budgets.
        passes: By fidelity, ``n`` probabilities that all holds that it decides; 0 or 1 where it has answered.
        answered: By fidelity, which of the ``n`` it has answered; left out where none.
        pending: By fidelity, which of the ``n`` it is working on: they are not sent anywhere again, and the budget
            is taken as already reduced by them.
        other: ``n`` probabilities that everything else holds that no fidelity decides (predicted targets).
        number: Most candidates to send in all; None for as many as the budgets allow.

    Returns:
        By fidelity, indices of the candidates to send, best first; each candidate at most once. A candidate
        that cannot be a hit any more, or of which every question is answered, is sent nowhere. One whose hit
        would need an answer that no budget pays for any more is still sent to the cheaper ones.

    Raises:
        InputError: Probabilities outside 0 to 1 or of unequal lengths, a fidelity without them, or two of the
            same name.
    """
    probability, done, busy, rest = _checked(fidelities, passes, answered, pending, other)
    n = len(rest)
    confirmed = rest * probability.prod(axis=0)
    worth = np.zeros(n)
    first = np.full(n, -1)
    for i in np.flatnonzero((confirmed > 0) & ~done.all(axis=0) & ~busy.any(axis=0)):
        order = _order(fidelities, probability[:, i], done[:, i])
        cost, reached = 0.0, 1.0
        for k in order:
            cost += reached * fidelities[k].cost
            reached *= probability[k, i]
        first[i] = order[0]
        worth[i] = confirmed[i] / cost
    left = [f.budget for f in fidelities]
    sent: dict[str, list[int]] = {f.name: [] for f in fidelities}
    room = n if number is None else number
    for i in np.argsort(-worth, kind="stable"):
        k = int(first[i])
        if room <= 0 or worth[i] <= 0:
            break
        if left[k] > 0:
            sent[fidelities[k].name].append(int(i))
            left[k] -= 1
            room -= 1
    return {name: np.array(rows, dtype=np.int64) for name, rows in sent.items()}


def _order(fidelities: Sequence[Fidelity], probability: Array, done: NDArray[np.bool_]) -> list[int]:
    """Open questions in the order of cost over the chance of a no, each after those it has to wait for."""
    place = {f.name: k for k, f in enumerate(fidelities)}
    open_ = [k for k in range(len(fidelities)) if not done[k]]
    out: list[int] = []
    while open_:
        ready = [k for k in open_ if not any(place.get(a) in open_ for a in fidelities[k].after)]
        if not ready:
            names = [fidelities[k].name for k in open_]
            raise InputError("after", names, "wait for each other", "let one of them go first")
        best = min(ready, key=lambda k: fidelities[k].cost / max(1 - float(probability[k]), _LEAST_DOUBT))
        out.append(best)
        open_.remove(best)
    return out


def _checked(
    fidelities: Sequence[Fidelity],
    passes: Mapping[str, Array],
    answered: Mapping[str, NDArray[np.bool_]] | None,
    pending: Mapping[str, NDArray[np.bool_]] | None,
    other: Array | None,
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_], Array]:
    names = [f.name for f in fidelities]
    if len(set(names)) != len(names) or not names:
        raise InputError("fidelities", names, "are not different ones", "name each once, at least one")
    missing = [name for name in names if name not in passes]
    if missing:
        raise InputError("passes", missing, "have no probabilities", "give them for every fidelity")
    n = len(passes[names[0]])
    rows = [np.asarray(passes[name], dtype=float) for name in names]
    rest = np.ones(n) if other is None else np.asarray(other, dtype=float)
    for name, row in zip([*names, "other"], [*rows, rest], strict=True):
        if row.shape != (n,) or not ((row >= 0) & (row <= 1)).all():
            raise InputError(
                f"passes of {name}", row.tolist(), f"are not {n} probabilities", "give numbers from 0 to 1"
            )
    flags = []
    for given in (answered or {}, pending or {}):
        unknown = set(given) - set(names)
        if unknown:
            raise InputError(
                "fidelity", sorted(unknown), "is not among those given", f"use {', '.join(names)}"
            )
        flags.append(np.array([given.get(name, np.zeros(n, dtype=bool)) for name in names], dtype=bool))
    return np.array(rows), flags[0], flags[1], rest

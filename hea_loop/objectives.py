"""What a campaign that optimises has found so far, and what it has to know to find better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.acquisition.optimising import Objective
from hea_loop.acquisition.pareto import hypervolume, pareto_front
from hea_loop.campaign import Campaign
from hea_loop.elasticity import ElasticModel, predicted_means
from hea_loop.scoring import KnownValue, decisive_value, judge

__all__ = ["ObjectiveProgress", "Optimisation", "objective_progress", "optimisation"]

Array = NDArray[np.float64]

_BASELINES: Final = {"solidus": "melting_temperature_rom", "liquidus": "melting_temperature_rom"}
"""Predicted property that an answer is measured from, as in :mod:`hea_loop.surrogate`."""


@dataclass(frozen=True, slots=True)
class Optimisation:
    """What the acquisition of an optimising campaign rests on.

    Attributes:
        objectives: One for each of the campaign, with the answers so far.
        hits: ``k x m`` fractions of the answered compositions that are hits: only these can be improved upon.
        seed: Of the acquisition's samples.
    """

    objectives: tuple[Objective, ...]
    hits: Array
    seed: int


def optimisation(
    campaign: Campaign,
    fractions: Array,
    answers: Sequence[Sequence[KnownValue]],
    seed: int,
    elasticity: ElasticModel | None = None,
) -> Optimisation | None:
    """Collect it from the validators' answers; None for a campaign without objectives.

    Args:
        campaign: Its objectives, targets and verdicts.
        fractions: ``n x m`` fractions of what has been answered, columns as in the palette.
        answers: ``n`` collections of values.
        seed: Of the acquisition's samples.
        elasticity: What predicts the elastic moduli of a campaign that says ``first-principles``.
    """
    if not campaign.objectives:
        return None
    elements = campaign.design_space().elements
    rows = np.asarray(fractions, dtype=float).reshape(-1, len(elements))

    def formula(name: str) -> Callable[[Array], Array]:
        return lambda x: predicted_means(np.asarray(x), elements, (name,), elasticity)[name]

    objectives = []
    for name, direction in campaign.objectives.items():
        maximize = direction == "maximize"
        if name in campaign.predictable():
            objectives.append(Objective(name, maximize, formula=formula(name)))
            continue
        found = [decisive_value(values, name) for values in answers]
        known = [i for i, value in enumerate(found) if value is not None]
        baseline = formula(_BASELINES[name]) if name in _BASELINES else None
        numbers = np.array([value.value for value in found if value is not None], dtype=float)
        objectives.append(Objective(name, maximize, None, rows[known], numbers, baseline))
    return Optimisation(tuple(objectives), rows[_hits(campaign, elements, rows, answers, elasticity)], seed)


def _hits(
    campaign: Campaign,
    elements: tuple[str, ...],
    rows: Array,
    answers: Sequence[Sequence[KnownValue]],
    elasticity: ElasticModel | None,
) -> list[int]:
    predicted = tuple(name for name in campaign.targets if name in campaign.predictable())
    values = predicted_means(rows, elements, predicted, elasticity) if predicted and len(rows) else {}
    out = []
    for i, known in enumerate(answers):
        own = [KnownValue(name, float(value[i]), "prediction") for name, value in values.items()]
        if judge(campaign, [*own, *known]).hit:
            out.append(i)
    return out


@dataclass(frozen=True, slots=True)
class ObjectiveProgress:
    """How far a campaign's objectives have come by the end of one iteration.

    Attributes:
        iteration: 1, 2, ...
        best: The best value among the hits so far by objective, in its unit; empty while there is none.
        front: The hits that no other hit beats: ``composition`` (its key) and the value of each objective.
        hypervolume: Volume that the front dominates above ``reference``, in the product of the units.
        reference: The worst value among all hits of the campaign by objective.
    """

    iteration: int
    best: dict[str, float]
    front: tuple[dict[str, str | float], ...]
    hypervolume: float
    reference: dict[str, float] = field(default_factory=dict)


def objective_progress(
    campaign: Campaign, hits: Sequence[tuple[int, str, dict[str, float]]], iterations: int
) -> tuple[ObjectiveProgress, ...]:
    """Best values, Pareto front and hypervolume after each iteration.

    Args:
        campaign: Its objectives.
        hits: Iteration, key of the composition and the value of every objective of each hit.
        iterations: How many iterations there are.
    """
    names = tuple(campaign.objectives)
    if not names:
        return ()
    maximize = [campaign.objectives[name] == "maximize" for name in names]
    values = np.array([[h[2][name] for name in names] for h in hits], dtype=float).reshape(-1, len(names))
    numbers = np.array([h[0] for h in hits], dtype=int)
    worst = np.where(maximize, values.min(axis=0), values.max(axis=0)) if len(values) else np.empty(0)
    out = []
    for iteration in range(1, iterations + 1):
        rows = np.flatnonzero(numbers <= iteration)
        if not len(rows):
            out.append(ObjectiveProgress(iteration, {}, (), 0.0))
            continue
        here = values[rows]
        best = np.where(maximize, here.max(axis=0), here.min(axis=0))
        front = rows[pareto_front(here, maximize)]
        out.append(
            ObjectiveProgress(
                iteration,
                dict(zip(names, best.tolist(), strict=True)),
                tuple(
                    {"composition": hits[i][1], **dict(zip(names, values[i].tolist(), strict=True))}
                    for i in front
                ),
                hypervolume(here, maximize, worst),
                dict(zip(names, worst.tolist(), strict=True)),
            )
        )
    return tuple(out)

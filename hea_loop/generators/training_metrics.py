"""Quality of a trained generator on the conditions of its own data: what is stored beside every model."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.generators.protocol import Generator, TrainingData
from hea_loop.generators.quality import COLLAPSE_DIVERSITY, diversity, likeness, without_traces

__all__ = ["ANSWERS", "PROBES", "probe_answers", "probe_conditions", "probe_diversity", "training_metrics"]

Array = NDArray[np.float64]

PROBES: Final = 8
"""Conditions at which diversity is measured."""
ANSWERS: Final = 40
"""Answers to each."""


def probe_conditions(data: TrainingData, number: int = PROBES) -> Array:
    """Conditions of the data from its low to its high end in the first property, ``number x p``."""
    order = np.argsort(data.conditions[:, 0], kind="stable")  # unknown values come last
    order = order[: int(np.isfinite(data.conditions[:, 0]).sum())]
    chosen: Array = data.conditions[order[np.linspace(0, len(order) - 1, number + 2).astype(int)[1:-1]]]
    return chosen


def probe_answers(generator: Generator, data: TrainingData, seed: int, probes: int, answers: int) -> Array:
    """Answers to the probe conditions with traces dropped, ``probes x answers x m``, from one call."""
    wanted = np.repeat(probe_conditions(data, probes), answers, axis=0)
    made = without_traces(generator.generate(wanted, seed=seed))
    return made.reshape(probes, answers, -1)


def probe_diversity(
    generator: Generator, data: TrainingData, seed: int, *, probes: int = PROBES, answers: int = ANSWERS
) -> float:
    """Mean total-variation distance among answers to one condition, averaged over the probe conditions."""
    return float(np.mean([diversity(x) for x in probe_answers(generator, data, seed, probes, answers)]))


def training_metrics(
    generator: Generator,
    data: TrainingData,
    *,
    seed: int,
    probes: int = PROBES,
    answers: int = ANSWERS,
    on_probes_only: bool = False,
) -> dict[str, Any]:
    """Measure a trained generator on the data's own conditions, traces below 0.5 at.% dropped.

    Args:
        generator: Trained.
        data: What it was trained on.
        seed: Of the answers.
        probes: Conditions at which diversity is measured.
        answers: Answers to each.
        on_probes_only: Judge error, novelty and likeness by the answers to the probes too, for a generator that
            searches for each condition anew and would need minutes for all conditions of the data.

    Returns:
        ``diversity``, ``collapsed``, ``novelty``, ``element_count_distance``, ``pair_correlation_distance``
        and, where the data have a reference, ``conditional_mae`` by property in its unit.
    """
    at_probes = probe_answers(generator, data, seed + 1, probes, answers)
    spread = float(np.mean([diversity(x) for x in at_probes]))
    if on_probes_only:
        wanted = np.repeat(probe_conditions(data, probes), answers, axis=0)
        made = at_probes.reshape(probes * answers, -1)
    else:
        wanted, made = data.conditions, without_traces(generator.generate(data.conditions, seed=seed))
    metrics: dict[str, Any] = {
        "diversity": spread,
        "collapsed": bool(spread < COLLAPSE_DIVERSITY),
        **likeness(made, without_traces(data.fractions)),
    }
    if data.reference is not None:
        with np.errstate(invalid="ignore"):
            gap = np.abs(data.reference(made) - wanted)
        metrics["conditional_mae"] = {
            name: float(np.nanmean(column))
            for name, column in zip(data.condition_names, gap.T, strict=True)
            if np.isfinite(column).any()
        }
    return metrics

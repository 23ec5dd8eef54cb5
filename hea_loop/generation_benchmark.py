"""The generation benchmark: alloys are held out, generators learn from the others and answer targets.

One problem, one strategy and one seed are one :func:`contest`:

1. A fifth of the alloys, drawn by the seed, is held out. The generator is trained on the rest.
2. Targets are drawn from the density of the data (:class:`hea_loop.generators.ConditionDensity`: Gaussian
   kernels of Scott's width, all properties jointly, a property in its logarithm where
   :func:`hea_loop.generators.conditioning.prefers_logarithm` says so), from the kernels that stand on held-out
   alloys: property values as likely as those of real alloys, near alloys that the generator has not seen.
3. The density reaches a little beyond what any composition has (its kernels know no physics). A direct optimiser,
   which knows the judge, says for each target how near any composition comes. Shares are reported over all
   targets and over those that can be reached; a target counts as reached too where any contestant hits it.
4. Each target gets 40 answers. A hit has every property within the tolerance of the target.

Every strategy of one seed sees the same alloys and targets. What it may know of the properties is said: the
formulas themselves (where the judge is a formula), or the rows only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import RESOLUTION
from hea_loop.errors import InputError
from hea_loop.generation_measures import (
    least_errors,
    property_correlation_distance,
    realism,
    relative_errors,
    share_valid,
    tolerance_unit,
)
from hea_loop.generators.conditioning import (
    ConditionDensity,
    conditions_for_targets,
    prefers_logarithm,
)
from hea_loop.generators.protocol import Generator, TrainingData
from hea_loop.generators.quality import COLLAPSE_DIVERSITY, diversity, without_traces
from hea_loop.generators.registry import generator_named
from hea_loop.palette import Palette

__all__ = [
    "ROWS_ONLY",
    "TOLERANCES",
    "Problem",
    "Setting",
    "Trial",
    "contest",
    "knowledge",
    "reach_by_anyone",
    "summarise",
    "trial",
]

Array = NDArray[np.float64]

TOLERANCES: Final = (0.02, 0.05)
"""Relative tolerances at which hits are counted."""

ROWS_ONLY: Final[Mapping[str, str]] = {
    "random": "nothing",
    "neighbour-jitter": "rows only",
    "cgan-2021": "rows only",
    "cwgan-gp": "rows only",
    "cvae": "rows only",
}
"""Strategies that use no model of the properties, whatever they are given, and what they know instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Alloys, their properties, and who judges.

    Attributes:
        name: Of the problem.
        elements: Symbols of the columns, ``m``, in alphabetical order.
        fractions: ``n x m`` atomic fractions of the alloys.
        values: ``n x p`` properties; NaN where unknown.
        names: Of the properties.
        evaluate: The judge: ``k x m`` fractions to ``k x p`` values.
        judged_by: Property to what judges it, in words.
        closed_form: Properties whose formula generators may use.
        palette: Bounds that every answer has to keep; ``elements`` are its elements.
    """

    name: str
    elements: tuple[str, ...]
    fractions: Array
    values: Array
    names: tuple[str, ...]
    evaluate: Callable[[Array], Array] = field(repr=False)
    judged_by: Mapping[str, str]
    closed_form: tuple[str, ...]
    palette: Palette

    def inside(self, values: Array, intervals: Mapping[str, tuple[float, float]]) -> NDArray[np.bool_]:
        """Which rows of ``k x p`` values lie in every interval, shape ``k``; an unknown value does not."""
        columns = [(values[:, self.names.index(n)], low, high) for n, (low, high) in intervals.items()]
        return np.asarray(np.logical_and.reduce([(c >= low) & (c <= high) for c, low, high in columns]))

    def share_inside(self, intervals: Mapping[str, tuple[float, float]]) -> float:
        """Share of the alloys that lie in every interval, of those with a value of each property."""
        whole: NDArray[np.bool_] = np.asarray(np.isfinite(self.values).all(axis=1))
        return float(self.inside(self.values[whole], intervals).mean())


@dataclass(frozen=True, slots=True)
class Setting:
    """Sizes of a contest.

    Attributes:
        targets: Held-out targets of one seed.
        answers: To each target.
        held_out: Share of the alloys that is held out.
    """

    targets: int = 100
    answers: int = 40
    held_out: float = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What every strategy of one seed is given.

    Attributes:
        seed: Of the split, the targets, the training and the answers.
        training: Rows of the problem that are learned from.
        held_out: The others.
        targets: ``t x p`` property values.
        unit: ``t x p``, what an error of 100% is.
        least_error: Largest error of the best composition a direct optimiser found for each target.
        closest: Those compositions, ``t x m``.
    """

    seed: int
    training: NDArray[np.intp]
    held_out: NDArray[np.intp]
    targets: Array
    unit: Array
    least_error: Array
    closest: Array = field(repr=False)


def trial(problem: Problem, seed: int, setting: Setting) -> Trial:
    """Split the alloys, draw the targets, and look how near any composition comes to each.

    Raises:
        InputError: Too few alloys of which all properties are known.
    """
    rng = np.random.default_rng([seed, 20])
    n = len(problem.fractions)
    held_number = max(round(setting.held_out * n), 2)
    order = rng.permutation(n)
    held_out, training = np.sort(order[:held_number]), np.sort(order[held_number:])
    whole: NDArray[np.bool_] = np.asarray(np.isfinite(problem.values).all(axis=1))
    centres = held_out[whole[held_out]]
    if len(centres) < 2 or whole[training].sum() < 2:
        raise InputError(
            "alloys",
            int(whole.sum()),
            f"of {n} have a value of every property, too few to hold some out",
            "give more alloys, or leave out the property that few have",
        )
    targets = _drawn_targets(problem, centres, setting.targets, rng)
    unit = tolerance_unit(problem.values, targets)
    least, closest = least_errors(
        problem.evaluate,
        targets,
        unit,
        problem.fractions,
        upper=np.array(problem.palette.upper) / RESOLUTION,
        seed=seed,
        enough=0.1 * min(TOLERANCES),
    )
    return Trial(seed, training, held_out, targets, unit, least, closest)


def _drawn_targets(
    problem: Problem, centres: NDArray[np.intp], number: int, rng: np.random.Generator
) -> Array:
    """Targets from the kernels on the centres, ``number x p``, in units; each centre once before any twice."""
    logarithmic = [prefers_logarithm(column[np.isfinite(column)]) for column in problem.values.T]
    values = problem.values.copy()
    values[:, logarithmic] = np.log(values[:, logarithmic])
    density = ConditionDensity(values)
    rounds = -(-number // len(centres))
    rows = np.concatenate([rng.permutation(centres) for _ in range(rounds)])[:number]
    noise = rng.standard_normal((number, len(problem.names))) @ density.kernel_root().T
    out: Array = values[rows] + noise * density.scale
    out[:, logarithmic] = np.exp(out[:, logarithmic])
    return out


def knowledge(strategy: str, problem: Problem) -> str:
    """What a strategy was allowed to know of the properties, in words."""
    if strategy in ROWS_ONLY:
        return ROWS_ONLY[strategy]
    if not problem.closed_form:
        return "rows only"
    if set(problem.closed_form) == set(problem.names):
        return "closed form of the properties"
    return f"closed form of {', '.join(problem.closed_form)}; rows only of the others"


def training_data(problem: Problem, given: Trial) -> TrainingData:
    """What a generator is trained on."""
    return TrainingData(
        problem.elements,
        problem.fractions[given.training],
        problem.values[given.training],
        problem.names,
        closed_form=problem.closed_form,
    )


def contest(
    problem: Problem,
    strategy: str,
    given: Trial,
    setting: Setting,
    *,
    options: Mapping[str, Any] | None = None,
    device: str | None = "cpu",
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Train one strategy and judge its answers.

    Args:
        problem: The alloys and the judge.
        strategy: Name of a registered generator.
        given: Split and targets.
        setting: Number of answers.
        options: Of the strategy.
        device: As in :meth:`hea_loop.generators.Generator.fit`.
        intervals: Targets to ask for too, property to (low, high), an infinity for an open side.

    Returns:
        The measures, plain numbers; ``errors`` holds the largest error of each answer, ``targets x answers``.
    """
    generator = generator_named(strategy, options)
    began, began_cpu = time.perf_counter(), time.process_time()
    record = generator.fit(training_data(problem, given), seed=given.seed, device=device)
    trained, trained_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    began, began_cpu = time.perf_counter(), time.process_time()
    answers = _answers(generator, problem, given, setting)
    answering, answering_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    thousands = answers.shape[0] * answers.shape[1] / 1000
    asked = _asked_for(generator, problem, given, setting, intervals) if intervals else {}
    return {
        "problem": problem.name,
        "strategy": strategy,
        "knows": knowledge(strategy, problem),
        "seed": given.seed,
        **judged(problem, given, answers),
        "reported_collapsed": record.metrics.get("collapsed"),
        "training_s": trained,
        "training_cpu_s": trained_cpu,
        "s_per_1000": answering / thousands,
        "cpu_s_per_1000": answering_cpu / thousands,
        **asked,
    }


def _asked_for(
    generator: Generator,
    problem: Problem,
    given: Trial,
    setting: Setting,
    intervals: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """Ask for intervals, as a campaign does: share of the answers inside, and their variety."""
    rng = np.random.default_rng([given.seed, 23])
    number = setting.targets * setting.answers
    wanted = conditions_for_targets(training_data(problem, given), intervals, number, rng)
    answers = generator.generate(wanted, seed=given.seed, palette=problem.palette)
    inside = problem.inside(problem.evaluate(answers), intervals)
    return {"inside_targets": float(inside.mean()), "inside_targets_diversity": diversity(answers)}


def _answers(generator: Generator, problem: Problem, given: Trial, setting: Setting) -> Array:
    wanted = np.repeat(given.targets, setting.answers, axis=0)
    flat = generator.generate(wanted, seed=given.seed, palette=problem.palette)
    return flat.reshape(len(given.targets), setting.answers, len(problem.elements))


def judged(problem: Problem, given: Trial, answers: Array) -> dict[str, Any]:
    """Measures of ``t x a x m`` answers to the targets of a trial."""
    t, a, m = answers.shape
    flat = answers.reshape(t * a, m)
    reached = problem.evaluate(flat)
    wanted, unit = np.repeat(given.targets, a, axis=0), np.repeat(given.unit, a, axis=0)
    errors = relative_errors(reached, wanted, unit).reshape(t, a)
    variety = [diversity(x) for x in answers]
    among_hits = [
        diversity(x[e <= max(TOLERANCES)])
        for x, e in zip(answers, errors, strict=True)
        if (e <= max(TOLERANCES)).sum() > 1
    ]
    gaps = np.abs(reached - wanted) / unit
    return {
        "errors": np.round(np.where(np.isfinite(errors), errors, 1e9), 5).tolist(),
        "median_error": {n: float(np.nanmedian(g)) for n, g in zip(problem.names, gaps.T, strict=True)},
        "diversity": float(np.mean(variety)),
        "diversity_of_hits": float(np.mean(among_hits)) if among_hits else None,
        "collapsed": bool(np.mean(variety) < COLLAPSE_DIVERSITY),
        "valid": share_valid(flat, problem.palette),
        "property_correlation_distance": property_correlation_distance(problem.values, reached),
        **realism(
            problem.fractions,
            without_traces(flat),
            problem.fractions[given.training],
            np.random.default_rng([given.seed, 21]),
        ),
    }


# -- over strategies and seeds ---------------------------------------------------------------------------------


def reach_by_anyone(given: Trial, runs: Sequence[Mapping[str, Any]], tolerance: float) -> NDArray[np.bool_]:
    """Which targets of a trial the direct optimiser or any contestant of that seed came near enough to."""
    reachable: NDArray[np.bool_] = given.least_error <= tolerance
    for run in runs:
        reachable = reachable | (np.asarray(run["errors"]).min(axis=1) <= tolerance)
    return reachable


def with_hits(runs: Sequence[Mapping[str, Any]], trials: Mapping[int, Trial]) -> list[dict[str, Any]]:
    """Add the shares of hits to the runs of one problem, over all targets and over those that can be reached.

    Args:
        runs: Of :func:`contest`.
        trials: Seed to what was given.
    """
    out = []
    for run in runs:
        seed = int(run["seed"])
        errors = np.asarray(run["errors"])
        row: dict[str, Any] = {k: v for k, v in run.items() if k != "errors"}
        for tolerance in TOLERANCES:
            percent = f"{100 * tolerance:g}"
            reachable = reach_by_anyone(trials[seed], [r for r in runs if r["seed"] == seed], tolerance)
            hits = errors <= tolerance
            row[f"reachable_{percent}"] = float(reachable.mean())
            row[f"hits_{percent}"] = float(hits.mean())
            row[f"hits_{percent}_reachable"] = float(hits[reachable].mean()) if reachable.any() else None
            row[f"answered_{percent}"] = float(hits.any(axis=1).mean())
        out.append(row)
    return out


_AVERAGED: Final = (
    "hits_2",
    "hits_2_reachable",
    "hits_5",
    "hits_5_reachable",
    "answered_2",
    "answered_5",
    "reachable_2",
    "reachable_5",
    "diversity",
    "diversity_of_hits",
    "novelty",
    "unique",
    "pair_correlation_distance",
    "element_count_distance",
    "property_correlation_distance",
    "coverage",
    "density",
    "valid",
    "training_s",
    "training_cpu_s",
    "s_per_1000",
    "cpu_s_per_1000",
    "inside_targets",
)


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds of each strategy, best hits first.

    Args:
        rows: Of :func:`with_hits`, of one problem.
    """
    out: list[dict[str, Any]] = []
    for strategy in dict.fromkeys(str(row["strategy"]) for row in rows):
        own = [row for row in rows if row["strategy"] == strategy]
        entry: dict[str, Any] = {
            "strategy": strategy,
            "knows": own[0]["knows"],
            "seeds": [row["seed"] for row in own],
            "collapsed_seeds": [row["seed"] for row in own if row["collapsed"]],
        }
        for name in _AVERAGED:
            values = np.array([row[name] for row in own if row.get(name) is not None], dtype=float)
            values = values[np.isfinite(values)]
            entry[name] = float(values.mean()) if len(values) else None
            entry[f"{name}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        out.append(entry)
    return sorted(out, key=lambda e: -(e["hits_2_reachable"] or 0.0))


def without_formulas(problem: Problem) -> Problem:
    """The same problem where no generator may use a formula: properties are learned from the rows."""
    return replace(problem, name=f"{problem.name}-rows", closed_form=())


def data_against_itself(problem: Problem, given: Trial) -> dict[str, float]:
    """Realism of the held-out alloys against the training ones: the floor that sampling sets."""
    held, training = problem.fractions[given.held_out], problem.fractions[given.training]
    return realism(training, held, training, np.random.default_rng([given.seed, 22])) | {
        "property_correlation_distance": property_correlation_distance(
            problem.values[given.training], problem.values[given.held_out]
        )
    }

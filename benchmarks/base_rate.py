"""How many of uniform random compositions of a campaign's palette hit: the rate that a strategy has to beat.

    python -m benchmarks.base_rate campaigns/quickstart.yaml --number 2000 --seed 0 [--json]

The compositions are judged by exactly the criteria of the campaign (:func:`hea_loop.scoring.judge`). A hit
needs every target, so a composition that fails a target which a prediction decides is no hit whatever its
equilibria are: it is counted without asking the validator. All others get real equilibria.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from flows.planning import packaged_elastic_model
from hea_loop.campaign import Campaign, load_campaign
from hea_loop.composition import Composition
from hea_loop.elasticity import predicted_means
from hea_loop.errors import HeaLoopError
from hea_loop.scoring import KnownValue, judge, wilson_interval
from validators.calphad import CalphadSettings, validate_many
from validators.outcome import Outcome, OutcomeStatus

__all__ = ["BaseRate", "main", "measure"]

_CHUNK = 16


@dataclass(frozen=True, slots=True)
class BaseRate:
    """What was measured.

    Attributes:
        campaign: Name of the campaign.
        seed: Seed of the random compositions.
        drawn: Uniform random compositions.
        inside_predicted: Of those, how many lie inside every target that a prediction decides.
        unanswered: Of those inside, how many have no answer (failed or unconverged); they count as no hit.
        hits: Hits.
        rate: ``hits / drawn``.
        ci_low: Lower end of the 95% Wilson interval.
        ci_high: Upper end.
        holds: Share in which each target decided by a prediction holds, of all drawn.
        holds_inside: Share in which each target or verdict of the validator holds, of those asked.
        costliest: The target or verdict that holds least often among the compositions that were put to it: all
            drawn for a prediction, those inside the predicted targets for the validator.
        wall_s: Seconds it took.
    """

    campaign: str
    seed: int
    drawn: int
    inside_predicted: int
    unanswered: int
    hits: int
    rate: float
    ci_low: float
    ci_high: float
    holds: dict[str, float]
    holds_inside: dict[str, float]
    costliest: str
    wall_s: float


def measure(campaign: Campaign, *, number: int, seed: int, processes: int = 1) -> BaseRate:
    """Measure the base rate of a campaign.

    Args:
        campaign: Its palette is drawn from, its targets and verdicts judge.
        number: How many uniform random compositions.
        seed: Seed of the draw.
        processes: Worker processes for the equilibria.
    """
    started = time.perf_counter()
    palette = campaign.design_space()
    drawn = palette.sample_uniform(number, np.random.default_rng(seed))
    names = tuple(n for n in campaign.targets if n in campaign.predictable())
    fractions = np.array([c.fraction_vector(palette.elements) for c in drawn])
    elasticity = packaged_elastic_model(campaign)
    predictions = predicted_means(fractions, palette.elements, names, elasticity) if names else {}
    held = {n: np.array([campaign.targets[n].holds(float(v)) for v in predictions[n]]) for n in names}
    inside = np.logical_and.reduce(list(held.values())) if held else np.ones(number, dtype=bool)
    asked = [int(i) for i in np.flatnonzero(inside)]
    # neighbours in the order share an alloy system, and with it the compiled phase models of a process
    asked.sort(key=lambda i: drawn[i].system)
    outcomes = _ask(campaign, [drawn[i] for i in asked], processes)

    hits, unanswered, failures = 0, 0, Counter[str]()
    for i, outcome in zip(asked, outcomes, strict=True):
        if outcome.status is not OutcomeStatus.CONVERGED:
            unanswered += 1
            continue
        values = [KnownValue(n, float(predictions[n][i]), "prediction") for n in names]
        values += [KnownValue(v.property, v.value, "calphad", v.temperature_K) for v in outcome.values]
        judgement = judge(campaign, values)
        hits += judgement.hit
        failures.update({text.split()[0] for text in (*judgement.failed, *judgement.missing)})
    answered = max(1, len(asked) - unanswered)
    deciding = [n for n in (*campaign.targets, *campaign.verdicts) if n not in names]
    holds = {n: float(held[n].mean()) for n in names}
    holds_inside = {n: 1 - failures[n] / answered for n in deciding}
    interval = wilson_interval(hits, number)
    if interval is None:
        raise ValueError(f"nothing was drawn: {number=}")
    return BaseRate(
        campaign=campaign.name,
        seed=seed,
        drawn=number,
        inside_predicted=len(asked),
        unanswered=unanswered,
        hits=hits,
        rate=hits / number,
        ci_low=interval[0],
        ci_high=interval[1],
        holds=holds,
        holds_inside=holds_inside,
        costliest=min({**holds, **holds_inside}.items(), key=lambda item: item[1])[0],
        wall_s=time.perf_counter() - started,
    )


def _ask(campaign: Campaign, compositions: list[Composition], processes: int) -> list[Outcome]:
    if campaign.validators.calphad is None:
        raise ValueError("the campaign has no CALPHAD validator")
    temperatures = sorted({t for v in campaign.verdicts.values() for t in v.temperatures_K})
    properties = [n for n in (*campaign.targets, *campaign.verdicts) if n not in campaign.predictable()]
    settings = CalphadSettings(
        database=campaign.validators.calphad.database,
        temperatures_K=tuple(temperatures),
        properties=tuple(properties),
    )
    chunks = [compositions[i : i + _CHUNK] for i in range(0, len(compositions), _CHUNK)]
    ask = partial(validate_many, settings=settings)
    if processes == 1:
        answers = [ask(chunk) for chunk in chunks]
    else:
        # spawned: a forked process would inherit the locks of the numerical libraries' threads
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            answers = pool.map(ask, chunks, chunksize=1)
    return [outcome for answer in answers for outcome in answer]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("campaign", help="campaign file (YAML)")
    parser.add_argument("--number", type=int, default=2000, help="uniform random compositions (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default 0)")
    parser.add_argument("--processes", type=int, default=1, help="worker processes (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.number < 1 or given.processes < 1:
        print("--number and --processes have to be at least 1", file=sys.stderr)
        return 2
    try:
        campaign = load_campaign(given.campaign)
        measured = measure(campaign, number=given.number, seed=given.seed, processes=given.processes)
    except HeaLoopError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(_plain(measured), indent=2))
    else:
        _show(measured)
    return 0


def _plain(measured: BaseRate) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(measured)


def _show(m: BaseRate) -> None:
    print(f"{m.campaign}: {m.drawn} uniform random compositions, seed {m.seed}, {m.wall_s:.0f} s")
    print(f"hits {m.hits}, base rate {m.rate:.2%}, 95% Wilson interval {m.ci_low:.2%} to {m.ci_high:.2%}")
    print(f"{m.inside_predicted} lie inside the targets that a prediction decides and got real equilibria;")
    print(f"the others cannot hit and were not asked. Without an answer: {m.unanswered}, counted as no hit.")
    for name, share in m.holds.items():
        print(f"  {name:<26} holds in {share:6.1%} of all drawn")
    for name, share in m.holds_inside.items():
        print(f"  {name:<26} holds in {share:6.1%} of those asked")
    print(f"costliest: {m.costliest} (holds least often among the compositions that were put to it)")


if __name__ == "__main__":
    raise SystemExit(main())

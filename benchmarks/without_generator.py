"""What the generator adds: the same selection on uniform random compositions in its place.

    python -m benchmarks.without_generator [CAMPAIGN.yaml] [--seed 1] [--iterations 3] [--pool N] [--json]

Every iteration draws a pool of uniform random compositions of the palette (as many as the campaign's strategy
would generate, or ``--pool``), and the campaign improves the best of it and ranks all: predicted targets, published
phases, the surrogate of all answers so far, minimum distances. What is left out is the trained generator. A
strategy that does no better than this owes its hits to the screening.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from db.literature import read_first_principles, read_literature
from flows.planning import calphad_settings
from hea_loop.campaign import Campaign, load_campaign
from hea_loop.composition import Composition
from hea_loop.errors import HeaLoopError
from hea_loop.prediction import PREDICTED_PROPERTIES, predict_array
from hea_loop.scoring import KnownValue, judge, wilson_interval
from hea_loop.selection import improved_candidates, number_at_random, predicted_violation, select
from hea_loop.surrogate import fit_surrogate
from hea_loop.surrogates.reported_phases import PhaseReport, is_single_phase_bcc
from validators.calphad import validate_many
from validators.calphad.verdict import driving_forces_in
from validators.outcome import OutcomeStatus

__all__ = ["Turn", "main", "measure"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One iteration: size of the pool, how many of it lie inside the predicted targets, validated, hits."""

    iteration: int
    pool: int
    inside_predicted: int
    validated: int
    hits: int


def measure(campaign: Campaign, *, seed: int, iterations: int, pool: int | None = None) -> list[Turn]:
    """Run the selection on uniform random pools, with real equilibria.

    Args:
        campaign: Its palette, targets, batch size (less the random share) and minimum distance.
        seed: Of the draws.
        iterations: How many.
        pool: Compositions drawn in each; None for as many as the strategy generates.
    """
    strategy = campaign.batch_size - number_at_random(campaign.batch_size, campaign.random_share)
    plain = campaign.model_copy(update={"random_share": 0.0})
    palette, settings = plain.design_space(), calphad_settings(plain)
    names = tuple(n for n in plain.targets if n in PREDICTED_PROPERTIES)
    size = pool or campaign.strategy.oversample * campaign.batch_size
    literature = read_literature()
    known = [row.composition for row in (*literature, *read_first_principles())]
    reports = [
        PhaseReport(row.composition, is_single_phase_bcc(row.text))
        for row in literature
        if row.property == "phases_observed" and row.text
    ]
    rng = np.random.default_rng(seed)
    answers: dict[str, list[KnownValue]] = {}
    turns = []
    for number in range(1, iterations + 1):
        keys = sorted(answers)
        rows = [Composition.from_key(k).fraction_vector(palette.elements) for k in keys]
        asked = np.array(rows, dtype=float).reshape(len(keys), len(palette.elements))
        surrogate = fit_surrogate(plain, palette.elements, asked, [answers[k] for k in keys], reports=reports)
        drawn = palette.sample_uniform(size, rng)
        better = improved_candidates(drawn, plain, surrogate, rng=rng)
        selection = select([*drawn, *better], plain, known, surrogate, number=strategy, rng=rng)
        chosen = [s.composition for s in selection.selected]
        known += chosen
        fractions = np.array([c.fraction_vector(palette.elements) for c in chosen])
        predicted = predict_array(fractions, palette.elements, names) if names and chosen else {}
        hits = validated = 0
        for i, outcome in enumerate(validate_many(chosen, settings)):
            if outcome.status is not OutcomeStatus.CONVERGED:
                continue
            found = [
                KnownValue(v.property, v.value, "calphad", v.temperature_K, driving_forces_in(v.detail))
                for v in outcome.values
            ]
            answers[chosen[i].key] = found
            own = [KnownValue(n, float(predicted[n][i]), "prediction") for n in names]
            validated += 1
            hits += judge(plain, [*own, *found]).hit
        rows = np.array([c.fraction_vector(palette.elements) for c in drawn])
        violation, _ = predicted_violation(rows, palette.elements, plain.targets)
        turns.append(Turn(number, size, int((violation <= 0).sum()), validated, hits))
    return turns


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("campaign", nargs="?", default="campaigns/quickstart.yaml", help="campaign file")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draws (default 1)")
    parser.add_argument("--iterations", type=int, default=3, help="iterations (default 3)")
    parser.add_argument("--pool", type=int, help="compositions drawn in each iteration")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.iterations < 1 or (given.pool is not None and given.pool < 1):
        print("--iterations and --pool have to be at least 1", file=sys.stderr)
        return 2
    try:
        campaign = load_campaign(given.campaign)
        turns = measure(campaign, seed=given.seed, iterations=given.iterations, pool=given.pool)
    except HeaLoopError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        result: dict[str, Any] = {"campaign": campaign.name, "iterations": [asdict(t) for t in turns]}
        print(json.dumps(result, indent=1))
        return 0
    print(f"{campaign.name}: uniform random compositions in place of the generator, seed {given.seed}")
    for t in turns:
        low, high = wilson_interval(t.hits, t.validated) or (0.0, 1.0)
        rate = f"{t.hits / t.validated:.0%}" if t.validated else "-"
        print(
            f"iteration {t.iteration}: {t.inside_predicted} of {t.pool} drawn inside the predicted targets; "
            f"{t.hits} hits of {t.validated} validated, {rate} (95% Wilson interval {low:.0%} to {high:.0%})"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

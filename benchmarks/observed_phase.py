"""The probability that an alloy is observed as single-phase bcc: learned, cross-validated, written.

    python -m benchmarks.observed_phase [--json] [--write] [--smoke] [--repeats 20] [--picture docs/images/reliability.png]

Observations are what the packaged literature reports of alloys of three or more elements of the database, one
for each composition and processing state. Every alloy of one set of elements is held out together. Nothing is
chosen on held-out data: the model has no hyper-parameter to tune, and the probability from which on an alloy
counts as single-phase is the share of such observations among those that were trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.reliability import balanced_accuracy, calibration_floor, draw, expected_calibration_error
from db.literature import LiteratureRow, read_literature
from hea_loop.composition import Composition
from validators.calphad import CalphadDatabase, load_database, screen_compositions
from validators.calphad.observed.competition import Competition, competition
from validators.calphad.observed.model import fit
from validators.calphad.observed.processing import PROCESSING_STATES, processing_state

__all__ = ["Observation", "cross_validate", "main", "observations", "system_folds"]

Array = NDArray[np.float64]

FOLDS: Final = 10
PLAIN_K: Final = 1473.0
"""Temperature of the plain equilibrium that the model is compared with."""

# phases of C, N, O, B, Si, which are not in the composition: another alloy was made than the one that is stated
_FOREIGN: Final = frozenset(
    {"BORIDE", "CARBIDE", "CARBONITRIDE", "NITRIDE", "OXIDE", "OXYNITRIDE", "SILICIDE"}
)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the literature says of one composition in one processing state.

    Attributes:
        composition: The alloy.
        processing: One of ``PROCESSING_STATES``.
        reports: Reports in all.
        single: Of them those of bcc and nothing else (ordered B2 is something else).
    """

    composition: Composition
    processing: str
    reports: int
    single: int

    @property
    def observed(self) -> bool:
        """Whether most reports are of single-phase bcc."""
        return 2 * self.single > self.reports


@dataclass(frozen=True, slots=True)
class Table:
    """The observations that are learned from, and what was left out of them.

    Attributes:
        observations: Sorted by system, composition and state.
        foreign: Reports left out for a phase of elements that are not in the composition.
        divided: Observations left out because exactly half of the reports are of single-phase bcc.
    """

    observations: tuple[Observation, ...]
    foreign: int
    divided: int


def observations(elements: Sequence[str], rows: Sequence[LiteratureRow] | None = None) -> Table:
    """The packaged observations of alloys of three or more of some elements."""
    found: dict[tuple[Composition, str], list[bool]] = defaultdict(list)
    foreign = 0
    for row in read_literature() if rows is None else rows:
        present = row.composition.elements
        if row.property != "phases_observed" or not row.text or len(present) < 3 or set(present) - set(elements):
            continue
        others = set(row.text.split("+")) - {"BCC"}
        if others and others <= _FOREIGN:
            foreign += 1
            continue
        found[row.composition, processing_state(row.processing)].append(row.text == "BCC")
    ordered = sorted(found.items(), key=lambda item: (item[0][0].system, item[0][0].key, item[0][1]))
    every = [Observation(c, state, len(single), sum(single)) for (c, state), single in ordered]
    kept = tuple(o for o in every if 2 * o.single != o.reports)
    return Table(kept, foreign, len(every) - len(kept))


def system_folds(systems: Sequence[str], folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The fold of every observation; all of one system are in one fold.

    Raises:
        ValueError: There are fewer systems than folds.
    """
    names = np.unique(np.asarray(systems))
    if len(names) < folds:
        raise ValueError(f"{len(names)} systems cannot be split into {folds} folds")
    fold = dict(zip(rng.permutation(names).tolist(), (k % folds for k in range(len(names))), strict=True))
    return np.array([fold[s] for s in systems], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions of alloys whose system was not trained on.

    Attributes:
        probability: ``(repeats, n)``.
        threshold: ``(repeats, n)`` share of single-phase observations in the training folds.
    """

    probability: Array
    threshold: Array


def cross_validate(
    features: Array, states: Sequence[str], observed: NDArray[np.bool_], systems: Sequence[str], *, repeats: int, seed: int
) -> HeldOut:
    """Predict every observation from the others' systems, in several random splits."""
    p = np.full((repeats, len(observed)), np.nan)
    threshold = np.full_like(p, np.nan)
    state = np.asarray(states)
    for r in range(repeats):
        fold = system_folds(systems, FOLDS, np.random.default_rng([seed, r]))
        for k in range(FOLDS):
            train, test = fold != k, fold == k
            model = fit(features[train], state[train].tolist(), observed[train])
            p[r, test] = model.probability(features[test], state[test].tolist())
            threshold[r, test] = observed[train].mean()
    return HeldOut(p, threshold)


def scores(observed: NDArray[np.bool_], p: Array, said: NDArray[np.bool_]) -> dict[str, float]:
    """All scores of one set of predictions."""
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return {
        "balanced_accuracy": balanced_accuracy(observed, said),
        "expected_calibration_error": expected_calibration_error(observed, p),
        "brier": float(np.mean((p - observed) ** 2)),
        "log_loss": float(-np.where(observed, np.log(q), np.log(1 - q)).mean()),
    }


def with_interval(
    observed: NDArray[np.bool_], held_out: HeldOut, plain: NDArray[np.bool_], systems: Sequence[str], *, draws: int, seed: int
) -> dict[str, dict[str, float]]:
    """Means over the splits, with 95% intervals from drawing whole systems again, with replacement."""
    said = held_out.probability > held_out.threshold
    repeats = len(said)

    def once(rows: NDArray[np.intp]) -> dict[str, float]:
        y = observed[rows]
        each = [scores(y, held_out.probability[r, rows], said[r, rows]) for r in range(repeats)]
        result = {name: float(np.mean([e[name] for e in each])) for name in each[0]}
        result["plain_balanced_accuracy"] = balanced_accuracy(y, plain[rows])
        result["gain_over_plain"] = result["balanced_accuracy"] - result["plain_balanced_accuracy"]
        return result

    members = [np.flatnonzero(np.asarray(systems) == s) for s in np.unique(np.asarray(systems))]
    rng = np.random.default_rng([seed, 1])
    drawn = [
        once(np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])) for _ in range(draws)
    ]
    value = once(np.arange(len(observed)))
    return {
        name: {
            "value": value[name],
            "low": float(np.nanquantile([d[name] for d in drawn], 0.025)),
            "high": float(np.nanquantile([d[name] for d in drawn], 0.975)),
        }
        for name in value
    }


def measure(database: CalphadDatabase, *, repeats: int, draws: int, seed: int, most: int | None = None) -> dict[str, Any]:
    """Cross-validate and compare with the plain equilibrium."""
    table = observations(database.elements)
    chosen = table.observations if most is None else table.observations[:: max(1, len(table.observations) // most)]
    alloys = sorted({o.composition for o in chosen}, key=lambda c: (c.system, c.key))
    number = {c: k for k, c in enumerate(alloys)}
    found = competition(alloys, database)
    use = [o for o in chosen if np.isfinite(found.solidus_K[number[o.composition]])]
    rows = np.array([number[o.composition] for o in use])
    features = found.stable_up_to[rows]
    states = [o.processing for o in use]
    observed = np.array([o.observed for o in use])
    systems = [o.composition.system for o in use]
    plain = screen_compositions(alloys, [PLAIN_K], database).single_phase_bcc[rows]
    held_out = cross_validate(features, states, observed, systems, repeats=repeats, seed=seed)
    said = (held_out.probability > held_out.threshold).mean(axis=0)
    mean_p = held_out.probability.mean(axis=0)
    return {
        "database": database.name,
        "database_sha256": database.content_hash,
        "observations": len(use),
        "single": int(observed.sum()),
        "alloys": len({o.composition for o in use}),
        "systems": len(set(systems)),
        "left_out": {
            "foreign_phase_reports": table.foreign,
            "divided": table.divided,
            "no_solidus": len(chosen) - len(use),
        },
        "states": {s: [sum(o.processing == s for o in use), sum(o.processing == s and o.observed for o in use)] for s in PROCESSING_STATES},
        "folds": FOLDS,
        "repeats": repeats,
        "scores": with_interval(observed, held_out, plain, systems, draws=draws, seed=seed),
        "calibration_floor": calibration_floor(mean_p, np.random.default_rng([seed, 2])),
        "confusion": {
            "single_said_single": float(said[observed].sum()),
            "single_said_not": float((1 - said)[observed].sum()),
            "not_said_single": float(said[~observed].sum()),
            "not_said_not": float((1 - said)[~observed].sum()),
        },
        "model": fit(features, states, observed).to_json(),
        "_observed": observed,
        "_probability": mean_p,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--smoke", action="store_true", help="few alloys and splits: does everything run?")
    parser.add_argument("--repeats", type=int, default=20, help="random splits (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="draw the reliability diagram there")
    given = parser.parse_args(arguments)
    repeats, draws, most = (2, 20, 60) if given.smoke else (given.repeats, 500, None)
    result = measure(load_database(), repeats=repeats, draws=draws, seed=given.seed, most=most)
    observed, probability = result.pop("_observed"), result.pop("_probability")
    if given.picture:
        draw(observed, probability, given.picture)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

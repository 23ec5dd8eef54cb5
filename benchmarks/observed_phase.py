"""The probability that an alloy is observed as single-phase bcc: learned, cross-validated, written.

    python -m benchmarks.observed_phase [--json] [--smoke]
    python -m benchmarks.observed_phase --write          # the packaged model, its features and the picture
    python -m benchmarks.observed_phase --database my.tdb --write my-model.json

Observations are what the packaged literature reports of alloys of three or more elements of the database, one
for each composition and processing state. Every alloy of one set of elements is held out together. Nothing is
chosen on held-out data: the kernel is chosen by leaving out alloy systems of the training folds, and the probability
from which on an alloy counts as single-phase is the share of such observations among those that were trained on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.reliability import (
    BINS,
    balanced_accuracy,
    calibration_floor,
    draw,
    expected_calibration_error,
)
from db.literature import LiteratureRow, read_literature
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad import CalphadDatabase, load_database, screen_compositions
from validators.calphad.database import OWN_DATABASE
from validators.calphad.observed.competition import RIVALS, competition
from validators.calphad.observed.likeness import Evidence, Learned, learn
from validators.calphad.observed.model import NoisyOr, fit
from validators.calphad.observed.processing import PROCESSING_STATES, processing_state

__all__ = [
    "FEATURES",
    "MODEL",
    "Observation",
    "Rows",
    "Table",
    "cross_validate",
    "main",
    "observations",
    "read_rows",
    "system_folds",
    "train",
]

Array = NDArray[np.float64]

MODEL: Final = Path(__file__).parents[1] / "validators" / "calphad" / "observed" / "observed_phase.json"
"""The packaged model."""
FEATURES: Final = Path(__file__).parent / "observed_features.csv"
"""Observations and features that it was made from, so that its figures can be checked without computing them again."""
PICTURE: Final = Path(__file__).parents[1] / "docs" / "images" / "reliability.png"

FOLDS: Final = 10
RESAMPLED: Final = 60
"""Models of alloy systems drawn again that are kept beside the one of all."""
LEAST_ELEMENTS: Final = 3
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

    def digest(self) -> str:
        """SHA-256 of the observations: a change of the literature data or of the labels changes it."""
        text = "\n".join(
            f"{o.composition.key},{o.processing},{o.reports},{o.single}" for o in self.observations
        )
        return hashlib.sha256(text.encode()).hexdigest()


def is_single(text: str) -> bool:
    """Whether a report is of bcc and nothing else; B2 is something else."""
    return text == "BCC"


def observations(
    elements: Sequence[str],
    rows: Sequence[LiteratureRow] | None = None,
    single: Callable[[str], bool] = is_single,
) -> Table:
    """The observations of alloys of three or more of some elements.

    Args:
        elements: The elements.
        rows: Rows of the literature; the packaged ones if not given.
        single: Whether the phases of a report count as single-phase bcc.
    """
    found: dict[tuple[Composition, str], list[bool]] = defaultdict(list)
    foreign = 0
    for row in read_literature() if rows is None else rows:
        present = row.composition.elements
        if (
            row.property != "phases_observed"
            or not row.text
            or len(present) < LEAST_ELEMENTS
            or set(present) - set(elements)
        ):
            continue
        others = set(row.text.split("+")) - {"BCC"}
        if others and others <= _FOREIGN:
            foreign += 1
            continue
        found[row.composition, processing_state(row.processing)].append(single(row.text))
    ordered = sorted(found.items(), key=lambda item: (item[0][0].system, item[0][0].key, item[0][1]))
    every = [Observation(c, state, len(said), sum(said)) for (c, state), said in ordered]
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
        rivals: ``(repeats, n)`` of the rivals alone, fitted without weights: what likeness is compared with.
        threshold: ``(repeats, n)`` share of single-phase observations in the training folds.
        kernels: How often each kernel was chosen, by its amplitude, composition and homologous scale.
    """

    probability: Array
    rivals: Array
    threshold: Array
    kernels: dict[str, int]


def cross_validate(rows: Rows, *, repeats: int, seed: int) -> HeldOut:
    """Predict every observation from the others' systems, in several random splits."""
    evidence, observed, systems = rows.evidence, rows.observed, rows.systems
    p = np.full((repeats, len(observed)), np.nan)
    rivals, threshold = np.full_like(p, np.nan), np.full_like(p, np.nan)
    kernels: Counter[str] = Counter()
    for r in range(repeats):
        fold = system_folds(systems, FOLDS, np.random.default_rng([seed, r]))
        for k in range(FOLDS):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            known, asked = evidence.take(train), evidence.take(test)
            model = learn(known, observed[train])
            p[r, test] = model.probability(asked)
            alone = fit(known.stable_up_to, known.states, observed[train])
            rivals[r, test] = alone.probability(asked.stable_up_to, asked.states)
            threshold[r, test] = observed[train].mean()
            chosen = model.kernel
            kernels[f"{chosen.amplitude:g} {chosen.composition:g} {chosen.homologous:g}"] += 1
    return HeldOut(p, rivals, threshold, dict(sorted(kernels.items())))


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
    observed: NDArray[np.bool_],
    held_out: HeldOut,
    plain: NDArray[np.bool_],
    systems: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Means over the splits, with 95% intervals from drawing whole systems again, with replacement."""
    said = held_out.probability > held_out.threshold
    alone = held_out.rivals > held_out.threshold
    repeats = len(said)

    def once(rows: NDArray[np.intp]) -> dict[str, float]:
        y = observed[rows]
        each = [scores(y, held_out.probability[r, rows], said[r, rows]) for r in range(repeats)]
        result = {name: float(np.mean([e[name] for e in each])) for name in each[0]}
        without = [scores(y, held_out.rivals[r, rows], alone[r, rows]) for r in range(repeats)]
        for name in ("balanced_accuracy", "log_loss", "brier"):
            result[f"rivals_alone_{name}"] = float(np.mean([e[name] for e in without]))
            result[f"{name}_less_rivals_alone"] = result[name] - result[f"rivals_alone_{name}"]
        result["plain_balanced_accuracy"] = balanced_accuracy(y, plain[rows])
        result["gain_over_plain"] = result["balanced_accuracy"] - result["plain_balanced_accuracy"]
        return result

    members = [np.flatnonzero(np.asarray(systems) == s) for s in np.unique(np.asarray(systems))]
    rng = np.random.default_rng([seed, 1])
    drawn = [
        once(np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))]))
        for _ in range(draws)
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


@dataclass(frozen=True, slots=True)
class Rows:
    """Observations with their features, ``n`` of them in the same order.

    Attributes:
        observations: Of alloys with a solidus.
        features: ``(n, 4)`` homologous temperatures up to which rivals are stable.
        plain: ``(n,)`` whether bcc is alone at :data:`PLAIN_K` in equilibrium.
    """

    observations: tuple[Observation, ...]
    features: Array
    plain: NDArray[np.bool_]

    @property
    def states(self) -> list[str]:
        """Processing states."""
        return [o.processing for o in self.observations]

    @property
    def systems(self) -> list[str]:
        """Alloy systems."""
        return [o.composition.system for o in self.observations]

    @property
    def observed(self) -> NDArray[np.bool_]:
        """``(n,)`` whether reported as single-phase bcc."""
        return np.array([o.observed for o in self.observations], dtype=bool)

    @property
    def evidence(self) -> Evidence:
        """What is learned from, without the labels; compositions are compared by all of the elements."""
        elements = sorted({e for o in self.observations for e in o.composition.elements})
        return Evidence(
            tuple(o.composition for o in self.observations),
            self.features,
            tuple(self.states),
            tuple(elements),
        )

    def where(self, wanted: Callable[[Observation], bool]) -> NDArray[np.intp]:
        """Positions of some of them."""
        return np.flatnonzero([wanted(o) for o in self.observations])


def compute_rows(chosen: Sequence[Observation], database: CalphadDatabase) -> Rows:
    """Compute the features; alloys without a solidus are left out."""
    alloys = sorted({o.composition for o in chosen}, key=lambda c: (c.system, c.key))
    number = {c: k for k, c in enumerate(alloys)}
    found = competition(alloys, database)
    plain = screen_compositions(alloys, [PLAIN_K], database).single_phase_bcc
    use = tuple(o for o in chosen if np.isfinite(found.solidus_K[number[o.composition]]))
    at = np.array([number[o.composition] for o in use], dtype=np.intp)
    return Rows(use, np.round(found.stable_up_to[at], 6), plain[at])


def write_rows(rows: Rows, path: Path) -> None:
    """Write observations and features as CSV."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["composition", "processing", "reports", "single", *RIVALS, "plain"])
        for o, features, plain in zip(rows.observations, rows.features, rows.plain, strict=True):
            shown = (f"{v:.6f}" for v in features)
            writer.writerow([o.composition.key, o.processing, o.reports, o.single, *shown, int(plain)])


def read_rows(path: Path = FEATURES) -> Rows:
    """Read what :func:`write_rows` wrote."""
    with path.open(encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle))
    return Rows(
        tuple(
            Observation(
                Composition.from_key(r["composition"]), r["processing"], int(r["reports"]), int(r["single"])
            )
            for r in lines
        ),
        np.array([[float(r[name]) for name in RIVALS] for r in lines]),
        np.array([r["plain"] == "1" for r in lines], dtype=bool),
    )


def train(rows: Rows, seed: int) -> tuple[Learned, list[NoisyOr]]:
    """The model of all observations, and the rivals of alloy systems drawn again with replacement."""
    weights = rows.evidence.weights
    observed, states, systems = rows.observed, rows.states, np.array(rows.systems)
    names, member = np.unique(systems, return_inverse=True)
    rng = np.random.default_rng([seed, 3])
    resampled = []
    for _ in range(RESAMPLED):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        resampled.append(fit(rows.features, states, observed, weights=times[member] * weights))
    return learn(rows.evidence, observed), resampled


def evaluate(rows: Rows, *, repeats: int, draws: int, seed: int) -> dict[str, Any]:
    """Cross-validate and compare with the plain equilibrium on the same rows."""
    observed, systems = rows.observed, rows.systems
    held_out = cross_validate(rows, repeats=repeats, seed=seed)
    said = held_out.probability > held_out.threshold
    mean_p, share = held_out.probability.mean(axis=0), said.mean(axis=0)

    def part(at: NDArray[np.intp]) -> dict[str, float]:
        y = observed[at]
        each = [scores(y, held_out.probability[r, at], said[r, at]) for r in range(repeats)]
        return {
            "observations": len(at),
            "single": int(y.sum()),
            "balanced_accuracy": float(np.mean([e["balanced_accuracy"] for e in each])),
            "plain_balanced_accuracy": balanced_accuracy(y, rows.plain[at]),
            "mean_probability": float(mean_p[at].mean()),
        }

    parts = {"without Al": rows.where(lambda o: "Al" not in o.composition.elements)}
    parts["with Al"] = rows.where(lambda o: "Al" in o.composition.elements)
    parts |= {state: rows.where(lambda o, s=state: o.processing == s) for state in PROCESSING_STATES}  # type: ignore[misc]
    return {
        "observations": len(observed),
        "single": int(observed.sum()),
        "alloys": len({o.composition for o in rows.observations}),
        "systems": len(set(systems)),
        "folds": FOLDS,
        "repeats": repeats,
        "bins": BINS,
        "kernels": held_out.kernels,
        "of_each_split": [
            balanced_accuracy(observed, one) for one in held_out.probability > held_out.threshold
        ],
        "scores": with_interval(observed, held_out, rows.plain, systems, draws=draws, seed=seed),
        "calibration_floor": calibration_floor(mean_p, np.random.default_rng([seed, 2])),
        "confusion": {
            "single, said single": float(share[observed].sum()),
            "single, said not": float((1 - share)[observed].sum()),
            "not single, said single": float(share[~observed].sum()),
            "not single, said not": float((1 - share)[~observed].sum()),
        },
        "parts": {name: part(at) for name, at in parts.items() if len(at)},
        "_probability": mean_p,
    }


def other_labels(
    rows: Rows, database: CalphadDatabase, *, repeats: int, seed: int
) -> dict[str, dict[str, float]]:
    """The figures under other readings of the labels, with the same features."""
    features = {
        o.composition: (f, p) for o, f, p in zip(rows.observations, rows.features, rows.plain, strict=True)
    }

    def again(chosen: Sequence[Observation]) -> dict[str, float]:
        use = [o for o in chosen if o.composition in features]
        relabelled = Rows(
            tuple(use),
            np.array([features[o.composition][0] for o in use]),
            np.array([features[o.composition][1] for o in use]),
        )
        y = relabelled.observed
        held_out = cross_validate(relabelled, repeats=repeats, seed=seed)
        each = [scores(y, p, p > t) for p, t in zip(held_out.probability, held_out.threshold, strict=True)]
        names = ("balanced_accuracy", "expected_calibration_error")
        return {
            "observations": len(use),
            "plain_balanced_accuracy": balanced_accuracy(y, relabelled.plain),
        } | {name: float(np.mean([e[name] for e in each])) for name in names}

    return {
        "B2 alone counts as bcc": again(
            observations(database.elements, single=lambda text: text in {"BCC", "B2"}).observations
        ),
        "one report of a second phase decides": again(
            [
                Observation(o.composition, o.processing, 1, int(o.single == o.reports))
                for o in rows.observations
            ]
        ),
        "no films": again([o for o in rows.observations if o.processing != "film"]),
        "no Al": again([o for o in rows.observations if "Al" not in o.composition.elements]),
    }


def measure(
    database: CalphadDatabase, *, repeats: int, draws: int, seed: int, most: int | None = None
) -> tuple[dict[str, Any], Rows]:
    """Everything that the command prints, and the rows it is from."""
    table = observations(database.elements)
    # a share of each system, so that few rows are still of many systems
    chosen = (
        table.observations if most is None else table.observations[:: max(1, len(table.observations) // most)]
    )
    rows = compute_rows(chosen, database)
    result = {
        "database": database.name,
        "database_sha256": database.content_hash,
        "literature_sha256": table.digest(),
        "left_out": {
            "reports of foreign phases": table.foreign,
            "evenly divided": table.divided,
            "no solidus": len(chosen) - len(rows.observations),
        },
    }
    result |= evaluate(rows, repeats=repeats, draws=draws, seed=seed)
    if most is None:
        result["other_labels"] = other_labels(rows, database, repeats=min(repeats, 5), seed=seed)
    return result, rows


def write_model(result: dict[str, Any], rows: Rows, database: CalphadDatabase, path: Path, seed: int) -> None:
    """Write the model of all observations with what it was trained on and how it was cross-validated."""
    model, resampled = train(rows, seed)
    years = [row.year for row in read_literature() if row.year is not None]
    data = {
        "trained_on": {
            "database": database.name,
            "database_sha256": database.content_hash,
            "literature_sha256": result["literature_sha256"],
            "literature_years": [min(years), max(years)],
            "elements": sorted({e for o in rows.observations for e in o.composition.elements}),
            "least_elements": LEAST_ELEMENTS,
            "observations": result["observations"],
            "single": result["single"],
            "systems": result["systems"],
            "seed": seed,
            "versions": {name: version(name) for name in ("numpy", "scipy", "pycalphad")},
        },
        "cross_validation": {
            name: result[name]
            for name in (
                "folds",
                "repeats",
                "bins",
                "scores",
                "calibration_floor",
                "parts",
                "kernels",
                "of_each_split",
            )
        },
    }
    parts = {name: json.dumps(value, indent=1) for name, value in _rounded(data).items()}
    # one line for each observation and for each model drawn again
    for name, lines in (model.to_json() | {"resampled": [one.to_json() for one in resampled]}).items():
        parts[name] = (
            "[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]"
            if isinstance(lines, list)
            else json.dumps(lines, indent=1)
        )
    text = ",\n".join(f"{json.dumps(name)}: {part}" for name, part in parts.items())
    path.write_text("{\n" + text + "\n}\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Six decimals: the last bits differ between machines."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value


def show(result: dict[str, Any]) -> None:
    """Print the figures."""
    print(
        f"{result['observations']} observations of {result['alloys']} alloys of {result['systems']} systems, "
        f"{result['single']} of single-phase bcc; {result['database']} {result['database_sha256'][:8]}"
    )
    print(f"held out by alloy system, {result['folds']} folds, {result['repeats']} splits; 95% over systems")
    for name, s in result["scores"].items():
        print(f"  {name.replace('_', ' '):<28}{s['value']:7.3f}  ({s['low']:.3f} to {s['high']:.3f})")
    print(f"  {'calibration error by chance':<28}{result['calibration_floor']:7.3f}")
    print(f"  kernels chosen (amplitude, composition, homologous): {result['kernels']}")
    for name, n in result["confusion"].items():
        print(f"  {name:<28}{n:7.1f}")
    print(f"{'part':<38}{'n':>5}{'single':>8}{'mean p':>8}{'balanced':>10}{'plain':>8}")
    for name, p in result["parts"].items():
        print(
            f"{name:<38}{p['observations']:>5}{p['single']:>8}{p['mean_probability'] * p['observations']:>8.1f}"
            f"{p['balanced_accuracy']:>10.3f}{p['plain_balanced_accuracy']:>8.3f}"
        )
    for name, p in result.get("other_labels", {}).items():
        print(
            f"{name:<38}{p['observations']:>5}{'':>16}{p['balanced_accuracy']:>10.3f}"
            f"{p['plain_balanced_accuracy']:>8.3f}  ECE {p['expected_calibration_error']:.3f}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--smoke", action="store_true", help="few alloys and splits: does everything run?")
    parser.add_argument("--repeats", type=int, default=20, help="random splits (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", default=OWN_DATABASE, help="name or path of a TDB")
    parser.add_argument(
        "--write",
        nargs="?",
        const=MODEL,
        type=Path,
        metavar="PATH",
        help="write the model of all observations; without a path the packaged one, its features and picture",
    )
    given = parser.parse_args(arguments)
    packaged = given.write == MODEL
    if packaged and (given.smoke or given.database != OWN_DATABASE):
        parser.error("the packaged model is of all observations and its own database; give --write a path")
    try:
        database = load_database(given.database)
        repeats, draws, most = (2, 20, 60) if given.smoke else (given.repeats, 500, None)
        result, rows = measure(database, repeats=repeats, draws=draws, seed=given.seed, most=most)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    probability = result.pop("_probability")
    if given.write:
        write_model(result, rows, database, given.write, given.seed)
    if packaged:
        write_rows(rows, FEATURES)
        draw(rows.observed, probability, PICTURE)
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Grounds of two choices of the generation benchmark, each judged on alloys left out, and of problem B's bar.

    python -m benchmarks.generation_grounds [--smoke] [--json] [--out JSON] [--only NAME ...]
    python -m benchmarks.generation_grounds --tables docs/results/generation_grounds.json

density       in which coordinate, and how wide, the kernels of the density are that targets are drawn from: mean log
              density of each alloy under the kernels of the others, single alloys or whole systems of elements left out
descriptors   what a learned property's kernel sees: error on measured strengths and hardness, whole systems of elements
              left out, with three descriptors, with those of solution strengthening too, and with the choice that
              :mod:`hea_loop.generators.property_models` makes on the alloys that are not left out
strength      what can be known of problem B's strength from its rows: share of a held-out fifth of the alloys foretold
              within 5%, by the same three and by a process that sees the oracle's own features, as nobody may
ceiling       what any strategy could reach on problem B: of half the benchmark's targets the most probable single
              answer and 40 as different as the bar asks, by our model and by that process, held against the oracle

With --only the others are taken from the file that --out names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from benchmarks.generation import SEEDS, literature_problem
from benchmarks.generation_ceiling import ceiling
from benchmarks.generation_kind_b import kind_b_problem
from benchmarks.oracle_models import STRENGTH_ELEMENTS, packaged_models, strength_features
from benchmarks.oracles import SERVICE_K
from benchmarks.tables import (
    environment,
    fill,
    load_result,
    markdown_table,
    mean_and_spread,
    plain,
    write_result,
)
from db.literature import read_literature
from hea_loop.errors import HeaLoopError
from hea_loop.generation_benchmark import Problem, Setting
from hea_loop.generators.conditioning import ConditionDensity
from hea_loop.surrogates.composition_gp import CompositionGP
from hea_loop.surrogates.group_validation import folds_of_groups, systems_of

__all__ = ["density_grounds", "descriptor_grounds", "main"]

Array = NDArray[np.float64]

_WIDTHS: Final = (1.4, 1.0, 0.7, 0.5)  # times Scott's
_MEASURED: Final = (
    ("yield_strength", "strength, room temperature", 290, 300),
    ("yield_strength", "strength, 1000 °C", 1263, 1283),
    ("yield_strength", "strength, 1200 °C", 1463, 1483),
    ("hardness", "hardness, room temperature", 290, 300),
)
_FOLDS: Final = 8
_DEALS: Final = 2
_LIMIT_SEEDS: Final = (101, 102, 103, 104, 105)
_OWN_LENGTHS: Final = (3.0, 4.0, 5.0)  # the oracle's own, and longer ones: of each seed the best counts
_LINEAR_SHARE: Final = 0.3
_DOCUMENTS: Final = {
    "density": Path("docs/benchmarks.md"),
    "descriptors": Path("docs/generators.md"),
    "strength": Path("docs/benchmarks.md"),
    "ceiling": Path("docs/benchmarks.md"),
}
_CEILING_TARGETS: Final = 50  # of each seed


def density_grounds(problem: Problem) -> list[dict[str, Any]]:
    """Mean log density of left-out alloys, one entry for each coordinate and width.

    The density is per unit of the properties in both coordinates (the Jacobian is in it), so that the numbers compare.
    """
    values = problem.values
    systems = np.array(systems_of(problem.elements, problem.fractions))
    apart = {"alloys": ~np.eye(len(values), dtype=bool), "systems": systems[:, None] != systems}
    out = []
    for logarithms in (False, True):
        coordinates = np.log(values) if logarithms else values
        jacobian = coordinates.sum(axis=1) if logarithms else np.zeros(len(values))
        density = ConditionDensity(coordinates)
        for width in _WIDTHS:
            root = np.linalg.cholesky(density.covariance) * width
            z = np.linalg.solve(root, density.centres.T).T
            squared = ((z[:, None] - z) ** 2).sum(axis=2)
            constant = np.log(np.diag(root) * density.scale).sum() + 0.5 * z.shape[1] * np.log(2 * np.pi)
            entry = {"problem": problem.name, "logarithms": logarithms, "width": width}
            for name, used in apart.items():
                summed = logsumexp(np.where(used, -0.5 * squared, -np.inf), axis=1) - np.log(used.sum(axis=1))
                entry[name] = float((summed - constant - jacobian).mean())
            out.append(entry)
    return out


def _measured(name: str, low: float, high: float) -> tuple[Array, Array]:
    """Each alloy once: fractions, and the logarithm of the median of its values."""
    found: dict[Any, list[float]] = {}
    for row in read_literature():
        near = row.temperature_K is not None and low <= row.temperature_K <= high
        inside = set(row.composition.elements) <= set(STRENGTH_ELEMENTS)
        if row.property == name and near and inside and not row.qualifier:
            found.setdefault(row.composition, []).append(row.value)
    x = np.array([composition.fraction_vector(STRENGTH_ELEMENTS) for composition in found])
    return x, np.log([np.median(values) for values in found.values()])


def descriptor_grounds(*, smoke: bool) -> list[dict[str, Any]]:
    """Errors of the logarithm on systems left out, one entry for each measured property."""
    out = []
    for name, label, low, high in _MEASURED[-2:] if smoke else _MEASURED:
        x, y = _measured(name, low, high)
        groups = systems_of(STRENGTH_ELEMENTS, x)
        missed: dict[str, list[Array]] = {"three": [], "more": [], "chosen": []}
        taken, fits = 0, 0
        for deal in range(1 if smoke else _DEALS):
            for held in folds_of_groups(groups, 2 if smoke else _FOLDS, deal):
                models = {
                    label: CompositionGP.fit(STRENGTH_ELEMENTS, x[~held], y[~held], strengthening=more)
                    for label, more in (("three", False), ("more", True))
                }
                better = models["more"].left_out_density() > models["three"].left_out_density()
                taken, fits = taken + better, fits + 1
                models["chosen"] = models["more" if better else "three"]
                for key, model in models.items():
                    missed[key].append(np.abs(model.predict(x[held])[0] - y[held]))
        errors = {key: float(np.concatenate(parts).mean()) for key, parts in missed.items()}
        out.append(
            {
                "measured": label,
                "alloys": len(y),
                "systems": len(set(groups)),
                **errors,
                "taken": taken / fits,
            }
        )
    return out


def strength_limits(*, smoke: bool) -> dict[str, float]:
    """Share of held-out alloys of problem B whose strength at 1200 degC is foretold within 5%, mean over seeds."""
    problem = kind_b_problem()
    y = np.log(problem.values[:, problem.names.index("strength_1200C")])
    models = packaged_models()
    temperature = np.full(len(y), SERVICE_K)
    features = (strength_features(problem.fractions, temperature) - models.centre) / models.scale
    # the kernel whose random features the oracle is made of, with its lengths, and the linear terms beside
    linear = 1 + features @ features.T / features.shape[1]
    shares: dict[str, list[float]] = {"three": [], "more": [], "chosen": [], "own features": []}
    for seed in _LIMIT_SEEDS[:1] if smoke else _LIMIT_SEEDS:
        order = np.random.default_rng(seed).permutation(len(y))
        held, known = order[: len(y) // 5], order[len(y) // 5 :]
        fitted = {
            key: CompositionGP.fit(
                problem.elements, problem.fractions[known], y[known], seed=seed, strengthening=more
            )
            for key, more in (("three", False), ("more", True))
        }
        better = fitted["more"].left_out_density() > fitted["three"].left_out_density()
        fitted["chosen"] = fitted["more" if better else "three"]
        predicted = {key: model.predict(problem.fractions[held])[0] for key, model in fitted.items()}
        best = max(
            (_foretold(linear, features, y, known, held, length) for length in _OWN_LENGTHS),
            key=lambda found: float((np.abs(np.expm1(found - y[held])) <= 0.05).mean()),
        )
        for key, value in (predicted | {"own features": best}).items():
            shares[key].append(float((np.abs(np.expm1(value - y[held])) <= 0.05).mean()))
    return {key: float(np.mean(values)) for key, values in shares.items()}


def _foretold(
    linear: Array, features: Array, y: Array, known: NDArray[np.intp], held: NDArray[np.intp], length: float
) -> Array:
    """Mean of a process with a Gaussian and a linear covariance of the features, without noise."""
    squared = cdist(features, features, "sqeuclidean")
    covariance = np.exp(-0.5 * squared / length**2) + _LINEAR_SHARE * linear
    solved = np.linalg.solve(
        covariance[np.ix_(known, known)] + 1e-6 * np.eye(len(known)), y[known] - y[known].mean()
    )
    out: Array = y[known].mean() + covariance[np.ix_(held, known)] @ solved
    return out


# -- tables ----------------------------------------------------------------------------------------------------


def density_table(rows: Sequence[dict[str, Any]]) -> str:
    """In Markdown."""
    widths = list(dict.fromkeys(r["width"] for r in rows))
    lines = []
    for problem in dict.fromkeys(r["problem"] for r in rows):
        for left_out in ("alloys", "systems"):
            for logarithms in (False, True):
                own = [r for r in rows if r["problem"] == problem and r["logarithms"] == logarithms]
                cells = [f"{r[left_out]:.2f}" for r in own]
                lines.append([problem, left_out, "logarithms" if logarithms else "units", *cells])
    return markdown_table(
        ["problem", "left out", "kernels in", *(f"{w:g} of Scott's width" for w in widths)], lines, left=3
    )


def descriptor_table(rows: Sequence[dict[str, Any]]) -> str:
    """In Markdown."""
    return markdown_table(
        ["measured", "alloys", "systems", "three", "with strengthening", "as chosen", "strengthening chosen"],
        [
            [
                r["measured"],
                r["alloys"],
                r["systems"],
                *(f"{r[key]:.3f}" for key in ("three", "more", "chosen")),
                f"{r['taken']:.0%}",
            ]
            for r in rows
        ],
    )


def strength_table(shares: dict[str, float]) -> str:
    """In Markdown."""
    return markdown_table(
        ["three descriptors", "with strengthening", "as chosen", "the oracle's own features"],
        [[f"{shares[key]:.0%}" for key in ("three", "more", "chosen", "own features")]],
        left=0,
    )


def ceiling_table(rows: Sequence[dict[str, Any]]) -> str:
    """In Markdown: mean and standard deviation over the seeds."""

    def cells(own: Sequence[dict[str, Any]]) -> list[str]:
        percent = [mean_and_spread([r[key] for r in own], "{:.0%}") for key in _SHARES]
        return [*percent, mean_and_spread(r["variety"] for r in own)]

    return markdown_table(
        ["model", "best single answer", "as stated", "40 answers", "as stated", "TV of the 40"],
        [
            [label, *cells([r for r in rows if r["model"] == label])]
            for label in dict.fromkeys(r["model"] for r in rows)
        ],
    )


_SHARES: Final = ("one", "one_stated", "many", "many_stated")
_TABLES: Final[dict[str, Callable[[Any], str]]] = {
    "density": density_table,
    "descriptors": descriptor_table,
    "strength": strength_table,
    "ceiling": ceiling_table,
}


def _into_documents(result: dict[str, Any]) -> None:
    for name, document in _DOCUMENTS.items():
        e = result["environments"][name]
        stamp = f"Made {e['made_at']} by `{e['command']}`, {e['machine']}."
        fill(document, {f"grounds, {name}": f"{_TABLES[name](result[name])}\n\n{stamp}"})


def _parts(*, smoke: bool) -> dict[str, Callable[[], Any]]:
    """What the result is made of."""

    def density() -> list[dict[str, Any]]:
        return [row for p in (literature_problem(), kind_b_problem()) for row in density_grounds(p)]

    def limits() -> list[dict[str, Any]]:
        seeds = range(1, 2 if smoke else SEEDS + 1)
        number, thinned = (2, 20) if smoke else (_CEILING_TARGETS, 1)
        setting = Setting(targets=4, answers=8) if smoke else Setting()
        return ceiling(seeds, number, setting, thinned=thinned)

    return {
        "density": density,
        "descriptors": lambda: descriptor_grounds(smoke=smoke),
        "strength": lambda: strength_limits(smoke=smoke),
        "ceiling": limits,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what a person gave wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation_grounds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--smoke", action="store_true", help="two properties, two folds: does everything run?"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--out", type=Path, help="write the JSON to this file")
    parser.add_argument("--only", nargs="+", choices=list(_TABLES), default=[], help="make these anew")
    parser.add_argument("--tables", type=Path, metavar="JSON", help="run nothing: write a result into docs")
    given = parser.parse_args(arguments)
    try:
        if given.tables:
            _into_documents(load_result(given.tables))
            return 0
        kept = load_result(given.out) if given.only and given.out and given.out.exists() else {}
        result: dict[str, Any] = {"benchmark": "generation_grounds", "environments": {}, **kept}
        for name, made in _parts(smoke=given.smoke).items():
            if not given.only or name in given.only:
                result["environments"][name] = environment()
                result[name] = made()
        if given.out:
            write_result(given.out, result)
    except HeaLoopError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(plain(result), indent=1, allow_nan=False))
    else:
        for name, table in _TABLES.items():
            if name in result:
                print(f"{table(result[name])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The seed paper's figures 4 to 8 and its table of conditional error, on the packaged data, for any generator.

``python -m benchmarks.seed_figures [--smoke] [--json] [--out DIR] [--strategy NAME ...] [--seed N ...]``

It trains the generator on every packaged literature alloy for which the linear combination gives a shear
modulus and Rice's toughness (no element is left out by hand), asks it for G = 30, 60, 90 and 120 GPa with the
toughness drawn from the density of the data given that G, and judges the answers by the same linear combination
(fractions below 0.5 at.% dropped). Figures are drawn for the first seed, with their numbers above them; the tables
have every seed. With several strategies each has a folder of its own, and the tables compare them. A corner
condition that no composition of the data's elements meets is refused, with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.tables import environment, plain
from db.literature import load_packaged_data, read_literature, training_compositions
from db.store import open_store
from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.feasibility import judge_condition
from hea_loop.figures import seed as figures
from hea_loop.generation_measures import property_correlation_distance, realism, relative_errors
from hea_loop.generators import (
    ConditionDensity,
    Generator,
    TrainingData,
    TrainingRecord,
    generator_named,
)
from hea_loop.generators.quality import TRACE, conditional_error, diversity, without_traces
from hea_loop.palette import Palette
from hea_loop.prediction import missing_inputs, predict_array

Array = NDArray[np.float64]

PROPERTIES: Final = ("shear_modulus", "fracture_toughness_rice")
TARGETS_GPa: Final = (30.0, 60.0, 90.0, 120.0)
TOLERANCE_GPa: Final = 5.0
CORNER_TOLERANCE: Final = 0.05
_SMOKE_STEPS: Final = 60


def reference_values(fractions: Array, elements: Sequence[str]) -> Array:
    """G in GPa and Rice K_IC in MPa m^0.5 by linear combination, ``n x 2``."""
    values = predict_array(fractions, elements, PROPERTIES)
    return np.column_stack([values[name] for name in PROPERTIES])


def literature_data() -> TrainingData:
    """All packaged literature alloys that the linear combination covers, by way of a store of their own."""
    symbols = sorted({e for row in read_literature() for e in row.composition.elements})
    with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/literature.db") as store:
        load_packaged_data(store)
        with store.read() as session:
            known = training_compositions(session, symbols)
    covered = [c for c in known if not any(missing_inputs(c, name) for name in PROPERTIES)]
    return training_data(covered)


def training_data(compositions: Sequence[Composition]) -> TrainingData:
    """Alloys with their G and K_IC; the columns are the elements that occur."""
    elements = tuple(sorted({e for c in compositions for e in c.elements}))
    fractions = np.array([c.fraction_vector(elements) for c in compositions])
    return TrainingData(
        elements,
        fractions,
        reference_values(fractions, elements),
        PROPERTIES,
        closed_form=PROPERTIES,
        reference=lambda x: reference_values(x, elements),
    )


def corner_conditions(data: Array) -> dict[str, tuple[float, float]]:
    """The four cases of the seed's Figure 7, as (G, K_IC).

    The paper marks a to d in a plot without giving numbers. Here b and c lie on the ridge of the data (its 5th
    and 95th percentile of both), a and d off it, at opposing values (its 20th and 80th percentile, shifted
    across the ridge by two standard deviations of what the ridge leaves unexplained).
    """
    g, k = data.T
    slope, offset = np.polyfit(g, k, 1)
    across = 2 * float(np.std(k - slope * g - offset))
    (g_low, g_mid_low, g_mid_high, g_high) = np.quantile(g, [0.05, 0.2, 0.8, 0.95])
    return {
        "a": (float(g_mid_low), float(slope * g_mid_low + offset + across)),
        "b": (float(g_high), float(np.quantile(k, 0.95))),
        "c": (float(g_low), float(np.quantile(k, 0.05))),
        "d": (float(g_mid_high), float(slope * g_mid_high + offset - across)),
    }


def corner_palette(data: TrainingData) -> Palette:
    """Compositions of two elements to all, each absent or at least a trace."""
    m = len(data.elements)
    return Palette(
        data.elements, (round(TRACE * RESOLUTION),) * m, (RESOLUTION,) * m, (False,) * m, min(2, m), m
    )


def refused_corners(data: TrainingData, corners: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """Which of the conditions no composition of the data's elements meets within 5%, and why."""
    palette = corner_palette(data)
    judged = {
        letter: judge_condition(
            dict(zip(PROPERTIES, condition, strict=True)), palette, data.fractions, tolerance=CORNER_TOLERANCE
        )
        for letter, condition in corners.items()
    }
    return {letter: found.reason for letter, found in judged.items() if found.verdict == "infeasible"}


def answer(generator: Generator, conditions: Array, seed: int) -> Array:
    """Fractions of the answers, traces dropped."""
    return without_traces(generator.generate(conditions, seed=seed))


def fixed_shear_modulus(
    generator: Generator, data: TrainingData, number: int, seed: int
) -> tuple[list[dict[str, float]], dict[float, Array], dict[float, Array]]:
    """Ask for each G of the seed's Figure 6.

    Returns:
        One row of the table for each target, the answers and their reference values by target.
    """
    density, rng = ConditionDensity(data.conditions), np.random.default_rng(seed)
    rows, answers, values = [], {}, {}
    for target in TARGETS_GPa:
        wanted = density.sample_given(np.full((number, 1), target), [0], rng)
        answers[target] = answer(generator, wanted, seed)
        values[target] = reference_values(answers[target], data.elements)
        row = conditional_error(values[target][:, 0], wanted[:, 0], TOLERANCE_GPa)
        near = float((np.abs(data.conditions[:, 0] - target) <= TOLERANCE_GPa).mean())
        rows.append(
            {
                "target_GPa": target,
                **row,
                "diversity": diversity(answers[target]),
                "share_of_data_within": near,
            }
        )
    return rows, answers, values


@dataclass(frozen=True, eq=False)
class Answered:
    """What a trained generator answered to the conditions of figures 4, 5, 7 and 8.

    Attributes:
        wanted: Conditions drawn from the density of the data, as many as there are alloys, ``n x 2``.
        made: The answers to them, ``n x m``.
        reached: Their values, ``n x 2``.
        corners: Letter to corner condition.
        corner_answers: Letter to ``k x m`` answers.
        corner_values: Letter to their ``k x 2`` values.
        numbers: ``realism``, ``corners`` and ``refused``, for the tables.
    """

    wanted: Array
    made: Array
    reached: Array
    corners: dict[str, tuple[float, float]]
    corner_answers: dict[str, Array]
    corner_values: dict[str, Array]
    numbers: dict[str, Any]


def answered(
    generator: Generator, data: TrainingData, refused: Mapping[str, str], *, number: int, seed: int
) -> Answered:
    """Ask for the data's own conditions and for the corners, and measure the answers.

    Args:
        generator: Trained.
        data: What it was trained on.
        refused: Corners that nothing meets, with the reason.
        number: Answers to each corner condition.
        seed: Of the conditions and the answers.
    """
    rng = np.random.default_rng(seed)
    wanted = ConditionDensity(data.conditions).sample(len(data.conditions), rng)
    made = answer(generator, wanted, seed)
    reached = reference_values(made, data.elements)
    corners = corner_conditions(data.conditions)
    answers = {k: answer(generator, np.tile(c, (number, 1)), seed) for k, c in corners.items()}
    values = {k: reference_values(x, data.elements) for k, x in answers.items()}
    likeness = realism(data.fractions, made, data.fractions, rng) | {
        "property_correlation_distance": property_correlation_distance(data.conditions, reached),
        "mae_shear_modulus": float(np.abs(reached - wanted)[:, 0].mean()),
        "mae_fracture_toughness_rice": float(np.abs(reached - wanted)[:, 1].mean()),
        "share_within_5_percent": float(
            (relative_errors(reached, wanted, np.abs(wanted)) <= CORNER_TOLERANCE).mean()
        ),
    }
    rows = [_corner_row(k, corners[k], answers[k], values[k], refused.get(k)) for k in corners]
    numbers = {"realism": likeness, "corners": rows}
    return Answered(wanted, made, reached, corners, answers, values, numbers)


def draw(
    name: str,
    data: TrainingData,
    found: Answered,
    fixed: tuple[list[dict[str, float]], dict[float, Array], dict[float, Array]],
    *,
    seed: int,
    folder: Path,
) -> list[str]:
    """Write figures 4 to 8 as PNG, their numbers above them.

    Args:
        name: Of the generator.
        data: What it was trained on.
        found: Of :func:`answered`.
        fixed: Of :func:`fixed_shear_modulus`.
        seed: Chooses the samples shown.
        folder: It exists.

    Returns:
        The paths written.
    """
    rng = np.random.default_rng(seed)
    rows = found.numbers["corners"]
    text = captions(name, found.numbers["realism"], fixed[0], rows)
    refused = {row["corner"]: row["refused"] for row in rows if row["refused"]}
    values, elements = data.conditions, data.elements
    sheets = {
        "figure_4": figures.figure_4(
            data.fractions, found.made, elements, rng, name=name, caption=text["figure_4"]
        ),
        "figure_5": figures.figure_5(
            found.wanted, found.reached, values, name=name, caption=text["figure_5"]
        ),
        "figure_6": figures.figure_6(fixed[1], fixed[2], values, elements, rng, caption=text["figure_6"]),
        "figure_7": figures.figure_7(
            values,
            found.reached,
            found.corners,
            found.corner_values,
            name=name,
            refused=refused,
            caption=text["figure_7"],
        ),
        "figure_8": figures.figure_8(
            found.corner_answers, found.corners, elements, rng, caption=text["figure_8"]
        ),
    }
    paths = []
    for title, sheet in sheets.items():
        path = folder / f"{title}.png"
        sheet.savefig(path, dpi=150)
        paths.append(str(path))
    return paths


def _corner_row(
    letter: str, condition: tuple[float, float], x: Array, values: Array, reason: str | None
) -> dict[str, Any]:
    wanted = np.tile(condition, (len(x), 1))
    return {
        "corner": letter,
        "wanted_G_GPa": condition[0],
        "wanted_K_IC": condition[1],
        "mean_G_GPa": float(values[:, 0].mean()),
        "mean_K_IC": float(values[:, 1].mean()),
        "share_within_5_percent": float(
            (relative_errors(values, wanted, np.abs(wanted)) <= CORNER_TOLERANCE).mean()
        ),
        "diversity": diversity(x),
        "refused": reason,
    }


def captions(
    name: str,
    likeness: Mapping[str, float],
    fixed: Sequence[Mapping[str, float]],
    corners: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """The numbers of each figure, as they stand above it."""
    n = likeness
    at_corners = "; ".join(
        f"{c['corner']} " + ("refused" if c["refused"] else f"{c['share_within_5_percent']:.0%}")
        for c in corners
    )
    variety = ", ".join(f"{c['corner']} {c['diversity']:.2f}" for c in corners)
    return {
        "figure_4": f"{name}: distance of pair correlations {n['pair_correlation_distance']:.3f}, of element-count "
        f"histograms {n['element_count_distance']:.2f}; coverage {n['coverage']:.2f}, novelty {n['novelty']:.2f}",
        "figure_5": f"{name}: both properties within 5% of the condition: {n['share_within_5_percent']:.0%}; "
        f"conditions drawn from the density of the data",
        "figure_6": f"{name}: TV among the answers "
        + ", ".join(f"{row['diversity']:.2f} at {row['target_GPa']:g} GPa" for row in fixed),
        "figure_7": f"{name}: distance of the property correlations {n['property_correlation_distance']:.3f}; "
        f"within 5% on both at the corners: {at_corners}",
        "figure_8": f"{name}: TV among the answers: {variety}",
    }  # fmt: skip


_NUMBERS: Final = (
    ("MAE of G (GPa)", "mae_shear_modulus", "{:.2f}"),
    ("MAE of K (MPa m^0.5)", "mae_fracture_toughness_rice", "{:.4f}"),
    ("both within 5%", "share_within_5_percent", "{:.0%}"),
    ("pair-corr. distance", "pair_correlation_distance", "{:.3f}"),
    ("property-corr. distance", "property_correlation_distance", "{:.3f}"),
    ("count distance", "element_count_distance", "{:.2f}"),
    ("coverage", "coverage", "{:.2f}"),
    ("novelty", "novelty", "{:.2f}"),
)


def fixed_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of conditional error of G, Figure 6."""
    return [
        [
            result["strategy"],
            str(run["seed"]),
            f"{row['target_GPa']:g}",
            *(f"{row[key]:.1f}" for key in ("mean", "median", "mae")),
            f"{row['share_within']:.0%}",
            f"{row['diversity']:.2f}",
            f"{row['share_of_data_within']:.0%}",
        ]
        for run in result["runs"]
        for row in run["fixed_shear_modulus"]
    ]


def number_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of figures 4, 5, 7 and 8; a corner's cell is the share within 5% and the TV."""
    rows = []
    for run in result["runs"]:
        corners = [
            "refused" if c["refused"] else f"{c['share_within_5_percent']:.0%}, {c['diversity']:.2f}"
            for c in run["corners"]
        ]
        numbers = [pattern.format(run["realism"][key]) for _, key, pattern in _NUMBERS]
        collapsed = " (collapsed)" if run["metrics"].get("collapsed") else ""
        rows.append(
            [result["strategy"] + collapsed, str(run["seed"]), *numbers, *corners, f"{run['seconds']:.1f}"]
        )
    return rows


FIXED_HEADINGS: Final = (
    "strategy",
    "seed",
    "wanted G (GPa)",
    "mean",
    "median",
    "MAE",
    "within 5 GPa",
    "TV",
    "data within 5 GPa",
)
NUMBER_HEADINGS: Final = (
    "strategy",
    "seed",
    *(heading for heading, _, _ in _NUMBERS),
    *(f"corner {c}" for c in "abcd"),
    "training s",
)


def show(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the tables, all strategies in one."""
    first = results[0]
    about = f"{first['alloys']} literature alloys of {len(first['elements'])} elements"
    for title, headings, rows_of in (
        (
            f"figure 6, {about}: error of G at a fixed condition, {first['answers']} answers each",
            FIXED_HEADINGS,
            fixed_rows,
        ),
        (
            f"figures 4, 5, 7 and 8, {about}: corners as share within 5% and TV",
            NUMBER_HEADINGS,
            number_rows,
        ),
    ):
        table = Table(title=title, title_justify="left")
        for k, heading in enumerate(headings):
            table.add_column(heading, justify="left" if k == 0 else "right")
        for result in results:
            for row in rows_of(result):
                table.add_row(*row)
            table.add_section()
        console.print(table)
    for letter, reason in first["refused"].items():
        console.print(f"corner {letter} is refused: {reason}", highlight=False)


def _smoke_options(strategy: str) -> dict[str, Any]:
    """Few steps, for strategies that take steps."""
    try:
        generator_named(strategy, {"steps": _SMOKE_STEPS})
    except InputError:
        return {}
    return {"steps": _SMOKE_STEPS}


def measure(
    strategy: str,
    seeds: Sequence[int],
    data: TrainingData,
    refused: Mapping[str, str],
    *,
    smoke: bool,
    folder: Path,
    progress: Console,
) -> dict[str, Any]:
    """Train once per seed, make the tables, and draw the figures for the first seed."""
    options = _smoke_options(strategy) if smoke else {}
    number = 60 if smoke else 500
    runs: list[dict[str, Any]] = []
    paths: list[str] = []
    for seed in seeds:
        generator = generator_named(strategy, options)
        progress.print(f"seed {seed}: training {strategy} on {len(data.fractions)} alloys", highlight=False)
        record: TrainingRecord = generator.fit(data, seed=seed)
        fixed = fixed_shear_modulus(generator, data, number, seed)
        found = answered(generator, data, refused, number=number, seed=seed)
        runs.append(
            {
                "seed": seed,
                "seconds": record.seconds,
                "device": record.device,
                "metrics": record.metrics,
                "training_curve": record.curve,
                "fixed_shear_modulus": fixed[0],
                **found.numbers,
            }
        )
        paths = paths or draw(generator.name, data, found, fixed, seed=seed, folder=folder)
    return {
        "strategy": strategy,
        "smoke": smoke,
        "environment": environment("matplotlib"),
        "alloys": len(data.fractions),
        "elements": list(data.elements),
        "answers": number,
        "refused": dict(refused),
        "runs": runs,
        "figures": paths,
    }


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "--out", str(path), f"is no folder to write to ({error.strerror})", "give another"
        ) from None
    return path


def _measured(given: argparse.Namespace, progress: Console) -> list[dict[str, Any]]:
    strategies = list(dict.fromkeys(given.strategy or ["cgan-2021"]))
    for name in strategies:
        generator_named(name)  # refuses an unknown name before anything is loaded
    _folder(given.out)
    folders = {n: given.out if len(strategies) == 1 else _folder(given.out / n) for n in strategies}
    data = literature_data()
    refused = refused_corners(data, corner_conditions(data.conditions))
    return [
        measure(name, given.seed, data, refused, smoke=given.smoke, folder=folders[name], progress=progress)
        for name in strategies
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what a person gave wrongly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seed_figures", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few steps only: does everything run?")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of tables")
    parser.add_argument("--out", type=Path, default=Path("seed_figures"), help="folder for the PNG files")
    parser.add_argument(
        "--strategy", action="append", help="which generator; repeat it to compare (default cgan-2021)"
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2, 3], help="one training for each")
    given = parser.parse_args(arguments)
    errors = Console(stderr=True)
    try:
        results = _measured(given, errors)
    except HeaLoopError as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    if given.json:
        print(json.dumps(plain(results[0] if len(results) == 1 else {"results": results}), indent=1))
    else:
        console = Console(width=None if sys.stdout.isatty() else 190)
        show(results, console)
        for path in (path for result in results for path in result["figures"]):
            console.print(f"wrote {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

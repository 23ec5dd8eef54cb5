"""Every strategy answers the same held-out targets: hits, variety, realism and time, on equal terms.

    python -m benchmarks.generation [--smoke] [--json] [--strategy NAME ...] [--seeds N]
                                    [--problem A|A-rows|B|edges|all ...] [--out JSON]
    python -m benchmarks.generation --tables docs/results/generation.json

A       packaged literature alloys of Cr Hf Mo Nb Ta Ti V W Zr; shear modulus, Rice toughness and density as the
        prediction loop gives them, and strategies may use these formulas
A-rows  the same, but properties may be learned from the training rows only
B       500 alloys, three properties that follow the composition nonlinearly (benchmarks.oracles.kind_b)
edges   all packaged literature alloys the linear combination covers, conditioned on G and toughness as the seed
        paper's are: G = 120 GPa, and the four corner conditions of its Figure 7

How targets are drawn and what counts is written in hea_loop.generation_benchmark. With --out the JSON goes to a
file as well; --tables writes the tables and plots of such a file into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks import generation_tables
from benchmarks.generation_edges import edges
from benchmarks.tables import environment, plain, write_result
from db.literature import read_literature
from hea_loop.composition import RESOLUTION
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.generation_benchmark import (
    ROWS_ONLY,
    Problem,
    Setting,
    Trial,
    contest,
    data_against_itself,
    summarise,
    trial,
    with_hits,
    without_formulas,
)
from hea_loop.generators import GENERATORS, generator_named
from hea_loop.generators.quality import TRACE
from hea_loop.palette import Palette
from hea_loop.prediction import METHODS, predict_array

Array = NDArray[np.float64]

PALETTE: Final = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
PROPERTIES: Final = ("shear_modulus", "fracture_toughness_rice", "density")
PROBLEMS: Final = ("A", "A-rows", "B", "edges")
SEEDS: Final = 5
_EDGE_SEEDS: Final = 3
_SMOKE_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {"cgan-2021": {"steps": 60}}


def open_palette(elements: tuple[str, ...]) -> Palette:
    """Two elements or more, each absent or at least a trace: what every answer keeps exactly."""
    m = len(elements)
    least = round(TRACE * RESOLUTION)
    return Palette(elements, (least,) * m, (RESOLUTION,) * m, (False,) * m, 2, m)


def literature_problem() -> Problem:
    """Problem A."""
    alloys = {r.composition.key: r.composition for r in read_literature()}
    chosen = [alloys[key] for key in sorted(alloys) if set(alloys[key].elements) <= set(PALETTE)]
    fractions = np.array([c.fraction_vector(PALETTE) for c in chosen])

    def evaluate(x: Array) -> Array:
        values = predict_array(x, PALETTE, PROPERTIES)
        return np.column_stack([values[name] for name in PROPERTIES])

    return Problem(
        "A",
        PALETTE,
        fractions,
        evaluate(fractions),
        PROPERTIES,
        evaluate,
        {name: f"the prediction loop, {METHODS[name]}" for name in PROPERTIES},
        PROPERTIES,
        open_palette(PALETTE),
    )


def measured_problem(
    problem: Problem,
    strategies: Sequence[str],
    seeds: Sequence[int],
    setting: Setting,
    *,
    smoke: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """All strategies and seeds on one problem."""
    trials: dict[int, Trial] = {}
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        trials[seed] = trial(problem, seed, setting)
        unreachable = float((trials[seed].least_error > 0.02).mean())
        say(f"{problem.name}, seed {seed}: {unreachable:.0%} of {setting.targets} targets out of reach at 2%")
        for strategy in strategies:
            began = time.monotonic()
            options = _SMOKE_OPTIONS.get(strategy) if smoke else None
            run = contest(problem, strategy, trials[seed], setting, options=options)
            runs.append(run)
            say(
                f"{problem.name}, seed {seed}, {strategy}: within 2% {_share(run, 0.02):.0%}, within 5% "
                f"{_share(run, 0.05):.0%}, TV {run['diversity']:.2f}; {time.monotonic() - began:.0f} s"
            )
    rows = with_hits(runs, trials)
    return {
        "alloys": len(problem.fractions),
        "elements": list(problem.elements),
        "properties": list(problem.names),
        "judged_by": dict(problem.judged_by),
        "closed_form": list(problem.closed_form),
        "setting": asdict(setting),
        "floor": [data_against_itself(problem, trials[s]) for s in seeds],
        "runs": rows,
        "summary": summarise(rows),
    }


def _share(run: Mapping[str, Any], tolerance: float) -> float:
    return float((np.asarray(run["errors"]) <= tolerance).mean())


def problem_named(name: str) -> Problem:
    """Return the problem of a name on the command line; ``edges`` is no such problem."""
    if name == "B":
        from benchmarks.generation_kind_b import kind_b_problem

        return kind_b_problem()
    literature = literature_problem()
    return literature if name == "A" else without_formulas(literature)


def measure(
    problems: Sequence[str],
    strategies: Sequence[str],
    seeds: int,
    *,
    smoke: bool,
    say: Callable[[str], None],
    out: Path | None = None,
) -> dict[str, Any]:
    """Run it all.

    Args:
        problems: Some of :data:`PROBLEMS`.
        strategies: Names of registered generators.
        seeds: Number of seeds, from 1 up; the edges take at most three.
        smoke: Few targets and answers: does everything run?
        say: Called with a line of progress now and then.
        out: Where the result is written after each problem, so that an interrupted run leaves what it has.
    """
    began = time.monotonic()
    setting = Setting(targets=4, answers=8) if smoke else Setting()
    numbers = list(range(1, seeds + 1))
    result: dict[str, Any] = {
        "benchmark": "generation",
        "smoke": smoke,
        "environment": environment("scikit-learn", "pymoo", "cma"),
        "seeds": numbers,
        "strategies": list(strategies),
        "problems": {},
    }
    for name in problems:
        # without formulas nothing changes for those that never use one
        contestants = [s for s in strategies if name != "A-rows" or s not in ROWS_ONLY]
        if name == "edges":
            result["edges"] = edges(
                strategies, numbers[:_EDGE_SEEDS], smoke=smoke, options=_SMOKE_OPTIONS, say=say
            )
        elif contestants:
            result["problems"][name] = measured_problem(
                problem_named(name), contestants, numbers, setting, smoke=smoke, say=say
            )
        result["wall_s"] = time.monotonic() - began
        result["bars"] = generation_tables.bars(result)
        if out is not None:
            write_result(out, result)
    return result


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--smoke", action="store_true", help="tiny: does everything run?")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of tables")
    parser.add_argument("--strategy", nargs="+", default=list(GENERATORS), help="default: all registered")
    parser.add_argument("--seeds", type=int, default=None, help=f"how many (default {SEEDS}; 1 with --smoke)")
    parser.add_argument("--problem", nargs="+", default=["all"], choices=[*PROBLEMS, "all"])
    parser.add_argument("--out", type=Path, help="write the JSON to this file")
    parser.add_argument(
        "--tables", type=Path, nargs="+", metavar="JSON", help="run nothing: write results into docs"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what a person gave wrongly."""
    given = _arguments(arguments)
    errors = Console(stderr=True)
    try:
        if given.tables:
            for line in generation_tables.into_documents(given.tables):
                errors.print(line, highlight=False)
            return 0
        seeds = given.seeds if given.seeds is not None else (1 if given.smoke else SEEDS)
        if seeds < 1:
            raise InputError("--seeds", seeds, "is no number of seeds", "give at least 1")
        for name in given.strategy:
            generator_named(name)  # refuses an unknown name before anything is loaded
        problems = PROBLEMS if "all" in given.problem else list(dict.fromkeys(given.problem))
        result = measure(
            problems,
            list(dict.fromkeys(given.strategy)),
            seeds,
            smoke=given.smoke,
            say=lambda text: errors.print(text, highlight=False, style="dim", soft_wrap=True),
            out=given.out,
        )
    except HeaLoopError as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    if given.json:
        print(json.dumps(plain(result), indent=1, allow_nan=False))
    else:
        generation_tables.show(result, Console(width=None if sys.stdout.isatty() else 180))
    return 0


if __name__ == "__main__":
    sys.exit(main())

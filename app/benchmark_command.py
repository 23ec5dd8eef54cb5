"""The command ``benchmark``: the generation benchmark on a CSV of one's own alloys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.options import Json
from app.output import note, number, percent, print_json, print_table, print_text

if TYPE_CHECKING:
    from hea_loop.generation_benchmark import Problem

__all__ = ["benchmark"]

_STRATEGIES: Final = ("random", "neighbour-jitter", "cgan-2021", "flow-matching")
_SHAPE: Final = "write NAME=LOW:HIGH, one side may be empty, as in shear_modulus=90:110 or density=:9"


def benchmark(
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FILE.csv",
            help="One alloy per row: a column composition (or formula), or one column per element; "
            "columns of properties.",
        ),
    ],
    targets: Annotated[
        list[str] | None,
        typer.Option("--targets", metavar="NAME=LOW:HIGH", help="A target to count hits of; repeat it."),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--conditions", metavar="NAME", help="A property to draw held-out targets of; repeat it."
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy", metavar="S", help=f"A generator; repeat it. Default: {', '.join(_STRATEGIES)}."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Seeds: each splits anew.")] = 3,
    held_out: Annotated[
        int, typer.Option("--held-out-targets", min=2, max=1000, help="Held-out targets of each seed.")
    ] = 20,
    answers: Annotated[
        int, typer.Option("--answers", min=2, max=10_000, help="Answers to each target.")
    ] = 40,
    json: Json = False,
) -> None:
    """Compare strategies on your own alloys: some are held out, generators learn from the others.

    A property that agrees with a formula of ours is judged by it; any other by a Gaussian process of all rows. Values
    judged are predictions, no measurements.
    """
    from hea_loop.benchmark_data import problem_of_rows, read_alloy_rows
    from hea_loop.errors import InputError
    from hea_loop.generation_benchmark import Setting
    from hea_loop.generators import generator_named

    intervals = _intervals(targets or [])
    names = tuple(dict.fromkeys([*intervals, *(conditions or [])]))
    if not names:
        raise InputError(
            "--targets", "", "there is neither a target nor a condition", f"{_SHAPE}, or use --conditions"
        )
    strategies = list(dict.fromkeys(strategy or _STRATEGIES))
    for name in strategies:
        try:
            generator_named(name)
        except InputError as error:
            raise InputError("--strategy", name, error.problem, error.mend) from None
    problem = problem_of_rows(read_alloy_rows(data, names))
    setting = Setting(targets=held_out, answers=answers)
    found = _measure(problem, strategies, range(1, seeds + 1), setting, intervals)
    if json:
        print_json(found)
        return
    _print(found)


def _intervals(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    from hea_loop.errors import InputError

    out: dict[str, tuple[float, float]] = {}
    for text in given:
        name, equals, rest = text.partition("=")
        low, colon, high = rest.partition(":")
        try:
            bounds = (float(low) if low.strip() else -math.inf, float(high) if high.strip() else math.inf)
        except ValueError:
            bounds = (math.nan, math.nan)
        if not (name.strip() and equals and colon) or math.isnan(sum(map(abs, bounds))):
            raise InputError("--targets", text, "is no target", _SHAPE)
        if bounds == (-math.inf, math.inf):
            raise InputError("--targets", text, "has neither side", _SHAPE)
        if bounds[0] > bounds[1]:
            raise InputError("--targets", text, "has its low side above its high side", "swap them")
        if name.strip() in out:
            raise InputError("--targets", text, "is the second target on that property", "give one of each")
        out[name.strip()] = bounds
    return out


def _measure(
    problem: Problem,
    strategies: Sequence[str],
    seeds: Sequence[int],
    setting: Any,
    intervals: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    from importlib.metadata import version

    from hea_loop.generation_benchmark import contest, summarise, trial, with_hits

    trials, runs = {}, []
    for seed in seeds:
        trials[seed] = trial(problem, seed, setting)
        for name in strategies:
            note(f"seed {seed}: {name} ...")
            runs.append(contest(problem, name, trials[seed], setting, intervals=intervals))
    rows = with_hits(runs, trials)
    return {
        "data": problem.name,
        "alloys": len(problem.fractions),
        "elements": list(problem.elements),
        "properties": list(problem.names),
        "judged_by": dict(problem.judged_by),
        "targets": {n: list(i) for n, i in intervals.items()},
        "seeds": list(seeds),
        "held_out_targets": setting.targets,
        "answers": setting.answers,
        "share_of_data_inside": problem.share_inside(intervals) if intervals else None,
        "versions": {p: version(p) for p in ("hea-loop", "torch", "numpy")},
        "summary": summarise(rows),
        "runs": rows,
    }


def _print(found: Mapping[str, Any]) -> None:
    summary = found["summary"]
    print_table(
        f"{found['data']}: {found['alloys']} alloys of {len(found['elements'])} elements; {found['held_out_targets']} "
        f"held-out targets, {found['answers']} answers to each, {len(found['seeds'])} seeds",
        ("strategy!", "in targets>", "in 2%>", "in 5%>", "of reachable>", "TV>", "novelty>", "pair dist.>",
         "coverage>", "training s>", "knows"),
        [
            (
                e["strategy"] + (" (collapsed)" if e["collapsed_seeds"] else ""),
                "" if e.get("inside_targets") is None else percent(e["inside_targets"]),
                percent(e["hits_2"]),
                percent(e["hits_5"]),
                percent(e["hits_5_reachable"]),
                number(e["diversity"], 2),
                number(e["novelty"], 2),
                number(e["pair_correlation_distance"], 2),
                number(e["coverage"], 2),
                number(e["training_s"], 3),
                e["knows"],
            )
            for e in summary
        ],
    )  # fmt: skip
    if found["share_of_data_inside"] is not None:
        print_text(
            f"of the alloys with all values {percent(found['share_of_data_inside'])} lie in the targets"
        )
    for name, judge in found["judged_by"].items():
        print_text(f"{name} is judged by {judge}")
    reach = found["runs"][0]
    print_text(
        f"of the held-out targets of seed {reach['seed']}, {percent(reach['reachable_5'])} can be reached within 5%; "
        "in 2% and in 5% count over all targets"
    )

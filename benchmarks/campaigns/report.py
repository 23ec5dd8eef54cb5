"""Tables and pictures of the campaign benchmark, from its results and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns.metrics import acceleration, bootstrap_interval, enhancement
from benchmarks.campaigns.registry import DEFAULT, MAIN, PEERS
from benchmarks.tables import fill, markdown_table
from hea_loop.figures.campaign import INK, RANDOM, STRATEGY

__all__ = ["block", "curves", "figure", "verdict", "write_tables"]

Array = NDArray[np.float64]

_PACKAGES: Final = {
    "botorch": "botorch",
    "botorch qLogNEI": "botorch",
    "ax": "ax-platform",
    "ax unconstrained": "ax-platform",
    "baybe": "baybe",
    "cma": "cma",
    "pymoo nsga2": "pymoo",
}
_COLOURS: Final = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f", "#bcbd22")
_LEAST_OF_PEERS: Final = 1.25
_LEAST_OF_RANDOM: Final = 20.0
_SEEDS: Final = 5


def curves(result: dict[str, Any], oracle: str) -> dict[str, Array]:
    """Cumulative hits by contestant, ``seeds x budget``, in the order of the runs."""
    found: dict[str, list[list[int]]] = {}
    for run in result["runs"]:
        if run["oracle"] == oracle:
            found.setdefault(run["contestant"], []).append(run["hits"])
    return {name: np.array(rows, dtype=float) for name, rows in found.items()}


def _alike(result: dict[str, Any], oracle: str, one: str, other: str) -> tuple[Array, Array]:
    """Cumulative hits of two contestants on the seeds that both have run."""
    both = []
    for name in (one, other):
        runs = [r for r in result["runs"] if (r["oracle"], r["contestant"]) == (oracle, name)]
        both.append({r["seed"]: r["hits"] for r in runs})
    common = sorted(both[0].keys() & both[1].keys())
    first, second = (np.array([found[seed] for seed in common], dtype=float) for found in both)
    return first, second


def expected_of_random(result: dict[str, Any], oracle: str) -> float:
    """Expected hits per job of uniform random: the base rate times the share of jobs that do not fail."""
    about = result["oracles"][oracle]
    return float(about["base_rate"] * (1 - about["failure_rate"]))


def _plus_minus(values: Array) -> str:
    if len(values) == 1:
        return f"{values[0]:.0f}"
    low, high = bootstrap_interval(values)
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def _seconds(runs: list[dict[str, Any]]) -> str:
    known = [r["cpu_seconds_of_a_round"] for r in runs if "cpu_seconds_of_a_round" in r]
    return f"{np.mean(known):.1f}" if known else "-"


def _table(result: dict[str, Any], oracle: str) -> str:
    found, rate = curves(result, oracle), expected_of_random(result, oracle)
    rows = []
    for name, hits in sorted(found.items(), key=lambda item: -item[1][:, -1].mean()):
        runs = [r for r in result["runs"] if (r["oracle"], r["contestant"]) == (oracle, name)]
        package = _PACKAGES.get(name)
        label = f"**{name}**" if name == DEFAULT else name
        if package:
            label += f" ({package} {result['versions'][package]})"
        ratio = sooner = "-"
        own, theirs = _alike(result, oracle, DEFAULT, name)
        if name != DEFAULT and len(own) and theirs[:, -1].mean() > 0:
            ratio = f"{own[:, -1].mean() / theirs[:, -1].mean():.2f}"
            sooner = f"{acceleration(own, theirs):.2f}"
        rows.append(
            [
                label,
                len(hits),
                _plus_minus(hits[:, -1]),
                f"{np.mean([r['observed_hits'] for r in runs]):.1f}",
                f"{np.mean([r['too_near'] for r in runs]):.1f}",
                f"{enhancement(hits, rate):.1f}",
                ratio,
                sooner,
                _seconds(runs),
            ]
        )
    headings = [
        "contestant",
        "seeds",
        "true hits (95% interval)",
        "hits as observed",
        "hits too near",
        "times random",
        "our hits over theirs",
        "discovery acceleration",
        "processor s per round",
    ]
    return markdown_table(headings, rows)


def verdict(result: dict[str, Any], oracle: str) -> str:
    """Whether the default keeps what was asked of it: 1.25 times the best peer and 20 times random."""
    found = curves(result, oracle)
    over: dict[str, float] = {}
    for name in found.keys() & set(PEERS):
        own, theirs = _alike(result, oracle, DEFAULT, name)
        if len(own):
            hits = theirs[:, -1].mean()
            over[name] = float(own[:, -1].mean() / hits) if hits else float("inf")
    if DEFAULT not in found or not over:
        return ""
    best = min(sorted(over), key=lambda name: over[name])
    seeds = len(_alike(result, oracle, DEFAULT, best)[0])
    times = enhancement(found[DEFAULT], expected_of_random(result, oracle))
    parts = [
        (
            f"`{DEFAULT}` finds {over[best]:.2f} times the hits of the best peer, {best}"
            f" ({'at least' if over[best] >= _LEAST_OF_PEERS else 'short of'} {_LEAST_OF_PEERS}; on the"
            f" {seeds} seed{'' if seeds == 1 else 's'} that both ran)"
        ),
        (
            f"{times:.0f} times those of random ({'at least' if times >= _LEAST_OF_RANDOM else 'short of'}"
            f" {_LEAST_OF_RANDOM:.0f})"
        ),
    ]
    most = found[DEFAULT].shape[1] * (1 - result["oracles"][oracle]["failure_rate"])
    pool = result["oracles"][oracle]["pool"]
    if pool:
        most = min(most, pool * expected_of_random(result, oracle))
    text = f"{'; '.join(parts)}. About {most:.0f} hits can be had within the budget at most."
    few = sorted(n for n in MAIN if len(found.get(n, ())) < _SEEDS)
    return f"{text} Not measured on {_SEEDS} seeds: {', '.join(few)}." if few else text


def _about(result: dict[str, Any], oracle: str) -> str:
    about = result["oracles"][oracle]
    wanted = ", ".join(
        f"`{name}` {low:g} to {high:g}{'' if about['units'][name] == '1' else ' ' + about['units'][name]}"
        f" (noise {about['noise'][name]:g})"
        for name, (low, high) in about["targets"].items()
    )
    where = (
        f"a pool of {about['pool']}" if about["pool"] else "every composition up to 40 at.% of each element"
    )
    late = (
        f"answers late by {' or '.join(map(str, about['late']))} rounds" if any(about["late"]) else "no delay"
    )
    cheap = (
        f", a cheap and biased fidelity at {about['cheap_cost']:g} of a job" if about["cheap_cost"] else ""
    )
    return (
        f"{len(about['elements'])} elements ({' '.join(about['elements'])}), {where}; {wanted}. Of "
        f"{about['base_rate_of']} {'members' if about['pool'] else 'uniform random compositions'} "
        f"{100 * about['base_rate']:.2f}% hit. {about['rounds']} rounds of {about['batch']} jobs after 20 initial "
        f"alloys, none a hit; {100 * about['failure_rate']:.0f}% of the jobs fail, {late}{cheap}; hits count once "
        f"within a total-variation distance of {about['minimum_distance']:g}."
    )


def block(result: dict[str, Any], *, pictures: str = "images") -> str:
    """What stands between the markers of the document: for each oracle its description, table and verdict."""
    about = result["environment"]
    parts = [
        (
            f"{len(result['runs'])} campaigns in {len(result['commands'])} commands, which the results list;"
            f" finished {about['made_at'][:16].replace('T', ' ')} UTC on {about['machine']}."
        )
    ]
    for oracle in result["oracles"]:
        run_seeds = {r["seed"] for r in result["runs"] if r["oracle"] == oracle}
        parts += [f"### `{oracle}`, {len(run_seeds)} seeds", _about(result, oracle), _table(result, oracle)]
        if text := verdict(result, oracle):
            parts.append(text)
        parts.append(f"![Hits against jobs, {oracle}]({pictures}/campaigns-{oracle}.png)")
    return "\n\n".join(parts)


def figure(result: dict[str, Any], oracle: str) -> Any:
    """Mean cumulative hits against jobs with 95% bands over seeds, and the expectation of random."""
    from matplotlib.figure import Figure

    found = curves(result, oracle)
    drawing = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = drawing.add_subplot()
    others = iter(_COLOURS)
    for name, hits in sorted(found.items(), key=lambda item: -item[1][:, -1].mean()):
        colour = STRATEGY if name == DEFAULT else RANDOM if name == "random" else next(others, "#999999")
        jobs = np.arange(1, hits.shape[1] + 1)
        axes.plot(
            jobs, hits.mean(axis=0), color=colour, linewidth=2.2 if name == DEFAULT else 1.3, label=name
        )
        if len(hits) > 1:
            bands = np.array([bootstrap_interval(column) for column in hits.T]).T
            axes.fill_between(jobs, *bands, color=colour, alpha=0.15, linewidth=0)
    budget = next(iter(found.values())).shape[1]
    expected = expected_of_random(result, oracle)
    axes.plot(
        [0, budget], [0, expected * budget], color=INK, linestyle=":", linewidth=1, label="random, expected"
    )
    axes.set_xlabel("validation jobs")
    axes.set_ylabel("distinct true hits")
    axes.set_xlim(0, budget)
    axes.set_ylim(bottom=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.7)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left")
    return drawing


def write_tables(result: dict[str, Any], document: Path) -> list[Path]:
    """Fill the document's block and write the pictures beside it.

    Args:
        result: As :mod:`benchmarks.campaigns` wrote it.
        document: A Markdown file with the markers of ``campaigns``.

    Returns:
        The files written.

    Raises:
        InputError: The document has no such markers.
    """
    fill(document, {"campaigns": block(result)})
    folder = document.parent / "images"
    folder.mkdir(exist_ok=True)
    written = [document]
    for oracle in result["oracles"]:
        written.append(folder / f"campaigns-{oracle}.png")
        figure(result, oracle).savefig(written[-1], dpi=130)
    return written

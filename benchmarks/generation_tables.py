"""The generation benchmark's result as tables: in a terminal, and in docs/benchmarks.md with its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.tables import fill, load_result, markdown_table, mean_and_spread
from hea_loop.errors import InputError
from hea_loop.generation_benchmark import summarise

__all__ = ["bars", "into_documents", "show"]

SEED: Final = "cgan-2021"
CANDIDATE: Final = "flow-matching"
_DOCUMENT: Final = Path("docs/benchmarks.md")
_IMAGES: Final = Path("docs/images")

_COLUMNS: Final = (
    ("within 2%", "hits_2", "{:.0%}"),
    ("of reachable", "hits_2_reachable", "{:.0%}"),
    ("within 5%", "hits_5", "{:.0%}"),
    ("of reachable", "hits_5_reachable", "{:.0%}"),
    ("TV", "diversity", "{:.2f}"),
    ("TV of hits", "diversity_of_hits", "{:.2f}"),
    ("novelty", "novelty", "{:.2f}"),
    ("pair-corr. distance", "pair_correlation_distance", "{:.3f}"),
    ("count distance", "element_count_distance", "{:.2f}"),
    ("coverage", "coverage", "{:.2f}"),
    ("density", "density", "{:.2f}"),
    ("valid", "valid", "{:.0%}"),
    ("training CPU s", "training_cpu_s", "{:.1f}"),
    ("CPU s per 1,000", "cpu_s_per_1000", "{:.2f}"),
)


def default_strategy() -> str:
    """The strategy held against the bars: a campaign's default, the candidate for it while that is the seed's."""
    from hea_loop.campaign import StrategyChoice

    name = str(StrategyChoice.model_fields["name"].get_default())
    return CANDIDATE if name == SEED else name


# -- the bars --------------------------------------------------------------------------------------------------


def _bar(what: str, bound: str, value: float | None, *, passed: bool | None) -> dict[str, Any]:
    return {"what": what, "bound": bound, "value": value, "passed": passed}


def _at_least(what: str, value: float | None, bound: float) -> dict[str, Any]:
    return _bar(what, f"at least {bound:g}", value, passed=None if value is None else value >= bound)


def _at_most(what: str, value: float | None, bound: float) -> dict[str, Any]:
    return _bar(what, f"at most {bound:.3g}", value, passed=None if value is None else value <= bound)


def _entry(result: Mapping[str, Any], problem: str, strategy: str) -> Mapping[str, Any] | None:
    found = result["problems"].get(problem)
    rows = found["summary"] if found else []
    return next((row for row in rows if row["strategy"] == strategy), None)


def bars(result: Mapping[str, Any], strategy: str | None = None) -> dict[str, Any]:
    """Hold a strategy against what the project wants of its default; means over the seeds.

    Args:
        result: Of the benchmark.
        strategy: None for the campaigns' default.
    """
    name = strategy or default_strategy()
    found: list[dict[str, Any]] = []
    if a := _entry(result, "A", name):
        found += [
            _at_least("A: within 2% on all three, of reachable targets", a["hits_2_reachable"], 0.85),
            _at_least("A: within 2% on all three, of all targets", a["hits_2"], 0.85),
            _at_least("A: TV among the answers", a["diversity"], 0.20),
            _at_least("A: novelty", a["novelty"], 0.9),
        ]
        if seed := _entry(result, "A", SEED):
            half = 0.5 * seed["pair_correlation_distance"]
            found.append(
                _at_most(
                    f"A: pair-correlation distance, half of {SEED}'s", a["pair_correlation_distance"], half
                )
            )
    if b := _entry(result, "B", name):
        found += [
            _at_least("B: within 5% on all three, of reachable targets", b["hits_5_reachable"], 0.70),
            _at_least("B: within 5% on all three, of all targets", b["hits_5"], 0.70),
            _at_least("B: TV among the answers", b["diversity"], 0.35),
        ]
    return {"strategy": name, "bars": found + _edge_bars(result, name)}


def _edge_bars(result: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    given = result.get("edges")
    runs = [r for r in given["runs"] if r["strategy"] == name] if given else []
    if not given or not runs:
        return []
    found = [
        _at_least("edges: G = 120 GPa within 5 GPa", _mean([r["edge"]["share_within"] for r in runs]), 0.9)
    ]
    for letter in given["corners"]:
        what = f"edges: corner {letter} within 5%"
        if letter in given["refused"]:
            found.append(
                _bar(
                    f"{what}: refused, {given['refused'][letter]}",
                    "refused with the reason",
                    None,
                    passed=True,
                )
            )
        else:
            found.append(_at_least(what, _mean([r["corners"][letter]["share_within"] for r in runs]), 0.8))
    found.append(
        _at_most(
            f"edges: CPU seconds of training on {given['alloys']} alloys, one core",
            _mean([r["training_cpu_s"] for r in runs]),
            40.0,
        )
    )
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# -- tables ----------------------------------------------------------------------------------------------------


def problem_rows(problem: Mapping[str, Any]) -> list[list[str]]:
    """One row for each strategy: mean ± standard deviation over the seeds."""
    rows = []
    for entry in problem["summary"]:
        own = [r for r in problem["runs"] if r["strategy"] == entry["strategy"]]
        name = entry["strategy"] + (" (collapsed)" if entry["collapsed_seeds"] else "")
        rows.append(
            [
                name,
                entry["knows"],
                str(len(own)),
                *(mean_and_spread([r[key] for r in own], pattern) for _, key, pattern in _COLUMNS),
            ]
        )
    return rows


def headings() -> list[str]:
    """Of :func:`problem_rows`."""
    return ["strategy", "allowed to know", "seeds", *(heading for heading, _, _ in _COLUMNS)]


def edge_rows(given: Mapping[str, Any]) -> list[list[str]]:
    """One row for each strategy at the edges."""
    rows = []
    for strategy in dict.fromkeys(r["strategy"] for r in given["runs"]):
        own = [r for r in given["runs"] if r["strategy"] == strategy]
        cells = [
            mean_and_spread([r["edge"]["share_within"] for r in own], "{:.0%}"),
            mean_and_spread([r["edge"]["mae_GPa"] for r in own], "{:.1f}"),
            mean_and_spread([r["edge"]["diversity"] for r in own]),
        ]
        cells += [
            "refused" if letter in given["refused"] else _corner_cell([r["corners"][letter] for r in own])
            for letter in given["corners"]
        ]
        cells.append(mean_and_spread([r["training_cpu_s"] for r in own], "{:.1f}"))
        rows.append([strategy, own[0]["knows"], *cells])
    return rows


def _corner_cell(found: Sequence[Mapping[str, float]]) -> str:
    return f"{_mean([f['share_within'] for f in found]):.0%}, {_mean([f['diversity'] for f in found]):.2f}"


def edge_headings(given: Mapping[str, Any]) -> list[str]:
    """Of :func:`edge_rows`."""
    corners = [f"{k} ({v[0]:.0f} GPa, {v[1]:.3f})" for k, v in given["corners"].items()]
    return [
        "strategy",
        "allowed to know",
        "G = 120 within 5 GPa",
        "MAE (GPa)",
        "TV",
        *corners,
        "training CPU s",
    ]


def bar_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """One row for each bar."""
    said = {True: "pass", False: "MISSED", None: "not measured"}
    return [
        [b["what"], b["bound"], "-" if b["value"] is None else f"{b['value']:.3g}", said[b["passed"]]]
        for b in result["bars"]["bars"]
    ]


def _terminal_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for k, name in enumerate(columns):
        table.add_column(name, justify="left" if k < left else "right")
    for row in rows:
        table.add_row(*row)
    return table


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables of a result."""
    for name, problem in result["problems"].items():
        setting = problem["setting"]
        console.print(
            _terminal_table(
                f"{name}: {problem['alloys']} alloys, {setting['targets']} held-out targets of each seed, "
                f"{setting['answers']} answers to each; "
                f"{_mean([r['reachable_2'] for r in problem['runs']]):.0%} of the targets reachable at 2%",
                headings(),
                problem_rows(problem),
                2,
            )
        )
    if given := result.get("edges"):
        console.print(
            _terminal_table(
                f"edges: {given['alloys']} alloys of {len(given['elements'])} elements",
                edge_headings(given),
                edge_rows(given),
                2,
            )
        )
    if result["bars"]["bars"]:
        console.print(
            _terminal_table(
                f"bars, {result['bars']['strategy']}", ["what", "bar", "value", ""], bar_rows(result), 2
            )
        )
    console.print(f"{result['wall_s']:.0f} s in all", highlight=False)


# -- documents -------------------------------------------------------------------------------------------------


def _stamp(result: Mapping[str, Any]) -> str:
    e = result["environment"]
    versions = ", ".join(f"{k} {v}" for k, v in e["versions"].items())
    return (
        f"Made {e['made_at']} at commit {e['commit']} by `{e['command']}` in {result['wall_s'] / 60:.0f} min "
        f"on {e['machine']}, {e['threads']} thread(s), load {e['load_average_1_min']} at the start; seeds "
        f"{', '.join(map(str, result['seeds']))}; {versions}. Cells are mean ± standard deviation over the seeds."
    )


def _problem_block(name: str, problem: Mapping[str, Any]) -> str:
    reach = {t: _mean([r[f"reachable_{t}"] for r in problem["runs"]]) for t in ("2", "5")}
    judges = "; ".join(f"{k} by {v}" for k, v in problem["judged_by"].items())
    floor = {k: _mean([f[k] for f in problem["floor"]]) for k in ("pair_correlation_distance", "coverage")}
    setting = problem["setting"]
    return "\n".join(
        [
            f"### {name}: {problem['alloys']} alloys of {' '.join(problem['elements'])}",
            "",
            (
                f"Judged: {judges}. {setting['targets']} targets for each seed, {setting['answers']} answers to "
                f"each. Reachable: {reach['2']:.0%} of the targets at 2%, {reach['5']:.0%} at 5%. The held-out alloys "
                f"themselves have a pair-correlation distance of {floor['pair_correlation_distance']:.3f} to the "
                f"training ones and cover {floor['coverage']:.2f}: the floor and the ceiling that sampling sets."
            ),
            "",
            markdown_table(headings(), problem_rows(problem), left=2),
        ]
    )


def _edge_block(given: Mapping[str, Any]) -> str:
    refusals = " ".join(f"Corner {k} is refused: {why}." for k, why in given["refused"].items())
    return "\n".join(
        [
            f"### Edges: {given['alloys']} alloys of {len(given['elements'])} elements, conditioned on G and Rice K",
            "",
            (
                f"{given['share_of_data_near_120_GPa']:.1%} of the alloys lie within 5 GPa of G = 120 GPa. "
                f"{given['answers']} answers to each condition, seeds {', '.join(map(str, given['seeds']))}; of the "
                f"corners (G, K in MPa m^0.5) the share within 5% on both, and TV. {refusals}"
            ),
            "",
            markdown_table(edge_headings(given), edge_rows(given), left=2),
        ]
    )


def merged(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several results as one: slow strategies may run apart, with the same seeds and targets.

    A target counts as reached by anyone only within its own run; the direct optimiser is the same in all.
    """
    first, *others = results
    out = {**first, "problems": dict(first["problems"])}
    for other in others:
        for name, problem in other["problems"].items():
            mine = out["problems"].get(name)
            runs = [*(mine["runs"] if mine else []), *problem["runs"]]
            out["problems"][name] = {**(mine or problem), "runs": runs, "summary": summarise(runs)}
        if other.get("edges"):
            runs = (
                [*out["edges"]["runs"], *other["edges"]["runs"]]
                if out.get("edges")
                else other["edges"]["runs"]
            )
            out["edges"] = {**(out.get("edges") or other["edges"]), "runs": runs}
        out["wall_s"] = out["wall_s"] + other["wall_s"]
    return out


def into_documents(paths: Sequence[Path]) -> list[str]:
    """Write the tables and plots of results into the documents of the repository.

    Returns:
        A line for each file written.

    Raises:
        InputError: The file is no result of this benchmark, or of a smoke run.
    """
    results = [load_result(path) for path in paths]
    for path, one in zip(paths, results, strict=True):
        if one.get("benchmark") != "generation" or one.get("smoke"):
            raise InputError(
                "--tables",
                str(path),
                "is no full result of this benchmark",
                "name what `python -m benchmarks.generation --out` wrote",
            )
    result = merged(results)
    result["bars"] = bars(result)  # the default may have changed since
    plots = draw_plots(result, _IMAGES)
    blocks = [_stamp(one) for one in results]
    if result["bars"]["bars"]:
        blocks.append(f"### The bars, held by {result['bars']['strategy']}")
        blocks.append(markdown_table(["what", "bar", "value", ""], bar_rows(result), left=2))
    blocks += [_problem_block(name, problem) for name, problem in result["problems"].items()]
    if given := result.get("edges"):
        blocks.append(_edge_block(given))
    blocks += [f"![{title}](images/{p.name})" for title, p in plots.items()]
    fill(_DOCUMENT, {"generation": "\n\n".join(blocks)})
    return [f"wrote {p}" for p in (_DOCUMENT, *plots.values())]


def draw_plots(result: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Draw hits against variety of every strategy on each problem.

    Returns:
        Title of each plot to its file.
    """
    from hea_loop.figures.generation import hits_against_variety

    panels = {
        name: [
            (
                e["strategy"],
                e["diversity"],
                e["hits_5_reachable" if name == "B" else "hits_2_reachable"],
                e["pair_correlation_distance"],
            )
            for e in problem["summary"]
            if e["hits_2_reachable"] is not None
        ]
        for name, problem in result["problems"].items()
    }
    if not panels:
        return {}
    labels = {name: "within 5%" if name == "B" else "within 2%" for name in panels}
    path = folder / "generation-benchmark.png"
    folder.mkdir(parents=True, exist_ok=True)
    hits_against_variety(panels, labels).savefig(path, dpi=150)
    return {"Hits against variety of every strategy": path}

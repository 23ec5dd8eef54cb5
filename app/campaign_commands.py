"""The commands on campaigns: run, status, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import DatabaseUrl, Json
from app.output import note, print_json, print_table, print_text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.results import CampaignResults

__all__ = ["report", "run", "status"]


def _rate(rate: float | None, low: float | None, high: float | None) -> str:
    """A rate with its interval, whole percent: more digits than some tens of candidates carry are noise."""
    if rate is None or low is None or high is None:
        return "-"
    digits = 1 if 0 < rate < 0.1 else 0
    return f"{100 * rate:.{digits}f}% ({100 * low:.0f}-{100 * high:.0f})"


def _row(label: str, numbers: Mapping[str, Any]) -> tuple[object, ...]:
    counts = (numbers[k] for k in ("proposed", "validated", "failed", "unconverged", "hit"))
    random_rate = _rate(*(numbers[k] for k in ("random_hit_rate", "random_ci_low", "random_ci_high")))
    return (
        label,
        *counts,
        _rate(numbers["hit_rate"], numbers["ci_low"], numbers["ci_high"]),
        "" if numbers.get("diversity") is None else f"{numbers['diversity']:.2f}",
        f"{numbers['random_hit']}/{numbers['random_validated']} {random_rate}",
    )


def _print_results(results: CampaignResults) -> None:
    from dataclasses import asdict

    reason = f" ({results.stop_reason})" if results.stop_reason else ""
    print_table(
        f"{results.campaign}, seed {results.seed}: {results.state}{reason}; "
        "hits by CALPHAD, rates with 95% intervals",
        [
            "iter-\nation>",
            "pro-\nposed>",
            "vali-\ndated>",
            "failed>",
            "uncon-\nverged>",
            "hit>",
            "hit rate>",
            "diver-\nsity>",
            "random share>",
        ],
        [
            *(_row(str(i.iteration), asdict(i)) for i in results.iterations),
            _row("all", results.totals),
        ],
    )
    if results.objectives:
        last = results.objectives[-1]
        for name, value in last.best.items():
            print_text(f"best {name} among the hits: {value:.6g}")
        front = ", ".join(str(row["composition"]) for row in last.front[:5]) or "no hit yet"
        print_text(f"not beaten by another hit ({len(last.front)}): {front}")
    for iteration in results.iterations:
        if iteration.stage != "scored":
            print_text(f"iteration {iteration.iteration} is not complete; next: {iteration.stage}")


def _judged(session: Session, name: str) -> dict[str, Any]:
    """What the targets asked for before the first iteration, and the same of what was found."""
    from dataclasses import asdict

    from app.fidelity_names import atomistic_source
    from db.found import found_by_target
    from db.results import campaign_candidates, campaign_or_latest, rates_at

    row = campaign_or_latest(session, name)
    found = found_by_target(row.spec, campaign_candidates(session, name))
    dft = [asdict(rate) for rate in rates_at(session, name, "dft")]
    atomistic = {"dft": dft, "dft_from": atomistic_source(row.spec)} if dft else {}
    return {"feasibility": row.feasibility, "found": found.to_json()} | atomistic


def _print_folded(text: str) -> None:
    """Print a sentence at the width of the tables."""
    import textwrap

    print_text("\n".join(textwrap.wrap(text, 80)))


def _print_dft(source: str, rates: Sequence[Mapping[str, Any]]) -> None:
    for r in rates:
        rate = _rate(r["rate"], r["ci_low"], r["ci_high"])
        print_text(
            f"{source}, iteration {r['iteration']}, {r['origin']}: {r['proposed']} sent, "
            f"{r['validated']} answered, {r['hit']} hits, {rate}"
        )


def _print_judged(judged: Mapping[str, Any]) -> None:
    _print_dft(judged.get("dft_from", ""), judged.get("dft", ()))
    before, costliest = judged["feasibility"], judged["found"]["costliest"]
    if before is not None:
        _print_folded(f"judged {before['verdict']} before the first iteration: {before['reason']}")
    if costliest is not None:
        _print_folded(f"of what was found the costliest target is {costliest['name']}: {costliest['reason']}")


def run(
    campaign: Annotated[
        Path | None,
        typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file; default is the quickstart."),
    ] = None,
    *,
    database_url: DatabaseUrl = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Another seed than the file's; the name of the campaign then says so."),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations", min=1, help="Work on so many iterations now; the same command goes on later."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Where the report goes; default is reports/NAME.html."),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    json: Json = False,
) -> None:
    """Run a campaign to its end. The same command again continues one that was interrupted."""
    from app import campaign_run
    from app.progress import RunProgress
    from hea_loop.errors import InputError

    if no_report and report is not None:
        raise InputError("--report", str(report), "stands beside --no-report", "give one of the two")
    spec = campaign_run.campaign_to_run(campaign, seed)
    target = None if no_report else (report or Path("reports") / f"{spec.name}.html")
    if target is not None:
        campaign_run.check_report_path(target)
    campaign_run.prepare(spec, database_url)
    with RunProgress() as progress:
        campaign_run.run(spec, database_url=database_url, max_iterations=iterations, progress=progress)

    from app.store_access import open_existing_store
    from db.results import campaign_results

    with open_existing_store(database_url) as store:
        with store.read() as session:
            results = campaign_results(session, spec.name)
        if target is not None:
            from app.report import build_report

            with store.read() as session:
                campaign_run.write_to(target, build_report(session, spec.name))
    if json:
        print_json(results.to_json())
    else:
        _print_results(results)
    if target is not None:
        note(f"report: {target}")
    if results.state == "waiting":
        note(
            f"{results.totals['pending']} candidates wait for review: decide with `hea-loop queue`, "
            "then run the same command again"
        )


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The campaign; default is every one.")
    ] = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show where campaigns stand and their hit rates."""
    from app.store_access import open_existing_store
    from db.results import campaign_names, campaign_results

    with open_existing_store(database_url) as store, store.read() as session:
        names = [n for n, _ in campaign_names(session)] if name is None else [name]
        results = [campaign_results(session, n) for n in names]
        judged = {r.campaign: _judged(session, r.campaign) for r in results}
    if json:
        print_json({"campaigns": [r.to_json() | judged[r.campaign] for r in results]})
        return
    if not results:
        note("the store has no campaign yet: start one with `hea-loop run`")
    for result in results:
        _print_results(result)
        _print_judged(judged[result.campaign])
        pending = result.totals["pending"]
        if pending:
            print_text(f"{pending} candidates are not decided or validated yet")


def report(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The campaign; default is the one that moved last.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; default is reports/NAME.html.")
    ] = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Write a campaign's report: one HTML file that needs nothing else."""
    from app import campaign_run
    from app.report import build_report
    from app.store_access import open_existing_store
    from db.results import campaign_or_latest

    with open_existing_store(database_url) as store, store.read() as session:
        campaign = campaign_or_latest(session, name).name
        target = out or Path("reports") / f"{campaign}.html"
        campaign_run.check_report_path(target, "--out")
        text = build_report(session, campaign)
    campaign_run.write_to(target, text, field="--out")
    if json:
        print_json({"campaign": campaign, "report": str(target), "bytes": len(text.encode())})
    else:
        print_text(str(target))

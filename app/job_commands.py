"""The commands on jobs that run outside: submit, list, show, retry, cancel, collect."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import DatabaseUrl, Json, named_values
from app.output import note, number, print_json, print_table, print_text
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from db.job_rows import JobRow
    from db.store import Store
    from flows.tending import Tended

__all__ = ["jobs"]

jobs = typer.Typer(
    help="Jobs that run outside: submit, list, show, retry, cancel, collect.", no_args_is_help=True
)

Ids = Annotated[list[int], typer.Argument(metavar="ID", help="Jobs, by the ids of `jobs list`.")]
_OPEN = ("waiting", "submitted", "running", "lost")


@jobs.command()
def submit(
    composition: Annotated[str, typer.Argument(metavar="COMPOSITION", help="An alloy, as NbMoTaW.")],
    *,
    workflow: Annotated[str, typer.Option("--workflow", help="What is computed.")] = "elastic",
    calculator: Annotated[str, typer.Option("--calculator", help="What computes it.")] = "gpaw",
    preset: Annotated[str, typer.Option("--preset", help="test, screening or production.")] = "screening",
    atoms: Annotated[
        int | None,
        typer.Option("--atoms", help="Atoms of an alloy's cell; default is the smallest that holds it."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the search for the cell.")] = 1,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the workflow.")
    ] = None,
    calculator_option: Annotated[
        list[str] | None,
        typer.Option("--calculator-option", metavar="NAME=VALUE", help="An option of the calculator."),
    ] = None,
    runner: Annotated[str, typer.Option("--runner", help="local, dask, slurm or export.")] = "local",
    runner_option: Annotated[
        list[str] | None,
        typer.Option("--runner-option", metavar="NAME=VALUE", help="An option of the runner."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Where directories of jobs go; default is jobs/ at the store."),
    ] = None,
    wall_limit: Annotated[
        float, typer.Option("--wall-limit", metavar="SECONDS", help="After which a calculation is ended.")
    ] = 86_400.0,
    attempts: Annotated[
        int, typer.Option("--attempts", min=1, help="How often a job whose worker died is begun.")
    ] = 3,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Have one alloy computed outside any campaign. Does not wait: `jobs collect` brings the answer in."""
    from db.store import open_store
    from flows.tending import runner_choice, submit_material, tend
    from hea_loop.formula import parse_composition
    from validators.atomistic.engine import engine_for
    from validators.atomistic.qualification import require_usable
    from validators.atomistic.specification import CalculatorChoice
    from validators.atomistic.workflows import fitted_spec, require_runnable

    choice = CalculatorChoice(
        calculator, preset, named_values(calculator_option or [], "--calculator-option")
    )
    spec = fitted_spec(
        workflow, parse_composition(composition), atoms, seed, choice, named_values(option or [], "--option")
    )
    require_runnable(spec)
    if runner == "local":
        # elsewhere another machine's installation decides
        require_usable(spec, engine_for(choice, folder or Path("jobs")))
    with open_store(database_url) as store:
        where = runner_choice(
            store,
            runner,
            named_values(runner_option or [], "--runner-option"),
            folder=folder,
            wall_s=wall_limit,
            attempts=attempts,
            field="--runner",
        )
        job, new = submit_material(store, spec, where)
        done = tend(store, [job])
        _print_jobs(store, [job], done, json=json)
    cell = "primitive cell" if spec.is_pure else f"cell of {spec.atoms} atoms"
    note(f"job {job}: {cell}" if new else f"job {job} asks the same already; `hea-loop jobs show {job}`")


@jobs.command("list")
def list_(
    campaign: Annotated[
        str | None, typer.Option("--campaign", metavar="NAME", help="Only of this campaign.")
    ] = None,
    *,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only in this state; several may be given.")
    ] = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help="Only those whose message has this text.")
    ] = None,
    validator: Annotated[str | None, typer.Option("--validator", help="Only of this validator.")] = None,
    outside: Annotated[bool, typer.Option("--outside", help="Only those that run outside.")] = False,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List jobs with their states and what was last said of them."""
    from app.store_access import open_existing_store
    from db.job_rows import job_rows

    with open_existing_store(database_url) as store, store.read() as session:
        rows = job_rows(
            session, states=state or (), error=error, campaign=campaign, validator=validator, outside=outside
        )
    if json:
        print_json({"jobs": [_as_json(r) for r in rows]})
        return
    if not rows:
        note("no such job")
        return
    _print_rows(f"{len(rows)} {'job' if len(rows) == 1 else 'jobs'}", rows)


@jobs.command()
def show(
    job: Annotated[int, typer.Argument(metavar="ID", help="A job, by the ids of `jobs list`.")],
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show one job: what it asks, its attempts with their directories, and what it answered."""
    from app.store_access import open_existing_store
    from db.job_rows import one_job
    from validators.atomistic.job_directory import JobDirectory

    with open_existing_store(database_url) as store, store.read() as session:
        row = one_job(session, job)
    progress = JobDirectory(row.tries[-1].directory).progress() if row.tries else {}
    if json:
        print_json(_as_json(row) | {"progress": progress})
        return
    _print_rows(f"job {row.id}", [row])
    for name, value in sorted(row.configuration.items()):
        print_text(f"{name}: {_plain(value)}")
    if progress and row.state in _OPEN:
        print_text(f"now: {progress.get('doing')} ({progress.get('step')} of {progress.get('of')})")
    if row.tries:
        print_table(
            "attempts",
            ["attempt>", "state!", "called", "directory", "said"],
            [(t.number, t.state, t.external_id, t.directory, t.message) for t in row.tries],
        )
    _print_values(row.outcome)


def _print_values(outcome: Mapping[str, Any] | None) -> None:
    from hea_loop.properties import PROPERTIES

    if not outcome or not outcome.get("values"):
        return
    print_table(
        f"values by {outcome.get('method') or 'no stated method'}",
        ["property!", "value>", "sigma>", "unit"],
        [
            (v["property"], number(v["value"], 5), number(v.get("sigma")), PROPERTIES[v["property"]].unit)
            for v in outcome["values"]
        ],
    )


@jobs.command()
def retry(ids: Ids, database_url: DatabaseUrl = None, json: Json = False) -> None:
    """Try jobs again that ended without values, or that are lost. Finished parts are not computed twice."""
    from app.store_access import open_existing_store
    from flows import tending

    with open_existing_store(database_url) as store:
        problems = tending.retry(store, _known(ids))
        done = tending.tend(store, ids)
        done.problems[:0] = problems
        _print_jobs(store, ids, done, json=json)


@jobs.command()
def cancel(ids: Ids, database_url: DatabaseUrl = None, json: Json = False) -> None:
    """End jobs for good, wherever they run."""
    from app.store_access import open_existing_store
    from flows import tending

    with open_existing_store(database_url) as store:
        done = tending.Tended(problems=tending.cancel(store, _known(ids)))
        _print_jobs(store, ids, done, json=json)


@jobs.command()
def collect(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIRECTORY", help="Directories that came back by hand; default looks after all jobs."
        ),
    ] = None,
    *,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", min=0, help="Look again until all have ended, so long at most."
        ),
    ] = 0.0,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Bring results in, submit what waits, and say what is open."""
    from app.store_access import open_existing_store
    from db.attempts import NotStored
    from flows.tending import Tended, collect_directory, tend

    with open_existing_store(database_url) as store:
        if directories:
            done = Tended()
            for directory in directories:
                try:
                    done.ended.append(collect_directory(store, directory).id)
                except NotStored as error:
                    done.problems.append(str(error))
        else:
            done = _collect_all(store, tend, wait)
        _print_jobs(store, done.ended, done, json=json)


def _collect_all(store: Store, tend: Any, wait: float) -> Tended:
    """Look after all jobs, again and again where somebody waits for them."""
    deadline = time.monotonic() + wait
    whole: Tended = tend(store)
    pause = 0.2
    while whole.open and time.monotonic() < deadline:
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(10.0, 1.5 * pause)
        more = tend(store)
        whole.ended += more.ended
        whole.again += more.again
        whole.submitted += more.submitted
        whole.open, whole.problems = more.open, more.problems
    return whole


def _known(ids: Sequence[int]) -> list[int]:
    for job in ids:
        if not 0 < job < 2**31:  # PostgreSQL's integers end there
            raise InputError("job", job, "is not in the store", "see the ids with `hea-loop jobs list`")
    return list(dict.fromkeys(ids))


def _print_jobs(store: Store, ids: Sequence[int], done: Tended, *, json: bool) -> None:
    from db.job_rows import one_job

    with store.read() as session:
        rows = [one_job(session, job) for job in dict.fromkeys(ids)]
    for problem in done.problems:
        note(problem)
    if json:
        body = {"jobs": [_as_json(r) for r in rows], "submitted": done.submitted, "ended": done.ended}
        print_json(body | {"again": done.again, "open": done.open, "problems": done.problems})
        return
    if rows:
        _print_rows(f"{len(rows)} {'job' if len(rows) == 1 else 'jobs'}", rows)
    print_text(f"{len(done.submitted)} submitted, {len(done.ended)} ended, {done.open} open")


def _print_rows(title: str, rows: Sequence[JobRow]) -> None:
    print_table(
        title,
        ["id>", "campaign", "composition!", "what", "runner", "state!", "attempts>", "said"],
        [
            (
                r.id,
                r.campaign,
                r.composition.formula,
                _what(r),
                r.runner,
                r.state,
                r.attempts,
                r.message,
            )
            for r in rows
        ],
    )


def _what(row: JobRow) -> str:
    workflow, calculator = row.configuration.get("workflow"), row.configuration.get("calculator")
    if not isinstance(calculator, dict):
        return row.validator
    from validators.atomistic.specification import calculator_kind

    name = str(calculator.get("name"))
    return f"{workflow}, {name} {calculator.get('preset')} ({calculator_kind(name)})"


def _plain(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _as_json(row: JobRow) -> dict[str, Any]:
    return asdict(row) | {"composition": row.composition.formula}

"""The commands on the queue of candidates that wait for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from app.options import DatabaseUrl, Json
from app.output import note, number, percent, print_json, print_table
from hea_loop.errors import InputError

__all__ = ["queue"]

queue = typer.Typer(help="Review candidates: list, approve, reject.", no_args_is_help=True)

Ids = Annotated[list[int], typer.Argument(metavar="ID", help="Candidates, by the ids of `queue list`.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision for ever.")]
Who = Annotated[str | None, typer.Option("--who", help="Who decides; default is the user of this machine.")]


@queue.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The campaign; default is all.")] = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List the candidates that wait for a decision."""
    from app.store_access import open_existing_store
    from db.results import queue_rows

    with open_existing_store(database_url) as store, store.read() as session:
        rows = queue_rows(session, name)
    if json:
        print_json(
            {
                "queued": [
                    {
                        "id": r.id,
                        "campaign": r.campaign,
                        "iteration": r.iteration,
                        "rank": r.rank,
                        "composition": r.composition.formula,
                        "origin": r.origin,
                        "probability": r.probability,
                        "predicted": dict(r.predicted),
                        "queued_at": r.queued_at,
                    }
                    for r in rows
                ]
            }
        )
        return
    if not rows:
        note("no candidate waits for review")
        return
    print_table(
        f"{len(rows)} candidates wait for review; values are predictions",
        [
            "id>",
            "campaign",
            "iteration>",
            "rank>",
            "composition!",
            "origin",
            "P(hit)>",
            "predicted",
        ],
        [
            (
                r.id,
                r.campaign,
                r.iteration,
                r.rank,
                r.composition.formula,
                r.origin,
                percent(r.probability),
                _predicted(r.predicted),
            )
            for r in rows
        ],
    )


def _predicted(predicted: Mapping[str, object]) -> str:
    """Each property with its value, in one text that folds where the terminal is narrow."""
    values = ((name, _value(entry)) for name, entry in sorted(predicted.items()))
    return ", ".join(f"{name} {number(value)}" for name, value in values if value is not None)


def _value(predicted: object) -> float | None:
    """The number in a predicted entry, which is one or a mapping with ``value``."""
    found = predicted.get("value") if isinstance(predicted, dict) else predicted
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _decide(
    ids: list[int],
    verdict: Literal["approve", "reject"],
    reason: str,
    who: str | None,
    database_url: str | None,
    *,
    json: bool,
) -> None:
    import getpass

    from app.store_access import open_existing_store
    from db.decisions import decide

    beyond = next((i for i in ids if not 0 < i < 2**31), None)
    if beyond is not None:  # PostgreSQL's integers end there
        raise InputError(
            "candidate", beyond, "is no id of the store", "see the ids with `hea-loop queue list`"
        )
    name = getpass.getuser() if who is None else who
    with open_existing_store(database_url) as store, store.write() as session:
        recorded = [
            {
                "candidate": d.candidate_id,
                "verdict": d.verdict,
                "who": d.who,
                "reason": d.reason,
                "decided_at": d.decided_at,
            }
            for d in decide(session, ids, verdict, who=name, reason=reason)
        ]
    if json:
        print_json({"decisions": recorded})
        return
    print_table(
        f"{len(recorded)} decisions recorded",
        ["candidate>", "verdict", "who", "reason"],
        [(d["candidate"], d["verdict"], d["who"], d["reason"]) for d in recorded],
    )
    if verdict == "approve":
        note("the approved ones go on with the campaign's next run")


@queue.command()
def approve(
    ids: Ids, reason: Reason, who: Who = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """Let candidates go on to validation."""
    _decide(ids, "approve", reason, who, database_url, json=json)


@queue.command()
def reject(
    ids: Ids, reason: Reason, who: Who = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """End candidates: they are never validated."""
    _decide(ids, "reject", reason, who, database_url, json=json)

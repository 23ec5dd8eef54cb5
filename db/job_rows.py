"""Jobs as people look at them: listed by state and by what they said, and one with all its attempts. Read only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from db.models import JOB_STATES, Candidate, Iteration, Job
from db.results import campaign_or_latest
from hea_loop.composition import Composition
from hea_loop.errors import InputError

__all__ = ["AttemptRow", "JobRow", "job_rows", "one_job"]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a job that runs outside."""

    number: int
    state: str
    directory: str
    external_id: str | None
    message: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job.

    Attributes:
        id: Its row.
        campaign: The campaign that asks; None for a job of a material.
        iteration: Its iteration, None likewise.
        candidate_id: Its candidate, None likewise.
        composition: What is asked about.
        validator: Which validator.
        fidelity: Of its answers.
        configuration: All that decides the numbers, without the composition.
        configuration_hash: Of that.
        state: See :data:`db.models.JOB_STATES`.
        attempts: How often it was begun.
        runner: Where it runs; ``campaign`` for what runs in the campaign's own processes.
        message: What was last said of it.
        outcome: The whole outcome as JSON, once there is one.
        created_at: When it was made.
        finished_at: When it ended.
        tries: Its attempts, oldest first.
    """

    id: int
    campaign: str | None
    iteration: int | None
    candidate_id: int | None
    composition: Composition
    validator: str
    fidelity: str
    configuration: dict[str, Any]
    configuration_hash: str
    state: str
    attempts: int
    runner: str
    message: str | None
    outcome: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None
    tries: tuple[AttemptRow, ...]


def job_rows(
    session: Session,
    *,
    states: Sequence[str] = (),
    error: str | None = None,
    campaign: str | None = None,
    validator: str | None = None,
    outside: bool = False,
) -> list[JobRow]:
    """Jobs in the order in which they were made.

    Args:
        session: A session of the store.
        states: Only in these states; empty takes all.
        error: Only those whose message has this text in it, capitals or not.
        campaign: Only of this campaign.
        validator: Only of this validator.
        outside: Only those that run outside the campaign's own processes.

    Raises:
        InputError: No such state or campaign.
    """
    for state in states:
        if state not in JOB_STATES:
            raise InputError("--state", state, "is no state of a job", f"use {', '.join(JOB_STATES)}")
    query = select(Job).options(*_WHOLE).order_by(Job.id)
    if states:
        query = query.where(Job.state.in_(states))
    if error is not None:
        query = query.where(Job.message.icontains(error, autoescape=True))
    if validator is not None:
        query = query.where(Job.validator == validator)
    if outside:
        query = query.where(Job.runner.is_not(None))
    if campaign is not None:
        row = campaign_or_latest(session, campaign)
        query = query.join(Job.candidate).join(Candidate.iteration).where(Iteration.campaign_id == row.id)
    return [_row(job) for job in session.scalars(query).unique()]


def one_job(session: Session, job_id: int) -> JobRow:
    """One job with its attempts.

    Raises:
        InputError: There is none of that id.
    """
    known = 0 < job_id < 2**31  # PostgreSQL's integers end there
    job = session.get(Job, job_id, options=_WHOLE) if known else None
    if job is None:
        raise InputError("job", job_id, "is not in the store", "see the ids with `hea-loop jobs list`")
    return _row(job)


_WHOLE = (
    joinedload(Job.candidate).joinedload(Candidate.material),
    joinedload(Job.candidate).joinedload(Candidate.iteration).joinedload(Iteration.campaign),
    joinedload(Job.material),
    selectinload(Job.tries),
)


def _row(job: Job) -> JobRow:
    iteration = None if job.candidate is None else job.candidate.iteration
    return JobRow(
        id=job.id,
        campaign=None if iteration is None else iteration.campaign.name,
        iteration=None if iteration is None else iteration.number,
        candidate_id=job.candidate_id,
        composition=Composition.from_key(job.subject.key),
        validator=job.validator,
        fidelity=job.fidelity,
        configuration=job.configuration,
        configuration_hash=job.configuration_hash,
        state=job.state,
        attempts=job.attempts,
        runner="campaign" if job.runner is None else str(job.runner["name"]),
        message=job.message,
        outcome=job.outcome,
        created_at=job.created_at,
        finished_at=job.finished_at,
        tries=tuple(
            AttemptRow(t.number, t.state, t.directory, t.external_id, t.message, t.created_at, t.finished_at)
            for t in job.tries
        ),
    )

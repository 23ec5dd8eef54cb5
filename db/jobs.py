"""Jobs: one validator on one candidate under one configuration, dispatched, claimed, finished.

A job is done once. Workers claim jobs under a lease and write results only while the lease is theirs, so a
worker that was given up for dead and comes back late changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from db import models
from db.campaigns import require_owner, specification
from db.materials import MOST_CHARACTERS, NewDataPoint, add_data_points
from db.outbox import announce
from db.ownership import is_free, lease_end
from hea_loop.campaign import Campaign
from hea_loop.composition import Composition
from hea_loop.elasticity import Elasticity, decides_last
from hea_loop.properties import property_named
from hea_loop.scoring import KnownValue, judge

__all__ = [
    "ClaimedJob",
    "FinishedJob",
    "JobRequest",
    "claim_jobs",
    "dispatch",
    "finish_jobs",
    "known_values",
    "open_jobs",
    "release_jobs",
    "renew_jobs",
    "source_of",
]

MAX_ATTEMPTS: Final = 60
"""Attempts after which a job is failed: it must be what takes its process down."""

FINAL: Final = ("done", "unconverged", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a campaign asks of a validator."""

    validator: str
    fidelity: str
    configuration: dict[str, Any]
    configuration_hash: str
    budget: int


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that the caller may run now."""

    job_id: int
    composition: Composition
    attempt: int


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """The outcome of a job, as plain values.

    Attributes:
        job_id: Its row.
        status: ``converged``, ``unconverged`` or ``failed``.
        method: What gave it.
        values: ``{property, value, temperature_K, sigma, detail}`` each; empty unless converged.
        message: Why there is no answer.
        outcome: The whole outcome as JSON.
    """

    job_id: int
    status: str
    method: str
    values: tuple[Mapping[str, Any], ...]
    message: str
    outcome: dict[str, Any]


STATE_OF: Final = {"converged": "done", "unconverged": "unconverged", "failed": "failed"}
_CANDIDATE_STATE_OF: Final = {"converged": "validated", "unconverged": "unconverged", "failed": "failed"}


def dispatch(session: Session, iteration_id: int, owner: str, request: JobRequest) -> int:
    """Make jobs for every candidate that may go on, and move the iteration on to collecting.

    Proposed candidates (no review) and approved ones go on; queued ones wait; rejected ones never do. What the
    budget does not cover is abandoned, best rank first served.

    Returns:
        How many jobs were made.
    """
    iteration = session.get_one(models.Iteration, iteration_id)
    require_owner(session, iteration.campaign_id, owner)
    spent = session.scalar(
        select(func.count())
        .select_from(models.Job)
        .join(models.Candidate)
        .join(models.Iteration)
        .where(
            models.Iteration.campaign_id == iteration.campaign_id, models.Job.validator == request.validator
        )
    )
    left = request.budget - (spent or 0)
    ready = session.scalars(
        select(models.Candidate)
        .where(
            models.Candidate.iteration_id == iteration.id,
            models.Candidate.state.in_(("proposed", "approved")),
        )
        .order_by(models.Candidate.rank)
        .with_for_update()
    ).all()
    for number, candidate in enumerate(ready):
        if number >= left:
            candidate.state, candidate.reason = (
                "abandoned",
                f"the budget of {request.budget} for {request.validator} is spent",
            )
            continue
        candidate.state = "validating"
        session.add(
            models.Job(
                candidate_id=candidate.id,
                validator=request.validator,
                fidelity=request.fidelity,
                configuration=request.configuration,
                configuration_hash=request.configuration_hash,
            )
        )
    if iteration.stage == "dispatching":
        iteration.stage = "collecting"
    session.flush()
    return max(0, min(len(ready), left))


def open_jobs(session: Session, iteration_id: int) -> list[int]:
    """Jobs of an iteration that the campaign's own processes have to finish, those of one alloy system side by side.

    What a worker builds for a system serves its other alloys too. Jobs that run elsewhere are not among them:
    nobody waits for those.
    """
    statement = (
        select(models.Job.id)
        .join(models.Candidate)
        .join(models.Material)
        .where(
            models.Candidate.iteration_id == iteration_id,
            models.Job.state.not_in(FINAL),
            models.Job.runner.is_(None),
        )
        .order_by(models.Material.system, models.Job.id)
    )
    return list(session.scalars(statement))


def claim_jobs(session: Session, job_ids: Sequence[int], owner: str) -> list[ClaimedJob]:
    """Take those of the jobs that nobody works on; jobs that used up their attempts are failed instead."""
    rows = session.scalars(
        select(models.Job)
        .where(
            models.Job.id.in_(job_ids),
            models.Job.state.in_(("waiting", "running")),
            models.Job.runner.is_(None),
        )
        .options(joinedload(models.Job.candidate).joinedload(models.Candidate.material))
        .order_by(models.Job.id)
        .with_for_update(of=models.Job)
    ).all()
    claimed = []
    for job in rows:
        if job.state == "running" and not is_free(job.lease_owner, job.lease_expires):
            continue
        if job.attempts >= MAX_ATTEMPTS:
            close_job(job, "failed", f"its process died in each of {job.attempts} attempts")
            continue
        job.state, job.attempts = "running", job.attempts + 1
        job.lease_owner, job.lease_expires = owner, lease_end()
        claimed.append(ClaimedJob(job.id, Composition.from_key(job.subject.key), job.attempts))
    return claimed


def release_jobs(session: Session, job_ids: Sequence[int], owner: str) -> None:
    """Put claimed jobs back: their worker died before it answered."""
    for job in _mine(session, job_ids, owner):
        job.state, job.lease_owner, job.lease_expires = "waiting", None, None


def renew_jobs(session: Session, owner: str) -> int:
    """Keep the leases of the jobs that the caller works on alive, as a chunk may take longer than one lease.

    Returns:
        How many there are.
    """
    held = session.scalars(
        select(models.Job)
        .where(models.Job.state == "running", models.Job.lease_owner == owner)
        .with_for_update()
    ).all()
    for job in held:
        job.lease_expires = lease_end()
    return len(held)


def finish_jobs(session: Session, results: Sequence[FinishedJob], owner: str) -> list[int]:
    """Store outcomes: job, data points, the candidate's state and whether it is a hit, all in one transaction.

    Where another campaign has asked the same question of the same material, its answer stands.

    Returns:
        The jobs whose lease was still the caller's; the outcome of any other is dropped.
    """
    by_id = {r.job_id: r for r in results}
    mine = _mine(session, list(by_id), owner)
    points: list[NewDataPoint] = []
    for job in mine:
        points += points_of(job, by_id[job.id])
    add_data_points(session, points, earlier_stands=True)
    for job in mine:
        result = by_id[job.id]
        job.outcome = result.outcome
        close_job(job, STATE_OF[result.status], result.message or None)
    session.flush()
    for job in mine:
        _judge_candidate(session, job, by_id[job.id])
    if mine:
        announce(session, "jobs.finished", jobs=[job.id for job in mine])
    return [job.id for job in mine]


def _mine(session: Session, job_ids: Sequence[int], owner: str) -> Sequence[models.Job]:
    statement = (
        select(models.Job)
        .where(models.Job.id.in_(job_ids), models.Job.state == "running", models.Job.lease_owner == owner)
        .options(
            joinedload(models.Job.candidate).joinedload(models.Candidate.material),
            joinedload(models.Job.candidate)
            .joinedload(models.Candidate.iteration)
            .joinedload(models.Iteration.campaign),
        )
        .order_by(models.Job.id)
        .with_for_update(of=models.Job)
    )
    return session.scalars(statement).all()


def close_job(job: models.Job, state: str, message: str | None) -> None:
    job.state, job.message, job.finished_at = state, message, datetime.now(UTC)
    job.lease_owner = job.lease_expires = None
    if state == "failed" and job.outcome is None and job.candidate is not None:
        job.candidate.state, job.candidate.reason = "failed", message


def points_of(job: models.Job, result: FinishedJob) -> list[NewDataPoint]:
    composition = Composition.from_key(job.subject.key)
    return [
        NewDataPoint(
            composition=composition,
            property=value["property"],
            value=value["value"],
            sigma=value["sigma"],
            unit=property_named(value["property"]).unit,
            kind="validation",
            fidelity=job.fidelity,
            method=_shortened(result.method),
            source=_source(job, value),
            temperature_K=value["temperature_K"],
            conditions=_conditions(result.method, value["detail"]),
        )
        for value in result.values
    ]


def _shortened(method: str) -> str:
    """A method as wide as its column; of a longer one its hash stands for the rest."""
    if len(method) <= MOST_CHARACTERS:
        return method
    end = f"... {hashlib.sha256(method.encode()).hexdigest()[:8]}"
    return method[: MOST_CHARACTERS - len(end)] + end


def _conditions(method: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    conditions: dict[str, Any] = {"detail": detail} if detail else {}
    return conditions if len(method) <= MOST_CHARACTERS else conditions | {"method": method}


def source_of(job: JobRequest | models.Job) -> str:
    """What the sources of a validator's values under one configuration begin with."""
    return f"{job.validator}:{job.configuration_hash[:16]}"


def _source(job: models.Job, value: Mapping[str, Any]) -> str:
    """One source per validator, configuration and temperature: the same question has one answer."""
    at = "" if value["temperature_K"] is None else f":{value['temperature_K']:g}K"
    return f"{source_of(job)}{at}"


def known_values(
    session: Session,
    material_id: int,
    fidelities: Sequence[str],
    source: str | tuple[str, ...] | None = None,
    *,
    only: bool = False,
    elasticity: Elasticity = "linear-combination",
) -> list[KnownValue]:
    """Current values of a material at the given fidelities, as scoring reads them: oldest first.

    Args:
        session: The transaction.
        material_id: Row of the material.
        fidelities: Which rungs of the ladder.
        source: What the sources of the values begin with (one or several) that come last whenever they were
            stored, and so decide within their fidelity: a campaign is judged by its own configuration, not by
            another campaign's.
        only: Leave out the values of every other source.
        elasticity: Whose predictions come last among predictions likewise: the campaign's kind decides.
    """
    points = session.scalars(
        select(models.DataPoint)
        .where(
            models.DataPoint.material_id == material_id,
            models.DataPoint.superseded_by.is_(None),
            models.DataPoint.value.is_not(None),
            models.DataPoint.kind.in_(("prediction", "validation", "experiment")),
            models.DataPoint.fidelity.in_(fidelities),
        )
        .order_by(models.DataPoint.id)
    )
    ordered = sorted(
        points,
        key=lambda p: (
            source is not None and p.source.startswith(source),
            decides_last(p.source, elasticity),
        ),
    )
    if only and source is not None:
        ordered = [p for p in ordered if p.source.startswith(source)]
    return [
        KnownValue(p.property, p.value, p.fidelity, p.temperature_K) for p in ordered if p.value is not None
    ]


def _judge_candidate(session: Session, job: models.Job, result: FinishedJob) -> None:
    candidate = job.candidate
    if candidate is None:
        return
    candidate.state = _CANDIDATE_STATE_OF[result.status]
    if result.status != "converged":
        candidate.hit, candidate.reason = None, result.message
        return
    campaign: Campaign = specification(candidate.iteration.campaign)
    known = known_values(
        session,
        candidate.material_id,
        ("prediction", "calphad"),
        source_of(job),
        elasticity=campaign.elasticity,
    )
    judgement = judge(campaign, known)
    candidate.hit, candidate.fidelity = judgement.hit, judgement.fidelity
    candidate.reason = judgement.reason or None

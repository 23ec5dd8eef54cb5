"""Jobs that run outside: made, tried, looked after, answered.

Such a job has a runner (where it runs, within which limits) and one attempt after the other, each with a
directory of its own. Whoever looks after jobs holds them under a lease meanwhile, so that no two do. A result
is stored in one transaction, once: the job's state is asked in it, and a job that has ended takes no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from db import models
from db.campaigns import specification
from db.jobs import FINAL, STATE_OF, FinishedJob, JobRequest, known_values, points_of, source_of
from db.materials import add_data_points, material_for
from db.outbox import announce
from db.ownership import is_free, lease_end
from db.scores import count_dft
from hea_loop.composition import Composition
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.scoring import judge

__all__ = [
    "AttemptView",
    "HandsLost",
    "NotStored",
    "OutsideJob",
    "RunnerChoice",
    "add_candidate_jobs",
    "add_material_job",
    "attempt_of_hash",
    "cancel_job",
    "end_attempt",
    "fail_job",
    "hold_jobs",
    "let_go",
    "note_attempt",
    "note_trouble",
    "outside_jobs",
    "prepare_attempt",
    "retry_job",
    "same_question",
    "store_result",
]

_OPEN: Final = ("waiting", "submitted", "running", "lost")
_AGAIN: Final = ("failed", "unconverged", "cancelled")


class HandsLost(HeaLoopError):  # noqa: N818 - says what happened
    """Another process looks after the job now."""


class NotStored(HeaLoopError):  # noqa: N818 - says what happened
    """The job has ended already: a second answer changes nothing."""


@dataclass(frozen=True, slots=True)
class RunnerChoice:
    """Where a job runs, and within which limits.

    Attributes:
        name: ``local``, ``dask``, ``slurm`` or ``export``.
        options: Of the runner.
        folder: Where the directories of its jobs are.
        wall_s: Wall limit of one attempt in seconds.
        lease_s: Seconds without a sign of life after which a worker counts as dead.
        attempts: How often a job is begun again whose worker died.
        settle_s: Seconds between missing a job and giving it up: a file server may be that late.
    """

    name: str
    options: dict[str, Any]
    folder: str
    wall_s: float = 86_400.0
    lease_s: float = 120.0
    attempts: int = 3
    settle_s: float = 60.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as the job keeps it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunnerChoice:
        """Read back what :meth:`to_json` wrote."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt, as plain values."""

    id: int
    number: int
    state: str
    job_hash: str
    nonce: str
    directory: Path
    external_id: str | None
    message: str | None
    lost_at: datetime | None
    over: bool
    """Whether it was given up or answered; a lost one that is not over may come back."""


@dataclass(frozen=True, slots=True)
class OutsideJob:
    """A job that runs outside, as plain values.

    Attributes:
        id: Its row.
        state: Of the job.
        validator: Which validator.
        composition: What is asked about.
        configuration: All that decides the numbers, without the composition.
        configuration_hash: Of that.
        runner: Where it runs.
        allowed: Attempts that it may have in all.
        message: What was last said of it.
        tries: Its attempts, oldest first.
        campaign: Name of the campaign, None for a job of a material.
    """

    id: int
    state: str
    validator: str
    composition: Composition
    configuration: dict[str, Any]
    configuration_hash: str
    runner: RunnerChoice
    allowed: int
    message: str | None
    tries: tuple[AttemptView, ...]
    campaign: str | None

    @property
    def current(self) -> AttemptView | None:
        """The attempt that is in work; None where the next one is to be made."""
        last = self.tries[-1] if self.tries else None
        return None if last is None or last.over else last


def _view(row: models.Attempt) -> AttemptView:
    return AttemptView(
        row.id,
        row.number,
        row.state,
        row.job_hash,
        row.nonce,
        Path(row.directory),
        row.external_id,
        row.message,
        row.lost_at,
        row.finished_at is not None,
    )


def _outside(job: models.Job) -> OutsideJob:
    runner = dict(job.runner or {})
    campaign = None if job.candidate is None else job.candidate.iteration.campaign.name
    choice = RunnerChoice.from_json(runner)
    return OutsideJob(
        id=job.id,
        state=job.state,
        validator=job.validator,
        composition=Composition.from_key(job.subject.key),
        configuration=job.configuration,
        configuration_hash=job.configuration_hash,
        runner=choice,
        allowed=int(runner.get("allowed", choice.attempts)),
        message=job.message,
        tries=tuple(_view(t) for t in job.tries),
        campaign=campaign,
    )


_WHOLE: Final = (
    joinedload(models.Job.candidate).joinedload(models.Candidate.material),
    joinedload(models.Job.candidate)
    .joinedload(models.Candidate.iteration)
    .joinedload(models.Iteration.campaign),
    joinedload(models.Job.material),
    selectinload(models.Job.tries),
)


def outside_jobs(
    session: Session, ids: Sequence[int] | None = None, *, states: Sequence[str] = _OPEN
) -> list[OutsideJob]:
    """Jobs that run outside, in the order in which they were made.

    Args:
        session: A session of the store.
        ids: Only these; None takes all.
        states: Only in these states.
    """
    query = select(models.Job).where(models.Job.runner.is_not(None), models.Job.state.in_(states))
    if ids is not None:
        query = query.where(models.Job.id.in_(ids))
    rows = session.scalars(query.options(*_WHOLE).order_by(models.Job.id)).unique()
    return [_outside(row) for row in rows]


def add_material_job(
    session: Session,
    composition: Composition,
    *,
    validator: str,
    fidelity: str,
    configuration: dict[str, Any],
    configuration_hash: str,
    runner: RunnerChoice,
) -> tuple[int, bool]:
    """A job on a material that no campaign asks about; the same question again is the same job.

    One that ended without values takes the new runner, for when it is tried again.

    Returns:
        The job's id, and whether it is new.
    """
    material = material_for(session, composition)
    known = session.scalar(
        select(models.Job).where(
            models.Job.material_id == material.id,
            models.Job.validator == validator,
            models.Job.configuration_hash == configuration_hash,
        )
    )
    if known is not None:
        if known.state in _AGAIN:
            known.runner = runner.to_json() | {"allowed": known.attempts + runner.attempts}
        return known.id, False
    job = models.Job(
        material_id=material.id,
        validator=validator,
        fidelity=fidelity,
        configuration=configuration,
        configuration_hash=configuration_hash,
        runner=runner.to_json() | {"allowed": runner.attempts},
    )
    session.add(job)
    session.flush()
    announce(session, "job.created", job=job.id)
    return job.id, True


def add_candidate_jobs(
    session: Session, requests: Mapping[int, JobRequest], runner: RunnerChoice, left: int
) -> list[int]:
    """Jobs on candidates, best first, as many as are left of the budget; who has one gets no second.

    Args:
        session: The transaction.
        requests: Candidate to what is asked about it, in the order in which they are to be served.
        runner: Where it runs.
        left: Most jobs to make.

    Returns:
        The ids of the new jobs.
    """
    known = session.execute(
        select(models.Job.candidate_id, models.Job.validator, models.Job.configuration_hash).where(
            models.Job.candidate_id.in_(requests)
        )
    )
    have = {(candidate, validator, digest) for candidate, validator, digest in known}
    new = [(c, r) for c, r in requests.items() if (c, r.validator, r.configuration_hash) not in have]
    made = [
        models.Job(
            candidate_id=candidate,
            validator=request.validator,
            fidelity=request.fidelity,
            configuration=request.configuration,
            configuration_hash=request.configuration_hash,
            runner=runner.to_json() | {"allowed": runner.attempts},
        )
        for candidate, request in new[: max(0, left)]
    ]
    session.add_all(made)
    session.flush()
    if made:
        announce(session, "jobs.created", jobs=[job.id for job in made])
    return [job.id for job in made]


# -- holding -------------------------------------------------------------------------------------------------


def hold_jobs(session: Session, owner: str, ids: Sequence[int] | None = None) -> list[OutsideJob]:
    """Take those open jobs in hand that nobody else looks after."""
    query = select(models.Job).where(models.Job.runner.is_not(None), models.Job.state.in_(_OPEN))
    if ids is not None:
        query = query.where(models.Job.id.in_(ids))
    held = []
    for job in session.scalars(query.options(*_WHOLE).order_by(models.Job.id)).unique():
        if not is_free(job.lease_owner, job.lease_expires):
            continue
        job.lease_owner, job.lease_expires = owner, lease_end()
        held.append(_outside(job))
    return held


def let_go(session: Session, owner: str) -> None:
    """Give back all that is held."""
    held = select(models.Job).where(models.Job.lease_owner == owner, models.Job.runner.is_not(None))
    for job in session.scalars(held):
        job.lease_owner = job.lease_expires = None


def _in_hand(session: Session, job_id: int, owner: str) -> models.Job:
    """The job, if it is held; the lease of all that is held is renewed with it.

    Raises:
        HandsLost: It is not, or it has ended meanwhile.
    """
    held = select(models.Job).where(models.Job.lease_owner == owner, models.Job.runner.is_not(None))
    found = None
    for job in session.scalars(held.options(*_WHOLE)).unique():
        job.lease_expires = lease_end()
        if job.id == job_id:
            found = job
    if found is None or found.state in FINAL:
        raise HandsLost(f"job {job_id} is looked after by another process, or has ended")
    return found


# -- attempts ------------------------------------------------------------------------------------------------


def prepare_attempt(
    session: Session,
    job_id: int,
    owner: str,
    name: Callable[[int], tuple[Path, Callable[[str], str]]],
) -> OutsideJob:
    """Note that the next attempt begins, before anything is started: what dies in between is found again.

    Args:
        session: The transaction.
        job_id: The job.
        owner: Who holds it.
        name: From an attempt's number its directory and, from a nonce, the hash of what it is asked.

    Returns:
        The job with the new attempt as its current one.

    Raises:
        HandsLost: Somebody else holds the job.
    """
    job = _in_hand(session, job_id, owner)
    number = max((t.number for t in job.tries), default=0) + 1
    directory, hashed = name(number)
    nonce = secrets.token_hex(8)
    attempt = models.Attempt(number=number, job_hash=hashed(nonce), nonce=nonce, directory=str(directory))
    attempt.state = "prepared"
    job.tries.append(attempt)
    job.attempts = number
    session.flush()
    return _outside(job)


def note_attempt(
    session: Session,
    job_id: int,
    owner: str,
    state: str,
    *,
    message: str | None = None,
    external_id: str | None = None,
    missed: bool = False,
) -> None:
    """Note how the current attempt is seen.

    Args:
        session: The transaction.
        job_id: The job.
        owner: Who holds it.
        state: ``prepared``, ``submitted``, ``running`` or ``lost``; the job is ``waiting`` while the attempt is
            only prepared.
        message: What is said of it; None where there is nothing to say.
        external_id: What the runner calls it; None leaves what is known.
        missed: It was looked for and not found: the time until it is given up runs from the first such look.
    """
    job = _in_hand(session, job_id, owner)
    attempt = job.tries[-1]
    attempt.state, attempt.message = state, message
    attempt.lost_at = (attempt.lost_at or datetime.now(UTC)) if missed else None
    if external_id is not None:
        attempt.external_id = job.external_id = external_id[:200]
    before = job.state
    job.state, job.message = "waiting" if state == "prepared" else state, message
    if job.state != before:
        announce(session, f"job.{job.state}", job=job.id)


def end_attempt(session: Session, job_id: int, owner: str, message: str, *, state: str = "failed") -> bool:
    """The current attempt came to nothing; return whether the job is tried again."""
    job = _in_hand(session, job_id, owner)
    attempt = job.tries[-1]
    attempt.state, attempt.message, attempt.finished_at = state, message, datetime.now(UTC)
    allowed = int((job.runner or {}).get("allowed", 1))
    if job.attempts < allowed:
        job.state, job.message = "waiting", f"attempt {job.attempts}: {message}"
        return True
    times = "its one attempt" if job.attempts == 1 else f"each of its {job.attempts} attempts"
    _end(session, job, "failed", f"no answer in {times}; the last: {message}")
    return False


def note_trouble(session: Session, job_id: int, owner: str, message: str) -> None:
    """Say of a job why nothing could be done for it; its state stays."""
    _in_hand(session, job_id, owner).message = message


def fail_job(session: Session, job_id: int, message: str) -> None:
    """End a job that cannot be answered, whatever attempts are left; one that has ended stays as it is."""
    job = _whole_job(session, job_id)
    if job.state in FINAL:
        return
    if job.tries:
        attempt = job.tries[-1]
        attempt.state, attempt.message, attempt.finished_at = "failed", message, datetime.now(UTC)
    _end(session, job, "failed", message)


def _end(session: Session, job: models.Job, state: str, message: str | None) -> None:
    """Close a job. What its candidate was found to be before stands: a job that failed says nothing of it."""
    job.state, job.message, job.finished_at = state, message, datetime.now(UTC)
    job.lease_owner = job.lease_expires = None
    announce(session, f"job.{state}", job=job.id)
    session.flush()
    if job.candidate is not None:
        if state == "done":
            _judge_anew(session, job, job.candidate)
        count_dft(session, job.candidate.iteration)


def _whole_job(session: Session, job_id: int) -> models.Job:
    job = (
        session.scalars(select(models.Job).where(models.Job.id == job_id).options(*_WHOLE))
        .unique()
        .one_or_none()
    )
    if job is None or job.runner is None:
        raise InputError(
            "job", job_id, "is no job that runs outside", "see the ids with `hea-loop jobs list`"
        )
    return job


# -- results -------------------------------------------------------------------------------------------------


def attempt_of_hash(session: Session, job_hash: str) -> tuple[int, int] | None:
    """``(job id, attempt id)`` of a hash; None where this store has none of it."""
    row = session.execute(
        select(models.Attempt.job_id, models.Attempt.id).where(models.Attempt.job_hash == job_hash)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def store_result(session: Session, result: FinishedJob, attempt_id: int | None, sha256: str | None) -> None:
    """Store the verified outcome of a job, once: job, attempt, data points, and the candidate judged anew.

    Args:
        session: The transaction.
        result: The outcome.
        attempt_id: The attempt that gave it; None where another job that asked the same did.
        sha256: Checksum of the result file.

    Raises:
        NotStored: The job has ended already.
    """
    job = _whole_job(session, result.job_id)
    if job.state in FINAL:
        raise NotStored(f"job {job.id} is {job.state} already; the result changes nothing")
    now = datetime.now(UTC)
    for attempt in job.tries:
        if attempt.id == attempt_id:
            attempt.state, attempt.finished_at = STATE_OF[result.status], now
            attempt.message, attempt.result_sha256 = result.message or None, sha256
        elif attempt.finished_at is None:
            attempt.state, attempt.finished_at, attempt.message = "cancelled", now, "another attempt answered"
    add_data_points(session, points_of(job, result), earlier_stands=True)
    job.outcome = result.outcome
    _end(session, job, STATE_OF[result.status], result.message or None)


def _judge_anew(session: Session, job: models.Job, candidate: models.Candidate) -> None:
    """Judge a candidate with the values of its own validators, each property at its highest fidelity."""
    own = tuple(
        source_of(j)
        for j in session.scalars(select(models.Job).where(models.Job.candidate_id == candidate.id))
    )
    campaign = specification(candidate.iteration.campaign)
    lower = ("prediction", "calphad")
    known = known_values(session, candidate.material_id, lower, own, elasticity=campaign.elasticity)
    known += known_values(session, candidate.material_id, (job.fidelity,), own, only=True)
    judgement = judge(campaign, known)
    candidate.hit, candidate.reason = judgement.hit, judgement.reason or None
    # the fidelity it was validated at, also where no target asks for what that validator gave
    candidate.fidelity = job.fidelity


def same_question(session: Session, job_id: int) -> tuple[models.Job | None, int | None]:
    """Another job on the same material under the same configuration.

    Returns:
        One that is done, if there is one; else the id of an older one that is in work, if there is one.
    """
    job = _whole_job(session, job_id)
    rows = session.scalars(
        select(models.Job)
        .where(
            models.Job.validator == job.validator,
            models.Job.configuration_hash == job.configuration_hash,
            models.Job.id != job.id,
            models.Job.state.in_((*_OPEN, "done")),
        )
        .options(*_WHOLE)
        .order_by(models.Job.id)
    ).unique()
    same = [row for row in rows if row.subject.id == job.subject.id]
    done = next((row for row in same if row.state == "done"), None)
    return done, next((row.id for row in same if row.id < job.id and row.state != "done"), None)


# -- what a person does --------------------------------------------------------------------------------------


def retry_job(session: Session, job_id: int) -> OutsideJob:
    """Let a job that ended without values, or that is lost, be tried again.

    Raises:
        InputError: It is done, or in work.
    """
    job = _whole_job(session, job_id)
    if job.state not in {*_AGAIN, "lost"}:
        mend = "its values stand" if job.state == "done" else "cancel it first, if it is to begin anew"
        raise InputError("job", job_id, f"is {job.state}", mend)
    before = _outside(job)
    for attempt in job.tries:
        if attempt.finished_at is None:
            attempt.state, attempt.finished_at, attempt.message = (
                "lost",
                datetime.now(UTC),
                "given up by a person",
            )
    runner = dict(job.runner or {})
    job.runner = runner | {"allowed": job.attempts + int(runner["attempts"])}
    job.state, job.outcome, job.message, job.finished_at = "waiting", None, None, None
    job.lease_owner = job.lease_expires = None
    announce(session, "job.retried", job=job.id)
    return before


def cancel_job(session: Session, job_id: int, message: str = "cancelled by a person") -> OutsideJob:
    """End a job for good; return it as it was, so that its runner can be told.

    Raises:
        InputError: It has ended already.
    """
    job = _whole_job(session, job_id)
    if job.state in FINAL:
        raise InputError("job", job_id, f"is {job.state} already", "there is nothing to cancel")
    before = _outside(job)
    for attempt in job.tries:
        if attempt.finished_at is None:
            attempt.state, attempt.finished_at, attempt.message = "cancelled", datetime.now(UTC), message
    _end(session, job, "cancelled", message)
    return before

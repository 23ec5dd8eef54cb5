"""Looking after jobs that run outside: submit, look, collect. Nothing here waits for a calculation.

Whoever calls :func:`tend` brings the store up to date with what has happened and returns: a command, the start
of an iteration, a scheduled flow. It may be killed anywhere and be called by several at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from db.attempts import (
    AttemptView,
    HandsLost,
    NotStored,
    OutsideJob,
    RunnerChoice,
    add_material_job,
    attempt_of_hash,
    cancel_job,
    end_attempt,
    fail_job,
    hold_jobs,
    let_go,
    note_attempt,
    note_trouble,
    outside_jobs,
    prepare_attempt,
    retry_job,
    same_question,
    store_result,
)
from db.jobs import FinishedJob
from db.ownership import new_owner
from db.store import Store
from hea_loop.errors import HeaLoopError, InputError
from validators.atomistic.job_directory import JobDirectory, JobOrder, JobResult, Limits, Reading, Stage
from validators.atomistic.runners import check_runner, runner_named
from validators.atomistic.runners.contact import LostContact, Refused, Runner, Seen, Sighting, Ticket
from validators.atomistic.specification import JobSpec

__all__ = ["Tended", "cancel", "collect_directory", "retry", "runner_choice", "submit_material", "tend"]


@dataclass(slots=True)
class Tended:
    """What one round did.

    Attributes:
        submitted: Jobs handed to their runner.
        ended: Jobs that ended in this round.
        again: Jobs whose attempt came to nothing and that are tried again.
        open: Jobs that are in work or wait now.
        problems: One line for each runner or job that could not be looked after.
    """

    submitted: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    open: int = 0
    problems: list[str] = field(default_factory=list)


def tend(store: Store, ids: Sequence[int] | None = None) -> Tended:
    """Bring the jobs that run outside up to date: collect what came back, submit what waits.

    Args:
        store: The store.
        ids: Only these jobs; None takes all.
    """
    report = Tended()
    owner = new_owner()
    with store.write() as session:
        held = hold_jobs(session, owner, ids)
    try:
        for _, jobs in _by_runner(held):
            _Round(store, owner, report).go(jobs)
    finally:
        # where the store is what failed, the leases end with this process
        with suppress(HeaLoopError, SQLAlchemyError), store.write() as session:
            let_go(session, owner)
    with store.read() as session:
        report.open = len(outside_jobs(session, ids))
    return report


def _by_runner(jobs: Sequence[OutsideJob]) -> Iterator[tuple[RunnerChoice, list[OutsideJob]]]:
    """Jobs of one runner side by side: it is asked for all of them at once."""
    groups: dict[str, list[OutsideJob]] = {}
    for job in jobs:
        key = f"{job.runner.name} {job.runner.folder} {sorted(job.runner.options.items())}"
        groups.setdefault(key, []).append(job)
    for group in groups.values():
        yield group[0].runner, group


class _Round:
    """One look after the jobs of one runner."""

    def __init__(self, store: Store, owner: str, report: Tended) -> None:
        self._store, self._owner, self._report = store, owner, report

    def go(self, jobs: Sequence[OutsideJob]) -> None:
        choice = jobs[0].runner
        trouble = ""
        try:
            runner: Runner | None = runner_named(choice.name, choice.options, Path(choice.folder))
        except InputError as error:
            # its results can be collected even so
            runner, trouble = None, str(error)
            self._report.problems.append(trouble)
        tried = [(job, job.current) for job in jobs if job.current is not None]
        sightings = self._look(
            runner, [_ticket(job, attempt) for job, attempt in tried if attempt is not None]
        )
        for job in jobs:
            with self._noted(job):
                attempt = job.current
                seen = None if attempt is None else sightings.get(_ticket(job, attempt).label)
                if self._settle(runner, job, attempt, seen):
                    if runner is None:
                        self._say(job, trouble)
                    else:
                        self._begin(runner, job.id)

    def _look(self, runner: Runner | None, tickets: Sequence[Ticket]) -> dict[str, Sighting]:
        """What the runner sees; nothing where it does not answer."""
        if runner is None or not tickets:
            return {}
        try:
            return runner.look(tickets)
        except LostContact as error:
            self._report.problems.append(f"lost contact: {error}")
            return {}

    @contextmanager
    def _noted(self, job: OutsideJob) -> Iterator[None]:
        """One job's trouble is not another's."""
        try:
            yield
        except (HandsLost, NotStored):
            return  # somebody else was faster
        except InputError as error:
            self._report.problems.append(f"job {job.id}: {error}")
            with suppress(HandsLost):
                self._say(job, str(error))

    def _say(self, job: OutsideJob, message: str) -> None:
        """Why it waits, for who looks at the job later."""
        with self._store.write() as session:
            note_trouble(session, job.id, self._owner, message)

    # -- what became of an attempt -----------------------------------------------------------------------

    def _settle(
        self, runner: Runner | None, job: OutsideJob, attempt: AttemptView | None, seen: Sighting | None
    ) -> bool:
        """Note what became of the current attempt; return whether the next one may begin."""
        for earlier in job.tries:  # an attempt that was given up may have come back
            if earlier.state == "lost" and earlier.over:
                reading = _read(job, earlier)
                if reading.result is not None and not reading.result.died:
                    self._collect(runner, job, earlier, reading.result)
                    return False
        if attempt is None:
            return True
        reading = _read(job, attempt)
        if reading.stage is Stage.RESULT and reading.result is not None:
            if reading.result.died:
                return self._over(job, reading.result.outcome.message)
            self._collect(runner, job, attempt, reading.result)
            return False
        if reading.stage is Stage.REFUSED:
            with self._store.write() as session:
                fail_job(session, job.id, reading.text)
            self._report.ended.append(job.id)
            return False
        return self._unanswered(runner, job, attempt, reading, seen)

    def _unanswered(
        self,
        runner: Runner | None,
        job: OutsideJob,
        attempt: AttemptView,
        reading: Reading,
        seen: Sighting | None,
    ) -> bool:
        if reading.stage is Stage.RUNNING:
            self._note(job, "running", reading.text, seen)
            return False
        begun = attempt.state != "prepared" or reading.stage is Stage.EXPIRED
        if seen is None:
            self._note(
                job,
                "lost" if begun else "prepared",
                f"no contact with {job.runner.name} and no sign of life",
            )
            return False
        if not begun and seen.seen is Seen.UNKNOWN:
            return True  # it was never submitted
        if seen.seen is Seen.QUEUED or (seen.seen is Seen.RUNNING and reading.stage is not Stage.EXPIRED):
            self._note(job, "submitted", seen.text or None, seen)
            return False
        return self._missed(runner, job, attempt, reading, seen)

    def _missed(
        self,
        runner: Runner | None,
        job: OutsideJob,
        attempt: AttemptView,
        reading: Reading,
        seen: Sighting,
    ) -> bool:
        """No result, and nobody who works on one: wait a little for a late file server, then begin anew."""
        what = {
            Stage.EXPIRED: f"its worker died ({reading.text})",
            Stage.UNCLAIMED: "it ended before it began",
            Stage.ABSENT: reading.text,
        }[reading.stage]
        said = f"{what}; {seen.text}" if seen.text else f"{what}; {job.runner.name} does not know it"
        now = datetime.now(UTC)
        settled = (
            attempt.lost_at is not None and (now - attempt.lost_at).total_seconds() >= job.runner.settle_s
        )
        if settled or (job.runner.name == "local" and seen.seen is not Seen.RUNNING):
            if seen.seen is Seen.RUNNING and runner is not None:
                self._tell(runner.cancel, _ticket(job, attempt))
            return self._over(job, said, state="lost")
        self._note(job, "lost", said, seen, missed=True)
        return False

    def _note(
        self,
        job: OutsideJob,
        state: str,
        message: str | None,
        seen: Sighting | None = None,
        *,
        missed: bool = False,
    ) -> None:
        found = None if seen is None else seen.external_id
        with self._store.write() as session:
            note_attempt(
                session, job.id, self._owner, state, message=message, external_id=found, missed=missed
            )

    def _over(self, job: OutsideJob, message: str, state: str = "failed") -> bool:
        with self._store.write() as session:
            again = end_attempt(session, job.id, self._owner, message, state=state)
        (self._report.again if again else self._report.ended).append(job.id)
        return again

    def _collect(
        self, runner: Runner | None, job: OutsideJob, attempt: AttemptView, result: JobResult
    ) -> None:
        """Store a result; whatever other attempts of the job still run is ended."""
        try:
            _store(self._store, job, attempt.id, result)
        except InputError as error:  # whole and ours, and still no data point
            with self._store.write() as session:
                fail_job(session, job.id, f"its result cannot be stored: {error}")
        self._report.ended.append(job.id)
        for other in job.tries:
            if other.id != attempt.id and not other.over:
                JobDirectory(other.directory).cancel()
                if runner is not None:
                    self._tell(runner.cancel, _ticket(job, other))

    def _tell(self, what: Callable[[Ticket], None], ticket: Ticket) -> None:
        try:
            what(ticket)
        except LostContact as error:
            self._report.problems.append(f"lost contact: {error}")

    # -- the next attempt --------------------------------------------------------------------------------

    def _begin(self, runner: Runner, job_id: int) -> None:
        with self._store.write() as session:
            job = self._fresh(session, job_id)
            if job is None or self._answered_elsewhere(session, job):
                return
            if job.current is None:
                folder = _folder(job)

                def name(number: int) -> tuple[Path, Callable[[str], str]]:
                    return folder / f"attempt-{number}", lambda nonce: _order(job, number, nonce).job_hash

                job = prepare_attempt(session, job.id, self._owner, name)
        attempt = job.current
        assert attempt is not None  # noqa: S101 - it was just made
        ticket = _ticket(job, attempt)
        directory = JobDirectory(attempt.directory)
        directory.write(
            _order(job, attempt.number, attempt.nonce), [t.directory for t in job.tries if t is not attempt]
        )
        try:
            external = runner.submit(ticket)
        except Refused as error:
            self._report.problems.append(f"job {job.id}: {error}")
            self._note(job, "prepared", str(error))
        except LostContact as error:
            # it may be submitted: it is looked for by its label before it is tried again
            self._report.problems.append(f"lost contact: {error}")
            self._note(job, "prepared", str(error))
        else:
            with self._store.write() as session:
                note_attempt(session, job.id, self._owner, "submitted", external_id=external)
            self._report.submitted.append(job.id)

    @staticmethod
    def _fresh(session: Any, job_id: int) -> OutsideJob | None:
        """The job as the store has it now; None where it cannot be asked any more."""
        found = outside_jobs(session, [job_id])
        if not found:
            return None
        try:
            spec = JobSpec.from_json(_spec(found[0]))
            problem = (
                "the configuration means something else in this version of hea-loop; make a new job of it"
                if spec.configuration_hash() != found[0].configuration_hash
                else ""
            )
        except InputError as error:
            problem = str(error)
        if problem:
            fail_job(session, job_id, problem)
            return None
        return found[0]

    def _answered_elsewhere(self, session: Any, job: OutsideJob) -> bool:
        """Whether another job asks the same of the same material: its answer is taken, or waited for."""
        if job.current is not None:
            return False
        done, pending = same_question(session, job.id)
        if done is not None and done.outcome is not None:
            outcome = done.outcome
            store_result(session, _finished(job.id, outcome), None, None)
            self._report.ended.append(job.id)
            return True
        return pending is not None


# -- between the store and the directory ---------------------------------------------------------------------


def _folder(job: OutsideJob) -> Path:
    """The job's directory: found by its number, told by its alloy."""
    alloy = re.sub(r"[^A-Za-z0-9.]+", "", job.composition.formula)[:60]
    return Path(job.runner.folder) / f"job-{job.id}-{alloy}"


def _spec(job: OutsideJob) -> dict[str, Any]:
    names = ("workflow", "atoms", "seed", "calculator", "options")
    return {name: job.configuration[name] for name in names if name in job.configuration} | {
        "composition": job.composition.key
    }


def _order(job: OutsideJob, number: int, nonce: str) -> JobOrder:
    limits = Limits(job.runner.wall_s, job.runner.lease_s)
    return JobOrder(f"hea-loop-{job.id}-{number}", nonce, _spec(job), limits)


def _ticket(job: OutsideJob, attempt: AttemptView) -> Ticket:
    label = f"hea-loop-{job.id}-{attempt.number}-{attempt.job_hash[:8]}"
    return Ticket(label, attempt.directory, job.runner.wall_s, attempt.external_id)


def _read(job: OutsideJob, attempt: AttemptView) -> Reading:
    return JobDirectory(attempt.directory).read(attempt.job_hash, job.runner.lease_s)


def _finished(job_id: int, outcome: dict[str, Any]) -> FinishedJob:
    return FinishedJob(
        job_id,
        str(outcome["status"]),
        outcome["method"] or "atomistic",
        tuple(outcome["values"]),
        outcome["message"],
        outcome,
    )


def _store(store: Store, job: OutsideJob, attempt_id: int, result: JobResult) -> None:
    with store.write() as session:
        store_result(session, _finished(job.id, result.outcome.to_json()), attempt_id, result.sha256)


def runner_choice(
    store: Store,
    name: str,
    options: Mapping[str, Any],
    *,
    folder: Path | None = None,
    wall_s: float = 86_400.0,
    lease_s: float = 120.0,
    attempts: int = 3,
    settle_s: float = 60.0,
    field: str = "runner",
) -> RunnerChoice:
    """Where jobs run, checked.

    Args:
        store: The store whose jobs they are.
        name: ``local``, ``dask``, ``slurm`` or ``export``.
        options: Of the runner.
        folder: Where directories of jobs go; None takes ``jobs`` beside the store's file, or, of a store on a
            server, in the working directory.
        wall_s: Wall limit of one attempt in seconds.
        lease_s: Seconds without a sign of life after which a worker counts as dead.
        attempts: How often a job is begun whose worker dies.
        settle_s: Seconds between missing a job and giving it up.
        field: How errors name the place.

    Raises:
        InputError: No such runner or option, or a number that is not positive.
    """
    complete = check_runner(name, options, field)
    Limits(wall_s, lease_s)
    file = store.engine.url.database if store.engine.dialect.name == "sqlite" else None
    where = folder or (Path(file).parent if file else Path.cwd()) / "jobs"
    return RunnerChoice(name, complete, str(where.absolute()), wall_s, lease_s, attempts, settle_s)


def submit_material(store: Store, spec: JobSpec, choice: RunnerChoice) -> tuple[int, bool]:
    """Make a job on a material; the same question again is the same job.

    Returns:
        The job's id, and whether it is new. :func:`tend` starts it.

    Raises:
        InputError: The runner is not as it should be.
    """
    with store.write() as session:
        return add_material_job(
            session,
            spec.composition,
            validator="atomistic",
            fidelity="dft",
            configuration=spec.configuration(),
            configuration_hash=spec.configuration_hash(),
            runner=choice,
        )


# -- what a person does --------------------------------------------------------------------------------------


def collect_directory(store: Store, path: str | Path) -> OutsideJob:
    """Take the result of a directory that came back by hand, wherever it lies now.

    Args:
        store: The store.
        path: The directory of an attempt.

    Returns:
        The job as it is now.

    Raises:
        InputError: It is no job's directory, not of this store, has no result yet, or its result is refused
            (the job then is failed, with the reason).
        NotStored: The job has ended already.
    """
    directory = JobDirectory(path)
    stated = directory.stated_hash()
    with store.read() as session:
        found = attempt_of_hash(session, stated)
        if found is None:
            raise InputError(
                "directory",
                str(path),
                "holds a job that this store has not made",
                "name the store that made it with --database-url",
            )
        job = outside_jobs(session, [found[0]], states=_ANY)[0]
    reading = directory.read(stated, job.runner.lease_s)
    if reading.stage is Stage.REFUSED:
        with store.write() as session:
            fail_job(session, job.id, reading.text)
        raise InputError(
            "directory",
            str(path),
            f"{reading.text}; job {job.id} is failed",
            f"have it computed anew with `hea-loop jobs retry {job.id}`",
        )
    if reading.result is None:
        raise InputError(
            "directory", str(path), f"has no result yet ({reading.stage})", "wait until its worker has ended"
        )
    _store(store, job, found[1], reading.result)
    with store.read() as session:
        return outside_jobs(session, [job.id], states=_ANY)[0]


_ANY = ("waiting", "submitted", "running", "done", "unconverged", "failed", "lost", "cancelled")


def cancel(store: Store, ids: Sequence[int]) -> list[str]:
    """End jobs for good; return one line for each whose runner could not be told.

    Raises:
        InputError: There is no such job, or it has ended; nothing is cancelled then.
    """
    with store.write() as session:
        before = [cancel_job(session, job) for job in ids]
    return _end_attempts(before)


def retry(store: Store, ids: Sequence[int]) -> list[str]:
    """Let jobs that ended without values be tried again; return one line for each old attempt that may run on.

    Raises:
        InputError: There is no such job, or it is done or in work; nothing is retried then.
    """
    with store.write() as session:
        before = [retry_job(session, job) for job in ids]
    return _end_attempts([replace(job, tries=job.tries[-1:]) for job in before if job.current is not None])


def _end_attempts(jobs: Sequence[OutsideJob]) -> list[str]:
    problems = []
    for job in jobs:
        for attempt in job.tries:
            if attempt.over:
                continue
            JobDirectory(attempt.directory).cancel()
            try:
                runner = runner_named(job.runner.name, job.runner.options, Path(job.runner.folder))
                runner.cancel(_ticket(job, attempt))
            except (LostContact, InputError) as error:
                problems.append(f"job {job.id}: {error}; its worker ends itself at its next sign of life")
    return problems

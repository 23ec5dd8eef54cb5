"""Atomistic validation in a campaign: who gets a job, and the flow that brings answers in.

Nothing waits: an iteration makes the jobs and goes on; answers come in at the next iteration's start, by
``hea-loop jobs collect``, or by the flow here on its schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_logger
from sqlalchemy import select

from db import models
from db.attempts import RunnerChoice, add_candidate_jobs
from db.campaigns import jobs_created, require_owner, specification
from db.jobs import JobRequest
from db.store import Store
from flows.atomistic_request import FIELD, atomistic_request, job_spec
from flows.planning import elastic_model, next_validations
from flows.progress import ProgressEvent, emit
from flows.stores import store_for
from flows.tending import Tended, runner_choice, tend
from hea_loop.acquisition import Fidelity
from hea_loop.campaign import AtomisticValidator, Campaign
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.atomistic.specification import WORKFLOWS
from validators.atomistic.workflows import require_runnable

__all__ = ["collect_jobs", "dispatch_atomistic", "look_after_jobs"]


def _choice(store: Store, validator: AtomisticValidator) -> RunnerChoice:
    runner = validator.runner
    return runner_choice(
        store,
        runner.name,
        runner.options,
        folder=None if runner.folder is None else Path(runner.folder),
        wall_s=runner.wall_limit_s,
        lease_s=runner.lease_s,
        attempts=runner.attempts,
        settle_s=runner.settle_s,
        field=f"{FIELD}.runner.options",
    )


@task(
    name="dispatch atomistic jobs", task_run_name="atomistic jobs, iteration {number}", cache_policy=NO_CACHE
)
def dispatch_atomistic(iteration_id: int, number: int, owner: str, database_url: str | None) -> int:  # noqa: ARG001 - named in Prefect
    """Make atomistic jobs for those candidates that are worth them, while the budget lasts; return how many.

    A second call makes no second job.
    """
    store = store_for(database_url)
    with store.read() as session:
        iteration = session.get_one(models.Iteration, iteration_id)
        campaign, campaign_id = specification(iteration.campaign), iteration.campaign_id
        validator = campaign.validators.atomistic
        if validator is None:
            return 0
        left = validator.budget - jobs_created(session, campaign_id, "atomistic")
        if left <= 0:
            return 0
        ranked = _ranked(session, campaign, iteration_id, validator, left)
    with store.write() as session:
        require_owner(session, campaign_id, owner)
        left = validator.budget - jobs_created(session, campaign_id, "atomistic")
        return len(add_candidate_jobs(session, ranked, _choice(store, validator), left))


def _ranked(
    session: Any, campaign: Campaign, iteration_id: int, validator: AtomisticValidator, left: int
) -> dict[int, JobRequest]:
    """Candidates for the budget: as the choice across fidelities has them, then the other hits by rank.

    Only those that CALPHAD answered, and only approved ones where the campaign says so; each with its job.
    """
    rows = session.execute(
        select(models.Candidate.id, models.Candidate.hit)
        .where(models.Candidate.iteration_id == iteration_id, models.Candidate.state == "validated")
        .order_by(models.Candidate.rank)
    ).all()
    if validator.only_approved:
        approved = set(
            session.scalars(select(models.Decision.candidate_id).where(models.Decision.verdict == "approve"))
        )
        rows = [row for row in rows if row.id in approved]
    if not rows:
        return {}
    calphad = (*campaign.verdicts, *campaign.questions())
    cost = 1.0 if campaign.validators.calphad is None else campaign.validators.calphad.cost
    fidelities = [
        Fidelity("calphad", cost, 0, tuple(calphad)),
        Fidelity("atomistic", validator.cost, left, WORKFLOWS[validator.workflow].properties, ("calphad",)),
    ]
    chosen = next_validations(
        session, campaign, iteration_id, fidelities, elastic_model(session, campaign, lambda _: None)
    )["atomistic"]
    eligible = {row.id for row in rows}
    hits = [row.id for row in rows if row.hit]
    ranked = dict.fromkeys([*(c for c in chosen if c in eligible), *hits])
    keys = session.execute(
        select(models.Candidate.id, models.Material.key)
        .join(models.Candidate.material)
        .where(models.Candidate.id.in_(ranked))
    )
    compositions = {number: Composition.from_key(key) for number, key in keys}
    requests = {}
    for candidate in ranked:
        try:
            require_runnable(job_spec(validator, compositions[candidate]))
            requests[candidate] = atomistic_request(validator, compositions[candidate])
        except InputError as error:  # no cell can stand for it: the budget is not for what cannot be computed
            message = f"no atomistic job: {error}"
            get_logger("hea_loop").warning(message)
            emit(ProgressEvent(campaign.name, 0, campaign.iterations, "collecting", message=message))
    return requests


def look_after_jobs(store: Store, campaign: Campaign) -> Tended | None:
    """Bring the jobs of the store up to date where the campaign has any; what cannot be reached is said, not raised."""
    return None if campaign.validators.atomistic is None else tend(store)


@flow(name="collect_jobs", flow_run_name="collect jobs", log_prints=False)
def collect_jobs(database_url: str | None = None) -> dict[str, Any]:
    """Collect what came back, submit what waits, and say what is open.

    Returns:
        ``submitted``, ``ended``, ``again`` (job ids), ``open`` (how many) and ``problems`` (one line each).
    """
    done = tend(store_for(database_url))
    logger = get_run_logger()
    logger.info("%d submitted, %d ended, %d open", len(done.submitted), len(done.ended), done.open)
    for problem in done.problems:
        logger.warning("%s", problem)
    return {
        "submitted": done.submitted,
        "ended": done.ended,
        "again": done.again,
        "open": done.open,
        "problems": done.problems,
    }

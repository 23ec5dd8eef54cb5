"""The stages of an iteration as Prefect tasks: thin calls into the science, the validators and the store.

Tasks carry row ids and the URL of the store, never arrays or models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from sqlalchemy.exc import SQLAlchemyError

from db import models
from db.campaigns import (
    NewCandidate,
    TrainedModel,
    jobs_created,
    require_owner,
    save_candidates,
    save_model,
    specification,
)
from db.elasticity import elastic_points
from db.jobs import FinishedJob, claim_jobs, dispatch, finish_jobs, release_jobs
from db.reported_phases import reported_phases
from db.scores import score_iteration
from db.store import Store
from flows.planning import (
    calphad_request,
    calphad_settings,
    elastic_model,
    known_answers,
    known_compositions,
    pending_compositions,
    training_data,
)
from flows.progress import ProgressEvent, emit
from flows.stores import store_for
from hea_loop.campaign import Campaign
from hea_loop.composition import Composition
from hea_loop.errors import HeaLoopError
from hea_loop.generators import conditions_for_targets, generator_from_checkpoint, generator_named
from hea_loop.generators.collapse import collapse_words
from hea_loop.objectives import optimisation
from hea_loop.seeds import derived_generator, derived_seed
from hea_loop.selection import improved_candidates
from hea_loop.selection import select as select_candidates
from hea_loop.surrogate import fit_surrogate
from validators.calphad import CalphadSettings
from validators.outcome import Outcome, OutcomeStatus
from validators.pool import ValidatorPool, WorkerDied, shared_pool

__all__ = ["dispatch_jobs", "propose_candidates", "score", "train_generator", "validate_chunk"]

WORKER_DEATHS: Final = 3
"""Times a job may take its worker process down in one run before it is failed."""


def _iteration(store: Store, iteration_id: int) -> tuple[Campaign, int, int]:
    """Specification, number of the iteration and row id of the campaign."""
    with store.read() as session:
        iteration = session.get_one(models.Iteration, iteration_id)
        return specification(iteration.campaign), iteration.number, iteration.campaign_id


def _telling(campaign: Campaign, number: int) -> Callable[[str], None]:
    """Say what takes its time before an iteration trains."""
    return lambda text: emit(
        ProgressEvent(campaign.name, number, campaign.iterations, "preparing", message=text)
    )


@task(name="train generator", task_run_name="train generator, iteration {number}", cache_policy=NO_CACHE)
def train_generator(iteration_id: int, number: int, owner: str, database_url: str | None) -> int:
    """Train the campaign's generator on all data there is, and store it."""
    store = store_for(database_url)
    campaign, number, _ = _iteration(store, iteration_id)
    generator = generator_named(campaign.strategy.name, campaign.strategy.options)
    with store.read() as session:
        elasticity = elastic_model(session, campaign, _telling(campaign, number))
        data = training_data(session, campaign, generator, elasticity)
    last = 0.0

    def tell(step: int, total: int, _metrics: object) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5 or step == total:
            last = time.monotonic()
            emit(ProgressEvent(campaign.name, number, campaign.iterations, "training", step, total))

    record = generator.fit(data, seed=derived_seed(campaign.seed, number, "training"), progress=tell)
    get_run_logger().info(
        "trained %s on %d alloys in %.1f s", generator.name, len(data.fractions), record.seconds
    )
    if words := collapse_words(record.metrics):
        get_run_logger().warning("%s %s", generator.name, words)
        emit(
            ProgressEvent(
                campaign.name, number, campaign.iterations, "training", message=f"{generator.name} {words}"
            )
        )
    model = TrainedModel(
        strategy=generator.name,
        checkpoint=generator.checkpoint(),
        options=dict(campaign.strategy.options),
        metrics={**record.metrics, "seconds": record.seconds},
        training_curve=list(record.curve),
        device=record.device,
        training_size=len(data.fractions),
    )
    with store.write() as session:
        return save_model(session, iteration_id, owner, model)


@task(
    name="propose candidates", task_run_name="propose candidates, iteration {number}", cache_policy=NO_CACHE
)
def propose_candidates(iteration_id: int, number: int, owner: str, database_url: str | None) -> int:
    """Generate for the targets, rank, keep the best and the random share, and store them."""
    store = store_for(database_url)
    campaign, number, campaign_id = _iteration(store, iteration_id)
    palette = campaign.design_space()
    request = calphad_request(campaign)
    emit(ProgressEvent(campaign.name, number, campaign.iterations, "generating"))
    with store.read() as session:
        row = session.query(models.Model).filter_by(iteration_id=iteration_id).one()
        generator = generator_from_checkpoint(row.strategy, row.checkpoint)
        elasticity = elastic_model(session, campaign, _telling(campaign, number))
        data = training_data(session, campaign, generator, elasticity)
        known = known_compositions(session)
        answers = known_answers(session, campaign)
        reports = reported_phases(session, palette.elements)
        pending = pending_compositions(session, campaign_id, besides=iteration_id)
        left = request.budget - jobs_created(session, campaign_id, request.validator)
    size = min(campaign.batch_size, left)
    conditions = conditions_for_targets(
        data,
        {name: (t.min, t.max) for name, t in (campaign.strategy.wanted | campaign.targets).items()},
        campaign.strategy.oversample * size,
        derived_generator(campaign.seed, number, "conditions"),
    )
    generated = palette.snap(
        generator.generate(
            conditions, seed=derived_seed(campaign.seed, number, "generation"), palette=palette
        )
    )
    surrogate = fit_surrogate(campaign, palette.elements, *answers, elasticity, reports=reports)
    optimised = optimisation(
        campaign, *answers, derived_seed(campaign.seed, number, "objectives"), elasticity
    )
    better = improved_candidates(
        generated,
        campaign,
        surrogate,
        rng=derived_generator(campaign.seed, number, "improvement"),
        optimised=optimised,
    )
    selection = select_candidates(
        [*generated, *better],
        campaign,
        known,
        surrogate,
        number=size,
        rng=derived_generator(campaign.seed, number, "selection"),
        pending=pending,
        optimised=optimised,
    )
    get_run_logger().info("selection: %s", selection.report)
    if selection.report.short:
        emit(
            ProgressEvent(
                campaign.name, number, campaign.iterations, "generating", message=selection.report.why
            )
        )
    candidates = [
        NewCandidate(s.composition, s.origin, s.probability, s.predicted) for s in selection.selected
    ]
    chosen = [s.composition for s in selection.selected]
    learned = [] if elasticity is None else elastic_points(elasticity, chosen)
    with store.write() as session:
        review = campaign.review == "required"
        return len(save_candidates(session, iteration_id, owner, candidates, review=review, learned=learned))


@task(name="dispatch jobs", task_run_name="dispatch jobs, iteration {number}", cache_policy=NO_CACHE)
def dispatch_jobs(iteration_id: int, number: int, owner: str, database_url: str | None) -> int:  # noqa: ARG001 - named in Prefect
    """Make a job of every candidate that may go on."""
    store = store_for(database_url)
    campaign, _, _ = _iteration(store, iteration_id)
    with store.write() as session:
        return dispatch(session, iteration_id, owner, calphad_request(campaign))


def _chunk_name() -> str:
    jobs = task_run.parameters["job_ids"]
    return f"validate {len(jobs)} jobs from {jobs[0]}"


@task(name="validate chunk", task_run_name=_chunk_name, cache_policy=NO_CACHE)
def validate_chunk(job_ids: list[int], iteration_id: int, owner: str, database_url: str | None) -> int:
    """Run some jobs in the validators' processes and store their outcomes; return how many were stored.

    A job whose worker process dies is tried alone, and failed after it took down ``WORKER_DEATHS`` of them.

    Raises:
        OwnershipLostError: Another run has the campaign.
    """
    store = store_for(database_url)
    campaign, _, campaign_id = _iteration(store, iteration_id)
    settings = calphad_settings(campaign)
    with store.write() as session:
        require_owner(session, campaign_id, owner)
        claimed = claim_jobs(session, job_ids, owner)
    if not claimed:
        return 0
    compositions = {job.job_id: job.composition for job in claimed}
    pool = shared_pool()
    try:
        try:
            outcomes = pool.validate(list(compositions.values()), settings).result()
            answered = dict(zip(compositions, outcomes, strict=True))
        except WorkerDied:
            answered = _one_by_one(compositions, settings)
        finished = [_finished(job, outcome) for job, outcome in answered.items()]
        with store.write() as session:
            return len(finish_jobs(session, finished, owner))
    except BaseException:
        # whatever ends it, an interrupt too: the jobs are given back and the error goes on. Where the store is what
        # failed, the leases end with this process
        with suppress(HeaLoopError, SQLAlchemyError), store.write() as session:
            release_jobs(session, list(compositions), owner)
        raise


def _one_by_one(compositions: Mapping[int, Composition], settings: CalphadSettings) -> dict[int, Outcome]:
    """Try each job by itself in a process of its own.

    In the shared pool one death fails every chunk that is in work, and jobs would pay for each other.
    """
    with ValidatorPool(1, database=settings.database) as own:
        return {job: _alone(own, composition, settings) for job, composition in compositions.items()}


def _alone(pool: ValidatorPool, composition: Composition, settings: CalphadSettings) -> Outcome:
    for _ in range(WORKER_DEATHS):
        try:
            return pool.validate([composition], settings).result()[0]
        except WorkerDied as error:
            last = str(error)
    message = f"took down its worker process {WORKER_DEATHS} times: {last}"
    return Outcome(OutcomeStatus.FAILED, settings.method(), message=message)


def _finished(job_id: int, outcome: Outcome) -> FinishedJob:
    body = outcome.to_json()
    return FinishedJob(
        job_id, str(outcome.status), outcome.method, tuple(body["values"]), outcome.message, body
    )


@task(name="score iteration", task_run_name="score iteration {number}", cache_policy=NO_CACHE)
def score(iteration_id: int, number: int, owner: str, database_url: str | None) -> None:  # noqa: ARG001 - named in Prefect
    """Write the iteration's hit rates."""
    store = store_for(database_url)
    with store.write() as session:
        score_iteration(session, iteration_id, owner)


def chunks(ids: Sequence[int], size: int) -> list[list[int]]:
    """Split ids into lists of at most ``size``."""
    return [list(ids[i : i + size]) for i in range(0, len(ids), size)]

"""The closed loop: ``run_campaign`` turns iterations until the campaign is done, stopped, or waits for people.

The store owns the truth. A run that is killed at any moment is continued by the next one; a run that finds the
campaign in the hands of a living run ends at once.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.futures import wait
from prefect.logging import get_logger
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from sqlalchemy.exc import SQLAlchemyError

from db import models
from db.campaigns import (
    OwnershipLostError,
    begin_iteration,
    claim,
    close_campaign,
    current_iteration,
    jobs_created,
    register,
    release,
    renew,
    specification,
)
from db.jobs import open_jobs, renew_jobs
from db.ownership import LEASE, new_owner
from db.results import campaign_or_latest, campaign_results
from db.scores import history, pending_candidates
from db.store import Store
from flows.atomistic import dispatch_atomistic, look_after_jobs
from flows.feasibility import judge_before, refuse_infeasible
from flows.planning import calphad_request, check_campaign
from flows.prepare import is_prepared, prepare_store
from flows.progress import ProgressEvent, emit
from flows.reconcile import mark_crashed
from flows.stages import chunks, dispatch_jobs, propose_candidates, score, train_generator, validate_chunk
from flows.stores import store_for
from hea_loop.campaign import Campaign, load_campaign
from hea_loop.errors import HeaLoopError, StoreError
from hea_loop.stopping import stop_reason
from validators.pool import shared_pool

__all__ = ["run_campaign", "run_iteration"]

CHUNK_SIZE: Final = 8
"""Jobs of one task: a hard kill costs at most this many validations per process."""
WORKERS: Final = os.cpu_count() or 1
"""Chunks at a time, one for each validator process."""
_ROUNDS: Final = 3
"""Times that the open jobs of an iteration are handed out in one run before the run gives up."""


def _resolve(campaign: Campaign | str, store: Store) -> Campaign:
    if isinstance(campaign, Campaign):
        return campaign
    if campaign.lower().endswith((".yaml", ".yml")):
        return load_campaign(campaign)
    with store.read() as session:
        return specification(campaign_or_latest(session, campaign))


@contextmanager
def _kept_alive(
    store: Store, campaign_id: int, owner: str, every_s: float = LEASE.total_seconds() / 4
) -> Iterator[None]:
    """Renew the leases in the background, so that a long stage or a slow chunk is not taken for a dead run.

    The campaign's and its jobs' are renewed together: whoever takes the campaign over finds none of its jobs
    held by a run that is gone.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(every_s):
            try:
                with store.write() as session:
                    renew(session, campaign_id, owner)
                    renew_jobs(session, owner)
            except OwnershipLostError:
                return  # the next stage finds out by itself and stops the run
            except (HeaLoopError, SQLAlchemyError) as error:
                # three more beats fit into the lease: a store that is busy or restarted costs nothing
                get_logger("hea_loop").warning("the lease was not renewed: %s", error)

    thread = threading.Thread(target=beat, name="campaign lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@flow(name="run_campaign", flow_run_name="campaign", log_prints=False)
def run_campaign(
    campaign: Campaign | str, database_url: str | None = None, max_iterations: int | None = None
) -> dict[str, Any]:
    """Run a campaign, or go on with it where it was.

    Args:
        campaign: The specification, or the path of a campaign file, or the name of a campaign in the store.
        database_url: The store; None takes ``HEA_LOOP_DATABASE_URL`` or the SQLite file in the working directory.
        max_iterations: Iterations that this run works on at most; None goes on until the campaign ends.

    Returns:
        ``campaign``, ``state``, ``reason`` and ``iterations`` (how many are scored). The state is ``busy``, and
        nothing was done, where a living run owns the campaign.

    Raises:
        InputError: The campaign cannot run as it is.
    """
    store = store_for(database_url)
    spec = _resolve(campaign, store)
    check_campaign(spec)
    refuse_infeasible(spec)
    if not is_prepared(store):
        prepare_store(
            store, lambda text: emit(ProgressEvent(spec.name, 0, spec.iterations, "preparing", message=text))
        )
    if spec.elasticity == "first-principles":
        refuse_infeasible(spec, store)  # what it learns from is in the store now
    owner = new_owner()
    with store.write() as session:
        row = register(session, spec)
        claimed = claim(session, row.id, owner, flow_run.id)
    if claimed is None:
        reason = f"campaign {spec.name} is being run by another process; see `hea-loop status {spec.name}`"
        return {"campaign": spec.name, "state": "busy", "reason": reason, "iterations": 0}
    try:
        if claimed.interrupted_flow_run_id not in {None, flow_run.id}:
            mark_crashed(
                str(claimed.interrupted_flow_run_id), f"interrupted; {spec.name} goes on in another run"
            )
        with _kept_alive(store, claimed.campaign_id, owner):
            judge_before(store, spec, claimed.campaign_id)
            state, reason = _turn(store, claimed.campaign_id, owner, database_url, limit=max_iterations)
    except OwnershipLostError:
        raise
    except BaseException:
        # whatever ends the run, an interrupt too: the campaign is given back and the error goes on. Where the store is
        # what failed, the error says so, and the end of this process frees the campaign
        with suppress(HeaLoopError, SQLAlchemyError), store.write() as session:
            reason = "the last run ended with an error"
            release(session, claimed.campaign_id, owner, state="idle", reason=reason)
        raise
    with store.read() as session:
        scored = len(history(session, claimed.campaign_id))
    emit(
        ProgressEvent(
            spec.name, scored, spec.iterations, "finished", scored, spec.iterations, reason or state
        )
    )
    return {"campaign": spec.name, "state": state, "reason": reason, "iterations": scored}


def _turn(
    store: Store, campaign_id: int, owner: str, database_url: str | None, *, limit: int | None
) -> tuple[str, str | None]:
    """Turn iterations until the campaign ends or this run has to; return its state and why."""
    worked_on = 0
    while True:
        with store.write() as session:
            # read anew: a campaign may be given more iterations while it runs
            spec = specification(session.get_one(models.Campaign, campaign_id))
            last = current_iteration(session, campaign_id)
            if last is None or last.stage == "scored":
                number = 0 if last is None else last.number
                reason = stop_reason(spec, history(session, campaign_id)) or _budget_spent(
                    session, spec, campaign_id
                )
                if number >= spec.iterations or reason is not None:
                    done = number >= spec.iterations
                    close_campaign(session, campaign_id, owner, None if done else reason)
                    return ("done", None) if done else ("stopped", reason)
            if limit is not None and worked_on >= limit:
                release(session, campaign_id, owner, state="idle")
                return "idle", f"this run was to work on {limit} iterations"
            iteration = begin_iteration(session, campaign_id, owner)
            iteration_id, number = iteration.id, iteration.number
        # The workers load their database while the first generator trains.
        shared_pool().warm_up()
        worked_on += 1
        waiting = run_iteration(spec.name, iteration_id, number, owner, database_url)
        if waiting:
            reason = f"{waiting} candidates of iteration {number} wait for a decision"
            with store.write() as session:
                # A decision that came in meanwhile has made a candidate ready: go on with it.
                pending = pending_candidates(session, iteration_id)
                if set(pending) <= {"queued"}:
                    release(session, campaign_id, owner, state="waiting", reason=reason)
                    return "waiting", reason
            worked_on -= 1


def _budget_spent(session: Any, spec: Campaign, campaign_id: int) -> str | None:
    request = calphad_request(spec)
    used = jobs_created(session, campaign_id, request.validator)
    return (
        f"the budget of {request.budget} for {request.validator} is spent" if used >= request.budget else None
    )


@flow(
    name="run_iteration",
    flow_run_name="{campaign}, iteration {number}",
    task_runner=ThreadPoolTaskRunner(max_workers=WORKERS),  # type: ignore[arg-type]
)
def run_iteration(
    campaign: str, iteration_id: int, number: int, owner: str, database_url: str | None = None
) -> int:
    """Take one iteration through its stages: train, generate, dispatch, collect, score.

    Every stage begins where the store says the iteration is, so that a repeated call goes on.

    Args:
        campaign: The campaign's name, for people.
        iteration_id: Row of the iteration.
        number: Its number.
        owner: The run that owns the campaign.
        database_url: The store.

    Returns:
        How many candidates wait for a decision; zero when the iteration is scored.
    """
    store = store_for(database_url)
    stage = _stage(store, iteration_id)
    if stage == "training":
        _look_after_jobs(store, campaign, number)  # what came back meanwhile is known to this iteration
        train_generator(iteration_id, number, owner, database_url)
        stage = "generating"
    if stage == "generating":
        propose_candidates(iteration_id, number, owner, database_url)
        stage = "dispatching"
    if stage in {"dispatching", "collecting"}:
        dispatch_jobs(iteration_id, number, owner, database_url)
        _collect(store, iteration_id, number, owner, database_url)
        # before the iteration is scored: a run that is killed here makes the rest of them
        dispatch_atomistic(iteration_id, number, owner, database_url)
    with store.read() as session:
        pending = pending_candidates(session, iteration_id)
    if pending:
        get_run_logger().info("iteration %d waits for decisions: %s", number, pending)
        return sum(pending.values())
    score(iteration_id, number, owner, database_url)
    _publish(store, campaign, number)
    _look_after_jobs(store, campaign, number)
    return 0


def _stage(store: Store, iteration_id: int) -> str:
    with store.read() as session:
        return session.get_one(models.Iteration, iteration_id).stage


def _collect(store: Store, iteration_id: int, number: int, owner: str, database_url: str | None) -> None:
    """Hand the open jobs out in chunks until none is left.

    Raises:
        HeaLoopError: What a chunk raised, where jobs are left after the last round; an error of the store at once.
    """
    errors: list[Exception] = []
    for attempt in range(1, _ROUNDS + 1):
        with store.read() as session:
            jobs = open_jobs(session, iteration_id)
            iteration = session.get_one(models.Iteration, iteration_id)
            name, total = iteration.campaign.name, sum(len(c.jobs) for c in iteration.candidates)
            iterations = specification(iteration.campaign).iterations
        if not jobs:
            return
        emit(ProgressEvent(name, number, iterations, "collecting", total - len(jobs), total))
        # Small enough that every process gets several: one slow alloy must not hold up the rest.
        waiting = chunks(jobs, max(1, min(CHUNK_SIZE, len(jobs) // (3 * WORKERS))))
        futures = [
            validate_chunk.with_options(tags=[name]).submit(chunk, iteration_id, owner, database_url)
            for chunk in waiting
        ]
        open_futures = set(futures)
        while open_futures:
            _, open_futures = wait(list(open_futures), timeout=0.5)
            with store.read() as session:
                left = len(open_jobs(session, iteration_id))
            emit(ProgressEvent(name, number, iterations, "collecting", total - left, total))
        ended = [f.result(raise_on_failure=False) for f in futures]
        errors = [error for error in ended if isinstance(error, Exception)]
        for error in errors:
            get_run_logger().warning("round %d: a chunk did not end well: %s", attempt, error)
            if isinstance(error, StoreError | OwnershipLostError):
                raise error
    with store.read() as session:
        left = len(open_jobs(session, iteration_id))
    if left:
        why = f": {errors[0]}" if errors else ", as another run holds them"
        raise HeaLoopError(
            f"{left} jobs of iteration {number} could not be finished in {_ROUNDS} rounds{why}; "
            "run the campaign again"
        ) from (errors[0] if errors else None)


def _look_after_jobs(store: Store, campaign: str, number: int) -> None:
    """Submit the atomistic jobs that wait and take in what has come back; nobody waits for the rest."""
    with store.read() as session:
        spec = specification(campaign_or_latest(session, campaign))
    done = look_after_jobs(store, spec)
    if done is None:
        return
    for problem in done.problems:
        get_run_logger().warning("%s", problem)
    if done.ended or done.open:
        text = f"atomistic jobs: {len(done.ended)} answered, {done.open} in work"
        emit(ProgressEvent(campaign, number, spec.iterations, "preparing", message=text))


def _percent(rate: float | None, low: float | None, high: float | None) -> str:
    """A rate with its 95% interval."""
    if rate is None or low is None or high is None:
        return "-"
    return f"{100 * rate:.1f}% ({100 * low:.0f}-{100 * high:.0f})"


def _publish(store: Store, campaign: str, number: int) -> None:
    """Show the hit rates so far: to whoever listens, and in Prefect as an artifact."""
    with store.read() as session:
        results = campaign_results(session, campaign)
    # the page shows some eight columns and every digit of a float; the whole is in the store
    table = [
        {
            "iteration": i.iteration,
            "hit rate": _percent(i.hit_rate, i.ci_low, i.ci_high),
            "uniform random": _percent(i.random_hit_rate, i.random_ci_low, i.random_ci_high),
            "proposed": i.proposed,
            "validated": i.validated,
            "hit": i.hit,
            "failed": i.failed,
            "unconverged": i.unconverged,
        }
        for i in results.iterations
    ]
    key = re.sub(r"[^a-z0-9]+", "-", f"hit-rate-{campaign}".lower()).strip("-")
    create_table_artifact(key=key, table=table, description=f"Hit rate of every iteration of {campaign}")
    latest = next(i for i in results.iterations if i.iteration == number)
    rate = "-" if latest.hit_rate is None else f"{latest.hit_rate:.2f}"
    message = f"iteration {number}: {latest.hit} hits of {latest.validated} validated, hit rate {rate}"
    with store.read() as session:
        iterations = specification(campaign_or_latest(session, campaign)).iterations
    emit(ProgressEvent(campaign, number, iterations, "scored", message=message))

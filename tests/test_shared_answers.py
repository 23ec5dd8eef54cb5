"""Several campaigns and several runs on one store: the same question asked twice, and whose answer counts."""

import threading

import pytest
from sqlalchemy import select

from db import models
from db.campaigns import (
    NewCandidate,
    TrainedModel,
    begin_iteration,
    claim,
    prediction_points,
    register,
    save_candidates,
    save_model,
)
from db.jobs import FinishedJob, JobRequest, claim_jobs, dispatch, finish_jobs, open_jobs
from db.materials import add_data_points
from db.ownership import new_owner
from hea_loop import parse_composition
from tests.small_campaign import small_campaign

ALLOY = parse_composition("NbTaTi")
MODEL = TrainedModel("cgan-2021", b"weights", {}, {}, [], "cpu", 1)


def answer(job_id, *, solidus, single=1.0, detail=None):
    verdict = {"property": "single_phase_bcc", "value": single, "temperature_K": 1473.0}
    onset = {"property": "solidus", "value": solidus, "temperature_K": None}
    values = tuple({"sigma": None, "detail": detail or {}, **v} for v in (verdict, onset))
    return FinishedJob(job_id, "converged", "pycalphad x", values, "", {"status": "converged"})


def validate(store, name, result, *, configuration="c" * 64):
    """Have a campaign propose the alloy and finish its one job; return the candidate as it then is."""
    owner = new_owner()
    request = JobRequest("calphad", "calphad", {"of": configuration}, configuration, budget=10)
    with store.write() as session:
        row = register(session, small_campaign(name=name))
        claim(session, row.id, owner, None)
        iteration = begin_iteration(session, row.id, owner).id
        save_model(session, iteration, owner, MODEL)
        save_candidates(session, iteration, owner, [NewCandidate(ALLOY, "strategy", 0.5, {})], review=False)
        dispatch(session, iteration, owner, request)
        jobs = open_jobs(session, iteration)
        claim_jobs(session, jobs, owner)
    with store.write() as session:
        assert finish_jobs(session, [result(jobs[0])], owner) == jobs
    with store.read() as session:
        return session.scalar(select(models.Candidate).where(models.Candidate.iteration_id == iteration))


def solidus_points(store):
    with store.read() as session:
        points = session.scalars(select(models.DataPoint).where(models.DataPoint.property == "solidus"))
        return [p.value for p in points if p.kind == "validation"]


def test_an_answer_that_differs_in_its_last_bit_leaves_the_earlier_one_and_ends_the_job(store):
    validate(store, "one", lambda job: answer(job, solidus=2500.0, detail={"equilibria": 9}))
    other = validate(
        store, "two", lambda job: answer(job, solidus=2500.0000000000005, detail={"equilibria": 8})
    )
    assert (other.state, other.hit) == ("validated", True)
    assert solidus_points(store) == [2500.0]


def test_a_prediction_that_differs_in_its_last_bit_does_not_stop_a_proposal(store):
    from dataclasses import replace

    points = [replace(p, value=p.value * (1 + 1e-15)) for p in prediction_points([ALLOY])]
    with store.write() as session:
        add_data_points(session, points)
    assert validate(store, "one", lambda job: answer(job, solidus=2500.0)).state == "validated"


def test_a_campaign_is_judged_by_its_own_configuration_and_not_by_what_another_one_stored_last(store):
    validate(store, "one", lambda job: answer(job, solidus=2500.0))
    other = validate(store, "two", lambda job: answer(job, solidus=1500.0), configuration="d" * 64)
    assert not other.hit
    assert validate(store, "three", lambda job: answer(job, solidus=2500.0)).hit


def test_the_leases_of_a_campaign_and_of_its_jobs_are_renewed_while_a_stage_is_at_work(store):
    from datetime import UTC, datetime, timedelta

    from flows.campaign import _kept_alive

    owner = new_owner()
    request = JobRequest("calphad", "calphad", {}, "c" * 64, budget=10)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    with store.write() as session:
        row = register(session, small_campaign())
        claim(session, row.id, owner, None)
        iteration = begin_iteration(session, row.id, owner).id
        save_model(session, iteration, owner, MODEL)
        save_candidates(session, iteration, owner, [NewCandidate(ALLOY, "strategy", 0.5, {})], review=False)
        dispatch(session, iteration, owner, request)
        jobs = open_jobs(session, iteration)
        claim_jobs(session, jobs, owner)
        campaign = row.id
        row.owner_expires = session.get_one(models.Job, jobs[0]).lease_expires = long_ago
    turn = threading.Event()
    with _kept_alive(store, campaign, owner, every_s=0.02):
        for _ in range(500):
            with store.read() as session:
                ends = (
                    session.get_one(models.Campaign, campaign).owner_expires,
                    session.get_one(models.Job, jobs[0]).lease_expires,
                )
            if min(ends) > long_ago:
                break
            turn.wait(0.02)  # for the thread that renews
    assert min(ends) > datetime.now(UTC)
    with store.write() as session:
        assert claim_jobs(session, jobs, new_owner()) == []


def test_a_heart_that_misses_a_beat_goes_on(tmp_path):
    """Somebody puts the store away for a moment, as a restarted server does; the next beat finds it again."""
    from datetime import UTC, datetime, timedelta

    from db.store import open_store
    from flows.campaign import _kept_alive

    owner, long_ago = new_owner(), datetime.now(UTC) - timedelta(hours=1)
    place = tmp_path / "place"
    place.mkdir()
    with open_store(f"sqlite:///{place / 'store.sqlite'}") as store:
        with store.write() as session:
            row = register(session, small_campaign())
            claim(session, row.id, owner, None)
            campaign, row.owner_expires = row.id, long_ago
        store.close()
        away = place.rename(tmp_path / "away")
        turn = threading.Event()
        with _kept_alive(store, campaign, owner, every_s=0.02):
            with pytest.raises(Exception, match="cannot be created or opened"), store.read() as session:
                session.get_one(models.Campaign, campaign)
            turn.wait(0.2)  # some beats come to nothing
            away.rename(place)
            for _ in range(500):
                with store.read() as session:
                    end = session.get_one(models.Campaign, campaign).owner_expires
                if end > long_ago:
                    break
                turn.wait(0.02)
    assert end > long_ago


def test_a_relay_without_a_server_leaves_the_events_for_the_next_one(store_url):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from db.outbox import announce, unpublished
    from db.store import open_store
    from flows.relay import relay_outbox
    from flows.stores import close_stores
    from tests.programs import free_port

    with open_store(store_url) as store:
        with store.write() as session:
            announce(session, "candidate.decided", campaign="small")
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
            try:
                with pytest.raises(OSError):
                    relay_outbox.fn(store.url)
            finally:
                close_stores()
        with store.read() as session:
            assert [e.topic for e in unpublished(session)] == ["candidate.decided"]


def test_a_job_does_not_pay_for_workers_that_die_elsewhere():
    """While one job is tried alone, every worker of the shared pool is killed again and again."""
    import os
    import signal

    from flows.stages import _one_by_one
    from validators.calphad import CalphadSettings
    from validators.pool import shared_pool

    answers = {}
    settings = CalphadSettings(temperatures_K=(1473.0,), properties=("single_phase_bcc",))
    thread = threading.Thread(target=lambda: answers.update(_one_by_one({7: ALLOY}, settings)))
    thread.start()
    while thread.is_alive():
        for process in shared_pool().process_ids():
            os.kill(process, signal.SIGKILL)
        thread.join(0.05)
    assert str(answers[7].status) == "converged", answers[7].message

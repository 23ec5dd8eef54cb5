from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from db import models
from db.campaigns import (
    NewCandidate,
    OwnershipLostError,
    TrainedModel,
    begin_iteration,
    claim,
    register,
    save_candidates,
    save_model,
)
from db.jobs import FinishedJob, JobRequest, claim_jobs, dispatch, finish_jobs, open_jobs, release_jobs
from db.ownership import new_owner
from db.scores import pending_candidates, score_iteration
from hea_loop import parse_composition
from hea_loop.errors import InputError
from hea_loop.scoring import wilson_interval
from tests.small_campaign import small_campaign

FORMULAS = ("HfNbTa", "NbTaTi", "MoNbTa", "MoNbTi")
MODEL = TrainedModel("cgan-2021", b"weights", {}, {}, [], "cpu", 1)


def request(budget=100):
    return JobRequest("calphad", "calphad", {"database": "x"}, "c" * 64, budget=budget)


def answer(job_id, *, single=1.0, solidus=2500.0, status="converged"):
    values = ()
    if status == "converged":
        values = (
            {
                "property": "single_phase_bcc",
                "value": single,
                "temperature_K": 1473.0,
                "sigma": None,
                "detail": {},
            },
            {"property": "solidus", "value": solidus, "temperature_K": None, "sigma": None, "detail": {}},
        )
    return FinishedJob(
        job_id, status, "pycalphad x", values, "" if values else f"it was {status}", {"status": status}
    )


@pytest.fixture
def proposed(store):
    """An iteration of four candidates, the last one random; returns owner, campaign and iteration."""
    owner = new_owner()
    with store.write() as session:
        row = register(session, small_campaign())
        claim(session, row.id, owner, None)
        iteration = begin_iteration(session, row.id, owner)
        save_model(session, iteration.id, owner, MODEL)
        new = [
            NewCandidate(parse_composition(f), "random" if f == FORMULAS[-1] else "strategy", 0.5, {})
            for f in FORMULAS
        ]
        save_candidates(session, iteration.id, owner, new, review=False)
    return owner, row.id, iteration.id


@pytest.fixture
def dispatched(store, proposed):
    owner, _, iteration = proposed
    with store.write() as session:
        dispatch(session, iteration, owner, request())
        return owner, iteration, sorted(open_jobs(session, iteration))  # in order of rank


def test_dispatching_twice_makes_no_second_job(store, proposed):
    owner, _, iteration = proposed
    for expected in (4, 0):
        with store.write() as session:
            assert dispatch(session, iteration, owner, request()) == expected
    with store.read() as session:
        assert session.scalar(select(func.count()).select_from(models.Job)) == 4


def test_the_budget_serves_the_best_ranked_first_and_abandons_the_rest(store, proposed):
    owner, _, iteration = proposed
    with store.write() as session:
        assert dispatch(session, iteration, owner, request(budget=3)) == 3
    with store.read() as session:
        rows = session.scalars(select(models.Candidate).order_by(models.Candidate.rank)).all()
    assert [r.state for r in rows] == ["validating"] * 3 + ["abandoned"]
    assert "budget of 3" in rows[3].reason


def test_a_job_is_claimed_by_one_of_two_living_workers(store, dispatched):
    one, _, jobs = dispatched
    two = new_owner()
    with store.write() as session:
        assert len(claim_jobs(session, jobs, one)) == 4
    with store.write() as session:
        assert claim_jobs(session, jobs, two) == []


def test_a_claim_whose_lease_ran_out_goes_to_the_next_and_the_late_answer_is_dropped(store, dispatched):
    late, _, jobs = dispatched
    two = new_owner()
    with store.write() as session:
        claim_jobs(session, jobs, late)
        for job in session.scalars(select(models.Job)):
            job.lease_expires = datetime.now(UTC) - timedelta(seconds=1)
    with store.write() as session:
        again = claim_jobs(session, jobs, two)
    assert [c.attempt for c in again] == [2] * 4
    with store.write() as session:
        assert finish_jobs(session, [answer(jobs[0], solidus=1.0)], late) == []
    with store.write() as session:
        assert finish_jobs(session, [answer(j) for j in jobs], two) == jobs
    with store.read() as session:
        values = session.scalars(
            select(models.DataPoint.value).where(models.DataPoint.property == "solidus")
        ).all()
    assert values == [2500.0] * 4


def test_a_finished_job_is_never_claimed_again(store, dispatched):
    owner, iteration, jobs = dispatched
    with store.write() as session:
        claim_jobs(session, jobs, owner)
        finish_jobs(session, [answer(j) for j in jobs], owner)
    with store.write() as session:
        assert claim_jobs(session, jobs, owner) == []
        assert open_jobs(session, iteration) == []


def test_a_released_job_waits_again(store, dispatched):
    owner, _, jobs = dispatched
    with store.write() as session:
        claim_jobs(session, jobs, owner)
        release_jobs(session, jobs, owner)
    with store.write() as session:
        assert len(claim_jobs(session, jobs, new_owner())) == 4


def test_three_outcomes_are_kept_apart_and_only_convergence_stores_values(store, dispatched):
    owner, iteration, jobs = dispatched
    outcomes = ("converged", "unconverged", "failed", "converged")
    with store.write() as session:
        claim_jobs(session, jobs, owner)
        finish_jobs(session, [answer(j, status=s) for j, s in zip(jobs, outcomes, strict=True)], owner)
    with store.write() as session:
        assert pending_candidates(session, iteration) == {}
        rates = {r.origin: r for r in score_iteration(session, iteration, owner) if r.fidelity == "calphad"}
    strategy, random = rates["strategy"], rates["random"]
    assert (strategy.proposed, strategy.validated, strategy.failed, strategy.unconverged, strategy.hit) == (
        3,
        1,
        1,
        1,
        1,
    )
    assert (random.proposed, random.validated) == (1, 1)
    assert (strategy.rate, strategy.ci_low, strategy.ci_high) == (1.0, *wilson_interval(1, 1))
    with store.read() as session:
        points = session.scalars(select(models.DataPoint).where(models.DataPoint.kind == "validation")).all()
    assert len(points) == 4
    assert {p.fidelity for p in points} == {"calphad"}


def test_a_candidate_outside_a_target_or_against_a_verdict_is_no_hit_and_says_why(store, dispatched):
    owner, _, jobs = dispatched
    with store.write() as session:
        claim_jobs(session, jobs, owner)
        finish_jobs(
            session, [answer(jobs[0], solidus=1900.0), answer(jobs[1], single=0.0), answer(jobs[3])], owner
        )
    with store.read() as session:
        rows = session.scalars(select(models.Candidate).order_by(models.Candidate.rank)).all()
    assert [r.hit for r in rows] == [False, False, None, True]
    assert "solidus" in rows[0].reason
    assert "single_phase_bcc" in rows[1].reason


def test_a_campaign_that_another_run_took_over_takes_no_more_writes(store, proposed):
    owner, campaign, iteration = proposed
    two = new_owner()
    with store.write() as session:
        assert claim(session, campaign, two, None) is None  # this process lives, and so does its lease
        session.get_one(models.Campaign, campaign).owner_expires = datetime.now(UTC)
    with store.write() as session:
        assert claim(session, campaign, two, "run-2") is not None
    with pytest.raises(OwnershipLostError), store.write() as session:
        dispatch(session, iteration, owner, request())


def test_a_name_cannot_be_used_for_another_campaign_but_it_can_go_on_for_longer(store):
    with store.write() as session:
        first = register(session, small_campaign()).id
    with store.write() as session:
        assert register(session, small_campaign(iterations=9)).id == first
    with store.read() as session:
        assert session.get_one(models.Campaign, first).spec["iterations"] == 9
    with pytest.raises(InputError, match="another seed"), store.write() as session:
        register(session, small_campaign(seed=4))

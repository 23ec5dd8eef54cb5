import pytest
from sqlalchemy import select

from db import models
from db.campaigns import (
    NewCandidate,
    TrainedModel,
    begin_iteration,
    claim,
    register,
    save_candidates,
    save_model,
)
from db.decisions import decide
from db.jobs import JobRequest, claim_jobs, dispatch, open_jobs
from db.ownership import new_owner
from hea_loop import parse_composition
from hea_loop.errors import InputError
from tests.small_campaign import small_campaign

REQUEST = JobRequest("calphad", "calphad", {"database": "x"}, "c" * 64, budget=100)
MODEL = TrainedModel("cgan-2021", b"weights", {}, {}, [], "cpu", 1)
FORMULAS = ("HfNbTa", "NbTaTi", "MoNbTa", "NbTiZr")


@pytest.fixture
def queued(store):
    """An iteration whose four candidates wait for a decision; returns owner, iteration and candidate ids."""
    owner = new_owner()
    with store.write() as session:
        row = register(session, small_campaign(review="required"))
        claim(session, row.id, owner, None)
        iteration = begin_iteration(session, row.id, owner)
        save_model(session, iteration.id, owner, MODEL)
        new = [NewCandidate(parse_composition(f), "strategy", 0.5, {}) for f in FORMULAS]
        ids = save_candidates(session, iteration.id, owner, new, review=True)
    return owner, iteration.id, ids


def states(store):
    with store.read() as session:
        return list(session.scalars(select(models.Candidate.state).order_by(models.Candidate.rank)))


def test_queued_candidates_get_no_job(store, queued):
    owner, iteration, _ = queued
    with store.write() as session:
        assert dispatch(session, iteration, owner, REQUEST) == 0
    assert states(store) == ["queued"] * 4


def test_only_approved_candidates_are_dispatched_and_rejected_ones_never(store, queued):
    owner, iteration, ids = queued
    with store.write() as session:
        decide(session, ids[:2], "approve", who="Ada", reason="realistic")
        decide(session, ids[2:3], "reject", who="Ada", reason="too much Mo")
    with store.write() as session:
        assert dispatch(session, iteration, owner, REQUEST) == 2
        jobs = open_jobs(session, iteration)
        claimed = claim_jobs(session, jobs, owner)
    assert {c.composition.formula for c in claimed} == set(FORMULAS[:2])
    assert states(store) == ["validating", "validating", "rejected", "queued"]


def test_a_changed_mind_is_a_second_decision_and_both_stay_on_record(store, queued):
    _, _, ids = queued
    with store.write() as session:
        decide(session, ids[:1], "reject", who="Ada", reason="brittle")
    with store.write() as session:
        decide(session, ids[:1], "approve", who="Bo", reason="not at all")
    with store.read() as session:
        said = [(d.verdict, d.who) for d in session.get_one(models.Candidate, ids[0]).decisions]
    assert said == [("reject", "Ada"), ("approve", "Bo")]
    assert states(store)[0] == "approved"


def test_a_dispatched_candidate_is_past_deciding(store, queued):
    owner, iteration, ids = queued
    with store.write() as session:
        decide(session, ids[:1], "approve", who="Ada", reason="good")
        dispatch(session, iteration, owner, REQUEST)
    with pytest.raises(InputError, match="is validating, past deciding"), store.write() as session:
        decide(session, ids[:1], "reject", who="Ada", reason="too late")


@pytest.mark.parametrize(
    ("ids", "who", "reason", "says"),
    [
        ([10_000], "Ada", "x", "is not in the store"),
        ([], "Ada", "x", "names no candidate"),
        (None, " ", "x", "names nobody"),
        (None, "Ada", "  ", "reason = .* is empty"),
        ("twice", "Ada", "x", "is given twice"),
    ],
)
def test_a_decision_that_cannot_be_recorded_changes_nothing(store, queued, ids, who, reason, says):
    known = queued[2]
    wanted = known if ids is None else [known[0], known[0]] if ids == "twice" else ids
    with pytest.raises(InputError, match=says), store.write() as session:
        decide(session, wanted, "approve", who=who, reason=reason)
    assert states(store) == ["queued"] * 4


def test_one_bad_id_leaves_the_good_ones_undecided(store, queued):
    _, _, ids = queued
    with pytest.raises(InputError), store.write() as session:
        decide(session, [*ids, 10_000], "approve", who="Ada", reason="all")
    assert states(store) == ["queued"] * 4


def test_a_decision_is_announced_in_its_own_transaction(store, queued):
    _, _, ids = queued
    with store.write() as session:
        decide(session, ids[:2], "approve", who="Ada", reason="good")
    with store.read() as session:
        events = session.scalars(
            select(models.OutboxEvent).where(models.OutboxEvent.topic == "candidate.decided")
        ).all()
    assert [e.payload["candidates"] for e in events] == [ids[:2]]
    assert events[0].payload["campaign"] == "small"

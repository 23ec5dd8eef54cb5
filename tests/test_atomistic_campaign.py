"""A campaign with an atomistic budget: jobs after CALPHAD, nobody waits, candidates judged anew at their answer."""

from __future__ import annotations

import pytest
from in_process_cli import hea_loop
from sqlalchemy import select

from app.report import build_report
from app.report.ladder import ladders
from db import models
from db.campaigns import (
    NewCandidate,
    begin_iteration,
    claim,
    jobs_created,
    register,
    save_candidates,
    save_model,
)
from db.jobs import FinishedJob, claim_jobs, dispatch, finish_jobs, open_jobs, source_of
from db.materials import NewDataPoint, add_data_points
from db.ownership import new_owner
from db.results import campaign_candidates, rates_at
from db.scores import history, score_iteration
from db.store import open_store
from flows.atomistic import dispatch_atomistic
from flows.atomistic_request import own_sources
from flows.planning import calphad_request, check_campaign
from flows.progress import listening
from flows.stores import close_stores
from flows.tending import cancel, tend
from hea_loop import parse_composition
from hea_loop.elasticity import LEARNED_SOURCE
from hea_loop.errors import InputError
from tests.small_campaign import small_campaign
from tests.test_atomistic_jobs import LIMITS, directory_of, row
from tests.test_jobs import MODEL
from validators.atomistic.job_directory import JobResult
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

FORMULAS = ("MoNbTa", "NbTaTi", "MoNbTi", "HfNbTa")


def campaign(**changes):
    atomistic = {
        "budget": 2,
        "calculator": "emt",
        "preset": "test",
        "options": {"max_rounding": 0.1},
        "runner": {"name": "export"},
    }
    return small_campaign(validators={"calphad": {"budget": 100}, "atomistic": atomistic | changes})


@pytest.fixture
def url(tmp_path):
    yield f"sqlite:///{tmp_path / 'store.sqlite'}"
    close_stores()


@pytest.fixture
def store(url):
    with open_store(url) as opened:
        yield opened


def answered_by_calphad(store, spec):
    """An iteration of four candidates that CALPHAD has answered: hits, but for the third."""
    owner = new_owner()
    with store.write() as session:
        made = register(session, spec)
        claim(session, made.id, owner, None)
        iteration = begin_iteration(session, made.id, owner).id
        save_model(session, iteration, owner, MODEL)
        new = [NewCandidate(parse_composition(f), "strategy", 0.5, {}) for f in FORMULAS]
        save_candidates(session, iteration, owner, new, review=False)
        dispatch(session, iteration, owner, calphad_request(spec))
        jobs = open_jobs(session, iteration)
        by_id = {job.job_id: job.composition.formula for job in claim_jobs(session, jobs, owner)}
        finish_jobs(
            session,
            [_calphad(job, solidus=1500.0 if f == "MoNbTi" else 2500.0) for job, f in by_id.items()],
            owner,
        )
    return owner, iteration


def _calphad(job_id, solidus):
    def value(name, number, temperature):
        return {"property": name, "value": number, "temperature_K": temperature, "sigma": None, "detail": {}}

    values = (value("single_phase_bcc", 1.0, 1473.0), value("solidus", solidus, None))
    return FinishedJob(job_id, "converged", "pycalphad x", values, "", {"status": "converged"})


def dft_answer(store, job, shear_modulus, density=None, status="converged"):
    directory = directory_of(store, job)
    made_by = {"calculator": {"name": "emt", "preset": "test", "kind": "potential"}}
    value = OutcomeValue("shear_modulus", shear_modulus, 0.0, 3.0, made_by)
    values = (value,) if status == "converged" else ()
    outcome = Outcome(OutcomeStatus(status), "a code", values, "" if values else "it did not converge")
    directory.publish(JobResult(directory.order().job_hash, outcome), directory.claim(LIMITS))


def outside(store):
    with store.read() as session:
        rows = session.scalars(
            select(models.Job).where(models.Job.validator == "atomistic").order_by(models.Job.id)
        )
        return [(j.id, j.candidate.material.formula) for j in rows]


def spec_id(session):
    return session.scalars(select(models.Campaign.id)).one()


def candidates(store):
    with store.read() as session:
        return {c.composition.formula: c for c in campaign_candidates(session, "small")}


def test_hits_of_calphad_get_jobs_while_the_budget_lasts_and_nobody_gets_two(store, url):
    owner, iteration = answered_by_calphad(store, campaign())
    assert dispatch_atomistic.fn(iteration, 1, owner, url) == 2
    assert dispatch_atomistic.fn(iteration, 1, owner, url) == 0
    chosen = [formula for _, formula in outside(store)]
    assert len(chosen) == 2
    hits = {f for f, c in candidates(store).items() if c.hit}
    assert set(chosen) <= hits
    assert "MoNbTi" not in hits


def test_an_answer_judges_its_candidate_anew_at_its_fidelity_and_leaves_the_calphad_rate(store, url):
    owner, iteration = answered_by_calphad(store, campaign())
    hits = sum(bool(c.hit) for c in candidates(store).values())
    dispatch_atomistic.fn(iteration, 1, owner, url)
    tend(store)
    (one, first), (two, second) = outside(store)
    dft_answer(store, one, 60.0)  # in before the iteration is scored
    tend(store)
    with store.write() as session:
        score_iteration(session, iteration, owner)
    dft_answer(store, two, 140.0)  # above the target
    tend(store)
    found = candidates(store)
    assert (found[first].hit, found[first].fidelity) == (True, "dft")
    assert (found[second].hit, found[second].fidelity) == (False, "dft")
    assert "shear_modulus 140 GPa above 90 GPa" in found[second].reason
    assert found[first].best("shear_modulus").sigma == 3.0
    with store.read() as session:
        (dft,) = [r for r in rates_at(session, "small", "dft") if r.origin == "strategy"]
        (calphad,) = [r for r in rates_at(session, "small", "calphad") if r.origin == "strategy"]
    assert (dft.proposed, dft.validated, dft.hit) == (2, 2, 1)
    assert (calphad.validated, calphad.hit) == (4, hits)


def test_no_answer_from_first_principles_leaves_what_calphad_said(store, url):
    owner, iteration = answered_by_calphad(store, campaign())
    dispatch_atomistic.fn(iteration, 1, owner, url)
    tend(store)
    before = candidates(store)
    (one, first), (two, _) = outside(store)
    dft_answer(store, one, 0.0, status="unconverged")
    tend(store)
    cancel(store, [two])
    after = candidates(store)[first]
    assert (after.state, after.hit, after.fidelity) == ("validated", before[first].hit, "calphad")
    assert row(store, one).state == "unconverged"
    with store.read() as session:
        (dft,) = rates_at(session, "small", "dft")
    assert (dft.proposed, dft.validated, dft.unconverged, dft.rate) == (2, 0, 1, None)


def test_only_approved_candidates_are_sent_where_the_campaign_says_so(store, url):
    spec = campaign(only_approved=True).model_copy(update={"review": "required"})
    owner, iteration = answered_by_calphad(store, spec)
    assert dispatch_atomistic.fn(iteration, 1, owner, url) == 0
    hit = next(c for c in candidates(store).values() if c.hit)
    with store.write() as session:
        session.add(models.Decision(candidate_id=hit.id, verdict="approve", who="me", reason="stiff"))
    assert dispatch_atomistic.fn(iteration, 1, owner, url) == 1
    assert [formula for _, formula in outside(store)] == [hit.composition.formula]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"atoms": 8, "options": {"max_rounding": 0.01}}, "in 8 atoms, 0.083 of its atoms exchanged"),
        ({"options": {"max_rounding": 0.0}}, "fits no bcc cell of 8, 16, 54 atoms within max_rounding 0;"),
    ],
)
def test_an_alloy_that_no_cell_stands_for_is_left_out_and_said_and_costs_no_budget(store, url, changes, says):
    spec = campaign(**changes)
    owner, iteration = answered_by_calphad(store, spec)
    said = []
    with listening(said.append):
        assert dispatch_atomistic.fn(iteration, 1, owner, url) == 0
    (line,) = {event.message for event in said if "MoNbTa" in event.message}
    assert line.startswith("no atomistic job: composition = 'MoNbTa': ")
    assert says in line
    assert "or allow more by the option max_rounding" in line
    with store.read() as session:
        assert jobs_created(session, spec_id(session), "atomistic") == 0


@pytest.mark.parametrize(("stated", "bound", "atoms"), [(None, 0.1, 8), (None, 0.01, 54), (54, 0.1, 54)])
def test_an_alloy_gets_the_smallest_cell_that_holds_it_unless_the_campaign_states_one(
    store, url, stated, bound, atoms
):
    spec = campaign(options={"max_rounding": bound}, **({} if stated is None else {"atoms": stated}))
    owner, iteration = answered_by_calphad(store, spec)
    assert dispatch_atomistic.fn(iteration, 1, owner, url) == 2
    assert dispatch_atomistic.fn(iteration, 1, owner, url) == 0
    tend(store)
    with store.read() as session:
        jobs = session.scalars(select(models.Job).where(models.Job.validator == "atomistic")).all()
        assert [job.configuration["atoms"] for job in jobs] == [atoms, atoms]
        assert {source_of(job) for job in jobs} <= set(own_sources(spec))
    (one, _), _ = outside(store)
    assert directory_of(store, one).order().spec["atoms"] == atoms


def test_the_values_of_a_candidate_are_those_of_its_own_campaigns_calculator(store, url):
    owner, iteration = answered_by_calphad(store, campaign())
    dispatch_atomistic.fn(iteration, 1, owner, url)
    tend(store)
    (one, formula), (_, other) = outside(store)
    dft_answer(store, one, 60.0)
    tend(store)
    foreign = [
        NewDataPoint(
            parse_composition(f),
            "shear_modulus",
            "validation",
            "dft",
            "another preset",
            "atomistic:ffff000011112222:0K",
            value=140.0,
        )
        for f in (formula, other)
    ]
    # a prediction of the kind that this campaign is not judged by
    learned = NewDataPoint(
        parse_composition(formula),
        "shear_modulus",
        "prediction",
        "prediction",
        "learned",
        f"{LEARNED_SOURCE}1:0",
        value=99.0,
    )
    with store.write() as session:
        add_data_points(session, [*foreign, learned])
    found = candidates(store)
    assert (found[formula].hit, found[formula].best("shear_modulus").value) == (True, 60.0)
    assert found[other].best("shear_modulus").fidelity == "prediction"
    (ladder,) = ladders(list(found.values()), ["shear_modulus"])
    assert ladder.rungs[0].values[2] == "60 ± 3"
    assert not ladder.rungs[0].values[0].startswith("99")


def test_what_a_potential_computed_is_called_by_its_name_and_never_dft(store, url):
    owner, iteration = answered_by_calphad(store, campaign())
    dispatch_atomistic.fn(iteration, 1, owner, url)
    tend(store)
    (one, formula), _ = outside(store)
    dft_answer(store, one, 60.0)
    tend(store)
    with store.read() as session:
        text = build_report(session, "small")
    assert "From the potential emt" in text
    assert "potential emt" in text
    assert "DFT" not in text
    job = hea_loop("jobs", "show", str(one), "--database-url", url).out
    assert "elastic, emt test (potential)" in " ".join(job.split())
    shown = hea_loop("show", formula, "--database-url", url).out
    assert "potential emt" in shown
    assert "dft" not in shown.split()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"workflow": "magic"}, "validators.atomistic.workflow = 'magic': is not known"),
        ({"atoms": 9}, "validators.atomistic.atoms = 9: is no size of a bcc cell"),
        ({"options": {"strian": 0.1}}, "validators.atomistic.options.strian = 0.1: is no option of elastic"),
        (
            {"runner": {"name": "local", "options": {"cpus": 4}}},
            "validators.atomistic.runner.options.cpus = 4: is no option of local",
        ),
        ({"only_approved": True}, "validators.atomistic.only_approved = True: would send nothing"),
        ({"runner": {"name": "local"}}, "validators.atomistic.calculator = 'emt': has no parameters for"),
        (
            {"runner": {"name": "local"}, "calculator": "gpaw", "preset": "production"},
            "validators.atomistic.calculator = 'gpaw production': has not been qualified",
        ),
    ],
)
def test_what_would_fail_in_every_job_is_refused_before_anything_starts(changes, says):
    with pytest.raises(InputError, match=r"is |would |has ") as refused:
        check_campaign(campaign(**changes))
    assert str(refused.value).startswith(says)


def test_an_unqualified_calculator_may_be_insisted_on_and_another_machines_is_not_judged_here():
    unqualified = {"calculator": "gpaw", "preset": "production", "options": {}}
    check_campaign(campaign(**unqualified, runner={"name": "export"}))
    check_campaign(campaign(**unqualified, runner={"name": "local"}, accept_unqualified=True))


def test_a_campaign_may_move_to_another_machine_and_not_to_another_calculator(store):
    with store.write() as session:
        first = register(session, campaign()).id
        assert register(session, campaign(budget=9, runner={"name": "local"})).id == first
        with pytest.raises(InputError, match="another validators"):
            register(session, campaign(preset="screening"))
        assert history(session, first) == []

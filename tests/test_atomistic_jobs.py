"""Jobs that run outside, in the store: one answer each, lost is not failed, and nothing edited gets in."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db import models
from db.attempts import NotStored, attempt_of_hash, hold_jobs, outside_jobs
from db.job_rows import job_rows, one_job
from db.ownership import new_owner
from flows.tending import cancel, collect_directory, retry, runner_choice, submit_material, tend
from hea_loop import parse_composition
from hea_loop.errors import InputError
from validators.atomistic.job_directory import JobDirectory, JobResult, Limits
from validators.atomistic.specification import CalculatorChoice, JobSpec
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

LIMITS = Limits(100, 30)


def spec(formula="Cu", **changes):
    given = {"workflow": "equation-of-state", "atoms": 8, "seed": 1, "options": {"lattice": "fcc"}} | changes
    return JobSpec(
        composition=parse_composition(formula), calculator=CalculatorChoice("emt", "test"), **given
    )


def submitted(store, tmp_path, formula="Cu", runner="export", options=None, **limits):
    """A job whose directory is written, and nobody works in it."""
    choice = runner_choice(store, runner, options or {}, folder=tmp_path / "jobs", **limits)
    job, _ = submit_material(store, spec(formula), choice)
    tend(store, [job])
    return job


def directory_of(store, job, attempt=-1):
    with store.read() as session:
        return JobDirectory(one_job(session, job).tries[attempt].directory)


def answered(directory, status="converged", value=134.4, *, died=False):
    """Leave a result as a worker does."""
    values = (OutcomeValue("bulk_modulus", value, 0.0, 0.1),) if status == "converged" else ()
    outcome = Outcome(OutcomeStatus(status), "EMT", values, "" if values else f"it was {status}")
    claim = directory.claim(LIMITS)
    assert directory.publish(JobResult(directory.order().job_hash, outcome, died), claim)
    return directory


def row(store, job):
    with store.read() as session:
        return one_job(session, job)


def stored_values(store):
    with store.read() as session:
        return session.scalars(
            select(models.DataPoint.value).where(models.DataPoint.kind == "validation")
        ).all()


def test_the_same_question_is_one_job(store, tmp_path):
    job = submitted(store, tmp_path)
    assert submitted(store, tmp_path) == job
    assert submitted(store, tmp_path, "Al") != job


def test_a_result_is_collected_once_with_its_method_source_and_uncertainty(store, tmp_path):
    job = submitted(store, tmp_path)
    answered(directory_of(store, job))
    assert tend(store).ended == [job]
    assert tend(store).ended == []
    with store.read() as session:
        (point,) = session.scalars(select(models.DataPoint).where(models.DataPoint.kind == "validation"))
        assert (point.property, point.value, point.sigma, point.fidelity) == (
            "bulk_modulus",
            134.4,
            0.1,
            "dft",
        )
        assert point.source.startswith(f"atomistic:{spec().configuration_hash()[:16]}")
        assert point.method == "EMT"
    assert row(store, job).state == "done"


def test_a_method_that_takes_many_words_is_kept_whole_beside_the_data_point(store, tmp_path):
    job = submitted(store, tmp_path)
    directory = directory_of(store, job)
    words = "a code with many settings " * 20
    outcome = Outcome(OutcomeStatus.CONVERGED, words, (OutcomeValue("bulk_modulus", 134.4),))
    directory.publish(JobResult(directory.order().job_hash, outcome), directory.claim(LIMITS))
    assert tend(store).problems == []
    with store.read() as session:
        (point,) = session.scalars(select(models.DataPoint).where(models.DataPoint.kind == "validation"))
        assert len(point.method) == 200
        assert point.conditions["method"] == words


@pytest.mark.parametrize("status", ["unconverged", "failed"])
def test_what_did_not_converge_leaves_no_value_and_says_why(store, tmp_path, status):
    job = submitted(store, tmp_path)
    answered(directory_of(store, job), status)
    tend(store)
    assert (row(store, job).state, row(store, job).message) == (status, f"it was {status}")
    assert stored_values(store) == []


def test_a_result_edited_by_hand_fails_the_job_with_the_reason(store, tmp_path):
    job = submitted(store, tmp_path)
    directory = answered(directory_of(store, job))
    directory.result_file.write_text(directory.result_file.read_text().replace("134.4", "234.4"))
    tend(store)
    assert row(store, job).state == "failed"
    assert "does not match its checksum" in row(store, job).message
    assert stored_values(store) == []
    retry(store, [job])
    tend(store)
    answered(directory_of(store, job))
    tend(store)
    assert row(store, job).state == "done"
    assert stored_values(store) == [134.4]


def test_a_directory_that_comes_back_by_hand_is_collected_wherever_it_lies(store, tmp_path):
    job = submitted(store, tmp_path)
    away = tmp_path / "stick" / "results"
    shutil.move(directory_of(store, job).path, away)
    assert tend(store).open == 1
    assert row(store, job).state == "submitted"
    with pytest.raises(InputError, match="has no result yet"):
        collect_directory(store, away)
    answered(JobDirectory(away))
    assert collect_directory(store, away).state == "done"
    assert stored_values(store) == [134.4]
    with pytest.raises(NotStored, match="is done already"):
        collect_directory(store, away)


def test_a_directory_of_another_store_is_refused(store, tmp_path):
    job = submitted(store, tmp_path)
    directory = answered(directory_of(store, job))
    file = directory.path / "job.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"job_hash": "0" * 64}))
    with pytest.raises(InputError, match="this store has not made"):
        collect_directory(store, directory.path)
    with store.read() as session:
        assert attempt_of_hash(session, "0" * 64) is None


def test_a_calculation_that_keeps_dying_is_begun_so_often_and_no_more(store, tmp_path):
    job = submitted(store, tmp_path, attempts=3)
    for attempt in (1, 2, 3):
        assert row(store, job).attempts == attempt
        answered(directory_of(store, job), "failed", died=True)
        tend(store)
    assert row(store, job).state == "failed"
    assert "no answer in each of its 3 attempts" in row(store, job).message
    assert [t.state for t in row(store, job).tries] == ["failed"] * 3
    tend(store)
    assert row(store, job).attempts == 3
    retry(store, [job])
    tend(store)
    assert (row(store, job).state, row(store, job).attempts) == ("submitted", 4)


def test_an_attempt_that_was_given_up_and_comes_back_is_taken_and_the_next_one_ended(store, tmp_path):
    job = submitted(store, tmp_path)
    with store.write() as session:
        session.get_one(models.Job, job).state = "lost"
    retry(store, [job])
    tend(store)
    assert [t.state for t in row(store, job).tries] == ["lost", "submitted"]
    late = directory_of(store, job, 0)
    (late.path / "cancelled").unlink()  # its worker was too far gone to hear of it
    answered(late, value=133.0)
    tend(store)
    assert [t.state for t in row(store, job).tries] == ["done", "cancelled"]
    assert stored_values(store) == [133.0]
    assert directory_of(store, job).is_cancelled()
    # and the other one's own late answer changes nothing
    second = directory_of(store, job)
    (second.path / "cancelled").unlink()
    answered(second, value=1.0)
    assert tend(store).ended == []
    assert stored_values(store) == [133.0]


def test_two_jobs_that_ask_the_same_are_computed_once(store, tmp_path):
    job = submitted(store, tmp_path)
    with store.write() as session:
        first = session.get_one(models.Job, job)
        campaign = models.Campaign(name="c", spec={}, spec_hash="0")
        candidate = models.Candidate(
            iteration=models.Iteration(campaign=campaign, number=1),
            material_id=first.material_id,
            origin="strategy",
            rank=1,
        )
        second = models.Job(
            candidate=candidate,
            validator="atomistic",
            fidelity="dft",
            configuration=first.configuration,
            configuration_hash=first.configuration_hash,
            runner=first.runner,
        )
        session.add(second)
        session.flush()
        from tests.small_campaign import small_campaign

        campaign.spec = small_campaign().model_dump(mode="json")
        other = second.id
    assert tend(store).submitted == []
    assert row(store, other).state == "waiting"
    answered(directory_of(store, job))
    assert tend(store).ended == [job, other]
    assert (row(store, other).state, row(store, other).attempts) == ("done", 0)
    assert stored_values(store) == [134.4]


def test_jobs_in_the_hands_of_a_living_process_are_left_to_it(store, tmp_path):
    job = submitted(store, tmp_path)
    answered(directory_of(store, job))
    with store.write() as session:
        assert len(hold_jobs(session, new_owner())) == 1
    assert tend(store).ended == []
    with store.write() as session:
        session.get_one(models.Job, job).lease_expires = datetime.now(UTC) - timedelta(seconds=1)
    assert tend(store).ended == [job]


def test_a_cancelled_job_takes_no_result(store, tmp_path):
    job = submitted(store, tmp_path)
    directory = directory_of(store, job)
    claim = directory.claim(LIMITS)
    assert cancel(store, [job]) == []
    directory.publish(
        JobResult(
            directory.order().job_hash,
            Outcome(OutcomeStatus.CONVERGED, "EMT", (OutcomeValue("bulk_modulus", 1.0),)),
        ),
        claim,
    )
    assert tend(store).ended == []
    with pytest.raises(NotStored):
        collect_directory(store, directory.path)
    assert row(store, job).state == "cancelled"
    assert stored_values(store) == []
    with pytest.raises(InputError, match="is cancelled already"):
        cancel(store, [job])


def test_only_what_ended_without_values_can_be_retried(store, tmp_path):
    job = submitted(store, tmp_path)
    with pytest.raises(InputError, match="is submitted"):
        retry(store, [job])
    answered(directory_of(store, job))
    tend(store)
    with pytest.raises(InputError, match="is done; its values stand"):
        retry(store, [job])


def test_jobs_are_found_by_state_and_by_what_they_said(store, tmp_path):
    good, bad = submitted(store, tmp_path), submitted(store, tmp_path, "Al")
    answered(directory_of(store, good))
    answered(directory_of(store, bad), "unconverged")
    tend(store)
    with store.read() as session:
        assert [r.id for r in job_rows(session, states=["done"])] == [good]
        assert [r.id for r in job_rows(session, error="WAS unconverged")] == [bad]
        assert [r.id for r in job_rows(session, error="100%")] == []
        assert [r.id for r in job_rows(session, outside=True)] == [good, bad]
        with pytest.raises(InputError, match="is no state of a job"):
            job_rows(session, states=["sleeping"])


def test_a_runner_that_is_not_there_is_one_line_and_results_are_collected_even_so(
    store, tmp_path, monkeypatch
):
    job = submitted(store, tmp_path)
    with store.write() as session:
        held = session.get_one(models.Job, job)
        held.runner = held.runner | {"name": "slurm", "options": {}}
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = tend(store).problems
    assert "there is no sbatch on this machine" in problem
    assert row(store, job).state == "lost"  # nobody can say: it is not failed
    answered(directory_of(store, job))
    assert tend(store).ended == [job]


def test_a_job_that_cannot_be_submitted_says_why_in_its_row_and_can_be_sent_elsewhere(store, tmp_path):
    blocked = runner_choice(store, "export", {}, folder=tmp_path / "file" / "jobs")
    (tmp_path / "file").touch()
    job, _ = submit_material(store, spec(), blocked)
    (problem,) = tend(store).problems
    with store.read() as session:
        (waiting,) = job_rows(session, states=["waiting"], error="cannot be written")
    assert problem == f"job {job}: {waiting.message}"
    cancel(store, [job])
    free = runner_choice(store, "export", {}, folder=tmp_path / "jobs")
    assert submit_material(store, spec(), free) == (job, False)
    retry(store, [job])
    tend(store)
    assert (row(store, job).state, directory_of(store, job).path.parents[1]) == (
        "submitted",
        tmp_path / "jobs",
    )
    # what is in work keeps its place
    submit_material(store, spec(), blocked)
    assert directory_of(store, job).path.parents[1] == tmp_path / "jobs"
    with store.read() as session:
        assert session.get_one(models.Job, job).runner["folder"] == str(tmp_path / "jobs")


def test_an_exported_directory_has_all_that_the_other_machine_needs(store, tmp_path):
    job = submitted(store, tmp_path)
    directory = directory_of(store, job).path
    assert sorted(f.name for f in Path(directory).iterdir()) == ["README.txt", "job.json", "run.sh"]
    assert "jobs collect" in (directory / "README.txt").read_text()


def test_a_configuration_that_means_something_else_now_is_not_computed(store, tmp_path):
    choice = runner_choice(store, "export", {}, folder=tmp_path / "jobs")
    job, _ = submit_material(store, spec(), choice)
    with store.write() as session:
        made = session.get_one(models.Job, job)
        made.configuration = made.configuration | {"options": {"volume_points": 9, "lattice": "fcc"}}
    tend(store)
    assert row(store, job).state == "failed"
    assert "means something else in this version" in row(store, job).message


def test_jobs_of_before_keep_their_rows_when_the_schema_grows(store):
    from alembic import command

    from tests.test_store_migrations import configuration, writing

    with store.write() as session:
        campaign = models.Campaign(name="c", spec={}, spec_hash="0")
        from db.materials import material_for

        candidate = models.Candidate(
            iteration=models.Iteration(campaign=campaign, number=1),
            material=material_for(session, parse_composition("NbW")),
            origin="random",
            rank=1,
        )
        session.add(
            models.Job(
                candidate=candidate,
                validator="calphad",
                fidelity="calphad",
                configuration={"a": 1},
                configuration_hash="0" * 64,
                state="done",
                message="kept",
            )
        )
    with writing(store) as connection:
        command.downgrade(configuration(connection), "0002")
    with writing(store) as connection:
        command.upgrade(configuration(connection), "head")
    with store.read() as session:
        (kept,) = session.scalars(select(models.Job))
        assert (kept.state, kept.message, kept.configuration) == ("done", "kept", {"a": 1})
        assert kept.subject.formula == "NbW"
        assert session.scalar(select(func.count()).select_from(models.Attempt)) == 0
        assert [j.id for j in outside_jobs(session)] == []

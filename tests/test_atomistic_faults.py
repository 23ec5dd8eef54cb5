"""What can go wrong while a job calculates, done for real: nothing lost, nothing twice, nothing false stored."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from db import models
from db.job_rows import one_job
from db.store import open_store
from flows.tending import cancel, runner_choice, submit_material, tend
from hea_loop import parse_composition
from hea_loop.processes import is_alive, start_of
from tests.in_process_cli import hea_loop
from tests.programs import wait_for
from tests.store_processes import ROOT
from validators.atomistic.job_directory import JobDirectory, JobOrder, Limits, Stage
from validators.atomistic.specification import CalculatorChoice, JobSpec


@pytest.fixture
def store(tmp_path):
    """Jobs run the same on both databases, whose own part is tested with the store."""
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


def spec(calculator, formula="Cu", **options):
    name = calculator if calculator == "emt" else f"tests.faulty_calculators:{calculator}"
    return JobSpec(
        "equation-of-state",
        parse_composition(formula),
        8,
        1,
        CalculatorChoice(name, "test", {} if calculator == "emt" else options_of(options)),
        {"lattice": "fcc", "volume_points": 5},
    )


def options_of(arguments):
    return {"accept_unqualified": True} | ({"arguments": arguments} if arguments else {})


def directory_for(tmp_path, job, wall_s=60.0, lease_s=20.0):
    directory = JobDirectory(tmp_path / "attempt-1")
    directory.write(JobOrder("hea-loop-1-1", "ab", job.to_json(), Limits(wall_s, lease_s)))
    return directory


def read(directory):
    return directory.read(directory.stated_hash(), directory.order().limits.lease_s)


def worker(directory, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "validators.atomistic.worker", str(directory.path)],
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        **more,
    )


def outcome_of(directory, **more):
    """Run a worker to its end and return what it left."""
    with worker(directory, **more) as process:
        assert process.wait(60) == 0, process.stderr.read()
    reading = read(directory)
    assert reading.stage is Stage.RESULT, reading
    return reading.result.outcome


def calculations(notes):
    return len(notes.read_text().splitlines()) if notes.exists() else 0


def lives(pid):
    return is_alive(pid, start_of(pid))


def submitted(store, tmp_path, job, **limits):
    given = {"lease_s": 20.0, "wall_s": 60.0} | limits
    number, _ = submit_material(
        store, job, runner_choice(store, "local", {}, folder=tmp_path / "jobs", **given)
    )
    tend(store, [number])
    return number


def row(store, job):
    with store.read() as session:
        return one_job(session, job)


def ended(store, job, seconds=60):
    def done():
        tend(store)
        found = row(store, job)
        return found if found.finished_at else None

    return wait_for(done, seconds, f"job {job} to end")


def stored(store):
    with store.read() as session:
        return session.scalars(
            select(models.DataPoint.property).where(models.DataPoint.kind == "validation")
        ).all()


@pytest.mark.parametrize(
    ("calculator", "status", "says"),
    [
        ("Raising", "failed", "the basis set is linearly dependent"),
        ("NeverConverging", "unconverged", "333 iterations"),
        ("Garbage", "failed", "no number"),
    ],
)
def test_a_calculator_that_goes_wrong_gives_no_value_and_says_why(tmp_path, calculator, status, says):
    outcome = outcome_of(directory_for(tmp_path, spec(calculator)))
    assert (outcome.status, outcome.values) == (status, ())
    assert says in outcome.message
    assert "\n" not in outcome.message


def test_a_calculator_that_is_not_there_fails_with_the_mend(tmp_path):
    job = spec("Nowhere")
    outcome = outcome_of(directory_for(tmp_path, job))
    assert outcome.status == "failed"
    assert "Nowhere" in outcome.message


def test_a_missing_executable_fails_with_the_mend(tmp_path, monkeypatch):
    job = JobSpec("equation-of-state", parse_composition("W"), 8, 1, CalculatorChoice("abinit", "test"))
    directory = directory_for(tmp_path, job)
    outcome = outcome_of(directory, env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT)})
    assert outcome.status == "failed"
    assert "abinit" in outcome.message
    assert "make dft" in outcome.message


def test_a_python_without_the_packages_fails_with_the_mend_and_the_worker_says_so_too(tmp_path):
    (tmp_path / "ase.py").write_text("raise ModuleNotFoundError('no ase', name='ase')")
    directory = directory_for(tmp_path, spec("emt"))
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    with worker(directory, env=where) as process:
        _, said = process.communicate(timeout=60)
    message = json.loads(directory.result_file.read_text())["outcome"]["message"]
    assert message.startswith(f"the package ase is not there for {sys.executable}: install hea-loop")
    assert said.decode() == f"failed: {message}\n"


def test_a_calculation_that_hangs_is_ended_at_its_wall_limit_with_all_it_started(tmp_path):
    notes = tmp_path / "pids"
    directory = directory_for(tmp_path, spec("Hanging", notes=str(notes)), wall_s=6.0)
    began = time.monotonic()
    outcome = outcome_of(directory)
    assert outcome.status == "failed"
    assert outcome.message.startswith("wall limit: still calculating after 6 s")
    assert time.monotonic() - began < 30
    pids = [int(p) for p in notes.read_text().split()]
    assert len(pids) == 2
    assert not any(map(lives, pids))


def test_a_worker_that_is_stopped_cannot_keep_a_hanging_calculation_alive(tmp_path):
    notes = tmp_path / "pids"
    directory = directory_for(tmp_path, spec("Hanging", notes=str(notes)), wall_s=6.0)
    with worker(directory) as process:
        pids = wait_for(lambda: notes.exists() and notes.read_text().split(), 30, "the calculation")
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: not any(lives(int(p)) for p in pids), 30, "the watchdog")
        process.send_signal(signal.SIGCONT)
        process.wait(30)
    assert "wall limit" in read(directory).result.outcome.message


def test_a_worker_killed_in_the_middle_leaves_nothing_running_and_its_job_goes_on_where_it_was(
    store, tmp_path
):
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    job = submitted(store, tmp_path, spec("Counting", notes=str(notes), gate=str(gate), wait_from=3))
    wait_for(lambda: calculations(notes) >= 3, 60, "the third calculation")
    first = row(store, job)
    worker_pid = int(first.tries[0].external_id.split("|")[1])
    calculation = int(notes.read_text().split()[0])
    assert tend(store).open == 1
    assert row(store, job).state == "running"
    os.kill(worker_pid, signal.SIGKILL)
    wait_for(lambda: not lives(calculation), 20, "the watchdog to end the calculation")
    gate.touch()
    last = ended(store, job)
    assert (last.state, last.attempts) == ("done", 2)
    assert [t.state for t in last.tries] == ["lost", "done"]
    assert "its worker died" in last.tries[0].message
    assert stored(store) == ["lattice_parameter", "bulk_modulus"]
    # the two that were finished are not computed again, the third is
    whole = tmp_path / "whole"
    outcome_of(directory_for(tmp_path, spec("Counting", notes=str(whole))))
    assert calculations(notes) == calculations(whole) + 1


def test_a_calculation_that_is_killed_each_time_fails_after_as_many_attempts_as_allowed(store, tmp_path):
    job = submitted(store, tmp_path, spec("Suicidal"), attempts=2)
    last = ended(store, job)
    assert (last.state, last.attempts) == ("failed", 2)
    assert "no answer in each of its 2 attempts" in last.message
    assert "SIGKILL; out of memory?" in last.message
    assert stored(store) == []


def test_of_two_workers_at_one_directory_one_calculates_and_one_result_stands(tmp_path):
    notes = tmp_path / "notes"
    directory = directory_for(tmp_path, spec("Counting", notes=str(notes)))
    with worker(directory) as one, worker(directory) as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    assert read(directory).result.outcome.status == "converged"
    assert len(set(notes.read_text().split())) == 1
    assert not (directory.path / "claim-2.json").exists()


def test_a_worker_that_is_asked_to_end_gives_its_claim_up_and_leaves_no_result(tmp_path):
    notes = tmp_path / "pids"
    directory = directory_for(tmp_path, spec("Hanging", notes=str(notes)))
    with worker(directory) as process:
        pids = wait_for(lambda: notes.exists() and notes.read_text().split(), 30, "the calculation")
        process.terminate()
        assert process.wait(30) == 143
    assert not any(lives(int(p)) for p in pids)
    assert read(directory).stage is Stage.EXPIRED


def test_a_cancelled_job_is_ended_where_it_runs(store, tmp_path):
    notes = tmp_path / "pids"
    job = submitted(store, tmp_path, spec("Hanging", notes=str(notes)))
    pids = wait_for(lambda: notes.exists() and notes.read_text().split(), 30, "the calculation")
    assert cancel(store, [job]) == []
    wait_for(lambda: not any(lives(int(p)) for p in pids), 20, "the calculation to end")
    assert row(store, job).state == "cancelled"
    assert tend(store).open == 0


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_a_failed_job_that_says_so(small_disk):
    directory = directory_for(small_disk, spec("Wasteful", folder=str(small_disk)))
    outcome = outcome_of(directory)
    assert outcome.status == "failed"
    assert "No space left on device" in outcome.message or "no room left" in outcome.message


def test_files_that_may_not_grow_are_a_failed_job_that_says_so(tmp_path):
    directory = directory_for(tmp_path, spec("Wasteful", folder=str(tmp_path)))
    limit = 256 * 1024
    outcome = outcome_of(
        directory, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert outcome.status == "failed"
    assert "File too large" in outcome.message or "no room left" in outcome.message


def test_a_job_edited_by_hand_is_not_calculated(tmp_path):
    directory = directory_for(tmp_path, spec("emt"))
    file = directory.path / "job.json"
    file.write_text(file.read_text().replace("volume_points", "volume_strain"))
    outcome = outcome_of_edited(directory)
    assert outcome.status == "failed"
    assert "was changed after it was written" in outcome.message


def outcome_of_edited(directory):
    with worker(directory) as process:
        assert process.wait(60) == 0
    return directory.read(directory.stated_hash(), 20).result.outcome


def test_only_so_many_calculate_at_a_time(store, tmp_path):
    gate, notes = tmp_path / "gate", [tmp_path / "one", tmp_path / "two"]
    jobs = [
        submitted(store, tmp_path, spec("Counting", formula, notes=str(n), gate=str(gate)))
        for n, formula in zip(notes, ("Cu", "Al"), strict=True)
    ]
    wait_for(lambda: any(n.exists() for n in notes), 30, "one to begin")
    tend(store)
    assert sorted(row(store, j).state for j in jobs) == ["running", "submitted"]
    gate.touch()
    assert [ended(store, j).state for j in jobs] == ["done", "done"]


def test_the_command_line_submits_collects_shows_and_retries(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEA_LOOP_DATABASE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    work = ["--workflow", "equation-of-state", "--preset", "test", "--option", "lattice=fcc"]
    made = hea_loop("jobs", "submit", "Cu", "--calculator", "emt", *work, "--json")
    assert made.code == 0, made.err
    job = str(made.json["jobs"][0]["id"])
    done = hea_loop("jobs", "collect", "--wait", "60", "--json")
    assert (done.json["open"], done.json["jobs"][0]["state"]) == (0, "done")
    shown = hea_loop("jobs", "show", job)
    assert "bulk_modulus" in shown.out
    assert str(tmp_path / "jobs" / f"job-{job}-Cu" / "attempt-1")[:20] in shown.out
    assert hea_loop("jobs", "list", "--state", "done", "--json").json["jobs"][0]["id"] == int(job)
    assert hea_loop("jobs", "list", "--error", "nothing").out == ""
    again = hea_loop("jobs", "retry", job)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "is done; its values stand" in again.err
    wrong = hea_loop("jobs", "submit", "Cu", "--runner", "slurm", "--runner-option", "cpu=1")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert wrong.err.startswith(
        "error: --runner.cpu = 1: is no option of slurm; use partition, account, cpus"
    )
    assert not Path("jobs", "job-2-Cu").exists()

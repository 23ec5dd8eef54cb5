"""Jobs under a real Slurm, and what a scheduler does to them: late, away, dead, forgetful."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from db.job_rows import one_job
from db.store import open_store
from flows.tending import cancel, runner_choice, submit_material, tend
from hea_loop.processes import is_alive, start_of
from tests.programs import hea_loop_json, wait_for, write_campaign
from tests.slurm_cluster import slurm_cluster
from tests.small_campaign import small_campaign
from tests.test_atomistic_faults import calculations, ended, row, spec, stored
from validators.atomistic.job_directory import JobDirectory

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def store(tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened
        cluster.mend()


def submitted(store, tmp_path, job, *, options=None, **limits):
    given = {"lease_s": 20.0, "wall_s": 120.0, "settle_s": 0.5} | limits
    choice = runner_choice(
        store, "slurm", {"timeout_s": 10.0} | (options or {}), folder=tmp_path / "j", **given
    )
    number, _ = submit_material(store, job, choice)
    return number, tend(store, [number])


def gated(tmp_path, formula="Cu"):
    notes, gate = tmp_path / f"notes-{formula}", tmp_path / f"gate-{formula}"
    return spec("Counting", formula, notes=str(notes), gate=str(gate)), notes, gate


def begun(notes):
    wait_for(lambda: calculations(notes), 60, "the calculation to begin")


def label_of(store, job):
    with store.read() as session:
        found = one_job(session, job)
    return f"{JobDirectory(found.tries[-1].directory).order().label}"


def test_jobs_are_submitted_polled_and_collected(store, tmp_path, cluster):
    one, first = submitted(store, tmp_path, spec("emt"))
    job, notes, gate = gated(tmp_path)
    two, second = submitted(store, tmp_path, job)
    assert (first.problems, second.problems) == ([], [])
    begun(notes)
    tend(store)
    assert row(store, two).state == "running"
    gate.touch()
    assert [ended(store, j).state for j in (one, two)] == ["done", "done"]
    assert [row(store, j).attempts for j in (one, two)] == [1, 1]
    # of two calculators, so of two configurations
    assert sorted(stored(store)) == ["bulk_modulus"] * 2 + ["lattice_parameter"] * 2
    assert cluster.number_of(label_of(store, one)) == 1
    assert row(store, one).tries[0].external_id.isdigit()


def test_a_cancelled_job_leaves_the_queue_and_its_node(store, tmp_path, cluster):
    notes = tmp_path / "pids"
    job, _ = submitted(store, tmp_path, spec("Hanging", notes=str(notes)))
    pids = wait_for(lambda: notes.exists() and notes.read_text().split(), 60, "the calculation")
    assert cancel(store, [job]) == []
    wait_for(lambda: not any(is_alive(int(p), start_of(int(p))) for p in pids), 30, "its end")
    assert row(store, job).state == "cancelled"
    assert "RUNNING" not in cluster.ask("squeue", "--noheader", "--format=%T").stdout


def test_a_refused_job_waits_with_the_schedulers_words(store, tmp_path):
    job, done = submitted(store, tmp_path, spec("emt"), options={"partition": "nowhere"})
    assert "Invalid partition name" in done.problems[0]
    found = row(store, job)
    assert (found.state, found.attempts) == ("waiting", 1)
    assert "Invalid partition name" in found.message
    tend(store)
    assert row(store, job).attempts == 1


def slow_sbatch(tmp_path, monkeypatch, *, before="", after=""):
    """An sbatch that takes its time, in front of the real one."""
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{before}\n{shutil.which("sbatch")} "$@"\n{after}\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    return wrapper


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_sbatch_that_answers_late_does_not_submit_twice(store, tmp_path, cluster, monkeypatch, when):
    wrapper = slow_sbatch(tmp_path, monkeypatch, **{when: "sleep 60"})
    job, done = submitted(store, tmp_path, spec("emt"), options={"timeout_s": 2.0})
    assert "gave no answer in 2 s" in done.problems[0]
    found = row(store, job)
    assert (found.state, found.tries[0].external_id) == ("waiting", None)
    label = label_of(store, job)
    assert cluster.number_of(label) == (1 if when == "after" else 0)
    wrapper.unlink()
    assert ended(store, job).state == "done"
    assert cluster.number_of(label) == 1
    assert row(store, job).attempts == 1


def test_while_the_controller_is_away_nothing_fails_and_afterwards_all_goes_on(store, tmp_path, cluster):
    job, notes, gate = gated(tmp_path)
    one, _ = submitted(store, tmp_path, job, lease_s=400.0)  # so that no renewal comes in between
    begun(notes)
    cluster.stop("slurmctld")
    done = tend(store)
    assert "lost contact" in done.problems[0]
    assert row(store, one).state == "running"  # it shows signs of life
    two, done = submitted(store, tmp_path, spec("emt"))
    assert "lost contact" in done.problems[0]
    assert row(store, two).state == "waiting"
    # one that shows none is lost, which is not failed, and is not begun again either
    worker = JobDirectory(row(store, one).tries[0].directory)
    os.utime(worker.path / "heartbeat-1", (0, 0))
    tend(store)
    assert row(store, one).state == "lost"
    assert "no contact with slurm" in row(store, one).message
    gate.touch()
    assert ended(store, one).state == "done"  # its result needs no controller
    cluster.start_controller()
    cluster.wait_for_node("idle", "allocated", "mixed")
    assert ended(store, two).state == "done"
    assert [row(store, j).attempts for j in (one, two)] == [1, 1]


def test_a_node_whose_slurmd_dies_goes_on_calculating_and_the_result_counts_once(store, tmp_path, cluster):
    job, notes, gate = gated(tmp_path)
    one, _ = submitted(store, tmp_path, job)
    begun(notes)
    cluster.end("slurmd")
    cluster.wait_for_node("down", "down*")
    tend(store)
    assert row(store, one).state == "running"
    gate.touch()
    assert ended(store, one).state == "done"
    cluster.start_node()
    cluster.wait_for_node("idle", "allocated", "mixed")
    assert row(store, one).attempts == 1
    assert len(set(notes.read_text().split())) == 1


def test_a_node_that_dies_with_its_job_has_it_run_again(store, tmp_path, cluster):
    job, notes, gate = gated(tmp_path)
    one, _ = submitted(store, tmp_path, job)
    begun(notes)
    directory = JobDirectory(row(store, one).tries[0].directory)
    cluster.end("slurmd")
    cluster.kill_jobs()
    cluster.wait_for_node("down", "down*")
    tend(store)
    assert row(store, one).state in {"submitted", "lost"}
    gate.touch()
    cluster.start_node()
    assert ended(store, one, 120).state == "done"
    # Slurm began it again in the same directory, or we did in another
    again = (directory.path / "claim-2.json").exists() or row(store, one).attempts == 2
    assert again
    assert sorted(stored(store)) == ["bulk_modulus", "lattice_parameter"]


def test_a_job_that_the_scheduler_has_forgotten_is_settled_by_its_directory(store, tmp_path, cluster):
    one, _ = submitted(store, tmp_path, spec("emt"))
    job, notes, gate = gated(tmp_path, "Al")
    two, _ = submitted(store, tmp_path, job)
    begun(notes)
    finished = JobDirectory(row(store, one).tries[0].directory)
    wait_for(finished.result_file.exists, 60, "the first result")
    cluster.stop("slurmctld")
    shutil.rmtree(cluster.folder / "state")
    (cluster.folder / "state").mkdir()
    cluster.start_controller("-c")
    cluster.wait_for_node("idle", "allocated", "mixed")
    # the controller ends on the node what it does not know
    pid = int(notes.read_text().split()[0])
    wait_for(lambda: not is_alive(pid, start_of(pid)), 60, "the orphan's end")
    tend(store)
    assert row(store, one).state == "done"
    assert row(store, two).state == "lost"
    assert "slurm does not know it" in row(store, two).message
    gate.touch()
    last = ended(store, two, 120)
    assert (last.state, last.attempts) == ("done", 2)
    assert [t.state for t in last.tries] == ["lost", "done"]


def test_of_two_submissions_of_one_job_one_calculates(store, tmp_path, cluster, monkeypatch):
    wrapper = slow_sbatch(tmp_path, monkeypatch, before=f'{shutil.which("sbatch")} "$@" >/dev/null')
    job, notes, gate = gated(tmp_path)
    one, _ = submitted(store, tmp_path, job)
    wrapper.unlink()
    assert cluster.number_of(label_of(store, one)) == 2
    begun(notes)
    gate.touch()
    assert ended(store, one).state == "done"
    assert len(set(notes.read_text().split())) == 1


def test_a_campaigns_jobs_go_through_the_scheduler_and_their_answers_into_its_report(
    tmp_path, cluster, monkeypatch
):
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    pair_potential = {"sigma": 2.55, "epsilon": 0.5, "rc": 8.0, "smooth": True}
    atomistic = {
        "budget": 2,
        "calculator": "ase.calculators.lj:LennardJones",
        "preset": "test",
        "calculator_options": {"arguments": pair_potential},
        "accept_unqualified": True,
        "workflow": "equation-of-state",
        "options": {"max_rounding": 0.25, "volume_points": 5, "fmax": 0.2},
        "runner": {"name": "slurm", "options": {"cpus": 1}, "wall_limit_s": 120},
    }
    spec_ = small_campaign(
        iterations=1,
        batch_size=8,
        targets={"density": {"max": 19}},
        validators={"calphad": {"budget": 20}, "atomistic": atomistic},
    )
    file = write_campaign(tmp_path, spec_)
    done = hea_loop_json(tmp_path, "run", file)
    assert done["state"] == "done"  # nobody waited
    first = hea_loop_json(tmp_path, "jobs", "list", "--outside")["jobs"]
    assert len(first) == 2
    assert {j["runner"] for j in first} == {"slurm"}
    collected = hea_loop_json(tmp_path, "jobs", "collect", "--wait", "120")
    assert collected["open"] == 0, collected
    jobs = hea_loop_json(tmp_path, "jobs", "list", "--outside")["jobs"]
    assert [j["state"] for j in jobs] == ["done", "done"], jobs
    (state,) = hea_loop_json(tmp_path, "status")["campaigns"]
    assert sum(r["validated"] for r in state["dft"]) == 2
    hea_loop_json(tmp_path, "report", "--out", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "From the potential ase.calculators.lj:LennardJones" in text
    assert "DFT" not in text
    assert "none: the user insisted" in text
    assert "bulk modulus" in text

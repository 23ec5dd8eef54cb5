"""Jobs in a real dask cluster: a scheduler and a worker of their own, as somebody else would have started them."""

from __future__ import annotations

import os
import sys

import pytest

from db.store import open_store
from flows.tending import cancel, runner_choice, submit_material, tend
from tests.programs import free_port, running, wait_for
from tests.store_processes import ROOT
from tests.test_atomistic_faults import ended, lives, row, spec, stored

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]


@pytest.fixture
def address(tmp_path):
    """A cluster of one worker; yields the scheduler's address and a way to start it again."""
    port = free_port()
    where = f"tcp://127.0.0.1:{port}"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [*dask, "worker", where, "--nthreads", "2", "--no-dashboard", "--no-nanny"]
    worker += ["--local-directory", str(tmp_path / "dask")]
    with running(scheduler, tmp_path, "scheduler.txt", env), running(worker, tmp_path, "worker.txt", env):
        wait_for(lambda: "Registered to" in (tmp_path / "worker.txt").read_text(), 60, "the dask worker")
        yield where


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


def submitted(store, tmp_path, where, job):
    options = {"address": where, "timeout_s": 5.0}
    choice = runner_choice(store, "dask", options, folder=tmp_path / "j", settle_s=0.5, lease_s=20.0)
    number, _ = submit_material(store, job, choice)
    return number, tend(store, [number])


def test_jobs_run_in_an_existing_cluster_and_outlive_who_submitted_them(store, tmp_path, address):
    one, done = submitted(store, tmp_path, address, spec("emt"))
    assert done.problems == []
    assert row(store, one).tries[0].external_id.startswith("hea-loop-1-1-")
    two, _ = submitted(store, tmp_path, address, spec("Suicidal"))
    assert ended(store, one).state == "done"
    assert sorted(stored(store)) == ["bulk_modulus", "lattice_parameter"]
    last = ended(store, two)
    assert (last.state, last.attempts) == ("failed", 3)


def test_a_cancelled_job_ends_though_dask_cannot_stop_it(store, tmp_path, address):
    notes = tmp_path / "pids"
    job, _ = submitted(store, tmp_path, address, spec("Hanging", notes=str(notes)))
    pids = wait_for(lambda: notes.exists() and notes.read_text().split(), 60, "the calculation")
    tend(store)
    assert row(store, job).state == "running"
    assert cancel(store, [job]) == []
    wait_for(lambda: not any(lives(int(p)) for p in pids), 30, "its end")


def test_a_cluster_out_of_reach_is_no_failure(store, tmp_path):
    job, done = submitted(store, tmp_path, f"tcp://127.0.0.1:{free_port()}", spec("emt"))
    assert "lost contact: dask at tcp://127.0.0.1" in done.problems[0]
    assert row(store, job).state == "waiting"

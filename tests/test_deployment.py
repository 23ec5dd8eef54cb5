"""Deployments on a real Prefect server: the schedule, a run by hand, decisions that start a run, dead runs."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from ruamel.yaml import YAML
from sqlalchemy import select

from db import models
from db.store import open_store
from tests.programs import (
    PREFECT,
    ROOT,
    environment,
    hea_loop,
    hea_loop_json,
    prefect_server,
    running,
    wait_for,
    write_campaign,
)
from tests.small_campaign import small_campaign

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.xdist_group("deployment")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a Prefect server; yields the folder and the environment of programs that use both."""
    folder = tmp_path_factory.mktemp("deployment")
    with prefect_server(folder) as url:
        yield folder, environment(folder, PREFECT_API_URL=url, HEA_LOOP_HOME=str(ROOT))


@pytest.fixture(scope="module")
def deployed(place):
    """The project's own deployments, the campaign every minute, with a worker that runs what is due."""
    folder, env = place
    content = YAML(typ="safe").load((ROOT / "deployments" / "prefect.yaml").read_text())
    campaign, relay, jobs = content["deployments"]
    scheduled = small_campaign(name="scheduled", batch_size=5)
    campaign["schedules"] = [{"interval": 60}]
    campaign["parameters"]["campaign"] = str(write_campaign(folder, scheduled))
    del relay["schedules"], jobs["schedules"]
    file = folder / "prefect.yaml"
    with file.open("w") as stream:
        YAML(typ="safe").dump(content, stream)
    prefect(env, "work-pool", "create", "hea-loop", "--type", "process")
    prefect(env, "--no-prompt", "deploy", "--all", "--prefect-file", str(file))
    worker = [str(PREFECT), "worker", "start", "--pool", "hea-loop", "--type", "process", "--limit", "2"]
    with running(worker, folder, "worker.txt", env):
        yield folder, env


def prefect(env, *arguments):
    done = subprocess.run(
        [str(PREFECT), *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flow_runs(env):
    """Name, state, parameters, whether it was scheduled, and id, of every flow run."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{env['PREFECT_API_URL']}/flow_runs/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - likewise
        runs = json.load(response)
    return [(r["name"], r["state_type"], r["parameters"], r["auto_scheduled"], r["id"]) for r in runs]


def states_of(folder, name):
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        row = session.scalar(select(models.Campaign).where(models.Campaign.name == name))
        if row is None:
            return None, []
        return row.state, [i.stage for i in row.iterations]


def test_a_run_by_hand_takes_another_campaign_as_its_parameter(deployed):
    folder, env = deployed
    other = small_campaign(name="by-hand", seed=9, iterations=1, batch_size=5)
    parameters = json.dumps({"campaign": other.model_dump(mode="json"), "max_iterations": None})
    prefect(env, "deployment", "run", "run_campaign/campaign", "--params", parameters, "--watch")
    assert states_of(folder, "by-hand") == ("done", ["scored"])


def test_a_decision_starts_the_run_that_validates_what_was_approved_and_proposes_again(deployed):
    folder, env = deployed
    file = write_campaign(folder, small_campaign(name="reviewed", review="required", batch_size=5))
    url = env["PREFECT_API_URL"]
    assert hea_loop_json(folder, "run", file, "--no-report", PREFECT_API_URL=url)["state"] == "waiting"
    ids = [row["id"] for row in hea_loop_json(folder, "queue", "list")["queued"]]
    for verdict, chosen in (("approve", ids[:2]), ("reject", ids[2:])):
        assert hea_loop(folder, "queue", verdict, *chosen, "--reason", "so", "--who", "Ada").returncode == 0
    prefect(env, "deployment", "run", "relay_outbox/relay", "--watch")
    wait_for(
        lambda: states_of(folder, "reviewed") == ("waiting", ["scored", "collecting"]),
        240,
        "the run that a decision starts: it scores the first iteration and proposes the second",
    )
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        validated = set(
            session.scalars(
                select(models.Candidate.id).where(
                    models.Candidate.id.in_(ids), models.Candidate.hit.is_not(None)
                )
            )
        )
    assert validated == set(ids[:2])


def test_a_run_killed_hard_is_shown_as_crashed_once_the_next_one_goes_on(place):
    folder, env = place
    campaign = small_campaign(
        name="killed", iterations=1, batch_size=5, strategy={"options": {"steps": 400}, "oversample": 20}
    )
    file = write_campaign(folder, campaign)
    command = [sys.executable, "-m", "app", "run", str(file), "--no-report"]
    with running(command, folder, "killed.txt", {**env, "PYTHONPATH": str(ROOT)}) as process:
        wait_for(lambda: states_of(folder, "killed")[1], 120, "the first iteration")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        row = session.scalar(select(models.Campaign).where(models.Campaign.name == "killed"))
        dead = row.flow_run_id
    assert row.state == "running"
    by_id = {r[4]: r[1] for r in flow_runs(env)}
    assert by_id[dead] == "RUNNING"
    finished = hea_loop_json(folder, "run", file, "--no-report", PREFECT_API_URL=env["PREFECT_API_URL"])
    assert finished["state"] == "done"
    by_id = {r[4]: r[1] for r in flow_runs(env)}
    assert by_id[dead] == "CRASHED"


# last, as its minutes pass while the others run
def test_a_deployment_scheduled_every_minute_turns_the_campaign_by_itself_twice(deployed):
    folder, env = deployed

    def twice():
        by_schedule = [
            r for r in flow_runs(env) if r[3] and r[2].get("max_iterations") == 1 and "campaign" in r[2]
        ]
        # a run that is due while the one before is at work finds the campaign busy and ends: it turned nothing
        done = sum(state == "COMPLETED" for _, state, *_ in by_schedule)
        return done >= 2 and states_of(folder, "scheduled")[1] == ["scored", "scored"]

    wait_for(twice, 420, "two scheduled runs to turn the campaign by one iteration each")

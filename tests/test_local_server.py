"""The Prefect server of a local run: several at once in one new home, and one that is lost on the way."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from db.store import open_store
from tests.programs import ROOT, environment, hea_loop_json, running, wait_for, write_campaign
from tests.small_campaign import small_campaign

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.xdist_group("loop")]

START = "from flows.local_server import local_server\nwith local_server() as url: print(url)"


def start_and_end(folder):
    return subprocess.run(
        [sys.executable, "-c", START],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_two_servers_that_start_at_once_in_a_new_home_both_come_up(tmp_path):
    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(start_and_end, [tmp_path, tmp_path]))
    assert [e.returncode for e in ended] == [0, 0], [e.stderr for e in ended]
    assert len({e.stdout for e in ended}) == 2
    assert [e.stderr for e in ended] == ["", ""]


def children(process):
    """Ids and command lines of the programs that a process has started and that live."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [line.strip().split(" ", 1) for line in listed.stdout.splitlines()]


def test_a_run_that_loses_its_server_says_so_in_one_line_and_the_same_command_goes_on(tmp_path):
    file = write_campaign(tmp_path, small_campaign(iterations=1, batch_size=4))
    command = [sys.executable, "-m", "app", "run", str(file), "--no-report"]
    env = environment(tmp_path, PREFECT_CLIENT_MAX_RETRIES="1")  # or Prefect asks for a minute
    with running(command, tmp_path, "lost.txt", env) as process:
        wait_for((tmp_path / "store.sqlite").exists, 120, "the store")

        def at_work():
            from sqlalchemy import text

            with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store, store.read() as session:
                return session.scalar(text("SELECT count(*) FROM iteration"))

        wait_for(at_work, 120, "the first iteration")
        server = next(int(pid) for pid, args in children(process.pid) if "flows.local_server" in args)
        os.kill(server, signal.SIGKILL)
        assert process.wait(240) == 2
    said = (tmp_path / "lost.txt").read_text()
    assert "Traceback" not in said
    assert "the Prefect server does not answer" in said.splitlines()[-1]
    assert hea_loop_json(tmp_path, "run", file, "--no-report")["state"] == "done"

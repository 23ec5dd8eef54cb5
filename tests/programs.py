"""Programs that tests start for real: the command line, a Prefect server, a worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hea_loop.campaign import Campaign

ROOT = Path(__file__).resolve().parent.parent
PREFECT = Path(sys.executable).with_name("prefect")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a program that works in a folder and leaves nothing elsewhere."""
    ours = {k: v for k, v in os.environ.items() if k not in {"PREFECT_API_URL", "HEA_LOOP_DATABASE_URL"}}
    return {
        **ours,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "HEA_LOOP_DATABASE_URL": f"sqlite:///{folder / 'store.sqlite'}",
        **more,
    }


def write_campaign(folder: Path, campaign: Campaign) -> Path:
    """Write a campaign file as a person would have it."""
    path = folder / f"{campaign.name}.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(campaign.model_dump(mode="json"), file)
    return path


def hea_loop(folder: Path, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def hea_loop_json(folder: Path, *arguments: object, **more: str) -> Any:
    """Run the command line, which has to succeed, and read what it prints."""
    done = hea_loop(folder, *arguments, "--json", **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask again and again until there is an answer; fail with what was waited for."""
    deadline = time.monotonic() + seconds
    pause = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pause.settimeout(0.5)
    try:
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            try:
                pause.recv(1)  # nothing ever comes: half a second passes
            except TimeoutError:
                continue
    finally:
        pause.close()
    raise AssertionError(f"waited {seconds:g} s for {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str], folder: Path, log: str, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a program running meanwhile."""
    with (folder / log).open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """A Prefect server of the test's own; yields the URL of its API."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    command = [str(PREFECT), "server", "start", "--port", str(port), "--no-ui"]
    with running(command, folder, "server.txt", environment(folder)):
        wait_for(lambda: _answers(url), 120, "the Prefect server")
        yield url

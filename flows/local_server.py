"""A Prefect server for the length of one local run.

Prefect's own temporary server outlives a parent that is killed hard. This one watches its parent and ends with
it, and binds its port before it says which, so that two never meet on one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hea_loop.errors import HeaLoopError

__all__ = ["ServerStartError", "local_server"]

_START_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.5
_DRAIN_S: Final = 5.0


class ServerStartError(HeaLoopError):
    """The local Prefect server did not come up."""


@contextmanager
def local_server() -> Iterator[str]:
    """Start a Prefect server for this process and make it the API of every flow inside the block.

    Where ``PREFECT_API_URL`` (or the active profile) names a server, that one is used and nothing is started.

    Yields:
        The URL of the API.

    Raises:
        ServerStartError: It did not answer in time; the text has what it printed.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    configured = PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    with _alone_in(PREFECT_HOME.value()):
        process, url = _start()
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            try:
                yield url
            finally:
                _tell_all()
    finally:
        _end(process)


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Have one server at a time start: two that create Prefect's database at once spoil it for each other.

    The kernel gives the lock back when its holder ends, however it ends.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "hea-loop-server.lock").open("w")
    except OSError as error:
        raise ServerStartError(
            f"PREFECT_HOME = {str(home)!r}: cannot be written ({error.strerror}); mend its permissions or name another"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
        [sys.executable, "-m", "flows.local_server", str(os.getpid())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
        start_new_session=True,  # Ctrl-C is for the run, which then tells its server how it ended
        env={
            **os.environ,
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        },
    )
    try:
        return process, _wait_until_ready(process)
    except BaseException:  # an interruption too must leave no server behind
        _end(process)
        raise


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tell_all() -> None:
    """Send what is left of logs and events: without a server Prefect would try for a minute at exit."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, APILogHandler):
                handler.flush()
    # the server is about to end: what it has not heard by then is nobody's news, at exit neither
    logging.getLogger(EventsWorker.__name__).setLevel(logging.CRITICAL)
    # in a thread of its own: where an event loop runs, as in a notebook, it would return a coroutine instead
    draining = threading.Thread(target=EventsWorker.drain_all, kwargs={"timeout": _DRAIN_S}, daemon=True)
    draining.start()
    draining.join(_DRAIN_S)


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    import httpx

    assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
    assert process.stderr is not None  # noqa: S101 - likewise
    port = process.stdout.readline().strip()
    errors: list[str] = []
    stderr = process.stderr
    threading.Thread(target=lambda: errors.extend(stderr), daemon=True).start()
    url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + _START_TIMEOUT_S
    while port and process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == httpx.codes.OK:
                return url
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    process.kill()
    process.wait()
    said = " ".join("".join(errors)[-600:].split())
    raise ServerStartError(f"the local Prefect server did not start: {said or 'it said nothing'}")


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(0)


def _serve(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - the parent reads it
    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

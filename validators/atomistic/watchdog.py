"""Ends a calculation that outlives its limit or its worker. Needs nothing but the standard library.

Run as a process of its own by the worker, which tells it on stdin which session to watch and for how long:
``SESSION SECONDS``, then ``done`` when all is well. The end of stdin without that word means that the worker is
dead. A calculator that hangs in C code, or a worker that is stopped, cannot keep it from acting.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["end_session"]

_GRACE_S = 2.0
"""Between asking and killing: mpirun passes the request on to what it started."""


def _session_of(pid: str) -> int:
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        return -1 if fields[0] == "Z" else int(fields[3])
    except (OSError, IndexError, ValueError):
        return -1


def _members(session: int) -> list[int]:
    """Processes of a session that live: also those that moved into a process group of their own, as MPI's do."""
    me = os.getpid()
    names = [entry.name for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [int(name) for name in names if int(name) != me and _session_of(name) == session]


def end_session(session: int, grace_s: float = _GRACE_S) -> None:
    """End every process of a session: ask, wait a little, kill, until none is left.

    Args:
        session: The id of the process that leads it.
        grace_s: Seconds between asking and killing.
    """
    if not Path("/proc/self/stat").exists():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signal.SIGKILL)
        return
    _signal(session, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while _members(session) and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    for _ in range(50):  # what forks while it is being killed is found in the next round
        if not _members(session):
            return
        _signal(session, signal.SIGKILL)
        select.select([], [], [], 0.02)


def _signal(session: int, what: signal.Signals) -> None:
    for pid in _members(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, what)


def _watch() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = _line()
    if len(order.split()) != 2:
        return  # the worker died before it started anything
    session, seconds = int(order.split()[0]), float(order.split()[1])
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], min(left, 3600.0))
        if ready:
            if _line() == "done":
                return
            break
    end_session(session)


def _line() -> str:
    """A line of stdin without buffering, which would hide the rest from select."""
    read = b""
    while not read.endswith(b"\n"):
        byte = os.read(sys.stdin.fileno(), 1)
        if not byte:
            return ""
        read += byte
    return read.decode().strip()


if __name__ == "__main__":
    _watch()

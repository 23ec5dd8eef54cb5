"""Jobs as processes of this machine, a bounded number calculating at a time.

A worker outlives the command that started it. Those that have no place yet wait for one; the places of a
folder are locks, which the operating system takes back from whoever dies.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hea_loop.processes import is_alive, start_of
from validators.atomistic.runners.contact import LostContact, Refused, Seen, Sighting, Ticket

__all__ = ["LocalRunner"]

_PATIENCE_S = 5.0


class LocalRunner:
    """Runs jobs on this machine.

    Args:
        folder: Where the directories of jobs are: its jobs share the places.
        processes: How many calculate at a time.
    """

    name = "local"

    def __init__(self, folder: Path, processes: int = 1) -> None:
        self._slots = folder / ".slots"
        self._processes = processes

    def submit(self, ticket: Ticket) -> str:
        """Start a worker in a session of its own; return ``host|pid|start``."""
        command = [sys.executable, "-m", "validators.atomistic.worker", str(ticket.directory)]
        command += ["--slots-in", str(self._slots), "--slots", str(self._processes)]
        log = str(ticket.directory / "worker.log")
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            # not subprocess: the worker is to outlive this process, and is waited for by nobody
            pid = os.posix_spawn(
                sys.executable,
                command,
                _environment(),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, mode, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
        except OSError as error:
            raise Refused(f"no process could be started: {error.strerror}") from error
        return f"{socket.gethostname()}|{pid}|{start_of(pid)}"

    def look(self, tickets: Sequence[Ticket]) -> dict[str, Sighting]:
        """Whether the processes live; of another host's nothing can be said from here."""
        return {t.label: self._look(t) for t in tickets}

    def _look(self, ticket: Ticket) -> Sighting:
        if ticket.external_id is None:
            return Sighting(Seen.UNKNOWN)
        host, pid, start = ticket.external_id.split("|")
        if host != socket.gethostname():
            return Sighting(Seen.QUEUED, ticket.external_id, f"on {host}, which is not this machine")
        with suppress(ChildProcessError):
            os.waitpid(int(pid), os.WNOHANG)  # one of this process that has ended
        alive = is_alive(int(pid), start)
        return Sighting(Seen.RUNNING if alive else Seen.GONE, ticket.external_id, f"process {pid}")

    def cancel(self, ticket: Ticket) -> None:
        """Ask the worker to end its calculation and itself; kill it if it does not."""
        if ticket.external_id is None:
            return
        host, number, start = ticket.external_id.split("|")
        if host != socket.gethostname():
            raise LostContact(f"the job runs on {host}: cancel it there")
        pid = int(number)
        for what in (signal.SIGTERM, signal.SIGKILL):
            waited = 0.0
            if is_alive(pid, start):
                with suppress(ProcessLookupError):
                    os.kill(pid, what)
            while is_alive(pid, start) and waited < _PATIENCE_S:
                select.select([], [], [], 0.05)
                waited += 0.05


def _environment() -> dict[str, str]:
    """This process's environment with our packages on the path: the worker starts elsewhere."""
    root = str(Path(__file__).resolve().parents[3])
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": root if not path else f"{root}{os.pathsep}{path}",
    }

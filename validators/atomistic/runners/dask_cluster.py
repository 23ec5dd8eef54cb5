"""Jobs in an existing dask cluster, by the address of its scheduler.

Each job is one task, published under its label so that it outlives this process and is found again. The task
starts the usual worker program, so the directory has to be on a file system that the cluster sees.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hea_loop.errors import InputError
from validators.atomistic.runners.contact import LostContact, Refused, Seen, Sighting, Ticket

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskRunner"]

_SEEN: Final = {"pending": Seen.RUNNING, "finished": Seen.GONE, "error": Seen.GONE, "cancelled": Seen.GONE}


def _run_worker(directory: str) -> int:
    """What the cluster runs. Its own Python, its own packages."""
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-m", "validators.atomistic.worker", directory]
    return subprocess.run(command, cwd=root, check=False).returncode  # noqa: S603 - our own program


class DaskRunner:
    """Runs jobs in a dask cluster.

    Args:
        address: Of the scheduler.
        timeout_s: Seconds after which it counts as out of reach.

    Raises:
        InputError: dask.distributed is not installed.
    """

    name = "dask"

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        try:
            import distributed  # noqa: F401 - whether it is there
        except ImportError:
            raise InputError(
                "runner", "dask", "dask.distributed is not installed", "pip install 'hea-loop[dask]'"
            ) from None

    @contextmanager
    def _client(self) -> Iterator[Client]:
        from distributed import Client
        from distributed.comm import CommClosedError

        try:
            client = Client(self._address, timeout=self._timeout_s, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise LostContact(f"dask at {self._address}: {_words(error)}") from error
        try:
            yield client
        except (OSError, CommClosedError, TimeoutError) as error:
            raise LostContact(f"dask at {self._address}: {_words(error)}") from error
        finally:
            client.close(timeout=self._timeout_s)

    def submit(self, ticket: Ticket) -> str:
        """Submit the task and publish it under its label; one that is there already is left alone."""
        with self._client() as client:
            if ticket.label in client.list_datasets():
                return ticket.label
            if not client.scheduler_info().get("workers"):
                raise Refused(f"the dask cluster at {self._address} has no workers")
            future = client.submit(_run_worker, str(ticket.directory), key=ticket.label, pure=False)
            client.publish_dataset(future, name=ticket.label)
        return ticket.label

    def look(self, tickets: Sequence[Ticket]) -> dict[str, Sighting]:
        """State of the published tasks."""
        with self._client() as client:
            published = set(client.list_datasets())
            states: dict[str, str] = {}
            for ticket in tickets:
                if ticket.label in published:
                    states[ticket.label] = _status(client, ticket.label)
        return {
            t.label: Sighting(_SEEN.get(states[t.label], Seen.UNKNOWN), t.label, f"dask: {states[t.label]}")
            if t.label in states
            else Sighting(Seen.UNKNOWN, t.external_id)
            for t in tickets
        }

    def cancel(self, ticket: Ticket) -> None:
        """Cancel the task; dask cannot stop one that runs, which ends by the word in its directory."""
        with self._client() as client:
            if ticket.label in client.list_datasets():
                client.get_dataset(ticket.label).cancel()
                client.unpublish_dataset(ticket.label)


def _status(client: Any, label: str) -> str:
    """A future that was just taken from the scheduler says pending until its state has come along."""
    from distributed import wait

    future = client.get_dataset(label)
    try:
        with client.as_current():
            wait([future], timeout=0.5)
    except TimeoutError:
        return "pending"
    return str(future.status)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

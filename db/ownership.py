"""Who works on something now: owners with leases, and how a dead one is told from a slow one.

An owner is ``host|pid|start|token``. On its own host a vanished process is known to be dead at once; from
elsewhere only an expired lease says so.
"""

from __future__ import annotations

import os
import socket
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

__all__ = ["LEASE", "is_free", "lease_end", "new_owner"]

LEASE: Final = timedelta(seconds=120)
"""How long a claim holds without being renewed. Renewals come every quarter of it."""


def _start_of(pid: int) -> str:
    """When the process started, in clock ticks since boot: tells a process from a later one with its number."""
    try:
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="ascii", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    except (OSError, IndexError):
        return "?"


def new_owner() -> str:
    """Return an owner name for this process, different at every call."""
    return f"{socket.gethostname()}|{os.getpid()}|{_start_of(os.getpid())}|{uuid.uuid4().hex[:12]}"


def lease_end(now: datetime | None = None) -> datetime:
    """When a claim made now expires."""
    return (now or datetime.now(UTC)) + LEASE


def is_free(owner: str | None, expires: datetime | None, now: datetime | None = None) -> bool:
    """Whether nobody works on it any more: no owner, an expired lease, or an owner that died on this host."""
    if owner is None or expires is None or expires <= (now or datetime.now(UTC)):
        return True
    parts = owner.split("|")
    if len(parts) != 4 or parts[0] != socket.gethostname() or not parts[1].isdigit():
        return False
    return not _is_alive(int(parts[1]), parts[2])


def _is_alive(pid: int, start: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives and belongs to another user
    return _start_of(pid) == start and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="ascii", errors="replace")
            .rpartition(")")[2]
            .split()[0]
            == "Z"
        )
    except (OSError, IndexError):
        return False

"""Who works on something now: owners with leases, and how a dead one is told from a slow one.

An owner is ``host|pid|start|token``. On its own host a vanished process is known to be dead at once; from
elsewhere only an expired lease says so.
"""

from __future__ import annotations

import os
import socket
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from hea_loop.processes import is_alive, start_of

__all__ = ["LEASE", "is_free", "lease_end", "new_owner"]

LEASE: Final = timedelta(seconds=120)
"""How long a claim holds without being renewed. Renewals come every quarter of it."""


def new_owner() -> str:
    """Return an owner name for this process, different at every call."""
    return f"{socket.gethostname()}|{os.getpid()}|{start_of(os.getpid())}|{uuid.uuid4().hex[:12]}"


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
    return not is_alive(int(parts[1]), parts[2])

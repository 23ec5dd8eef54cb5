"""Which process something belongs to, told apart from a later one that got the same number."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_alive", "start_of"]


def _after_name(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` after the program's name, which may hold blanks and brackets itself."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return text.rpartition(")")[2].split()


def start_of(pid: int) -> str:
    """When the process started, in clock ticks since boot; ``?`` where it cannot be told."""
    try:
        return _after_name(pid)[19]
    except (OSError, IndexError):
        return "?"


def is_alive(pid: int, start: str) -> bool:
    """Whether the process that started then still runs on this host; one that waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives and belongs to another user
    return start_of(pid) == start and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return _after_name(pid)[0] == "Z"
    except (OSError, IndexError):
        return False

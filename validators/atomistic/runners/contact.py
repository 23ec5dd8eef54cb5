"""What every runner does and says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from hea_loop.errors import HeaLoopError

__all__ = ["LostContact", "Refused", "Runner", "Seen", "Sighting", "Ticket"]


class LostContact(HeaLoopError):  # noqa: N818 - says what happened
    """The other side did not answer: nothing is known, least of all that something failed."""


class Refused(HeaLoopError):  # noqa: N818 - says what happened
    """The other side answered, and does not take the job as it is."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One attempt, as a runner knows it.

    Attributes:
        label: Unique name: what is submitted under it is found again by it.
        directory: Of the attempt.
        wall_s: Wall limit of the calculation in seconds.
        external_id: What the runner called it when it was submitted; None while that is not known.
    """

    label: str
    directory: Path
    wall_s: float
    external_id: str | None = None


class Seen(StrEnum):
    """What a runner sees of an attempt."""

    QUEUED = "queued"
    RUNNING = "running"
    GONE = "gone"
    """It ended, whatever its result."""
    UNKNOWN = "unknown"
    """The runner answered, and does not know it (any more)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a runner sees of an attempt, in its own words too."""

    seen: Seen
    external_id: str | None = None
    text: str = ""


class Runner(Protocol):
    """Starts workers on directories, looks after them, ends them. Never reads or writes a result."""

    name: str

    def submit(self, ticket: Ticket) -> str:
        """Have the job run; return what it is called there. Does not wait for it.

        Raises:
            LostContact: No answer: it may be submitted or not; look for it before trying again.
            Refused: It was not submitted.
        """
        ...

    def look(self, tickets: Sequence[Ticket]) -> dict[str, Sighting]:
        """What is seen of each, by label.

        Raises:
            LostContact: Nothing can be said of any.
        """
        ...

    def cancel(self, ticket: Ticket) -> None:
        """End it, running or not; one that is gone is no error.

        Raises:
            LostContact: It may run on.
        """
        ...

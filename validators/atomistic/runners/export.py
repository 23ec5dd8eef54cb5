"""Directories for a machine that we cannot reach: ready to be carried there, run, and carried back."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from validators.atomistic.runners.contact import Refused, Seen, Sighting, Ticket

__all__ = ["ExportRunner"]


class ExportRunner:
    """Writes what a person needs beside ``job.json``.

    Args:
        python: Python on the other machine, with hea-loop and the calculator.
    """

    name = "export"

    def __init__(self, python: str = "python3") -> None:
        self._python = python

    def submit(self, ticket: Ticket) -> str:
        """Write ``run.sh`` and ``README.txt``; nothing is started."""
        script = (
            "#!/bin/sh\n"
            "# Runs this job where it stands; a batch script may call it.\n"
            'cd "$(dirname "$0")" || exit 1\n'
            f'exec {shlex.quote(self._python)} -m validators.atomistic.worker "$PWD"\n'
        )
        text = (
            f"{ticket.label}: copy this directory to a machine whose {self._python} has hea-loop and the calculator, "
            "run `sh run.sh` there, copy it back and say `hea-loop jobs collect DIRECTORY`.\n"
        )
        try:
            (ticket.directory / "run.sh").write_text(script, encoding="utf-8")
            (ticket.directory / "run.sh").chmod(0o755)
            (ticket.directory / "README.txt").write_text(text, encoding="utf-8")
        except OSError as error:
            raise Refused(f"{ticket.directory} cannot be written: {error.strerror}") from error
        return f"export:{ticket.directory}"

    def look(self, tickets: Sequence[Ticket]) -> dict[str, Sighting]:
        """Always queued: only a person knows."""
        text = "exported; bring its directory back with `hea-loop jobs collect DIRECTORY`"
        return {t.label: Sighting(Seen.QUEUED, t.external_id, text) for t in tickets if t.external_id} | {
            t.label: Sighting(Seen.UNKNOWN) for t in tickets if not t.external_id
        }

    def cancel(self, ticket: Ticket) -> None:
        """Nothing to end here."""

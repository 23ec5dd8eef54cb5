"""Jobs under Slurm, through its own commands: sbatch, squeue, scancel.

A job carries its label as its name, and is looked for by it: an sbatch whose answer was lost has left a job
that is found and not submitted again. No accounting is needed. What Slurm has forgotten (``MinJobAge`` after its
end) is unknown, and the directory decides; a slurmctld that is down is lost contact.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any, Final

from hea_loop.errors import InputError
from validators.atomistic.runners.contact import LostContact, Refused, Seen, Sighting, Ticket

__all__ = ["SlurmRunner", "batch_script"]

_QUEUED: Final = frozenset(
    {
        "PENDING",
        "CONFIGURING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESV_DEL_HOLD",
        "SPECIAL_EXIT",
        "SUSPENDED",
        "STOPPED",
    }
)
_RUNNING: Final = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING"})
_UNREACHABLE: Final = (
    "Unable to contact",
    "Connection refused",
    "Connection timed out",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "communication connection failure",
    "Communication connection failure",
    "Protocol authentication error",
    "Munge encode failed",
    "Invalid authentication credential",
    "Transport endpoint",
    "Unexpected message received",
    "backup controller",
    "standby mode",
    "Slurm temporarily unable",
    "Resource temporarily unavailable",
)
_MARGIN_S: Final = 120
"""Between our wall limit and Slurm's: ours comes first and says why."""
_AT_ONCE: Final = 100
"""Labels in one squeue."""


def batch_script(ticket: Ticket, options: Mapping[str, Any]) -> str:
    """The batch script of one attempt.

    Args:
        ticket: The attempt.
        options: The runner's options, complete.
    """
    minutes = ceil((ticket.wall_s + _MARGIN_S) / 60)
    lines = [
        "#!/bin/sh",
        f"#SBATCH --job-name={ticket.label}",
        f"#SBATCH --comment={ticket.label}",
        f"#SBATCH --output={_quoted(ticket.directory / 'slurm-%j.log')}",
        f"#SBATCH --chdir={_quoted(ticket.directory)}",
        f"#SBATCH --time={minutes}",
        f"#SBATCH --ntasks=1 --cpus-per-task={options['cpus']}",
        # the directory's claim keeps a requeued job from running beside its first run
        "#SBATCH --requeue --open-mode=append",
    ]
    named = (("partition", "partition"), ("account", "account"), ("mem", "memory"))
    lines += [f"#SBATCH --{flag}={options[key]}" for flag, key in named if options[key]]
    lines += [f"#SBATCH {line}" for line in options["lines"]]
    root = Path(__file__).resolve().parents[3]
    lines += [
        f"export PYTHONPATH={shlex.quote(str(root))}${{PYTHONPATH:+:$PYTHONPATH}}",
        *options["setup"],
        shlex.join(
            [
                "exec",
                options["python"] or sys.executable,
                "-m",
                "validators.atomistic.worker",
                str(ticket.directory),
            ]
        ),
    ]
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """Paths in #SBATCH lines: Slurm reads quotes, and a percent sign as a placeholder."""
    return '"' + str(path.parent).replace("%", "%%") + "/" + path.name + '"'


class SlurmRunner:
    """Runs jobs under Slurm.

    Args:
        options: See :data:`validators.atomistic.runners.RUNNERS`; complete.

    Raises:
        InputError: Slurm's commands are not on this machine.
    """

    name = "slurm"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        for command in ("sbatch", "squeue", "scancel"):
            if shutil.which(command) is None:
                raise InputError(
                    "runner",
                    "slurm",
                    f"there is no {command} on this machine",
                    "install slurm-client, work on the cluster's login node, or use the runner export",
                )

    def submit(self, ticket: Ticket) -> str:
        """Submit the batch script; return Slurm's job id."""
        script = ticket.directory / "job.sh"
        try:
            script.write_text(batch_script(ticket, self._options), encoding="utf-8")
        except OSError as error:
            raise Refused(f"{script} cannot be written: {error.strerror}") from error
        done = self._run("sbatch", "--parsable", str(script))
        if done.returncode != 0:
            raise Refused(f"sbatch: {_last_line(done.stderr)}")
        return done.stdout.strip().splitlines()[-1].split(";")[0]

    def look(self, tickets: Sequence[Ticket]) -> dict[str, Sighting]:
        """Ask squeue for the labels; of several jobs of one label the one that lives counts."""
        found: dict[str, Sighting] = {}
        for start in range(0, len(tickets), _AT_ONCE):
            labels = [t.label for t in tickets[start : start + _AT_ONCE]]
            names = ",".join(labels)
            done = self._run(
                "squeue", "--noheader", "--states=all", "--format=%i|%T|%j|%r", f"--name={names}"
            )
            if done.returncode != 0:
                raise LostContact(f"squeue: {_last_line(done.stderr)}")
            for line in done.stdout.splitlines():
                number, state, label, why = line.strip().split("|", 3)
                seen = _sighting(number, state, why)
                if label not in found or found[label].seen is Seen.GONE:
                    found[label] = seen
        return {t.label: found.get(t.label, Sighting(Seen.UNKNOWN, t.external_id)) for t in tickets}

    def cancel(self, ticket: Ticket) -> None:
        """Cancel every job of the label."""
        done = self._run("scancel", f"--name={ticket.label}")
        if done.returncode != 0:
            raise LostContact(f"scancel: {_last_line(done.stderr)}")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands; whatever it left running when time is up is ended with it.

        Raises:
            LostContact: It did not answer, or said that it could not reach the controller.
        """
        try:
            process = subprocess.Popen(  # noqa: S603 - Slurm's own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            raise LostContact(f"{command[0]} cannot be started: {error.strerror}") from error
        try:
            out, err = process.communicate(timeout=self._options["timeout_s"])
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise LostContact(f"{command[0]} gave no answer in {self._options['timeout_s']:g} s") from None
        if process.returncode != 0 and any(sign in err for sign in _UNREACHABLE):
            raise LostContact(f"{command[0]}: {_last_line(err)}")
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _sighting(number: str, state: str, why: str) -> Sighting:
    seen = Seen.QUEUED if state in _QUEUED else Seen.RUNNING if state in _RUNNING else Seen.GONE
    reason = f" ({why})" if why not in {"", "None"} else ""
    return Sighting(seen, number, f"Slurm job {number}: {state}{reason}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else "no word of why"
    return re.sub(r"^\w+: error: ", "", said)[:300]

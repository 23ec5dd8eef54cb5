"""The calculation of a job, in a process of its own: what the worker starts, watches and, if need be, kills.

Waits for ``go`` on stdin, so that nothing begins before the watchdog knows of it; runs the workflow; hands the
outcome back as JSON through a pipe, which needs no disk.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hea_loop.errors import HeaLoopError
from validators.atomistic.job_directory import JobDirectory
from validators.outcome import Outcome, OutcomeStatus

__all__ = ["calculate"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def calculate(directory: JobDirectory) -> Outcome:
    """Run the workflow that a directory asks for; every error becomes a failed outcome with its text."""
    began = time.monotonic()

    def tell(label: str, step: int, total: int) -> None:
        _tell(directory.path / "progress.json", {"doing": label, "step": step, "of": total})

    try:
        from validators.atomistic.engine import engine_for
        from validators.atomistic.qualification import run_qualified
        from validators.atomistic.specification import JobSpec

        spec = JobSpec.from_json(dict(directory.order().spec))
        directory.calculation.mkdir(exist_ok=True)
        return run_qualified(spec, engine_for(spec.calculator, directory.calculation), tell)
    except Exception as error:  # noqa: BLE001 - whatever a calculator raises is this job's failure, in words
        traceback.print_exc()
        message = _in_words(error, directory.path)
        return Outcome(OutcomeStatus.FAILED, "", message=message, wall_s=time.monotonic() - began)


def _in_words(error: Exception, directory: Path) -> str:
    """One line; the whole traceback is in the log."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return f"no room left to write in {directory} ({error.strerror})"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"the package {error.name} is not there for {sys.executable}: install hea-loop with the calculator for it, "
            "or name another Python by the runner's option python, and retry the job"
        )
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, HeaLoopError) else f"{type(error).__name__}: {text}"


def _tell(file: Path, content: dict[str, Any]) -> None:
    try:
        file.write_text(json.dumps(content), encoding="utf-8")
    except OSError:
        return  # progress is for people: the calculation goes on without


def _main() -> None:
    answer = int(sys.argv[2])
    os.set_inheritable(answer, False)  # an external code that outlives us must not hold it open
    if sys.stdin.readline() != "go\n":
        sys.exit(0)  # the worker is gone
    outcome = calculate(JobDirectory(sys.argv[1]))
    try:
        text = json.dumps(outcome.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        bad = Outcome(OutcomeStatus.FAILED, outcome.method, message=f"gave what is no number: {error}")
        text = json.dumps(bad.to_json())
    with os.fdopen(answer, "w", encoding="utf-8") as pipe:
        pipe.write(text)


if __name__ == "__main__":
    _main()

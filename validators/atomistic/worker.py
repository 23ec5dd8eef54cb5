"""``python -m validators.atomistic.worker DIRECTORY``: runs the job of a directory and leaves its result there.

The same program on this machine, in a dask worker, in a batch script of Slurm or on a computer that knows
nothing of the store. It claims the directory (of two workers one works), starts the calculation in a session of
its own, renews its lease, and kills the calculation at the wall limit. A watchdog ends the calculation should
the worker itself be killed.

Exit codes: 0 the directory has a result (of this worker or another), or a living worker is at it; 2 the
directory holds no job; 74 the result could not be written; 143 ended by a signal, the claim given up.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

from hea_loop.errors import HeaLoopError, InputError
from validators.atomistic.job_directory import (
    Claim,
    JobDirectory,
    JobOrder,
    JobResult,
    Limits,
    ResultRefused,
    read_outcome,
)
from validators.atomistic.watchdog import end_session
from validators.outcome import Outcome, OutcomeStatus

__all__ = ["main", "work"]

_POLL_SLOT_S: Final = 0.25
_ENDED_BY_SIGNAL: Final = 143
_NOT_WRITTEN: Final = 74


class _Asked(BaseException):
    """Somebody asked this worker to end: not an error of the job."""


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _ask(number: int, _frame: FrameType | None) -> None:
    _be_deaf()  # once is enough: what follows has to come to its end
    raise _Asked(number)


def _be_deaf() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def work(path: str | Path) -> int:
    """Run the job of a directory; return the exit code.

    Raises:
        InputError: The directory holds no job.
    """
    directory = JobDirectory(path)
    stated = directory.stated_hash()
    try:
        order: JobOrder | None = directory.order()
        limits, problem = directory.order().limits, ""
    except InputError as error:
        order, limits, problem = None, Limits(), str(error)
    claim = directory.claim(limits)
    if claim is None:
        return 0
    try:
        if order is None:
            result = JobResult(stated, Outcome(OutcomeStatus.FAILED, "", message=problem))
        else:
            outcome, died = _Run(directory, order, claim).outcome()
            result = JobResult(stated, outcome, died)
    except _Asked:
        directory.release(claim)
        return _ENDED_BY_SIGNAL
    except _Superseded:
        return 0
    _be_deaf()
    result = replace(result, worker=_identity(claim))
    return _write(directory, result, claim)


def _write(directory: JobDirectory, result: JobResult, claim: Claim) -> int:
    try:
        directory.publish(result, claim)
    except OSError as error:
        # the room kept for the result is free by now; a text shorter than a workflow's details may still fit
        lost = Outcome(
            OutcomeStatus.FAILED, "", message=f"the result could not be written ({error.strerror})"
        )
        short = JobResult(result.job_hash, lost, worker=result.worker)
        try:
            directory.publish(short, claim)
        except OSError:
            _say_in_log(f"{directory.path}: the result cannot be written: {error.strerror}")
            directory.release(claim)
            return _NOT_WRITTEN
        result = short
    values = f"{len(result.outcome.values)} values"
    _say_in_log(f"{result.outcome.status.value}: {result.outcome.message or values}")
    return 0


def _say_in_log(text: str) -> None:
    with suppress(OSError):  # the log may lie on the disk that is full
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _identity(claim: Claim) -> dict[str, Any]:
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "claim": claim.number,
        "python": platform.python_version(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class _Superseded(Exception):  # noqa: N818 - says what happened
    """Another worker took the directory over."""


class _Run:
    """One calculation with its watchdog."""

    def __init__(self, directory: JobDirectory, order: JobOrder, claim: Claim) -> None:
        self._directory = directory
        self._limits = order.limits
        self._claim = claim
        self._answer = b""

    def outcome(self) -> tuple[Outcome, bool]:
        """The outcome, and whether the calculation was killed by somebody else than us."""
        reading, writing = os.pipe()
        with _appending(self._directory.log) as log, _watchdog(log) as watchdog:
            calculation = self._start(writing, log)
            os.close(writing)
            listener = threading.Thread(target=self._listen, args=(reading,), daemon=True)
            listener.start()
            began = time.monotonic()
            try:
                _say(watchdog, f"{calculation.pid} {self._limits.wall_s + 1.0}")
                _say(calculation, "go")
                in_time = self._wait(calculation, began + self._limits.wall_s)
            finally:
                end_session(calculation.pid)
                calculation.wait()
                _say(watchdog, "done")
        listener.join(5)
        return self._judge(calculation.returncode, time.monotonic() - began, in_time=in_time)

    def _start(self, answer: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "validators.atomistic.calculation",
            str(self._directory.path),
            str(answer),
        ]
        return subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(answer,),
            start_new_session=True,
            # a job has one core unless its user says otherwise; libraries would take all there are
            env={"OMP_NUM_THREADS": "1", **os.environ},
        )

    def _listen(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as pipe:
            self._answer = pipe.read()

    def _wait(self, calculation: subprocess.Popen[bytes], deadline: float) -> bool:
        """Renew the lease until the calculation ends; False where the wall limit ended it."""
        while (left := deadline - time.monotonic()) > 0:
            try:
                calculation.wait(min(left, self._limits.lease_s / 4))
            except subprocess.TimeoutExpired:
                if not self._directory.beat(self._claim):
                    raise _Superseded from None
            else:
                return True
        return False

    def _judge(self, code: int, wall_s: float, *, in_time: bool) -> tuple[Outcome, bool]:
        def failed(message: str) -> Outcome:
            return Outcome(OutcomeStatus.FAILED, "", message=message, wall_s=wall_s)

        if not in_time or (code < 0 and wall_s >= self._limits.wall_s):
            return failed(
                f"wall limit: still calculating after {self._limits.wall_s:g} s, and was ended"
            ), False
        if code == 0 and self._answer:
            try:
                return read_outcome(json.loads(self._answer)), False
            except (ValueError, ResultRefused) as error:
                return failed(f"gave no usable outcome: {error}"), False
        if code < 0:
            name = signal.Signals(-code).name
            why = "; out of memory?" if -code == signal.SIGKILL else ""
            return failed(f"the calculation was ended by {name}{why}"), True
        return failed(
            f"the calculation ended with exit code {code} and no outcome; see {self._directory.log}"
        ), False


class _appending:  # noqa: N801 - used like open()
    """The log, or nowhere if the disk has no room even for its name."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> IO[bytes]:
        try:
            self._open: IO[bytes] = self._file.open("ab")
        except OSError:
            self._open = Path(os.devnull).open("ab")
        return self._open

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._open.close()


class _watchdog:  # noqa: N801 - used like open()
    """The watchdog process, gone when its word is said."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log

    def __enter__(self) -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("watchdog.py")
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", str(program)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process.wait()


def _say(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
    with suppress(OSError):  # who is dead hears nothing, which waiting for it shows
        process.stdin.write(f"{text}\n".encode())
        process.stdin.flush()


# -- a bounded number at a time --------------------------------------------------------------------------


def _take_slot(folder: Path, number: int) -> IO[bytes]:
    """Wait for one of so many places; it is given back when the process ends, however it does."""
    folder.mkdir(parents=True, exist_ok=True)
    never = threading.Event()
    while True:
        for k in range(number):
            slot = (folder / f"slot-{k + 1}").open("ab")
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                slot.close()
            else:
                return slot
        never.wait(_POLL_SLOT_S)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the job and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m validators.atomistic.worker", description=__doc__)
    parser.add_argument("directory", help="directory of the attempt")
    parser.add_argument("--slots-in", metavar="FOLDER", help="wait for a place among the workers of a folder")
    parser.add_argument("--slots", type=int, default=1, help="how many work at a time there")
    given = parser.parse_args(arguments)
    for number in _SIGNALS:
        signal.signal(number, _ask)
    try:
        # kept open to the end: closing it would give the place away
        slot = _take_slot(Path(given.slots_in), given.slots) if given.slots_in else None
        code = work(given.directory)
        if slot is not None:
            slot.close()
    except HeaLoopError as error:
        _say_in_log(f"error: {error}")
        return 2
    except _Asked:
        return _ENDED_BY_SIGNAL
    else:
        return code


if __name__ == "__main__":
    sys.exit(main())

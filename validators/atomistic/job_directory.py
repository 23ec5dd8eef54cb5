"""The directory of one attempt of a job: ``job.json`` in, ``result.json`` out, and who works on it meanwhile.

A directory is all there is between the store and a worker: it can be submitted to a scheduler, or carried to
another machine and back. Everything in it appears whole or not at all (written aside, synced, then linked under
its name), and the two files that count carry SHA-256 checksums:

- ``job.json``: what is asked, with the hash that names the attempt.
- ``claim-1.json``, ``claim-2.json``, ...: who works on it. The highest number holds; a worker may add the next
  one where the holder is dead or has not renewed its lease. The file ``heartbeat-N`` is touched at each renewal.
- ``result.json``: the outcome. The first one stands: it is never written over.

The hash shows damage and edits by hand. It is no signature: who recomputes it on purpose can lie.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from hea_loop.errors import HeaLoopError, InputError
from hea_loop.processes import is_alive, start_of
from hea_loop.properties import PROPERTIES
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

__all__ = [
    "Claim",
    "JobDirectory",
    "JobOrder",
    "JobResult",
    "Limits",
    "Reading",
    "ResultRefused",
    "Stage",
]

FORMAT: Final = 1
_CLAIM: Final = re.compile(r"claim-(\d+)\.json")
_RESERVE_BYTES: Final = 128 * 1024
"""Room kept for the result from the start: a calculation that fills the disk can still be told from a dead one."""


class ResultRefused(HeaLoopError):  # noqa: N818 - says what happened
    """A result that does not belong to its job, or was changed after it was written."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a job may take, and how long silence is no sign of death.

    Attributes:
        wall_s: Seconds after which the calculation is killed and the job ends as failed.
        lease_s: Seconds without a sign of life after which another worker may take over.
    """

    wall_s: float = 86_400.0
    lease_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("wall_s", "lease_s"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= 0:
                raise InputError(f"limits.{name}", value, "is no positive number of seconds", "give one")


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What one attempt is asked: the content of ``job.json``.

    Attributes:
        name: Of the attempt, as a scheduler shows it: ``hea-loop-JOB-ATTEMPT-HASH``'s first part.
        nonce: Random: job 7 of one store is not job 7 of another.
        spec: A job specification as plain JSON.
        limits: Wall limit and lease.
    """

    name: str
    nonce: str
    spec: Mapping[str, Any]
    limits: Limits = Limits()

    def _body(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "nonce": self.nonce,
            "spec": dict(self.spec),
            "limits": {"wall_s": self.limits.wall_s, "lease_s": self.limits.lease_s},
        }

    @property
    def job_hash(self) -> str:
        """SHA-256 of the content: what names the attempt everywhere."""
        return _digest(self._body())

    @property
    def label(self) -> str:
        """What a scheduler shows: unique, and found again by it."""
        return f"{self.name}-{self.job_hash[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with its hash."""
        return self._body() | {"job_hash": self.job_hash}

    @classmethod
    def from_json(cls, data: object) -> JobOrder:
        """Read back what :meth:`to_json` wrote.

        Raises:
            InputError: It is something else, or was changed.
        """
        mend = "write the directory anew with `hea-loop jobs retry`"
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise InputError("job.json", data, "is no job of this version", mend)
        try:
            order = cls(
                str(data["name"]), str(data["nonce"]), dict(data["spec"]), Limits(**dict(data["limits"]))
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("job.json", sorted(data), f"cannot be read ({error})", mend) from None
        if data.get("job_hash") != order.job_hash:
            raise InputError("job.json", order.name, "was changed after it was written", mend)
        return order


@dataclass(frozen=True, slots=True)
class JobResult:
    """The content of ``result.json``.

    Attributes:
        job_hash: Of the attempt that it answers.
        outcome: What the validator answered.
        died: The calculation was killed by a signal before it could answer: trying again may help.
        worker: Who wrote it: host, process, claim, times.
    """

    job_hash: str
    outcome: Outcome
    died: bool = False
    worker: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with its checksum."""
        body = {
            "format": FORMAT,
            "job_hash": self.job_hash,
            "outcome": self.outcome.to_json(),
            "died": self.died,
            "worker": dict(self.worker or {}),
        }
        return body | {"sha256": _digest(body)}

    @classmethod
    def from_text(cls, text: str, job_hash: str) -> JobResult:
        """Read and check a result.

        Args:
            text: The file's content.
            job_hash: Of the attempt whose result it has to be.

        Raises:
            ResultRefused: It is damaged, was edited, or answers another job.
        """
        try:
            data = json.loads(text)
        except ValueError:
            raise ResultRefused("result.json is no JSON: it is damaged") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ResultRefused("result.json is no result of this version")
        stated = data.pop("sha256", None)
        if stated != _digest(data):
            raise ResultRefused(
                "result.json does not match its checksum: it was edited or damaged after it was written"
            )
        if data.get("job_hash") != job_hash:
            raise ResultRefused(
                f"result.json answers job {str(data.get('job_hash'))[:16]}, not job {job_hash[:16]}"
            )
        return cls(
            job_hash, read_outcome(data.get("outcome")), bool(data.get("died")), data.get("worker") or {}
        )

    @property
    def sha256(self) -> str:
        """Its checksum."""
        return str(self.to_json()["sha256"])


def read_outcome(data: object) -> Outcome:
    """An outcome from plain JSON, every value checked.

    Raises:
        ResultRefused: A status, property or number that no outcome can have.
    """
    try:
        table = dict(data)  # type: ignore[call-overload]
        values = tuple(_value(v) for v in table.get("values", ()))
        return Outcome(
            OutcomeStatus(table["status"]),
            str(table.get("method", "")),
            values,
            str(table.get("message", "")),
            float(table.get("wall_s", 0.0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ResultRefused(f"the outcome cannot be read: {error}") from None


def _value(data: Any) -> OutcomeValue:
    value = OutcomeValue(
        property=data["property"],
        value=data["value"],
        temperature_K=data.get("temperature_K"),
        sigma=data.get("sigma"),
        detail=dict(data.get("detail") or {}),
    )
    if value.property not in PROPERTIES:
        raise ValueError(f"{value.property!r} is no property")
    for name in ("value", "sigma", "temperature_K"):
        number = getattr(value, name)
        if number is None and name != "value":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"{name} of {value.property} is {number!r}")
    return value


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Stage(StrEnum):
    """How far a directory is, as it shows itself."""

    UNCLAIMED = "unclaimed"
    RUNNING = "running"
    EXPIRED = "expired"
    RESULT = "result"
    REFUSED = "refused"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look into a directory shows.

    Attributes:
        stage: ``running`` and ``expired`` say whether the holder of the claim lives.
        text: Why a result is refused, or who holds the claim.
        result: The verified result.
    """

    stage: Stage
    text: str = ""
    result: JobResult | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a directory.

    Attributes:
        number: 1, 2, ...: the highest holds.
        token: Random, to know one's own.
    """

    number: int
    token: str


class JobDirectory:
    """The directory of one attempt.

    Args:
        path: Where it is.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()

    # -- the job -----------------------------------------------------------------------------------------

    @property
    def result_file(self) -> Path:
        """Where the result is, once there is one."""
        return self.path / "result.json"

    @property
    def calculation(self) -> Path:
        """Where the calculator works."""
        return self.path / "calculation"

    @property
    def log(self) -> Path:
        """What the calculation printed."""
        return self.path / "calculation.log"

    def write(self, order: JobOrder, earlier: Sequence[Path] = ()) -> None:
        """Make the directory; the same order again changes nothing.

        Args:
            order: What is asked.
            earlier: Directories of earlier attempts: the evaluations they finished need not be computed again.

        Raises:
            InputError: Something else is there, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._carry_over(earlier)
            written = self._publish("job.json", order.to_json())
        except OSError as error:
            raise InputError(
                "directory",
                str(self.path),
                f"cannot be written ({error.strerror})",
                "mend its permissions or make room, or name another",
            ) from None
        if not written and self.order().job_hash != order.job_hash:
            raise InputError("directory", str(self.path), "holds another job", "name an empty directory")

    def _carry_over(self, earlier: Sequence[Path]) -> None:
        """Copy finished evaluations; the engine trusts each only as far as its own checksum."""
        target = self.calculation / "evaluations"
        for folder in earlier:
            for file in sorted((folder / "calculation" / "evaluations").glob("*.json")):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / file.name)

    def order(self) -> JobOrder:
        """What is asked here.

        Raises:
            InputError: There is no job, or it was changed.
        """
        return JobOrder.from_json(self._json("job.json"))

    def stated_hash(self) -> str:
        """The hash that ``job.json`` states, changed or not.

        Raises:
            InputError: There is no job.
        """
        data = self._json("job.json")
        return str(data.get("job_hash")) if isinstance(data, dict) else ""

    def _json(self, name: str) -> Any:
        file = self.path / name
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                "directory", str(self.path), f"has no {name}", "name the directory of an attempt"
            ) from None
        except (OSError, ValueError) as error:
            raise InputError(
                name, str(file), f"cannot be read ({error})", "restore it, or retry the job"
            ) from None

    # -- claims ------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Leave word that nobody is to work here any more: a worker reads it at its next renewal at the latest."""
        with suppress(OSError):
            (self.path / "cancelled").touch()

    def is_cancelled(self) -> bool:
        """Whether that word is here."""
        return (self.path / "cancelled").exists()

    def claim(self, limits: Limits) -> Claim | None:
        """Become the one that works here; None where somebody lives who does, or where there is nothing to do.

        Raises:
            OSError: The directory cannot be written.
        """
        while not self.result_file.exists() and not self.is_cancelled():
            number = self._last_claim()
            if number and self._holder_lives(number, limits.lease_s):
                return None
            claim = Claim(number + 1, secrets.token_hex(8))
            self._beat_file(claim.number).touch()  # before the claim shows: a claim without it looks dead
            who = {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "start": start_of(os.getpid()),
                "token": claim.token,
            }
            if self._publish(f"claim-{claim.number}.json", who):
                self._reserve()
                return claim
        return None

    def beat(self, claim: Claim) -> bool:
        """Renew the lease; False where somebody else took over, or nobody is to work here any more."""
        if self._last_claim() != claim.number or self.is_cancelled():
            return False
        with suppress(OSError):  # a beat that fails costs a quarter of the lease; three more fit in
            os.utime(self._beat_file(claim.number))
        return True

    def release(self, claim: Claim) -> None:
        """Give the claim up: whoever comes next need not wait for the lease to end."""
        with suppress(OSError):
            os.utime(self._beat_file(claim.number), (0, 0))

    def is_held(self, claim: Claim) -> bool:
        """Whether the claim still is the highest."""
        if self._last_claim() != claim.number:
            return False
        held = _read(self.path / f"claim-{claim.number}.json")
        return bool(held.get("token") == claim.token)

    def _last_claim(self) -> int:
        try:
            names = [entry.name for entry in os.scandir(self.path)]
        except OSError:
            return 0
        numbers = [int(m.group(1)) for m in map(_CLAIM.fullmatch, names) if m]
        return max(numbers, default=0)

    def _beat_file(self, number: int) -> Path:
        return self.path / f"heartbeat-{number}"

    def _holder_lives(self, number: int, lease_s: float) -> bool:
        holder = _read(self.path / f"claim-{number}.json")
        pid, start = holder.get("pid"), str(holder.get("start"))
        # where it ran on this host there is no need to wait for the lease
        if holder.get("host") == socket.gethostname() and isinstance(pid, int) and not is_alive(pid, start):
            return False
        try:
            last = self._beat_file(number).stat().st_mtime
        except OSError:
            return False
        return self._now() - last <= lease_s

    def _now(self) -> float:
        """The time by the clock that stamps the files: a file server's may differ from this host's."""
        try:
            with tempfile.TemporaryFile(dir=self.path) as probe:
                return os.fstat(probe.fileno()).st_mtime
        except OSError:
            return time.time()

    # -- the result --------------------------------------------------------------------------------------

    def _reserve(self) -> None:
        with suppress(OSError):
            (self.path / ".reserve").write_bytes(b"\0" * _RESERVE_BYTES)

    def free_reserve(self) -> None:
        """Give back the room that was kept for the result."""
        (self.path / ".reserve").unlink(missing_ok=True)

    def publish(self, result: JobResult, claim: Claim) -> bool:
        """Write the result, unless the claim is lost or a result is there already.

        Raises:
            OSError: It cannot be written.
        """
        if not self.is_held(claim):
            return False
        self.free_reserve()
        return self._publish("result.json", result.to_json())

    def _publish(self, name: str, content: Mapping[str, Any]) -> bool:
        """Make a file appear whole under its name; False where the name is taken."""
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
        handle, aside = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o644)  # noqa: PTH101 - others of the group collect it
            try:
                os.link(aside, self.path / name)  # a rename would write over what is there
            except FileExistsError:
                return False
        finally:
            Path(aside).unlink(missing_ok=True)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return True

    def read(self, job_hash: str, lease_s: float) -> Reading:
        """Look how far it is.

        Args:
            job_hash: Of the attempt that belongs here.
            lease_s: Seconds without a sign of life that are no sign of death.
        """
        try:
            text = self.result_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return self._without_result(lease_s)
        except (OSError, UnicodeDecodeError) as error:
            return Reading(Stage.REFUSED, f"result.json cannot be read: {error}")
        try:
            return Reading(Stage.RESULT, result=JobResult.from_text(text, job_hash))
        except ResultRefused as error:
            return Reading(Stage.REFUSED, str(error))

    def _without_result(self, lease_s: float) -> Reading:
        if not (self.path / "job.json").exists():
            return Reading(Stage.ABSENT, f"the directory {self.path} is not there")
        number = self._last_claim()
        if not number:
            return Reading(Stage.UNCLAIMED)
        holder = _read(self.path / f"claim-{number}.json")
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        alive = self._holder_lives(number, lease_s)
        return Reading(Stage.RUNNING if alive else Stage.EXPIRED, who)

    # -- progress ----------------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """What the calculation last said of itself; empty where it said nothing."""
        return _read(self.path / "progress.json")


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}

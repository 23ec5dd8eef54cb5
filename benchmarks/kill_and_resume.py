"""Kills runs of a campaign with SIGKILL at random moments and checks that nothing is lost and nothing done twice.

    python -m benchmarks.kill_and_resume [CAMPAIGN.yaml] [--kills 20] [--seed 0] [--json]

One undisturbed run of the campaign is the reference. Then the same command is started again and again on a fresh
store and killed at a moment drawn uniformly from the first 30 s, or a quarter of the undisturbed run where that is
longer, so that one run is killed many times and all over its length; a run that ends before its kill is compared
with the reference, and the next kills go to a run on another fresh store, until all kills are spent and the last
run has ended. Compared are the candidates of every iteration, the number of validated ones,
the data points, and that every job was finished once; at the end no process of ours may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db import models
from db.store import open_store

__all__ = ["Verdict", "kill_and_resume"]

_LEFTOVER_PATIENCE_S = 20.0
_SHORTEST_SPAN_S = 30.0


@dataclass
class Verdict:
    """What was found.

    Attributes:
        kills: How many times a running process was killed.
        runs_compared: How many runs ended and were compared with the undisturbed one.
        undisturbed_s: Length of the undisturbed run, s.
        validated: Validated candidates of the undisturbed run.
        stages_hit: How many kills fell into each stage of an iteration.
        most_attempts: Largest number of attempts of one job.
        differences: Everything in which a killed run differs; empty is a pass.
    """

    kills: int = 0
    runs_compared: int = 0
    undisturbed_s: float = 0.0
    validated: int = 0
    stages_hit: dict[str, int] = field(default_factory=dict)
    most_attempts: int = 0
    differences: list[str] = field(default_factory=list)


def _start(campaign: Path, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True, parents=True)
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HEA_LOOP_DATABASE_URL": f"sqlite:///{folder / 'store.sqlite'}",
        "PYTHONPATH": str(Path.cwd()),
    }
    with (folder / "output.txt").open("ab") as output:
        command = [sys.executable, "-m", "app", "run", str(campaign), "--no-report", "--json"]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)  # noqa: S603


def _content(folder: Path) -> dict[str, Any]:
    """All that must not depend on interruptions."""
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        candidates = session.execute(
            select(
                models.Iteration.number,
                models.Candidate.rank,
                models.Material.key,
                models.Candidate.origin,
                models.Candidate.state,
                models.Candidate.hit,
            )
            .join(models.Iteration, models.Candidate.iteration_id == models.Iteration.id)
            .join(models.Material, models.Candidate.material_id == models.Material.id)
            .order_by(models.Iteration.number, models.Candidate.rank)
        ).all()
        points = session.execute(
            select(
                models.Material.key,
                models.DataPoint.property,
                models.DataPoint.source,
                models.DataPoint.temperature_K,
                models.DataPoint.value,
                models.DataPoint.text,
            ).join(models.Material, models.DataPoint.material_id == models.Material.id)
        ).all()
        jobs = session.execute(
            select(models.Job.candidate_id, models.Job.validator, models.Job.state, models.Job.attempts)
        ).all()
        rates = session.execute(
            select(
                models.Iteration.number, models.HitRate.fidelity, models.HitRate.origin, models.HitRate.hit
            )
            .join(models.Iteration)
            .order_by(models.Iteration.number, models.HitRate.fidelity, models.HitRate.origin)
        ).all()
        stages = session.scalars(select(models.Iteration.stage)).all()
        finished = session.scalars(
            select(models.OutboxEvent.payload).where(models.OutboxEvent.topic == "jobs.finished")
        ).all()
    done = Counter(job for payload in finished for job in payload["jobs"])
    return {
        "candidates": [tuple(row) for row in candidates],
        "data points": Counter(tuple(row) for row in points),
        "jobs": sorted((c, v, s) for c, v, s, _ in jobs),
        "hit rates": [tuple(row) for row in rates],
        "stages": list(stages),
        "jobs finished twice": sorted(job for job, times in done.items() if times > 1),
        "attempts": max((a for *_, a in jobs), default=0),
    }


def _stage(folder: Path) -> str:
    """Where the killed run was, by its store."""
    if not (folder / "store.sqlite").exists():
        return "starting"
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        stage = session.scalar(
            select(models.Iteration.stage).order_by(models.Iteration.number.desc()).limit(1)
        )
    return stage or "preparing"


def _compare(name: str, folder: Path, reference: dict[str, Any], verdict: Verdict) -> None:
    content = _content(folder)
    verdict.runs_compared += 1
    verdict.most_attempts = max(verdict.most_attempts, content["attempts"])
    for key in ("candidates", "data points", "jobs", "hit rates", "stages"):
        if content[key] != reference[key]:
            verdict.differences.append(
                f"{name}: {key} differ ({len(content[key])} against {len(reference[key])})"
            )
    if content["jobs finished twice"]:
        verdict.differences.append(f"{name}: jobs finished twice: {content['jobs finished twice']}")


def _ours(folder: Path) -> list[int]:
    """Living processes that were started for this folder, by their environment."""
    mark = f"PREFECT_HOME={folder / 'prefect'}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # ended meanwhile
    return found


def _leftovers(folder: Path) -> list[int]:
    deadline = time.monotonic() + _LEFTOVER_PATIENCE_S
    while (left := _ours(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def kill_and_resume(campaign: Path, kills: int, seed: int, folder: Path, log: Any = sys.stderr) -> Verdict:
    """Do it; see the module's text.

    Args:
        campaign: A campaign file.
        kills: How many times to kill.
        seed: Of the moments.
        folder: An empty folder to work in.
        log: Where progress is told.

    Raises:
        RuntimeError: A run ended with an error of its own; the text has its last lines.
    """
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    verdict = Verdict()
    began = time.monotonic()
    reference_folder = folder / "undisturbed"
    _ended_well(_start(campaign, reference_folder).wait(), reference_folder)
    verdict.undisturbed_s = round(time.monotonic() - began, 1)
    reference = _content(reference_folder)
    verdict.validated = sum(row[4] == "validated" for row in reference["candidates"])
    print(f"undisturbed: {verdict.validated} validated in {verdict.undisturbed_s} s", file=log, flush=True)
    stages: Counter[str] = Counter()
    number, open_run = 0, False
    while verdict.kills < kills or open_run:
        if not open_run:
            number, open_run = number + 1, True
        current = folder / f"killed-{number}"
        process = _start(campaign, current)
        longest = max(_SHORTEST_SPAN_S, verdict.undisturbed_s / 4)
        patience = rng.uniform(0, longest) if verdict.kills < kills else None
        try:
            code = process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            verdict.kills += 1
            stage = _stage(current)
            stages[stage] += 1
            left = _leftovers(current)
            if left:
                verdict.differences.append(f"killed-{number}: processes {left} outlived their parent")
            print(f"kill {verdict.kills} after {patience:.1f} s, at {stage}", file=log, flush=True)
            continue
        _ended_well(code, current)
        _compare(current.name, current, reference, verdict)
        open_run = False
        print(f"run {number} ended and was compared", file=log, flush=True)
    verdict.stages_hit = dict(stages)
    return verdict


def _ended_well(code: int, folder: Path) -> None:
    if code != 0:
        said = (folder / "output.txt").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"a run in {folder.name} ended with {code}:\n{said}")


def main() -> int:
    """Run from the command line; exit status 1 where something was lost or done twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaign", nargs="?", default="campaigns/quickstart.yaml", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON on stdout")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    try:
        verdict = kill_and_resume(arguments.campaign.resolve(), arguments.kills, arguments.seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(asdict(verdict), indent=2) if arguments.json else verdict)
    return 1 if verdict.differences else 0


if __name__ == "__main__":
    sys.exit(main())

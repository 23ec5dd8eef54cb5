"""Runs a campaign over several seeds, each in a store of its own, and holds it against the measured base rate.

    python -m benchmarks.quickstart [CAMPAIGN.yaml] [--seeds 1 2 3] [--base-rate-number 2000] [--json]

Printed are the hit rate of every iteration of every seed, the pooled rate of the last two iterations, the base
rate of uniform random compositions judged by the same criteria, their ratio, and the wall time of each run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.base_rate import measure
from hea_loop.campaign import load_campaign
from hea_loop.scoring import wilson_interval

__all__ = ["SeedRun", "run_seed"]

_LAST = 2


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One run.

    Attributes:
        seed: Its seed.
        rates: Hit rate of each iteration, the strategy's share.
        validated: Validated candidates, the random share included.
        pooled_hits: Hits of the last two iterations.
        pooled_validated: Validated candidates of the last two iterations.
        random_hits: Hits of the random share in the whole run.
        random_validated: Validated candidates of the random share.
        wall_s: Wall time of the command, s.
    """

    seed: int
    rates: list[float | None]
    validated: int
    pooled_hits: int
    pooled_validated: int
    random_hits: int
    random_validated: int
    wall_s: float

    @property
    def pooled_rate(self) -> float:
        """Hit rate of the last two iterations together."""
        return self.pooled_hits / self.pooled_validated if self.pooled_validated else 0.0


def run_seed(campaign: Path, seed: int, folder: Path) -> SeedRun:
    """Run the campaign with one seed from the command line, on a fresh store.

    Raises:
        RuntimeError: The run ended with an error; the text has what it said.
    """
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "app", "run", str(campaign), "--seed", str(seed), "--no-report", "--json"],
        cwd=folder,
        env={
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "PYTHONPATH": str(Path.cwd()),
            "HEA_LOOP_DATABASE_URL": f"sqlite:///{folder / 'store.sqlite'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"seed {seed} ended with {done.returncode}: {done.stderr[-2000:]}")
    iterations: list[dict[str, Any]] = json.loads(done.stdout)["iterations"]
    last = iterations[-_LAST:]
    return SeedRun(
        seed=seed,
        rates=[i["hit_rate"] for i in iterations],
        validated=sum(i["validated_in_all"] for i in iterations),
        pooled_hits=sum(i["hit"] for i in last),
        pooled_validated=sum(i["validated"] for i in last),
        random_hits=sum(i["random_hit"] for i in iterations),
        random_validated=sum(i["random_validated"] for i in iterations),
        wall_s=round(time.monotonic() - began, 1),
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaign", nargs="?", default="campaigns/quickstart.yaml", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--base-rate-number", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    arguments = parser.parse_args()
    campaign = arguments.campaign.resolve()
    runs = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory(prefix="quickstart-") as folder:
            runs.append(run_seed(campaign, seed, Path(folder)))
        print(f"seed {seed}: {runs[-1].rates} in {runs[-1].wall_s} s", file=sys.stderr, flush=True)
    base = measure(
        load_campaign(campaign), number=arguments.base_rate_number, seed=0, processes=os.cpu_count() or 1
    )
    if arguments.json:
        print(json.dumps({"base_rate": asdict(base), "runs": [asdict(r) for r in runs]}, indent=2))
        return 0
    print(
        f"base rate: {base.hits} of {base.drawn} = {base.rate:.2%} ({base.ci_low:.2%} to {base.ci_high:.2%})"
    )
    print(
        "seed  hit rate by iteration                      last two pooled (95%)    x base  validated  wall/s"
    )
    for run in runs:
        rates = " ".join("  -  " if r is None else f"{r:5.2f}" for r in run.rates)
        interval = wilson_interval(run.pooled_hits, run.pooled_validated) or (0.0, 1.0)
        pooled = f"{run.pooled_rate:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
        times = "-" if base.rate == 0 else f"{run.pooled_rate / base.rate:.0f}"
        print(f"{run.seed:4d}  {rates:42s} {pooled:24s} {times:>6s} {run.validated:10d} {run.wall_s:7.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Command line of the campaign benchmark; see :mod:`benchmarks.campaigns`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from benchmarks.campaigns.harness import run_campaign
from benchmarks.campaigns.registry import CONTESTANTS, MAIN
from benchmarks.oracles import ORACLES, Law

__all__ = ["main"]

_PACKAGES: Final = (
    "hea-loop",
    "botorch",
    "gpytorch",
    "torch",
    "ax-platform",
    "baybe",
    "pymoo",
    "cma",
    "numpy",
)
_BASE_DRAWS: Final = 20000
# rounds and jobs in each; a pool has 20 hits, so that a long budget would exhaust it
_BUDGETS: Final = {
    "rare-hit": (10, 12),
    "ternary-pool": (8, 8),
    "rare-hit-7": (10, 12),
    "rare-hit-9": (10, 12),
}
_MINIMUM_DISTANCE: Final = 0.05


def one_run(
    oracle_name: str, contestant: str, seed: int, rounds: int, batch: int, law: Law
) -> dict[str, Any]:
    """Run one campaign and return plain numbers."""
    oracle = ORACLES[oracle_name]()
    distance = _MINIMUM_DISTANCE if oracle.pool is None else 0.0
    run = run_campaign(
        oracle,
        CONTESTANTS[contestant],
        seed=seed,
        law=law,
        rounds=rounds,
        batch=batch,
        minimum_distance=distance,
    )
    return {
        "oracle": oracle_name,
        "contestant": contestant,
        "seed": seed,
        "hits": run.hits.tolist(),
        "observed_hits": int(run.observed[-1]),
        "failed": run.failed,
        "repeated": run.repeated,
        "seconds": round(sum(run.seconds), 1),
        "seconds_of_a_round": round(float(np.median(run.seconds)), 2),
    }


def _described(oracle_name: str, rounds: int, batch: int, law: Law) -> dict[str, Any]:
    """What an oracle is and how rare its hits are."""
    oracle = ORACLES[oracle_name]()
    drawn = oracle.pool if oracle.pool is not None else oracle.uniform(_BASE_DRAWS, np.random.default_rng(0))
    return {
        "elements": list(oracle.elements),
        "targets": {n: list(ends) for n, ends in oracle.targets.items()},
        "units": oracle.units,
        "noise": oracle.noise if law.noise else dict.fromkeys(oracle.noise, 0.0),
        "base_rate": float(oracle.hits(drawn).mean()),
        "base_rate_of": len(drawn),
        "pool": None if oracle.pool is None else len(oracle.pool),
        "rounds": rounds,
        "batch": batch,
        "minimum_distance": _MINIMUM_DISTANCE if oracle.pool is None else 0.0,
        "failure_rate": law.failure_rate,
        "late": list(law.late),
    }


def _measured(given: argparse.Namespace) -> dict[str, Any]:
    law = Law(
        noise=not given.no_noise,
        failure_rate=0.0 if given.no_failures else 0.2,
        late=(0,) if given.no_delay else (1, 2),
    )
    oracles, runs = {}, []
    with ProcessPoolExecutor(given.jobs) as executor:
        waiting = []
        for name in given.oracle:
            rounds, batch = (2, 4) if given.smoke else _BUDGETS[name]
            oracles[name] = _described(name, rounds, batch, law)
            waiting += [
                executor.submit(one_run, name, contestant, seed, rounds, batch, law)
                for seed in range(1, given.seeds + 1)
                for contestant in given.contestant
            ]
        for future in waiting:
            runs.append(run := future.result())
            if not given.json:
                print(
                    f"{run['oracle']:<13} seed {run['seed']} {run['contestant']:<26} "
                    f"{run['hits'][-1]:>4} hits of {len(run['hits'])} jobs ({run['observed_hits']} observed, "
                    f"{run['failed']} failed) {run['seconds']:>7.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
    return {
        "benchmark": "campaigns",
        "command": f"python -m benchmarks.campaigns {' '.join(sys.argv[1:])}".strip(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in _PACKAGES},
        "seeds": list(range(1, given.seeds + 1)),
        "smoke": given.smoke,
        "oracles": oracles,
        "runs": runs,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--oracle", nargs="+", choices=list(ORACLES), default=["rare-hit"])
    parser.add_argument("--contestant", nargs="+", choices=list(CONTESTANTS), default=list(MAIN))
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to N (default 5)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--no-noise", action="store_true", help="exact answers")
    parser.add_argument("--no-failures", action="store_true", help="no job fails")
    parser.add_argument("--no-delay", action="store_true", help="answers are there before the next round")
    parser.add_argument("--smoke", action="store_true", help="two rounds of four jobs, one seed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.seeds < 1 or given.jobs < 1:
        print("--seeds and --jobs have to be at least 1", file=sys.stderr)
        return 2
    if given.smoke:
        given.seeds = 1
    result = _measured(given)
    if given.json:
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

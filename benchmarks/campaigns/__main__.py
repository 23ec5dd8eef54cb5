"""Command line of the campaign benchmark; see :mod:`benchmarks.campaigns`."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.campaigns.harness import run_campaign
from benchmarks.campaigns.own_data import checked_targets, table_oracle
from benchmarks.campaigns.registry import CONTESTANTS, MAIN
from benchmarks.campaigns.report import write_tables
from benchmarks.oracles import CHEAP_COST, ORACLES, Law, Oracle
from benchmarks.tables import environment, load_result, write_result
from hea_loop.errors import HeaLoopError, InputError

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


class _Setting(NamedTuple):
    """A task by name: its oracle, rounds, jobs in each, and whether the cheap fidelity may be asked.

    With targets the oracle is the path of a table of alloys.
    """

    oracle: str
    rounds: int
    batch: int
    two_fidelities: bool = False
    targets: tuple[tuple[str, tuple[float, float]], ...] = ()

    def truth(self) -> Oracle:
        """The oracle."""
        return table_oracle(Path(self.oracle), dict(self.targets)) if self.targets else ORACLES[self.oracle]()


# a pool has 20 hits, so that a long budget would exhaust it
_SETTINGS: Final = {
    "rare-hit": _Setting("rare-hit", 8, 10),
    "ternary-pool": _Setting("ternary-pool", 8, 8),
    "rare-hit-7": _Setting("rare-hit-7", 8, 10),
    "rare-hit-9": _Setting("rare-hit-9", 8, 10),
    "rare-hit-two-fidelities": _Setting("rare-hit", 8, 10, two_fidelities=True),
}
_MINIMUM_DISTANCE: Final = 0.05


def one_run(name: str, contestant: str, seed: int, setting: _Setting, law: Law) -> dict[str, Any]:
    """Run one campaign and return plain numbers."""
    oracle = setting.truth()
    distance = _MINIMUM_DISTANCE if oracle.pool is None else 0.0
    run = run_campaign(
        oracle,
        CONTESTANTS[contestant],
        seed=seed,
        law=law,
        rounds=setting.rounds,
        batch=setting.batch,
        minimum_distance=distance,
        two_fidelities=setting.two_fidelities,
    )
    return {
        "oracle": name,
        "contestant": contestant,
        "seed": seed,
        "hits": run.hits.tolist(),
        "observed_hits": int(run.observed[-1]),
        "jobs": run.jobs,
        "cheap": run.cheap,
        "failed": run.failed,
        "repeated": run.repeated,
        "too_near": run.too_near,
        "cpu_seconds": round(sum(run.seconds), 1),
        "cpu_seconds_of_a_round": round(float(np.median(run.seconds)), 2),
    }


def _described(setting: _Setting, law: Law, draws: int) -> dict[str, Any]:
    """What an oracle is and how rare its hits are."""
    oracle = setting.truth()
    drawn = oracle.pool if oracle.pool is not None else oracle.uniform(draws, np.random.default_rng(0))
    return {
        "elements": list(oracle.elements),
        "targets": {n: list(ends) for n, ends in oracle.targets.items()},
        "units": oracle.units,
        "noise": oracle.noise if law.noise else dict.fromkeys(oracle.noise, 0.0),
        "base_rate": float(oracle.hits(drawn).mean()),
        "base_rate_of": len(drawn),
        "pool": None if oracle.pool is None else len(oracle.pool),
        "rounds": setting.rounds,
        "batch": setting.batch,
        "cheap_cost": CHEAP_COST if setting.two_fidelities else None,
        "minimum_distance": _MINIMUM_DISTANCE if oracle.pool is None else 0.0,
        "failure_rate": law.failure_rate,
        "late": list(law.late),
    }


def _settings(given: argparse.Namespace) -> dict[str, _Setting]:
    """The tasks that are asked for, by name."""
    if given.data is not None:
        ends = tuple(checked_targets(given.target).items())
        chosen = {given.data.stem: _Setting(str(given.data), 8, 8, targets=ends)}
    else:
        chosen = {name: _SETTINGS[name] for name in given.oracle}
    changes = {"rounds": given.rounds, "batch": given.batch}
    if given.smoke:
        changes = {"rounds": 2, "batch": 4}
    wanted = {name: value for name, value in changes.items() if value is not None}
    return {name: setting._replace(**wanted) for name, setting in chosen.items()}


def _measured(given: argparse.Namespace) -> dict[str, Any]:
    law = Law(
        noise=not given.no_noise,
        failure_rate=0.0 if given.no_failures else 0.2,
        late=(0,) if given.no_delay else (1, 2),
    )
    about = environment(*_PACKAGES)
    oracles, runs = {}, []
    with ProcessPoolExecutor(given.jobs) as executor:
        waiting = []
        for name, setting in _settings(given).items():
            oracles[name] = _described(setting, law, 2000 if given.smoke else _BASE_DRAWS)
            waiting += [
                executor.submit(one_run, name, contestant, seed, setting, law)
                for seed in range(given.first_seed, given.first_seed + given.seeds)
                for contestant in given.contestant
            ]
        for future in waiting:
            runs.append(run := future.result())
            if not given.json:
                print(
                    f"{run['oracle']:<12} seed {run['seed']} {run['contestant']:<26} "
                    f"{run['hits'][-1]:>4} hits for {len(run['hits'])} jobs ({run['observed_hits']} observed, "
                    f"{run['failed']} failed) {run['cpu_seconds']:>7.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
    return {
        "benchmark": "campaigns",
        "environment": about,
        "versions": about["versions"],
        "commands": [about["command"]],
        "seeds": list(range(given.first_seed, given.first_seed + given.seeds)),
        "smoke": given.smoke,
        "oracles": oracles,
        "runs": runs,
    }


def _joined(result: dict[str, Any], path: Path) -> dict[str, Any]:
    """The results with those of an earlier file that they do not replace."""
    earlier = load_result(path)
    fresh = {(r["oracle"], r["contestant"], r["seed"]) for r in result["runs"]}
    kept = [r for r in earlier["runs"] if (r["oracle"], r["contestant"], r["seed"]) not in fresh]
    for name, about in result["oracles"].items():
        if earlier["oracles"].get(name, about) != about:
            raise InputError("--add", name, f"is another task in {path}", "write to a new file")
    seeds = sorted({*earlier["seeds"], *result["seeds"]})
    commands = [*earlier.get("commands", []), result["environment"]["command"]]
    return result | {
        "runs": kept + result["runs"],
        "oracles": earlier["oracles"] | result["oracles"],
        "seeds": seeds,
        "commands": commands,
    }


def _carried_out(given: argparse.Namespace) -> int:
    if given.tables:
        for path in write_tables(load_result(given.tables), given.document):
            print(f"wrote {path}")
        return 0
    result = _measured(given)
    if given.out:
        if given.add and given.out.exists():
            result = _joined(result, given.out)
        write_result(given.out, result)
    if given.json:
        print(json.dumps(result, indent=1))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--oracle", nargs="+", choices=list(_SETTINGS), default=["rare-hit"])
    parser.add_argument("--data", type=Path, help="a CSV of your own alloys (column composition) as the pool")
    parser.add_argument(
        "--target", action="append", default=[], help="with --data: COLUMN=LOW:HIGH, for each property"
    )
    parser.add_argument("--rounds", type=int, help="rounds (default 8)")
    parser.add_argument("--batch", type=int, help="jobs in each (default 10, in a pool 8)")
    parser.add_argument("--contestant", nargs="+", choices=list(CONTESTANTS), default=list(MAIN))
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--no-noise", action="store_true", help="exact answers")
    parser.add_argument("--no-failures", action="store_true", help="no job fails")
    parser.add_argument("--no-delay", action="store_true", help="answers are there before the next round")
    parser.add_argument("--smoke", action="store_true", help="two rounds of four jobs, one seed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, help="write the results, as docs/results/campaigns.json")
    parser.add_argument("--add", action="store_true", help="keep what --out has of other runs")
    parser.add_argument(
        "--tables", type=Path, help="run nothing: fill --document and draw from these results"
    )
    parser.add_argument("--document", type=Path, default=Path("docs/benchmarks.md"))
    given = parser.parse_args(arguments)
    if min(given.seeds, given.jobs, given.first_seed, given.rounds or 1, given.batch or 1) < 1:
        print("--seeds, --first-seed, --rounds, --batch and --jobs have to be at least 1", file=sys.stderr)
        return 2
    if given.smoke:
        given.seeds = 1
    try:
        return _carried_out(given)
    except HeaLoopError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

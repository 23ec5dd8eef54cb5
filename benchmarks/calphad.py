"""Phase stability: how fast the tiers are, and whether screening agrees with pycalphad.

    python -m benchmarks.calphad [--smoke] [--json]

Speed, in one run on random alloys: the naive call ``pycalphad.equilibrium``, warm pycalphad (the confirming
tier's minimisation without screening's points, models compiled before; with both samplings, which is what its
answers rest on, and with the first alone, which misses gaps), screening of alloys scattered over all systems of
as many elements, and of six systems. Agreement: on random alloys of 60 random systems of each size at random
temperatures,
screening against pycalphad's answer of lowest energy; where they differ, the Gibbs energies of both assemblages,
evaluated by pycalphad, say which of them is wrong, and pycalphad is asked again from screening's points.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from hea_loop.composition import Composition
from validators.calphad import (
    CalphadDatabase,
    PhaseEquilibrium,
    Screening,
    confirm,
    load_database,
    melting_range,
    phases_at,
    screen,
    solidus,
    starting_points,
)
from validators.calphad.systems import PRESSURE_PA
from validators.outcome import OutcomeStatus

__all__ = ["Agreement", "Speed", "main", "measure_agreement", "measure_solidus", "measure_speed"]

COMPONENTS = (4, 5, 6, 7)
SMOKE_COMPONENTS = (4, 5)
LOWEST_K, HIGHEST_K = 1073.0, 1873.0
SAME_ENERGY_J = 1e-3
"""J/mol; two assemblages closer than that are one answer within the solver's tolerance."""


AGREEMENT_SYSTEMS: Final = 60
"""Random systems of each size that the agreement is measured in: compiling pycalphad's models of one takes
seconds, more than its alloys do."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Alloys per second and core-second of each way, for one number of components.

    Attributes:
        components: Number of elements.
        cores: Processes that ran at once, each with its own alloys.
        naive_per_s: ``pycalphad.equilibrium``.
        warm_per_s: The confirming tier's minimisation, two samplings, models compiled.
        warm_one_sampling_per_s: The same with its first sampling only.
        screen_per_s: Screening in one call, alloys scattered over all systems of as many elements.
        screen_six_systems_per_s: The same, alloys of six systems.
    """

    components: int
    cores: int
    naive_per_s: float
    warm_per_s: float
    warm_one_sampling_per_s: float
    screen_per_s: float
    screen_six_systems_per_s: float


@dataclass(slots=True)
class Agreement:
    """Screening against pycalphad, for one number of components.

    Attributes:
        components: Number of elements.
        alloys: Random alloys, each at a random temperature.
        unanswered: How many pycalphad did not converge for; they are left out.
        same: How many verdicts agree.
        screen_wrong: Differences in which the Gibbs energies say that screening is wrong.
        pycalphad_wrong: Differences in which they say that pycalphad is.
        tied: Differences within 1e-3 J/mol.
        found_from_screening: Of those that pycalphad missed, how many it finds from screening's points.
        differences: Each difference with its energies, J/mol.
    """

    components: int
    alloys: int
    unanswered: int = 0
    same: int = 0
    screen_wrong: int = 0
    pycalphad_wrong: int = 0
    tied: int = 0
    found_from_screening: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def agreement(self) -> float:
        """Share of the answered alloys in which the verdicts agree."""
        return self.same / max(1, self.alloys - self.unanswered)


def random_alloys(
    number: int,
    components: int,
    elements: Sequence[str],
    rng: np.random.Generator,
    systems: int | None = None,
) -> tuple[list[Composition], np.ndarray]:
    """Uniform compositions of random systems (of ``systems`` ones, if given) and uniform temperatures, K."""
    chosen = [
        tuple(sorted(str(e) for e in rng.choice(elements, components, replace=False)))
        for _ in range(number if systems is None else systems)
    ]
    alloys = [
        Composition.from_amounts(
            dict(zip(chosen[k % len(chosen)], rng.dirichlet(np.ones(components)), strict=True))
        )
        for k in range(number)
    ]
    return alloys, rng.uniform(LOWEST_K, HIGHEST_K, number)


def _array(alloys: Sequence[Composition], elements: Sequence[str]) -> np.ndarray:
    return np.array([[c.fractions.get(e, 0.0) for e in elements] for c in alloys])


def _naive(alloy: Composition, temperature_K: float, database: CalphadDatabase) -> None:
    from pycalphad import equilibrium
    from pycalphad import variables as v

    *independent, _ = alloy.fractions.items()
    conditions = {v.X(e.upper()): x for e, x in independent}
    conditions |= {v.T: temperature_K, v.P: PRESSURE_PA, v.N: 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equilibrium(
            database.parsed, [*(e.upper() for e in alloy.elements), "VA"], list(database.phases), conditions
        )


def rates(
    components: int, seed: int, smoke: bool, cpu_time: bool
) -> tuple[float, float, float, float, float]:
    """Alloys per second of each way in this process, in the order of :class:`Speed`."""
    clock = time.process_time if cpu_time else time.perf_counter
    database = load_database()
    rng = np.random.default_rng([seed, components])
    naive, warm, screened = (1, 3, 100) if smoke else (6, 60, 3000)
    alloys, temperatures = random_alloys(screened, components, database.elements, rng, systems=6)
    scattered, at = random_alloys(screened, components, database.elements, rng)
    with threadpool_limits(1):
        for alloy, T in zip(alloys[: min(6, warm)], temperatures, strict=False):
            phases_at(alloy, float(T), database, keep_grid=False)  # compiles the models of its system

        began = clock()
        for alloy, T in zip(alloys[:naive], temperatures, strict=False):
            _naive(alloy, float(T), database)
        found = [naive / (clock() - began)]
        for densities in ({}, {"densities": ((60, 60),)}):
            began = clock()
            for alloy, T in zip(alloys[:warm], temperatures, strict=False):
                phases_at(alloy, float(T), database, keep_grid=False, **densities)  # type: ignore[arg-type]
            found.append(warm / (clock() - began))
        for some, T in ((scattered, at), (alloys, temperatures)):
            x = _array(some, database.elements)
            screen(x, database.elements, T, database)  # as pycalphad's, its models are made before
            began = clock()
            screen(x, database.elements, T, database)
            found.append(screened / (clock() - began))
    return found[0], found[1], found[2], found[3], found[4]


def measure_speed(components: int, *, seed: int, smoke: bool, cores: int) -> Speed:
    """Speed on one core, by its own time, or on several at once, by the clock on the wall."""
    if cores == 1:
        return Speed(components, 1, *rates(components, seed, smoke, cpu_time=True))
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(rates, components, seed + k, smoke, cpu_time=False) for k in range(cores)]
        each = np.array([f.result() for f in found])
    return Speed(components, cores, *(float(rate) for rate in each.sum(axis=0)))


def mixture_energy(alloy: Composition, temperature_K: float, database: CalphadDatabase) -> float:
    """Gibbs energy, J/mol, of the two phases that screening puts in place of bcc, evaluated by pycalphad."""
    from pycalphad import calculate

    mixture = [p for p in starting_points(alloy, temperature_K, database) if p.fraction > 0]
    if not mixture:
        return float("nan")
    components = [*(e.upper() for e in alloy.elements), "VA"]
    total, balance = 0.0, np.zeros(len(alloy.elements))
    for point in mixture:
        found = calculate(
            database.parsed,
            components,
            point.phase,
            T=temperature_K,
            P=PRESSURE_PA,
            N=1,
            points={point.phase: np.array([point.site_fractions])},
            to_xarray=False,
        )
        total += point.fraction * float(found.GM.ravel()[0])
        balance += point.fraction * found.X.reshape(-1)
    wanted = np.array([alloy.fractions[e] for e in sorted(alloy.elements)])
    assert np.abs(balance - wanted).max() < 1e-9, "a mixture without the alloy's composition settles nothing"
    return total


def measure_agreement(components: int, number: int, *, seed: int, cores: int, progress: Console) -> Agreement:
    """Compare the verdicts of both on random alloys, and settle every difference by Gibbs energies."""
    database = load_database()
    rng = np.random.default_rng([seed, components, number])
    alloys, temperatures = random_alloys(
        number, components, database.elements, rng, systems=AGREEMENT_SYSTEMS
    )
    # neighbours in the order share the compiled models of a system
    order = sorted(range(number), key=lambda k: alloys[k].system)
    pieces = [
        ([alloys[k] for k in piece], temperatures[piece])
        for piece in np.array_split(order, max(1, number // 25))
    ]
    result = Agreement(components, number)

    def add(part: Agreement) -> None:
        for name in (
            "unanswered",
            "same",
            "screen_wrong",
            "pycalphad_wrong",
            "tied",
            "found_from_screening",
            "differences",
        ):
            setattr(result, name, getattr(result, name) + getattr(part, name))
        compared = result.unanswered + result.same + len(result.differences)
        progress.print(f"{components} components: {compared} of {number} alloys", highlight=False)

    if cores == 1:
        for piece in pieces:
            add(compare(components, *piece))
    else:
        with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
            for part in pool.map(compare, [components] * len(pieces), *zip(*pieces, strict=True)):
                add(part)
    return result


def compare(components: int, alloys: Sequence[Composition], temperatures: np.ndarray) -> Agreement:
    """The same of some alloys, in this process."""
    database = load_database()
    result = Agreement(components, len(alloys))
    with threadpool_limits(1):
        answers = screen(_array(alloys, database.elements), database.elements, temperatures, database)
        for k, alloy in enumerate(alloys):
            T = float(temperatures[k])
            found = phases_at(alloy, T, database, keep_grid=False)
            alone = bool(answers.single_phase_bcc[k])
            if found.status is not OutcomeStatus.CONVERGED:
                result.unanswered += 1
            elif found.single_phase_bcc == alone:
                result.same += 1
            else:
                result.differences.append(_settle(alloy, T, database, found, answers, k))
                verdict = result.differences[-1]["settled"]
                setattr(result, verdict, getattr(result, verdict) + 1)
                result.found_from_screening += result.differences[-1]["confirm_agrees"]
    return result


def _settle(
    alloy: Composition,
    T: float,
    database: CalphadDatabase,
    found: PhaseEquilibrium,
    answers: Screening,
    k: int,
) -> dict[str, Any]:
    """One difference, with the Gibbs energies of both assemblages, J/mol."""
    alone = bool(answers.single_phase_bcc[k])
    # NaN: screening has no assemblage of less energy to show
    ours = float(answers.energy[k]) if alone else mixture_energy(alloy, T, database)
    gain = found.gibbs_energy - ours
    verdict = "screen_wrong" if not gain > -SAME_ENERGY_J else "pycalphad_wrong"
    if abs(gain) <= SAME_ENERGY_J:
        verdict = "tied"
    again = confirm(alloy, T, database)
    return {
        "composition": alloy.formula,
        "temperature_K": T,
        "screen_single_phase_bcc": alone,
        "pycalphad_phases": [p.name for p in found.phases],
        "pycalphad_energy": found.gibbs_energy,
        "screen_energy": ours,
        "confirm_energy_gain": again.energy_gain,
        "confirm_agrees": verdict == "pycalphad_wrong" and again.single_phase_bcc == alone,
        "competing_phase": str(answers.competing_phase[k]),
        "driving_force": float(answers.driving_force[k]),
        "settled": verdict,
    }


def measure_solidus(number: int, compared: int, *, seed: int, progress: Console) -> dict[str, Any]:
    """Solidus of random five-component alloys, and how far it is from pycalphad's on some of them."""
    database = load_database()
    rng = np.random.default_rng([seed, number])
    alloys, _ = random_alloys(number, 5, database.elements, rng)
    x = _array(alloys, database.elements)
    wall, cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(1):
        melting = melting_range(x, database.elements, database, liquidus=False)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    settled = np.flatnonzero(melting.solidus_settled)
    chosen = sorted(rng.choice(number, min(compared, number), replace=False).tolist())
    off = []
    for k in chosen:
        if not melting.solidus_settled[k]:
            continue
        found = solidus(alloys[k], database)
        if found.status is OutcomeStatus.CONVERGED:
            off.append(float(melting.solidus_K[k] - found.temperature_K))
    progress.print(f"solidus: {len(off)} compared", highlight=False)
    return {
        "alloys": number,
        "wall_s": wall,
        "cpu_s": cpu,
        "settled": len(settled),
        "chosen": len(chosen),
        "compared": len(off),
        "within_10_K": int(np.sum(np.abs(off) <= 10.0)),
        "largest_difference_K": float(np.max(np.abs(off), initial=0.0)),
    }


def measure(*, smoke: bool, seed: int, agreement: int, cores: int, progress: Console) -> dict[str, Any]:
    """Everything, as one JSON object."""
    rows = []
    sizes = SMOKE_COMPONENTS if smoke else COMPONENTS
    for components in sizes:
        progress.print(f"{components} components: speed", highlight=False)
        speeds = [measure_speed(components, seed=seed, smoke=smoke, cores=1)]
        if cores > 1:
            speeds.append(measure_speed(components, seed=seed, smoke=smoke, cores=cores))
        found = measure_agreement(
            components, agreement // len(sizes), seed=seed, cores=cores, progress=progress
        )
        rows += [
            asdict(speed)
            | {
                "screen_over_naive": speed.screen_per_s / speed.naive_per_s,
                "screen_over_warm": speed.screen_per_s / speed.warm_per_s,
                "agreement": found.agreement,
                "screen_wrong": found.screen_wrong / found.alloys,
            }
            for speed in speeds
        ]
        rows[-1]["settled"] = asdict(found)
    return {
        "smoke": smoke,
        "seed": seed,
        "cores": cores,
        "rows": rows,
        "solidus": measure_solidus(20 if smoke else 1000, 2 if smoke else 100, seed=seed, progress=progress),
    }


def show(result: dict[str, Any], console: Console) -> None:
    """The same as tables."""
    table = Table(
        *("components", "cores", "naive/s", "warm/s", "one sampling/s", "screen/s", "in six systems/s"),
        *("over naive", "over warm", "agreement", "wrong"),
    )
    for row in result["rows"]:
        table.add_row(
            str(row["components"]),
            str(row["cores"]),
            *(
                f"{row[name]:.4g}"
                for name in (
                    *("naive_per_s", "warm_per_s", "warm_one_sampling_per_s", "screen_per_s"),
                    *("screen_six_systems_per_s", "screen_over_naive", "screen_over_warm"),
                )
            ),
            f"{row['agreement']:.2%}",
            f"{row['screen_wrong']:.2%}",
        )
    console.print(table)
    melting = result["solidus"]
    console.print(
        f"solidus of {melting['alloys']} alloys in {melting['wall_s']:.1f} s ({melting['cpu_s']:.1f} s of "
        f"processor), {melting['settled']} settled; {melting['within_10_K']} of {melting['compared']} compared "
        f"within 10 K, the largest difference {melting['largest_difference_K']:.1f} K",
        highlight=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calphad", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few alloys of 4 and 5 elements: does it run?")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alloys", type=int, help="alloys for the agreement; default 2000, 4 with --smoke")
    parser.add_argument("--cores", type=int, help="default: all, one with --smoke")
    given = parser.parse_args(arguments)
    result = measure(
        smoke=given.smoke,
        seed=given.seed,
        agreement=given.alloys or (4 if given.smoke else 2000),
        cores=given.cores or (1 if given.smoke else os.cpu_count() or 1),
        progress=Console(stderr=True),
    )
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        show(result, Console(width=None if sys.stdout.isatty() else 130))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long training takes: ``cgan-2021`` against the plain loop of the same model, ensembles, time to a quality.

    python -m benchmarks.training [--smoke] [--json] [--out FILE] [--tables FILE]

*Plain and fast* are the same model with the same options from the same weights: :mod:`benchmarks.plain_loop`, as one
would write it with modules and automatic differentiation, and ``Cgan2021.fit``, whose gradients are written out
(``tests/test_generators_training_speed.py`` shows that their steps agree). They are trained side by side, some steps
of one and then as many of the other, on one thread, so that whatever else the machine does slows both. Seconds are
those of the processor on a CPU (one core; on an idle machine the clock's), and of the clock on a GPU. After each
such stretch both are asked for the conditions of the data, outside the clock: the time to a quality is the training
time until the mean absolute error of G first falls to the stated bound. The clock of ``fit`` includes drawing,
copying, and watching for collapse; that of the plain loop the loop.

*Ensemble*: four seeds in one run against four runs. *Default*: the default strategy, trained on four fifths of the same
alloys with shear modulus, Rice toughness and density for conditions, and judged as the generation benchmark judges
(:mod:`hea_loop.generation_benchmark`): its training time beside the quality it bought. Each is measured on a GPU too
where there is one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.plain_loop import PlainLoop
from benchmarks.seed_figures import literature_data
from benchmarks.tables import environment, fill, load_result, markdown_table, plain, write_result
from hea_loop.composition import RESOLUTION
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.generation_benchmark import Problem, Setting, contest, trial, with_hits
from hea_loop.generators import TrainingData
from hea_loop.generators.cgan_2021 import Cgan2021, Cgan2021Options
from hea_loop.generators.ensembles import fit_ensemble
from hea_loop.generators.quality import TRACE, without_traces
from hea_loop.generators.torch_execution import device_name
from hea_loop.palette import Palette
from hea_loop.prediction import METHODS, predict_array
from hea_loop.torch_threads import one_thread

__all__ = ["main", "measure", "side_by_side"]

QUALITY_GPa: Final = 5.0
"""Mean absolute error of G on the data's own conditions at which a cgan-2021 counts as trained."""
DEFAULT: Final = "flow-matching"
DEFAULT_PROPERTIES: Final = ("shear_modulus", "fracture_toughness_rice", "density")
BOUND_s: Final = 40.0
"""Seconds in which the default strategy is to be trained on about 1,000 alloys, on two cores; one is used."""
REPEATS: Final = 3
MEMBERS: Final = 4
_SMOKE: Final = {"steps": 60}
_UNMEASURED: Final = "unmeasured: no GPU"
_DOCUMENT: Final = Path("docs/generators.md")
_BLOCK: Final = "training speed"


@dataclass(slots=True)
class Clock:
    """Training time of one contestant, and when it first met the quality.

    Attributes:
        device: ``cpu`` or ``cuda``; says whose seconds count.
        wall: Seconds.
        cpu: Seconds of the processor.
        error: The error of G in GPa last measured.
        seconds_to_quality: Until the error first met the bound; None if it never did.
        step_of_quality: The step at which it was seen to.
    """

    device: str = "cpu"
    wall: float = 0.0
    cpu: float = 0.0
    error: float = float("inf")
    seconds_to_quality: float | None = None
    step_of_quality: int | None = None
    _started: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def start(self) -> None:
        """Start or go on."""
        self._started = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Stop, and add what has passed."""
        self.wall += time.perf_counter() - self._started[0]
        self.cpu += time.process_time() - self._started[1]

    def judge(self, error: float, step: int, bound: float) -> None:
        """Take note of the error at a step."""
        self.error = error
        if self.seconds_to_quality is None and error <= bound:
            self.seconds_to_quality, self.step_of_quality = self.seconds, step

    @property
    def seconds(self) -> float:
        """Of the processor on a CPU, of the clock on a GPU."""
        return self.cpu if self.device == "cpu" else self.wall

    def row(self, steps: int) -> dict[str, Any]:
        """As the result keeps it."""
        return {
            "seconds": self.seconds,
            "wall_s": self.wall,
            "microseconds_per_step": 1e6 * self.seconds / steps,
            "seconds_to_quality": self.seconds_to_quality,
            "step_of_quality": self.step_of_quality,
            "shear_modulus_mae_GPa": self.error,
        }


def _finished(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def side_by_side(
    data: TrainingData, options: Cgan2021Options, seed: int, device: str = "cpu"
) -> dict[str, Any]:
    """Train the plain loop and the library's generator in turns.

    Args:
        data: With a reference, the first condition being G in GPa.
        options: Of both.
        seed: Of both.
        device: ``cpu`` or ``cuda``.

    Returns:
        ``plain`` and ``fast``, each as :meth:`Clock.row` gives it.
    """
    reference = data.reference
    if reference is None:
        raise InputError("training data", "no reference", "cannot judge answers", "give the prediction loop")
    slow, fast, generator, done = Clock(device), Clock(device), Cgan2021(options), 0

    def error(answers: NDArray[np.float64]) -> float:
        reached = reference(without_traces(answers))
        return float(np.abs(reached - data.conditions)[:, 0].mean())

    with one_thread():
        slow.start()
        loop = PlainLoop(data, options, seed, device=device)
        slow.stop()

        def turn(step: int, _of: int, _point: dict[str, float]) -> None:
            nonlocal done
            fast.stop()
            slow.start()
            loop.train(done + 1, step)
            _finished(device)
            slow.stop()
            done = step
            fast.judge(error(generator.generate(data.conditions, seed=seed)), step, QUALITY_GPa)
            slow.judge(error(loop.generate(data.conditions, seed)), step, QUALITY_GPa)
            fast.start()

        fast.start()
        generator.fit(data, seed=seed, device=device, progress=turn)
    return {"seed": seed, "plain": slow.row(options.steps), "fast": fast.row(options.steps)}


def ensemble_against_singles(
    data: TrainingData, options: dict[str, Any], members: int, device: str = "cpu"
) -> dict[str, Any]:
    """Seconds of training that many seeds one after another and at once, measures of quality left out."""
    seeds = list(range(1, members + 1))

    def seconds(chosen: list[int]) -> float:
        clock = Clock(device)

        def end(step: int, of: int, _point: dict[str, float]) -> None:
            if step == of:
                _finished(device)
                clock.stop()

        clock.start()
        fit_ensemble("cgan-2021", data, chosen, options=options, device=device, progress=end)
        return clock.seconds

    singles, together = sum(seconds([seed]) for seed in seeds), seconds(seeds)
    return {
        "members": members,
        "singles_s": singles,
        "together_s": together,
        "ratio": singles / together,
    }


def as_problem(data: TrainingData) -> Problem:
    """The packaged literature alloys that the prediction loop covers, with three properties."""
    elements, m = data.elements, len(data.elements)

    def evaluate(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        values = predict_array(fractions, elements, DEFAULT_PROPERTIES)
        return np.column_stack([values[name] for name in DEFAULT_PROPERTIES])

    return Problem(
        "all literature alloys",
        elements,
        data.fractions,
        evaluate(data.fractions),
        DEFAULT_PROPERTIES,
        evaluate,
        {name: METHODS[name] for name in DEFAULT_PROPERTIES},
        DEFAULT_PROPERTIES,
        # two elements or more, each absent or at least a trace
        Palette(elements, (round(TRACE * RESOLUTION),) * m, (RESOLUTION,) * m, (False,) * m, 2, m),
    )


def default_to_quality(
    data: TrainingData, strategy: str, seeds: Sequence[int], device: str, *, smoke: bool
) -> dict[str, Any]:
    """Seconds of training the default strategy, its own measures of quality included, and what they bought."""
    problem, setting = as_problem(data), Setting(targets=4, answers=8) if smoke else Setting()
    rows = []
    for seed in seeds:
        given = trial(problem, seed, setting)
        options = dict(_SMOKE) if smoke else None
        run = contest(problem, strategy, given, setting, options=options, device=device)
        rows += with_hits([run], {seed: given})
    keys = ("training_s", "training_cpu_s", "hits_2", "hits_2_reachable", "diversity", "novelty")
    return {
        "strategy": strategy,
        "alloys": len(given.training),
        "bound_s": BOUND_s,
        **{key: None if None in (v := [r[key] for r in rows]) else statistics.median(v) for key in keys},
        "runs": [{key: row[key] for key in ("seed", *keys)} for row in rows],
    }


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def middle(kind: str, key: str) -> float | None:
        values = [run[kind][key] for run in runs]
        return None if None in values else statistics.median(values)

    keys = (
        "seconds",
        "wall_s",
        "microseconds_per_step",
        "seconds_to_quality",
        "step_of_quality",
        "shear_modulus_mae_GPa",
    )
    return {
        **{kind: {key: middle(kind, key) for key in keys} for kind in ("plain", "fast")},
        "ratio": statistics.median(run["plain"]["seconds"] / run["fast"]["seconds"] for run in runs),
        "wall_ratio": statistics.median(run["plain"]["wall_s"] / run["fast"]["wall_s"] for run in runs),
        "lowest_ratio": min(run["plain"]["seconds"] / run["fast"]["seconds"] for run in runs),
        "repeats": len(runs),
    }


def measure(
    *, smoke: bool = False, repeats: int = REPEATS, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure everything; see the module's text."""
    data, options = literature_data(), dict(_SMOKE) if smoke else {}
    chosen = Cgan2021Options(**options)
    result: dict[str, Any] = {
        "benchmark": "training",
        "smoke": smoke,
        **environment(),
        "torch_threads": 1,
        "alloys": len(data.fractions),
        "elements": len(data.elements),
        "conditions": list(data.condition_names),
        "options": chosen.model_dump(),
        "quality_GPa": QUALITY_GPa,
        "devices": {},
    }
    for device in ("cpu", "cuda"):
        if device == "cuda" and not torch.cuda.is_available():
            result["devices"][device] = {"status": _UNMEASURED}
            continue
        runs = []
        for seed in range(1, repeats + 1):
            say(f"{device}: plain and fast in turns, seed {seed}")
            runs.append(side_by_side(data, chosen, seed, device))
        say(f"{device}: {MEMBERS} seeds, singly and at once; then {DEFAULT}")
        result["devices"][device] = {
            "status": "measured",
            "name": device_name(torch.device(device)),
            "runs": runs,
            **_summary(runs),
            "ensemble": ensemble_against_singles(data, options, MEMBERS, device),
            "default": default_to_quality(data, DEFAULT, range(1, repeats + 1), device, smoke=smoke),
        }
    return result


# -- showing ---------------------------------------------------------------------------------------------------


def _seconds(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.1f}"


def _rows(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    steps = result["options"]["steps"]
    for device, found in result["devices"].items():
        if found["status"] != "measured":
            rows.append([device, found["status"], *[""] * 4])
            continue
        for kind, words in (("plain", "plain loop"), ("fast", "cgan-2021")):
            own = found[kind]
            ratio = "1" if kind == "plain" else f"{found['ratio']:.1f}"
            rows.append(
                [
                    device,
                    f"{words}, {steps} steps",
                    f"{own['seconds']:.1f}",
                    f"{own['microseconds_per_step']:.0f}",
                    _seconds(own["seconds_to_quality"]),
                    ratio,
                ]
            )
        group = found["ensemble"]
        n = group["members"]
        rows += [
            [device, f"{n} seeds one after another", f"{group['singles_s']:.1f}", "", "", ""],
            [
                device,
                f"{n} seeds at once",
                f"{group['together_s']:.1f}",
                "",
                "",
                f"{group['ratio']:.2f} to singly",
            ],
        ]
        other = found["default"]
        rows.append(
            [
                device,
                f"{other['strategy']}, {other['alloys']} alloys",
                f"{other['training_cpu_s']:.1f}",
                "",
                "see below",
                "",
            ]
        )
    return rows


def _headings(result: dict[str, Any]) -> list[str]:
    bound = result["quality_GPa"]
    return [
        "device",
        "training",
        "seconds",
        "microseconds a step",
        f"seconds to MAE(G) {bound:g} GPa",
        "times as fast",
    ]


def tables(result: dict[str, Any]) -> dict[str, str]:
    """The block of the document."""
    o, cpu = result["options"], result["devices"]["cpu"]
    text = [
        (
            f"Medians of {cpu['repeats']} runs (lowest ratio {cpu['lowest_ratio']:.1f}; by the clock "
            f"{cpu['wall_ratio']:.1f}), {result['alloys']} alloys of {result['elements']} elements, "
            f"width {o['width']}, batch {o['batch_size']}, {o['critic_steps']} critic steps, "
            f"k = {o['unrolled_steps']}; one thread, "
            f"{result['machine']}, torch {result['versions']['torch']}, load {result['load_average_1_min']}, "
            f"{result['made_at'][:10]}."
        ),
        markdown_table(_headings(result), _rows(result), left=2),
        *[_default_words(d["default"]) for d in result["devices"].values() if "default" in d],
    ]
    return {_BLOCK: "\n\n".join(text)}


def _default_words(found: dict[str, Any]) -> str:
    reachable = found["hits_2_reachable"]
    return (
        f"`{found['strategy']}` took {found['training_cpu_s']:.1f} s of one core ({found['training_s']:.1f} s by "
        f"the clock; bound {found['bound_s']:g} s) on {found['alloys']} alloys, its measures of quality included. "
        f"Of its answers to held-out targets {found['hits_2']:.0%} have all three properties within 2%"
        + ("" if reachable is None else f", {reachable:.0%} where any composition does")
        + f"; TV {found['diversity']:.2f}, novelty {found['novelty']:.2f}."
    )


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(title=f"training of cgan-2021, {result['alloys']} alloys")
    for heading in _headings(result):
        table.add_column(heading)
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)
    for found in result["devices"].values():
        if "default" in found:
            console.print(_default_words(found["default"]), highlight=False)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--smoke", action="store_true", help="60 steps: does everything run?")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")
    parser.add_argument("--repeats", type=int, help=f"runs, one a seed; {REPEATS} unless told")
    parser.add_argument("--out", type=Path, help="write the JSON to this file too")
    parser.add_argument(
        "--tables", type=Path, metavar="FILE", help=f"write the table of FILE into {_DOCUMENT}"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what a person gave wrongly."""
    given = _arguments(arguments)
    errors = Console(stderr=True)
    try:
        if given.tables:
            fill(_DOCUMENT, tables(load_result(given.tables)))
            return 0
        repeats = given.repeats if given.repeats is not None else (1 if given.smoke else REPEATS)
        if repeats < 1:
            raise InputError("--repeats", repeats, "is no number of runs", "give at least 1")
        result = measure(
            smoke=given.smoke,
            repeats=repeats,
            say=lambda text: errors.print(text, highlight=False, style="dim"),
        )
        if given.out:
            write_result(given.out, result)
    except HeaLoopError as error:
        errors.print(str(error), style="red", highlight=False, markup=False)
        return 2
    if given.json:
        print(json.dumps(plain(result), indent=1, allow_nan=False))
    else:
        _show(result, Console(width=None if sys.stdout.isatty() else 140))
    return 0


if __name__ == "__main__":
    sys.exit(main())

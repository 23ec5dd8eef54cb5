"""The edges of the data: G = 120 GPa, and the four corner conditions of the seed's Figure 7.

Trained on every packaged literature alloy that the linear combination covers, conditioned on G and Rice's toughness.
A condition that no composition of those elements meets is not counted: it is refused, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.seed_figures import (
    CORNER_TOLERANCE,
    PROPERTIES,
    corner_conditions,
    corner_palette,
    literature_data,
    reference_values,
    refused_corners,
)
from hea_loop.generation_benchmark import ROWS_ONLY
from hea_loop.generation_measures import relative_errors
from hea_loop.generators import TrainingData, generator_named
from hea_loop.generators.quality import diversity, novelty

__all__ = ["EDGE_GPa", "EDGE_TOLERANCE_GPa", "edges"]

Array = NDArray[np.float64]

EDGE_GPa: Final = 120.0
EDGE_TOLERANCE_GPa: Final = 5.0
_ANSWERS: Final = 200


def edges(
    strategies: Sequence[str],
    seeds: Sequence[int],
    *,
    smoke: bool,
    options: Mapping[str, Mapping[str, Any]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure every strategy at the edges.

    Args:
        strategies: Names of registered generators.
        seeds: One training for each.
        smoke: Few answers, and the options of ``options``.
        options: Strategy to its options in a smoke run.
        say: Called with a line of progress.
    """
    data = literature_data()
    corners = corner_conditions(data.conditions)
    refused = refused_corners(data, corners)
    near = float((np.abs(data.conditions[:, 0] - EDGE_GPa) <= EDGE_TOLERANCE_GPa).mean())
    runs = []
    for seed in seeds:
        for strategy in strategies:
            run = _one(
                data,
                {k: v for k, v in corners.items() if k not in refused},
                strategy,
                seed,
                number=20 if smoke else _ANSWERS,
                options=options.get(strategy) if smoke else None,
            )
            runs.append(run)
            worst = min(run["corners"].values(), key=lambda c: c["share_within"], default=None)
            say(
                f"edges, seed {seed}, {strategy}: G = 120 within 5 GPa {run['edge']['share_within']:.0%}, "
                f"worst corner {'-' if worst is None else format(worst['share_within'], '.0%')}; "
                f"trained in {run['training_s']:.0f} s"
            )
    return {
        "alloys": len(data.fractions),
        "elements": list(data.elements),
        "properties": list(PROPERTIES),
        "answers": 20 if smoke else _ANSWERS,
        "seeds": list(seeds),
        "share_of_data_near_120_GPa": near,
        "corners": {k: list(v) for k, v in corners.items()},
        "refused": refused,
        "runs": runs,
    }


def _one(
    data: TrainingData,
    corners: Mapping[str, tuple[float, float]],
    strategy: str,
    seed: int,
    *,
    number: int,
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    generator = generator_named(strategy, options)
    began, began_cpu = time.perf_counter(), time.process_time()
    record = generator.fit(data, seed=seed, device="cpu")
    trained, trained_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    palette = corner_palette(data)

    def ask(condition: tuple[float, float]) -> tuple[Array, Array]:
        x = generator.generate(np.tile(condition, (number, 1)), seed=seed, palette=palette)
        return x, reference_values(x, data.elements)

    began = time.perf_counter()
    x, values = ask((EDGE_GPa, float("nan")))
    edge = {
        "share_within": float((np.abs(values[:, 0] - EDGE_GPa) <= EDGE_TOLERANCE_GPa).mean()),
        "mae_GPa": float(np.abs(values[:, 0] - EDGE_GPa).mean()),
        "diversity": diversity(x),
        "novelty": novelty(x, data.fractions),
    }
    found = {}
    for letter, condition in corners.items():
        x, values = ask(condition)
        wanted = np.tile(condition, (number, 1))
        found[letter] = {
            "share_within": float(
                (relative_errors(values, wanted, np.abs(wanted)) <= CORNER_TOLERANCE).mean()
            ),
            "diversity": diversity(x),
        }
    return {
        "strategy": strategy,
        "knows": ROWS_ONLY.get(strategy, "closed form of the properties"),
        "seed": seed,
        "edge": edge,
        "corners": found,
        "reported_collapsed": record.metrics.get("collapsed"),
        "training_s": trained,
        "training_cpu_s": trained_cpu,
        "answering_s": time.perf_counter() - began,
    }

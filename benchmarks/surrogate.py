"""How well the surrogates foretell systems that they have never seen.

Run ``python -m benchmarks.surrogate [--smoke] [--json]``. The first-principles ternaries (1,261 bcc alloys, 35
systems) are left out system by system; G, B and nu of each are predicted by a model whose parameters, doubts
and prior mean were made without any row of that system. As information, yield strength and hardness at room
temperature from the packaged literature are left out by systems likewise, in seven folds.

Two coverages of the 95% intervals are given. ``coverage``: the widening for a system comes from the left-out
misses of all the other systems (the models of those have seen the system; its own misses are not used).
``nested_coverage``: everything, the widening included, is made again without the systems that are asked about,
by folds within folds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db.literature import read_first_principles, read_literature
from hea_loop.elements import element_vector
from hea_loop.surrogates.composition_gp import CompositionGP
from hea_loop.surrogates.elastic import ELASTIC_PROPERTIES, fit_elastic
from hea_loop.surrogates.group_validation import (
    folds_of_groups,
    left_out_by_refits,
    systems_of,
    widening_for,
)

__all__ = ["LeftOut", "elastic_benchmark", "literature_benchmark", "main"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_BARS: Final = {"shear_modulus": 1.3, "bulk_modulus": 3.2, "poisson_ratio": 0.008}
_NORMAL_95: Final = 1.959963984540054
_NESTED: Final = 5  # folds, and folds within each
_LITERATURE: Final = {"yield_strength": "MPa", "hardness": "HV"}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Scores of one property on rows of left-out systems, in its unit.

    Attributes:
        rows: How many.
        systems: How many systems they belong to.
        mean_absolute_error: Of the surrogate.
        median_absolute_error: Likewise.
        root_mean_square_error: Likewise.
        baseline_mean_absolute_error: Of the linear combination; for the literature of the mean of the rows.
        bar: What the mean absolute error may be at most; None where none is set.
        coverage: Share of values in their 95% intervals.
        nested_coverage: The same with the widening made without the systems asked about; None if not run.
        half_width: Mean half width of the 95% intervals.
        widening: Factor on the standard deviations that all left-out misses ask for.
        worst: The five systems with the largest mean absolute errors.
        seconds: Of all fits and predictions.
    """

    rows: int
    systems: int
    mean_absolute_error: float
    median_absolute_error: float
    root_mean_square_error: float
    baseline_mean_absolute_error: float
    bar: float | None
    coverage: float
    nested_coverage: float | None
    half_width: float
    widening: float
    worst: dict[str, float]
    seconds: float


def elastic_benchmark(*, smoke: bool = False, seed: int = 0) -> dict[str, LeftOut]:
    """Leave out every ternary system in turn; in a smoke run, four folds of nine systems and G alone."""
    elements, x, values = _ternaries()
    names: tuple[str, ...] = ELASTIC_PROPERTIES
    if smoke:
        kept = np.isin(systems_of(elements, x), sorted(set(systems_of(elements, x)))[-9:])
        present = x[kept].sum(axis=0) > 0
        elements = tuple(e for e, there in zip(elements, present, strict=True) if there)
        x, values = x[kept][:, present], {n: v[kept] for n, v in values.items()}
        names = names[:1]
    groups = systems_of(elements, x)
    out = {}
    for name in names:
        began, y = time.perf_counter(), values[name]

        def fit(rows: Flags, name: str = name, y: Array = y) -> CompositionGP:
            return fit_elastic(name, elements, x[rows], y[rows], seed=seed)[0]

        folds = folds_of_groups(groups, 4 if smoke else len(set(groups)), seed)
        baseline = x @ element_vector(elements, name)
        nested = None if smoke else _nested_coverage(fit, x, y, groups, seed)
        out[name] = _scores(
            y, baseline, left_out_by_refits(fit, x, folds), groups, _BARS[name], nested, began
        )
    return out


def literature_benchmark(*, seed: int = 0) -> dict[str, LeftOut]:
    """Yield strength and hardness at room temperature, each alloy's median, systems left out in seven folds."""
    out = {}
    for name in _LITERATURE:
        elements, x, y = _room_temperature(name)
        groups, began = systems_of(elements, x), time.perf_counter()

        def fit(
            rows: Flags, x: Array = x, y: Array = y, elements: tuple[str, ...] = elements
        ) -> CompositionGP:
            return CompositionGP.fit(elements, x[rows], y[rows], seed=seed)

        folds = folds_of_groups(groups, 7, seed)
        baseline = np.empty(len(y))
        for held in folds:
            baseline[held] = y[~held].mean()
        out[name] = _scores(y, baseline, left_out_by_refits(fit, x, folds), groups, None, None, began)
    return out


def _nested_coverage(fit: Any, x: Array, y: Array, groups: list[str], seed: int) -> float:
    """Share of values in intervals that are widened by folds within the rows that may be used."""
    names, inside = np.asarray(groups), np.zeros(len(y), dtype=bool)
    for held in folds_of_groups(groups, _NESTED, seed):
        used = ~held
        inner = []
        for part in folds_of_groups(names[used].tolist(), _NESTED, seed):
            left = np.zeros(len(y), dtype=bool)
            left[np.flatnonzero(used)[part]] = True
            inner.append(left)
        mean, sigma = np.full(len(y), np.nan), np.full(len(y), np.nan)
        for left in inner:
            mean[left], sigma[left] = fit(used & ~left).predict(x[left], noise=True)
        widening = widening_for(y, mean, sigma)
        found, spread = fit(used).predict(x[held], noise=True)
        inside[held] = np.abs(found - y[held]) <= _NORMAL_95 * widening * spread
    return float(inside.mean())


def _scores(
    y: Array,
    baseline: Array,
    predicted: tuple[Array, Array],
    groups: list[str],
    bar: float | None,
    nested: float | None,
    began: float,
) -> LeftOut:
    mean, sigma = predicted
    names, missed = np.asarray(groups), np.abs(mean - y)
    inside, half_widths = np.zeros(len(y), dtype=bool), np.zeros(len(y))
    for name in np.unique(names):
        mine = names == name
        half_widths[mine] = _NORMAL_95 * widening_for(y[~mine], mean[~mine], sigma[~mine]) * sigma[mine]
        inside[mine] = missed[mine] <= half_widths[mine]
    errors = {str(name): float(missed[names == name].mean()) for name in np.unique(names)}
    return LeftOut(
        rows=len(y),
        systems=len(errors),
        mean_absolute_error=float(missed.mean()),
        median_absolute_error=float(np.median(missed)),
        root_mean_square_error=float(np.sqrt(np.mean(missed**2))),
        baseline_mean_absolute_error=float(np.abs(baseline - y).mean()),
        bar=bar,
        coverage=float(inside.mean()),
        nested_coverage=nested,
        half_width=float(half_widths.mean()),
        widening=widening_for(y, mean, sigma),
        worst=dict(sorted(errors.items(), key=lambda item: -item[1])[:5]),
        seconds=round(time.perf_counter() - began, 1),
    )


def _ternaries() -> tuple[tuple[str, ...], Array, dict[str, Array]]:
    rows = read_first_principles()
    elements = tuple(sorted({e for row in rows for e in row.composition.elements}))
    x = np.array([row.composition.fraction_vector(elements) for row in rows])
    columns = {
        "shear_modulus": [row.shear_modulus for row in rows],
        "bulk_modulus": [row.bulk_modulus for row in rows],
        "poisson_ratio": [row.poisson_ratio for row in rows],
    }
    return elements, x, {name: np.array(column, dtype=float) for name, column in columns.items()}


def _room_temperature(name: str) -> tuple[tuple[str, ...], Array, Array]:
    """Each alloy once, with the median of its values between 290 and 300 K."""
    found: dict[Any, list[float]] = {}
    for row in read_literature():
        near = row.temperature_K is not None and 290 <= row.temperature_K <= 300
        if row.property == name and row.value is not None and near and not row.qualifier:
            found.setdefault(row.composition, []).append(row.value)
    elements = tuple(sorted({e for composition in found for e in composition.elements}))
    x = np.array([composition.fraction_vector(elements) for composition in found])
    return elements, x, np.array([float(np.median(values)) for values in found.values()])


def provenance(seed: int) -> dict[str, Any]:
    """Versions, seed and machine of a run."""
    packages = ("hea-loop", "numpy", "scipy", "torch", "gpytorch")
    return {
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "seed": seed,
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
    }


def _table(results: dict[str, LeftOut]) -> str:
    lines = [
        "| property | rows | systems | MAE | bar | median | RMSE | baseline MAE | coverage | nested | half width |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        nested = "" if r.nested_coverage is None else f"{100 * r.nested_coverage:.1f}%"
        bar = "" if r.bar is None else f"{r.bar:g}"
        lines.append(
            f"| `{name}` | {r.rows} | {r.systems} | {r.mean_absolute_error:.3g} | {bar} "
            f"| {r.median_absolute_error:.2g} | {r.root_mean_square_error:.3g} "
            f"| {r.baseline_mean_absolute_error:.3g} | {100 * r.coverage:.1f}% | {nested} "
            f"| {r.half_width:.2g} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the scores; 1 where a bar is missed, so that a slip is noticed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surrogate", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="nine systems, four folds, G alone: seconds")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    results = elastic_benchmark(smoke=asked.smoke, seed=asked.seed)
    literature = {} if asked.smoke else literature_benchmark(seed=asked.seed)
    if asked.json:
        scores = {name: asdict(r) for name, r in (results | literature).items()}
        print(json.dumps({"results": scores, "smoke": asked.smoke, **provenance(asked.seed)}, indent=2))
    else:
        print(_table(results | literature))
    missed = [n for n, r in results.items() if r.bar is not None and r.mean_absolute_error > r.bar]
    if missed and not asked.smoke:
        print(f"above the bar: {', '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A pool campaign on anyone's own table of alloys: which strategy would have found the hits in it soonest."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.oracles import Oracle, pool_oracle
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition

__all__ = ["checked_targets", "table_oracle"]

Array = NDArray[np.float64]
_LEAST_OUTSIDE: Final = 60


def checked_targets(texts: list[str]) -> dict[str, tuple[float, float]]:
    """Read targets written as ``name=low:high``, either end left out for none.

    Raises:
        InputError: One that is not written so, or none.
    """
    out = {}
    for text in texts:
        name, equals, ends = text.partition("=")
        low, colon, high = ends.partition(":")
        try:
            bounds = (float(low) if low else -math.inf, float(high) if high else math.inf)
        except ValueError:
            bounds = (math.nan, math.nan)
        if not (name and equals and colon) or not bounds[0] < bounds[1]:
            raise InputError("--target", text, "is no interval", "write it as shear_modulus=60:66")
        out[name] = bounds
    if not out:
        raise InputError("--target", None, "is not given", "say what a hit is, as shear_modulus=60:66")
    return out


def table_oracle(path: Path, targets: Mapping[str, tuple[float, float]]) -> Oracle:
    """The alloys of a CSV as a pool.

    Args:
        path: A table with a column ``composition`` and one column of numbers for each target; rows that lack one
            are left out, rows of one composition are averaged.
        targets: Property to closed interval; an infinite end is taken to lie half the table's range outside it.

    Raises:
        InputError: The file cannot be read, lacks a column, or has too few alloys that are hits or no hits.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError("--data", str(path), f"cannot be read ({error.strerror})", "name a CSV") from None
    lacking = [c for c in ("composition", *targets) if not rows or c not in rows[0]]
    if lacking:
        raise InputError("--data", str(path), f"has no column {', '.join(lacking)}", "add it")
    found: dict[Composition, list[list[float]]] = {}
    for row in rows:
        values = [_number(row[name], name) for name in targets]
        if not any(map(math.isnan, values)):
            found.setdefault(parse_composition(row["composition"], field="composition"), []).append(values)
    alloys = sorted(found, key=lambda c: c.key)
    elements = tuple(sorted({e for c in alloys for e in c.elements}))
    pool = np.array([c.fraction_vector(elements) for c in alloys])
    means = np.array([np.mean(found[c], axis=0) for c in alloys]).reshape(len(alloys), len(targets))
    table = dict(zip(targets, means.T, strict=True))
    closed = {name: _closed(ends, table[name]) for name, ends in targets.items()}
    oracle = pool_oracle(
        path.stem,
        elements,
        pool,
        table,
        targets=closed,
        units=dict.fromkeys(table, ""),
        noise=dict.fromkeys(table, 0.0),
    )
    hits = int(oracle.hits(pool).sum())
    if not hits or len(pool) - hits < _LEAST_OUTSIDE:
        raise InputError(
            "--data",
            str(path),
            f"has {hits} hits among {len(pool)} alloys",
            f"give targets that some meet and at least {_LEAST_OUTSIDE} do not",
        )
    return oracle


def _number(text: str | None, name: str) -> float:
    if text is None or not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise InputError(name, text, "is no number", "leave the cell empty where nothing is known") from None


def _closed(ends: tuple[float, float], values: Array) -> tuple[float, float]:
    beyond = 0.5 * float(np.ptp(values)) + 1e-9
    low, high = ends
    return (
        low if math.isfinite(low) else min(float(values.min()), high) - beyond,
        high if math.isfinite(high) else max(float(values.max()), low) + beyond,
    )

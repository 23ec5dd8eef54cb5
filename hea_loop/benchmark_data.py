"""A generation benchmark's problem from a CSV of one's own alloys.

One row per alloy: its composition in a column ``composition`` or ``formula``, or one column per element named by
its symbol (amounts of atoms, any positive sum); beside it columns of properties by name, empty where unknown.
Rows of one composition are averaged.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import RESOLUTION, Composition
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from hea_loop.generation_benchmark import Problem
from hea_loop.generators.protocol import TrainingData
from hea_loop.generators.quality import TRACE
from hea_loop.palette import Palette
from hea_loop.prediction import METHODS, PREDICTED_PROPERTIES, missing_inputs, predict_array

__all__ = ["AlloyRows", "problem_of_rows", "read_alloy_rows"]

Array = NDArray[np.float64]

_FORMULA_COLUMNS: Final = ("composition", "formula")
_FEWEST: Final = 20
_SAME: Final = 1e-3  # relative: a column this near to the formula everywhere is the formula


@dataclass(frozen=True, slots=True, eq=False)
class AlloyRows:
    """Alloys of a table, each composition once.

    Attributes:
        source: Where they are from.
        compositions: ``n`` different ones.
        columns: Property to ``n`` values, NaN where unknown.
    """

    source: str
    compositions: tuple[Composition, ...]
    columns: Mapping[str, Array]


def read_alloy_rows(path: Path, names: Sequence[str], *, field: str = "--data") -> AlloyRows:
    """Read alloys and the named properties.

    A property that is no column, but follows from the composition by :mod:`hea_loop.prediction`, is computed.

    Args:
        path: UTF-8 CSV with a header, separated by commas, semicolons or tabs.
        names: Properties wanted.
        field: What errors call the file.

    Raises:
        InputError: A file that cannot be read, no composition in it, a row that is no composition or no number, or a
            property that is neither a column nor predicted.
    """
    header, rows = _cells(path, field)
    elements = [name for name in header if _is_element(name)]
    formulas = [name for name in _FORMULA_COLUMNS if name in header]
    if not formulas and len(elements) < 2:
        raise InputError(
            field,
            str(path),
            "has no column of compositions",
            f"name one {' or '.join(_FORMULA_COLUMNS)}, or give one column per element; "
            f"there are {', '.join(header) or 'none'}",
        )
    compositions = [
        _composition(row[formulas[0]], path, line) if formulas else _amounts(row, elements, path, line)
        for line, row in rows
    ]
    apart = set(formulas) | (set() if formulas else set(elements))
    values = {name: _column(name, header, apart, rows, compositions, path) for name in dict.fromkeys(names)}
    return _averaged(str(path), compositions, values)


def _cells(path: Path, field: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(field, str(path), "does not exist", "name a CSV file of alloys") from None
    except UnicodeDecodeError:
        raise InputError(field, str(path), "is no UTF-8 text", "save it as CSV in UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(field, str(path), f"cannot be read ({error})", "name a CSV file of alloys") from None
    delimiter = max("\t;,", key=text.partition("\n")[0].count)
    try:
        reader = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(reader, [])]
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(field, str(path), f"is not CSV ({error})", "save it as CSV in UTF-8") from None
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise InputError(field, str(path), f"has two columns {twice[0]}", "rename one")
    rows = [
        (line, {n: (row[k].strip() if k < len(row) else "") for k, n in enumerate(header)})
        for line, row in lines
    ]
    return header, rows


def _is_element(name: str) -> bool:
    from hea_loop.composition import atomic_masses

    return name in atomic_masses()


def _composition(text: str, path: Path, line: int) -> Composition:
    return parse_composition(text, field=f"{path} line {line}")


def _amounts(row: Mapping[str, str], elements: Sequence[str], path: Path, line: int) -> Composition:
    amounts = [_number(row[e] or "0", f"{path} line {line}, {e}") for e in elements]
    if min(amounts) < 0 or sum(amounts) <= 0:
        raise InputError(
            f"{path} line {line}",
            amounts,
            "are no amounts of elements",
            "give amounts of atoms, none negative",
        )
    total = sum(amounts)
    parts = "".join(f"{e}{100 * a / total:.6f}" for e, a in zip(elements, amounts, strict=True) if a > 0)
    return parse_composition(parts, field=f"{path} line {line}")


def _number(text: str, field: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(field, text, "is not a finite number", "mend it, or leave the cell empty")
    return value


def _column(
    name: str,
    header: Sequence[str],
    apart: set[str],
    rows: Sequence[tuple[int, Mapping[str, str]]],
    compositions: Sequence[Composition],
    path: Path,
) -> Array:
    """Values of one property for every row of the file."""
    there = [n for n in header if n and n not in apart]
    if name in there:
        cells = [(line, row[name]) for line, row in rows]
        return np.array([_number(c, f"{path} line {i}, {name}") if c else math.nan for i, c in cells])
    if name not in PREDICTED_PROPERTIES:
        near = difflib.get_close_matches(name, [*there, *PREDICTED_PROPERTIES], n=1)
        raise InputError(
            "property",
            name,
            f"is no column of {path} and cannot be predicted",
            (f"did you mean {near[0]}? " if near else "")
            + f"columns are {', '.join(there) or 'none but the composition'}",
        )
    return np.array([_predicted(c, name) for c in compositions])


def _predicted(composition: Composition, name: str) -> float:
    if missing_inputs(composition, name):
        return math.nan
    x = np.array([composition.fraction_vector(composition.elements)])
    return float(predict_array(x, composition.elements, (name,))[name][0])


def _averaged(source: str, compositions: Sequence[Composition], values: Mapping[str, Array]) -> AlloyRows:
    places: dict[str, list[int]] = {}
    for k, composition in enumerate(compositions):
        places.setdefault(composition.key, []).append(k)
    keys = sorted(places)

    return AlloyRows(
        source,
        tuple(compositions[places[key][0]] for key in keys),
        {
            name: np.array([_mean_known(column, places[key]) for key in keys])
            for name, column in values.items()
        },
    )


def _mean_known(column: Array, rows: list[int]) -> float:
    known = [float(column[k]) for k in rows if math.isfinite(column[k])]
    return sum(known) / len(known) if known else math.nan


def problem_of_rows(rows: AlloyRows, *, seed: int = 0) -> Problem:
    """A problem of the generation benchmark.

    A property whose column agrees with the formula of :mod:`hea_loop.prediction` is judged by the formula, and
    strategies may use it. Every other one is judged by a Gaussian process that learned from all rows, the held-out
    ones too; strategies learn from the training rows only. It is a judge of the kind that steered strategies use
    themselves, so it flatters these: how well it knows the property stands in ``judged_by``.

    Args:
        rows: At least 20 alloys, 8 of which have all properties, of two elements or more.
        seed: Of the judge's training.

    Raises:
        InputError: Too few alloys, or a property without spread.
    """
    names = tuple(rows.columns)
    values = np.column_stack([rows.columns[name] for name in names])
    whole = int(np.isfinite(values).all(axis=1).sum())
    if len(rows.compositions) < _FEWEST or whole < 8:
        raise InputError(
            "--data",
            rows.source,
            f"has {len(rows.compositions)} different alloys, {whole} of them with {' and '.join(names)}: too few",
            f"give at least {_FEWEST}, 8 of them with every property",
        )
    elements = tuple(sorted({e for c in rows.compositions for e in c.elements}))
    fractions = np.array([c.fraction_vector(elements) for c in rows.compositions])
    for name, column in zip(names, values.T, strict=True):
        if np.nanstd(column) <= 1e-9 * np.nanmax(np.abs(column)):
            raise InputError("property", name, "has the same value in every alloy", "leave it out")
    closed = tuple(n for n, c in zip(names, values.T, strict=True) if _is_formula(fractions, elements, n, c))
    return _judged_problem(rows.source, elements, fractions, values, names, closed, seed)


def _judged_problem(
    source: str,
    elements: tuple[str, ...],
    fractions: Array,
    values: Array,
    names: tuple[str, ...],
    closed: tuple[str, ...],
    seed: int,
) -> Problem:
    from hea_loop.generators.property_models import property_model

    model = property_model(TrainingData(elements, fractions, values, names, closed_form=closed), seed=seed)
    counts = (fractions > 0).sum(axis=1)
    # an element is allowed as far as the data show it: beyond, the judge would guess
    upper = tuple(math.ceil(RESOLUTION * most - 1e-9) for most in fractions.max(axis=0))
    least = round(TRACE * RESOLUTION)
    palette = Palette(
        elements,
        tuple(min(least, u) for u in upper),
        upper,
        (False,) * len(elements),
        int(counts.min()),
        int(counts.max()),
    )
    off = _left_out_errors(elements, fractions, values, names, closed, seed)
    judged_by = {
        name: f"the formula, {METHODS[name]}"
        if name in closed
        else f"a Gaussian process of all {int(np.isfinite(column).sum())} values (without a fifth of the alloys it is "
        f"off by {off[name]:.3g} on these on average; the values spread by {np.nanstd(column):.3g})"
        for name, column in zip(names, values.T, strict=True)
    }
    return Problem(source, elements, fractions, values, names, model.values, judged_by, closed, palette)


def _left_out_errors(
    elements: tuple[str, ...],
    fractions: Array,
    values: Array,
    names: tuple[str, ...],
    closed: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Mean absolute error of the judge's kind on a fifth of the alloys that it has not seen."""
    from hea_loop.generators.property_models import property_model

    if set(closed) == set(names):
        return dict.fromkeys(names, 0.0)
    order = np.random.default_rng(seed).permutation(len(fractions))
    out, rest = order[: len(order) // 5], order[len(order) // 5 :]
    data = TrainingData(elements, fractions[rest], values[rest], names, closed_form=closed)
    gaps = np.abs(property_model(data, seed=seed).values(fractions[out]) - values[out])
    known = np.isfinite(gaps)
    return {
        n: float(g[k].mean()) if k.any() else math.nan for n, g, k in zip(names, gaps.T, known.T, strict=True)
    }


def _is_formula(fractions: Array, elements: tuple[str, ...], name: str, column: Array) -> bool:
    if name not in PREDICTED_PROPERTIES or not _covered(elements, name):
        return False
    known = np.isfinite(column)
    predicted = predict_array(fractions[known], elements, (name,))[name]
    return bool(np.allclose(predicted, column[known], rtol=_SAME, atol=0))


def _covered(elements: tuple[str, ...], name: str) -> bool:
    equal = Composition(tuple((e, p) for e, p in zip(elements, _shares(len(elements)), strict=True)))
    return not missing_inputs(equal, name)


def _shares(number: int) -> list[int]:
    base = RESOLUTION // number
    return [base + (k < RESOLUTION - base * number) for k in range(number)]

"""Alloys of a user's own, from a CSV with one alloy per row."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition

__all__ = ["AlloyTable", "read_alloy_table"]

_KEY = "composition"


@dataclass(frozen=True, slots=True)
class AlloyTable:
    """Compositions with what a table says of them.

    Attributes:
        compositions: ``n`` of them; one may stand there more than once.
        columns: ``n`` numbers for each column, NaN where the cell is empty.
    """

    compositions: tuple[Composition, ...]
    columns: Mapping[str, Sequence[float]]
    _rows: dict[Composition, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows: dict[Composition, list[int]] = {}
        for place, composition in enumerate(self.compositions):
            rows.setdefault(composition, []).append(place)
        object.__setattr__(self, "_rows", rows)

    def value(self, composition: Composition, column: str) -> float:
        """Mean of what the rows of a composition say, NaN where none says anything."""
        if column not in self.columns:
            return math.nan
        stated = [self.columns[column][row] for row in self._rows.get(composition, ())]
        finite = [value for value in stated if math.isfinite(value)]
        return sum(finite) / len(finite) if finite else math.nan


def read_alloy_table(path: str | Path, *, field: str = "data") -> AlloyTable:
    """Read a CSV with a column ``composition`` and columns of numbers.

    Args:
        path: The file, UTF-8, with a header. Columns without a single number (notes, references) are passed over.
        field: How an error names what was given.

    Raises:
        InputError: The file cannot be read, has no column ``composition`` or no alloy, or a row that is no
            composition or no finite number.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(field, str(path), f"cannot be read ({error})", "give a CSV file in UTF-8") from None
    if _KEY not in header or not rows:
        raise InputError(
            field,
            str(path),
            f"has no column {_KEY} with alloys in it",
            f"add it; there are {', '.join(header)}",
        )
    compositions = tuple(_composition(row[_KEY], field, line) for line, row in enumerate(rows, start=2))
    columns = {}
    for name in header:
        texts = [(row[name] or "").strip() for row in rows]
        if name and name != _KEY and any(_is_number(text) for text in texts):
            columns[name] = [
                _number(text, f"{field}, {name}", line) for line, text in enumerate(texts, start=2)
            ]
    return AlloyTable(compositions, columns)


def _composition(text: str | None, field: str, line: int) -> Composition:
    try:
        return parse_composition(text or "")
    except InputError as error:
        raise InputError(f"{field}, line {line}", text, error.problem, error.mend) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str, field: str, line: int) -> float:
    if not text:
        return math.nan
    if not _is_number(text) or not math.isfinite(float(text)):
        raise InputError(
            f"{field}, line {line}", text, "is not a finite number", "mend it, or leave it empty"
        )
    return float(text)

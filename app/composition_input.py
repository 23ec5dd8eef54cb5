"""Compositions as the command line takes them: as arguments, from a file, or from stdin."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition

__all__ = ["read_compositions"]

_COLUMNS = ("composition", "formula")
_SHAPE = "one composition per line, or a CSV file with a column of compositions"


def read_compositions(
    arguments: Sequence[str], file: Path | None = None, column: str | None = None
) -> list[Composition]:
    """Read compositions from exactly one of three sources, in the order given.

    Args:
        arguments: What stands on the command line; a single ``-`` means stdin.
        file: A text file with one composition per line (``#`` starts a comment), or a CSV file (name ends
            in .csv or .tsv, or a column is asked for).
        column: Column of the CSV file; None takes ``composition``, else ``formula``.

    Raises:
        InputError: No source or two, a file that cannot be read, a column that is not there, a line that is
            no composition.
    """
    given = [a for a in arguments if a != "-"]
    if file is not None and arguments:
        raise InputError(
            "--file", str(file), "stands beside compositions as arguments", "give one of the two"
        )
    if file is None and given:
        if column is not None:
            raise InputError("--column", column, "needs a file or stdin", "drop it, or give --file")
        if len(given) != len(arguments):
            raise InputError("composition", "-", "stands beside compositions", "give '-' alone to read stdin")
        return [parse_composition(text) for text in given]
    if file is None:
        if not arguments and sys.stdin.isatty():
            raise InputError(
                "composition", "", "there is none", "give compositions as arguments, with --file or on stdin"
            )
        return _parse_text(_read_stdin(), "stdin", table=column is not None, column=column)
    table = column is not None or file.suffix.lower() in {".csv", ".tsv"}
    return _parse_text(_read_file(file), str(file), table=table, column=column)


def _read_stdin() -> str:
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError:
        raise InputError("composition", "stdin", "is no UTF-8 text", f"give {_SHAPE}") from None
    return _without_nul(text.removeprefix("\ufeff"), "stdin")


def _read_file(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("--file", str(file), "does not exist", f"name a file with {_SHAPE}") from None
    except IsADirectoryError:
        raise InputError("--file", str(file), "is a directory", f"name a file with {_SHAPE}") from None
    except UnicodeDecodeError:
        raise InputError("--file", str(file), "is no UTF-8 text", f"give {_SHAPE}") from None
    except (OSError, ValueError) as error:
        raise InputError("--file", str(file), f"cannot be read ({error})", "name a readable file") from None
    return _without_nul(text, str(file))


def _without_nul(text: str, source: str) -> str:
    if "\0" in text:
        raise InputError("--file", source, "contains NUL bytes, so it is no text", f"give {_SHAPE}")
    return text


def _parse_text(text: str, source: str, *, table: bool, column: str | None) -> list[Composition]:
    cells = _cells_of_table(text, source, column) if table else _cells_of_lines(text)
    if not cells:
        raise InputError("composition", source, "holds no composition", f"give {_SHAPE}")
    return [parse_composition(cell, field=f"{source} line {line}") for line, cell in cells]


def _cells_of_lines(text: str) -> list[tuple[int, str]]:
    lines = ((n, line.partition("#")[0].strip()) for n, line in enumerate(text.splitlines(), start=1))
    return [(n, line) for n, line in lines if line]


def _cells_of_table(text: str, source: str, column: str | None) -> list[tuple[int, str]]:
    # spreadsheets write ';' where the decimal sign is a comma
    delimiter = max("\t;,", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        wanted = (column,) if column is not None else _COLUMNS
        places = [header.index(name) for name in wanted if name in header]
        if not places:
            raise InputError(
                "--column",
                column if column is not None else " or ".join(_COLUMNS),
                f"is not a column of {source}",
                f"name one of its columns with --column: {', '.join(header) or 'it has none'}",
            )
        place = places[0]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError("--file", source, f"is not CSV ({error})", f"give {_SHAPE}") from None
    return [(line, row[place] if place < len(row) else "") for line, row in rows]

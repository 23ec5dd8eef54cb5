"""Where output goes: results on stdout, everything else on stderr.

A table on stdout is for people and may change; ``--json`` is for programs. An error is one line on stderr.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "note",
    "number",
    "percent",
    "print_error",
    "print_json",
    "print_table",
    "print_text",
    "stderr_console",
]

_WIDTH_OF_A_FILE = 160  # columns of a table that goes to a file or a pipe


def _one_line(text: str) -> str:
    """Collapse white space and show control characters as Python writes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def print_error(text: str) -> None:
    """Print one line on stderr, whatever the text holds."""
    encoding = sys.stderr.encoding or "utf-8"
    line = f"error: {_one_line(text)}"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def note(text: str) -> None:
    """Say something that is no result, on stderr."""
    print(_one_line(text), file=sys.stderr)


def _plain(value: Any) -> Any:
    """Values as JSON has them: no NaN, times in ISO 8601."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def print_text(text: str) -> None:
    """Print a line of the result on stdout, without wrapping or markup."""
    print(text)


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def percent(value: float | None) -> str:
    """Return a share as percent, a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}%"


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    return Console(file=stream, width=None if terminal else _WIDTH_OF_A_FILE, highlight=False)


def stderr_console() -> Console:
    """Return a rich console on stderr, for progress."""
    return _console(stderr=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout, set closely enough to be read at 80 columns.

    A column that has nothing in any row is left out.

    Args:
        title: Stands above the table.
        columns: Their names. One that ends in ``>`` is flushed right and, as a number, never broken; one that
            ends in ``!`` is never broken either; any other is folded where the terminal is narrow.
        rows: The cells of each row.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    shown = [k for k in range(len(columns)) if not cells or any(row[k] for row in cells)]
    table = Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    console = _console(stderr=False)
    whole = [k for k in shown if columns[k].endswith((">", "!"))]
    least = sum(max(len(row[k]) for row in [*cells, [n.rstrip(">!") for n in columns]]) for k in whole)
    # without the room for it everything folds: a column that is squeezed out altogether would be worse
    folds = least + 2 * len(shown) + 8 * (len(shown) - len(whole)) > console.width
    for name in (columns[k] for k in shown):
        table.add_column(
            Text(name.rstrip(">!")),
            justify="right" if name.endswith(">") else "left",
            no_wrap=not folds and name.endswith((">", "!")),
            overflow="fold",
        )
    for row in cells:
        # Text, not str: square brackets in what users wrote are no markup
        table.add_row(*(Text(row[k]) for k in shown))
    console.print(table)
    console.print()

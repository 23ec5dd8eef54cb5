"""Pictures and tables of diagrams as the bytes of files, and progress meanwhile."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.output import note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Table", "as_csv", "diagram_progress", "rendered"]

_SECONDS_BETWEEN_LINES: Final = 15.0
_DPI: Final = 110


@contextmanager
def diagram_progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar where a person looks at a terminal; elsewhere a line, and one every 15 s."""
    if sys.stderr.isatty():
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from app.output import stderr_console

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} points"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=stderr_console(), transient=True) as bar:
            task = bar.add_task(text, total=1)
            yield lambda done, total: bar.update(task, completed=done, total=max(total, 1))
        return
    note(f"{text} ...")
    last = time.monotonic()

    def shown(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            note(f"{text}: {done}/{total} points")

    yield shown


@dataclass(frozen=True, slots=True)
class Table:
    """A table for a CSV file."""

    columns: tuple[str, ...]
    rows: list[Sequence[object]]


def rendered(figure: Figure, picture: str) -> bytes:
    """A figure as the bytes of a ``png`` or ``svg`` file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=picture, dpi=_DPI)
    return buffer.getvalue()


def as_csv(table: Table) -> bytes:
    """A table as the bytes of a CSV file; what is not known is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow(["" if isinstance(c, float) and math.isnan(c) else c for c in row])
    return buffer.getvalue().encode()

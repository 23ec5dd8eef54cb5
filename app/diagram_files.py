"""Pictures and tables of diagrams as files, each written as a whole or not at all; and progress meanwhile."""

from __future__ import annotations

import csv
import io
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.output import note
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Table", "as_csv", "diagram_progress", "rendered", "write_whole"]

_SECONDS_BETWEEN_LINES: Final = 15.0
_DPI: Final = 140


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


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file as a whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".hea-loop-", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(data)
                file.flush()
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(
            "--out",
            str(path),
            f"cannot be written ({error.strerror})",
            "name a folder that can be written to",
        ) from None
    return path

"""Live progress of a run on stderr: a bar where a person looks at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from flows.progress import ProgressEvent

__all__ = ["RunProgress", "fraction_done"]

_STAGES: Final = {
    "preparing": (0.0, 0.0),
    "training": (0.0, 0.4),
    "generating": (0.4, 0.1),
    "dispatching": (0.5, 0.0),
    "collecting": (0.5, 0.5),
    "scored": (1.0, 0.0),
}
"""Where a stage begins in its iteration and how much of its time it takes, as the quickstart does."""
_VERB: Final = {
    "preparing": "preparing the store",
    "training": "training the generator",
    "generating": "generating and selecting",
    "dispatching": "dispatching jobs",
    "collecting": "checking phase stability",
    "scored": "scored",
    "finished": "finished",
}


def fraction_done(event: ProgressEvent) -> float:
    """How much of the campaign is done, 0 to 1, as far as an event tells."""
    if event.stage == "finished":
        return 1.0
    start, weight = _STAGES.get(event.stage, (0.0, 0.0))
    within = event.done / event.total if event.total else 0.0
    return min(1.0, (max(event.iteration - 1, 0) + start + weight * within) / max(event.iterations, 1))


class RunProgress:
    """Shows progress events; a context manager around the run.

    Args:
        clock: Seconds that only grow, for the time left.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._first: float | None = None
        self._last_line = ""
        self._iterations = 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from app.output import stderr_console

        if sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[counts]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}", markup=False),
                console=stderr_console(),
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("starting", total=1.0, counts="", left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        # a stage that knows only of the iterations so far does not make the campaign shorter
        self._iterations = max(self._iterations, event.iterations)
        event = replace(event, iterations=self._iterations)
        done = fraction_done(event)
        where = f"iteration {event.iteration}/{event.iterations}: " if event.iteration else ""
        text = f"{where}{_VERB.get(event.stage, event.stage)}"
        counts = f"{event.done}/{event.total}" if event.total else ""
        left = self._left(done)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, description=text, counts=counts, left=left)
            if event.message:
                self._progress.console.print(event.message, markup=False, highlight=False)
            return
        # a line per stage, and the last count of each
        complete = event.total > 0 and event.done >= event.total
        line = f"{text} {counts}".rstrip() if complete else text
        if line != self._last_line or event.message:
            self._last_line = line
            tail = "; ".join(part for part in (event.message, left) if part)
            print(f"{line} ({tail})" if tail else line, file=sys.stderr, flush=True)

    def _left(self, done: float) -> str:
        """Time left, from the pace since the first event: a run that continues starts above zero."""
        if self._first is None:
            self._first, self._start = done, self._clock()
        gained = done - self._first
        if gained < 0.02 or done >= 1:
            return ""
        seconds = round((self._clock() - self._start) * (1 - done) / gained)
        return f"about {seconds // 60}:{seconds % 60:02d} left"

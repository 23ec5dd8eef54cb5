"""Progress of a run, as events that whoever shows them can listen to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["ProgressEvent", "emit", "listening"]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One step of a running campaign.

    Attributes:
        campaign: Its name.
        iteration: Number of the iteration, 0 before the first.
        iterations: How many the campaign asks for.
        stage: ``preparing``, ``training``, ``generating``, ``dispatching``, ``collecting``, ``scored`` or ``finished``.
        done: Steps of the stage that are done.
        total: Steps of the stage, 0 where unknown.
        message: What a person wants to read.
    """

    campaign: str
    iteration: int
    iterations: int
    stage: str
    done: int = 0
    total: int = 0
    message: str = ""


Listener = Callable[[ProgressEvent], None]
_listeners: list[Listener] = []
_lock = threading.Lock()


def emit(event: ProgressEvent) -> None:
    """Tell every listener; tasks call this from their own threads, one at a time."""
    with _lock:
        for listener in _listeners:
            listener(event)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Have a listener told of everything that runs in this process meanwhile."""
    if listener is None:
        yield
        return
    with _lock:
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)

"""A pool of worker processes for chunks of validations.

pycalphad holds the interpreter lock and keeps much per process, so chunks run in processes that live as long
as the one that started them. They are spawned, not forked: a fork of a process with threads (Prefect's,
Torch's) may hang. A worker that dies does not take the pool with it, and a parent that dies takes its
workers with it.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from hea_loop.errors import HeaLoopError, InputError

if TYPE_CHECKING:
    from hea_loop.composition import Composition
    from validators.calphad.settings import CalphadSettings
    from validators.outcome import Outcome

__all__ = ["ValidatorPool", "WorkerDied", "default_workers", "shared_pool"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

MAX_WORKERS: Final = 16
_WATCH_EVERY_S: Final = 0.25
_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class WorkerDied(HeaLoopError):  # noqa: N818 - says what happened
    """A worker process was killed while it held the chunk: nothing is known of it; it may be tried again."""


def default_workers() -> int:
    """One worker per core that this process may use, sixteen at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, MAX_WORKERS))


def _watch_parent(parent: int) -> None:
    """End this process soon after its parent, however that one ended.

    Polling, since the kernel's parent-death signal fires when the *thread* that started the worker ends.
    """
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(_WATCH_EVERY_S)
    os._exit(1)


def _start_worker(parent: int, database: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    threading.Thread(target=_watch_parent, args=(parent,), name="watch-parent", daemon=True).start()
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # numpy may have been loaded before the variables were set
    if database is not None:
        from validators.calphad.database import load_database

        with suppress(InputError):  # a chunk that uses this database will say so
            load_database(database)


def _ready() -> int:
    return os.getpid()


class ValidatorPool:
    """Worker processes that keep their databases and phase records from chunk to chunk.

    Args:
        workers: Number of processes; one per core when None.
        database: Database that each worker loads as it starts, None for none.

    Raises:
        InputError: The number of workers is not positive.
    """

    def __init__(self, workers: int | None = None, *, database: str | None = "refractory10") -> None:
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise InputError("workers", workers, "is not a positive whole number", "give 1 or more")
        self.workers = workers or default_workers()
        self._database = database
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._closed = False

    def _current(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    self.workers,
                    mp_context=get_context("spawn"),
                    initializer=_start_worker,
                    initargs=(os.getpid(), self._database),
                )
            return self._executor

    def _drop(self, executor: ProcessPoolExecutor) -> None:
        """Forget an executor that lost a worker; the next chunk starts another."""
        with self._lock:
            if self._executor is executor:
                self._executor = None
        executor.shutdown(wait=False, cancel_futures=True)

    def submit(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Run a function of a module in a worker.

        Returns:
            A future. It raises :class:`WorkerDied` if the worker was killed, and what the function raised
            otherwise.
        """
        answer: Future[_R] = Future()

        def pass_on(executor: ProcessPoolExecutor, inner: Future[_R]) -> None:
            if inner.cancelled():
                self._lost(answer)
                return
            error = inner.exception()
            if isinstance(error, BrokenProcessPool):
                self._drop(executor)
                self._lost(answer)
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(inner.result())

        for _ in range(2):  # an executor may turn out broken only when it is used
            executor = self._current()
            try:
                submitted = executor.submit(function, *args, **kwargs)
            except BrokenProcessPool:
                self._drop(executor)
                continue
            answer.set_running_or_notify_cancel()
            submitted.add_done_callback(partial(pass_on, executor))
            return answer
        answer.set_running_or_notify_cancel()
        self._lost(answer)
        return answer

    @staticmethod
    def _lost(answer: Future[Any]) -> None:
        answer.set_exception(
            WorkerDied("a validator's worker process died (killed, or out of memory); try the chunk again")
        )

    def validate(
        self, compositions: Sequence[Composition], settings: CalphadSettings
    ) -> Future[list[Outcome]]:
        """Validate one chunk in one worker: :func:`validators.calphad.validate_many` as a future."""
        from validators.calphad.validation import validate_many

        return self.submit(validate_many, list(compositions), settings)

    def warm_up(self) -> list[Future[int]]:
        """Start every worker now, so that they load while the caller does something else."""
        return [self.submit(_ready) for _ in range(self.workers)]

    def process_ids(self) -> list[int]:
        """Process ids of the workers that are running."""
        executor = self._executor
        processes = getattr(executor, "_processes", None) or {}
        return sorted(processes)

    def close(self) -> None:
        """End the workers; chunks that have not begun are dropped."""
        with self._lock:
            executor, self._executor, self._closed = self._executor, None, True
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_SHARED: list[ValidatorPool] = []
_SHARED_LOCK: Final = threading.Lock()


def shared_pool(workers: int | None = None) -> ValidatorPool:
    """The pool of this process, started on first use and closed when the process ends.

    Args:
        workers: Number of workers if this is the first use; later calls get the pool there is.
    """
    with _SHARED_LOCK:
        if not _SHARED:
            _SHARED.append(ValidatorPool(workers))
            atexit.register(_SHARED[0].close)
        return _SHARED[0]

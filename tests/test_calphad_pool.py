"""The pool of worker processes, killed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from hea_loop import parse_composition
from hea_loop.errors import InputError
from validators.calphad import CalphadSettings, validate_many
from validators.pool import ValidatorPool, WorkerDied, shared_pool

ALLOYS = [parse_composition(f) for f in ("NbTi", "MoNb", "NbZr", "TaW")]
SETTINGS = CalphadSettings(temperatures_K=(1273.15,), properties=("single_phase_bcc",))


def _alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _wait_until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        if condition():
            return True
        pause.wait(0.05)
    return condition()


def _answers(outcomes):
    return [(o.status, o.values) for o in outcomes]


def _block() -> None:
    threading.Event().wait(600)


@pytest.mark.slow
def test_a_pool_answers_as_this_process_does_and_survives_the_death_of_a_worker():
    with ValidatorPool(1) as pool:
        expected = _answers(validate_many(ALLOYS, SETTINGS))
        assert _answers(pool.validate(ALLOYS, SETTINGS).result(timeout=120)) == expected

        blocked = pool.submit(_block)
        (victim,) = pool.process_ids()
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="try the chunk again"):
            blocked.result(timeout=60)

        assert _answers(pool.validate(ALLOYS, SETTINGS).result(timeout=120)) == expected
        assert victim not in pool.process_ids()


def test_an_exception_in_a_worker_reaches_the_caller_and_leaves_the_pool_usable():
    with ValidatorPool(1, database=None) as pool:
        with pytest.raises(InputError, match="does not exist"):
            pool.validate(ALLOYS, CalphadSettings(database="absent.tdb")).result(timeout=120)
        assert [w.result(timeout=60) for w in pool.warm_up()] == pool.process_ids()


def test_workers_end_by_themselves_when_their_parent_is_killed(tmp_path: Path):
    program = tmp_path / "parent.py"
    program.write_text(
        textwrap.dedent(
            """
            import threading
            from validators.pool import ValidatorPool

            if __name__ == "__main__":
                pool = ValidatorPool(2, database=None)
                while len(pool.process_ids()) < 2:
                    [ready.result() for ready in pool.warm_up()]
                print(*pool.process_ids(), flush=True)
                threading.Event().wait(600)
            """
        ),
        encoding="utf-8",
    )
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    parent = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(_alive(w) for w in workers)
    finally:
        parent.kill()
        parent.communicate(timeout=30)
    assert _wait_until(lambda: not any(_alive(w) for w in workers), seconds=10.0)


def test_the_shared_pool_is_one_per_process():
    assert shared_pool(1) is shared_pool()


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_a_pool_without_workers_is_refused(workers):
    with pytest.raises(InputError, match="workers"):
        ValidatorPool(workers)

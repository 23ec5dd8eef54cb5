"""Real processes on one store: what the store's tests start, all at the same instant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_at_once(script: str, *arguments: str, processes: int) -> list[str]:
    """Run a script in several processes that wait for one starting signal; return what each printed."""
    waiting = f"import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n{script}"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", f"import db.store, db.materials\n{waiting}", *arguments, str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in running]
    assert [p.returncode for p in running] == [0] * processes, [error for _, error in ended]
    return [output for output, _ in ended]

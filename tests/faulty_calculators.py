"""Calculators that go wrong, for the jobs' tests: real ones of ASE, each with one fault. Used as ``module:Class``."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
from ase.calculators.calculator import SCFError, all_changes
from ase.calculators.emt import EMT


class Counting(EMT):
    """Sound, and notes every calculation in a file; from ``wait_from`` on it waits until a file is there."""

    def __init__(self, notes: str, gate: str = "", wait_from: int = 1, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._notes, self._gate, self._wait_from = Path(notes), gate, wait_from

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        with self._notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self._gate and len(self._notes.read_text().splitlines()) >= self._wait_from:
            never = threading.Event()
            while not Path(self._gate).exists():
                never.wait(0.05)
        super().calculate(atoms, properties, system_changes)


class Hanging(EMT):
    """Never comes back, and neither does the program that it started in a process group of its own."""

    def __init__(self, notes: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._notes = notes

    def calculate(self, *_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "1000"], process_group=0)
        Path(self._notes).write_text(f"{os.getpid()} {child.pid}")
        threading.Event().wait()


class Raising(EMT):
    def calculate(self, *_):
        raise RuntimeError("the basis set\nis linearly dependent")


class NeverConverging(EMT):
    def calculate(self, *_):
        raise SCFError("no convergence in 333 iterations")


class Garbage(EMT):
    """Ends well, and what it says are no numbers."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = float("nan")
        self.results["forces"] = np.full((len(self.atoms), 3), np.inf)


class Suicidal(EMT):
    """As the kernel ends what takes too much memory."""

    def calculate(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)


class Wasteful(EMT):
    """Fills the disk of a folder, up to 64 MB."""

    def __init__(self, folder: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._folder = Path(folder)

    def calculate(self, *_):
        with (self._folder / "scratch").open("wb", buffering=0) as file:
            for _ in range(1024):
                file.write(b"\0" * 65536)
        raise RuntimeError("the disk is larger than it should be")

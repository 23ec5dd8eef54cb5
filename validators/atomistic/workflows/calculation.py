"""The runs of one job: an engine, a k-mesh that stays, a count of what was done, and the reasons to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

    from validators.atomistic.engine import Engine
    from validators.atomistic.evaluation import Evaluation

__all__ = ["Calculation", "NoAnswer", "Progress"]

Progress = Callable[[str, int, int], None]
"""Called before each run with its label, its number from 1, and how many are expected by now."""


class NoAnswer(Exception):  # noqa: N818 - not an error: every run converged, and together they give no value
    """The runs converged, but what was asked does not follow from them."""


class Calculation:
    """Runs an engine and tells a listener how far it has come.

    Attributes:
        engine: What computes.
        done: Number of runs begun; a relaxation counts as one.
        expected: Number of runs in all, as far as is known.
    """

    def __init__(self, engine: Engine, progress: Progress | None, expected: int) -> None:
        self.engine = engine
        self.expected = expected
        self.done = 0
        self._progress = progress

    def _begin(self, label: str) -> None:
        self.done += 1
        self.expected = max(self.expected, self.done)
        if self._progress is not None:
            self._progress(label, self.done, self.expected)

    def evaluate(self, atoms: Atoms, label: str, mesh: tuple[int, int, int]) -> Evaluation:
        """One evaluation."""
        self._begin(label)
        return self.engine.evaluate(atoms, label, mesh=mesh)

    def relax(
        self, atoms: Atoms, label: str, mesh: tuple[int, int, int], fmax: float
    ) -> tuple[Atoms, Evaluation]:
        """Let the atoms move in a fixed cell; a single atom has nowhere to go and is only evaluated."""
        if len(atoms) == 1:
            return atoms.copy(), self.evaluate(atoms, label, mesh)
        self._begin(label)
        return self.engine.relax(atoms, label, cell=False, fmax=fmax, mesh=mesh)

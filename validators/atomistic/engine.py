"""The engine: converged energies, forces and stresses, or none.

ASE hands over the numbers of a calculation that did not converge like any others. The engine asks the code
itself, through its own output, climbs the restart ladder where the electronic iteration did not converge, and
keeps what was computed on disk, so that the next attempt of a job goes on where the last one ended.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from hea_loop.errors import InputError
from validators.atomistic.calculators import code_for
from validators.atomistic.evaluation import (
    CalculationFailed,
    Evaluation,
    Unconverged,
    evaluation_key,
    read_evaluation,
)
from validators.atomistic.presets import k_points

if TYPE_CHECKING:
    from ase import Atoms

    from validators.atomistic.calculators.code import Code
    from validators.atomistic.specification import CalculatorChoice

__all__ = ["CalculationFailed", "Engine", "Evaluation", "Unconverged", "engine_for"]

EVALUATIONS: Final = "evaluations"
CALCULATIONS: Final = "calculations"


class Engine:
    """One code with its settings, working in one directory.

    The directory holds ``calculations/LABEL-KEY/rung-N`` with inputs, logs and outputs of each calculation and
    ``evaluations/KEY.json`` with each converged result.

    Attributes:
        code: The code.
        directory: Where it works.
        computed: Number of evaluations computed by this object; those found on disk do not count.
        spent_s: Seconds that all evaluations took, those found on disk with what they took when computed.
    """

    def __init__(self, code: Code, directory: Path, *, earlier: Sequence[Path] = ()) -> None:
        self.code = code
        self.directory = Path(directory)
        self.computed = 0
        self.spent_s = 0.0
        self._found_in = [self.directory / EVALUATIONS, *(Path(e) / EVALUATIONS for e in earlier)]

    @property
    def method(self) -> str:
        """One line with the code's version and what names its settings."""
        return self.code.method

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the numbers, as plain JSON."""
        return dict(self.code.settings)

    def k_points(self, atoms: Atoms, k_scale: float = 1.0) -> tuple[int, int, int]:
        """Divisions of the k-mesh that the settings give this cell.

        Take those of an unstrained cell for all cells that are strained from it: moduli are differences, and a
        mesh that changes between two of them enters the difference.

        Args:
            atoms: The cell.
            k_scale: Factor on the density of the settings.
        """
        density = self.code.k_density
        return (1, 1, 1) if density is None else k_points(atoms, density * k_scale)

    def evaluate(
        self,
        atoms: Atoms,
        label: str,
        *,
        k_scale: float = 1.0,
        mesh: tuple[int, int, int] | None = None,
    ) -> Evaluation:
        """Energy, forces and stress of a structure, from disk where they have been computed before.

        Args:
            atoms: The structure; its calculator, if any, is ignored. Initial magnetic moments are used by the
                codes that have spin.
            label: Name of the calculation's directory; letters, digits and ``.+-_``.
            k_scale: Factor on the k-point density of the settings.
            mesh: Divisions of the k-mesh, over the density; see :meth:`k_points`.

        Raises:
            Unconverged: The electronic iteration did not converge on any rung of the ladder.
            CalculationFailed: The code ended with an error, or gave what are no finite numbers.
            InputError: The label cannot be a directory's name.
        """
        if not re.fullmatch(r"[\w.+-]{1,80}", label) or label.startswith("."):
            raise InputError(
                "label", label, "cannot be a directory's name", "use letters, digits and . + - _"
            )
        structure = atoms.copy()  # the copy has no calculator
        structure.set_constraint()  # constraints hold atoms, they do not change forces
        if not self.code.spin_polarised:
            structure.set_initial_magnetic_moments(None)
        divisions = mesh if mesh is not None else self.k_points(structure, k_scale)
        key = evaluation_key(structure, self.code.settings, divisions)
        known = self._known(key)
        if known is not None:
            self.spent_s += known.wall_s
            return known
        evaluation = self._climb(structure, self.directory / CALCULATIONS / f"{label}-{key[:8]}", divisions)
        self.computed += 1
        self.spent_s += evaluation.wall_s
        _write(self.directory / EVALUATIONS / f"{key}.json", evaluation.sealed(key))
        return evaluation

    def _known(self, key: str) -> Evaluation | None:
        for folder in self._found_in:
            try:
                text = (folder / f"{key}.json").read_text(encoding="utf-8")
            except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
                continue
            found = read_evaluation(text, key)
            if found is not None:
                return found
        return None

    def _climb(self, atoms: Atoms, directory: Path, divisions: tuple[int, int, int]) -> Evaluation:
        """Try the rungs of the ladder in turn; errors do not climb, they would come again."""
        said = ""
        for rung, way in enumerate(self.code.rungs):
            place = directory / f"rung-{rung}"
            shutil.rmtree(place, ignore_errors=True)  # a killed attempt's: some codes append, others stop
            place.mkdir(parents=True)
            began = time.perf_counter()
            try:
                evaluation = self.code.run(atoms, place.absolute(), rung, divisions).require_sound(len(atoms))
            except Unconverged as error:
                said = f"{error} ({way})"
                continue
            except CalculationFailed as error:
                raise CalculationFailed(f"{directory.name}/{place.name}: {error}") from error
            return replace(evaluation, wall_s=time.perf_counter() - began, rung=rung)
        raise Unconverged(
            f"{directory.name}: the electronic iteration converged on none of {len(self.code.rungs)} rungs; "
            f"last: {said}"
        )

    def relax(
        self,
        atoms: Atoms,
        label: str,
        *,
        cell: bool | Literal["volume"],
        fmax: float = 0.02,
        smax_GPa: float = 0.1,
        steps: int = 100,
        k_scale: float = 1.0,
        mesh: tuple[int, int, int] | None = None,
        progress: Callable[[int, float, float], None] | None = None,
    ) -> tuple[Atoms, Evaluation]:
        """Relax the positions, and the cell if asked, by BFGS.

        The k-mesh stays that of the starting cell, and plane waves that of the cut-off: see ``docs/calculators.md``
        on the stress at a low cut-off.

        Args:
            atoms: Where to begin; unchanged.
            label: Prefix of the calculations' labels.
            cell: False: positions only. True: the whole cell. ``volume``: the cell keeps its shape.
            fmax: Largest force allowed on an atom at the end, eV/angstrom.
            smax_GPa: Largest component of the stress allowed at the end (of the pressure for ``volume``).
            steps: Most steps of the optimiser.
            k_scale: As in :meth:`evaluate`.
            mesh: As in :meth:`evaluate`.
            progress: Called after each step with its number, the largest force and the largest stress.

        Returns:
            The relaxed atoms without calculator, and their evaluation.

        Raises:
            Unconverged: Not relaxed after so many steps, or an electronic iteration did not converge.
            CalculationFailed: As in :meth:`evaluate`.
        """
        from ase.filters import FrechetCellFilter
        from ase.optimize import BFGS

        from validators.atomistic.ase_bridge import EngineCalculator

        work = atoms.copy()
        divisions = mesh if mesh is not None else self.k_points(work, k_scale)
        bridge = EngineCalculator(self, label, divisions)
        work.calc = bridge
        moved = FrechetCellFilter(work, hydrostatic_strain=cell == "volume") if cell else work
        with BFGS(moved, logfile=None) as optimiser:
            # our own criteria: ASE's single fmax mixes forces with stresses times volume
            for step, _ in enumerate(optimiser.irun(fmax=0.0, steps=steps)):
                evaluation = bridge.latest(work)
                force = float(np.linalg.norm(work.get_forces(), axis=1).max())  # less what constraints hold
                stress = _stress_left(evaluation.stress_GPa, cell)
                if progress is not None:
                    progress(step, force, stress)
                if force <= fmax and stress <= smax_GPa:
                    relaxed = work.copy()
                    return relaxed, evaluation
        raise Unconverged(
            f"{label}: not relaxed after {steps} steps: largest force {force:.3g} eV/angstrom, "
            f"largest stress {stress:.3g} GPa"
        )


def _stress_left(stress_GPa: np.ndarray[Any, np.dtype[np.float64]], cell: bool | str) -> float:
    if not cell:
        return 0.0
    return abs(float(np.trace(stress_GPa))) / 3.0 if cell == "volume" else float(np.abs(stress_GPa).max())


def _write(path: Path, body: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def engine_for(choice: CalculatorChoice, directory: Path, *, earlier: Sequence[Path] = ()) -> Engine:
    """The engine of a choice of calculator, working in a directory.

    Args:
        choice: Name, preset and options.
        directory: Where its calculations and results go; made when the first one runs.
        earlier: Directories of earlier attempts, whose finished evaluations count.

    Raises:
        InputError: No such calculator or option, or a package or program that is not installed, with the mend.
    """
    return Engine(code_for(choice), directory, earlier=earlier)

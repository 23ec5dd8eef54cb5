"""Energy, forces and stress from any ASE calculator, and what its exceptions mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ase.units
import numpy as np

from validators.atomistic.evaluation import CalculationFailed, Evaluation, Unconverged

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["evaluated", "reason"]


def reason(error: BaseException) -> str:
    """One line of an exception: its type and the first 300 characters of its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def evaluated(
    atoms: Atoms, calculator: Any, *, k_points: tuple[int, int, int], detail: dict[str, Any] | None = None
) -> Evaluation:
    """Let an ASE calculator compute a copy of the atoms.

    Says nothing on convergence: that is the caller's part.

    Raises:
        Unconverged: The calculator raised ASE's or its own error for that.
        CalculationFailed: It raised anything else.
    """
    from ase.calculators.calculator import SCFError

    work = atoms.copy()
    work.calc = calculator
    try:
        energy = float(work.get_potential_energy())
        free = (
            float(work.get_potential_energy(force_consistent=True))
            if _has_free_energy(calculator)
            else energy
        )
        forces = np.array(work.get_forces(), dtype=np.float64)
        stress = np.array(work.get_stress(voigt=False), dtype=np.float64) / ase.units.GPa
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, SCFError) or "ConvergenceError" in type(error).__name__:
            raise Unconverged(reason(error)) from error
        raise CalculationFailed(reason(error)) from error
    return Evaluation(
        energy_eV=energy,
        free_energy_eV=free,
        forces_eV_A=forces,
        stress_GPa=stress,
        k_points=k_points,
        detail=detail or {},
    )


def _has_free_energy(calculator: Any) -> bool:
    return "free_energy" in getattr(calculator, "results", {})

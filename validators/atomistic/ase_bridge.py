"""The engine as an ASE calculator, so that ASE's optimisers can drive it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import ase.units
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from ase import Atoms

    from validators.atomistic.engine import Engine
    from validators.atomistic.evaluation import Evaluation

__all__ = ["EngineCalculator"]


class EngineCalculator(Calculator):  # type: ignore[misc]
    """Each new structure is one evaluation of the engine, at a fixed k-mesh.

    Args:
        engine: The engine.
        label: Prefix of the evaluations' labels.
        mesh: Divisions of the k-mesh.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, engine: Engine, label: str, mesh: tuple[int, int, int]) -> None:
        super().__init__()
        self._engine = engine
        self._label = label
        self._mesh = mesh
        self._count = 0
        self._latest: Evaluation | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate once, whichever property is asked for."""
        super().calculate(atoms, properties, system_changes)
        found = self._engine.evaluate(self.atoms, f"{self._label}-{self._count}", mesh=self._mesh)
        self._count += 1
        self._latest = found
        results: dict[str, Any] = {
            "energy": found.free_energy_eV,  # what forces and stress are derivatives of
            "free_energy": found.free_energy_eV,
            "forces": found.forces_eV_A,
            "stress": full_3x3_to_voigt_6_stress(found.stress_GPa) * ase.units.GPa,
        }
        self.results = results

    def latest(self, atoms: Atoms) -> Evaluation:
        """The evaluation of the atoms as they are now."""
        self.get_property("energy", atoms)
        if self._latest is None:
            raise RuntimeError("nothing was evaluated")
        return self._latest

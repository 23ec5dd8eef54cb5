"""Effective-medium theory of ASE: milliseconds per evaluation, for tests of the machinery and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import ase

from hea_loop.errors import InputError
from validators.atomistic.calculators.ase_reading import evaluated
from validators.atomistic.calculators.code import Code, require_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from validators.atomistic.evaluation import Evaluation

__all__ = ["METALS", "Emt"]

METALS: Final = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")
"""The fcc metals it has parameters for."""


class Emt(Code):
    """EMT as in ASE: Jacobsen, Stoltze and Norskov, Surf. Sci. 366 (1996) 394, doi 10.1016/0039-6028(96)00816-3.

    Its potential has only the seven metals of :data:`METALS`; none is refractory.
    """

    name = "emt"
    only_for_tests: ClassVar[bool] = True
    spin_polarised = False

    def __init__(self, options: dict[str, Any]) -> None:
        require_options(self.name, options, ())
        self.settings = {"code": "emt", "version": ase.__version__}
        self.method = f"EMT of ASE {ase.__version__} (tests of the machinery only)"

    def require_elements(self, elements: Sequence[str]) -> None:
        """Refuse any but its seven metals."""
        strange = sorted(set(elements) - set(METALS))
        if strange:
            raise InputError(
                "calculator", self.name, f"has no parameters for {', '.join(strange)}", "use gpaw or abinit"
            )

    def run(
        self,
        atoms: Atoms,
        directory: Path,  # noqa: ARG002 - it writes nothing
        rung: int,  # noqa: ARG002 - and has one rung
        k_points: tuple[int, int, int],
    ) -> Evaluation:
        """Evaluate; a pair potential has nothing to converge."""
        from ase.calculators.emt import EMT

        self.require_elements(atoms.get_chemical_symbols())
        return evaluated(atoms, EMT(), k_points=k_points)

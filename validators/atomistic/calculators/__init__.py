"""The codes that can compute energies, forces and stresses, by the name the user gives them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hea_loop.errors import InputError
from validators.atomistic.presets import preset_named

if TYPE_CHECKING:
    from validators.atomistic.calculators.code import Code
    from validators.atomistic.specification import CalculatorChoice

__all__ = ["CALCULATORS", "code_for"]

CALCULATORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gpaw": "PAW with plane waves, PBE, in this process; `make dft` installs it. The default",
        "abinit": "plane waves with Debian's HGH-LDA pseudopotentials, or the user's own; `make dft` installs it",
        "espresso": "pw.x of Quantum ESPRESSO with the user's pseudopotentials",
        "vasp": "VASP with the user's licence, command and VASP_PP_PATH",
        "emt": "effective-medium theory for Al Cu Ag Au Ni Pd Pt: tests of the machinery, no refractory metal",
        "module:Class": "any other ASE calculator (MACE, CHGNet, ORB, LAMMPS, ...)",
    }
)
"""What there is, with what each needs."""


def code_for(choice: CalculatorChoice) -> Code:
    """Make the code that a choice names; only that code's packages are imported.

    Raises:
        InputError: There is no such code, an option it does not have, or it is not installed.
    """
    accepted = choice.options.get("accept_unqualified", False)
    if not isinstance(accepted, bool):
        raise InputError(
            "calculator.options.accept_unqualified",
            accepted,
            "is neither true nor false",
            "use true or false",
        )
    options = {k: v for k, v in choice.options.items() if k != "accept_unqualified"}  # of the qualification
    if choice.name == "emt":
        from validators.atomistic.calculators.emt import Emt

        return Emt(options)
    if choice.name == "gpaw":
        from validators.atomistic.calculators.gpaw_code import Gpaw

        return Gpaw(preset_named(choice.preset), options)
    if choice.name == "abinit":
        from validators.atomistic.calculators.abinit_code import Abinit

        return Abinit(preset_named(choice.preset), options)
    if choice.name == "espresso":
        from validators.atomistic.calculators.espresso_code import Espresso

        return Espresso(preset_named(choice.preset), options)
    if choice.name == "vasp":
        from validators.atomistic.calculators.vasp_code import Vasp

        return Vasp(preset_named(choice.preset), options)
    if ":" in choice.name:
        from validators.atomistic.calculators.ase_class import AseClass

        return AseClass(choice.name, options)
    raise InputError("calculator", choice.name, "is not known", "see `hea-loop dft calculators`")

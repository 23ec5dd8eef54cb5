"""The codes that can compute energies, forces and stresses, by the name the user gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hea_loop.errors import InputError

if TYPE_CHECKING:
    from validators.atomistic.calculators.code import Code
    from validators.atomistic.specification import CalculatorChoice

__all__ = ["code_for"]


def code_for(choice: CalculatorChoice) -> Code:
    """Make the code that a choice names; only that code's packages are imported.

    Raises:
        InputError: There is no such code, an option it does not have, or it is not installed.
    """
    if choice.name == "emt":
        from validators.atomistic.calculators.emt import Emt

        return Emt(choice.options)
    raise InputError("calculator", choice.name, "is not known", "see `hea-loop dft calculators`")

"""Phase records that share what does not depend on the elements.

Compiling is what a new set of elements costs. Most of the compiled functions are amounts of an element per
phase, which are the same function of position for every phase with the same sublattices: they are compiled
once per process here, which cuts the cost of a new set of elements to less than half.
"""

from __future__ import annotations

from typing import Any

from pycalphad.codegen.phase_record_factory import PhaseRecordFactory
from pycalphad.codegen.sympydiff_utils import build_functions
from symengine import Symbol, sympify

__all__ = ["SharedRecordFactory"]

_COMPILED: dict[tuple[str, int], Any] = {}


class SharedRecordFactory(PhaseRecordFactory):  # type: ignore[misc]  # pycalphad has no types
    """A ``PhaseRecordFactory`` whose amounts of elements are compiled once per process."""

    def get_phase_formula_moles_element(
        self, phase_name: str, element_name: str, per_formula_unit: bool = True
    ) -> Any:
        """The compiled amount of an element, as a function of state variables and site fractions."""
        model = self.models[phase_name]
        variables = [*self.state_variables, *model.site_fractions]
        places = [Symbol(f"place_{i}") for i in range(len(variables))]
        amount = sympify(model.moles(element_name, per_formula_unit=per_formula_unit))
        by_place = amount.xreplace(dict(zip(variables, places, strict=True)))
        key = (str(by_place), len(places))
        if key not in _COMPILED:
            _COMPILED[key] = build_functions(
                by_place, places, include_obj=True, include_grad=True, include_hess=True
            )
        return _COMPILED[key]

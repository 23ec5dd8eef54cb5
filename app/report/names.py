"""Properties and units as the report shows them to a reader."""

from __future__ import annotations

from typing import Final

from hea_loop.properties import PROPERTIES

__all__ = ["shown_name", "shown_unit"]

_NAMES: Final = {
    "shear_modulus": "shear modulus G",
    "fracture_toughness_rice": "Rice toughness K_IC",
    "single_phase_bcc": "single-phase BCC",
    "valence_electron_concentration": "VEC",
}
_UNITS: Final = {"1": "", "MPa m^0.5": "MPa√m", "g/cm3": "g/cm³", "J/m2": "J/m²", "mg/cm2": "mg/cm²"}


def shown_name(name: str) -> str:
    """The property in words."""
    return _NAMES.get(name, name.replace("_", " "))


def shown_unit(name: str) -> str:
    """The unit of a property as a reader writes it; empty for a pure number."""
    unit = PROPERTIES[name].unit if name in PROPERTIES else ""
    return _UNITS.get(unit, unit)

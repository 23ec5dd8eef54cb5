"""The controlled vocabulary of properties: one name and one canonical unit for each.

A data point of any source is stored under one of these names and in its canonical unit, so that values
can be compared without asking where they came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hea_loop.errors import InputError

__all__ = ["CALPHAD_TARGETS", "FIDELITIES", "PROPERTIES", "SOURCE_KINDS", "Property", "property_named"]

FIDELITIES: Final = ("prediction", "calphad", "dft", "experiment")
"""The ordered ladder of trust: a value at a later rung decides over one at an earlier rung."""

SOURCE_KINDS: Final = ("literature", "prediction", "validation", "experiment")
"""The three loops and the bench, kept apart at the data point and merged at the material."""


@dataclass(frozen=True, slots=True)
class Property:
    """One entry of the vocabulary.

    Attributes:
        name: The name used in the store, in campaign files and in every output.
        unit: The canonical unit, ``1`` for a pure number, empty for a text.
        description: What it is, with the definition where several are in use.
        is_verdict: True for a yes-or-no answer (stored as 1.0 or 0.0).
        is_text: True where the value is a label (phases as observed), not a number.
    """

    name: str
    unit: str
    description: str
    is_verdict: bool = False
    is_text: bool = False


_ALL: Final = (
    # elastic and fracture
    Property("shear_modulus", "GPa", "Polycrystalline shear modulus G (Hill average where it was averaged)"),
    Property("bulk_modulus", "GPa", "Bulk modulus B"),
    Property("youngs_modulus", "GPa", "Young's modulus E"),
    Property("reduced_elastic_modulus", "GPa", "Reduced modulus of nanoindentation"),
    Property("poisson_ratio", "1", "Poisson's ratio nu"),
    Property(
        "elastic_constant_c11", "GPa", "C11 of a cubic crystal; of a cell with less symmetry its cubic part"
    ),
    Property("elastic_constant_c12", "GPa", "C12, likewise"),
    Property("elastic_constant_c44", "GPa", "C44, likewise"),
    Property("lattice_parameter", "angstrom", "Edge of the conventional cubic cell"),
    Property(
        "formation_energy", "eV/atom", "Energy at 0 K against the pure elements in their stable structures"
    ),
    Property(
        "unstable_stacking_fault_energy", "J/m2", "Unstable stacking-fault energy E_USF of the slip system"
    ),
    Property(
        "fracture_toughness_rice",
        "MPa m^0.5",
        "Rice's K at which a crack tip emits a dislocation, sqrt(2 G E_USF / (1 - nu)); it knows no cleavage",
    ),
    Property("fracture_toughness", "MPa m^0.5", "Fracture toughness as measured"),
    # thermophysical and empirical descriptors
    Property("density", "g/cm3", "Mass density at room temperature unless a temperature is stated"),
    Property("molar_mass", "g/mol", "Mean molar mass"),
    Property("mixing_entropy", "J/(mol K)", "Ideal configurational entropy of mixing"),
    Property("mixing_enthalpy", "J/mol", "Miedema enthalpy of mixing of the liquid, 4 sum x_i x_j H_ij"),
    Property("size_mismatch", "%", "Atomic size mismatch delta"),
    Property("valence_electron_concentration", "1", "Mean number of valence electrons per atom, VEC"),
    Property("omega", "1", "Omega = T_m dS_mix / |dH_mix|"),
    Property("melting_temperature_rom", "K", "Rule-of-mixtures melting point"),
    Property("melting_temperature", "K", "Melting point as measured"),
    # CALPHAD
    Property("single_phase_bcc", "1", "One BCC phase and nothing else at the temperature", is_verdict=True),
    Property("phase_fraction", "1", "Mole fraction of one phase at the temperature"),
    Property("solidus", "K", "Highest temperature at which no liquid is stable"),
    Property("liquidus", "K", "Lowest temperature at which nothing but liquid is stable"),
    Property(
        "single_phase_bcc_probability",
        "1",
        "Probability of being reported as single-phase BCC, learned from the literature; as cast unless stated",
    ),
    # literature: phases and mechanical tests
    Property("phases_observed", "", "Phases as observed, normalised, the authors' label kept", is_text=True),
    Property("yield_strength", "MPa", "Yield strength; the test (compression or tension) is a condition"),
    Property("ultimate_strength", "MPa", "Ultimate strength; the test is a condition"),
    Property("fracture_strength", "MPa", "Strength at fracture; the test is a condition"),
    Property("specific_strength", "MPa cm3/g", "Strength over density"),
    Property("elongation", "%", "Elongation to fracture in tension"),
    Property("uniform_elongation", "%", "Elongation before necking"),
    Property("plastic_strain", "%", "Plastic strain to fracture; the test is a condition"),
    Property("ductility", "%", "Strain to fracture; the test is a condition"),
    Property("hardness", "HV", "Vickers hardness"),
    Property("nanohardness", "GPa", "Hardness by nanoindentation"),
    Property("creep_rate", "1/s", "Creep rate"),
    Property("oxidation_mass_change", "mg/cm2", "Mass change in oxidation; the time is a condition"),
    # literature: functional
    Property("superconducting_transition_temperature", "K", "Critical temperature of superconductivity"),
    Property("glass_transition_temperature", "K", "Glass transition temperature"),
    Property("corrosion_potential", "V", "Corrosion potential"),
    Property("pitting_potential", "V", "Pitting potential"),
    Property("corrosion_current_density", "A/m2", "Corrosion current density"),
    Property("passive_current_density", "A/m2", "Passive current density"),
    Property("electrical_resistivity", "ohm m", "Electrical resistivity"),
    Property("thermal_conductivity", "W/(m K)", "Thermal conductivity"),
    Property("thermal_expansion", "1/K", "Linear coefficient of thermal expansion"),
)

PROPERTIES: Final[dict[str, Property]] = {entry.name: entry for entry in _ALL}
"""Every known property by its name."""


CALPHAD_TARGETS: Final = ("solidus", "liquidus", "single_phase_bcc_probability")
"""Numbers that the CALPHAD validator answers, and that a campaign may set a target on."""


def property_named(name: str, *, field: str = "property") -> Property:
    """Return the vocabulary's entry for a name.

    Args:
        name: The name as written by the user.
        field: How the error names the place, when there is none of that name.

    Raises:
        InputError: The vocabulary has no such property.
    """
    if name in PROPERTIES:
        return PROPERTIES[name]
    import difflib

    near = difflib.get_close_matches(name, PROPERTIES, n=3, cutoff=0.4)
    mend = (
        f"did you mean {' or '.join(near)}?"
        if near
        else "see `hea-loop doctor --properties` for the vocabulary"
    )
    raise InputError(field, name, "is not a known property", mend)

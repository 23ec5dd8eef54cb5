"""What researchers ask after the verdict: phase fractions, transitions, castings, diagrams. Numbers only."""

from validators.calphad.diagrams.assemblages import Equilibria
from validators.calphad.diagrams.binary import BinaryDiagram, Boundary, Extremum, Invariant, binary_diagram
from validators.calphad.diagrams.columns import Column, Transition, columns
from validators.calphad.diagrams.profile import PhaseProfile, phase_profile
from validators.calphad.diagrams.sections import (
    Isopleth,
    TernarySection,
    isopleth,
    isopleth_between,
    ternary_section,
)
from validators.calphad.diagrams.solidification import Solidification, scheil_solidification

__all__ = [
    "BinaryDiagram",
    "Boundary",
    "Column",
    "Equilibria",
    "Extremum",
    "Invariant",
    "Isopleth",
    "PhaseProfile",
    "Solidification",
    "TernarySection",
    "Transition",
    "binary_diagram",
    "columns",
    "isopleth",
    "isopleth_between",
    "phase_profile",
    "scheil_solidification",
    "ternary_section",
]

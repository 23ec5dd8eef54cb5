"""Phase stability by pycalphad: a ten-element refractory database of the project's own, or any TDB.

Importing this package does not import pycalphad (1.5 s): the first question does.
"""

from validators.calphad.coverage import Coverage, coverage
from validators.calphad.database import CalphadDatabase, load_database
from validators.calphad.equilibrium import PhaseEntry, PhaseEquilibrium, phases_at
from validators.calphad.provenance import Provenance, provenance
from validators.calphad.screening import (
    MeltingRange,
    NotVectorisable,
    Screening,
    SinglePhaseWindow,
    melting_range,
    nearest_window,
    screen,
    screen_compositions,
    single_phase_windows,
    starting_points,
)
from validators.calphad.settings import CalphadSettings
from validators.calphad.solidus import Solidus, liquidus, solidus
from validators.calphad.validation import validate, validate_many
from validators.calphad.verdict import StabilityVerdict, confirm, confirm_at, screen_verdicts

__all__ = [
    "CalphadDatabase",
    "CalphadSettings",
    "Coverage",
    "MeltingRange",
    "NotVectorisable",
    "PhaseEntry",
    "PhaseEquilibrium",
    "Provenance",
    "Screening",
    "SinglePhaseWindow",
    "Solidus",
    "StabilityVerdict",
    "confirm",
    "confirm_at",
    "coverage",
    "liquidus",
    "load_database",
    "melting_range",
    "nearest_window",
    "phases_at",
    "provenance",
    "screen",
    "screen_compositions",
    "screen_verdicts",
    "single_phase_windows",
    "solidus",
    "starting_points",
    "validate",
    "validate_many",
]

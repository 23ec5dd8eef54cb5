"""Phase stability by pycalphad: a nine-element refractory database of the project's own, or any TDB.

Importing this package does not import pycalphad (1.5 s): the first question does.
"""

from validators.calphad.database import CalphadDatabase, load_database
from validators.calphad.equilibrium import PhaseEntry, PhaseEquilibrium, phases_at
from validators.calphad.screening import (
    MeltingRange,
    NotVectorisable,
    Screening,
    melting_range,
    screen,
    screen_compositions,
    starting_points,
)
from validators.calphad.settings import CalphadSettings
from validators.calphad.solidus import Solidus, solidus
from validators.calphad.validation import validate, validate_many
from validators.calphad.verdict import StabilityVerdict, confirm, screen_verdicts

__all__ = [
    "CalphadDatabase",
    "CalphadSettings",
    "MeltingRange",
    "NotVectorisable",
    "PhaseEntry",
    "PhaseEquilibrium",
    "Screening",
    "Solidus",
    "StabilityVerdict",
    "confirm",
    "load_database",
    "melting_range",
    "phases_at",
    "screen",
    "screen_compositions",
    "screen_verdicts",
    "solidus",
    "starting_points",
    "validate",
    "validate_many",
]

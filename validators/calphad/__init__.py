"""Phase stability by pycalphad: a nine-element refractory database of the project's own, or any TDB.

Importing this package does not import pycalphad (1.5 s): the first question does.
"""

from validators.calphad.database import CalphadDatabase, load_database
from validators.calphad.equilibrium import PhaseEntry, PhaseEquilibrium, phases_at
from validators.calphad.settings import CalphadSettings
from validators.calphad.solidus import Solidus, solidus
from validators.calphad.validation import validate, validate_many

__all__ = [
    "CalphadDatabase",
    "CalphadSettings",
    "PhaseEntry",
    "PhaseEquilibrium",
    "Solidus",
    "load_database",
    "phases_at",
    "solidus",
    "validate",
    "validate_many",
]

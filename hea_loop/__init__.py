"""The science of hea-loop: compositions, properties, generators, selection, scoring, campaigns, figures.

Pure functions and frozen objects. This package knows no Prefect, no SQL and no web, and importing it
imports neither torch nor pymatgen: what is heavy is imported where it is used.
"""

from hea_loop.composition import Composition
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.formula import parse_composition

__all__ = ["Composition", "HeaLoopError", "InputError", "parse_composition"]
__version__ = "0.1.0"

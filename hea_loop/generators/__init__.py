"""Generators: compositions for wanted property values, all behind one protocol.

>>> from hea_loop.generators import generator_named
>>> generator_named("cgan-2021", {"steps": 100}).name
'cgan-2021'
"""

from hea_loop.generators.conditioning import ConditionDensity, conditions_for_targets
from hea_loop.generators.protocol import Generator, TrainingData, TrainingRecord
from hea_loop.generators.registry import GENERATORS, generator_from_checkpoint, generator_named

__all__ = [
    "GENERATORS",
    "ConditionDensity",
    "Generator",
    "TrainingData",
    "TrainingRecord",
    "conditions_for_targets",
    "generator_from_checkpoint",
    "generator_named",
]

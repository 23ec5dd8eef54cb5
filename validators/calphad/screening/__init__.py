"""The screening tier: is bcc alone, and where does it melt, for thousands of alloys at once."""

from validators.calphad.screening.melting import MeltingRange, melting_range
from validators.calphad.screening.model import NotVectorisable
from validators.calphad.screening.stability import Screening, screen, screen_compositions
from validators.calphad.screening.starts import starting_points

__all__ = [
    "MeltingRange",
    "NotVectorisable",
    "Screening",
    "melting_range",
    "screen",
    "screen_compositions",
    "starting_points",
]

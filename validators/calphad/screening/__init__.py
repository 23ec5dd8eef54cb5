"""The screening tier: is bcc alone, and where does it melt, for thousands of alloys at once."""

from validators.calphad.screening.melting import MeltingRange, bcc_solidus, melting_range
from validators.calphad.screening.model import NotVectorisable
from validators.calphad.screening.stability import Screening, screen, screen_compositions
from validators.calphad.screening.starts import stable_points, starting_points
from validators.calphad.screening.window import SinglePhaseWindow, nearest_window, single_phase_windows

__all__ = [
    "MeltingRange",
    "NotVectorisable",
    "Screening",
    "SinglePhaseWindow",
    "bcc_solidus",
    "melting_range",
    "nearest_window",
    "screen",
    "screen_compositions",
    "single_phase_windows",
    "stable_points",
    "starting_points",
]

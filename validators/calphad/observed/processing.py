"""How a material was made, in the few states that the literature's labels can tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hea_loop.errors import InputError

__all__ = ["AS_CAST", "PROCESSING_STATES", "processing_state", "require_state"]

AS_CAST: Final = "as cast"
"""Melted and solidified and no heat treatment named: what a campaign is about unless it says otherwise."""

PROCESSING_STATES: Final = (AS_CAST, "heat treated", "powder", "film", "unknown")
"""``heat treated``: annealed, homogenised, aged, hot worked, hot isostatically pressed, at temperatures that the
data do not have. ``powder``: mechanically alloyed or consolidated from powder. ``film``: condensed from vapour."""

_FILM: Final = frozenset({"sputtered"})
_POWDER: Final = frozenset(
    {
        "ball milled",
        "cold isostatic pressed",
        "mechanically alloyed",
        "powder metallurgy",
        "precursor decomposed",
        "spark plasma sintered",
    }
)
_HEAT: Final = frozenset(
    {
        "aged",
        "annealed",
        "heat treated",
        "homogenised",
        "hot extruded",
        "hot isostatic pressed",
        "hot rolled",
        "hot worked",
        "recrystallised",
        "wrought",
    }
)
# of powder that is melted the solid is cast: additive manufacturing stands here, not under powder
_MELTED: Final = frozenset(
    {
        "additively manufactured",
        "arc melted",
        "cast",
        "directed energy deposited",
        "laser powder bed fused",
        "levitation melted",
        "melt spun",
        "rapidly solidified",
    }
)


def processing_state(steps: Iterable[str]) -> str:
    """The state that some processing steps leave a material in, one of :data:`PROCESSING_STATES`.

    Args:
        steps: Steps in the vocabulary of the packaged literature, in any order. What tells nothing of the
            phases (cold rolling, quenching) or is not known counts for nothing.
    """
    given = frozenset(steps)
    for state, marks in (("film", _FILM), ("powder", _POWDER), ("heat treated", _HEAT), (AS_CAST, _MELTED)):
        if given & marks:
            return state
    return "unknown"


def require_state(state: str) -> str:
    """Return the state, if there is one of that name.

    Raises:
        InputError: There is none.
    """
    if state not in PROCESSING_STATES:
        raise InputError(
            "processing", state, "is not a processing state", f"use one of {', '.join(PROCESSING_STATES)}"
        )
    return state

"""What members of an ensemble must have in common to be trained at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hea_loop.errors import InputError
from hea_loop.generators.protocol import TrainingData

__all__ = ["require_alike"]


def require_alike(options: Sequence[Any], data: Sequence[TrainingData], seeds: Sequence[int]) -> None:
    """Refuse members that cannot share one batched network.

    Args:
        options: Of each member.
        data: Of each member.
        seeds: Of each member.

    Raises:
        InputError: Different numbers of these, options that differ, or data of other shapes.
    """
    if not len(options) == len(data) == len(seeds) > 0:
        raise InputError(
            "ensemble",
            (len(options), len(data), len(seeds)),
            "are the numbers of members, data and seeds",
            "give one of each for every member",
        )
    if any(own != options[0] for own in options):
        raise InputError("ensemble", "members", "have options that differ", "train those on their own")
    if len(shapes := {(one.fractions.shape[1], one.conditions.shape[1]) for one in data}) > 1:
        raise InputError(
            "ensemble",
            sorted(shapes),
            "are several (number of elements, number of properties)",
            "give every member the same columns",
        )

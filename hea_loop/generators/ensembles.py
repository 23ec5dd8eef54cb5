"""Several seeds of one generator, trained at once where its networks allow.

Every matrix product of a step is one batched product over all members, so that the calls are paid once. Each member
is what training it on its own gives: to rounding, and on a CPU bit by bit at the sizes that the tests try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hea_loop.errors import InputError
from hea_loop.generators.protocol import Generator, Progress, TrainingData, TrainingRecord
from hea_loop.generators.registry import generator_named

__all__ = ["Member", "fit_ensemble"]


@dataclass(frozen=True, slots=True)
class Member:
    """A trained generator of an ensemble.

    Attributes:
        generator: Trained.
        record: Of its training; where members were trained at once, ``seconds`` is the time of all of them.
    """

    generator: Generator
    record: TrainingRecord


def fit_ensemble(
    name: str,
    data: TrainingData | Sequence[TrainingData],
    seeds: Sequence[int],
    *,
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> list[Member]:
    """Train one generator for each seed.

    A generator class with ``fit_together`` (such as ``cgan-2021``) trains all of them in one run of batched steps;
    others are trained one after another.

    Args:
        name: Of the strategy.
        data: The alloys, the same for all members, or one for each seed (resampled alloys, say), with the same
            elements and properties.
        seeds: One for each member.
        options: Of the strategy.
        device: As for :meth:`hea_loop.generators.protocol.Generator.fit`.
        progress: Called with the mean of the members' points, or for one member after another.

    Returns:
        The members in the order of the seeds.

    Raises:
        InputError: No seeds, another number of data, or what the strategy refuses.
    """
    each = [data] * len(seeds) if isinstance(data, TrainingData) else list(data)
    if not seeds or len(each) != len(seeds):
        raise InputError(
            "seeds",
            list(seeds),
            f"do not fit {len(each)} sets of alloys",
            "give one set of alloys, or one a seed",
        )
    members = [generator_named(name, options) for _ in seeds]
    together = getattr(type(members[0]), "fit_together", None)
    if together is None:
        records = [
            member.fit(one, seed=seed, device=device, progress=progress)
            for member, one, seed in zip(members, each, seeds, strict=True)
        ]
    else:
        records = together(members, each, seeds, device=device, progress=progress)
    return [Member(g, record) for g, record in zip(members, records, strict=True)]

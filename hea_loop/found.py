"""What was found against what was asked: which target cost most among validated candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hea_loop.errors import InputError
from hea_loop.feasibility_report import Costliest, Share, plain_json

__all__ = ["Found", "judge_found"]


@dataclass(frozen=True, slots=True)
class Found:
    """The same of what was found: validated candidates against each target.

    Attributes:
        shares: Target or verdict to the share of the validated candidates with a value that it holds in.
        given_others: Target or verdict to its share among those candidates that meet all the others.
        all: Share that meets everything.
        costliest: Which target or verdict lost most.
    """

    shares: Mapping[str, Share]
    given_others: Mapping[str, Share]
    all: Share
    costliest: Costliest | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return dict(plain_json(asdict(self)))


def judge_found(holds: Mapping[str, Sequence[bool | None]]) -> Found:
    """Which target cost most among validated candidates.

    Args:
        holds: Target or verdict to whether it holds in each candidate, in one order; None where no value is
            known.

    Raises:
        InputError: Columns of different length.
    """
    lengths = {len(column) for column in holds.values()}
    if len(lengths) > 1:
        raise InputError("holds", sorted(lengths), "are different lengths", "give one entry per candidate")
    number = lengths.pop() if lengths else 0
    shares, given = {}, {}
    for name, column in holds.items():
        shares[name] = Share.counted(np.array([bool(h) for h in column if h is not None], dtype=bool))
        others = [all(bool(c[i]) for n, c in holds.items() if n != name) for i in range(number)]
        kept = [bool(h) for h, met in zip(column, others, strict=True) if met and h is not None]
        given[name] = Share.counted(np.array(kept, dtype=bool))
    everything = [all(bool(c[i]) for c in holds.values()) for i in range(number)]
    costliest = None
    told = [(n, s.share) for n, s in given.items() if s.share is not None]
    if told and min(s for _, s in told) < 1:
        name, share = min(told, key=lambda row: row[1])
        costliest = Costliest(name, f"it holds in {share:.0%} of the validated that meet all others")
    elif shares and any((s.share or 0) < 1 for s in shares.values() if s.of):
        name = min((n for n in shares if shares[n].of), key=lambda n: shares[n].share or 0.0)
        costliest = Costliest(name, f"it holds in {shares[name].share or 0:.0%} of the validated")
    return Found(shares, given, Share.counted(np.array(everything, dtype=bool)), costliest)

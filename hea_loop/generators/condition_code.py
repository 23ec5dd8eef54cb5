"""Conditions as a network reads them: standardised values, each beside a flag that says whether it is asked for.

A property that is not known of a training alloy and one that is not asked for look the same, so alloys with
unknown properties take part in training, and a request that leaves properties open is one that training has seen:
known values are hidden at random. The flags tell an average value from none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["ConditionCode", "hidden"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConditionCode:
    """Mean and spread of each property in the data, over the alloys of which it is known.

    Attributes:
        mean: Shape ``p``, in the properties' units.
        scale: Standard deviations, shape ``p``.
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, conditions: Array) -> ConditionCode:
        """Learn from ``n x p`` values, NaN where unknown; each column has a spread."""
        return cls(np.nanmean(conditions, axis=0), np.nanstd(conditions, axis=0, ddof=1))

    def standardised(self, conditions: Array) -> Array:
        """In units of the spread about the mean, ``n x p``; NaN stays."""
        out: Array = (np.asarray(conditions, dtype=np.float64) - self.mean) / self.scale
        return out

    def encode(self, conditions: Array) -> Any:
        """Values (zero where open) and flags (one where asked): float32 tensor ``n x 2p``."""
        z = self.standardised(conditions)
        known = np.isfinite(z)
        return torch.as_tensor(
            np.concatenate([np.where(known, z, 0.0), known.astype(np.float64)], axis=1), dtype=torch.float32
        )


def hidden(code: Any, share: float, noise: Any) -> Any:
    """Hide each property of each row with probability ``share``; ``b x 2p`` to the same."""
    p = code.shape[1] // 2
    keep = (torch.rand(len(code), p, generator=noise, device=code.device) >= share).to(code.dtype)
    return code * torch.cat([keep, keep], dim=1)

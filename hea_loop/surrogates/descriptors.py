"""What a kernel on compositions sees besides the atomic fractions, differentiable in torch.

The valence-electron concentration VEC = sum x_i VEC_i (Guo et al., J. Appl. Phys. 109 (2011) 103505,
doi 10.1063/1.3587228) fills the d band, on which the elasticity and the phase of a bcc alloy depend; the mean
metallic radius r = sum x_i r_i; the size mismatch delta = sqrt(sum x_i (1 - r_i / r)^2) (Zhang et al., Adv.
Eng. Mater. 10 (2008) 534, doi 10.1002/adem.200700240, eq. 1); the period of the elements, which says how far
their d states reach. A descriptor is left out where the table lacks an element's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hea_loop.elements import element_vector

__all__ = ["ElementEmbedding", "element_embedding"]

_TINY = 1e-8  # below the square root of the mismatch: its slope stays finite at a pure element


@dataclass(frozen=True, slots=True)
class ElementEmbedding:
    """Values of ``m`` elements, from which the descriptors of a composition follow.

    Attributes:
        names: The descriptors, ``k`` of them, in the order of the columns.
        averaged: ``m x a`` float64: element values whose average over the atoms is a descriptor, each brought
            to the order of one.
        radii: ``m`` metallic radii in pm for the mismatch; None where one is not known.
    """

    names: tuple[str, ...]
    averaged: Any
    radii: Any

    def descriptors(self, x: Any) -> Any:
        """Descriptors of compositions.

        Args:
            x: ``... x m`` atomic fractions, a float64 tensor.

        Returns:
            ``... x k``, each of the order of one, differentiable.
        """
        columns = [x @ self.averaged]
        if self.radii is not None:
            mean = (x @ self.radii).clamp_min(1.0)[..., None]
            variance = (x * (1 - self.radii / mean) ** 2).sum(-1, keepdim=True)
            columns.append(10 * torch.sqrt(variance + _TINY))
        return torch.cat(columns, dim=-1)


def element_embedding(elements: Sequence[str]) -> ElementEmbedding:
    """Look up what the table has for these elements.

    Args:
        elements: ``m`` symbols, the columns of the fractions.
    """
    electrons = element_vector(elements, "valence_electrons")
    radii = element_vector(elements, "metallic_radius")
    names: list[str] = []
    columns = []
    # scales: one electron; a tenth of a typical radius; a mismatch of ten percent
    for name, column in (
        ("valence_electron_concentration", electrons - 5),
        ("mean_radius", (radii - 140) / 14),
    ):
        if np.isfinite(column).all():
            names.append(name)
            columns.append(column)
    averaged = np.column_stack(columns) if columns else np.empty((len(tuple(elements)), 0))
    known = bool(np.isfinite(radii).all())
    if known:
        names.append("size_mismatch")
    return ElementEmbedding(
        tuple(names), torch.as_tensor(averaged), torch.as_tensor(radii) if known else None
    )

"""What a kernel on compositions sees besides the atomic fractions, differentiable in torch.

The valence-electron concentration VEC = sum x_i VEC_i (Guo et al., J. Appl. Phys. 109 (2011) 103505,
doi 10.1063/1.3587228) fills the d band, on which the elasticity and the phase of a bcc alloy depend; the mean
metallic radius r = sum x_i r_i; the size mismatch delta = sqrt(sum x_i (1 - r_i / r)^2) (Zhang et al., Adv.
Eng. Mater. 10 (2008) 534, doi 10.1002/adem.200700240, eq. 1); the period of the elements, which says how far
their d states reach. A descriptor is left out where the table lacks an element's value.

Where strength is learned there may be more, those of which models of solution strengthening are made (O. Senkov,
J. Scott, S. Senkova, D. Miracle and C. Woodward, J. Alloys Compd. 509 (2011) 6043, doi
10.1016/j.jallcom.2011.02.171; C. Wen et al., Acta Mater. 170 (2019) 109, doi 10.1016/j.actamat.2019.03.010): the
mean shear modulus G = sum x_i G_i and its mismatch sqrt(sum x_i (1 - G_i / G)^2), the mean melting temperature, and
the enthalpy of mixing 4 sum_i<j H_ij x_i x_j (A. Takeuchi and A. Inoue, doi 10.2320/matertrans.46.2817).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hea_loop.elements import element_vector, mixing_enthalpy_matrix

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
        moduli: ``m`` shear moduli in GPa for the mismatch; None where one is not known or wanted.
        enthalpies: ``m x m`` enthalpies of mixing of equiatomic pairs in kJ/mol; None likewise.
    """

    names: tuple[str, ...]
    averaged: Any
    radii: Any
    moduli: Any = None
    enthalpies: Any = None

    def descriptors(self, x: Any) -> Any:
        """Descriptors of compositions.

        Args:
            x: ``... x m`` atomic fractions, a float64 tensor.

        Returns:
            ``... x k``, each of the order of one, differentiable.
        """
        columns = [x @ self.averaged]
        if self.radii is not None:
            columns.append(10 * _mismatch(x, self.radii))
        if self.moduli is not None:
            columns.append(3 * _mismatch(x, self.moduli))
        if self.enthalpies is not None:
            # 2 x H x is 4 sum_i<j H_ij x_i x_j; a tenth brings kJ/mol to the order of one
            columns.append(0.2 * ((x @ self.enthalpies) * x).sum(-1, keepdim=True))
        return torch.cat(columns, dim=-1)


def _mismatch(x: Any, values: Any) -> Any:
    """sqrt(sum x_i (1 - v_i / v)^2) with v = sum x_i v_i, ``... x 1``."""
    mean = (x @ values).clamp_min(1.0)[..., None]
    return torch.sqrt((x * (1 - values / mean) ** 2).sum(-1, keepdim=True) + _TINY)


def element_embedding(elements: Sequence[str], *, strengthening: bool = False) -> ElementEmbedding:
    """Look up what the table has for these elements.

    Args:
        elements: ``m`` symbols, the columns of the fractions.
        strengthening: Whether the descriptors of solution strengthening are wanted too.
    """
    electrons = element_vector(elements, "valence_electrons")
    radii = element_vector(elements, "metallic_radius")
    wanted = [
        # scales: one electron; a tenth of a typical radius; a mismatch of ten percent
        ("valence_electron_concentration", electrons - 5),
        ("mean_radius", (radii - 140) / 14),
    ]
    moduli, enthalpies = None, None
    if strengthening:
        moduli, enthalpies = element_vector(elements, "shear_modulus"), mixing_enthalpy_matrix(elements)
        # half of a typical modulus; a fifth of a typical melting point; a mismatch of a third; 10 kJ/mol
        wanted += [
            ("mean_shear_modulus", (moduli - 50) / 30),
            ("mean_melting_temperature", (element_vector(elements, "melting_temperature") - 2300) / 500),
        ]
    names: list[str] = []
    columns = []
    for name, column in wanted:
        if np.isfinite(column).all():
            names.append(name)
            columns.append(column)
    averaged = np.column_stack(columns) if columns else np.empty((len(tuple(elements)), 0))
    tables = []
    for name, table in (
        ("size_mismatch", radii),
        ("modulus_mismatch", moduli),
        ("mixing_enthalpy", enthalpies),
    ):
        known = table is not None and bool(np.isfinite(table).all())
        tables.append(torch.as_tensor(table) if known else None)
        names += [name] if known else []
    return ElementEmbedding(tuple(names), torch.as_tensor(averaged), *tables)

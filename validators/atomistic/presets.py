"""The named settings of a first-principles calculation: ``test``, ``screening``, ``production``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hea_loop.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["PRESETS", "Preset", "k_points", "k_shift", "preset_named"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings that go together.

    Attributes:
        name: Its name.
        purpose: What it is good for, and what not.
        k_density: Divisions of the k-mesh per reciprocal angstrom (2 pi included), see :func:`k_points`.
        cutoff_eV: Plane-wave cut-off by code, eV.
        smearing_eV: Width of the electronic smearing, eV.
        energy_tolerance_eV: Largest change of the energy in the last steps of the electronic iteration, eV per
            valence electron (GPAW) or per atom (others).
    """

    name: str
    purpose: str
    k_density: float
    cutoff_eV: Mapping[str, float]
    smearing_eV: float
    energy_tolerance_eV: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "name": self.name,
            "purpose": self.purpose,
            "k_density": self.k_density,
            "cutoff_eV": dict(self.cutoff_eV),
            "smearing_eV": self.smearing_eV,
            "energy_tolerance_eV": self.energy_tolerance_eV,
        }


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        p.name: p
        for p in (
            Preset(
                "test",
                "seconds to minutes on one core: shows that the whole path runs; lattice parameters to 1%, "
                "moduli to tens of GPa",
                k_density=2.8,
                cutoff_eV=MappingProxyType(
                    {"gpaw": 300.0, "abinit": 544.0, "espresso": 544.0, "vasp": 300.0}
                ),
                smearing_eV=0.3,
                energy_tolerance_eV=1e-5,
            ),
            Preset(
                "screening",
                "to rank alloys; its errors for the pure metals are measured by `hea-loop dft qualify`",
                k_density=4.25,
                cutoff_eV=MappingProxyType(
                    {"gpaw": 350.0, "abinit": 680.0, "espresso": 680.0, "vasp": 350.0}
                ),
                smearing_eV=0.2,
                energy_tolerance_eV=1e-6,
            ),
            Preset(
                "production",
                "for numbers to publish, after a convergence test of one's own",
                k_density=7.0,
                cutoff_eV=MappingProxyType(
                    {"gpaw": 500.0, "abinit": 950.0, "espresso": 950.0, "vasp": 500.0}
                ),
                smearing_eV=0.1,
                energy_tolerance_eV=1e-7,
            ),
        )
    }
)
"""Every preset by its name."""


def preset_named(name: str, field: str = "preset") -> Preset:
    """Return a preset.

    Raises:
        InputError: There is none of that name.
    """
    if name not in PRESETS:
        raise InputError(field, name, "is no preset", f"use {', '.join(PRESETS)}")
    return PRESETS[name]


def k_points(atoms: Atoms, k_density: float) -> tuple[int, int, int]:
    """Divisions of the Monkhorst-Pack mesh of a density: the even number nearest to ``k_density * |b_i|``.

    ``|b_i|`` are the lengths of the reciprocal vectors with the factor 2 pi, so that a density of 4.25 gives
    12 x 12 x 12 in the primitive cell of tungsten. Meshes of even divisions avoid Gamma (:func:`k_shift`) and
    have the fewest points that symmetry makes different. A direction without periodicity gets one point; one
    across a vacuum gets one by its length.

    To compare strained cells take the divisions of the unstrained one for all of them.

    Source: Monkhorst and Pack, Phys. Rev. B 13 (1976) 5188, doi 10.1103/PhysRevB.13.5188.
    """
    import numpy as np

    lengths = 2.0 * math.pi * np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    wanted = [
        k_density * float(b) if periodic else 0.0 for b, periodic in zip(lengths, atoms.pbc, strict=True)
    ]
    n = [1 if x <= 1.0 else max(2, 2 * round(x / 2.0)) for x in wanted]
    return n[0], n[1], n[2]


def k_shift(divisions: tuple[int, int, int]) -> tuple[int, int, int]:
    """By how many half steps the mesh is shifted off Gamma: 1 for even divisions, 0 for odd ones.

    The shift keeps the symmetry of the primitive cells of sc, bcc and fcc.
    """
    return (1 - divisions[0] % 2, 1 - divisions[1] % 2, 1 - divisions[2] % 2)

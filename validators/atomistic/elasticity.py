"""Elastic constants: from stresses of strained cells to moduli, with the checks that they must pass.

Voigt's notation throughout: 1 to 6 for xx, yy, zz, yz, xz, xy, shear strains doubled; a matrix is ``(6, 6)`` in GPa.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CubicConstants",
    "Moduli",
    "born_violations",
    "cubic_matrix",
    "cubic_part",
    "moduli",
    "strain_matrix",
    "to_voigt",
]

_PAIRS: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def strain_matrix(component: int, amplitude: float) -> NDArray[np.float64]:
    """The symmetric strain, ``(3, 3)``, whose one Voigt component (0 to 5) has this amplitude."""
    i, j = _PAIRS[component]
    strain = np.zeros((3, 3))
    strain[i, j] = strain[j, i] = amplitude if i == j else amplitude / 2
    return strain


def to_voigt(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """The six components of a symmetric stress, ``(6,)``; the mean of what should be equal."""
    return np.array([(stress[i, j] + stress[j, i]) / 2 for i, j in _PAIRS])


@dataclass(frozen=True, slots=True)
class CubicConstants:
    """The part of a matrix of elastic constants that is cubic about x, y, z.

    Attributes:
        c11: Mean of C11, C22, C33, GPa.
        c12: Mean of C12, C13, C23, GPa.
        c44: Mean of C44, C55, C66, GPa.
        errors: Standard errors of the three means, GPa: how far the three directions scatter, over sqrt(3).
        departure: Norm of what is not cubic over the norm of the whole, 0 for a cubic crystal.
    """

    c11: float
    c12: float
    c44: float
    errors: tuple[float, float, float]
    departure: float

    @property
    def anisotropy(self) -> float:
        """Zener's ratio 2 C44 / (C11 - C12), 1 for an isotropic crystal."""
        return 2 * self.c44 / (self.c11 - self.c12) if self.c11 != self.c12 else math.inf


def cubic_part(c: NDArray[np.float64]) -> CubicConstants:
    """Project a matrix of elastic constants onto cubic symmetry.

    The projection is the cubic tensor that is nearest in the Euclidean norm of the fourth-rank tensor, which for
    axes along x, y, z are the means of the three equivalents: Moakher and Norris, J. Elasticity 85 (2006) 215, doi
    10.1007/s10659-006-9082-0. In that norm, in Voigt's notation, a constant counts once for each of the tensor's
    components that it stands for (C11 once, C12 and C16 two and four times in all, C44 four times).

    Args:
        c: Symmetric, ``(6, 6)``, GPa.
    """
    groups = (
        np.array([c[0, 0], c[1, 1], c[2, 2]]),
        np.array([c[0, 1], c[0, 2], c[1, 2]]),
        np.array([c[3, 3], c[4, 4], c[5, 5]]),
    )
    c11, c12, c44 = (float(g.mean()) for g in groups)
    errors = tuple(float(g.std(ddof=1)) / math.sqrt(3) for g in groups)
    weight = np.array([1.0, 1.0, 1.0, math.sqrt(2), math.sqrt(2), math.sqrt(2)])
    scale = np.outer(weight, weight)
    left = (c - cubic_matrix(c11, c12, c44)) * scale
    departure = float(np.linalg.norm(left) / np.linalg.norm(c * scale))
    return CubicConstants(c11, c12, c44, (errors[0], errors[1], errors[2]), departure)


def cubic_matrix(c11: float, c12: float, c44: float) -> NDArray[np.float64]:
    """The ``(6, 6)`` matrix of a cubic crystal, GPa."""
    c = np.zeros((6, 6))
    c[:3, :3] = c12
    c[(0, 1, 2), (0, 1, 2)] = c11
    c[(3, 4, 5), (3, 4, 5)] = c44
    return c


def born_violations(c: NDArray[np.float64]) -> list[str]:
    """What makes a crystal mechanically unstable; empty for a stable one.

    Necessary and sufficient for any symmetry is that every eigenvalue of the matrix is positive; the cubic
    conditions C11 > C12, C11 + 2 C12 > 0, C44 > 0 on its cubic part say which way it gives. Source: Mouhat and
    Coudert, Phys. Rev. B 90 (2014) 224104, doi 10.1103/PhysRevB.90.224104.
    """
    cubic = cubic_part(c)
    found = []
    if cubic.c11 <= cubic.c12:
        found.append(f"C11 - C12 = {cubic.c11 - cubic.c12:.1f} GPa")
    if cubic.c11 + 2 * cubic.c12 <= 0:
        found.append(f"C11 + 2 C12 = {cubic.c11 + 2 * cubic.c12:.1f} GPa")
    if cubic.c44 <= 0:
        found.append(f"C44 = {cubic.c44:.1f} GPa")
    least = float(np.linalg.eigvalsh((c + c.T) / 2).min())
    if least <= 0 and not found:
        found.append(f"smallest eigenvalue of the elastic constants {least:.1f} GPa")
    return found


@dataclass(frozen=True, slots=True)
class Moduli:
    """Moduli of a polycrystal without texture.

    Attributes:
        bulk_voigt: Upper bound of B, GPa.
        bulk_reuss: Lower bound.
        shear_voigt: Upper bound of G, GPa.
        shear_reuss: Lower bound.
    """

    bulk_voigt: float
    bulk_reuss: float
    shear_voigt: float
    shear_reuss: float

    @property
    def bulk(self) -> float:
        """Hill's mean of B, GPa."""
        return (self.bulk_voigt + self.bulk_reuss) / 2

    @property
    def shear(self) -> float:
        """Hill's mean of G, GPa."""
        return (self.shear_voigt + self.shear_reuss) / 2

    @property
    def young(self) -> float:
        """Young's modulus 9 B G / (3 B + G), GPa."""
        return 9 * self.bulk * self.shear / (3 * self.bulk + self.shear)

    @property
    def poisson(self) -> float:
        """Poisson's ratio (3 B - 2 G) / (2 (3 B + G))."""
        return (3 * self.bulk - 2 * self.shear) / (2 * (3 * self.bulk + self.shear))

    def by_property(self) -> dict[str, float]:
        """The Hill averages by the names of the vocabulary."""
        return {
            "shear_modulus": self.shear,
            "bulk_modulus": self.bulk,
            "youngs_modulus": self.young,
            "poisson_ratio": self.poisson,
        }


def moduli(c: NDArray[np.float64]) -> Moduli:
    """Voigt's and Reuss's averages of a matrix of elastic constants of any symmetry.

    Source: Hill, Proc. Phys. Soc. A 65 (1952) 349, doi 10.1088/0370-1298/65/5/307.

    Args:
        c: Symmetric and positive definite, ``(6, 6)``, GPa.
    """
    s = np.linalg.inv(c)
    diagonal, off, shear = (
        c[0, 0] + c[1, 1] + c[2, 2],
        c[0, 1] + c[0, 2] + c[1, 2],
        c[3, 3] + c[4, 4] + c[5, 5],
    )
    s_diagonal, s_off = s[0, 0] + s[1, 1] + s[2, 2], s[0, 1] + s[0, 2] + s[1, 2]
    s_shear = s[3, 3] + s[4, 4] + s[5, 5]
    return Moduli(
        bulk_voigt=float((diagonal + 2 * off) / 9),
        bulk_reuss=float(1 / (s_diagonal + 2 * s_off)),
        shear_voigt=float((diagonal - off + 3 * shear) / 15),
        shear_reuss=float(15 / (4 * (s_diagonal - s_off) + 3 * s_shear)),
    )


def propagated(
    constants: CubicConstants, of: Callable[[Moduli], Mapping[str, float]] = Moduli.by_property
) -> dict[str, float]:
    """Standard errors of the moduli from those of the three cubic constants, taken as independent."""
    centre = (constants.c11, constants.c12, constants.c44)
    squares: dict[str, float] = {}
    for k, error in enumerate(constants.errors):
        step = max(error, 1e-3) * 0.1
        upper, lower = (
            [value + (sign * step if i == k else 0) for i, value in enumerate(centre)] for sign in (1, -1)
        )
        high, low = of(moduli(cubic_matrix(*upper))), of(moduli(cubic_matrix(*lower)))
        for name in high:
            squares[name] = squares.get(name, 0.0) + ((high[name] - low[name]) / (2 * step) * error) ** 2
    return {name: math.sqrt(value) for name, value in squares.items()}

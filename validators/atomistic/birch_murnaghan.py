"""The Birch-Murnaghan equation of state, fitted and checked.

The third-order equation is a cubic polynomial in x = V^(-2/3), so that the fit is linear and has one answer:

    E(V) = E0 + 9 V0 B / 16 ( B' (y - 1)^3 + (y - 1)^2 (6 - 4 y) ),   y = (V0 / V)^(2/3)

Source: Birch, Phys. Rev. 71 (1947) 809, doi 10.1103/PhysRev.71.809.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.constants import angstrom, electron_volt, giga

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EV_PER_A3", "EquationOfState", "fit_equation_of_state"]

EV_PER_A3: Final = electron_volt / angstrom**3 / giga
"""GPa in one eV per cubic angstrom: 160.2."""

_MARGIN: Final = 0.1
"""Share of the sampled interval, at either end, in which a minimum is no minimum found."""


@dataclass(frozen=True, slots=True)
class EquationOfState:
    """A fitted equation of state.

    Attributes:
        volume: Equilibrium volume V0 of the cell, cubic angstrom.
        energy: Energy E0 of the cell at it, eV.
        bulk_modulus: B at V0, GPa.
        derivative: B', the derivative of B with pressure.
        residual: Root mean square of the fit's errors over the spread of the sampled energies.
        volume_sigma: Standard error of V0 from the scatter about the fit; None with as many points as parameters.
        bulk_modulus_sigma: The same of B, GPa.
        inside: Whether V0 lies in the sampled volumes, at least a tenth of their range from either end.
    """

    volume: float
    energy: float
    bulk_modulus: float
    derivative: float
    residual: float
    volume_sigma: float | None
    bulk_modulus_sigma: float | None
    inside: bool

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "volume_angstrom3": round(self.volume, 5),
            "bulk_modulus_GPa": round(self.bulk_modulus, 3),
            "bulk_modulus_derivative": round(self.derivative, 3),
            "residual_of_spread": float(f"{self.residual:.3g}"),
        }


def fit_equation_of_state(volumes: Sequence[float], energies: Sequence[float]) -> EquationOfState | None:
    """Fit the equation to energies of one cell at several volumes.

    Args:
        volumes: Cubic angstrom, at least five.
        energies: eV, one per volume.

    Returns:
        The fit; None where the fitted curve has no minimum near the volumes.
    """
    v, e = np.asarray(volumes, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    centre = float(v.mean())
    x = (centre / v) ** (2 / 3)
    design = np.vander(x - 1.0, 4, increasing=True)
    coefficients, *_ = np.linalg.lstsq(design, e - e.mean(), rcond=None)
    found = _minimum(coefficients, centre)
    if found is None:
        return None
    volume, energy, bulk, derivative = found
    errors = e - e.mean() - design @ coefficients
    spread = float(np.ptp(e))
    width = float(np.ptp(v))
    volume_sigma = bulk_sigma = None
    if len(v) > 4:
        variance = float(errors @ errors) / (len(v) - 4)
        covariance = variance * np.linalg.inv(design.T @ design)
        slopes = []
        for k in range(4):
            step = np.zeros(4)
            step[k] = 1e-6 * float(np.abs(coefficients).max())
            upper, lower = _minimum(coefficients + step, centre), _minimum(coefficients - step, centre)
            if upper is None or lower is None:
                return None
            slopes.append([(upper[i] - lower[i]) / (2 * step[k]) for i in (0, 2)])
        slope = np.array(slopes)
        volume_sigma, bulk_sigma = (
            math.sqrt(max(slope[:, i] @ covariance @ slope[:, i], 0.0)) for i in (0, 1)
        )
    return EquationOfState(
        volume=volume,
        energy=energy + float(e.mean()),
        bulk_modulus=bulk,
        derivative=derivative,
        residual=float(np.sqrt(np.mean(errors**2))) / spread if spread > 0 else math.inf,
        volume_sigma=volume_sigma,
        bulk_modulus_sigma=bulk_sigma,
        inside=bool(v.min() + _MARGIN * width <= volume <= v.max() - _MARGIN * width),
    )


def _minimum(
    c: np.ndarray[Any, np.dtype[np.float64]], centre: float
) -> tuple[float, float, float, float] | None:
    """V0, E0, B (GPa), B' of the polynomial c0 + c1 t + c2 t^2 + c3 t^3 in t = (centre / V)^(2/3) - 1."""
    _, c1, c2, c3 = (float(value) for value in c)
    discriminant = c2 * c2 - 3 * c1 * c3
    if discriminant <= 0:
        return None
    # the root at which the second derivative is positive: 2 c2 + 6 c3 t = 2 sqrt(discriminant). Written so that
    # nothing cancels where c3 is small
    t = (
        -c1 / (c2 + math.sqrt(discriminant))
        if c2 > 0
        else (math.sqrt(discriminant) - c2) / (3 * c3)
        if c3
        else 0.0
    )
    if t <= -0.5:
        return None
    y0 = 1.0 + t
    volume = centre * y0**-1.5
    second = 2 * c2 + 6 * c3 * t
    # B = V E''(V) with dt/dV = -2/3 y0 / V at the minimum
    bulk = second * (4 / 9) * y0 * y0 / volume
    if bulk <= 0:
        return None
    derivative = 4 + 16 * c3 * y0**3 / (9 * volume * bulk)
    energy = float(c[0]) + c1 * t + c2 * t * t + c3 * t**3
    return volume, energy, bulk * EV_PER_A3, derivative

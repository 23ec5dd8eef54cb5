"""What one atomistic calculation gives, and the two ways in which it gives nothing."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hea_loop.errors import HeaLoopError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

__all__ = ["CalculationFailed", "Evaluation", "Unconverged", "evaluation_key", "read_evaluation"]


class Unconverged(HeaLoopError):  # noqa: N818 - the name of the outcome
    """The code ran to its end and says, or shows, that it did not reach self-consistency: there is no answer."""


class CalculationFailed(HeaLoopError):  # noqa: N818 - likewise
    """The code stopped with an error, or gave what is no energy."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Energy, forces and stress of ``n`` atoms from one converged calculation.

    Attributes:
        energy_eV: Energy of the cell, extrapolated to zero width where the code smears the occupations (Gillan, J.
            Phys.: Condens. Matter 1 (1989) 689, doi 10.1088/0953-8984/1/4/005).
        forces_eV_A: Forces, shape ``(n, 3)``; derivatives of ``free_energy_eV``.
        stress_GPa: Cauchy stress, shape ``(3, 3)``, tension positive; derivative of ``free_energy_eV``.
        free_energy_eV: Mermin free energy at the smearing width: what forces and stress are consistent with.
        wall_s: Seconds it took when it was computed.
        rung: Rung of the restart ladder that converged; 0 is the first try.
        k_points: Divisions of the k-mesh, ``(1, 1, 1)`` for a potential.
        detail: What else the code said, as plain JSON (iterations, magnetic moment, ...).
    """

    energy_eV: float
    forces_eV_A: NDArray[np.float64]
    stress_GPa: NDArray[np.float64]
    free_energy_eV: float
    wall_s: float = 0.0
    rung: int = 0
    k_points: tuple[int, int, int] = (1, 1, 1)
    detail: dict[str, Any] = field(default_factory=dict)

    def require_sound(self, atoms: int) -> Self:
        """Return itself, if it is numbers of the right shape.

        Raises:
            CalculationFailed: Not finite, or of another shape.
        """
        if not (math.isfinite(self.energy_eV) and math.isfinite(self.free_energy_eV)):
            raise CalculationFailed(f"the energy is no number ({self.energy_eV})")
        if self.forces_eV_A.shape != (atoms, 3) or not np.isfinite(self.forces_eV_A).all():
            raise CalculationFailed(f"the forces are not {atoms} x 3 finite numbers")
        if self.stress_GPa.shape != (3, 3) or not np.isfinite(self.stress_GPa).all():
            raise CalculationFailed("the stress is not 3 x 3 finite numbers")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "energy_eV": self.energy_eV,
            "free_energy_eV": self.free_energy_eV,
            "forces_eV_A": self.forces_eV_A.tolist(),
            "stress_GPa": self.stress_GPa.tolist(),
            "wall_s": self.wall_s,
            "rung": self.rung,
            "k_points": list(self.k_points),
            "detail": self.detail,
        }

    def sealed(self, key: str) -> dict[str, Any]:
        """The same with its key and a checksum over all of it, for :func:`read_evaluation`."""
        body = {"key": key, **self.to_json()}
        return {**body, "sha256": _checksum(body)}


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read_evaluation(text: str, key: str) -> Evaluation | None:
    """Read what :meth:`Evaluation.sealed` wrote; None where it is of another key, cut short or edited.

    A finished calculation whose file cannot be trusted is computed again: that costs time, not truth.
    """
    try:
        body = json.loads(text)
        seal = body.pop("sha256")
        if seal != _checksum(body) or body["key"] != key:
            return None
        return Evaluation(
            energy_eV=float(body["energy_eV"]),
            free_energy_eV=float(body["free_energy_eV"]),
            forces_eV_A=np.array(body["forces_eV_A"], dtype=np.float64).reshape(-1, 3),
            stress_GPa=np.array(body["stress_GPa"], dtype=np.float64),
            wall_s=float(body["wall_s"]),
            rung=int(body["rung"]),
            k_points=(int(body["k_points"][0]), int(body["k_points"][1]), int(body["k_points"][2])),
            detail=dict(body["detail"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def evaluation_key(atoms: Atoms, settings: dict[str, Any], k_points: tuple[int, int, int]) -> str:
    """SHA-256 of all that decides an evaluation: structure, settings and k-mesh.

    Positions and cell enter to 1e-10 angstrom: two runs that reach the same structure by the same steps differ
    by less.
    """

    def rounded(values: NDArray[np.float64]) -> list[Any]:
        plain: list[Any] = (np.round(np.asarray(values, dtype=np.float64), 10) + 0.0).tolist()  # no -0.0
        return plain

    body = {
        "numbers": atoms.get_atomic_numbers().tolist(),
        "positions": rounded(atoms.get_positions()),
        "cell": rounded(atoms.cell.array),
        "pbc": [bool(p) for p in atoms.pbc],
        "moments": rounded(atoms.get_initial_magnetic_moments()),
        "k_points": list(k_points),
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

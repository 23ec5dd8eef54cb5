"""Elastic constants from the stresses of strained cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from validators.atomistic.elasticity import (
    CubicConstants,
    Moduli,
    born_violations,
    cubic_matrix,
    cubic_part,
    moduli,
    propagated,
    strain_matrix,
    to_voigt,
)
from validators.atomistic.workflows.calculation import Calculation, NoAnswer
from validators.atomistic.workflows.equilibrium import Equilibrium

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from validators.atomistic.specification import JobSpec

__all__ = ["ElasticResult", "elastic_constants", "expected_strains"]

_NAMES: Final = ("xx", "yy", "zz", "yz", "xz", "xy")
_MOST_CURVATURE: Final = 0.25
"""Of the linear part: above, the stress is not linear in the strain, or not converged."""
_MOST_ASYMMETRY: Final = 0.1
"""Of the whole: C_ij and C_ji come from different strains and must agree."""
_MOST_DIFFERENCE: Final = 0.15
"""Between B from stresses and B from energies, as a fraction."""


@dataclass(frozen=True, slots=True)
class ElasticResult:
    """The elastic constants of a cell.

    Attributes:
        matrix: Symmetric, ``(6, 6)``, GPa.
        cubic: Its cubic part.
        averages: Its polycrystalline averages.
        errors: Standard errors of the averages and constants by property; empty for a cubic crystal.
        curvature: Largest part of the stress that is quadratic in the strain, over the linear part.
        asymmetry: Norm of the antisymmetric part of the matrix over its norm, before it was made symmetric.
        bulk_of_state: B of the equation of state, GPa.
        strain: Amplitude of the strains.
        ions_relaxed: Whether the atoms of the strained cells could move.
    """

    matrix: NDArray[np.float64]
    cubic: CubicConstants
    averages: Moduli
    errors: dict[str, float]
    curvature: float
    asymmetry: float
    bulk_of_state: float
    strain: float
    ions_relaxed: bool

    def by_property(self) -> dict[str, float]:
        """Values by the names of the vocabulary."""
        return self.averages.by_property() | {
            "elastic_constant_c11": self.cubic.c11,
            "elastic_constant_c12": self.cubic.c12,
            "elastic_constant_c44": self.cubic.c44,
        }

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "elastic_constants_GPa": np.round(self.matrix, 2).tolist(),
            "departure_from_cubic": round(self.cubic.departure, 4),
            "zener_anisotropy": round(self.cubic.anisotropy, 3),
            "voigt_GPa": {
                "B": round(self.averages.bulk_voigt, 2),
                "G": round(self.averages.shear_voigt, 2),
            },
            "reuss_GPa": {
                "B": round(self.averages.bulk_reuss, 2),
                "G": round(self.averages.shear_reuss, 2),
            },
            "bulk_modulus_of_state_GPa": round(self.bulk_of_state, 2),
            "quadratic_over_linear": round(self.curvature, 4),
            "asymmetry": round(self.asymmetry, 4),
            "strain": self.strain,
            "ions_relaxed": self.ions_relaxed,
        }


def expected_strains(spec: JobSpec) -> int:
    """Number of strained cells."""
    return 4 if spec.is_pure else 12


def elastic_constants(calculation: Calculation, spec: JobSpec, rest: Equilibrium) -> ElasticResult:
    """Strain a cell both ways along each component and take the slopes of its stresses.

    A cubic crystal needs two of the six components, xx and yz; a quasirandom cell is not cubic and needs all. The
    difference of the two signs takes the stress of the unstrained cell out, whatever it is, and the next order in
    the strain with it.

    Raises:
        NoAnswer: The stresses are not linear in the strain, contradict each other or the equation of state, or
            the crystal is mechanically unstable.
        Unconverged: A run did not converge.
        CalculationFailed: A run failed.
    """
    components = (0, 3) if spec.is_pure else tuple(range(6))
    strain = float(spec.options["strain"])
    relaxed = bool(spec.options["relax_ions"])
    at_rest = to_voigt(rest.evaluation.stress_GPa)
    columns, curvature = {}, 0.0
    for component in components:
        upper, lower = _stresses(
            calculation, rest, component, strain, spec.options["strain_fmax"] if relaxed else None
        )
        linear = (upper - lower) / 2
        quadratic = (upper + lower) / 2 - at_rest
        curvature = max(
            curvature, float(np.linalg.norm(quadratic) / max(float(np.linalg.norm(linear)), 1e-9))
        )
        columns[component] = linear / strain
    raw = _cubic_from(columns) if spec.is_pure else np.array([columns[k] for k in range(6)]).T
    matrix = (raw + raw.T) / 2
    result = ElasticResult(
        matrix=matrix,
        cubic=cubic_part(matrix),
        averages=moduli(matrix) if np.linalg.matrix_rank(matrix) == 6 else Moduli(0, 0, 0, 0),
        errors={},
        curvature=curvature,
        asymmetry=float(np.linalg.norm(raw - raw.T) / 2 / np.linalg.norm(raw)),
        bulk_of_state=rest.state.bulk_modulus,
        strain=strain,
        ions_relaxed=relaxed,
    )
    _require(result)
    return result if spec.is_pure else _with_errors(result)


def _stresses(
    calculation: Calculation, rest: Equilibrium, component: int, strain: float, fmax: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stresses under plus and minus one strain, each ``(6,)``, GPa."""
    name = _NAMES[component]
    start = rest.atoms.get_scaled_positions(wrap=False)
    found = []
    moved = np.zeros_like(start)
    for sign, word in ((1, "plus"), (-1, "minus")):
        cell = _strained(rest.atoms, component, sign * strain)
        # what the atoms did under the one sign they undo under the other, to first order
        cell.set_scaled_positions(start - moved)
        label = f"strain-{name}-{word}"
        if fmax is None:
            evaluation = calculation.evaluate(cell, label, rest.mesh)
        else:
            cell, evaluation = calculation.relax(cell, label, rest.mesh, fmax)
            moved = cell.get_scaled_positions(wrap=False) - start
        found.append(to_voigt(evaluation.stress_GPa))
    return found[0], found[1]


def _strained(atoms: Atoms, component: int, amplitude: float) -> Atoms:
    strained = atoms.copy()
    deformation = np.eye(3) + strain_matrix(component, amplitude)
    strained.set_cell(np.asarray(atoms.cell) @ deformation.T, scale_atoms=True)
    return strained


def _cubic_from(columns: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The matrix of a cubic crystal from its responses to xx and yz."""
    first, fourth = columns[0], columns[3]
    return cubic_matrix(float(first[0]), float(first[1] + first[2]) / 2, float(fourth[3]))


def _require(result: ElasticResult) -> None:
    unstable = born_violations(result.matrix)
    if unstable:
        raise NoAnswer(f"mechanically unstable at 0 K, so it has no moduli: {', '.join(unstable)}")
    if result.curvature > _MOST_CURVATURE:
        raise NoAnswer(
            f"the stress is not linear in the strain: quadratic part {result.curvature:.0%} of the linear one "
            f"at strain {result.strain:g}"
        )
    if result.asymmetry > _MOST_ASYMMETRY:
        raise NoAnswer(f"C_ij and C_ji differ by {result.asymmetry:.0%}: the stresses are not converged")
    difference = abs(result.averages.bulk / result.bulk_of_state - 1)
    if difference > _MOST_DIFFERENCE:
        raise NoAnswer(
            f"B is {result.averages.bulk:.0f} GPa from stresses and {result.bulk_of_state:.0f} GPa from energies: "
            "the cut-off or the k-mesh is too coarse"
        )


def _with_errors(result: ElasticResult) -> ElasticResult:
    """Three directions of one cell as three samples of the alloy."""
    c11, c12, c44 = result.cubic.errors
    errors = propagated(result.cubic) | {
        "elastic_constant_c11": c11,
        "elastic_constant_c12": c12,
        "elastic_constant_c44": c44,
    }
    return replace(result, errors=errors)

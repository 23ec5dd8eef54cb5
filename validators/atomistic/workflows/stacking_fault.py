"""The unstable stacking-fault energy of {110}<111>: one half of a slab slides over the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.constants import angstrom, electron_volt

from validators.atomistic.slabs import (
    burgers_vector,
    fault_area,
    slab_cut_at,
    slid,
    stacked_planes,
    tilted,
)
from validators.atomistic.structures import (
    RoundedComposition,
    Shell,
    chosen_planes,
    decorate,
    rounded_composition,
)
from validators.atomistic.workflows.calculation import Calculation, NoAnswer

if TYPE_CHECKING:
    from ase import Atoms

    from validators.atomistic.specification import JobSpec

__all__ = ["FaultResult", "expected_faults", "fault_energy"]

J_PER_M2: Final = electron_volt / angstrom**2
"""J/m2 in one eV per square angstrom: 16.02."""


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The energy of the fault along its path.

    Attributes:
        energy: Largest mean energy along the path, J/m2.
        error: Standard error of it from the scatter between the planes; None of one plane.
        lines: Energy per displacement, J/m2, of each plane that was cut, by the plane's index.
        rounding: Composition of the slab; None of a pure element.
        shells: How quasirandom the slab's stack is.
        atoms: Atoms of the slab.
        area: Of its face, square angstrom.
    """

    energy: float
    error: float | None
    lines: dict[int, dict[float, float]]
    rounding: RoundedComposition | None
    shells: tuple[Shell, ...]
    atoms: int
    area: float

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        found: dict[str, Any] = {
            "fault_energies_J_per_m2": {
                str(cut): {f"{u:g}": round(e, 4) for u, e in line.items()} for cut, line in self.lines.items()
            },
            "slab_atoms": self.atoms,
            "fault_area_angstrom2": round(self.area, 4),
        }
        if self.rounding is not None:
            found["slab"] = self.rounding.detail() | {"shells": [shell.detail() for shell in self.shells]}
        return found


def _path(spec: JobSpec) -> list[float]:
    """Displacements to compute: the path of a pure metal is symmetric about its middle."""
    asked = spec.options["displacements"]
    return sorted({round(min(u, 1 - u), 6) if spec.is_pure else u for u in asked})


def _cuts(spec: JobSpec) -> list[int]:
    layers = spec.options["layers"]
    if spec.is_pure:
        return [layers // 2]
    return list(chosen_planes(layers, spec.options["fault_planes"]))


def expected_faults(spec: JobSpec) -> int:
    """Number of runs, beside those of the equilibrium."""
    references = len(_cuts(spec)) if spec.options["vacuum"] > 0 else 1
    return references + len(_cuts(spec)) * len(_path(spec))


def fault_energy(calculation: Calculation, spec: JobSpec, a: float) -> FaultResult:
    """Energies of faults at one lattice parameter.

    The reference is relaxed with all atoms free. In the faulted cell they move along the normal of the plane only
    (free, the halves would slide back), so that of an alloy the value is from above. The value is the largest mean
    along the path: with displacements on both sides of the middle, the maximum is seen and not supposed.

    Args:
        calculation: Runs the engine.
        spec: The job.
        a: Edge of the cube, angstrom.

    Raises:
        NoAnswer: The fault has no positive energy, or the largest is at the end of the sampled path.
        Unconverged: A run did not converge.
        CalculationFailed: A run failed.
        InputError: The composition does not fit into the slab.
    """
    stack, rounding, shells = _stack(spec, a)
    vacuum = float(spec.options["vacuum"])
    area = fault_area(stack)
    lines = {}
    if vacuum > 0:
        for cut in _cuts(spec):
            slab = slab_cut_at(stack, spec.options["layers"], cut, vacuum)
            lines[cut] = _line(calculation, spec, slab, f"cut-{cut}", slid, a)
    else:
        lines = _lines_without_surface(calculation, spec, stack, a)
    path = _path(spec)
    means = {u: float(np.mean([line[u] for line in lines.values()])) for u in path}
    top = max(means, key=lambda u: means[u])
    if means[top] <= 0:
        raise NoAnswer(
            f"the stacking fault has no positive energy ({means[top]:.3f} J/m2): bcc is not stable"
        )
    at_top = [line[top] for line in lines.values()]
    error = float(np.std(at_top, ddof=1)) / math.sqrt(len(at_top)) if len(at_top) > 1 else None
    return FaultResult(means[top], error, lines, rounding, shells, len(stack), area)


def _stack(spec: JobSpec, a: float) -> tuple[Atoms, RoundedComposition | None, tuple[Shell, ...]]:
    layers = spec.options["layers"]
    if spec.is_pure:
        return stacked_planes(a, layers, 1, element=spec.composition.elements[0]), None, ()
    sites = stacked_planes(a, layers, spec.options["columns"])
    rounding = rounded_composition(spec.composition, len(sites))
    rounding.require_within(spec.options["max_rounding"])
    # another stream than the bulk cell's, and the same for every cut
    atoms, shells = decorate(sites, rounding.counts, np.random.default_rng([spec.seed, 1]))
    return atoms, rounding, shells


def _line(
    calculation: Calculation,
    spec: JobSpec,
    reference: Atoms,
    label: str,
    displaced: Any,
    a: float,
) -> dict[float, float]:
    """Energies, J/m2, per displacement, of one reference."""
    mesh = calculation.engine.k_points(reference)
    rest, evaluation = calculation.relax(reference, f"{label}-rest", mesh, spec.options["fmax"])
    return _energies(calculation, spec, rest, evaluation.energy_eV, mesh, label, displaced, a)


def _lines_without_surface(
    calculation: Calculation, spec: JobSpec, stack: Atoms, a: float
) -> dict[int, dict[float, float]]:
    layers = spec.options["layers"]
    mesh = calculation.engine.k_points(stack)
    # relaxed atoms must not change their plane's index by rounding: they stay near their sites
    rest, evaluation = calculation.relax(stack, "stack-rest", mesh, spec.options["fmax"])
    return {
        cut: _energies(
            calculation,
            spec,
            rest,
            evaluation.energy_eV,
            mesh,
            f"cut-{cut}",
            lambda atoms, b, cut=cut: tilted(atoms, layers, cut, b),
            a,
        )
        for cut in _cuts(spec)
    }


def _energies(
    calculation: Calculation,
    spec: JobSpec,
    rest: Atoms,
    energy: float,
    mesh: tuple[int, int, int],
    label: str,
    displaced: Any,
    a: float,
) -> dict[float, float]:
    from ase.constraints import FixedLine

    found = {}
    for u in _path(spec):
        faulted = displaced(rest, u * burgers_vector(a))
        faulted.set_constraint(FixedLine(list(range(len(faulted))), (0, 0, 1)))
        _, evaluation = calculation.relax(faulted, f"{label}-u{u:g}", mesh, spec.options["fmax"])
        found[u] = (evaluation.energy_eV - energy) / fault_area(rest) * J_PER_M2
    return found

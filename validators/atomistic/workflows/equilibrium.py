"""The reference of every other workflow: the cell at the volume of least energy, its atoms relaxed.

An alloy's cell keeps the shape of the cubic lattice, since the alloy is cubic and only the cell's decoration is
not; the stress that this leaves is reported, and taken out of the elastic constants by differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from validators.atomistic.birch_murnaghan import EquationOfState, fit_equation_of_state
from validators.atomistic.structures import (
    QuasirandomCell,
    cube_edge,
    lattice_guess,
    primitive_cell,
    quasirandom_cell,
    rounded_composition,
    scaled_to,
)
from validators.atomistic.workflows.calculation import Calculation, NoAnswer

if TYPE_CHECKING:
    from ase import Atoms

    from validators.atomistic.evaluation import Evaluation
    from validators.atomistic.specification import JobSpec

__all__ = ["Equilibrium", "equilibrium", "expected_runs", "starting_cell", "volume_scan"]

_ROUNDS: Final = 5
_MOST_RESIDUAL: Final = 0.03
"""Of the spread of the energies: above, the energies lie on no smooth curve."""
_DERIVATIVES: Final = (-5.0, 20.0)
"""Of B': solids have 2 to 7, simple potentials worse ones; far outside, noise was fitted."""


@dataclass(frozen=True, slots=True)
class Equilibrium:
    """A cell at rest.

    Attributes:
        atoms: At the equilibrium volume, atoms relaxed.
        evaluation: Its energy, forces and stress.
        state: The equation of state.
        a: Edge of the conventional cube, angstrom.
        a_sigma: Its standard error from the scatter about the equation of state, angstrom.
        mesh: The k-mesh of all runs.
        cell: How quasirandom the cell is; None of a pure element.
    """

    atoms: Atoms
    evaluation: Evaluation
    state: EquationOfState
    a: float
    a_sigma: float | None
    mesh: tuple[int, int, int]
    cell: QuasirandomCell | None

    @property
    def energy_per_atom(self) -> float:
        """EV per atom of the relaxed cell."""
        return self.evaluation.energy_eV / len(self.atoms)

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        stress = self.evaluation.stress_GPa
        return {
            "lattice_parameter_angstrom": round(self.a, 5),
            "equation_of_state": self.state.detail(),
            "energy_eV_per_atom": round(self.energy_per_atom, 6),
            "k_points": list(self.mesh),
            "atoms": len(self.atoms),
            "residual_stress_GPa": np.round(stress, 3).tolist(),
        } | ({} if self.cell is None else {"cell": self.cell.detail()})


def starting_cell(spec: JobSpec) -> tuple[Atoms, QuasirandomCell | None]:
    """The unrelaxed cell of a job, and how quasirandom it is.

    Raises:
        InputError: The composition does not fit into so many atoms, or an element has no known volume.
    """
    if spec.is_pure:
        (element,) = spec.composition.elements
        return primitive_cell(element, spec.lattice, lattice_guess({element: 1}, spec.lattice)), None
    rounding = rounded_composition(spec.composition, spec.atoms)
    rounding.require_within(spec.options["max_rounding"])
    cell = quasirandom_cell(spec.composition, spec.atoms, spec.seed, lattice=spec.lattice)
    return cell.atoms, cell


def expected_runs(spec: JobSpec) -> int:
    """Runs of :func:`equilibrium` if the first sampling of volumes holds the minimum."""
    return int(spec.options["volume_points"]) + (1 if spec.is_pure else 2)


def volume_scan(
    calculation: Calculation,
    atoms: Atoms,
    label: str,
    mesh: tuple[int, int, int],
    *,
    half_width: float,
    points: int,
) -> EquationOfState:
    """Energies of a cell at several volumes, moved until the minimum lies inside, and their equation of state.

    Args:
        calculation: Runs the engine.
        atoms: The cell; its scaled positions stay.
        label: Prefix of the runs' labels.
        mesh: The k-mesh.
        half_width: Of the sampled volumes, as a fraction.
        points: Number of volumes.

    Raises:
        NoAnswer: No minimum was found, or the energies lie on no equation of state.
    """
    centre = atoms.get_volume()
    for attempt in range(_ROUNDS):
        volumes = centre * (1 + np.linspace(-half_width, half_width, points))
        energies = [
            calculation.evaluate(scaled_to(atoms, v), f"{label}-{attempt}-{k}", mesh).energy_eV
            for k, v in enumerate(volumes)
        ]
        state = fit_equation_of_state(volumes.tolist(), energies)
        if state is not None and state.inside:
            return _required(state, label)
        lowest = float(volumes[int(np.argmin(energies))])
        aim = lowest if state is None else state.volume
        # no further than where the next sampling still overlaps with this one
        centre = float(np.clip(aim, centre * (1 - 1.8 * half_width), centre * (1 + 1.8 * half_width)))
        calculation.expected += points
    raise NoAnswer(f"{label}: no minimum of the energy was found in {_ROUNDS} samplings of the volume")


def _required(state: EquationOfState, label: str) -> EquationOfState:
    if state.residual > _MOST_RESIDUAL:
        raise NoAnswer(
            f"{label}: the energies lie {state.residual:.1%} of their spread off the equation of state, "
            f"more than {_MOST_RESIDUAL:.0%}: the cut-off or the k-mesh is too coarse"
        )
    low, high = _DERIVATIVES
    if not low < state.derivative < high:
        raise NoAnswer(
            f"{label}: B' = {state.derivative:.1f} is that of no solid: the energies are not smooth in the volume"
        )
    return state


def equilibrium(calculation: Calculation, spec: JobSpec) -> Equilibrium:
    """Find the cell of least energy of a job's lattice and decoration.

    The atoms are relaxed at the first guess of the volume, the volume is scanned with these scaled positions (how
    they change over some percent of the volume enters the energy to second order), and they are relaxed again at
    the minimum.

    Raises:
        NoAnswer: No minimum.
        Unconverged: A run did not converge.
        CalculationFailed: A run failed.
        InputError: The composition does not fit.
    """
    atoms, cell = starting_cell(spec)
    mesh = calculation.engine.k_points(atoms)
    fmax = spec.options["fmax"]
    if cell is not None:
        atoms, _ = calculation.relax(atoms, "ions-guess", mesh, fmax)
    state = volume_scan(
        calculation,
        atoms,
        "volume",
        mesh,
        half_width=spec.options["volume_strain"],
        points=spec.options["volume_points"],
    )
    # the reference of elastic constants is relaxed as far as the strained cells
    fine = min(fmax, spec.options.get("strain_fmax", fmax))
    atoms, evaluation = calculation.relax(scaled_to(atoms, state.volume), "ions", mesh, fine)
    a = cube_edge(atoms, spec.lattice)
    sigma = None if state.volume_sigma is None else a * state.volume_sigma / (3 * state.volume)
    return Equilibrium(atoms, evaluation, state, a, sigma, mesh, cell)

"""The energy of formation against the pure elements, each computed at the same settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hea_loop.elements import own_structures
from hea_loop.errors import InputError
from validators.atomistic.structures import ATOMS_PER_CUBE, lattice_guess, primitive_cell
from validators.atomistic.workflows.calculation import Calculation, NoAnswer
from validators.atomistic.workflows.equilibrium import Equilibrium, volume_scan

if TYPE_CHECKING:
    from validators.atomistic.specification import JobSpec

__all__ = ["FormationResult", "Reference", "expected_references", "formation_energy", "stable_structure"]

_COMPUTABLE: Final = ("bcc", "fcc", "hcp")
_RATIOS: Final = (1.56, 1.60, 1.64)
"""c/a that are sampled; close-packed metals of the palette have 1.58 to 1.62."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A pure element at rest.

    Attributes:
        structure: ``bcc``, ``fcc`` or ``hcp``.
        energy: EV per atom at the minimum.
        volume: Cubic angstrom per atom.
        c_over_a: Of hcp; None otherwise.
    """

    structure: str
    energy: float
    volume: float
    c_over_a: float | None = None

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "structure": self.structure,
            "energy_eV_per_atom": round(self.energy, 6),
            "volume_angstrom3_per_atom": round(self.volume, 4),
        } | ({} if self.c_over_a is None else {"c_over_a": round(self.c_over_a, 4)})


@dataclass(frozen=True, slots=True)
class FormationResult:
    """Energies of one alloy against its elements.

    Attributes:
        energy: Against the elements in their stable structures, eV per atom.
        on_lattice: Against the elements on the alloy's own lattice, eV per atom: what mixing alone gives.
        references: Stable structures by element.
        on_lattice_references: The alloy's lattice by element.
    """

    energy: float
    on_lattice: float
    references: dict[str, Reference]
    on_lattice_references: dict[str, Reference]

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "mixing_energy_on_lattice_eV_per_atom": round(self.on_lattice, 6),
            "references": {e: r.detail() for e, r in self.references.items()},
            "references_on_lattice": {e: r.detail() for e, r in self.on_lattice_references.items()},
        }


def stable_structure(element: str) -> str:
    """The structure of the element at room temperature, of those that can be computed here.

    Raises:
        InputError: It is of another kind (diamond, A12, a molecule), or unknown.
    """
    # bcc stands first where an element has it at high temperature only (Ti, Zr, Hf): the table names its own
    found = own_structures(element)
    if found and found[0] in _COMPUTABLE:
        return found[0]
    raise InputError(
        "composition",
        element,
        "has no bcc, fcc or hcp structure to take the energy of formation from",
        "leave the element out, or ask for another workflow",
    )


def expected_references(spec: JobSpec) -> int:
    """Number of runs for the references, beside those of the alloy."""
    points = int(spec.options["volume_points"])
    runs = 0
    for element in spec.composition.elements:
        structure = stable_structure(element)
        runs += points if not spec.is_pure else 0
        if structure != spec.lattice:
            runs += points + (len(_RATIOS) if structure == "hcp" else 0)
    return runs


def formation_energy(calculation: Calculation, spec: JobSpec, rest: Equilibrium) -> FormationResult:
    """Energy of the relaxed alloy less that of its elements.

    Raises:
        NoAnswer: A reference has no minimum.
        Unconverged: A run did not converge.
        CalculationFailed: A run failed.
        InputError: An element whose stable structure cannot be computed here.
    """
    elements = spec.composition.elements
    symbols = rest.atoms.get_chemical_symbols()
    share = {e: symbols.count(e) / len(symbols) for e in elements if e in symbols}
    structures = {e: stable_structure(e) for e in share}
    if spec.is_pure:
        own = {elements[0]: Reference(spec.lattice, rest.state.energy, rest.state.volume)}
    else:
        own = {e: _reference(calculation, spec, e, spec.lattice) for e in share}
    stable = {
        e: own[e] if structures[e] == spec.lattice else _reference(calculation, spec, e, structures[e])
        for e in share
    }
    alloy = rest.state.energy if spec.is_pure else rest.energy_per_atom
    return FormationResult(
        energy=alloy - sum(x * stable[e].energy for e, x in share.items()),
        on_lattice=alloy - sum(x * own[e].energy for e, x in share.items()),
        references=stable,
        on_lattice_references=own,
    )


def _reference(calculation: Calculation, spec: JobSpec, element: str, structure: str) -> Reference:
    half_width, points = spec.options["volume_strain"], spec.options["volume_points"]
    label = f"{element}-{structure}"
    if structure != "hcp":
        atoms = primitive_cell(element, structure, lattice_guess({element: 1}, structure))
        mesh = calculation.engine.k_points(atoms)
        state = volume_scan(calculation, atoms, label, mesh, half_width=half_width, points=points)
        return Reference(structure, state.energy, state.volume)
    volume = lattice_guess({element: 1}, "fcc") ** 3 / ATOMS_PER_CUBE["fcc"]
    atoms = _hexagonal(element, volume, _RATIOS[1])
    mesh = calculation.engine.k_points(atoms)
    state = volume_scan(calculation, atoms, label, mesh, half_width=half_width, points=points)
    energies = [
        calculation.evaluate(
            _hexagonal(element, state.volume / 2, ratio), f"{label}-c{ratio:g}", mesh
        ).energy_eV
        for ratio in _RATIOS
    ]
    curve = np.polynomial.Polynomial.fit(_RATIOS, energies, 2).convert()
    if curve.coef[2] <= 0:
        raise NoAnswer(f"{label}: no minimum of the energy in c/a from {_RATIOS[0]} to {_RATIOS[-1]}")
    best = float(-curve.coef[1] / (2 * curve.coef[2]))
    if not _RATIOS[0] - 0.02 <= best <= _RATIOS[-1] + 0.02:
        raise NoAnswer(f"{label}: c/a = {best:.3f} lies outside of what was sampled")
    gain = float(curve(best)) - energies[1]
    return Reference("hcp", (state.energy + gain) / 2, state.volume / 2, best)


def _hexagonal(element: str, volume: float, c_over_a: float) -> Any:
    """The hcp cell with this volume per atom, cubic angstrom."""
    a = (2 * volume / (3**0.5 / 2 * c_over_a)) ** (1 / 3)
    return primitive_cell(element, "hcp", a, c_over_a)

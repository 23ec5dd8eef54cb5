"""Cheap codes behind the real engine: potentials, one that never converges, one that breaks."""

from __future__ import annotations

import ase.units
from ase.calculators.lj import LennardJones
from finnis_sinclair import FinnisSinclair

from validators.atomistic.calculators.code import Code
from validators.atomistic.engine import Engine
from validators.atomistic.evaluation import CalculationFailed, Evaluation, Unconverged


class PotentialCode(Code):
    """An ASE potential as a code; ``element`` makes every atom one of that kind."""

    name = "potential"

    def __init__(self, make, element=None):
        self.make = make
        self.element = element
        self.settings = {"potential": repr(make), "element": element}
        self.method = "a potential"

    def run(self, atoms, directory, rung, k_points):  # noqa: ARG002 - a potential needs no more
        atoms = atoms.copy()
        if self.element:
            atoms.set_chemical_symbols([self.element] * len(atoms))
        atoms.calc = self.make()
        energy = atoms.get_potential_energy()
        return Evaluation(
            energy_eV=energy,
            free_energy_eV=energy,
            forces_eV_A=atoms.get_forces(apply_constraint=False),
            stress_GPa=atoms.get_stress(voigt=False) / ase.units.GPa,
        )


class TroubledCode(PotentialCode):
    """Does as the potential until the run of this number, which goes wrong."""

    def __init__(self, make, at, error):
        super().__init__(make)
        self.left, self.error = at, error

    def run(self, atoms, directory, rung, k_points):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().run(atoms, directory, rung, k_points)


def finnis_sinclair(directory, element=None):
    return Engine(PotentialCode(FinnisSinclair, element), directory)


def never_converging(directory, at=0):
    return Engine(TroubledCode(FinnisSinclair, at, Unconverged("no self-consistency")), directory)


def breaking(directory, at=0):
    return Engine(TroubledCode(FinnisSinclair, at, CalculationFailed("segmentation fault")), directory)


def lennard_jones(directory, sigma):
    return Engine(
        PotentialCode(lambda: LennardJones(sigma=sigma, epsilon=0.1, rc=4 * sigma, smooth=True)), directory
    )

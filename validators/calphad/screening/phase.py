"""The Gibbs energy of one phase over arrays of site fractions and temperatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.screening.model import PhaseTerms

__all__ = ["GAS_CONSTANT", "MIN_FRACTION", "Coefficients", "VectorPhase"]

Array = NDArray[np.float64]

GAS_CONSTANT: Final = 8.3145
"""J/(mol K), pycalphad's own value: both tiers must describe the same surface (CODATA is 8.314463)."""
MIN_FRACTION: Final = 1e-14
"""Smallest site fraction: what lies below weighs less than 1e-8 J/mol."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """All that depends on temperature, for ``n`` points.

    Attributes:
        RT: ``(n,)``, J/mol.
        T: ``(n,)``, K.
        energy: Coefficients of the energy.
        curie: Of the Curie temperature.
        moment: Of the magnetic moment.
    """

    RT: Array
    T: Array
    energy: list[Array]
    curie: list[Array]
    moment: list[Array]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Coefficients:
        """For a choice of the points, repetition allowed."""
        return Coefficients(
            self.RT[which],
            self.T[which],
            *(
                [np.ascontiguousarray(c[:, which]) for c in part]
                for part in (self.energy, self.curie, self.moment)
            ),
        )


class VectorPhase:
    """One phase for one set of elements; site fractions are ``(dof, n)``, energies J per formula unit.

    Args:
        terms: From :meth:`validators.calphad.screening.model.Translation.terms`.
        elements: The elements, upper case, in the order of all composition arrays.
    """

    def __init__(self, terms: PhaseTerms, elements: tuple[str, ...]) -> None:
        self.name = terms.name
        self.dof = terms.dof
        self.mixing = terms.mixing
        self._terms = terms
        count = len(elements)
        self.atoms = np.zeros((count, self.dof))
        self.fixed_atoms = np.zeros((count, 1))
        for k, element in enumerate(elements):
            self.fixed_atoms[k] = terms.fixed.get(element, 0.0)
            for sublattice in terms.mixing:
                if element in sublattice.constituents:
                    self.atoms[k, sublattice.start + sublattice.constituents.index(element)] = (
                        sublattice.sites
                    )
        # sites that a site fraction stands on: the weight of its ideal entropy
        self.sites = np.concatenate(
            [np.full(len(s.constituents), s.sites) for s in terms.mixing] or [np.zeros(0)]
        )[:, None]
        self.membership = np.zeros((len(terms.mixing), self.dof))
        for k, sublattice in enumerate(terms.mixing):
            self.membership[k, sublattice.start : sublattice.stop] = 1.0

    @property
    def substitutional(self) -> bool:
        """One mixing sublattice of all the elements and no vacancy: its fractions are the composition."""
        return (
            len(self.mixing) == 1
            and not self.fixed_atoms.any()
            and "VA" not in self.mixing[0].constituents
            and self.dof == len(self.atoms)
        )

    def pycalphad_order(self, y: Array) -> tuple[float, ...]:
        """Site fractions ``(dof,)`` as pycalphad writes them: constituents that are alone included, as 1."""
        values: list[float] = []
        for part in self._terms.layout:
            values += [1.0] if part is None else [float(f) for f in y[part.start : part.stop]]
        return tuple(values)

    def coefficients(self, temperatures_K: Array, table: Array) -> Coefficients:
        """For points at these temperatures, ``(n,)``, and the parameters there, ``(parameters, n)``."""
        t = self._terms
        return Coefficients(
            GAS_CONSTANT * temperatures_K,
            temperatures_K,
            t.energy.coefficients(table),
            [] if t.curie is None else t.curie.coefficients(table),
            [] if t.moment is None else t.moment.coefficients(table),
        )

    def amounts(self, y: Array) -> Array:
        """Moles of each element per formula unit, ``(elements, n)``."""
        result: Array = self.atoms @ y + self.fixed_atoms
        return result

    def excess(self, y: Array, at: Coefficients) -> tuple[Array, Array]:
        """Energy without the ideal entropy, ``(n,)``, and its gradient, ``(dof, n)``; J per formula unit."""
        value, gradient = self._terms.energy.evaluate(y, at.energy)
        if self._terms.curie is not None and self._terms.moment is not None:
            curie, d_curie = self._terms.curie.evaluate(y, at.curie)
            moment, d_moment = self._terms.moment.evaluate(y, at.moment)
            magnetic = _magnetic(curie, moment, at.T, self._terms.afm_factor, self._terms.structure_factor)
            value += at.RT * magnetic[0]
            gradient += at.RT * (magnetic[1] * d_curie + magnetic[2] * d_moment)
        return value, gradient

    def curvature(self, y: Array, at: Coefficients) -> Array:
        """Second derivatives without the ideal entropy, ``(n, dof, dof)``; J per formula unit."""
        result = self._terms.energy.hessian(y, at.energy)
        t = self._terms
        if t.curie is not None and t.moment is not None:
            curie, dc = t.curie.evaluate(y, at.curie)
            moment, dm = t.moment.evaluate(y, at.moment)
            _, by_c, by_m, by_cc, by_cm, by_mm = _magnetic(
                curie, moment, at.T, t.afm_factor, t.structure_factor
            )
            second = by_cc * dc[:, None] * dc[None] + by_mm * dm[:, None] * dm[None]
            second += by_cm * (dc[:, None] * dm[None] + dm[:, None] * dc[None])
            second += by_c * t.curie.hessian(y, at.curie) + by_m * t.moment.hessian(y, at.moment)
            result += at.RT * second
        return np.ascontiguousarray(result.transpose(2, 0, 1))

    def energy(self, y: Array, at: Coefficients) -> tuple[Array, Array]:
        """Gibbs energy, ``(n,)``, and its gradient, ``(dof, n)``; J per mole of formula units."""
        value, gradient = self.excess(y, at)
        logarithm = np.log(np.maximum(y, MIN_FRACTION))
        value += at.RT * (self.sites * y * logarithm).sum(axis=0)
        gradient += at.RT * self.sites * (logarithm + 1.0)
        return value, gradient

    def potentials(self, x: Array, at: Coefficients) -> tuple[Array, Array]:
        """Energy per mole of atoms, ``(n,)``, and chemical potentials, ``(elements, n)``, at ``(elements, n)``.

        Raises:
            ValueError: The phase is not substitutional, so a composition does not fix its site fractions.
        """
        if not self.substitutional:
            raise ValueError(f"{self.name} is not a substitutional solution")
        value, gradient = self.energy(x, at)
        sites = self.mixing[0].sites
        return value / sites, (value + gradient - (x * gradient).sum(axis=0)) / sites


def _magnetic(
    curie: Array, moment: Array, T: Array, afm_factor: float, p: float
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Energy of magnetic ordering over RT with first and second derivatives (Inden-Hillert-Jarl).

    Hillert and Jarl, Calphad 2 (1978) 227, doi 10.1016/0364-5916(78)90011-1, in s = Tc/T.

    Returns:
        Value; derivatives by Curie temperature and by moment; second by the one, mixed, and by the other.
    """
    by_curie = np.where(curie > 0, 1.0, 1.0 / afm_factor)
    by_moment = np.where(moment > 0, 1.0, 1.0 / afm_factor)
    beta = moment * by_moment
    s = np.maximum((curie * by_curie + 1e-9) / T, 1e-12)
    a = 518 / 1125 + (11692 / 15975) * (1 / p - 1)
    c = (474 / 497) * (1 / p - 1)
    b = 79 / (140 * p)
    low = s < 1.0  # above the Curie temperature
    hot, cold = np.where(low, s, 0.5), np.where(low, 2.0, s)
    g = np.where(
        low,
        -(hot**5 / 10 + hot**15 / 315 + hot**25 / 1500) / a,
        1 - (b * cold + c * (cold**-3 / 6 + cold**-9 / 135 + cold**-15 / 600)) / a,
    )
    g1 = np.where(
        low,
        -(hot**4 / 2 + hot**14 / 21 + hot**24 / 60) / a,
        -(b - c * (cold**-4 / 2 + cold**-10 / 15 + cold**-16 / 40)) / a,
    )
    g2 = np.where(
        low,
        -(2 * hot**3 + 2 * hot**13 / 3 + 2 * hot**23 / 5) / a,
        -c * (2 * cold**-5 + 2 * cold**-11 / 3 + 2 * cold**-17 / 5) / a,
    )
    slope = np.where(curie == 0, 0.0, by_curie) / T
    logarithm = np.log(beta + 1.0)
    of_moment = by_moment / (beta + 1.0)
    return (
        logarithm * g,
        logarithm * g1 * slope,
        of_moment * g,
        logarithm * g2 * slope**2,
        of_moment * g1 * slope,
        -(of_moment**2) * g,
    )

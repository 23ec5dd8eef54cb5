"""Gibbs energies of phases over arrays of site fractions and temperatures.

A :class:`Family` holds phases of the same shape (the same sublattices with as many constituents) of many alloys
of different elements: what differs between them are coefficients, and which element a site fraction is of.
So one call works on bcc of all quinary alloys, or on the three Laves types of those that divide alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.screening.model import PhaseTerms, Sublattice, Terms
from validators.calphad.screening.polynomial import Polynomial, Product

__all__ = ["GAS_CONSTANT", "MIN_FRACTION", "Coefficients", "Family", "Member", "Shape", "Vocabulary"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

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
        energy: ``(terms, n)`` coefficients of the energy.
        curie: Of the Curie temperature.
        moment: Of the magnetic moment.
    """

    RT: Array
    T: Array
    energy: Array
    curie: Array
    moment: Array

    def take(self, which: Index) -> Coefficients:
        """For a choice of the points, repetition allowed."""
        return Coefficients(
            self.RT[which],
            self.T[which],
            *(np.take(part, which, axis=1) for part in (self.energy, self.curie, self.moment)),
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """What phases share that are worked on together.

    Attributes:
        sublattices: Sites and number of constituents of each sublattice on which several mix.
        magnetic: The factor and the p of the magnetic model; None without one.
        role: ``parent`` for the phase that has to be alone, ``liquid``, or ``solid``.
    """

    sublattices: tuple[tuple[float, int], ...]
    magnetic: tuple[float, float] | None
    role: str


class Vocabulary:
    """Numbers for the products of linear forms that the models of a database are made of."""

    def __init__(self) -> None:
        self._number: dict[Product, int] = {}
        self._products: list[Product] = []
        self._polynomials: dict[tuple[int, bytes], Polynomial] = {}

    def numbers(self, products: Sequence[Product]) -> Index:
        """The number of each product, a new one if need be."""
        out = np.empty(len(products), dtype=np.intp)
        for k, product in enumerate(products):
            if product not in self._number:
                self._number[product] = len(self._products)
                self._products.append(product)
            out[k] = self._number[product]
        return out

    def polynomial(self, numbers: Index, dof: int) -> Polynomial:
        """The polynomial with these terms."""
        key = (dof, numbers.tobytes())
        if key not in self._polynomials:
            self._polynomials[key] = Polynomial([self._products[k] for k in numbers], dof)
        return self._polynomials[key]

    def __len__(self) -> int:
        return len(self._products)


class _Rows:
    """For each term of a quantity the rows of the parameter table that make its coefficient."""

    def __init__(self, terms: Terms, vocabulary: Vocabulary) -> None:
        self.numbers = vocabulary.numbers(list(terms))
        deepest = max((len(rows) for rows in terms.values()), default=1)
        self.rows = np.full((deepest, len(terms)), -1, dtype=np.intp)  # the last row of a table is zero
        self.signs = np.ones((deepest, len(terms)))
        for k, rows in enumerate(terms.values()):
            for layer, (row, sign) in enumerate(rows):
                self.rows[layer, k] = row
                self.signs[layer, k] = sign


class _Quantity:
    """One quantity of several phases: the union of their terms."""

    def __init__(self, members: Sequence[_Rows], vocabulary: Vocabulary, dof: int) -> None:
        numbers = np.unique(np.concatenate([m.numbers for m in members]))
        self.polynomial = vocabulary.polynomial(numbers, dof)
        place = np.full(len(vocabulary), -1)
        place[numbers] = self.polynomial.places
        deepest = max((len(m.rows) for m in members), default=1)
        rows = np.full((deepest, self.polynomial.rows, len(members)), -1, dtype=np.intp)
        signs = np.ones(rows.shape)
        for k, m in enumerate(members):
            where = place[m.numbers]
            rows[: len(m.rows), where, k] = m.rows
            signs[: len(m.rows), where, k] = m.signs
        self._rows, self._signs = rows[0], None if (signs[0] == 1.0).all() else signs[0]
        # where several parameters make one coefficient
        self._further: list[tuple[Index, Index, Array]] = []
        for layer in range(1, deepest):
            used = np.flatnonzero((rows[layer] >= 0).any(axis=1))
            self._further.append((used, rows[layer, used], signs[layer, used]))

    def coefficients(self, table: Array, member: Index, column: Index) -> Array:
        """``(rows, k)`` of entries that are these members at these columns of the table."""
        result: Array = table[self._rows[:, member], column]
        if self._signs is not None:
            result *= self._signs[:, member]
        for used, rows, signs in self._further:
            result[used] += table[rows[:, member], column] * signs[:, member]
        return result


class Member:
    """One phase for one set of elements.

    Args:
        terms: From :meth:`validators.calphad.screening.model.Translation.terms`.
        elements: The elements, upper case, in the order of all composition arrays.
        role: As of :class:`Shape`.
        vocabulary: That of its database.
    """

    def __init__(
        self, terms: PhaseTerms, elements: tuple[str, ...], role: str, vocabulary: Vocabulary
    ) -> None:
        self.name = terms.name
        magnetic = (terms.afm_factor, terms.structure_factor) if terms.curie else None
        self.shape = Shape(
            tuple((s.sites, len(s.constituents)) for s in terms.mixing),
            # bcc of all alloys is worked on at once, with Cr or without
            (terms.afm_factor, terms.structure_factor) if role == "parent" else magnetic,
            role,
        )
        self.dof = terms.dof
        code = {e: k for k, e in enumerate(elements)} | {"VA": len(elements)}
        self.element = np.array([code[c] for s in terms.mixing for c in s.constituents], dtype=np.intp)
        self.fixed = np.array([terms.fixed.get(e, 0.0) for e in elements])
        self.layout = terms.layout
        self.quantities = [_Rows(part, vocabulary) for part in (terms.energy, terms.curie, terms.moment)]

    @property
    def substitutional(self) -> bool:
        """One mixing sublattice of all the elements and no vacancy: its fractions are the composition."""
        return (
            len(self.shape.sublattices) == 1
            and not self.fixed.any()
            and np.array_equal(self.element, np.arange(len(self.fixed)))
        )

    def pycalphad_order(self, y: Array) -> tuple[float, ...]:
        """Site fractions ``(dof,)`` as pycalphad writes them: constituents that are alone included, as 1."""
        values: list[float] = []
        for part in self.layout:
            values += [1.0] if part is None else [float(f) for f in y[part.start : part.stop]]
        return tuple(values)


class Family:
    """Phases of one shape, as ``k`` entries, each of one alloy; site fractions are ``(dof, n)``.

    Args:
        members: The phases, each for its set of elements.
        member: ``(k,)`` which of them an entry is.
        alloy: ``(k,)`` its alloy.
        vocabulary: That of the database.
    """

    def __init__(
        self, members: Sequence[Member], member: Index, alloy: Index, vocabulary: Vocabulary
    ) -> None:
        self.members = members
        self.member = member
        self.alloy = alloy
        shape = members[0].shape
        self.role = shape.role
        self._magnetic_model = shape.magnetic
        self.dof = members[0].dof
        self.mixing: list[Sublattice] = []
        for sites, count in shape.sublattices:
            start = self.mixing[-1].stop if self.mixing else 0
            self.mixing.append(Sublattice(sites, ("",) * count, start))
        # sites that a site fraction stands on: the weight of its ideal entropy
        self.sites = np.array([s.sites for s in self.mixing for _ in s.constituents]).reshape(-1, 1)
        self.membership = np.zeros((len(self.mixing), self.dof))
        for k, sublattice in enumerate(self.mixing):
            self.membership[k, sublattice.start : sublattice.stop] = 1.0
        self.substitutional = all(m.substitutional for m in members)
        self._element = np.array([m.element for m in members]).reshape(len(members), self.dof).T
        self._fixed = np.array([m.fixed for m in members]).T
        self._energy, self._curie, self._moment = (
            _Quantity([m.quantities[q] for m in members], vocabulary, self.dof) for q in range(3)
        )
        self.magnetic = not (self._curie.polynomial.empty or self._moment.polynomial.empty)

    def take(self, where: Index) -> Family:
        """The entries of a choice of alloys; ``where`` is the new number of each alloy, -1 for the others."""
        new = object.__new__(Family)
        new.__dict__.update(self.__dict__)
        moved = where[self.alloy]
        order = np.flatnonzero(moved >= 0)
        order = order[np.argsort(moved[order], kind="stable")]
        new.alloy = moved[order]
        new.member = self.member[order]
        return new

    def entry(self, number: int) -> Family:
        """One entry by itself, as of a single alloy."""
        new = object.__new__(Family)
        new.__dict__.update(self.__dict__)
        new.alloy = np.zeros(1, dtype=np.intp)
        new.member = self.member[[number]]
        return new

    def coefficients(self, temperatures_K: Array, table: Array, column: Index) -> Coefficients:
        """Of the entries.

        Args:
            temperatures_K: ``(alloys,)``.
            table: ``(parameters + 1, t)``, see :class:`TemperatureProgram`.
            column: ``(alloys,)`` the column of the table for each alloy.
        """
        T = temperatures_K[self.alloy]
        column = column[self.alloy]
        none = np.zeros((0, len(T)))
        return Coefficients(
            GAS_CONSTANT * T,
            T,
            self._energy.coefficients(table, self.member, column),
            self._curie.coefficients(table, self.member, column) if self.magnetic else none,
            self._moment.coefficients(table, self.member, column) if self.magnetic else none,
        )

    def slope(self, mu: Array) -> tuple[Array, Array]:
        """What a tangent plane takes from the energy: by site fraction ``(dof, k)``, and as a constant ``(k,)``.

        Args:
            mu: ``(elements, alloys)`` chemical potentials, J/mol.
        """
        here = mu[:, self.alloy]
        if self.substitutional:
            return -(self.sites * here), np.zeros(len(self.alloy))
        fixed = (self._fixed[:, self.member] * here).sum(axis=0)
        here = np.vstack([here, np.zeros((1, here.shape[1]))])  # of a vacancy
        places = np.arange(here.shape[1])
        return -(self.sites * here[self._element[:, self.member], places]), fixed

    def amounts(self, y: Array, entry: Index) -> Array:
        """Moles of each element per formula unit, ``(elements, n)``, of points of these entries."""
        if self.substitutional:
            result: Array = self.sites * y
            return result
        member = self.member[entry]
        result = np.vstack([self._fixed[:, member], np.zeros((1, len(entry)))])
        places = np.arange(len(entry))
        for i in range(self.dof):
            result[self._element[i, member], places] += self.sites[i] * y[i]
        return result[:-1]

    def atoms(self, entry: Index) -> Array:
        """Moles of each element per site fraction, ``(n, elements, dof)``."""
        member = self.member[entry]
        result = np.zeros((len(entry), len(self._fixed) + 1, self.dof))
        places = np.arange(len(entry))
        for i in range(self.dof):
            result[places, self._element[i, member], i] = self.sites[i]
        return result[:, :-1]

    def excess(self, y: Array, at: Coefficients) -> tuple[Array, Array]:
        """Energy without the ideal entropy, ``(n,)``, and its gradient, ``(dof, n)``; J per formula unit."""
        value, gradient = self._energy.polynomial.evaluate(y, at.energy)
        if self.magnetic and self._magnetic_model is not None:
            curie, d_curie = self._curie.polynomial.evaluate(y, at.curie)
            moment, d_moment = self._moment.polynomial.evaluate(y, at.moment)
            magnetic = _magnetic(curie, moment, at.T, *self._magnetic_model)
            value += at.RT * magnetic[0]
            gradient += at.RT * (magnetic[1] * d_curie + magnetic[2] * d_moment)
        return value, gradient

    def curvature(self, y: Array, at: Coefficients) -> Array:
        """Second derivatives without the ideal entropy, ``(n, dof, dof)``; J per formula unit."""
        result = self._energy.polynomial.hessian(y, at.energy)
        if self.magnetic and self._magnetic_model is not None:
            curie, dc = self._curie.polynomial.evaluate(y, at.curie)
            moment, dm = self._moment.polynomial.evaluate(y, at.moment)
            _, by_c, by_m, by_cc, by_cm, by_mm = _magnetic(curie, moment, at.T, *self._magnetic_model)
            second = by_cc * dc[:, None] * dc[None] + by_mm * dm[:, None] * dm[None]
            second += by_cm * (dc[:, None] * dm[None] + dm[:, None] * dc[None])
            second += by_c * self._curie.polynomial.hessian(y, at.curie)
            second += by_m * self._moment.polynomial.hessian(y, at.moment)
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
        if not self.dof:  # an element: nothing to mix
            energy = self.excess(np.zeros((0, x.shape[1])), at)[0] / self._fixed[:, self.member].sum(axis=0)
            return energy, energy[None]
        if not self.substitutional:
            raise ValueError(f"{self.members[0].name} is not a substitutional solution")
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

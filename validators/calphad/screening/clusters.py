"""Newton's method on the compositions and amounts of the phases of an assemblage, for many alloys at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.screening.batch import Batch
from validators.calphad.screening.phase import MIN_FRACTION, Coefficients, Family

__all__ = ["Clusters"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_PRESENT: Final = 1e-9
_ITERATIONS: Final = 12
_RIDGE: Final = 1e-7  # of the potentials, in units of 1/RT: where phases fix them only weakly, they stay


class Clusters:
    """Phases of ``n`` alloys in ``c`` slots each: points of one basin of one phase joined to one.

    Args:
        batch: The alloys.
        among: Which of its families may form.
        coefficients: Of every family of the batch.
        phases: ``(n, c)`` number of the phase in each slot, in the names of the batch.
        fractions: ``(n, c)`` moles of atoms in each slot.
        y: ``(n, c, width)`` site fractions, filled up with zeros.
    """

    def __init__(
        self,
        batch: Batch,
        among: Sequence[int],
        coefficients: Sequence[Coefficients],
        phases: Index,
        fractions: Array,
        y: Array,
    ) -> None:
        self._families = [(batch.families[k], coefficients[k]) for k in among]
        self._x = batch.x
        # (alloys, names): which entry of which family a phase of an alloy is
        self._family = np.full((batch.x.shape[1], len(batch.names)), -1)
        self._entry = np.zeros(self._family.shape, dtype=np.intp)
        for place, k in enumerate(among):
            family, numbers = batch.families[k], batch.numbers[k]
            self._family[family.alloy, numbers] = place
            self._entry[family.alloy, numbers] = np.arange(len(numbers))
        self._RT = coefficients[0].RT
        self.number = phases.copy()
        self.y = y.copy()
        self.amount = np.where(fractions > _PRESENT, fractions, 0.0)
        self._join()
        for family, _, alloy, slot, entry in self._members():
            atoms = family.amounts(self._points(family, alloy, slot), entry).sum(axis=0)
            self.amount[alloy, slot] /= atoms  # from here on in moles of formula units

    def _members(self) -> Iterator[tuple[Family, Coefficients, Index, Index, Index]]:
        """For each family the alloys and slots that it is in, and its entries there."""
        alloys = np.arange(len(self.number))[:, None]
        of_slot = np.where(self.amount > 0, self._family[alloys, self.number], -1)
        for k, (family, at) in enumerate(self._families):
            alloy, slot = np.nonzero(of_slot == k)
            if len(alloy):
                yield family, at, alloy, slot, self._entry[alloy, self.number[alloy, slot]]

    def _points(self, family: Family, alloy: Index, slot: Index) -> Array:
        return np.maximum(self.y[alloy, slot, : family.dof].T, MIN_FRACTION)

    def fractions(self) -> Array:
        """Moles of atoms in each slot, ``(n, c)``."""
        result = np.zeros_like(self.amount)
        for family, _, alloy, slot, entry in self._members():
            atoms = family.amounts(self._points(family, alloy, slot), entry).sum(axis=0)
            result[alloy, slot] = self.amount[alloy, slot] * atoms
        return result

    def _join(self) -> None:
        """Join points of one phase where the energy half way is no higher than the mean of both ends."""
        slots = self.amount.shape[1]
        for i in range(slots):
            for j in range(i + 1, slots):
                both = (self.amount[:, i] > 0) & (self.amount[:, j] > 0)
                both &= self.number[:, i] == self.number[:, j]
                place = self._family[np.arange(len(both)), self.number[:, i]]
                for k, (family, every) in enumerate(self._families):
                    who = np.flatnonzero(both & (place == k))
                    if family.dof and len(who):
                        at = every.take(self._entry[who, self.number[who, i]])
                        ends = [self._points(family, who, np.full(len(who), s)) for s in (i, j)]
                        mean = (family.energy(ends[0], at)[0] + family.energy(ends[1], at)[0]) / 2
                        half = family.energy((ends[0] + ends[1]) / 2, at)[0]
                        who = who[half <= mean + 1e-6]
                    total = self.amount[who, i] + self.amount[who, j]
                    share = (self.amount[who, i] / total)[:, None]
                    self.y[who, i] = share * self.y[who, i] + (1 - share) * self.y[who, j]
                    self.amount[who, i] = total
                    self.amount[who, j] = 0.0

    def refine(self, plane: Array) -> Array:
        """Chemical potentials ``(c, n)`` of the equilibrium of these phases, J/mol; NaN where it is lost.

        Args:
            plane: ``(c, n)`` first potentials.
        """
        mu = plane.copy()
        for _ in range(_ITERATIONS):
            mu, largest = self._step(mu)
            if largest < 1e-6:
                break
        return mu

    def _step(self, mu: Array) -> tuple[Array, float]:
        c, n = mu.shape
        slots = self.amount.shape[1]
        RT = self._RT
        matrix = np.zeros((n, c + slots, c + slots))
        right = np.zeros((n, c + slots, 1))
        right[:, :c, 0] = self._x.T
        diagonal = np.arange(c)
        # proximal: (S + ridge) mu_new = ... + ridge mu_old; potentials in units of RT
        matrix[:, diagonal, diagonal] += _RIDGE
        right[:, :c, 0] += _RIDGE * (mu / RT).T
        responses = []
        for family, every, alloy, slot, entry in self._members():
            at = every.take(entry)
            y = self._points(family, alloy, slot)
            energy, gradient = (
                family.energy(y, at) if family.dof else (family.excess(y, at)[0], np.zeros((0, len(alloy))))
            )
            moles, atoms = family.amounts(y, entry), family.atoms(entry)
            response = _response(family, at, y)  # (k, dof, dof), times RT
            amount = self.amount[alloy, slot]
            towards = response @ atoms.transpose(0, 2, 1)  # (k, dof, c)
            drift = (response @ (gradient / at.RT).T[:, :, None])[:, :, 0]  # what y does at mu = 0
            np.add.at(matrix[:, :c, :c], alloy, amount[:, None, None] * (atoms @ towards))
            moved = (atoms @ drift[:, :, None])[:, :, 0]
            np.add.at(right[:, :c, 0], alloy, -amount[:, None] * (moles.T - moved))
            matrix[alloy, :c, c + slot] = moles.T
            matrix[alloy, c + slot, :c] = moles.T
            matrix[alloy, c + slot, c + slot] = -1e-12
            right[alloy, c + slot, 0] = energy / at.RT
            responses.append((family, alloy, slot, y, towards, drift))
        empty_alloy, empty_slot = np.nonzero(self.amount <= 0)
        matrix[empty_alloy, c + empty_slot, c + empty_slot] = 1.0
        try:
            solution = np.linalg.solve(matrix, right)[:, :, 0]
        except np.linalg.LinAlgError:
            return np.full_like(mu, np.nan), 0.0
        reduced = solution[:, :c]
        largest = 0.0
        for phase, alloy, slot, y, towards, drift in responses:
            if not phase.dof:
                continue
            change = ((towards @ reduced[alloy][:, :, None])[:, :, 0] - drift).T
            change = np.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)
            shrink = np.minimum(1.0, 0.9 / np.maximum((-change / y).max(axis=0), 0.9))
            shrink = np.minimum(shrink, 0.25 / np.maximum(np.abs(change).max(axis=0), 0.25))
            self.y[alloy, slot, : phase.dof] = np.maximum(y + shrink * change, MIN_FRACTION).T
            largest = max(largest, float(np.abs(change).max(initial=0.0)))
        step = np.nan_to_num(solution[:, c:], nan=0.0)
        amounts = np.where(self.amount > 0, self.amount + step, 0.0)
        # a phase whose amount turns negative goes, unless it is the largest
        keep = amounts == amounts.max(axis=1, keepdims=True)
        self.amount = np.where(amounts > 0, amounts, np.where(keep & (self.amount > 0), self.amount, 0.0))
        return (reduced * RT[:, None]).T, largest


def _response(phase: Family, at: Coefficients, y: Array) -> Array:
    """How site fractions answer to a slope: the inverse curvature within the sublattices, times RT."""
    count, constraints = phase.dof, len(phase.mixing)
    if not count:
        return np.zeros((y.shape[1], 0, 0))
    root = np.sqrt(y).T  # (k, dof)
    matrix = np.zeros((y.shape[1], count + constraints, count + constraints))
    curvature = phase.curvature(y, at) / at.RT[:, None, None]
    matrix[:, :count, :count] = curvature * (root[:, :, None] * root[:, None, :])
    diagonal = np.arange(count)
    matrix[:, diagonal, diagonal] += phase.sites[:, 0]
    border = phase.membership[None] * root[:, None, :]
    matrix[:, count:, :count] = border
    matrix[:, :count, count:] = border.transpose(0, 2, 1)
    try:
        inverse = np.linalg.inv(matrix)[:, :count, :count]
    except np.linalg.LinAlgError:
        return np.zeros((y.shape[1], count, count))
    result: Array = inverse * (root[:, :, None] * root[:, None, :])
    return result

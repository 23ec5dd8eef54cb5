"""Stable phases of points of one set of elements, by the screening tier's arrays.

Column generation over all phases, the liquid included (:mod:`validators.calphad.screening.assemblage`). Where it
does not close, a phase being left below the plane by more than screening's own tolerance, Newton's method begins
again at what was found at neighbouring points, which follows a miscibility gap up to its top.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import BCC, PRESENT_ABOVE, PhaseEntry, PhaseEquilibrium
from validators.calphad.screening.assemblage import Assemblage, stable_assemblage
from validators.calphad.screening.batch import Batch, batches, minima, softest
from validators.calphad.screening.clusters import Clusters
from validators.calphad.screening.phase import Member
from validators.calphad.screening.stability import TOLERANCE_J
from validators.calphad.screening.system import translated
from validators.calphad.systems import StartingPoint
from validators.outcome import OutcomeStatus

__all__ = ["SystemPoints"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_SAME_PHASE: Final = 1e-3  # as in validators.calphad.equilibrium: entries closer than that are one
_DIGITS: Final = 6
_BALANCE: Final = 1e-5  # atoms per atom
_NEIGHBOURS: Final = 3
"""Settled points of lower and of higher temperature that an open one begins again from."""

_NEAR_K: Final = 150.0
_WIDTHS: Final = (1.0, 0.7, 0.45, 0.25)  # of a neighbour's miscibility gap to begin at
_LEAST: Final = 1e-6  # atomic fraction at which a curvature is still finite
_KELVIN_PER_FRACTION: Final = 1000.0  # how far neighbours are: 10 K is as far as 1 at.%


class _Atoms:
    """Moles of atoms in a phase, from its site fractions."""

    def __init__(self, member: Member, count: int) -> None:
        self.member = member
        sites = np.array([s for s, size in member.shape.sublattices for _ in range(size)])
        weights = np.zeros((count + 1, member.dof))  # the last row is the vacancy's
        weights[member.element, np.arange(member.dof)] = sites
        self._weights = weights[:-1]

    def composition(self, y: Array) -> Array:
        """Atomic fractions ``(c, n)`` at site fractions ``(dof, n)``."""
        moles = self.member.fixed[:, None] + self._weights @ y
        result: Array = moles / moles.sum(axis=0)
        return result


class SystemPoints:
    """Points of one set of elements; what is settled is a start for those asked for later.

    Args:
        database: From :func:`validators.calphad.load_database`.
        elements: In alphabetical order.

    Raises:
        NotVectorisable: Screening has no arrays for the database.
    """

    def __init__(self, database: CalphadDatabase, elements: tuple[str, ...]) -> None:
        self.elements = elements
        self._database = database
        members = translated(database).elements(elements, database).members
        self._atoms = {m.name: _Atoms(m, len(elements)) for m in members}
        self._names = tuple(sorted(self._atoms))  # as a batch numbers them
        self._x = np.zeros((len(elements), 0))
        self._T = np.zeros(0)
        self._held: Assemblage | None = None

    def _batch(self, x: Array) -> Batch:
        """The points ``(n, c)`` as one batch; the caller keeps ``n`` small enough for one."""
        (batch,) = batches(x, self.elements, self._database)
        return batch

    def solve(
        self, x: Array, T: Array
    ) -> tuple[list[PhaseEquilibrium | None], list[tuple[StartingPoint, ...]]]:
        """Answers at ``(n, c)`` fractions and ``(n,)`` temperatures, None where one is open.

        Returns:
            The answers, and for each what pycalphad may begin with.
        """
        batch = self._batch(x)
        if len(self.elements) == 1:
            return self._pure(batch, T), [()] * len(T)
        stable = stable_assemblage(batch, range(len(batch.families)), batch.at(T))
        settled = self._settled(stable, batch.x)
        which = np.flatnonzero(settled)
        hidden = self._beside_bcc(batch.take(which), stable.take(which), T[which])
        settled[which[hidden > TOLERANCE_J]] = False
        self._remember(stable, batch.x, T, np.flatnonzero(settled))
        # upwards in temperature and then downwards: what is settled on the way is the neighbour of the next
        open_ = np.flatnonzero(~settled)
        order = open_[np.argsort(T[open_], kind="stable")]
        for k in (*order, *order[::-1]):
            if not settled[k]:
                one = np.array([k], dtype=np.intp)
                found = self._from_neighbours(batch.take(one), T[one])
                if found is not None:
                    stable.put(one, found)
                    settled[k] = True
                    self._remember(stable, batch.x, T, one)
        answers = [self._answer(stable, k, float(T[k])) if settled[k] else None for k in range(len(T))]
        return answers, [self._mixture(stable, k) for k in range(len(T))]

    def overlooked(self, answer: PhaseEquilibrium) -> float:
        """J per mole of atoms by which a phase lies below the plane of an answer, of whoever gave it."""
        if len(self.elements) == 1 or answer.chemical_potentials is None:
            return 0.0
        plane = np.array([[answer.chemical_potentials[e]] for e in self.elements])
        there = next((p.composition for p in answer.phases if p.name == BCC), None)
        # the second side of a gap that is nearly closed lies beside the first
        beside = None if there is None else np.array([[max(there[e], _LEAST)] for e in self.elements])
        x = np.full((1, len(self.elements)), 1.0 / len(self.elements))
        return self._below(self._batch(x), plane, np.array([answer.temperature_K]), beside)

    # -- one assemblage -----------------------------------------------------------------------------------

    def _from_neighbours(self, batch: Batch, T: Array) -> Assemblage | None:
        """Newton's method for one open point from settled ones near it; None where it stays open."""
        if self._held is None:
            return None
        far = np.abs(self._T - T) + _KELVIN_PER_FRACTION * np.abs(self._x - batch.x).max(axis=0)
        lower = self._T <= T
        tried: list[int] = []
        for side in (lower, ~lower):
            near = np.flatnonzero(side & (far < _NEAR_K))
            tried += near[np.argsort(far[near], kind="stable")][:_NEIGHBOURS].tolist()
        for k in sorted(tried, key=lambda k: float(far[k])):
            begin = self._held.take(np.array([k], dtype=np.intp))
            for width in _WIDTHS if self._has_gap(begin) else _WIDTHS[:1]:
                found = self._refined(self._narrowed(begin, width), batch, T)
                if found is not None:
                    return found
        return None

    def _refined(self, begin: Assemblage, batch: Batch, T: Array) -> Assemblage | None:
        """Newton's method for one point; None where it does not end in an equilibrium."""
        # the fractions are those of another point: the first step mends that
        among = range(len(batch.families))
        clusters = Clusters(batch, among, batch.at(T), begin.phases, begin.fractions, begin.y)
        plane = clusters.refine(begin.potentials)
        if not np.isfinite(plane).all():
            return None
        gap = np.array([self._below(batch, plane, T, None)])
        energy = (batch.x * plane).sum(axis=0)
        found = Assemblage(energy, plane, gap, clusters.number, clusters.fractions(), clusters.y)
        if not self._settled(found, batch.x)[0] or self._beside_bcc(batch, found, T)[0] > TOLERANCE_J:
            return None
        return found

    def _has_gap(self, one: Assemblage) -> bool:
        kinds = one.phases[0][one.fractions[0] > PRESENT_ABOVE]
        return len(set(kinds.tolist())) < len(kinds)

    def _narrowed(self, one: Assemblage, width: float) -> Assemblage:
        """The same with the sides of a miscibility gap closer, by a factor, as they are nearer to its top."""
        y = one.y.copy()
        occupied = np.flatnonzero(one.fractions[0] > PRESENT_ABOVE)
        for kind in set(one.phases[0][occupied].tolist()):
            slots = [s for s in occupied if one.phases[0, s] == kind]
            weights = one.fractions[0, slots][:, None]
            middle = (y[0, slots] * weights).sum(axis=0) / weights.sum()
            y[0, slots] = middle + width * (y[0, slots] - middle)
        return replace(one, y=y)

    def _remember(self, stable: Assemblage, x: Array, T: Array, which: Index) -> None:
        if not len(which):
            return
        new = stable.take(which)
        if self._held is not None:
            old = self._held
            new = Assemblage(
                np.concatenate([old.energy, new.energy]),
                np.concatenate([old.potentials, new.potentials], axis=1),
                np.concatenate([old.gap, new.gap]),
                np.concatenate([old.phases, new.phases]),
                np.concatenate([old.fractions, new.fractions]),
                np.concatenate([old.y, new.y]),
            )
        self._held = new
        self._x = np.concatenate([self._x, x[:, which]], axis=1)
        self._T = np.concatenate([self._T, T[which]])

    # -- is it an equilibrium -----------------------------------------------------------------------------

    def _settled(self, stable: Assemblage, x: Array) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = (stable.gap <= TOLERANCE_J) & (self._balance(stable, x) < _BALANCE)
        return result

    def _balance(self, stable: Assemblage, x: Array) -> Array:
        """``(n,)`` largest error of an element's amount."""
        total = np.zeros_like(x)
        for number, name in enumerate(self._names):
            atoms = self._atoms[name]
            alloy, slot = np.nonzero((stable.phases == number) & (stable.fractions > 0.0))
            if not len(alloy):
                continue
            y = np.ascontiguousarray(stable.y[alloy, slot, : atoms.member.dof].T)
            share = atoms.composition(y) * stable.fractions[alloy, slot]
            for element in range(len(x)):
                np.add.at(total[element], alloy, share[element])
        with np.errstate(invalid="ignore"):
            error: Array = np.nan_to_num(np.abs(total - x).max(axis=0), nan=np.inf)
        return error

    def _beside_bcc(self, batch: Batch, stable: Assemblage, T: Array) -> Array:
        """``(n,)`` J per mole of atoms by which a second bcc lies below the plane, beside the first.

        The search for points below the plane begins at the corners of the composition space and does not see
        the second side of a gap that is nearly closed: it lies along the softest direction of the first.
        """
        result = np.zeros(len(T))
        share = np.where(stable.phases == self._names.index(BCC), stable.fractions, 0.0)
        who = np.flatnonzero(share.max(axis=1, initial=0.0) > PRESENT_ABOVE)
        if not len(who):
            return result
        part = batch.take(who)
        parent, at = part.parent, part.at(T[who])[0]
        y = stable.y[who, share[who].argmax(axis=1), : parent.dof].T
        x = np.maximum(y, _LEAST)
        x /= x.sum(axis=0)
        more, _ = softest(parent, x, at)
        found, owner = minima(parent, at, stable.potentials[:, who], more=more, leave_out=x, kept=3)
        lowest = np.zeros(len(who))
        np.minimum.at(lowest, owner, found.distance / parent.amounts(found.y, owner).sum(axis=0))
        result[who] = -lowest
        return result

    def _below(self, batch: Batch, plane: Array, T: Array, beside: Array | None) -> float:
        """J per mole of atoms by which a phase lies below one plane ``(c, 1)``.

        Args:
            batch: Of one alloy of these elements.
            plane: Chemical potentials, J/mol.
            T: ``(1,)``, K.
            beside: ``(c, 1)`` composition of a bcc beside which to look for a second one.
        """
        lowest = 0.0
        for family, at in zip(batch.families, batch.at(T), strict=True):
            more = None
            if beside is not None and family is batch.parent:
                more = softest(family, beside / beside.sum(), at)[0]
            found, owner = minima(family, at, plane, more=more)
            if found.distance.size:
                atoms = family.amounts(found.y, owner).sum(axis=0)
                lowest = min(lowest, float((found.distance / atoms).min()))
        return -lowest

    # -- answers ------------------------------------------------------------------------------------------

    def _pure(self, batch: Batch, T: Array) -> list[PhaseEquilibrium | None]:
        """One element: nothing to mix, the lowest energy is the answer."""
        energies = np.full((len(self._names), len(T)), np.inf)
        for family, numbers, at in zip(batch.families, batch.numbers, batch.at(T), strict=True):
            entries = np.arange(len(family.alloy))
            value, _ = family.excess(np.zeros((0, len(entries))), at)
            atoms = family.amounts(np.zeros((0, len(entries))), entries).sum(axis=0)
            energies[numbers, family.alloy] = value / atoms
        (element,) = self.elements
        return [
            PhaseEquilibrium(
                OutcomeStatus.CONVERGED,
                float(temperature),
                (PhaseEntry(self._names[column.argmin()], 1.0, {element: 1.0}),),
                float(column.min()),
                {element: float(column.min())},
            )
            for temperature, column in zip(T, energies.T, strict=True)
        ]

    def _slots(self, stable: Assemblage, k: int) -> list[tuple[_Atoms, float, Array]]:
        """Phase, fraction and site fractions of each occupied slot."""
        slots = np.flatnonzero(stable.fractions[k] > PRESENT_ABOVE)
        result = []
        for slot in slots:
            atoms = self._atoms[self._names[stable.phases[k, slot]]]
            y = stable.y[k, slot, : atoms.member.dof]
            result.append((atoms, float(stable.fractions[k, slot]), y))
        return result

    def _mixture(self, stable: Assemblage, k: int) -> tuple[StartingPoint, ...]:
        """The entries as points for pycalphad to begin with; none of one phase, where it begins itself."""
        slots = self._slots(stable, k)
        if len(slots) < 2 or not np.isfinite(stable.energy[k]):
            return ()
        return tuple(
            StartingPoint(atoms.member.name, atoms.member.pycalphad_order(y), 0.0, amount)
            for atoms, amount, y in slots
        )

    def _answer(self, stable: Assemblage, k: int, temperature_K: float) -> PhaseEquilibrium:
        """The answer in the form that pycalphad's has as well."""
        merged: list[tuple[str, float, Array]] = []
        for atoms, amount, y in self._slots(stable, k):
            name, part = atoms.member.name, atoms.composition(y[:, None])[:, 0]
            for i, (other, held, known) in enumerate(merged):
                if other == name and float(np.abs(part - known).max()) < _SAME_PHASE:
                    merged[i] = (name, held + amount, (held * known + amount * part) / (held + amount))
                    break
            else:
                merged.append((name, amount, part))
        entries = [
            PhaseEntry(
                name,
                round(amount, _DIGITS),
                {e: round(float(value), _DIGITS) for e, value in zip(self.elements, part, strict=True)},
            )
            for name, amount, part in merged
        ]
        return PhaseEquilibrium(
            OutcomeStatus.CONVERGED,
            temperature_K,
            phases=tuple(sorted(entries, key=lambda p: (-p.fraction, p.name, tuple(p.composition.values())))),
            gibbs_energy=float(stable.energy[k]),
            chemical_potentials=dict(zip(self.elements, stable.potentials[:, k].tolist(), strict=True)),
        )

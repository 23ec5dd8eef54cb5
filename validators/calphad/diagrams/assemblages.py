"""Stable phases with fractions and compositions for many points at once.

The screening tier's column generation (:mod:`validators.calphad.screening.assemblage`) over all phases, the
liquid included, is an equilibrium of every point. Where it does not close (a phase is left below the plane by
more than screening's own tolerance) Newton's method begins again at what was found at neighbouring points,
which follows a miscibility gap up to its top; what is still open, and a database that screening has no
arrays for, is pycalphad's. Its answers are tested like all others: no phase may lie below their plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase
from validators.calphad.equilibrium import PRESENT_ABOVE, PhaseEntry, PhaseEquilibrium, phases_at
from validators.calphad.screening import NotVectorisable, starting_points
from validators.calphad.screening.assemblage import Assemblage, stable_assemblage
from validators.calphad.screening.clusters import Clusters
from validators.calphad.screening.phase import Coefficients
from validators.calphad.screening.stability import TOLERANCE_J, Block, blocks, require_arrays
from validators.calphad.screening.system import PARENT, system_of
from validators.calphad.systems import StartingPoint
from validators.outcome import OutcomeStatus

__all__ = ["Equilibria", "Progress"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with how many points are done and how many there are so far; a refinement adds to the latter."""

_SAME_PHASE: Final = 1e-3  # as in validators.calphad.equilibrium: entries closer than that are one
_DIGITS: Final = 6
_BALANCE: Final = 1e-5  # atoms per atom
_NEIGHBOURS: Final = 3
"""Settled points of lower and of higher temperature that an open one begins again from."""

_NEAR_K: Final = 150.0
_WIDTHS: Final = (1.0, 0.7, 0.45, 0.25)  # of a neighbour's miscibility gap to begin at
_LEAST: Final = 1e-6  # atomic fraction at which a curvature is still finite
_OVERLOOKED_J: Final = 0.05
"""J/mol below the plane of pycalphad's answer at which it is no answer: less than 2 K at the top of a gap."""

_KELVIN_PER_FRACTION: Final = 1000.0  # how far neighbours are: 10 K is as far as 1 at.%


class _Points:
    """What the arrays know of points of one set of elements, those of earlier calls included."""

    def __init__(self, database: CalphadDatabase, elements: tuple[str, ...]) -> None:
        self.elements = elements
        translation, self._system = system_of(database, elements)
        self._program = translation.program
        self._names = (PARENT, *(name for name in self._system.phases if name != PARENT))
        self._x = np.zeros((len(elements), 0))
        self._T = np.zeros(0)
        self._held: Assemblage | None = None

    def _coefficients(self, T: Array) -> dict[str, Coefficients]:
        table = self._program.values(T)
        return {name: phase.coefficients(T, table) for name, phase in self._system.phases.items()}

    def solve(self, block: Block) -> tuple[list[PhaseEquilibrium | None], list[tuple[StartingPoint, ...]]]:
        """Answers, None where it is open, and for those what pycalphad may begin with."""
        if len(self.elements) == 1:
            return self._pure(block), [()] * len(block.T)
        at = self._coefficients(block.T)
        stable = stable_assemblage(self._system, self._names, at, block.x)
        settled = self._settled(stable, block.x)
        which = np.flatnonzero(settled)
        hidden = self._beside_bcc(stable.take(which), {name: c.take(which) for name, c in at.items()})
        settled[which[hidden > TOLERANCE_J]] = False
        self._remember(stable, block, np.flatnonzero(settled))
        # upwards in temperature and then downwards: what is settled on the way is the neighbour of the next
        open_ = np.flatnonzero(~settled)
        order = open_[np.argsort(block.T[open_], kind="stable")]
        for k in (*order, *order[::-1]):
            if not settled[k]:
                one = np.array([k], dtype=np.intp)
                found = self._from_neighbours(block.x[:, one], block.T[one])
                if found is not None:
                    stable.put(one, found)
                    settled[k] = True
                    self._remember(stable, block, one)
        answers: list[PhaseEquilibrium | None] = [
            self._entry(stable, k, float(block.T[k])) if settled[k] else None for k in range(len(block.T))
        ]
        return answers, [self._mixture(stable, k) for k in range(len(block.T))]

    def _from_neighbours(self, x: Array, T: Array) -> Assemblage | None:
        """Newton's method for one open point from settled ones near it; None where it stays open."""
        if self._held is None:
            return None
        at = self._coefficients(T)
        far = np.abs(self._T - T) + _KELVIN_PER_FRACTION * np.abs(self._x - x).max(axis=0)
        lower = self._T <= T
        tried: list[int] = []
        for side in (lower, ~lower):
            near = np.flatnonzero(side & (far < _NEAR_K))
            tried += near[np.argsort(far[near], kind="stable")][:_NEIGHBOURS].tolist()
        for k in sorted(tried, key=lambda k: float(far[k])):
            begin = self._held.take(np.array([k], dtype=np.intp))
            for width in _WIDTHS if self._has_gap(begin) else _WIDTHS[:1]:
                found = self._refined(self._narrowed(begin, width), x, at)
                if found is not None:
                    return found
        return None

    def _refined(self, begin: Assemblage, x: Array, at: dict[str, Coefficients]) -> Assemblage | None:
        """Newton's method for one point; None where it does not end in an equilibrium."""
        # the fractions are those of another point: the first step mends that
        clusters = Clusters(self._system, self._names, at, x, begin.phases, begin.fractions, begin.y)
        plane = clusters.refine(begin.potentials)
        if not np.isfinite(plane).all():
            return None
        gap = np.array([self._below(plane, at)])
        found = Assemblage(
            (x * plane).sum(axis=0), plane, gap, clusters.number, clusters.fractions(), clusters.y
        )
        if not self._settled(found, x)[0] or self._beside_bcc(found, at)[0] > TOLERANCE_J:
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

    def _below(
        self, plane: Array, at: dict[str, Coefficients], more: dict[str, Array] | None = None
    ) -> float:
        """J per mole of atoms by which a phase lies below one plane ``(c, 1)``."""
        lowest = 0.0
        for name in self._names:
            start = None if more is None else more.get(name)
            found, _ = self._system.minima(name, at[name], plane, more=start)
            if found.distance.size:
                atoms = self._system.phases[name].amounts(found.y).sum(axis=0)
                lowest = min(lowest, float((found.distance / atoms).min()))
        return -lowest

    def _remember(self, stable: Assemblage, block: Block, which: NDArray[np.intp]) -> None:
        if not len(which):
            return
        new = stable.take(which)
        if self._held is None:
            self._held = new
        else:
            old = self._held
            self._held = Assemblage(
                np.concatenate([old.energy, new.energy]),
                np.concatenate([old.potentials, new.potentials], axis=1),
                np.concatenate([old.gap, new.gap]),
                np.concatenate([old.phases, new.phases]),
                np.concatenate([old.fractions, new.fractions]),
                np.concatenate([old.y, new.y]),
            )
        self._x = np.concatenate([self._x, block.x[:, which]], axis=1)
        self._T = np.concatenate([self._T, block.T[which]])

    def _settled(self, stable: Assemblage, x: Array) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = (stable.gap <= TOLERANCE_J) & (self._balance(stable, x) < _BALANCE)
        return result

    def _beside_bcc(self, stable: Assemblage, at: dict[str, Coefficients]) -> Array:
        """``(n,)`` J per mole of atoms by which a second bcc lies below the plane, beside the first.

        The search for points below the plane begins at the corners of the composition space and does not see
        the second side of a gap that is nearly closed: it lies along the softest direction of the first.
        """
        result = np.zeros(len(stable.gap))
        share = np.where(stable.phases == 0, stable.fractions, 0.0)  # bcc is the first of the phases
        who = np.flatnonzero(share.max(axis=1, initial=0.0) > PRESENT_ABOVE)
        if not len(who):
            return result
        phase = self._system.phases[PARENT]
        y = stable.y[who, share[who].argmax(axis=1), : phase.dof].T
        x = np.maximum(y, _LEAST)
        x /= x.sum(axis=0)
        there = at[PARENT].take(who)
        more, _ = self._system.along_softest(PARENT, x, there)
        found, owner = self._system.minima(
            PARENT, there, stable.potentials[:, who], more=more, leave_out=x, kept=3
        )
        lowest = np.zeros(len(who))
        np.minimum.at(lowest, owner, found.distance / phase.amounts(found.y).sum(axis=0))
        result[who] = -lowest
        return result

    def _balance(self, stable: Assemblage, x: Array) -> Array:
        """``(n,)`` largest error of an element's amount."""
        total = np.zeros_like(x)
        for number, name in enumerate(self._names):
            phase = self._system.phases[name]
            alloy, slot = np.nonzero((stable.phases == number) & (stable.fractions > 0.0))
            if not len(alloy):
                continue
            amounts = phase.amounts(np.ascontiguousarray(stable.y[alloy, slot, : phase.dof].T))
            share = amounts / amounts.sum(axis=0) * stable.fractions[alloy, slot]
            for element in range(len(x)):
                np.add.at(total[element], alloy, share[element])
        with np.errstate(invalid="ignore"):
            error: Array = np.nan_to_num(np.abs(total - x).max(axis=0), nan=np.inf)
        return error

    def _pure(self, block: Block) -> list[PhaseEquilibrium | None]:
        """One element: nothing to mix, the lowest energy is the answer."""
        at = self._coefficients(block.T)
        energies = np.array([self._system.parent_potentials(p, block.x, at[p])[0] for p in self._names])
        (element,) = self.elements
        return [
            PhaseEquilibrium(
                OutcomeStatus.CONVERGED,
                float(T),
                (PhaseEntry(self._names[column.argmin()], 1.0, {element: 1.0}),),
                float(column.min()),
                {element: float(column.min())},
            )
            for T, column in zip(block.T, energies.T, strict=True)
        ]

    def _occupied(self, stable: Assemblage, k: int) -> NDArray[np.intp]:
        return np.flatnonzero(stable.fractions[k] > PRESENT_ABOVE)

    def _mixture(self, stable: Assemblage, k: int) -> tuple[StartingPoint, ...]:
        """The entries as points for pycalphad to begin with; none of one phase, where it begins itself."""
        result = []
        for slot in self._occupied(stable, k):
            name = self._names[stable.phases[k, slot]]
            y = self._system.phases[name].pycalphad_order(stable.y[k, slot, : self._system.phases[name].dof])
            result.append(StartingPoint(name, y, 0.0, float(stable.fractions[k, slot])))
        return tuple(result) if len(result) > 1 else ()

    def _entry(self, stable: Assemblage, k: int, temperature_K: float) -> PhaseEquilibrium:
        """The answer in the form that pycalphad's has as well."""
        merged: list[tuple[str, float, Array]] = []
        for slot in self._occupied(stable, k):
            name, amount = self._names[stable.phases[k, slot]], float(stable.fractions[k, slot])
            phase = self._system.phases[name]
            atoms = phase.amounts(stable.y[k, slot, : phase.dof, None])[:, 0]
            part = atoms / atoms.sum()
            for i, (other, held, y) in enumerate(merged):
                if other == name and float(np.abs(part - y).max()) < _SAME_PHASE:
                    merged[i] = (name, held + amount, (held * y + amount * part) / (held + amount))
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

    def overlooked(self, answer: PhaseEquilibrium) -> float:
        """J per mole of atoms by which a phase lies below the plane of an answer."""
        if len(self.elements) == 1 or answer.chemical_potentials is None:
            return 0.0
        mu = np.array([[answer.chemical_potentials[e]] for e in self.elements])
        at = self._coefficients(np.array([answer.temperature_K]))
        more = {}
        for name in self._names:
            there = next((p.composition for p in answer.phases if p.name == name), None)
            if there is not None and self._system.phases[name].substitutional:
                # the second side of a gap that is nearly closed lies beside the first
                x = np.array([[max(there[e], _LEAST)] for e in self.elements])
                more[name] = self._system.along_softest(name, x / x.sum(), at[name])[0]
        return self._below(mu, at, more)


class Equilibria:
    """The stable phases of many points of one diagram, 101325 Pa.

    What is found serves as the start of points asked for later.

    Args:
        database: From :func:`validators.calphad.load_database`.
        elements: Columns of the compositions.
        confirm: Let pycalphad minimise at every point, from its own samplings and from what the arrays found;
            the lower Gibbs energy is kept.

    Raises:
        InputError: An element that the database does not have.
    """

    def __init__(self, database: CalphadDatabase, elements: Sequence[str], *, confirm: bool = False) -> None:
        self.elements = tuple(elements)
        self._database = database
        self._confirm = confirm
        self._known: dict[tuple[str, ...], _Points | None] = {}
        require_arrays(np.zeros((0, len(self.elements))), self.elements, np.zeros(0), database)

    def _points(self, elements: tuple[str, ...]) -> _Points | None:
        """Arrays of these elements; None where screening has none."""
        if elements not in self._known:
            try:
                self._known[elements] = _Points(self._database, elements)
            except NotVectorisable:
                self._known[elements] = None
        return self._known[elements]

    def at(
        self, fractions: Array, temperatures_K: Array, progress: Progress | None = None
    ) -> list[PhaseEquilibrium]:
        """Answers of ``n`` points; those that are unconverged or failed have no phases.

        pycalphad is asked at the resolution of a composition, 0.1 at.%.

        Args:
            fractions: ``(n, m)`` atomic fractions; zero for an element that a point does not have.
            temperatures_K: ``(n,)``, K.
            progress: Called with the points done and ``n``.

        Raises:
            InputError: Fractions that do not sum to one, a temperature out of range.
        """
        x, T = require_arrays(fractions, self.elements, temperatures_K, self._database)
        answers: list[PhaseEquilibrium | None] = [None] * len(x)
        starts: list[tuple[StartingPoint, ...]] = [()] * len(x)
        done = 0
        for chosen, block in blocks(x, T, self.elements):
            points = self._points(chosen)
            if points is None:
                continue
            found, mixtures = points.solve(block)
            for place, answer, mixture in zip(block.where, found, mixtures, strict=True):
                starts[place] = mixture
                if answer is not None and not self._confirm:
                    answers[place] = answer
                    done += 1
            if progress is not None:
                progress(done, len(x))
        for place, answer in enumerate(answers):
            if answer is None:
                composition = Composition.from_fractions(self.elements, x[place])
                answers[place] = self._minimise(composition, float(T[place]), starts[place])
                done += 1
                if progress is not None:
                    progress(done, len(x))
        return [a for a in answers if a is not None]

    def _minimise(
        self, composition: Composition, temperature_K: float, mixture: tuple[StartingPoint, ...]
    ) -> PhaseEquilibrium:
        points = self._points(composition.elements)
        if points is not None and not mixture:
            mixture = starting_points(composition, temperature_K, self._database)
        found = phases_at(composition, temperature_K, self._database, keep_grid=False, points=mixture)
        if points is None or not found.phases:
            return found
        below = points.overlooked(found)
        if below <= _OVERLOOKED_J:
            return found
        return replace(
            found,
            status=OutcomeStatus.UNCONVERGED,
            phases=(),
            message=f"at {temperature_K:g} K a phase lies {below:.3g} J/mol below the plane of the answer",
        )

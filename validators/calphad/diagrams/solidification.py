"""Scheil solidification: complete mixing in the liquid, no diffusion in the solids.

E. Scheil, Z. Metallkd. 34 (1942) 70; G. M. Gulliver, J. Inst. Met. 9 (1913) 120. The steps are those of the
``scheil`` package (B. Bocklund et al., doi 10.5281/zenodo.3630656) on pycalphad; where that finds no liquid any
more, :mod:`validators.calphad.diagrams.freezing` goes on to the end or to the invariant.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.freezing import Ending, balance, entries_of, freeze_on
from validators.calphad.diagrams.profile import liquidus_estimate
from validators.calphad.equilibrium import MAX_TEMPERATURE_K, PRESENT_ABOVE, phases_at
from validators.calphad.screening.system import is_liquid
from validators.calphad.solidus import require_liquid
from validators.outcome import OutcomeStatus

__all__ = ["LIQUID_LEFT", "Solidification", "scheil_solidification"]

Array = NDArray[np.float64]

LIQUID_LEFT: Final = 0.01
"""Mole fraction of liquid at which solidification counts as finished: a Scheil path of a solid solution ends
only at the lowest melting point of the system, with liquid that no casting shows."""

_STEP_K: Final = 5.0
_DENSITIES: Final = (500, 2000)  # points per degree of freedom; the second where the first does not finish
_CLIMB_K: Final = 25.0


@dataclass(frozen=True, slots=True)
class Solidification:
    """As cast, after Scheil: ``n`` steps, ``k`` solids, ``m`` elements.

    Attributes:
        composition: The alloy.
        database: Name of the database.
        status: Converged; unconverged where the path ended before the liquid was used up (what was found
            until then is kept); failed, without a path.
        message: Why it is not converged.
        elements: The alloy's.
        temperatures_K: ``(n,)`` falling; the last is that of an invariant where one ends the path, and may be
            the one before it once more.
        solid_fraction: ``(n,)`` mole fraction of solid.
        phases: The ``k`` solids in the order in which they appear.
        amounts: ``(n, k)`` mole fraction of the alloy that has become each solid so far.
        solid_compositions: ``(n, k, m)`` atomic fractions of what each solid deposits at each step, NaN where
            it deposits nothing.
        liquid_compositions: ``(n, m)`` atomic fractions of the liquid; in a last step that leaves none, of the
            liquid that froze in it.
        frozen_at_once: Mole fraction of liquid that froze at the last temperature, an invariant or the lowest
            melting point of a solution; zero where the path ends in less and less liquid.
    """

    composition: Composition
    database: str
    status: OutcomeStatus
    message: str = ""
    elements: tuple[str, ...] = ()
    temperatures_K: Array = field(default_factory=lambda: np.zeros(0))
    solid_fraction: Array = field(default_factory=lambda: np.zeros(0))
    phases: tuple[str, ...] = ()
    amounts: Array = field(default_factory=lambda: np.zeros((0, 0)))
    solid_compositions: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    liquid_compositions: Array = field(default_factory=lambda: np.zeros((0, 0)))
    frozen_at_once: float = 0.0

    @property
    def final_temperature_K(self) -> float:  # noqa: N802 - the unit is part of the name
        """Where the liquid falls below ``LIQUID_LEFT``, or freezes at once, K; NaN unless converged."""
        return float(self.temperatures_K[-1]) if self._whole else math.nan

    @property
    def _whole(self) -> bool:
        return self.status is OutcomeStatus.CONVERGED

    @property
    def liquid_left(self) -> float:
        """Mole fraction of liquid at the end of the path; NaN without one."""
        return 1.0 - float(self.solid_fraction[-1]) if len(self.solid_fraction) else math.nan

    @property
    def as_cast(self) -> dict[str, float]:
        """Mole fraction of the alloy in each solid at the end of the path; empty unless converged."""
        if not self._whole:
            return {}
        return {name: float(amount) for name, amount in zip(self.phases, self.amounts[-1], strict=True)}

    @property
    def invariant_solids(self) -> tuple[str, ...]:
        """What the liquid that froze at once became; empty where none did."""
        if not self.frozen_at_once:
            return ()
        before = self.amounts[-2] if len(self.amounts) > 1 else np.zeros(len(self.phases))
        gained = self.amounts[-1] - before
        return tuple(p for p, more in zip(self.phases, gained, strict=True) if more > PRESENT_ABOVE)

    def _first(self) -> tuple[int, int] | None:
        """Step and phase of the first solid; None unless converged."""
        if not self._whole:
            return None
        steps = np.flatnonzero(self.solid_fraction > PRESENT_ABOVE)
        if not len(steps):
            return None
        return int(steps[0]), int(np.argmax(self.amounts[steps[0]]))

    @property
    def first_solid(self) -> dict[str, float]:
        """Atomic fractions of the first solid, the core of the dendrites; empty unless converged."""
        first = self._first()
        if first is None:
            return {}
        return dict(zip(self.elements, self.solid_compositions[first].tolist(), strict=True))

    @property
    def last_liquid(self) -> dict[str, float]:
        """Atomic fractions of the last liquid, between the dendrites; empty unless converged."""
        if not self._whole:
            return {}
        return dict(zip(self.elements, self.liquid_compositions[-1].tolist(), strict=True))

    @property
    def partition(self) -> dict[str, float]:
        """Partition coefficients: first solid over the liquid beside it; above 1 goes to the dendrites."""
        first = self._first()
        if first is None:
            return {}
        ratio = self.solid_compositions[first] / self.liquid_compositions[first[0]]
        return dict(zip(self.elements, ratio.tolist(), strict=True))


def scheil_solidification(
    composition: Composition, database: CalphadDatabase, *, step_K: float = _STEP_K
) -> Solidification:
    """Solidify an alloy after Scheil and Gulliver, from just above its liquidus.

    It ends where the liquid falls below ``LIQUID_LEFT``, or where its temperature cannot fall: there the rest
    freezes at once, see :mod:`validators.calphad.diagrams.freezing`.

    Args:
        composition: Of two or more elements of the database.
        database: From :func:`validators.calphad.load_database`.
        step_K: Step of temperature, K; where a step finds no liquid it is shortened.

    Raises:
        InputError: An element that the database does not have, an element alone, a database without a liquid.
    """
    database.require(composition)
    require_liquid(database, mend="ask for no solidification, or use another database")
    if len(composition.elements) == 1:
        raise InputError(
            "composition",
            composition.formula,
            "is one element, which freezes at one temperature",
            "give an alloy, or ask for its solidus",
        )
    liquid = next(p for p in database.phases if is_liquid(p))
    start = _start(composition, database)
    if not math.isfinite(start):
        return Solidification(
            composition,
            database.name,
            OutcomeStatus.UNCONVERGED,
            "no temperature was found at which all is liquid",
        )
    best: Solidification | None = None
    for density in _DENSITIES:
        found = _simulate(composition, database, liquid, start, step_K, density)
        if found.status is OutcomeStatus.UNCONVERGED:
            found = _go_on(found, database, start, step_K)
        if found.status is OutcomeStatus.CONVERGED:
            return found
        if best is None or found.liquid_left < best.liquid_left or not len(best.temperatures_K):
            best = found
    return best if best is not None else found


def _start(composition: Composition, database: CalphadDatabase) -> float:
    """A temperature at which all is liquid, at most 25 K above the liquidus, K; NaN where there is none."""
    estimate = liquidus_estimate(composition, database)
    T = estimate + 1.0 if math.isfinite(estimate) else 1500.0
    while T < MAX_TEMPERATURE_K:
        phases = phases_at(composition, T, database, keep_grid=False).phases
        if phases and all(is_liquid(p.name) for p in phases):
            return T
        T += _CLIMB_K
    return math.nan


def _simulate(
    composition: Composition,
    database: CalphadDatabase,
    liquid: str,
    start_K: float,
    step_K: float,
    density: int,
) -> Solidification:
    from pycalphad import variables as v
    from scheil import simulate_scheil_solidification

    fractions = composition.fractions
    # the most abundant element depends on the others: so the independent ones sum to less than one
    dependent = max(fractions, key=lambda e: (fractions[e], e))
    conditions = {v.X(e.upper()): x for e, x in fractions.items() if e != dependent}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = simulate_scheil_solidification(
                database.parsed,
                [*(e.upper() for e in fractions), "VA"],
                list(database.phases),
                conditions,
                start_temperature=start_K,
                step_temperature=step_K,
                liquid_phase_name=liquid,
                eq_kwargs={"calc_opts": {"pdens": density}},
                stop=LIQUID_LEFT / 2,  # its own count of the liquid is the larger one, see _balance
                # its additional points are drawn at random from a global generator: a fixed, denser
                # sampling gives the same path every time
                adaptive=False,
            )
    except Exception as error:  # noqa: BLE001 - pycalphad raises a dozen types; all mean that it failed
        text = " ".join(str(error).split())[:200]
        return Solidification(
            composition, database.name, OutcomeStatus.FAILED, f"{type(error).__name__}: {text}"
        )
    return _read(composition, database.name, liquid, result)


def _read(composition: Composition, database: str, liquid: str, result: Any) -> Solidification:
    elements = composition.elements
    steps = len(result.temperatures)
    # the first entry is the start, before any equilibrium; a last one freezes what liquid is left at once
    if steps > 1 and result.fraction_solid[-1] == 1.0:
        steps -= 1
    liquids = np.array([result.phase_compositions[liquid][e.upper()][1:steps] for e in elements]).T
    if not len(liquids):
        return Solidification(
            composition, database, OutcomeStatus.UNCONVERGED, "no step of the path has an equilibrium"
        )
    temperatures = np.array(result.temperatures[1:steps], dtype=float)
    names = [p for p, amounts in result.phase_amounts.items() if max(amounts[:steps]) > 0.0]
    parts = np.array(
        [[result.phase_compositions[p][e.upper()][1:steps] for e in elements] for p in names]
    ).reshape(len(names), len(elements), len(temperatures))
    parts = np.transpose(parts, (2, 0, 1))  # n x k x m
    deposited, left = _balance(np.array(composition.fraction_vector(elements)), liquids, parts)
    ends = np.flatnonzero(left < LIQUID_LEFT)
    stop = int(ends[0]) + 1 if len(ends) else len(left)
    amounts = np.cumsum(deposited[:stop], axis=0)
    occurring = [k for k in range(len(names)) if amounts[-1, k] > PRESENT_ABOVE]
    occurring.sort(key=lambda k: (int(np.argmax(amounts[:, k] > 0)), names[k]))
    return Solidification(
        composition,
        database,
        OutcomeStatus.CONVERGED if len(ends) else OutcomeStatus.UNCONVERGED,
        "" if len(ends) else f"the path ended at {temperatures[-1]:.0f} K with {left[-1]:.1%} of liquid left",
        elements,
        temperatures[:stop],
        1.0 - left[:stop],
        tuple(names[k] for k in occurring),
        amounts[:, occurring],
        parts[:stop, occurring],
        liquids[:stop],
    )


def _go_on(found: Solidification, database: CalphadDatabase, start_K: float, step_K: float) -> Solidification:
    """The path with its end, from where the package found no liquid any more."""
    elements = found.composition.elements
    whole = np.array(found.composition.fraction_vector(elements))
    begun = len(found.temperatures_K) > 0
    ending = freeze_on(
        database,
        elements,
        found.liquid_compositions[-1] if begun else whole,
        float(found.temperatures_K[-1]) if begun else start_K,
        found.liquid_left if begun else 1.0,
        step_K=step_K,
        until=LIQUID_LEFT,
    )
    if not ending.steps:
        return replace(found, message=ending.problem)
    return _joined(found, ending)


def _joined(found: Solidification, ending: Ending) -> Solidification:
    elements = found.composition.elements
    before, after = len(found.temperatures_K), len(ending.steps)
    names = list(found.phases)
    last: dict[str, Array] = {}
    for k, name in enumerate(names):
        there = np.flatnonzero(np.isfinite(found.solid_compositions[:, k]).all(axis=1))
        last[name] = found.solid_compositions[there[-1], k]
    labels = []
    for step in ending.steps:
        mine = entries_of(step.names, step.parts, names, last)
        names.extend(name for name in mine if name not in names)
        last.update(zip(mine, step.parts, strict=True))
        labels.append(mine)
    amounts = np.zeros((before + after, len(names)))
    parts = np.full((before + after, len(names), len(elements)), np.nan)
    if before:
        amounts[:before, : len(found.phases)] = found.amounts
        parts[:before, : len(found.phases)] = found.solid_compositions
    for n, (step, mine) in enumerate(zip(ending.steps, labels, strict=True), start=before):
        amounts[n] = amounts[n - 1] if n else 0.0
        for name, amount, part in zip(mine, step.amounts, step.parts, strict=True):
            amounts[n, names.index(name)] += amount
            parts[n, names.index(name)] = part
    liquids = np.array([step.liquid for step in ending.steps])
    return Solidification(
        found.composition,
        found.database,
        OutcomeStatus.UNCONVERGED if ending.problem else OutcomeStatus.CONVERGED,
        ending.problem,
        elements,
        np.append(found.temperatures_K, [step.temperature_K for step in ending.steps]),
        np.append(found.solid_fraction, [1.0 - step.left for step in ending.steps]),
        tuple(names),
        amounts,
        parts,
        np.vstack([found.liquid_compositions, liquids]) if before else liquids,
        ending.at_once,
    )


def _balance(whole: Array, liquids: Array, parts: Array) -> tuple[Array, Array]:
    """How much of each solid each step deposits, ``(n, k)``, and the liquid left after it, ``(n,)``.

    From the balance of the elements in each step. The package's own amounts take the second solid of a step
    from what the first has left, which loses some of an element where two solids form together.
    """
    steps, count, _ = parts.shape
    deposited, left = np.zeros((steps, count)), np.ones(steps)
    liquid, before = 1.0, whole
    for n in range(steps):
        present = np.flatnonzero(np.isfinite(parts[n]).all(axis=1))
        share, _ = balance(np.vstack([parts[n, present], liquids[n]]), before)
        deposited[n, present] = liquid * share[:-1]
        liquid *= share[-1]
        left[n], before = liquid, liquids[n]
    return deposited, left

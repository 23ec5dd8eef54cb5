"""Which property values a palette can reach: exactly where the property allows it, else by search.

The properties of :mod:`hea_loop.prediction` that are averages over the atoms are linear in the composition, the
density is a ratio of two linear forms, and Rice's toughness is ``sqrt(2 G E / (1 - nu))`` of three linear forms.
An interval on the first two is a pair of linear inequalities, ``low * V(x) <= M(x) <= high * V(x)`` for the
density; an interval on Rice's toughness becomes one once G lies in a narrow piece ``[G1, G2]``:
``E G2 >= c (1 - nu)`` is implied by ``K >= k`` and ``E G1 <= c (1 - nu)`` by ``K <= k``, with ``c = k^2 / 2``.
The palette itself (present or absent, bounds, number of elements) is a mixed-integer linear set. So whether any
composition meets targets on these properties is decided by mixed-integer linear programs (HiGHS, by way of
``scipy.optimize.milp``) and a bisection of the range of G: either a composition is found or there is a proof
that there is none. For the other properties, and for those that a learned model predicts, compositions are searched
from many starts, and "not found" is said as that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from hea_loop.composition import RESOLUTION, Composition, atomic_masses
from hea_loop.elasticity import (
    ElasticModel,
    learned_targets,
    predicted_means,
    require_predictable_elements,
)
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.prediction import METHODS, missing_inputs, predict_array

__all__ = ["Answer", "Intervals", "Reach", "decide", "reachable_range", "require_predictable"]

Array = NDArray[np.float64]
Parts = NDArray[np.int64]
Intervals = Mapping[str, tuple[float, float]]
"""Property to (low, high) in its unit, infinite where open."""

_LINEAR_METHODS: Final = frozenset({"linear-combination-bcc/1", "atom-average/1"})
_DENSITY, _DENSITY_METHOD = "density", "additive-volume/1"
_RICE, _RICE_METHOD = "fracture_toughness_rice", "linear-combination-bcc/1 + rice/1"
_RICE_UNIT: Final = math.sqrt(constants.giga) / constants.mega  # sqrt(GPa J/m2) in MPa m^0.5

_NARROWEST: Final = 1e-3
"""Relative width of a piece of G below which it is left open: it moves Rice's toughness by 0.05%."""
_STARTS: Final = 48
"""Compositions from which a search starts."""
_LEARNED_STARTS: Final = 4
"""The same where a learned model predicts something: it takes a hundred times as long as a formula."""
_POLISHED: Final = 4
"""Of them, how many are also moved in all elements at once where exchanges of two do not get there."""
_ROUNDS: Final = 250
_FIRST_STEP: Final = 128  # parts per thousand moved at first; halved where no move helps
_ROWS_AT_ONCE: Final = 60_000
_UNBOUNDED: Final = 1e9  # omega grows without bound where the enthalpy of mixing passes through zero


@dataclass(frozen=True, slots=True)
class Reach:
    """Least and largest value of one property in a palette.

    Attributes:
        low: Least value found, in the property's unit.
        high: Largest.
        at_low: A composition that has it.
        at_high: Likewise.
        exact: True where no composition can lie beyond (for Rice's toughness by more than 0.2%); False where the
            values are the best of a search from many starts.
    """

    low: float
    high: float
    at_low: Composition
    at_high: Composition
    exact: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether some composition of a palette lies in all intervals.

    Attributes:
        reachable: True where :attr:`composition` lies in all of them.
        proved: True where there is such a composition, or where there is none by proof; False where a search
            found none.
        composition: The one that does, or the nearest one found.
        values: Its properties, in their units.
        misses: Property to how far it lies outside its interval: negative below it, positive above; only
            those that miss.
    """

    reachable: bool
    proved: bool
    composition: Composition
    values: Mapping[str, float]
    misses: Mapping[str, float]
    between_steps: bool = False
    """Whether some fractions lie in all intervals, but no composition in steps of 0.1 at.% was found that does."""


def require_predictable(palette: Palette, names: Sequence[str]) -> None:
    """Refuse a palette of which an alloy could lack the data that a property needs.

    Raises:
        InputError: An element, or a pair of elements, without data.
    """
    everything = Composition.from_fractions(
        palette.elements, [1 / len(palette.elements)] * len(palette.elements)
    )
    require_predictable_elements(palette.elements, [n for n in names if n not in METHODS])
    for name in names:
        if name in METHODS and (lacking := missing_inputs(everything, name)):
            raise InputError(
                "palette.elements",
                list(palette.elements),
                f"{name} cannot be predicted for {', '.join(sorted(lacking))}",
                f"leave {'it' if len(lacking) == 1 else 'them'} out, or drop the target",
            )


# -- the palette and the linear properties as a mixed-integer linear set ---------------------------------------


class _LinearSet:
    """Palette constraints, and rows of property constraints, over fractions x and presences z.

    Attributes:
        palette: The palette.
        forms: Values of the pure elements by property: the coefficients of the linear forms; of the density its
            molar masses and volumes under ``mass`` and ``volume``.
    """

    def __init__(self, palette: Palette, names: Sequence[str]) -> None:
        self.palette = palette
        self.forms = _pure_values(palette.elements, names)
        m = len(palette.elements)
        low, high = np.array(palette.lower) / RESOLUTION, np.array(palette.upper) / RESOLUTION
        eye = np.eye(m)
        ones, zeros = np.ones((1, m)), np.zeros((1, m))
        rows = [
            np.hstack([ones, zeros]),
            np.hstack([zeros, ones]),
            np.hstack([eye, -np.diag(low)]),
            np.hstack([eye, -np.diag(high)]),
        ]
        inf = np.full(m, np.inf)
        self._rows = np.vstack(rows)
        self._least = np.concatenate([[1.0, palette.min_elements], np.zeros(m), -inf])
        self._most = np.concatenate([[1.0, palette.max_elements], inf, np.zeros(m)])
        self._present = np.array(palette.required, dtype=float)

    def best(self, objective: Array | None, rows: Sequence[tuple[Array, float, float]]) -> Array | None:
        """Composition with the least objective under the rows; None where there is none.

        Args:
            objective: ``m`` coefficients; None for any composition.
            rows: ``(coefficients, least, most)`` on the fractions.

        Returns:
            ``m`` fractions.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp

        m = len(self.palette.elements)
        cost = np.zeros(2 * m)
        if objective is not None:
            cost[:m] = objective / max(float(np.abs(objective).max()), 1e-300)
        constraints: list[Any] = [LinearConstraint(self._rows, self._least, self._most)]
        for coefficients, least, most in rows:
            scale = max(float(np.abs(coefficients).max()), 1e-300)
            row = np.concatenate([coefficients / scale, np.zeros(m)])
            constraints.append(LinearConstraint(row[None, :], least / scale, most / scale))
        found = milp(
            cost,
            integrality=np.concatenate([np.zeros(m), np.ones(m)]),
            bounds=Bounds(np.concatenate([np.zeros(m), self._present]), np.ones(2 * m)),
            constraints=constraints,
        )
        if found.x is None:
            return None
        x = np.clip(np.asarray(found.x[:m], dtype=float), 0, None)
        out: Array = np.where(x < 1e-7, 0.0, x)
        whole: Array = out / out.sum()
        return whole


def _pure_values(elements: tuple[str, ...], names: Sequence[str]) -> dict[str, Array]:
    eye = np.eye(len(elements))
    forms: dict[str, Array] = {}
    for name in names:
        if METHODS[name] in _LINEAR_METHODS:
            forms[name] = predict_array(eye, elements, (name,))[name]
    if _is_fraction(names):
        masses = np.array([atomic_masses()[e] for e in elements])
        forms["mass"] = masses
        forms["volume"] = masses / predict_array(eye, elements, (_DENSITY,))[_DENSITY]
    if _is_rice(names):
        parts = ("shear_modulus", "unstable_stacking_fault_energy", "poisson_ratio")
        forms |= predict_array(eye, elements, parts)
    return forms


def _is_fraction(names: Sequence[str]) -> bool:
    return _DENSITY in names and METHODS[_DENSITY] == _DENSITY_METHOD


def _is_rice(names: Sequence[str]) -> bool:
    return _RICE in names and METHODS[_RICE] == _RICE_METHOD


def _is_exact(name: str) -> bool:
    return METHODS[name] in _LINEAR_METHODS or _is_fraction((name,)) or _is_rice((name,))


def _rows_of(intervals: Intervals, forms: Mapping[str, Array]) -> list[tuple[Array, float, float]]:
    """Linear rows of the intervals that are linear: of averages over the atoms, and of the density."""
    rows = []
    for name, (low, high) in intervals.items():
        if METHODS[name] in _LINEAR_METHODS:
            rows.append((forms[name], low, high))
        elif _is_fraction((name,)):
            if math.isfinite(low):
                rows.append((forms["mass"] - low * forms["volume"], 0.0, math.inf))
            if math.isfinite(high):
                rows.append((forms["mass"] - high * forms["volume"], -math.inf, 0.0))
    return rows


def _relaxed(space: _LinearSet, intervals: Intervals) -> tuple[str, Array | None]:
    """Decide the intervals on the exact properties, over the continuous palette.

    Returns:
        ``found`` with fractions, ``impossible``, or ``open`` with the fractions that came nearest (within the
        width of a narrow piece of G).
    """
    rows = _rows_of(intervals, space.forms)
    if not (_is_rice(tuple(intervals)) and any(map(math.isfinite, intervals[_RICE]))):
        x = space.best(None, rows)
        return ("impossible", None) if x is None else ("found", x)
    g, energy = space.forms["shear_modulus"], space.forms["unstable_stacking_fault_energy"]
    rest = 1 - space.forms["poisson_ratio"]
    low, high = (k**2 / (2 * _RICE_UNIT**2) if math.isfinite(k) else k for k in intervals[_RICE])
    softest, stiffest = space.best(g, rows), space.best(-g, rows)
    if softest is None or stiffest is None:
        return "impossible", None
    pieces = [(float(g @ softest), float(g @ stiffest))]
    left_open: Array | None = None
    while pieces:
        bottom, top = pieces.pop()
        piece = [*rows, (g, bottom - 1e-9, top + 1e-9)]
        if math.isfinite(low) and low > 0:
            piece.append((energy * top - low * rest, 0.0, math.inf))
        if math.isfinite(high):
            piece.append((energy * bottom - high * rest, -math.inf, 0.0))
        x = space.best(None, piece)
        if x is None:
            continue
        # G E / (1 - nu) of the relaxed point itself
        ratio = float((g @ x) * (energy @ x) / (rest @ x))
        if low * (1 - 1e-9) <= ratio <= high * (1 + 1e-9):
            return "found", x
        if top - bottom <= _NARROWEST * max(abs(top), 1e-9):
            left_open = x
            continue
        middle = (bottom + top) / 2
        pieces += [(bottom, middle), (middle, top)]
    return ("impossible", None) if left_open is None else ("open", left_open)


# -- search on the palette's own grid --------------------------------------------------------------------------


def _parts_of(compositions: Sequence[Composition], palette: Palette) -> Parts:
    rows = [[dict(c.parts).get(e, 0) for e in palette.elements] for c in compositions]
    return np.array(rows, dtype=np.int64).reshape(-1, len(palette.elements))


def _composition(parts: Parts, palette: Palette) -> Composition:
    return Composition(tuple((e, int(n)) for e, n in zip(palette.elements, parts, strict=True) if n > 0))


def _moves(states: Parts, steps: Parts, palette: Palette) -> tuple[Parts, NDArray[np.intp]]:
    """All pairwise exchanges of the states that stay in the palette.

    An exchange moves the state's step from one element to another; it also moves what brings an absent
    element to its least amount, or takes away the whole of a present one.

    Returns:
        ``k x m`` parts, and the state each came from.
    """
    low, high = np.array(palette.lower), np.array(palette.upper)
    required = np.array(palette.required)
    m = states.shape[1]
    giver, taker = (index.ravel() for index in np.indices((m, m)))
    pairs = giver != taker
    giver, taker = giver[pairs], taker[pairs]
    given = states[:, giver]
    amounts = np.stack(
        [
            np.broadcast_to(steps[:, None], given.shape),
            np.where(states[:, taker] == 0, np.maximum(low[taker], 1), 0),
            given,
            np.where(given > 0, given - low[giver], 0),
        ],
        axis=-1,
    )
    amounts = np.where((amounts > 0) & (amounts <= given[..., None]), amounts, 0)
    origin, pair, kind = np.nonzero(amounts)
    moved = states[origin].copy()
    amount = amounts[origin, pair, kind]
    rows = np.arange(len(moved))
    moved[rows, giver[pair]] -= amount
    moved[rows, taker[pair]] += amount
    present = moved > 0
    number = present.sum(axis=1)
    kept = (
        (present | ~required).all(axis=1)
        & (~present | ((moved >= low) & (moved <= high))).all(axis=1)
        & (number >= palette.min_elements)
        & (number <= palette.max_elements)
    )
    return moved[kept], origin[kept]


def _descend(
    states: Parts, objective: Callable[[Parts], Array], palette: Palette, stop: float = -math.inf
) -> tuple[Parts, float]:
    """Steepest pairwise descent of each state, with steps of 12.8 at.% halved down to 0.1 at.%.

    Args:
        states: ``s x m`` parts to start from, within the palette.
        objective: ``k x m`` parts to ``k`` numbers, to be made small.
        palette: Where to stay.
        stop: Enough.

    Returns:
        The best parts found and their objective.
    """
    states = np.unique(states, axis=0)
    now = objective(states)
    best, least = states[int(now.argmin())], float(now.min())
    steps = np.full(len(states), _FIRST_STEP)
    for _ in range(_ROUNDS):
        if least <= stop or not len(states):
            break
        # fewer states as the exchanges grow in number with the elements
        most = max(1, _ROWS_AT_ONCE // (4 * states.shape[1] ** 2))
        if len(states) > most:
            kept = np.argsort(now, kind="stable")[:most]
            states, now, steps = states[kept], now[kept], steps[kept]
        moved, origin = _moves(states, steps, palette)
        if len(moved):
            value = objective(moved)
            order = np.lexsort((value, origin))
            firsts = order[np.unique(origin[order], return_index=True)[1]]
            target = origin[firsts]
            gained = value[firsts] < now[target] - 1e-12 * np.abs(now[target])
            states[target[gained]] = moved[firsts[gained]]
            now[target[gained]] = value[firsts[gained]]
            stuck = np.ones(len(states), dtype=bool)
            stuck[target[gained]] = False
        else:
            stuck = np.ones(len(states), dtype=bool)
        if float(now.min()) < least:
            best, least = states[int(now.argmin())].copy(), float(now.min())
        steps = np.where(stuck, steps // 2, steps)
        states, now, steps = states[steps > 0], now[steps > 0], steps[steps > 0]
    return best, least


def _predicted(
    parts: Parts, palette: Palette, names: Sequence[str], elasticity: ElasticModel | None
) -> dict[str, Array]:
    return predicted_means(parts / RESOLUTION, palette.elements, names, elasticity)


def _misses(values: Mapping[str, Array], intervals: Intervals) -> dict[str, Array]:
    """How far values lie outside their intervals, signed; NaN counts as infinitely far above."""
    out = {}
    for name, (low, high) in intervals.items():
        value = np.where(np.isnan(values[name]), np.inf, values[name])
        with np.errstate(invalid="ignore"):  # infinity above an open side misses nothing
            out[name] = np.where(value < low, value - low, np.where(value > high, value - high, 0.0))
    return out


def _spreads(values: Mapping[str, Array]) -> dict[str, float]:
    out = {}
    for name, column in values.items():
        finite = column[np.isfinite(column)]
        spread = float(finite.std()) if len(finite) > 1 else 0.0
        out[name] = spread if spread > 0 else max(abs(float(finite[0])) if len(finite) else 1.0, 1e-12)
    return out


def decide(
    palette: Palette,
    intervals: Intervals,
    starts: Sequence[Composition],
    elasticity: ElasticModel | None = None,
) -> Answer:
    """Find a composition whose predicted properties lie in all intervals, or prove that there is none.

    Args:
        palette: Where it has to lie.
        intervals: On properties of :data:`hea_loop.prediction.PREDICTED_PROPERTIES`.
        starts: Compositions of the palette from which the search starts, the more the better; some
            thousand uniform random ones are meant. The nearest of them are used.
        elasticity: A learned model of some of the properties: of these nothing is proved, only searched.

    Returns:
        The answer. Where the exact properties alone cannot be met together, that is a proof for all of them.

    Raises:
        InputError: An element without the data that a property needs, or no start.
    """
    names = tuple(intervals)
    require_predictable(palette, names)
    parts = _parts_of([c for c in starts if palette.contains(c)], palette)
    if not len(parts):
        raise InputError("starts", len(starts), "hold no composition of the palette", "give some")
    spreads = _spreads(_predicted(parts, palette, names, elasticity))

    def objective(rows: Parts) -> Array:
        misses = _misses(_predicted(rows, palette, names, elasticity), intervals)
        total: Array = np.sum([(misses[n] / spreads[n]) ** 2 for n in names], axis=0)
        return np.nan_to_num(total, nan=1e12, posinf=1e12)

    start_values = objective(parts)
    if float(start_values.min()) <= 0:
        return _answer(parts[int(start_values.argmin())], palette, intervals, elasticity, proved=True)
    learned = learned_targets(names, elasticity)
    order = np.argsort(start_values, kind="stable")[: _LEARNED_STARTS if learned else _STARTS]
    begin = parts[order]
    exact = {n: interval for n, interval in intervals.items() if n not in learned and _is_exact(n)}
    state, hint = _relaxed(_LinearSet(palette, tuple(exact)), exact) if exact else ("open", None)
    if hint is not None:
        begin = np.vstack([begin, _parts_of(palette.snap(hint[None, :]), palette)])
    best, least = _descend(begin, objective, palette, stop=0.0)
    if least > 0 and state != "impossible":
        tried = np.vstack([best[None, :], begin[-1:], begin[:_POLISHED]])
        polished = [_polish(row, palette, intervals, spreads, elasticity) for row in tried]
        found, reached = _descend(np.array(polished), objective, palette, stop=0.0)
        best, least = (found, reached) if reached < least else (best, least)
    answer = _answer(best, palette, intervals, elasticity, proved=least <= 0 or state == "impossible")
    only_between = not answer.reachable and state == "found" and len(exact) == len(intervals)
    return replace(answer, between_steps=only_between)


def _polish(
    parts: Parts,
    palette: Palette,
    intervals: Intervals,
    spreads: Mapping[str, float],
    elasticity: ElasticModel | None,
) -> Parts:
    """Move a composition towards the intervals in all its elements at once, which exchanges of two cannot.

    Sequential quadratic programming on the elements that it has, aimed a little inside the intervals so that
    rounding does not leave them.
    """
    from scipy.optimize import minimize

    inner = {
        name: (low + 0.1 * (high - low), high - 0.1 * (high - low))
        if math.isfinite(high - low)
        else (low, high)
        for name, (low, high) in intervals.items()
    }
    present = np.flatnonzero(parts)
    symbols = tuple(palette.elements[i] for i in present)

    def objective(x: Array) -> float:
        row = np.clip(x, 1e-9, None)
        values = predicted_means((row / row.sum())[None, :], symbols, tuple(intervals), elasticity)
        misses = _misses(values, inner)
        return float(min(sum((misses[n][0] / spreads[n]) ** 2 for n in inner), 1e6))

    bounds = [(palette.lower[i] / RESOLUTION, palette.upper[i] / RESOLUTION) for i in present]
    start: NDArray[np.float64] = parts[present] / RESOLUTION
    found: Any = minimize(  # type: ignore[call-overload]  # the stubs know no equality as a plain dictionary
        objective,
        start,
        method="SLSQP",
        bounds=bounds,
        constraints=[{"type": "eq", "fun": lambda x: x.sum() - 1.0}],
        options={"maxiter": 60, "ftol": 1e-12},
    )
    x = np.zeros(len(parts))
    x[present] = np.clip(found.x, 0, None)
    (moved,) = _parts_of(palette.snap(x[None, :]), palette)
    out: Parts = moved
    return out


def _answer(
    parts: Parts, palette: Palette, intervals: Intervals, elasticity: ElasticModel | None, *, proved: bool
) -> Answer:
    values = _predicted(parts[None, :], palette, tuple(intervals), elasticity)
    misses = {name: float(miss[0]) for name, miss in _misses(values, intervals).items() if miss[0]}
    return Answer(
        reachable=not misses,
        proved=proved,
        composition=_composition(parts, palette),
        values={name: float(value[0]) for name, value in values.items()},
        misses=misses,
    )


def reachable_range(palette: Palette, name: str, starts: Sequence[Composition]) -> Reach:
    """Return the least and the largest value of a predicted property in a palette.

    Args:
        palette: Where the compositions lie.
        name: One of :data:`hea_loop.prediction.PREDICTED_PROPERTIES`.
        starts: As in :func:`decide`.

    Raises:
        InputError: An element without the data that the property needs.
    """
    require_predictable(palette, (name,))
    parts = _parts_of([c for c in starts if palette.contains(c)], palette)
    ends = []
    for sign in (1.0, -1.0):

        def objective(rows: Parts, sign: float = sign) -> Array:
            values = sign * _predicted(rows, palette, (name,), None)[name]
            return np.where(np.isfinite(values), values, np.inf)

        begin = parts[np.argsort(objective(parts), kind="stable")[: _STARTS // 2]]
        best, value = _descend(begin, objective, palette)
        if _is_exact(name):
            hint = _extreme(_LinearSet(palette, (name,)), name, sign, best / RESOLUTION)
            best, value = _descend(
                np.vstack([best[None, :], _parts_of(palette.snap(hint[None, :]), palette)]),
                objective,
                palette,
            )
        ends.append((best, sign * value))
    (least, low), (most, high) = ends
    return Reach(
        low,
        high if high < _UNBOUNDED else math.inf,
        _composition(least, palette),
        _composition(most, palette),
        _is_exact(name),
    )


def _extreme(space: _LinearSet, name: str, sign: float, start: Array) -> Array:
    """Fractions with the least value (sign 1) or the largest (sign -1) of an exact property."""
    x = start
    if METHODS[name] in _LINEAR_METHODS:
        return _found(space.best(sign * space.forms[name], []))
    if name == _DENSITY:
        # a ratio of linear forms: Dinkelbach, Manag. Sci. 13 (1967) 492, doi 10.1287/mnsc.13.7.492
        mass, volume = space.forms["mass"], space.forms["volume"]
        for _ in range(50):
            ratio = float(mass @ x / (volume @ x))
            x = _found(space.best(sign * (mass - ratio * volume), []))
            if abs(float(mass @ x / (volume @ x)) - ratio) <= 1e-9 * ratio:
                break
        return x
    # Rice's toughness: push the bound until nothing lies 0.1% beyond it
    while True:
        g, e, nu = (
            float(space.forms[n] @ x)
            for n in ("shear_modulus", "unstable_stacking_fault_energy", "poisson_ratio")
        )
        k = _RICE_UNIT * math.sqrt(2 * g * e / (1 - nu))
        beyond = (-math.inf, 0.999 * k) if sign > 0 else (1.001 * k, math.inf)
        state, better = _relaxed(space, {_RICE: beyond})
        if state != "found" or better is None:
            return x
        x = better


def _found(x: Array | None) -> Array:
    if x is None:
        raise InputError("palette", None, "holds no composition", "widen the bounds")
    return x

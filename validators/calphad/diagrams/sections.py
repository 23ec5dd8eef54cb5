"""Vertical sections (isopleths) and horizontal ones (isothermal ternaries) through an alloy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.assemblages import Equilibria, Progress
from validators.calphad.diagrams.columns import ColumnSearch, field_of, require_range
from validators.calphad.diagrams.profile import DEFAULT_LOW_K
from validators.calphad.equilibrium import BCC, MAX_TEMPERATURE_K, require_temperature
from validators.calphad.screening import NotVectorisable, Screening, melting_range, screen
from validators.calphad.screening.stability import TOLERANCE_J
from validators.calphad.screening.system import is_liquid

__all__ = [
    "Field",
    "Isopleth",
    "TernarySection",
    "isopleth",
    "isopleth_between",
    "map_fields",
    "ternary_section",
]

Array = NDArray[np.float64]
Field = tuple[float, float, tuple[str, ...]]
"""Lowest and highest temperature, K, and the phases between them."""

_STEP_K: Final = 31.0
_COLUMNS: Final = 41
_REFINEMENTS: Final = 2  # columns added half way between two whose fields differ
_ABOVE_LIQUIDUS_K: Final = 100.0
_UNKNOWN_LIQUIDUS_K: Final = 4200.0
_DIVISIONS: Final = 50
_TOLERANCE_K: Final = 1.0


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Fields of phases of ``c`` compositions on a line.

    Attributes:
        coordinates: ``(c,)`` rising.
        range_K: Lowest and highest temperature.
        fields: For each composition its fields by rising temperature.
        unanswered: ``(u, 2)`` coordinate and temperature of points without an answer.
    """

    coordinates: Array
    range_K: tuple[float, float]
    fields: tuple[tuple[Field, ...], ...]
    unanswered: Array


@dataclass(frozen=True, slots=True)
class Isopleth:
    """A vertical section: ``c`` compositions on a straight line.

    Attributes:
        start: Atomic fractions at coordinate 0.
        end: Atomic fractions at coordinate 1.
        element: The element whose fraction is the abscissa; empty where the line is one between two alloys.
        database: Name of the database.
        coordinates: ``(c,)``: atomic fraction of ``element``, or 0 to 1 from ``start`` to ``end``.
        range_K: Lowest and highest temperature.
        fields: For each composition its fields by rising temperature.
        candidate: Coordinate of the alloy; NaN where it is not on the line.
        unanswered: ``(u, 2)`` coordinate and temperature of points without an answer.
    """

    start: dict[str, float]
    end: dict[str, float]
    element: str
    database: str
    coordinates: Array
    range_K: tuple[float, float]
    fields: tuple[tuple[Field, ...], ...]
    candidate: float
    unanswered: Array


@dataclass(frozen=True, slots=True)
class TernarySection:
    """An isothermal section: ``n`` points of a triangle.

    Attributes:
        elements: Of the corners.
        others: Atomic fractions of elements that are the same everywhere; the corners share the rest.
        database: Name of the database.
        temperature_K: K.
        fractions: ``(n, 3)`` of the corners' elements among themselves, rows that sum to one.
        phases: For each point its phases, alphabetical; empty where there is no answer.
        driving_force: ``(n,)`` J per mole of atoms of the most stable competitor against bcc of the point's
            composition, positive where bcc alone is not stable; NaN where screening cannot tell.
        candidate: The alloy's shares of the three elements, sum one; NaN where it has none of them.
        inside: Whether the alloy lies in this section, rather than being projected onto it.
    """

    elements: tuple[str, str, str]
    others: dict[str, float]
    database: str
    temperature_K: float
    fractions: Array
    phases: tuple[tuple[str, ...], ...]
    driving_force: Array
    candidate: tuple[float, float, float]
    inside: bool


def map_fields(
    compositions: Callable[[Array], Array],
    coordinates: Array,
    elements: Sequence[str],
    database: CalphadDatabase,
    *,
    low_K: float = DEFAULT_LOW_K,
    high_K: float | None = None,
    step_K: float = _STEP_K,
    progress: Progress | None = None,
) -> FieldMap:
    """Fields of phases along a line of compositions, transitions enclosed to 1 K.

    Columns are added half way between neighbours that have different fields.

    Args:
        compositions: From ``(c,)`` coordinates to ``(c, m)`` atomic fractions.
        coordinates: ``(c,)`` rising, to begin with.
        elements: The ``m`` elements.
        database: From :func:`validators.calphad.load_database`.
        low_K: Lowest temperature, K.
        high_K: Highest, K; None is 100 K above the highest liquidus.
        step_K: Step of the grid, K.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: An element that the database does not have, or a range that is none.
    """
    if high_K is None:
        high_K = _highest_liquidus(compositions(coordinates), elements, database) + _ABOVE_LIQUIDUS_K
        high_K = max(min(high_K, MAX_TEMPERATURE_K), min(low_K + 100.0, MAX_TEMPERATURE_K))
    low, high = require_range(low_K, high_K)
    grid = np.linspace(low, high, max(2, math.ceil((high - low) / step_K) + 1))
    search = ColumnSearch(database, elements, tolerance_K=_TOLERANCE_K, progress=progress)
    places = np.asarray(coordinates, dtype=float)
    search.add(compositions(places), grid)
    for refinement in range(_REFINEMENTS + 1):
        order = [int(k) for k in np.argsort(places, kind="stable")]
        search.spread(order)
        sorted_places = places[order]
        kinds = [[names for _, _, names in search.column(k).fields()] for k in order]
        between = [
            (sorted_places[k] + sorted_places[k + 1]) / 2
            for k in range(len(order) - 1)
            if kinds[k] != kinds[k + 1]
        ]
        if refinement == _REFINEMENTS or not between:
            break
        new = np.array(between)
        search.add(compositions(new), grid)
        places = np.concatenate([places, new])
    found = [search.column(k) for k in order]
    return FieldMap(
        sorted_places,
        (low, high),
        tuple(c.fields() for c in found),
        np.array(
            [
                [x, a.temperature_K]
                for x, c in zip(sorted_places, found, strict=True)
                for a in c.answers
                if not a.phases
            ]
        ).reshape(-1, 2),
    )


def _against_bcc(answers: Screening) -> Array:
    """``(n,)`` driving force of the most stable phase other than bcc, or of a second bcc where it is stable.

    A second bcc that is not stable is left out: its minimum lies anywhere up to the first, at zero.
    """
    force = np.full(len(answers.energy), -np.inf)
    for name, values in answers.driving_forces.items():
        force = np.maximum(force, np.where(values > TOLERANCE_J, values, -np.inf) if name == BCC else values)
    return force


def _highest_liquidus(fractions: Array, elements: Sequence[str], database: CalphadDatabase) -> float:
    if not any(map(is_liquid, database.phases)):
        return _UNKNOWN_LIQUIDUS_K
    try:
        liquidus = melting_range(fractions, elements, database, tolerance_K=10.0).liquidus_K
    except NotVectorisable:
        return _UNKNOWN_LIQUIDUS_K
    return float(np.nanmax(liquidus)) if np.isfinite(liquidus).any() else _UNKNOWN_LIQUIDUS_K


def isopleth(
    composition: Composition,
    element: str,
    database: CalphadDatabase,
    *,
    low: float = 0.0,
    high: float = 1.0,
    low_K: float = DEFAULT_LOW_K,
    high_K: float | None = None,
    points: int = _COLUMNS,
    progress: Progress | None = None,
) -> Isopleth:
    """The section on which one element's fraction changes and the others keep their ratios.

    Args:
        composition: The alloy.
        element: The element; it may be one that the alloy does not have.
        database: From :func:`validators.calphad.load_database`.
        low: Lowest atomic fraction of the element.
        high: Highest.
        low_K: Lowest temperature, K.
        high_K: Highest, K; None is 100 K above the highest liquidus.
        points: Number of compositions; more are added where neighbours have different fields.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: An element that the database does not have, an alloy of that element alone, fractions or
            temperatures that are no range.
    """
    database.require(composition)
    database.require_elements({*composition.elements, element}, field="isopleth", value=element)
    if not (0.0 <= low < high <= 1.0):
        raise InputError(
            "isopleth",
            f"{element}:{low:g}:{high:g}",
            "is no range of atomic fractions within 0 to 1",
            f"give it as in {element}:0:0.5",
        )
    rest = {e: x for e, x in composition.fractions.items() if e != element}
    total = sum(rest.values())
    if not rest:
        raise InputError(
            "isopleth",
            element,
            f"is all that {composition.formula} consists of, so there are no others to keep in ratio",
            "vary another element",
        )
    ends = [{element: x, **{e: (1 - x) * v / total for e, v in rest.items()}} for x in (low, high)]
    own = composition.fractions.get(element, 0.0)
    return _line(
        ends[0],
        ends[1],
        element,
        database,
        np.linspace(low, high, points),
        own if low <= own <= high else math.nan,
        (low_K, high_K),
        progress,
    )


def isopleth_between(
    start: Composition,
    end: Composition,
    database: CalphadDatabase,
    *,
    candidate: Composition | None = None,
    low_K: float = DEFAULT_LOW_K,
    high_K: float | None = None,
    points: int = _COLUMNS,
    progress: Progress | None = None,
) -> Isopleth:
    """The section on the straight line from one alloy to another; the arguments as in :func:`isopleth`.

    Args:
        start: Composition at coordinate 0.
        end: Composition at coordinate 1.
        database: From :func:`validators.calphad.load_database`.
        candidate: Alloy to mark where it lies on the line to 0.2 at.%.
        low_K: Lowest temperature, K.
        high_K: Highest, K; None is 100 K above the highest liquidus.
        points: Number of compositions; more are added where neighbours have different fields.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: An element that the database does not have, the same alloy twice, or a range that is none.
    """
    both = {*start.elements, *end.elements}
    database.require_elements(both, field="isopleth", value=f"{start.formula}:{end.formula}")
    if start == end:
        raise InputError(
            "isopleth", f"{start.formula}:{end.formula}", "is twice the same alloy", "give two that differ"
        )
    place = math.nan
    if candidate is not None:
        elements = sorted({*start.fractions, *end.fractions, *candidate.fractions})
        a, b, c = (np.array([o.fractions.get(e, 0.0) for e in elements]) for o in (start, end, candidate))
        t = float((c - a) @ (b - a) / ((b - a) @ (b - a)))
        if -1e-9 <= t <= 1 + 1e-9 and np.abs(a + t * (b - a) - c).max() < 0.002:
            place = t
    return _line(
        dict(start.fractions),
        dict(end.fractions),
        "",
        database,
        np.linspace(0.0, 1.0, points),
        place,
        (low_K, high_K),
        progress,
    )


def _line(
    start: dict[str, float],
    end: dict[str, float],
    element: str,
    database: CalphadDatabase,
    coordinates: Array,
    candidate: float,
    range_K: tuple[float, float | None],
    progress: Progress | None,
) -> Isopleth:
    elements = tuple(sorted({*start, *end}))
    a, b = (np.array([o.get(e, 0.0) for e in elements]) for o in (start, end))
    ends = float(coordinates[0]), float(coordinates[-1])

    def compositions(places: Array) -> Array:
        x = a + ((places - ends[0]) / (ends[1] - ends[0]))[:, None] * (b - a)
        x = np.where(x < 1e-12, 0.0, x)
        whole: Array = x.sum(axis=1, keepdims=True)
        return x / whole

    low, high = range_K
    low, high = range_K
    found = map_fields(
        compositions, coordinates, elements, database, low_K=low, high_K=high, progress=progress
    )
    return Isopleth(
        {e: v for e, v in start.items() if v > 0},
        {e: v for e, v in end.items() if v > 0},
        element,
        database.name,
        found.coordinates,
        found.range_K,
        found.fields,
        candidate,
        found.unanswered,
    )


def ternary_section(
    elements: Sequence[str],
    temperature_K: float,
    database: CalphadDatabase,
    *,
    candidate: Composition | None = None,
    keep_others: bool = False,
    divisions: int = _DIVISIONS,
    progress: Progress | None = None,
) -> TernarySection:
    """The isothermal section of three elements.

    Args:
        elements: Three different elements of the database.
        temperature_K: K.
        database: From :func:`validators.calphad.load_database`.
        candidate: Alloy to mark.
        keep_others: Keep the candidate's fractions of all other elements; the three share the rest.
        divisions: Of each edge of the triangle; ``(d + 1)(d + 2) / 2`` points.
        progress: Called with points done and their number.

    Raises:
        InputError: Not three elements, one that the database does not have, a temperature out of range, or
            nothing left to share.
    """
    given = "-".join(elements)
    if len(elements) != 3 or len(set(elements)) != 3:
        raise InputError("ternary", given, "is not three elements", "give three, as in Nb-Ti-Zr")
    database.require_elements(elements, field="ternary")
    T = require_temperature(temperature_K)
    corners = (elements[0], elements[1], elements[2])
    own = candidate.fractions if candidate is not None else {}
    shares = np.array([own.get(e, 0.0) for e in corners])
    others = {e: x for e, x in own.items() if e not in corners}
    if keep_others and candidate is not None:
        database.require(candidate)
        if shares.sum() <= 0:
            raise InputError(
                "ternary", given, f"has no element of {candidate.formula}", "name elements that it has"
            )
    inside = candidate is not None and (keep_others or not others)
    fixed = others if keep_others else {}
    steps = np.array(
        [(i, j, divisions - i - j) for i in range(divisions + 1) for j in range(divisions + 1 - i)]
    )
    inner = steps / divisions
    names = (*corners, *fixed)
    left = 1.0 - sum(fixed.values())
    x = np.hstack([inner * left, np.tile(np.array(list(fixed.values())), (len(inner), 1))])
    x /= x.sum(axis=1, keepdims=True)
    found = Equilibria(database, names).at(x, np.full(len(x), T), progress)
    try:
        force = _against_bcc(screen(x, names, T, database))
    except NotVectorisable:
        force = np.full(len(x), np.nan)
    whole = shares.sum()
    a, b, c = (shares / whole).tolist() if whole > 0 else (math.nan,) * 3
    return TernarySection(
        corners,
        fixed,
        database.name,
        T,
        inner,
        tuple(field_of(answer) for answer in found),
        np.where(np.isfinite(force), force, np.nan),
        (a, b, c),
        inside,
    )

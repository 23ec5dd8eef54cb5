"""Binary phase diagrams: boundaries, invariants and extrema from pycalphad's mapping, fields from equilibria.

The mapping (pycalphad's ``BinaryStrategy``) follows each two-phase field along its tie lines. Which phases
stand in which field is read from equilibria on columns of temperature, so a field that the mapping did not
reach shows: it is in the fields and has no boundary.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.diagrams.assemblages import Progress
from validators.calphad.diagrams.columns import require_range
from validators.calphad.diagrams.sections import Field, map_fields
from validators.calphad.equilibrium import PRESENT_ABOVE
from validators.outcome import OutcomeStatus

__all__ = ["BinaryDiagram", "Boundary", "Extremum", "Invariant", "binary_diagram", "extrema"]

Array = NDArray[np.float64]

_STEP_K: Final = 20.0
_STEP_X: Final = 0.02
_COLUMNS: Final = 41
_CLOSE: Final = 0.05  # length of a tie line beside an extremum, atomic fraction
_ENDED: Final = 0.005  # length of the last tie line of a field that ends at an extremum
_NOISE: Final = 0.001  # length below which pycalphad's mapping no longer tells the two ends apart
_PURE: Final = 1e-3  # atomic fraction within which both ends of a diagram are elements
_SAME_K: Final = 2.0  # the mapping follows a boundary more than once
_SAME_X: Final = 0.02


@dataclass(frozen=True, slots=True)
class Boundary:
    """One two-phase field: ``n`` tie lines.

    Attributes:
        phases: The two phases; ``#2`` is the second side of a miscibility gap.
        x: ``(2, n)`` atomic fraction of the second element in each.
        temperatures_K: ``(n,)``, K.
    """

    phases: tuple[str, str]
    x: Array
    temperatures_K: Array


@dataclass(frozen=True, slots=True)
class Invariant:
    """Three phases at one temperature.

    Attributes:
        temperature_K: K.
        phases: Three of them, by rising composition.
        x: Atomic fraction of the second element in each.
    """

    temperature_K: float
    phases: tuple[str, str, str]
    x: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Extremum:
    """Where two phases become one composition: the top of a miscibility gap, a congruent transformation.

    Attributes:
        temperature_K: K.
        phases: The two; twice the same for a gap.
        x: Atomic fraction of the second element.
        highest: Whether the two-phase field lies below; else above.
    """

    temperature_K: float
    phases: tuple[str, str]
    x: float
    highest: bool

    @property
    def is_gap(self) -> bool:
        """Whether it is the end of a miscibility gap."""
        return self.phases[0] == self.phases[1]


@dataclass(frozen=True, slots=True)
class BinaryDiagram:
    """The phase diagram of two elements.

    Attributes:
        elements: The first is at 0, the second at 1.
        database: Name of the database.
        range_K: Lowest and highest temperature.
        status: Failed where the mapping ended in an error: the fields stand, boundaries are missing.
        message: What error.
        boundaries: Two-phase fields.
        invariants: By falling temperature.
        extrema: Of the two-phase fields, by falling temperature; melting and transformation of the elements
            themselves are none.
        fractions: ``(c,)`` of the second element, the columns of ``fields``.
        fields: For each column its fields by rising temperature.
        unanswered: ``(u, 2)`` fraction and temperature of points without an answer.
    """

    elements: tuple[str, str]
    database: str
    range_K: tuple[float, float]
    status: OutcomeStatus
    message: str
    boundaries: tuple[Boundary, ...]
    invariants: tuple[Invariant, ...]
    extrema: tuple[Extremum, ...]
    fractions: Array
    fields: tuple[tuple[Field, ...], ...]
    unanswered: Array


def binary_diagram(
    elements: Sequence[str],
    database: CalphadDatabase,
    *,
    low_K: float = 600.0,
    high_K: float | None = None,
    progress: Progress | None = None,
) -> BinaryDiagram:
    """Draw up the phase diagram of two elements, 2 to 10 s.

    Args:
        elements: Two different elements of the database.
        database: From :func:`validators.calphad.load_database`.
        low_K: Lowest temperature, K.
        high_K: Highest, K; None is 100 K above the highest liquidus.
        progress: Called with points done and points known to be needed so far.

    Raises:
        InputError: Not two elements, one that the database does not have, or a range that is none.
    """
    if len(elements) != 2 or len(set(elements)) != 2:
        raise InputError("binary", "-".join(elements), "is not two elements", "give two, as in Hf-Ta")
    database.require_elements(elements, field="binary")
    first, second = elements
    x = np.linspace(0.0, 1.0, _COLUMNS)
    section = map_fields(
        lambda places: np.stack([1.0 - places, places], axis=1),
        x,
        (first, second),
        database,
        low_K=low_K,
        high_K=high_K,
        progress=progress,
    )
    low, high = require_range(*section.range_K)
    try:
        boundaries, invariants = _mapped(first, second, database, low, high)
        status, message = OutcomeStatus.CONVERGED, ""
    except Exception as error:  # noqa: BLE001 - pycalphad's mapping raises whatever its parts raise
        text = " ".join(str(error).split())[:200]
        boundaries, invariants = (), ()
        status, message = OutcomeStatus.FAILED, f"{type(error).__name__}: {text}"
    return BinaryDiagram(
        (first, second),
        database.name,
        (low, high),
        status,
        message,
        boundaries,
        invariants,
        extrema(boundaries),
        section.coordinates,
        section.fields,
        section.unanswered,
    )


def _mapped(
    first: str, second: str, database: CalphadDatabase, low_K: float, high_K: float
) -> tuple[tuple[Boundary, ...], tuple[Invariant, ...]]:
    from pycalphad import variables as v
    from pycalphad.mapping import BinaryStrategy

    conditions = {
        v.P: 101325.0,
        v.N: 1.0,
        v.T: (low_K, high_K, _STEP_K),
        v.X(second.upper()): (0.0, 1.0, _STEP_X),
    }
    logger = logging.getLogger("pycalphad.mapping")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet, logger.disabled = logger.disabled, True  # it reports each step that it takes back
        try:
            strategy = BinaryStrategy(
                database.parsed, [first.upper(), second.upper(), "VA"], None, conditions=conditions
            )
            strategy.do_map()
            X, T = v.X(second.upper()), v.T
            boundaries = tuple(b for s in strategy.get_tieline_data(X, T) if (b := _boundary(s)) is not None)
            invariants = [_invariant(s) for s in strategy.get_invariant_data(X, T)]
        finally:
            logger.disabled = quiet
    known: list[Invariant] = []
    for one in sorted((i for i in invariants if i is not None), key=lambda i: -i.temperature_K):
        # the mapping comes to an invariant from each of its three fields
        if not any(
            o.phases == one.phases and math.isclose(o.temperature_K, one.temperature_K, abs_tol=1.0)
            for o in known
        ):
            known.append(one)
    return boundaries, tuple(known)


def _boundary(data: Any) -> Boundary | None:
    parts = data.data
    if len(parts) != 2:
        return None
    x = np.array([np.asarray(p.x, dtype=float) for p in parts])
    T = np.asarray(parts[0].y, dtype=float)
    known = np.isfinite(x).all(axis=0) & np.isfinite(T)
    if not known.any():
        return None
    return Boundary((str(parts[0].phase), str(parts[1].phase)), x[:, known], T[known])


def _invariant(data: Any) -> Invariant | None:
    parts = sorted(data.data, key=lambda p: float(np.asarray(p.x)))
    x = [float(np.asarray(p.x)) for p in parts]
    if len(parts) != 3 or not all(-PRESENT_ABOVE <= value <= 1 + PRESENT_ABOVE for value in x):
        return None
    names = tuple(str(p.phase) for p in parts)
    return Invariant(float(np.asarray(parts[0].y)), (names[0], names[1], names[2]), (x[0], x[1], x[2]))


def _ending(boundary: Boundary, way: int) -> Extremum | None:
    """The extremum that a field ends at, from its last tie lines, if they shrink to nothing there."""
    length = (boundary.x[1] - boundary.x[0])[::way]
    if len(length) < 4 or abs(length[-1]) > _ENDED:
        return None
    # the very last ones are the solver's noise
    last = np.flatnonzero(np.abs(length) > _NOISE)[-3:]
    d, x, T = length[last], boundary.x.mean(axis=0)[::way][last], boundary.temperatures_K[::way][last]
    # every field with an element shrinks to nothing there
    inside = ((x > _SAME_X) & (x < 1.0 - _SAME_X)).all()
    if len(d) < 3 or not inside or abs(d[-1]) > _CLOSE or not (np.diff(np.abs(d)) < 0.0).all():
        return None
    if not ((d > 0.0).all() or (d < 0.0).all()):
        return None
    slope, top = np.polyfit(d**2, T, 1)
    first, second = sorted(p.partition("#")[0] for p in boundary.phases)
    return Extremum(
        float(top), (first, second), float(np.polyval(np.polyfit(d, x, 1), 0.0)), bool(slope < 0.0)
    )


def extrema(boundaries: Sequence[Boundary]) -> tuple[Extremum, ...]:
    """Where tie lines change their sign between neighbours or shrink to nothing, each place once.

    The mapping goes on beyond an extremum, or ends at it. A tie line of length zero is an extremum of its field
    (Gibbs and Konovalov). Temperature and composition depend smoothly on its length: a parabola and a straight
    line through the nearest ones give both.

    Args:
        boundaries: Two-phase fields, each tie line beside the next.
    """
    found: list[tuple[float, Extremum]] = []
    for boundary in boundaries:
        length = boundary.x[1] - boundary.x[0]
        middle = boundary.x.mean(axis=0)
        for k in np.flatnonzero(length[:-1] * length[1:] < 0.0):
            near = slice(max(0, k - 1), k + 3)
            d, x, T = length[near], middle[near], boundary.temperatures_K[near]
            inside = ((x > _PURE) & (x < 1.0 - _PURE)).all()
            if len(d) < 3 or not inside or np.abs(d).min() > _CLOSE:
                continue
            curvature, _, top = np.polyfit(d, T, 2)
            first, second = sorted(p.partition("#")[0] for p in boundary.phases)
            place = float(np.polyval(np.polyfit(d, x, 1), 0.0))
            highest = bool(curvature < 0.0)
            found.append((float(np.abs(d).max()), Extremum(float(top), (first, second), place, highest)))
        found += [(_CLOSE, one) for way in (1, -1) if (one := _ending(boundary, way)) is not None]
    known: list[Extremum] = []
    for _, one in sorted(found, key=lambda f: f[0]):
        if not any(
            o.phases == one.phases
            and math.isclose(o.temperature_K, one.temperature_K, abs_tol=_SAME_K)
            and math.isclose(o.x, one.x, abs_tol=_SAME_X)
            for o in known
        ):
            known.append(one)
    return tuple(sorted(known, key=lambda e: -e.temperature_K))

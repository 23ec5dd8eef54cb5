"""What each diagram of ``hea-loop check`` prints, gives as JSON, draws and tabulates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.diagram_files import Table
from app.output import number, print_table, print_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hea_loop.composition import Composition
    from validators.calphad.diagrams import (
        BinaryDiagram,
        Extremum,
        Isopleth,
        PhaseProfile,
        Solidification,
        TernarySection,
    )

__all__ = ["binary_output", "isopleth_output", "profile_output", "scheil_output", "ternary_output"]

_ROWS: Final = 24  # of a table in the terminal, about; the CSV has all


def _kelvin(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None


def _percents(fractions: Mapping[str, float]) -> str:
    return " ".join(f"{e} {100 * x:.1f}" for e, x in fractions.items())


def profile_output(found: PhaseProfile, *, quiet: bool) -> tuple[dict[str, Any], Figure, Table]:
    """Phase fractions against temperature: fractions, transitions, solidus, liquidus and solvus."""
    from hea_loop.figures.phases import profile_figure
    from validators.calphad.screening.system import is_liquid

    marks = {"solidus": found.solidus_K, "liquidus": found.liquidus_K, "Laves solvus": found.laves_solvus_K}
    solvus = {p: _kelvin(found.solvus_K(p)) for p in found.phases if not is_liquid(p)}
    name = found.composition.formula
    if not quiet:
        step = max(1, len(found.temperatures_K) // _ROWS)
        chosen = sorted({*range(0, len(found.temperatures_K), step), len(found.temperatures_K) - 1})
        print_table(
            f"{name}: phase fractions ({found.database}, {found.tier})",
            ["T/K>", *(f"{n}>" for n in found.names)],
            [
                (f"{found.temperatures_K[k]:.0f}", *(f"{x:.3f}" if x else "" for x in found.fractions[k]))
                for k in chosen
                if k >= 0
            ],
        )
        print_table(
            f"{name}: transitions",
            ["T/K>", "+-/K>", "below", "above"],
            [
                (
                    f"{t.temperature_K:.1f}",
                    f"{t.tolerance_K / 2:.1f}",
                    " + ".join(t.below),
                    " + ".join(t.above),
                )
                for t in found.transitions
            ],
        )
        print_text("; ".join(f"{n} {number(t)} K" for n, t in marks.items() if math.isfinite(t)))
        windows = ", ".join(f"{low:.0f}-{high:.0f} K" for low, high in found.bcc_windows_K) or "nowhere"
        ends = (
            f"{found.temperatures_K[0]:.0f}-{found.temperatures_K[-1]:.0f} K"
            if len(found.temperatures_K)
            else ""
        )
        print_text(f"BCC alone: {windows} (within {ends})")
        if found.unanswered_K:
            print_text(f"no answer at {', '.join(f'{t:.0f} K' for t in found.unanswered_K)}")
    detail = {
        "tier": found.tier,
        "database": found.database,
        "solidus_K": _kelvin(found.solidus_K),
        "liquidus_K": _kelvin(found.liquidus_K),
        "laves_solvus_K": _kelvin(found.laves_solvus_K),
        "solvus_K": solvus,
        "single_phase_bcc_K": [[round(a, 1), round(b, 1)] for a, b in found.bcc_windows_K],
        "transitions": [
            {
                "temperature_K": round(t.temperature_K, 2),
                "tolerance_K": round(t.tolerance_K, 2),
                "below": list(t.below),
                "above": list(t.above),
            }
            for t in found.transitions
        ],
        "elements": list(found.elements),
        "phases": list(found.names),
        "temperatures_K": [round(float(t), 2) for t in found.temperatures_K],
        "fractions": found.fractions.tolist(),
        "compositions": found.compositions.tolist(),
        "unanswered_K": list(found.unanswered_K),
        "rests_on": (found.elements, found.phases),
    }
    detail["compositions"] = [
        [None if math.isnan(entry[0]) else entry for entry in row] for row in detail["compositions"]
    ]
    figure = profile_figure(
        found.temperatures_K, found.names, found.fractions, title=f"{name}, {found.database}", marks=marks
    )
    rows: list[Sequence[object]] = [
        (round(float(T), 2), entry, float(found.fractions[n, k]), *found.compositions[n, k].tolist())
        for n, T in enumerate(found.temperatures_K)
        for k, entry in enumerate(found.names)
        if found.fractions[n, k] > 0
    ]
    columns = ("temperature_K", "phase", "fraction", *(f"x_{e}" for e in found.elements))
    return detail, figure, Table(columns, rows)


def _print_casting(found: Solidification) -> None:
    """How a path ended, what is there as cast, and where the elements went."""
    from validators.calphad.diagrams.solidification import LIQUID_LEFT

    name, last = found.composition.formula, number(found.final_temperature_K)
    if found.frozen_at_once:
        solids = " + ".join(found.invariant_solids)
        print_text(f"{name}, Scheil: the last {found.frozen_at_once:.1%} freeze at {last} K as {solids}")
    else:
        print_text(f"{name}, Scheil: last liquid ({LIQUID_LEFT:.0%}) at {last} K")
    cast = ", ".join(f"{p} {x:.3f}" for p, x in found.as_cast.items())
    print_text(f"as cast: {cast}" + (f", liquid {number(found.liquid_left)}" if found.liquid_left else ""))
    print_table(
        f"{name}: segregation / at.%",
        ["element!", "alloy>", "first solid>", "last liquid>", "partition>"],
        [
            (
                e,
                f"{100 * found.composition.fractions[e]:.1f}",
                f"{100 * found.first_solid[e]:.1f}",
                f"{100 * found.last_liquid[e]:.1f}",
                number(found.partition[e], 3),
            )
            for e in found.elements
        ],
    )


def scheil_output(
    found: Solidification, profile: PhaseProfile | None, *, quiet: bool
) -> tuple[dict[str, Any], Figure, Table]:
    """Solidification after Scheil; the lever rule beside it where a profile is there."""
    from hea_loop.figures.phases import solidification_figure
    from validators.calphad.screening.system import is_liquid

    name = found.composition.formula
    if not quiet:
        if found.status.value == "converged":
            _print_casting(found)
        else:
            print_text(f"{name}, Scheil: {found.status.value}: {found.message}")
    detail = {
        "outcome": found.status.value,
        "message": found.message,
        "final_temperature_K": _kelvin(found.final_temperature_K),
        "liquid_left": None if math.isnan(found.liquid_left) else found.liquid_left,
        "frozen_at_once": found.frozen_at_once,
        "invariant_solids": list(found.invariant_solids),
        "as_cast": found.as_cast,
        "first_solid": found.first_solid,
        "last_liquid": found.last_liquid,
        "partition": found.partition,
        "elements": list(found.elements),
        "phases": list(found.phases),
        "temperatures_K": found.temperatures_K.tolist(),
        "solid_fraction": found.solid_fraction.tolist(),
        "amounts": found.amounts.tolist(),
        "liquid_compositions": found.liquid_compositions.tolist(),
        "rests_on": (found.composition.elements, found.phases),
    }
    lever = None
    if profile is not None:
        liquid = [k for k, n in enumerate(profile.names) if is_liquid(n)]
        lever = (profile.temperatures_K, 1.0 - profile.fractions[:, liquid].sum(axis=1))
    figure = solidification_figure(
        found.temperatures_K,
        found.solid_fraction,
        found.phases,
        found.amounts,
        found.elements,
        found.liquid_compositions,
        title=f"{name}, {found.database}"
        + ("" if found.status.value == "converged" else f" ({found.status.value})"),
        equilibrium=lever,
    )
    columns = (
        "temperature_K",
        "solid_fraction",
        *(f"amount_{p}" for p in found.phases),
        *(f"x_liquid_{e}" for e in found.elements),
    )
    rows: list[Sequence[object]] = [
        (round(float(T), 2), float(s), *found.amounts[n].tolist(), *found.liquid_compositions[n].tolist())
        for n, (T, s) in enumerate(zip(found.temperatures_K, found.solid_fraction, strict=True))
    ]
    return detail, figure, Table(columns, rows)


def _fields_json(fields: Sequence[tuple[float, float, tuple[str, ...]]]) -> list[dict[str, Any]]:
    return [{"low_K": round(a, 1), "high_K": round(b, 1), "phases": list(p)} for a, b, p in fields]


def _occurring(
    fields: Sequence[Sequence[tuple[float, float, tuple[str, ...]]]],
) -> tuple[str, ...]:
    """Phases that are in one of the fields."""
    return tuple(sorted({name for column in fields for _, _, names in column for name in names}))


def _field_rows(
    coordinates: Sequence[float], fields: Sequence[Sequence[tuple[float, float, tuple[str, ...]]]]
) -> list[Sequence[object]]:
    return [
        (round(float(x), 6), round(low, 1), round(high, 1), " + ".join(names))
        for x, column in zip(coordinates, fields, strict=True)
        for low, high, names in column
    ]


def _kind(one: Extremum) -> str:
    end = "maximum" if one.highest else "minimum"
    if one.is_gap:
        return "top of a miscibility gap" if one.highest else "bottom of a miscibility gap"
    return f"congruent {end}"


def _print_special(found: BinaryDiagram) -> None:
    """Three-phase invariants and two-phase extrema, or that there are none."""
    first, second = found.elements
    name = f"{first}-{second}"
    low, high = found.range_K
    if found.invariants:
        print_table(
            f"{name}: three phases ({found.database})",
            ["T/K>", "phases", f"{second}/at.%"],
            [
                (
                    f"{i.temperature_K:.0f}",
                    ", ".join(i.phases),
                    ", ".join(f"{100 * abs(x):.1f}" for x in i.x),
                )
                for i in found.invariants
            ],
        )
    elif found.status.value == "converged":
        print_text(f"{name}: no three-phase invariant at {low:.0f}-{high:.0f} K ({found.database})")
    if found.extrema:
        print_table(
            f"{name}: two phases of one composition",
            ["T/K>", "phases", f"{second}/at.%>", "what"],
            [
                (
                    f"{e.temperature_K:.0f}",
                    ", ".join(dict.fromkeys(e.phases)),
                    f"{100 * e.x:.1f}",
                    _kind(e),
                )
                for e in found.extrema
            ],
        )


def binary_output(
    found: BinaryDiagram, alloy: Composition, temperatures_K: Sequence[float], *, quiet: bool
) -> tuple[dict[str, Any], Figure, Table]:
    """A binary phase diagram, the alloy marked where it has one of the elements."""
    from hea_loop.figures.phase_sections import TieLines, binary_figure

    first, second = found.elements
    name = f"{first}-{second}"
    own = [alloy.fractions.get(e, 0.0) for e in found.elements]
    place = own[1] / sum(own) if sum(own) else math.nan
    exact = set(alloy.elements) <= set(found.elements)
    if not quiet:
        _print_special(found)
        if found.message:
            print_text(f"{name}: boundaries {found.status.value}: {found.message}; the fields stand")
    detail = {
        "elements": list(found.elements),
        "outcome": found.status.value,
        "message": found.message,
        "range_K": list(found.range_K),
        "invariants": [
            {"temperature_K": round(i.temperature_K, 2), "phases": list(i.phases), "x": list(i.x)}
            for i in found.invariants
        ],
        "extrema": [
            {
                "temperature_K": round(e.temperature_K, 2),
                "phases": list(e.phases),
                "x": round(e.x, 4),
                "kind": _kind(e),
            }
            for e in found.extrema
        ],
        "boundaries": [
            {"phases": list(b.phases), "x": b.x.tolist(), "temperatures_K": b.temperatures_K.tolist()}
            for b in found.boundaries
        ],
        "unanswered": found.unanswered.tolist(),
        "rests_on": (found.elements, _occurring(found.fields)),
    }
    figure = binary_figure(
        found.elements,
        found.range_K,
        [TieLines(b.phases, b.x, b.temperatures_K) for b in found.boundaries],
        [(i.temperature_K, i.x) for i in found.invariants],
        found.fractions,
        found.fields,
        title=f"{name}, {found.database}",
        candidate=place,
        candidate_name=alloy.formula if exact else f"{alloy.formula} (its {name} ratio)",
        temperatures_K=temperatures_K if exact else (),
    )
    rows: list[Sequence[object]] = [
        (round(float(T), 2), *b.phases, float(b.x[0, k]), float(b.x[1, k]))
        for b in found.boundaries
        for k, T in enumerate(b.temperatures_K)
    ]
    columns = ("temperature_K", "phase_1", "phase_2", f"x_{second}_1", f"x_{second}_2")
    return detail, figure, Table(columns, rows)


def isopleth_output(
    found: Isopleth, text: str, alloy: Composition, temperatures_K: Sequence[float], *, quiet: bool
) -> tuple[dict[str, Any], Figure, Table]:
    """A vertical section with its fields."""
    from hea_loop.figures.phase_sections import isopleth_figure

    if not quiet:
        ends = f"{_percents(found.start)} to {_percents(found.end)} at.%"
        missing = f"; no answer at {len(found.unanswered)} points" if len(found.unanswered) else ""
        print_text(f"isopleth {text}: {ends}, {len(found.coordinates)} compositions{missing}")
    detail = {
        "section": text,
        "start": found.start,
        "end": found.end,
        "range_K": list(found.range_K),
        "candidate": None if math.isnan(found.candidate) else found.candidate,
        "columns": [
            {"coordinate": float(x), "fields": _fields_json(fields)}
            for x, fields in zip(found.coordinates, found.fields, strict=True)
        ],
        "unanswered": found.unanswered.tolist(),
        "rests_on": (tuple(sorted({*found.start, *found.end})), _occurring(found.fields)),
    }
    label = (
        f"{found.element} / at.%"
        if found.element
        else f"from {_percents(found.start)} to {_percents(found.end)} / mol%"
    )
    figure = isopleth_figure(
        100 * found.coordinates,
        found.range_K,
        found.fields,
        x_label=label,
        title=f"{alloy.formula}, {found.database}",
        candidate=100 * found.candidate,
        candidate_name=alloy.formula,
        temperatures_K=temperatures_K,
    )
    columns = (f"x_{found.element}" if found.element else "coordinate", "low_K", "high_K", "phases")
    return detail, figure, Table(columns, _field_rows(found.coordinates.tolist(), found.fields))


def ternary_output(
    found: TernarySection, alloy: Composition, *, quiet: bool
) -> tuple[dict[str, Any], Figure, Table]:
    """An isothermal section with its phases and driving forces."""
    from hea_loop.figures.phase_sections import ternary_figure

    name = "-".join(found.elements)
    answered = [p for p in found.phases if p]
    counts = {kind: answered.count(kind) for kind in sorted(set(answered), key=lambda k: -answered.count(k))}
    if not quiet:
        print_table(
            f"{name} at {found.temperature_K:g} K ({found.database})",
            ["phases", "share of the section>"],
            [(" + ".join(kind), f"{count / len(found.phases):.1%}") for kind, count in counts.items()],
        )
    rows: list[Sequence[object]] = [
        (*(round(float(x), 6) for x in point), " + ".join(phases), round(float(force), 3))
        for point, phases, force in zip(found.fractions, found.phases, found.driving_force, strict=True)
    ]
    columns = (*(f"share_{e}" for e in found.elements), "phases", "driving_force_J_per_mol")
    detail = {
        "elements": list(found.elements),
        "others": found.others,
        "temperature_K": found.temperature_K,
        "candidate": None if math.isnan(found.candidate[0]) else list(found.candidate),
        "candidate_inside": found.inside,
        "shares": {" + ".join(kind): count / len(found.phases) for kind, count in counts.items()},
        "points": [dict(zip(columns, row, strict=True)) for row in rows],
        "rests_on": ((*found.elements, *found.others), tuple({name for p in found.phases for name in p})),
    }
    rest = f" with {_percents(found.others)} at.%" if found.others else ""
    figure = ternary_figure(
        found.elements,
        found.fractions,
        found.phases,
        found.driving_force,
        title=f"{name}{rest} at {found.temperature_K:g} K / at.%",
        whole=1.0 - sum(found.others.values()),
        candidate=found.candidate,
        candidate_name=alloy.formula,
        inside=found.inside,
    )
    return detail, figure, Table(columns, rows)

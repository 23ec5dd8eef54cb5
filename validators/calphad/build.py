"""Compile the tables of the project's own database to a TDB.

``hea-loop calphad build`` writes it for other programs; the validator compiles it in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from hea_loop.errors import InputError
from validators.calphad.database import OWN_DATABASE
from validators.calphad.tables import Function, Parameter, Phase, Reference, Tables, functions_in, load_tables
from validators.calphad.tdb_text import STATUS_LINE

__all__ = ["BuiltDatabase", "build", "build_tdb"]

_WIDTH: Final = 76  # Thermo-Calc reads lines of at most 80 characters
_TERM: Final = re.compile(r"(?<![E(])(?=[+-])")
_KINDS: Final = ("G", "TC", "BMAGN")


@dataclass(frozen=True, slots=True)
class BuiltDatabase:
    """A compiled database and what is in it.

    Attributes:
        text: The TDB.
        elements: Its elements.
        phases: Its phases.
        rows: Rows of the parameter table that are in it; several rows of one parameter are summed in the TDB.
        published: Rows from the literature or a published database.
        estimates: Rows that were estimated here.
        untraced: Published rows whose source names no assessment for them.
        references: References that it cites.
        references_with_doi: Those of them with a DOI.
        ternaries: Sets of three elements with a ternary parameter in liquid or bcc.
    """

    text: str
    elements: tuple[str, ...]
    phases: tuple[str, ...]
    rows: int
    published: int
    estimates: int
    untraced: int
    references: int
    references_with_doi: int
    ternaries: tuple[tuple[str, ...], ...]


def _wrap(line: str) -> str:
    """Break a command before the sign of a term, so that no line is longer than the format allows."""
    lines, current = [], ""
    for word in re.split(r"(?<=;) |(?<=,)(?! )(?=[^;)]*[:!])|" + _TERM.pattern, line):
        glue = " " if current.endswith(";") else ""
        if current and len(current) + len(glue) + len(word) > _WIDTH:
            lines.append(current)
            current = "   " + word
        else:
            current += glue + word
    return "\n ".join([*lines, current])


def _marked(expression: str, known: frozenset[str]) -> str:
    """The expression with the TDB's mark behind the name of every function.

    Raises:
        ValueError: The expression refers to a function that no table defines.
    """
    names = functions_in(expression)
    if names - known:
        raise ValueError(f"{expression=} refers to undefined functions {sorted(names - known)}")
    for name in names:
        expression = re.sub(rf"\b{name}\b", f"{name}#", expression)
    return expression


def _function(function: Function, known: frozenset[str]) -> str:
    for before, after in zip(function.intervals, function.intervals[1:], strict=False):
        if before.high_K != after.low_K:
            raise ValueError(f"the intervals of {function.name} leave a gap at {before.high_K} K")
    ends = ["Y"] * (len(function.intervals) - 1) + ["N"]
    body = " ".join(
        f"{_marked(i.expression, known)}; {i.high_K} {end}"
        for i, end in zip(function.intervals, ends, strict=True)
    )
    return _wrap(f"FUNCTION {function.name} {function.intervals[0].low_K} {body} !")


def _phase(phase: Phase, constituents: tuple[tuple[str, ...], ...]) -> list[str]:
    marks = "%&" if phase.magnetic_p else "%"
    head = []
    if phase.magnetic_p:
        factors = f"{phase.magnetic_afm_factor} {phase.magnetic_p}"
        head.append(f"TYPE_DEFINITION & GES A_P_D {phase.name} MAGNETIC {factors} !")
    listed = " : ".join(",".join(sublattice) for sublattice in constituents)
    return [
        *head,
        f"PHASE {phase.name} {marks} {len(phase.site_ratios)} {' '.join(phase.site_ratios)} !",
        f"CONSTITUENT {phase.name} : {listed} : !",
    ]


def _notes(rows: list[Parameter]) -> list[str]:
    """Comment lines: of which sources a parameter is the sum, and whether and why it is an estimate."""
    references = tuple(dict.fromkeys(r.reference for r in rows))
    text = [f"sum of rows from {', '.join(references)}"] if len(references) > 1 else []
    if any(r.status == "estimate" for r in rows):
        grounds = "; ".join(dict.fromkeys(r.remark for r in rows if r.status == "estimate"))
        part = " in part" if any(r.status != "estimate" for r in rows) else ""
        text.append(f"ESTIMATE{part}: {grounds}".replace("$", "").replace("!", ""))
    return [f"$ {line}" for note in text for line in wrap(note, _WIDTH)]


def _parameter(rows: list[Parameter], known: frozenset[str]) -> str:
    first = rows[0]
    if {(r.low_K, r.high_K) for r in rows} != {(first.low_K, first.high_K)} or first.kind not in _KINDS:
        raise ValueError(f"rows of one parameter differ in limits, or have an unknown kind: {rows=}")
    total = rows[0].expression
    for row in rows[1:]:
        total += row.expression if row.expression.startswith("-") else f"+{row.expression}"
    constituents = ":".join(",".join(sublattice) for sublattice in first.constituents)
    return _wrap(
        f"PARAMETER {first.kind}({first.phase},{constituents};{first.order}) {first.low_K} "
        f"{_marked(total, known)}; {first.high_K} N {first.reference} !"
    )


def _chosen(elements: Iterable[str] | None, tables: Tables) -> frozenset[str]:
    known = {e.symbol for e in tables.elements}
    if elements is None:
        return frozenset(known)
    chosen = frozenset(e.upper() for e in elements)
    if not chosen or chosen - known:
        raise InputError(
            "elements",
            sorted(chosen),
            "are not all in the database" if chosen else "is empty",
            f"choose among {', '.join(sorted(e.capitalize() for e in known))}",
        )
    return chosen


def _used_functions(parameters: list[Parameter], tables: Tables) -> list[Function]:
    by_name = {f.name: f for f in tables.functions}
    wanted: set[str] = set()
    open_names = {name for p in parameters for name in functions_in(p.expression)}
    while open_names:
        name = open_names.pop()
        wanted.add(name)
        if name in by_name:
            open_names |= {n for i in by_name[name].intervals for n in functions_in(i.expression)} - wanted
    return [f for f in tables.functions if f.name in wanted]


def build_tdb(elements: Iterable[str] | None = None) -> str:
    """Compile the tables to the text of a TDB; the same tables give the same text.

    Args:
        elements: Symbols to restrict it to; all of the tables when None. Phases, parameters and functions that need
            another element are left out.

    Raises:
        InputError: An element that the tables do not have.
        ValueError: The tables contradict themselves: an undefined function, a gap between intervals.
    """
    return build(elements).text


def build(elements: Iterable[str] | None = None) -> BuiltDatabase:
    """The same with what is in it, counted.

    Raises:
        InputError: An element that the tables do not have.
        ValueError: The tables contradict themselves.
    """
    tables = load_tables()
    chosen = _chosen(elements, tables)
    allowed = chosen | {"VA"}
    phases = [
        (phase, kept)
        for phase in tables.phases
        if all(kept := tuple(tuple(c for c in sub if c in allowed) for sub in phase.constituents))
    ]
    names = {phase.name for phase, _ in phases}
    parameters = [p for p in tables.parameters if p.elements <= chosen and p.phase in names]
    cited = {p.reference for p in parameters} | {e.reference for e in tables.elements}
    references = [r for r in tables.references if r.key in cited]
    untraced = {r.key for r in references if r.attribution == "untraced"}
    return BuiltDatabase(
        _text(tables, chosen, phases, parameters, references),
        tuple(e.symbol.capitalize() for e in tables.elements if e.symbol in chosen),
        tuple(sorted(names)),
        len(parameters),
        sum(p.status == "published" for p in parameters),
        sum(p.status == "estimate" for p in parameters),
        sum(p.status == "published" and p.reference in untraced for p in parameters),
        len(references),
        sum(bool(r.doi) for r in references),
        tuple(
            sorted(
                {
                    tuple(sorted(e.capitalize() for e in p.elements))
                    for p in parameters
                    if p.phase in {"LIQUID", "BCC_A2"}
                    and any(len(s) == len(p.elements) == 3 for s in p.constituents)
                }
            )
        ),
    )


def _text(
    tables: Tables,
    chosen: frozenset[str],
    phases: list[tuple[Phase, tuple[tuple[str, ...], ...]]],
    parameters: list[Parameter],
    references: list[Reference],
) -> str:
    names = {phase.name for phase, _ in phases}
    known = frozenset(f.name for f in tables.functions)
    estimates = sum(p.status == "estimate" for p in parameters)
    symbols = " ".join(e.symbol.capitalize() for e in tables.elements if e.symbol in chosen)
    text = [
        *(f"$ {line}" for line in wrap(f"{OWN_DATABASE}: {symbols}; {', '.join(sorted(names))}", _WIDTH)),
        "$ compiled from validators/calphad/data of hea-loop; the sources are at the end",
        f"$ {len(parameters)} parameter rows, {estimates} of them estimates",
        STATUS_LINE,
        "ELEMENT /- ELECTRON_GAS 0 0 0 !",
        "ELEMENT VA VACUUM 0 0 0 !",
    ]
    text += [
        f"ELEMENT {e.symbol} {e.reference_phase} {e.mass} {e.enthalpy} {e.entropy} !"
        for e in tables.elements
        if e.symbol in chosen
    ]
    text += [_function(f, known) for f in _used_functions(parameters, tables)]
    text += [
        "TYPE_DEFINITION % SEQ * !",
        "DEFINE_SYSTEM_DEFAULT ELEMENT 2 !",
        "DEFAULT_COMMAND DEF_SYS_ELEMENT VA /- !",
    ]
    for phase, constituents in phases:
        text += _phase(phase, constituents)
        grouped: dict[tuple[object, ...], list[Parameter]] = {}
        for p in parameters:
            if p.phase == phase.name:
                grouped.setdefault((p.kind, p.constituents, p.order), []).append(p)
        for rows in grouped.values():
            text += [*_notes(rows), _parameter(rows, known)]
    text += ["LIST_OF_REFERENCES", "NUMBER SOURCE"]
    text += [
        "\n    ".join(
            wrap(f"{r.key} '{r.citation}{'; doi ' + r.doi if r.doi else ''} ({r.attribution})'", _WIDTH)
        )
        for r in references
    ]
    # a comment begins in the first column, as Thermo-Calc wants it, a command does not
    return "".join(f"{line}\n" if line.startswith("$") else f" {line}\n" for line in [*text, "!"])

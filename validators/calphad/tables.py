"""The tables of the project's own thermodynamic database, as they lie in ``data/``.

Several rows of one parameter are summed: an assessed value and a correction made here stand in two rows, so
that what is ``published`` and what is an ``estimate`` can be told apart and counted.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

__all__ = [
    "Element",
    "Function",
    "Interval",
    "Parameter",
    "Phase",
    "Reference",
    "Tables",
    "functions_in",
    "load_tables",
]

_NOT_FUNCTIONS: Final = frozenset({"T", "P", "R", "LN", "LOG", "EXP"})
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_NUMBER: Final = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Element:
    """A pure element: reference phase, atomic mass in g/mol, H298-H0 in J/mol and S298 in J/(mol K)."""

    symbol: str
    reference_phase: str
    mass: str
    enthalpy: str
    entropy: str
    reference: str


@dataclass(frozen=True, slots=True)
class Interval:
    """One temperature interval (K) of a function, the expression in J/mol."""

    low_K: str
    high_K: str
    expression: str


@dataclass(frozen=True, slots=True)
class Function:
    """A named function of temperature: contiguous intervals, lowest first."""

    name: str
    intervals: tuple[Interval, ...]
    reference: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase: site ratios and constituents per sublattice; magnetic factors where it has a magnetic term."""

    name: str
    site_ratios: tuple[str, ...]
    constituents: tuple[tuple[str, ...], ...]
    magnetic_afm_factor: str
    magnetic_p: str
    remark: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the parameter table.

    Attributes:
        phase: Phase name.
        constituents: Constituents per sublattice.
        order: Order of the Redlich-Kister term (binary) or index of the constituent (ternary).
        kind: ``G`` (J per mole of formula units), ``TC`` (K) or ``BMAGN`` (Bohr magnetons).
        expression: Function of T, T in K.
        low_K: Lower limit of validity, K.
        high_K: Upper limit of validity, K.
        reference: Key into the reference table.
        status: ``published`` or ``estimate``.
        remark: What a reader should know of it.
    """

    phase: str
    constituents: tuple[tuple[str, ...], ...]
    order: int
    kind: str
    expression: str
    low_K: str
    high_K: str
    reference: str
    status: str
    remark: str

    @property
    def elements(self) -> frozenset[str]:
        """The elements it is about, without the vacancy."""
        return frozenset(c for sublattice in self.constituents for c in sublattice) - {"VA"}


@dataclass(frozen=True, slots=True)
class Reference:
    """Where values come from.

    Attributes:
        key: What the other tables call it.
        citation: Authors, journal, volume, year, pages.
        doi: Empty where none has been checked.
        attribution: How sure the attribution is: ``stated`` by the source, ``matched`` (the same value is in
            a database that states it), ``attributed`` (from general knowledge of the system), ``untraced``,
            or ``estimate`` (made here).
    """

    key: str
    citation: str
    doi: str
    attribution: str


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of one database."""

    elements: tuple[Element, ...]
    functions: tuple[Function, ...]
    phases: tuple[Phase, ...]
    parameters: tuple[Parameter, ...]
    references: tuple[Reference, ...]


def functions_in(expression: str) -> frozenset[str]:
    """Names of the functions that an expression refers to."""
    return frozenset(_NAME.findall(_NUMBER.sub(" ", expression))) - _NOT_FUNCTIONS


def _rows(name: str) -> list[dict[str, str]]:
    text = files("validators.calphad").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _sublattices(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(part.split(",")) for part in text.split(":"))


def _functions() -> tuple[Function, ...]:
    grouped: dict[str, list[dict[str, str]]] = {}
    for row in _rows("functions.csv"):
        grouped.setdefault(row["function"], []).append(row)
    return tuple(
        Function(
            name,
            tuple(Interval(r["T_low_K"], r["T_high_K"], r["expression"]) for r in rows),
            rows[0]["reference"],
        )
        for name, rows in grouped.items()
    )


@lru_cache(maxsize=1)
def load_tables() -> Tables:
    """Read the packaged tables once per process."""
    return Tables(
        elements=tuple(
            Element(
                r["element"],
                r["reference_phase"],
                r["atomic_mass_g_per_mol"],
                r["H298_minus_H0_J_per_mol"],
                r["S298_J_per_mol_K"],
                r["reference"],
            )
            for r in _rows("elements.csv")
        ),
        functions=_functions(),
        phases=tuple(
            Phase(
                r["phase"],
                tuple(r["site_ratios"].split(":")),
                _sublattices(r["constituents"]),
                r["magnetic_afm_factor"],
                r["magnetic_p"],
                r["remark"],
            )
            for r in _rows("phases.csv")
        ),
        parameters=tuple(
            Parameter(
                r["phase"],
                _sublattices(r["constituents"]),
                int(r["order"]),
                r["kind"],
                r["expression"],
                r["T_low_K"],
                r["T_high_K"],
                r["reference"],
                r["status"],
                r["remark"],
            )
            for r in _rows("parameters.csv")
        ),
        references=tuple(
            Reference(r["reference"], r["citation"], r["doi"], r["attribution"])
            for r in _rows("references.csv")
        ),
    )

"""What a database has for a set of elements, and what it lacks: elements, phases, binaries, ternaries.

A binary without an interaction parameter is taken as an ideal solution by every program, in silence. In bcc and
liquid that decides a verdict, so an alloy with such a binary is refused unless that was asked for. A binary that
was assessed as ideal is described by a parameter that is zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hea_loop.errors import InputError
from validators.calphad.contents import Contents, Fault, ParameterEntry, is_liquid, is_solution

if TYPE_CHECKING:
    from validators.calphad.database import CalphadDatabase

__all__ = [
    "Coverage",
    "PhaseCoverage",
    "assessed_ternaries",
    "coverage",
    "described_range",
    "missing_binaries",
    "require_described",
]

_BCC: Final = "BCC_A2"
_WANTED: Final = ("liquid", "bcc", "hcp", "Laves C14", "Laves C15", "Laves C36")
_NAMED: Final = {_BCC: "bcc", "HCP_A3": "hcp", "FCC_A1": "fcc"}
_LISTED: Final = 4  # binaries that an error names
_MEND_BINARY: Final = (
    "take them as ideal with `allow_missing_binaries: true` (--allow-missing-binaries), or give a TDB that has "
    "them (a parameter of 0 counts)"
)


@dataclass(frozen=True, slots=True)
class PhaseCoverage:
    """A phase of the database that the elements can form.

    Attributes:
        name: As the database has it.
        structure: ``liquid``, ``bcc``, ``hcp``, ``fcc``, ``Laves C14`` and so on where its name says it, else empty.
        lacking: Elements asked for that it cannot hold.
        binaries_lacking: Pairs of elements it holds without any interaction between them; solutions only.
        pure_lacking: Elements without a parameter of their own, whose energy would be zero; solutions only.
    """

    name: str
    structure: str
    lacking: tuple[str, ...]
    binaries_lacking: tuple[tuple[str, str], ...]
    pure_lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a database has for some elements.

    Attributes:
        database: Its name.
        elements: The elements asked for, alphabetical.
        elements_lacking: Those that it does not have.
        structures_lacking: Of liquid, bcc, hcp and the Laves types those that no phase is named for.
        phases: The phases that these elements can form, by name.
        ternaries_assessed: Sets of three with a ternary parameter in a liquid or bcc phase.
        ternaries_extrapolated: All others: extrapolated from their binaries.
        range_K: Temperatures at which the solutions are described, K.
        faults: What else is wrong with it for these elements, one line each.
        remarks: What pycalphad warns of.
    """

    database: str
    elements: tuple[str, ...]
    elements_lacking: tuple[str, ...]
    structures_lacking: tuple[str, ...]
    phases: tuple[PhaseCoverage, ...]
    ternaries_assessed: tuple[tuple[str, ...], ...]
    ternaries_extrapolated: tuple[tuple[str, ...], ...]
    range_K: tuple[float, float]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def binaries_lacking(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Binaries without an interaction in bcc or liquid, with the phases that lack it."""
        found: dict[tuple[str, str], list[str]] = {}
        for phase in self.phases:
            if phase.structure in {"bcc", "liquid"}:
                for pair in phase.binaries_lacking:
                    found.setdefault(pair, []).append(phase.name)
        return {pair: tuple(names) for pair, names in sorted(found.items())}

    @property
    def complete(self) -> bool:
        """Whether alloys of these elements are answered without a reservation."""
        return not (
            self.elements_lacking
            or self.binaries_lacking
            or self.faults
            or {"bcc", "liquid"} & set(self.structures_lacking)
            or any(p.pure_lacking for p in self.phases)
        )

    def detail(self) -> dict[str, Any]:
        """The same as plain JSON."""
        low, high = self.range_K
        return {
            "database": self.database,
            "elements": list(self.elements),
            "complete": self.complete,
            "elements_lacking": list(self.elements_lacking),
            "structures_lacking": list(self.structures_lacking),
            "phases": [
                {
                    "name": p.name,
                    "structure": p.structure,
                    "elements_lacking": list(p.lacking),
                    "binaries_lacking": ["-".join(pair) for pair in p.binaries_lacking],
                    "pure_lacking": list(p.pure_lacking),
                }
                for p in self.phases
            ],
            "binaries_lacking": {"-".join(b): list(p) for b, p in self.binaries_lacking.items()},
            "ternaries_assessed": ["-".join(t) for t in self.ternaries_assessed],
            "ternaries_extrapolated": ["-".join(t) for t in self.ternaries_extrapolated],
            "range_K": [low, high],
            "faults": list(self.faults),
            "remarks": list(self.remarks),
        }


def _structure(phase: str) -> str:
    """Crystal structure by the names that databases give: LAVES_C15, C15_LAVES, HCP_A3."""
    if is_liquid(phase):
        return "liquid"
    if phase in _NAMED:
        return _NAMED[phase]
    for kind in ("C14", "C15", "C36"):
        if kind in phase.split("_") and ("LAVES" in phase or phase == kind):
            return f"Laves {kind}"
    return "Laves" if "LAVES" in phase else ""


def _describes(parameter: ParameterEntry, pair: frozenset[str]) -> bool:
    """Whether it is an interaction of exactly this pair, or of one of them with anything."""
    if parameter.elements == pair:
        return True
    mixed = any("*" in s and len(s) > 1 for s in parameter.constituents)
    return mixed and bool(parameter.elements) and parameter.elements <= pair


class _ByPhase:
    """The energy parameters of a database by phase, and the questions asked of them."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self._of: dict[str, list[ParameterEntry]] = {}
        for p in contents.parameters:
            if p.kind in {"G", "L"}:
                self._of.setdefault(p.phase, []).append(p)

    def _mixing(self, phase: str) -> frozenset[str]:
        """Elements on the substitutional sublattice, which is the first; interstitials are no alloy."""
        described = self.contents.phases[phase]
        if described.ionic:
            return frozenset()  # site fractions of ions: no pair of elements mixes as such
        return frozenset().union(*described.constituents[0].values()) - {"VA"}

    def binaries_lacking(self, phase: str, elements: frozenset[str]) -> tuple[tuple[str, str], ...]:
        mixing = sorted(self._mixing(phase) & elements)
        mine = [p for p in self._of.get(phase, []) if p.elements <= elements]
        return tuple(
            pair
            for pair in itertools.combinations(mixing, 2)
            if not any(_describes(p, frozenset(pair)) for p in mine)
        )

    def pure_lacking(self, phase: str, elements: frozenset[str]) -> tuple[str, ...]:
        described = {next(iter(p.elements)) for p in self._of.get(phase, []) if len(p.elements) == 1}
        if any(not p.elements and p.wild for p in self._of.get(phase, [])):
            return ()
        return tuple(sorted((self._mixing(phase) & elements) - described))

    def ternaries(self, elements: frozenset[str]) -> frozenset[tuple[str, ...]]:
        """Those with a parameter in liquid or bcc in which the three mix on one sublattice."""
        found = set()
        for phase, parameters in self._of.items():
            if not (is_liquid(phase) or phase == _BCC):
                continue
            for p in parameters:
                longest = max(sum(c not in {"VA", "*"} for c in s) for s in p.constituents)
                if len(p.elements) == 3 and longest == 3 and p.elements <= elements:
                    found.add(tuple(sorted(p.elements)))
        return frozenset(found)


def _index(database: CalphadDatabase) -> _ByPhase:
    index: _ByPhase | None = database.notes.get("index")
    if index is None:
        index = database.notes["index"] = _ByPhase(database.contents)
    return index


def assessed_ternaries(database: CalphadDatabase, elements: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Sets of three of these elements, alphabetical, with a ternary parameter in liquid or bcc."""
    return tuple(sorted(_index(database).ternaries(frozenset(elements))))


def _can_form(contents: Contents, phase: str, elements: frozenset[str]) -> bool:
    there = elements | {"VA"}
    return all(any(e <= there for e in s.values()) for s in contents.phases[phase].constituents)


def coverage(database: CalphadDatabase, elements: Iterable[str] | None = None) -> Coverage:
    """What a database has for some elements.

    Args:
        database: From :func:`validators.calphad.load_database`.
        elements: Symbols (``Nb``); all that the database has when None.
    """
    wanted = tuple(sorted(set(database.elements if elements is None else elements)))
    there = frozenset(wanted) & set(database.elements)
    index = _index(database)
    contents = database.contents
    phases = tuple(
        PhaseCoverage(
            name,
            _structure(name),
            tuple(sorted(there - described.elements)),
            index.binaries_lacking(name, there) if is_solution(name) else (),
            index.pure_lacking(name, there) if is_solution(name) else (),
        )
        for name, described in sorted(contents.phases.items())
        if _can_form(contents, name, there)
    )
    named = {p.structure for p in phases}
    assessed = assessed_ternaries(database, there)
    low, high, _, _ = contents.described_between(there)
    return Coverage(
        database.name,
        wanted,
        tuple(sorted(set(wanted) - there)),
        tuple(s for s in _WANTED if s not in named),
        phases,
        assessed,
        tuple(t for t in itertools.combinations(sorted(there), 3) if t not in assessed),
        (low, high),
        (
            *(f.problem for f in contents.faults if f.touches(there)),
            *(
                f"the phase {name} has a model that pycalphad cannot build: {reason}"
                for name, reason in _unmodelled(database, there)
            ),
        ),
        database.remarks,
    )


def require_described(
    database: CalphadDatabase,
    elements: Iterable[str],
    *,
    field: str,
    value: object,
    temperatures_K: Iterable[float] = (),
) -> None:
    """Refuse elements that the database does not describe well enough to answer for.

    Args:
        database: From :func:`validators.calphad.load_database`; its ``allow_missing_binaries`` lets binaries
            without an interaction pass as ideal.
        elements: Elements that it has.
        field: What the user gave, for the error.
        value: Its value, likewise.
        temperatures_K: Temperatures at which it is to answer, K.

    Raises:
        InputError: A fault that touches these elements, a pure element without a description, a missing binary,
            a temperature that its functions do not cover.
    """
    mine = frozenset(elements)
    settled: set[frozenset[str]] = database.notes.setdefault("described", set())
    if mine not in settled:
        _require_parameters(database, mine, field, value)
        settled.add(mine)
    low, high, below, above = described_range(database, mine)
    for temperature in temperatures_K:
        if not low <= temperature <= high:
            raise InputError(
                "temperature_K",
                temperature,
                f"is outside {low:g} to {high:g} K, where {database.name} describes {'-'.join(sorted(mine))} "
                f"({below if temperature < low else above})",
                "give a temperature within that range, or another database",
            )


def described_range(database: CalphadDatabase, elements: Iterable[str]) -> tuple[float, float, str, str]:
    """Temperatures in K between which the solutions of some elements are described, and what sets the limits."""
    known: dict[frozenset[str], tuple[float, float, str, str]] = database.notes.setdefault("ranges", {})
    mine = frozenset(elements)
    if mine not in known:
        known[mine] = database.contents.described_between(mine)
    return known[mine]


def missing_binaries(database: CalphadDatabase, elements: Iterable[str]) -> tuple[str, ...]:
    """Binaries of some elements without an interaction in bcc or liquid: ``Hf-Zr (BCC_A2 and LIQUID)``."""
    mine, index = frozenset(elements), _index(database)
    missing: dict[tuple[str, str], list[str]] = {}
    for name in database.phases:
        if is_liquid(name) or name == _BCC:
            for pair in index.binaries_lacking(name, mine):
                missing.setdefault(pair, []).append(name)
    return tuple(f"{'-'.join(pair)} ({' and '.join(phases)})" for pair, phases in sorted(missing.items()))


def _require_parameters(database: CalphadDatabase, mine: frozenset[str], field: str, value: object) -> None:
    _require_sound(database, mine)
    _require_models(database, mine)
    solutions = [name for name in database.phases if is_liquid(name) or name == _BCC]
    index = _index(database)
    for name in solutions:
        lacking = index.pure_lacking(name, mine)
        if lacking:
            raise InputError(
                "database",
                database.name,
                f"has no parameter G({name},{lacking[0].upper()}), so that its energy would be zero",
                f"add it, or leave {lacking[0]} out",
            )
    missing = () if database.allow_missing_binaries else missing_binaries(database, mine)
    if missing:
        shown = ", ".join(missing[:_LISTED])
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        noun = "binary" if len(missing) == 1 else "binaries"
        problem = f"{database.name} has no interaction parameter for the {noun} {shown}{more}"
        raise InputError(field, value, problem, _MEND_BINARY)


def _require_sound(database: CalphadDatabase, mine: frozenset[str]) -> None:
    fault: Fault | None = next((f for f in database.contents.faults if f.touches(mine)), None)
    if fault is not None:
        line = database.line_of(fault.patterns)
        at = f" (line {line})" if line else ""
        problem = f"{fault.problem}{at}, and {'-'.join(sorted(mine))} rests on it"
        raise InputError("database", database.name, problem, fault.mend)


def _unmodelled(database: CalphadDatabase, mine: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Phases that these elements form and pycalphad cannot model for them, and why."""
    from validators.calphad.database import model_fault

    for name in database.unmodelled:
        # what fails with all constituents may be in order with those of this alloy
        if _can_form(database.contents, name, mine) and (reason := model_fault(database.parsed, name, mine)):
            yield name, reason


def _require_models(database: CalphadDatabase, mine: frozenset[str]) -> None:
    for name, reason in _unmodelled(database, mine):
        raise InputError(
            "database",
            database.name,
            f"the phase {name} has a model that pycalphad cannot build: {reason}",
            "remove the phase or use another database",
        )

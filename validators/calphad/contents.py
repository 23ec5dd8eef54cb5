"""What a parsed database describes, as plain values: parameters, phases, temperature ranges, and its faults.

A fault touches only the alloys that have all the elements it needs: a database of thirty elements with one
undefined function in Al-Ta-Ti answers for every other alloy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

__all__ = [
    "Contents",
    "DescribedPhase",
    "Fault",
    "ParameterEntry",
    "is_liquid",
    "is_solution",
    "read_contents",
]

_NOT_FUNCTIONS: Final = frozenset({"T", "P", "R"})
_VACANCY: Final = frozenset({"VA"})

Species = frozenset[str]
"""Elements of a species, as the field writes them; ``VA`` for the vacancy, empty for the wildcard."""


def is_liquid(phase: str) -> bool:
    """Whether databases call a liquid so."""
    return phase.startswith(("LIQUID", "IONIC_LIQ"))


def is_solution(phase: str) -> bool:
    """Whether databases call the liquid, or a simple metallic structure without order, so."""
    return is_liquid(phase) or phase in {"BCC_A2", "HCP_A3", "FCC_A1"}


@dataclass(frozen=True, slots=True)
class DescribedPhase:
    """A phase: site ratios, and per sublattice its constituents by name with the elements of each.

    Attributes:
        name: As the database has it.
        site_ratios: Sites per formula unit.
        constituents: Per sublattice name of the species to its elements.
        borrows: Whether it takes parameters from another phase, or gives them (order-disorder).
        ionic: Whether it is an ionic liquid, whose site ratios vary.
    """

    name: str
    site_ratios: tuple[float, ...]
    constituents: tuple[Mapping[str, Species], ...]
    borrows: bool
    ionic: bool

    @property
    def elements(self) -> frozenset[str]:
        """The elements that it can hold."""
        return frozenset().union(*(e for s in self.constituents for e in s.values())) - _VACANCY


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """A parameter of the database.

    Attributes:
        phase: Phase name.
        constituents: Species names per sublattice, in alphabetical order, ``*`` for any.
        elements: Their elements, the vacancy aside; a wildcard has none.
        order: Order of the parameter.
        kind: ``G``, ``L``, ``TC`` and so on.
        low_K: Where its temperature range begins, that of the functions it uses included, K.
        high_K: Where it ends, K.
        undefined: Functions that it rests on and nobody defines.
        diffusing: The species that a mobility is of, else empty.
    """

    phase: str
    constituents: tuple[tuple[str, ...], ...]
    elements: frozenset[str]
    order: int
    kind: str
    low_K: float
    high_K: float
    undefined: tuple[str, ...]
    diffusing: str = ""

    @property
    def text(self) -> str:
        """As a TDB names it: ``G(BCC_A2,NB,ZR:VA;0)``."""
        constituents = ":".join(",".join(s) for s in self.constituents)
        return f"{self.kind}({self.phase},{constituents};{self.order})"

    @property
    def wild(self) -> bool:
        """Whether it holds for any constituent of some sublattice."""
        return any("*" in s for s in self.constituents)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that makes answers wrong for some alloys.

    Attributes:
        problem: What, as the middle of an error.
        mend: What to do about it.
        needs: An alloy is touched if of each group it has all the elements of one alternative.
        patterns: Regular expressions for the line of the file where the fault is, the surest first.
        elements: Of these, too, it needs two: a binary compound is nothing to an alloy with one of its elements,
            even where its sublattices could all be filled with that one.
    """

    problem: str
    mend: str
    needs: tuple[tuple[Species, ...], ...]
    patterns: tuple[str, ...]
    elements: frozenset[str] = frozenset()

    def touches(self, elements: frozenset[str]) -> bool:
        """Whether answers for these elements rest on it."""
        there = elements | _VACANCY
        enough = len(self.elements & elements) >= min(2, len(self.elements))
        return enough and all(any(species <= there for species in group) for group in self.needs)


def _head(parameter: ParameterEntry) -> tuple[str, ...]:
    """How the line of a parameter may begin; it may write its constituents in another order."""
    constituents = r"\s*:\s*".join(
        r"\s*,\s*".join(re.escape(c) for c in sublattice) for sublattice in parameter.constituents
    )
    phase = rf"\(\s*{re.escape(parameter.phase)}\s*,\s*"
    return rf"{phase}{constituents}\s*;\s*{parameter.order}", phase + constituents, phase


@dataclass(frozen=True)
class Contents:
    """Parameters and phases of a database."""

    parameters: tuple[ParameterEntry, ...]
    phases: Mapping[str, DescribedPhase]

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """All that is wrong with it beyond its syntax, parameters first."""
        return (*self._of_parameters(), *self._of_phases())

    def _of_parameters(self) -> Iterable[Fault]:
        seen = set()
        for p in self.parameters:
            if p.phase.startswith("GAS"):
                continue  # no alloy is asked for its gas, and RTLNP is built into other programs
            needs = tuple((frozenset({e}),) for e in sorted(p.elements))
            # L is another name of a G between several constituents
            key = (p.phase, p.constituents, p.order, "G" if p.kind == "L" else p.kind, p.diffusing)
            if key in seen:
                problem = f"{p.text} is given twice, and pycalphad adds the two"
                yield Fault(problem, "remove one of them", needs, _head(p))
                continue
            seen.add(key)
            if p.undefined:
                name = p.undefined[0]
                yield Fault(
                    f"{p.text} uses the undefined function {name}", f"define {name}", needs, (rf"\b{name}\b",)
                )
            elif p.low_K >= p.high_K:
                problem = f"{p.text} holds at no temperature ({p.low_K:g} to {p.high_K:g} K)"
                yield Fault(problem, "mend its limits and those of its functions", needs, _head(p))
            elif problem := self._misfit(p):
                mend = "mend that parameter or remove it: it would be ignored"
                yield Fault(f"{p.text} {problem}", mend, needs, _head(p))

    def _misfit(self, p: ParameterEntry) -> str:
        """Why a parameter cannot belong to its phase; empty if it can."""
        phase = self.phases.get(p.phase)
        if phase is None:
            return "" if not p.elements else f"belongs to the phase {p.phase}, which is not defined"
        if phase.ionic:
            return ""  # there are several ways to write its parameters
        if len(phase.constituents) != len(p.constituents):
            return f"has {len(p.constituents)} sublattices, the phase {len(phase.constituents)}"
        for declared, given in zip(phase.constituents, p.constituents, strict=True):
            strange = sorted(set(given) - set(declared) - {"*"})
            if strange:
                return f"has the constituent {strange[0]}, which the phase does not declare there"
        return ""

    def _of_phases(self) -> Iterable[Fault]:
        filled = {p.phase for p in self.parameters if p.kind in {"G", "L"}}
        for phase in self.phases.values():
            if phase.name not in filled and not phase.borrows:
                needs = tuple(tuple(s.values()) for s in phase.constituents)
                problem = f"the phase {phase.name} has no parameter, so that its energy would be zero"
                line = (rf"PHAS\w*\s+{re.escape(phase.name)}\b",)
                mend = "give its parameters or remove the phase"
                yield Fault(problem, mend, needs, line, phase.elements)

    def described_between(self, elements: frozenset[str]) -> tuple[float, float, str, str]:
        """The temperatures at which the solutions of these elements are described.

        A compound is commonly described to a little above the temperature at which it decomposes, and does no
        harm beyond it, so only the solution phases count.

        Returns:
            Lower and upper limit in K, and the parameters that set them.
        """
        mine = [
            p
            for p in self.parameters
            if p.elements and p.elements <= elements and p.phase in self.phases and is_solution(p.phase)
        ]
        if not mine:
            return 0.0, float("inf"), "", ""
        low, high = max(mine, key=lambda p: p.low_K), min(mine, key=lambda p: p.high_K)
        return low.low_K, high.high_K, low.text, high.text


class _Expressions:
    """Functions that expressions rest on, and where they hold."""

    def __init__(self, symbols: Mapping[str, Any]) -> None:
        self._symbols = symbols
        self._known: dict[str, tuple[float, float, frozenset[str]]] = {}

    def read(self, expression: Any) -> tuple[float, float, frozenset[str]]:
        """Lower and upper limit in K, and the undefined functions."""
        low, high = _limits(expression)
        undefined: frozenset[str] = frozenset()
        for symbol in getattr(expression, "free_symbols", ()):
            name = str(symbol)
            if name in _NOT_FUNCTIONS:
                continue
            of_function = self._of_function(name)
            low, high = max(low, of_function[0]), min(high, of_function[1])
            undefined |= of_function[2]
        return low, high, undefined

    def _of_function(self, name: str) -> tuple[float, float, frozenset[str]]:
        if name not in self._known:
            if name not in self._symbols:
                return 0.0, float("inf"), frozenset({name})
            self._known[name] = (0.0, float("inf"), frozenset({f"{name} (defined by itself)"}))
            self._known[name] = self.read(self._symbols[name])
        return self._known[name]


def _limits(expression: Any) -> tuple[float, float]:
    """Hull of the intervals of a ``Piecewise``; everywhere for anything else."""
    from symengine import Piecewise

    if not isinstance(expression, Piecewise):
        return 0.0, float("inf")
    pieces = []
    for condition in expression.args[1::2]:
        # And(T < high, low <= T), or one of the two where a limit is left out; the last is True: zero outside
        low, high = 0.0, float("inf")
        relations = [
            sides for r in (condition, *condition.args) if len(sides := [str(s) for s in r.args]) == 2
        ]
        for left, right in relations:
            if left == "T":
                high = float(right)
            elif right == "T":
                low = float(left)
        if relations:
            pieces.append((low, high))
    return min((p[0] for p in pieces), default=0.0), max((p[1] for p in pieces), default=float("inf"))


def _elements(species: Any) -> Species:
    if species.name == "*":
        return frozenset()
    return frozenset(e if e == "VA" else e.capitalize() for e in species.constituents) or frozenset({"VA"})


def read_contents(parsed: Any) -> Contents:
    """Read a parsed database.

    Args:
        parsed: The pycalphad ``Database``.
    """
    from tinydb import where

    named = {s.name: s for s in parsed.species}
    expressions = _Expressions({str(name): value for name, value in parsed.symbols.items()})
    phases = {}
    for name, phase in parsed.phases.items():
        hints = phase.model_hints
        phases[name] = DescribedPhase(
            name,
            tuple(float(x) for x in phase.sublattices),
            tuple({s.name: _elements(s) for s in sublattice} for sublattice in phase.constituents or ()),
            "disordered_phase" in hints,
            bool(hints.get("ionic_liquid_2SL")),
        )
    parameters = []
    for row in parsed.search(where("phase_name").exists()):
        low, high, undefined = expressions.read(row["parameter"])
        species = [named.get(s.name, s) for sublattice in row["constituent_array"] for s in sublattice]
        parameters.append(
            ParameterEntry(
                row["phase_name"],
                tuple(tuple(sorted(s.name for s in sub)) for sub in row["constituent_array"]),
                frozenset().union(*(_elements(s) for s in species)) - _VACANCY,
                int(row["parameter_order"]),
                str(row["parameter_type"]),
                low,
                high,
                tuple(sorted(undefined)),
                row["diffusing_species"].name or "",
            )
        )
    return Contents(tuple(parameters), phases)

"""What an answer rests on: estimated parameters, and ternaries that are extrapolated from their binaries.

Every phase that the elements can form takes part in a minimisation; that one is absent rests on its parameters as
much as that another is present.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from validators.calphad.coverage import assessed_ternaries, missing_binaries

if TYPE_CHECKING:
    from validators.calphad.database import CalphadDatabase
    from validators.calphad.tdb_text import StatedEstimate

__all__ = ["EstimatedParameter", "Provenance", "provenance"]

_SHOWN: Final = 4  # parameters or ternaries of a group that a line names
_FORMULA_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class EstimatedParameter:
    """An estimated parameter that answers rest on.

    Attributes:
        phase: Its phase.
        parameter: As a TDB names it, without the phase: ``CR:HF;0``.
        label: As a person names it: ``Cr2Hf`` for an end-member, ``Cr-Nb L1`` for an interaction.
        kind: ``G``, ``TC`` or ``BMAGN``.
        remark: On what grounds, as the database has it.
    """

    phase: str
    parameter: str
    label: str
    kind: str
    remark: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an answer for a set of elements rests on.

    Attributes:
        database: Name of the database.
        elements: The alloy's elements, alphabetical.
        states_estimates: Whether the database says which parameters are estimates; if not, none are known.
        present: Estimates in the phases of the answer.
        competing: Estimates in the phases that could have been in it.
        ternaries_assessed: Sets of three elements with a ternary parameter in liquid or bcc.
        ternaries_extrapolated: The others.
        taken_as_ideal: Binaries that the database does not describe, with the phases that lack them; only where
            it was allowed to take them as ideal.
        doubts: What pycalphad says may be incorrect in its own models of the database's phases.
    """

    database: str
    elements: tuple[str, ...]
    states_estimates: bool
    present: tuple[EstimatedParameter, ...]
    competing: tuple[EstimatedParameter, ...]
    ternaries_assessed: tuple[tuple[str, ...], ...]
    ternaries_extrapolated: tuple[tuple[str, ...], ...]
    taken_as_ideal: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def number_of_estimates(self) -> int:
        """Estimated parameters of all phases."""
        return len(self.present) + len(self.competing)

    def estimates_text(self) -> str:
        """One line: how many estimates, and which, those of the phases in the answer first."""
        if not self.states_estimates:
            return (
                f"the database {self.database} states no estimates: which of its parameters are is not known"
            )
        if not self.number_of_estimates:
            return "this answer uses no estimated parameters"
        noun = "parameter" if self.number_of_estimates == 1 else "parameters"
        parts = []
        if self.present:
            parts.append(f"in phases present {_grouped(self.present)}")
        if self.competing:
            parts.append(f"in competing phases {_grouped(self.competing)}")
        text = f"this answer uses {self.number_of_estimates} estimated {noun}: {'; '.join(parts)}"
        if " more" in text:
            chosen = "-".join(self.elements)
            text += f" (all: hea-loop calphad parameters --elements {chosen} --status estimate)"
        return text

    def ternaries_text(self) -> str:
        """One line: how many ternaries are extrapolated, and which are assessed; empty below three elements."""
        count = len(self.ternaries_assessed) + len(self.ternaries_extrapolated)
        if not count:
            return ""
        assessed = ["-".join(t) for t in self.ternaries_assessed]
        if not self.ternaries_extrapolated:
            return f"assessed as ternaries: {_shortened(assessed)}"
        noun = "ternary is" if count == 1 else "ternaries are"
        said = f"{len(self.ternaries_extrapolated)} of {count} {noun} extrapolated from binaries"
        return f"{said}; assessed: {_shortened(assessed)}" if assessed else said

    def lines(self) -> tuple[str, ...]:
        """What to show below an answer."""
        ideal = f"taken as ideal, not described: {_shortened(list(self.taken_as_ideal))}"
        lines = (
            ideal if self.taken_as_ideal else "",
            self.estimates_text(),
            self.ternaries_text(),
            *self.doubts,
        )
        return tuple(line for line in lines if line)

    def detail(self) -> dict[str, Any]:
        """The same as plain JSON."""

        def plain(parameters: tuple[EstimatedParameter, ...]) -> list[dict[str, str]]:
            return [{"phase": p.phase, "parameter": p.parameter, "label": p.label, "kind": p.kind,
                     "remark": p.remark} for p in parameters]  # fmt: skip

        return {
            "database": self.database,
            "states_estimates": self.states_estimates,
            "estimates": self.number_of_estimates if self.states_estimates else None,
            "estimates_present": plain(self.present),
            "estimates_competing": plain(self.competing),
            "ternaries_assessed": ["-".join(t) for t in self.ternaries_assessed],
            "ternaries_extrapolated": ["-".join(t) for t in self.ternaries_extrapolated],
            "taken_as_ideal": list(self.taken_as_ideal),
            "doubts": list(self.doubts),
            "text": list(self.lines()),
        }


def _shortened(items: list[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _grouped(parameters: Iterable[EstimatedParameter]) -> str:
    """By phase: ``LAVES_C14 Cr2Hf, Cr2Zr; LAVES_C15 Cr2Hf``."""
    groups: dict[str, list[str]] = {}
    for p in parameters:
        groups.setdefault(p.phase, []).append(p.label)
    shown = [f"{phase} ({_shortened(labels)})" for phase, labels in list(groups.items())[:_SHOWN]]
    rest = list(groups.values())[_SHOWN:]
    if rest:
        noun = "phase" if len(rest) == 1 else "phases"
        shown.append(f"and {sum(map(len, rest))} more in {len(rest)} other {noun}")
    return ", ".join(shown)


def _symbol(constituent: str) -> str:
    return constituent if constituent == "*" else constituent.capitalize()


def _label(estimate: StatedEstimate, sites: tuple[float, ...]) -> str:
    mixing = any(len(s) > 1 for s in estimate.constituents)
    if not mixing and len(sites) == len(estimate.constituents):
        amounts: dict[str, float] = {}  # a sublattice may be split, and an element stand on both halves
        for (constituent,), ratio in zip(estimate.constituents, sites, strict=True):
            if constituent != "VA":
                amounts[constituent] = amounts.get(constituent, 0.0) + ratio
        formula = "".join(
            _symbol(c) + ("" if amount == 1 else f"{amount:.{_FORMULA_DIGITS}g}")
            for c, amount in amounts.items()
        )
        label = formula
    else:
        kept = [s for s in estimate.constituents if s != ("VA",)]
        label = ":".join("-".join(_symbol(c) for c in s) for s in kept) + f" L{estimate.order}"
    return label if estimate.kind in {"G", "L"} else f"{estimate.kind} {label}"


def provenance(database: CalphadDatabase, elements: Iterable[str], phases: Iterable[str] = ()) -> Provenance:
    """What an answer rests on.

    Args:
        database: From :func:`validators.calphad.load_database`.
        elements: The alloy's elements (``Nb``).
        phases: Names of the phases in the answer; the estimates of all other phases are those of competitors.
    """
    mine, present = frozenset(elements), frozenset(phases)
    found: list[EstimatedParameter] = []
    for estimate in database.estimates or ():
        constituents = {c for s in estimate.constituents for c in s} - {"VA", "*"}
        if not {c.capitalize() for c in constituents} <= mine:
            continue
        described = database.contents.phases.get(estimate.phase)
        text = ":".join(",".join(s) for s in estimate.constituents)
        found.append(
            EstimatedParameter(
                estimate.phase,
                f"{text};{estimate.order}",
                _label(estimate, described.site_ratios if described else ()),
                estimate.kind,
                estimate.remark,
            )
        )
    assessed = assessed_ternaries(database, mine)
    ternaries = itertools.combinations(sorted(mine & set(database.elements)), 3)
    return Provenance(
        database.name,
        tuple(sorted(mine)),
        database.estimates is not None,
        tuple(e for e in found if e.phase in present),
        tuple(e for e in found if e.phase not in present),
        assessed,
        tuple(t for t in ternaries if t not in assessed),
        missing_binaries(database, mine) if database.allow_missing_binaries else (),
        tuple(_doubt(r) for r in database.remarks if "MAY BE INCORRECT" in r),
    )


def _doubt(remark: str) -> str:
    """The first sentence of a warning of pycalphad; it goes on with links and capitals."""
    return f"pycalphad: {remark.partition('. ')[0]}; its energies may be incorrect"

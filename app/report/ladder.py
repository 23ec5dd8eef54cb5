"""What is known at each fidelity of the candidates that an atomistic calculation was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.output import number
from app.report.names import shown_name, shown_unit
from db.material_facts import Fact
from db.results import CandidateResult

__all__ = ["Ladder", "Rung", "ladders"]

_FIDELITIES = ("prediction", "calphad", "dft")


@dataclass(frozen=True, slots=True)
class Rung:
    """One property at the three fidelities; None where nobody has a value.

    Attributes:
        name: The property in words, with the temperature where it has one.
        unit: As a reader writes it.
        values: Predicted, by CALPHAD, by the atomistic calculator.
        said: What the last says of the calculator's own error; empty where there is nothing to say.
    """

    name: str
    unit: str
    values: tuple[str | None, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """One candidate with its properties."""

    candidate: CandidateResult
    rungs: tuple[Rung, ...]


def ladders(candidates: Sequence[CandidateResult], targets: Sequence[str]) -> list[Ladder]:
    """The candidates with atomistic values, each with what it was asked and what was computed.

    Args:
        candidates: Of a campaign.
        targets: Properties that it asks for: they come first.
    """
    return [Ladder(c, _rungs(c, targets)) for c in candidates if c.fidelity == "dft"]


def _rungs(candidate: CandidateResult, targets: Sequence[str]) -> tuple[Rung, ...]:
    facts = [
        f
        for f in candidate.facts
        if not f.superseded and f.value is not None and f.kind in {"prediction", "validation"}
    ]
    computed = [f.property for f in facts if f.fidelity == "dft"]
    validated = [f.property for f in facts if f.fidelity == "calphad"]
    rungs = []
    for name in dict.fromkeys([*targets, *computed, *validated]):
        of_it = [f for f in facts if f.property == name]
        temperatures = {f.temperature_K for f in of_it if f.fidelity == "calphad"} or {None}
        rungs += [_rung(name, t, of_it) for t in sorted(temperatures, key=lambda t: t or 0.0)]
    return tuple(rungs)


def _rung(name: str, temperature_K: float | None, facts: Sequence[Fact]) -> Rung:
    values: list[str | None] = []
    said = ""
    for fidelity in _FIDELITIES:
        found = [f for f in facts if f.fidelity == fidelity]
        if fidelity == "calphad":
            found = [f for f in found if f.temperature_K == temperature_K]
        if not found:
            values.append(None)
            continue
        fact = found[0]  # the one that judged the candidate comes first
        sigma = fact.sigma
        error = "" if sigma is None else f" ± {number(sigma, 2)}"
        values.append(f"{number(fact.value)}{error}")
        stated = fact.conditions.get("detail", {}).get("qualification")
        said = stated if fidelity == "dft" and isinstance(stated, str) else said
    at = "" if temperature_K is None else f" at {temperature_K:g} K"
    return Rung(f"{shown_name(name)}{at}", shown_unit(name), tuple(values), said)

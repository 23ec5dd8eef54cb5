"""Fidelities as people read them: a rung of the ladder in words, and never a potential under the name of DFT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from db.material_facts import Fact
from hea_loop.properties import FIDELITIES
from validators.atomistic.specification import calculator_kind

__all__ = ["atomistic_source", "shown_fidelities", "shown_fidelity"]

_FIDELITY_NAMES: Final = {
    "prediction": "predicted",
    "calphad": "CALPHAD",
    "dft": "DFT",
    "experiment": "measured",
}
"""In the order of the ladder; a prediction is never shown without saying so."""


def shown_fidelity(fact: Fact) -> str:
    """The fidelity of a value in words. What a potential computed stands on the rung ``dft`` and is not called so."""
    made_by = (fact.conditions.get("detail") or {}).get("calculator")
    if fact.fidelity == "dft" and isinstance(made_by, Mapping) and made_by.get("kind") == "potential":
        return f"potential {made_by.get('name')}"
    return _FIDELITY_NAMES[fact.fidelity]


def shown_fidelities(facts: Iterable[Fact]) -> str:
    """The fidelities of several values, each once and in the order of the ladder."""
    ordered = sorted(facts, key=lambda f: FIDELITIES.index(f.fidelity))
    return ", ".join(dict.fromkeys(shown_fidelity(f) for f in ordered))


def atomistic_source(spec: Mapping[str, Any]) -> str:
    """Where a campaign's atomistic values come from: ``first principles``, or the potential by its name."""
    validator = (spec.get("validators") or {}).get("atomistic") or {}
    name = str(validator.get("calculator", "gpaw"))
    return "first principles" if calculator_kind(name) == "first-principles" else f"the potential {name}"

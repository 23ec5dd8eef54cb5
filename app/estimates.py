"""What answers rest on, below the answers: estimated parameters and extrapolated ternaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.output import print_text

if TYPE_CHECKING:
    from validators.calphad import CalphadDatabase
    from validators.calphad.provenance import Provenance

__all__ = ["Estimates", "print_estimates"]

_SYSTEMS: Final = 8  # that are written below a table; --json has each row's


class Estimates:
    """What answers of one database rest on, each set of elements and phases looked up once."""

    def __init__(self, database: CalphadDatabase) -> None:
        self._database = database
        self._known: dict[tuple[frozenset[str], frozenset[str]], Provenance] = {}

    def of(self, elements: Iterable[str], phases: Iterable[str]) -> Provenance:
        """What an answer with these phases rests on; ``BCC_A2#2`` is BCC_A2."""
        from validators.calphad.provenance import provenance

        key = frozenset(elements), frozenset(p.partition("#")[0] for p in phases)
        if key not in self._known:
            self._known[key] = provenance(self._database, *key)
        return self._known[key]

    def json(self, elements: Iterable[str], phases: Iterable[str]) -> dict[str, Any]:
        """The same as plain JSON, short enough to stand in every row; no number where none is stated."""
        found = self.of(elements, phases)
        return {
            "number": found.number_of_estimates if found.states_estimates else None,
            "in_phases_present": [f"{e.phase} {e.label}" for e in found.present],
            "in_competing_phases": [f"{e.phase} {e.label}" for e in found.competing],
            "text": list(found.lines()),
        }


def print_estimates(estimates: Estimates, answers: Mapping[tuple[str, ...], Sequence[str]]) -> None:
    """Write what answers rest on, a few lines for each alloy system.

    Args:
        estimates: Of the database.
        answers: Elements of each system, and the phases in its answers.
    """
    for k, (elements, phases) in enumerate(answers.items()):
        if k == _SYSTEMS:
            print_text(f"and {len(answers) - k} more systems: --json says for each row what it rests on")
            return
        lines = estimates.of(elements, phases).lines()
        name = f"{'-'.join(elements)}: " if len(answers) > 1 else ""
        for line in lines:
            print_text(f"{name}{line}")

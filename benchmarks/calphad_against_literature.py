"""Does CALPHAD say single-phase BCC where the literature saw it? The verdict beside the phases as published.

    python -m benchmarks.calphad_against_literature [--temperature 1473] [--json]

Every packaged literature alloy of three or more elements of the database refractory10, each once. What was
observed is what all publications together say: ``single BCC`` if every label is BCC and nothing else,
``Laves`` if any label has a Laves phase, ``two BCC`` if any other has two, ``other`` for all else.

The two are not the same question: most alloys were looked at as cast or after hours of annealing at some
temperature, and an equilibrium knows no kinetics. Agreement is a plausibility check, not a measured accuracy.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from db.literature import read_literature
from hea_loop.composition import Composition
from hea_loop.scoring import wilson_interval
from validators.calphad import load_database, phases_at
from validators.calphad.equilibrium import BCC, PhaseEquilibrium
from validators.outcome import OutcomeStatus

__all__ = ["compare", "main"]

_KINDS = ("single BCC", "two BCC", "Laves", "other", "no answer")


def observed(labels: Iterable[str]) -> str:
    """One kind for all the published phase labels of an alloy (``BCC``, ``BCC+LAVES``, ...)."""
    phases = [label.split("+") for label in labels]
    if all(p == ["BCC"] for p in phases):
        return "single BCC"
    if any(name.startswith("LAVES") for p in phases for name in p):
        return "Laves"
    return "two BCC" if any(sorted(p) == ["BCC", "BCC"] for p in phases) else "other"


def computed(found: PhaseEquilibrium) -> str:
    """The kind of an equilibrium."""
    if found.status is not OutcomeStatus.CONVERGED:
        return "no answer"
    if found.single_phase_bcc:
        return "single BCC"
    names = [phase.name for phase in found.phases]
    if any(name.startswith("LAVES") for name in names):
        return "Laves"
    return "two BCC" if set(names) == {BCC} else "other"


def compare(temperature_K: float, *, most: int | None = None) -> Counter[tuple[str, str]]:
    """Count alloys by (observed, computed).

    Args:
        temperature_K: Temperature of the equilibria.
        most: Only so many alloys, in the order of their keys; None for all.
    """
    database = load_database()
    labels: dict[Composition, list[str]] = defaultdict(list)
    for row in read_literature():
        known = set(row.composition.elements) <= set(database.elements) and len(row.composition.elements) > 2
        if row.property == "phases_observed" and row.text and known:
            labels[row.composition].append(row.text)
    # neighbours share an alloy system, and with it the compiled phase models
    chosen = sorted(labels, key=lambda c: (c.system, c.key))[:most]
    return Counter((observed(labels[c]), computed(phases_at(c, temperature_K, database))) for c in chosen)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--temperature", type=float, default=1473.0, help="K (default 1473)")
    parser.add_argument("--most", type=int, help="only so many alloys")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    counts = compare(given.temperature, most=given.most)
    table = {o: {c: counts[o, c] for c in _KINDS} for o in _KINDS[:-1]}
    if given.json:
        print(json.dumps({"temperature_K": given.temperature, "observed_then_computed": table}, indent=1))
        return 0
    print(f"{counts.total()} literature alloys; rows: observed, columns: computed at {given.temperature:g} K")
    print(f"{'':<12}" + "".join(f"{kind:>12}" for kind in _KINDS))
    for kind, row in table.items():
        print(f"{kind:<12}" + "".join(f"{n:>12}" for n in row.values()))
    said = sum(row["single BCC"] for row in table.values())
    interval = wilson_interval(table["single BCC"]["single BCC"], said)
    if interval is not None:
        share = table["single BCC"]["single BCC"] / said
        base = sum(table["single BCC"].values()) / counts.total()
        print(
            f"of {said} alloys computed as single BCC {share:.0%} were reported so "
            f"(95% Wilson interval {interval[0]:.0%} to {interval[1]:.0%}); of all alloys {base:.0%}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

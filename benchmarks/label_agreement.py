"""How well does one publication foretell another's phases of the same alloy? What labels allow at best.

    python -m benchmarks.label_agreement [--json]

Packaged literature alloys of three or more elements of the database that two or more publications report, each
pair of publications once, both ways round: one's label (single-phase bcc or not) as the forecast of the other's.
The balanced accuracy of that forecast says how reproducible the labels are from which
``single_phase_bcc_probability`` is learned. A model knows more reports than one, so it is no strict upper bound;
if reports err independently and as often either way, knowledge of the truth would score the second figure.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import defaultdict
from typing import Any

from benchmarks.observed_phase import LEAST_ELEMENTS, is_single
from db.literature import LiteratureRow, read_literature
from validators.calphad import load_database
from validators.calphad.observed import processing_state

__all__ = ["agreement", "main"]


def agreement(rows: list[LiteratureRow], elements: tuple[str, ...], *, by_processing: bool) -> dict[str, Any]:
    """Count the pairs of publications that agree.

    Args:
        rows: Rows of the literature.
        elements: Only alloys of these.
        by_processing: Compare only reports of the same processing state.
    """
    said: dict[tuple[str, str], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        present = row.composition.elements
        if row.property != "phases_observed" or not row.text or not row.doi:
            continue
        if len(present) >= LEAST_ELEMENTS and set(present) <= set(elements):
            state = processing_state(row.processing) if by_processing else ""
            said[row.composition.key, state][row.doi].append(is_single(row.text))
    pairs, alloys = [0, 0, 0], 0
    for reports in said.values():
        # a publication that says both of one alloy takes no side
        labels = [2 * sum(r) > len(r) for r in reports.values() if 2 * sum(r) != len(r)]
        alloys += len(labels) > 1
        for one, other in itertools.combinations(labels, 2):
            pairs[one + other] += 1
    neither, mixed, both = pairs
    single, other_kind = 2 * both + mixed, 2 * neither + mixed
    score = (2 * both / single + 2 * neither / other_kind) / 2 if single and other_kind else math.nan
    # reports that err with probability e agree with probability (1 - e)^2 + e^2
    known = (1 + math.sqrt(max(0.0, 2 * score - 1))) / 2 if math.isfinite(score) else math.nan
    return {
        "by_processing": by_processing,
        "alloys": alloys,
        "pairs": sum(pairs),
        "both_single": both,
        "neither": neither,
        "disagree": mixed,
        "balanced_accuracy": score,
        "knowing_the_truth": known,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    ten, rows = load_database().elements, list(read_literature())
    found = [
        {"elements": "-".join(elements), **agreement(rows, elements, by_processing=by_processing)}
        for elements in (ten, tuple(e for e in ten if e != "Al"))
        for by_processing in (False, True)
    ]
    if given.json:
        print(json.dumps(found, indent=1))
        return 0
    for one in found:
        kind = "same processing state" if one["by_processing"] else "any processing"
        print(
            f"{one['elements']}, {kind}: {one['alloys']} alloys, {one['pairs']} pairs of publications, "
            f"{one['disagree']} disagree; one foretells another with balanced accuracy "
            f"{one['balanced_accuracy']:.2f}, the truth would with {one['knowing_the_truth']:.2f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

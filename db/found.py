"""Which target cost most among what a campaign found: its validated candidates against each target and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.results import CandidateResult
from hea_loop.campaign import Target
from hea_loop.found import Found, judge_found

__all__ = ["found_by_target"]


def found_by_target(spec: Mapping[str, Any], candidates: Sequence[CandidateResult]) -> Found:
    """Count the strategy's validated candidates inside each target, each at the highest fidelity there is.

    Args:
        spec: The campaign as the store has it: its targets and verdicts are read, the rest is not checked.
        candidates: Of the campaign; the random share is left out.
    """
    validated = [c for c in candidates if c.state == "validated" and c.origin == "strategy"]
    holds: dict[str, list[bool | None]] = {}
    for name, interval in (spec.get("targets") or {}).items():
        target = Target.model_validate(interval)
        facts = [c.best(name) for c in validated]
        holds[name] = [None if f is None or f.value is None else target.holds(f.value) for f in facts]
    for name, verdict in (spec.get("verdicts") or {}).items():
        holds[name] = [_holds(c, name, verdict["temperatures_K"]) for c in validated]
    return judge_found(holds)


def _holds(candidate: CandidateResult, name: str, temperatures: Sequence[float]) -> bool | None:
    facts = [candidate.best(name, t) for t in temperatures]
    answers = [None if f is None or f.value is None else f.value >= 0.5 for f in facts]
    if any(a is False for a in answers):
        return False
    return None if any(a is None for a in answers) else True

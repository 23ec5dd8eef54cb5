"""Decisions on candidates: appended, never edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db import models
from db.outbox import announce
from hea_loop.errors import InputError

__all__ = ["decide"]

_STATE_AFTER: Final = {"approve": "approved", "reject": "rejected"}
_DECIDABLE: Final = ("queued", "approved", "rejected")


def decide(
    session: Session,
    candidate_ids: Sequence[int],
    verdict: Literal["approve", "reject"],
    *,
    who: str,
    reason: str,
) -> list[models.Decision]:
    """Record what a person said of candidates; all of them or none.

    A decision can be changed by another one as long as the candidate was not dispatched and its iteration is
    not scored; both stay on record.

    Args:
        session: The transaction.
        candidate_ids: Rows of candidates.
        verdict: ``approve`` lets a candidate go on to validation, ``reject`` ends it.
        who: Who says so.
        reason: Why.

    Raises:
        InputError: An unknown candidate, one that is past deciding, an empty name or reason.
    """
    if verdict not in _STATE_AFTER:
        raise InputError("verdict", verdict, "is not a decision", "use approve or reject")
    if not who.strip():
        raise InputError("who", who, "names nobody", "say who decides")
    if not reason.strip():
        raise InputError("reason", reason, "is empty", "say why: it is kept with the decision")
    if not candidate_ids:
        raise InputError(
            "candidate", list(candidate_ids), "names no candidate", "give ids from `hea-loop queue list`"
        )
    twice = sorted({i for i in candidate_ids if list(candidate_ids).count(i) > 1})
    if twice:
        raise InputError("candidate", twice, "is given twice", "give each id once")
    decisions = [_decide_one(session, i, verdict, who.strip(), reason.strip()) for i in candidate_ids]
    session.add_all(decisions)
    session.flush()
    campaigns = session.scalars(
        select(models.Campaign.name)
        .join(models.Iteration)
        .join(models.Candidate)
        .where(models.Candidate.id.in_(candidate_ids))
        .distinct()
    )
    for name in sorted(campaigns):
        announce(
            session, "candidate.decided", campaign=name, verdict=verdict, candidates=sorted(candidate_ids)
        )
    return decisions


def _decide_one(session: Session, candidate_id: int, verdict: str, who: str, reason: str) -> models.Decision:
    candidate = session.scalar(
        select(models.Candidate)
        .where(models.Candidate.id == candidate_id)
        .options(joinedload(models.Candidate.iteration))
        .with_for_update(of=models.Candidate)
    )
    if candidate is None:
        raise InputError(
            "candidate", candidate_id, "is not in the store", "see the ids with `hea-loop queue list`"
        )
    after = _STATE_AFTER[verdict]
    if candidate.state not in _DECIDABLE or candidate.iteration.stage == "scored":
        raise InputError(
            "candidate",
            candidate_id,
            f"is {candidate.state}, past deciding",
            "only queued candidates can be decided",
        )
    if candidate.state == after:
        raise InputError("candidate", candidate_id, f"is {after} already", "leave it out")
    candidate.state = after
    return models.Decision(candidate_id=candidate_id, verdict=verdict, who=who, reason=reason)

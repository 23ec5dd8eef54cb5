"""Hit rates of an iteration as rows, per fidelity and origin, and the history that stop rules read."""

from __future__ import annotations

from collections.abc import Sequence

from hea_loop.scoring import judge_predicted, wilson_interval
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import models
from db.campaigns import mark_scored, require_owner, specification
from db.jobs import known_values
from db.outbox import announce
from hea_loop.stopping import IterationScore

__all__ = ["history", "pending_candidates", "score_iteration"]

_OPEN = ("proposed", "queued", "approved", "validating")


def pending_candidates(session: Session, iteration_id: int) -> dict[str, int]:
    """Candidates of an iteration that have no end yet, counted by state."""
    states = session.scalars(
        select(models.Candidate.state).where(
            models.Candidate.iteration_id == iteration_id, models.Candidate.state.in_(_OPEN)
        )
    ).all()
    return {state: states.count(state) for state in sorted(set(states))}


def score_iteration(session: Session, iteration_id: int, owner: str) -> list[models.HitRate]:
    """Write the iteration's hit rates and close it.

    Two fidelities are kept: ``calphad`` counts candidates with a converged validation and judges every target
    and verdict; ``prediction`` counts all candidates and judges the targets that predictions decide.
    """
    iteration = session.get_one(models.Iteration, iteration_id)
    require_owner(session, iteration.campaign_id, owner)
    candidates = session.scalars(
        select(models.Candidate)
        .where(models.Candidate.iteration_id == iteration_id)
        .order_by(models.Candidate.rank)
    ).all()
    campaign = specification(iteration.campaign)
    rows = []
    for origin in models.ORIGINS:
        group = [c for c in candidates if c.origin == origin]
        validated = [c for c in group if c.state == "validated"]
        rows.append(
            _row(
                iteration_id,
                "calphad",
                origin,
                proposed=len(group),
                validated=len(validated),
                failed=sum(c.state == "failed" for c in group),
                unconverged=sum(c.state == "unconverged" for c in group),
                hit=sum(c.hit is True for c in validated),
            )
        )
        predicted = [
            judge_predicted(campaign, known_values(session, c.material_id, ("prediction",))) for c in group
        ]
        decided = [p for p in predicted if p is not None]
        rows.append(
            _row(
                iteration_id,
                "prediction",
                origin,
                proposed=len(group),
                validated=len(decided),
                failed=len(group) - len(decided),
                unconverged=0,
                hit=sum(decided),
            )
        )
    session.add_all(rows)
    mark_scored(iteration)
    announce(session, "iteration.scored", campaign=campaign.name, iteration=iteration.number)
    session.flush()
    return rows


def _row(
    iteration_id: int,
    fidelity: str,
    origin: str,
    *,
    proposed: int,
    validated: int,
    failed: int,
    unconverged: int,
    hit: int,
) -> models.HitRate:
    interval = wilson_interval(hit, validated)
    return models.HitRate(
        iteration_id=iteration_id,
        fidelity=fidelity,
        origin=origin,
        proposed=proposed,
        validated=validated,
        failed=failed,
        unconverged=unconverged,
        hit=hit,
        rate=hit / validated if validated else None,
        ci_low=interval[0] if interval else None,
        ci_high=interval[1] if interval else None,
    )


def history(session: Session, campaign_id: int) -> Sequence[IterationScore]:
    """The strategy's scored iterations at the fidelity of validation, oldest first."""
    rows = session.execute(
        select(models.Iteration.number, models.HitRate.hit, models.HitRate.validated)
        .join(models.HitRate)
        .where(
            models.Iteration.campaign_id == campaign_id,
            models.HitRate.fidelity == "calphad",
            models.HitRate.origin == "strategy",
        )
        .order_by(models.Iteration.number)
    )
    return [IterationScore(number=n, hits=h, validated=v) for n, h, v in rows]

"""Hit rates of an iteration as rows, per fidelity and origin, and the history that stop rules read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db import models
from db.campaigns import mark_scored, require_owner, specification
from db.jobs import known_values, source_of
from db.outbox import announce
from hea_loop.campaign import Campaign
from hea_loop.composition import Composition
from hea_loop.generators.quality import diversity
from hea_loop.scoring import CandidateResult, judge, score
from hea_loop.stopping import IterationScore

__all__ = ["count_dft", "history", "pending_candidates", "score_iteration"]

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
        .options(joinedload(models.Candidate.material))
        .order_by(models.Candidate.rank)
    ).all()
    campaign = specification(iteration.campaign)
    validated = [_as_validated(session, campaign, c) for c in candidates]
    predicted = [_as_predicted(session, campaign, c) for c in candidates]
    rates = [*score(validated).values(), *score(predicted, fidelity="prediction").values()]
    rows = [
        models.HitRate(
            iteration_id=iteration_id,
            **asdict(rate),
            diversity=_diversity(
                campaign,
                [
                    c
                    for c in candidates
                    if c.origin == rate.origin and (c.state == "validated" or rate.fidelity == "prediction")
                ],
            ),
        )
        for rate in rates
        if rate.origin in models.ORIGINS
    ]
    session.add_all(rows)
    mark_scored(iteration)
    announce(session, "iteration.scored", campaign=campaign.name, iteration=iteration.number)
    session.flush()
    return rows


def _diversity(campaign: Campaign, candidates: Sequence[models.Candidate]) -> float | None:
    """How different the counted candidates are: one alloy proposed again and again is no finding."""
    elements = campaign.design_space().elements
    rows = [Composition.from_key(c.material.key).fraction_vector(elements) for c in candidates]
    return diversity(np.array(rows)) if len(rows) > 1 else None


def _origin(candidate: models.Candidate) -> Literal["strategy", "random"]:
    return "random" if candidate.origin == "random" else "strategy"


def _as_validated(session: Session, campaign: Campaign, candidate: models.Candidate) -> CandidateResult:
    """The candidate as CALPHAD judged it, also where an atomistic answer came in before the iteration was scored."""
    if candidate.fidelity != "dft":
        return CandidateResult(_origin(candidate), candidate.state, candidate.hit, candidate.fidelity)
    own = tuple(source_of(job) for job in candidate.jobs if job.fidelity == "calphad")
    lower = ("prediction", "calphad")
    known = known_values(session, candidate.material_id, lower, own, elasticity=campaign.elasticity)
    judgement = judge(campaign, known)
    return CandidateResult(_origin(candidate), candidate.state, judgement.hit, judgement.fidelity)


def count_dft(session: Session, iteration: models.Iteration) -> None:
    """Count an iteration's hits among the candidates with an atomistic job anew: answers come in one by one.

    ``proposed`` are those that were sent; ``validated`` those that have a converged answer.
    """
    rows = session.execute(
        select(models.Candidate, models.Job.state)
        .join(models.Job, models.Job.candidate_id == models.Candidate.id)
        .where(models.Candidate.iteration_id == iteration.id, models.Job.fidelity == "dft")
        .order_by(models.Candidate.rank)
    ).all()
    results = [
        CandidateResult(_origin(c), "validated", c.hit, "dft")
        if state == "done"
        else CandidateResult(_origin(c), state)
        for c, state in rows
    ]
    counted = select(models.HitRate).where(
        models.HitRate.iteration_id == iteration.id, models.HitRate.fidelity == "dft"
    )
    known = {row.origin: row for row in session.scalars(counted)}
    for rate in score(results, fidelity="dft").values():
        if rate.origin not in models.ORIGINS or not rate.proposed:
            continue
        row = known.get(rate.origin) or models.HitRate(iteration_id=iteration.id)
        for name, value in asdict(rate).items():
            setattr(row, name, value)
        session.add(row)
    session.flush()


def _as_predicted(session: Session, campaign: Campaign, candidate: models.Candidate) -> CandidateResult:
    """The candidate as its predictions alone judge it: what no prediction answers does not count against it."""
    known = known_values(session, candidate.material_id, ("prediction",), elasticity=campaign.elasticity)
    judgement = judge(campaign, known)
    state = "failed" if judgement.fidelity is None else "validated"
    return CandidateResult(_origin(candidate), state, not judgement.failed, judgement.fidelity)


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

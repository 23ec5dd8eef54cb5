"""What a campaign that optimises has found, read from the hits in the store."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import models
from db.campaigns import specification
from db.jobs import known_values, source_of
from hea_loop.objectives import ObjectiveProgress, objective_progress
from hea_loop.properties import FIDELITIES
from hea_loop.scoring import decisive_value

__all__ = ["campaign_objectives"]


def campaign_objectives(session: Session, row: models.Campaign) -> tuple[ObjectiveProgress, ...]:
    """Best values, Pareto front and hypervolume of a campaign's hits after each iteration, of both shares.

    The values are those that its own validations gave; empty for a campaign without objectives.
    """
    # a specification of an older version is read only where there is something to say
    if not row.spec.get("objectives"):
        return ()
    campaign = specification(row)
    found = session.execute(
        select(models.Iteration.number, models.Material.id, models.Material.key, models.Job.id)
        .join(models.Candidate, models.Candidate.iteration_id == models.Iteration.id)
        .join(models.Material, models.Candidate.material_id == models.Material.id)
        .join(models.Job, models.Job.candidate_id == models.Candidate.id)
        .where(
            models.Iteration.campaign_id == row.id,
            models.Candidate.state == "validated",
            models.Candidate.hit.is_(True),
        )
        .order_by(models.Iteration.number, models.Candidate.rank)
    ).all()
    hits: dict[str, tuple[int, str, dict[str, float]]] = {}
    for number, material, key, job_id in found:
        job = session.get_one(models.Job, job_id)
        known = known_values(session, material, FIDELITIES, source_of(job), elasticity=campaign.elasticity)
        values = {name: decisive_value(known, name) for name in campaign.objectives}
        decided = {name: value.value for name, value in values.items() if value is not None}
        if len(decided) == len(campaign.objectives):
            hits.setdefault(key, (number, key, decided))
    return objective_progress(campaign, list(hits.values()), len(row.iterations))

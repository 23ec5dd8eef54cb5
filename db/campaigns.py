"""Campaigns and iterations in the store: registering, owning, and every stage's result as one transaction.

An iteration's ``stage`` names what comes next. Each function here that stores the result of a stage moves the
iteration to the next one in the same transaction and checks that the caller still owns the campaign, so that a
run killed at any moment goes on exactly where it was, and two runs never write the same stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import models
from db.materials import NewDataPoint, add_data_points, materials_for
from db.outbox import announce
from db.ownership import is_free, lease_end
from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.composition import Composition
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.prediction import predict

__all__ = [
    "Claim",
    "NewCandidate",
    "OwnershipLostError",
    "TrainedModel",
    "claim",
    "close_campaign",
    "current_iteration",
    "jobs_created",
    "register",
    "release",
    "renew",
    "require_owner",
    "save_candidates",
    "save_model",
    "specification",
]


class OwnershipLostError(HeaLoopError):
    """Another run took the campaign over; what this one has in hand is dropped."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A campaign that the caller now owns.

    Attributes:
        campaign_id: Its row.
        interrupted_flow_run_id: Prefect's id of a run that died while it owned the campaign, if one did.
    """

    campaign_id: int
    interrupted_flow_run_id: str | None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained generator, as the store keeps it."""

    strategy: str
    checkpoint: bytes
    options: dict[str, Any]
    metrics: dict[str, Any]
    training_curve: list[Any]
    device: str
    training_size: int


@dataclass(frozen=True, slots=True)
class NewCandidate:
    """What selection chose."""

    composition: Composition
    origin: str
    probability: float | None
    predicted: dict[str, Any]


def specification(row: models.Campaign) -> Campaign:
    """The campaign's checked specification."""
    return parse_campaign(row.spec, source=f"campaign {row.name}")


_EXTENDABLE = ("iterations", "stop", "description", "feasibility")


def _identity(campaign: Campaign) -> dict[str, Any]:
    """What may not change under one name. Going on for longer, or on another machine, is no other campaign."""
    spec = campaign.model_dump(mode="json")
    for key in _EXTENDABLE:
        spec.pop(key)
    for validator in spec["validators"].values():
        if validator is not None:
            validator.pop("budget")
            validator.pop("runner", None)
    return spec


def register(session: Session, campaign: Campaign) -> models.Campaign:
    """Return the store's row of a campaign, made or brought up to date.

    Iterations, stop rules, budgets and description of a known campaign may change; the rest may not.

    Raises:
        InputError: The name is taken by a campaign that differs in more than that.
    """
    row = session.scalar(select(models.Campaign).where(models.Campaign.name == campaign.name))
    if row is None:
        row = models.Campaign(
            name=campaign.name,
            spec=campaign.model_dump(mode="json"),
            spec_hash=campaign.spec_hash,
            state="new",
        )
        session.add(row)
        session.flush()
        announce(session, "campaign.registered", campaign=campaign.name)
        return row
    if row.spec_hash != campaign.spec_hash:
        old, new = _identity(specification(row)), _identity(campaign)
        changed = sorted(key for key in old if old[key] != new[key])
        if changed:
            raise InputError(
                "name",
                campaign.name,
                f"is in the store with another {', '.join(changed)}",
                "give the changed campaign a new name, or use another store",
            )
        row.spec, row.spec_hash = campaign.model_dump(mode="json"), campaign.spec_hash
        if row.state in {"done", "stopped"}:
            row.state, row.stop_reason = "new", None
        announce(session, "campaign.changed", campaign=campaign.name)
    return row


def claim(session: Session, campaign_id: int, owner: str, flow_run_id: str | None) -> Claim | None:
    """Become the owner of a campaign; None when a living run owns it."""
    row = session.get_one(models.Campaign, campaign_id)
    if not is_free(row.owner, row.owner_expires):
        return None
    interrupted = row.flow_run_id if row.owner is not None else None
    row.owner, row.owner_expires, row.flow_run_id, row.state = owner, lease_end(), flow_run_id, "running"
    return Claim(row.id, interrupted)


def require_owner(session: Session, campaign_id: int, owner: str) -> models.Campaign:
    """Return the campaign if the caller still owns it, and renew the lease.

    Raises:
        OwnershipLostError: Somebody else does.
    """
    row = session.get_one(models.Campaign, campaign_id, with_for_update=True)
    if row.owner != owner:
        raise OwnershipLostError(
            f"campaign {row.name} was taken over by {row.owner or 'nobody'}: this run drops its work"
        )
    row.owner_expires = lease_end()
    return row


def renew(session: Session, campaign_id: int, owner: str) -> None:
    """Keep the lease alive."""
    require_owner(session, campaign_id, owner)


def release(session: Session, campaign_id: int, owner: str, *, state: str, reason: str | None = None) -> None:
    """Give the campaign back in its new state."""
    row = require_owner(session, campaign_id, owner)
    row.state, row.stop_reason, row.owner, row.owner_expires, row.flow_run_id = (
        state,
        reason,
        None,
        None,
        None,
    )
    announce(session, f"campaign.{state}", campaign=row.name, reason=reason)


def close_campaign(session: Session, campaign_id: int, owner: str, reason: str | None) -> None:
    """End the campaign: done when its iterations are, stopped when a rule or the budget ended it before."""
    release(session, campaign_id, owner, state="done" if reason is None else "stopped", reason=reason)


def current_iteration(session: Session, campaign_id: int) -> models.Iteration | None:
    """The newest iteration of a campaign."""
    statement = (
        select(models.Iteration)
        .where(models.Iteration.campaign_id == campaign_id)
        .order_by(models.Iteration.number.desc())
        .limit(1)
    )
    return session.scalar(statement)


def begin_iteration(session: Session, campaign_id: int, owner: str) -> models.Iteration:
    """Open the next iteration; the one before has to be scored."""
    require_owner(session, campaign_id, owner)
    last = current_iteration(session, campaign_id)
    if last is not None and last.stage != "scored":
        return last
    iteration = models.Iteration(campaign_id=campaign_id, number=1 if last is None else last.number + 1)
    session.add(iteration)
    session.flush()
    return iteration


def jobs_created(session: Session, campaign_id: int, validator: str) -> int:
    """Candidates of a campaign that were sent to a validator so far: what its budget counts."""
    statement = (
        select(func.count())
        .select_from(models.Job)
        .join(models.Candidate)
        .join(models.Iteration)
        .where(models.Iteration.campaign_id == campaign_id, models.Job.validator == validator)
    )
    return session.scalar(statement) or 0


def save_model(session: Session, iteration_id: int, owner: str, model: TrainedModel) -> int:
    """Store the trained generator and move the iteration on to generating."""
    iteration = _at_stage(session, iteration_id, owner, "training")
    row = models.Model(
        iteration_id=iteration.id,
        strategy=model.strategy,
        checkpoint=model.checkpoint,
        checkpoint_sha256=hashlib.sha256(model.checkpoint).hexdigest(),
        options=model.options,
        metrics=model.metrics,
        training_curve=model.training_curve,
        device=model.device,
        training_size=model.training_size,
    )
    session.add(row)
    iteration.stage = "generating"
    session.flush()
    announce(session, "model.trained", iteration=iteration.id, model=row.id)
    return row.id


def save_candidates(
    session: Session,
    iteration_id: int,
    owner: str,
    candidates: Sequence[NewCandidate],
    *,
    review: bool,
    learned: Sequence[NewDataPoint] = (),
) -> list[int]:
    """Store what selection chose, with its predictions, and move the iteration on to dispatching.

    Args:
        session: The transaction.
        iteration_id: The iteration that proposes.
        owner: The run that owns the campaign.
        candidates: In order of rank.
        review: Whether they wait for a decision (``queued``) or not (``proposed``).
        learned: What a learned model predicts of them, besides the formulas.
    """
    iteration = _at_stage(session, iteration_id, owner, "generating")
    compositions = [c.composition for c in candidates]
    materials = materials_for(session, compositions)
    # another campaign may have proposed the same material meanwhile
    add_data_points(session, [*prediction_points(compositions), *learned], earlier_stands=True)
    rows = [
        models.Candidate(
            iteration_id=iteration.id,
            material_id=materials[c.composition.key].id,
            origin=c.origin,
            rank=rank,
            probability=c.probability,
            predicted=c.predicted,
            state="queued" if review else "proposed",
        )
        for rank, c in enumerate(candidates, start=1)
    ]
    session.add_all(rows)
    iteration.stage = "dispatching"
    session.flush()
    announce(session, "candidates.proposed", iteration=iteration.id, number=len(rows), review=review)
    return [row.id for row in rows]


def prediction_points(compositions: Sequence[Composition]) -> list[NewDataPoint]:
    """The prediction loop's values of some materials as data points."""
    return [
        NewDataPoint(
            composition=p.composition,
            property=p.property,
            value=p.value,
            sigma=p.sigma,
            unit=p.unit,
            kind="prediction",
            fidelity="prediction",
            method=p.method,
            source=f"prediction:{p.method}",
        )
        for p in predict(compositions)
    ]


def _at_stage(session: Session, iteration_id: int, owner: str, stage: str) -> models.Iteration:
    iteration = session.get_one(models.Iteration, iteration_id)
    require_owner(session, iteration.campaign_id, owner)
    if iteration.stage != stage:
        raise OwnershipLostError(
            f"iteration {iteration.number} is at {iteration.stage}, not at {stage}: this run drops its work"
        )
    return iteration


def mark_scored(iteration: models.Iteration) -> None:
    """Close the iteration."""
    iteration.stage, iteration.scored_at = "scored", datetime.now(UTC)

"""Feasibility in a campaign: judged before any budget is spent, refused where nothing can hit, kept in the store."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from db import models
from db.literature import training_compositions
from db.reported_phases import reported_phases
from db.store import Store
from flows.planning import elastic_model, known_answers
from flows.progress import ProgressEvent, emit
from hea_loop.campaign import Campaign
from hea_loop.elasticity import LEARNED_PROPERTIES, ElasticModel
from hea_loop.errors import InputError
from hea_loop.feasibility import judge_targets
from hea_loop.feasibility_report import Feasibility
from hea_loop.reachability import decide
from hea_loop.surrogate import Surrogate, fit_surrogate
from hea_loop.target_intervals import Chance, chance_of_interval, checked_intervals

__all__ = ["campaign_feasibility", "judge_before", "learned_chances", "refuse_infeasible"]

_STARTS = 1000


def refuse_infeasible(campaign: Campaign, store: Store | None = None) -> None:
    """Refuse a campaign whose predicted targets no composition of its palette meets, unless it insists.

    Args:
        campaign: Whose.
        store: Where a campaign of first-principles elasticity learns it from; without a store it is refused for what
            formulas say of its other targets alone.

    Raises:
        InputError: With the nearest composition and how to insist.
    """
    elasticity = None
    judged = campaign.predictable()
    if campaign.elasticity == "first-principles":
        if store is None:
            judged = tuple(n for n in judged if n not in LEARNED_PROPERTIES)
        else:
            with store.read() as session:
                elasticity = elastic_model(
                    session,
                    campaign,
                    lambda text: emit(
                        ProgressEvent(campaign.name, 0, campaign.iterations, "preparing", message=text)
                    ),
                )
    intervals = checked_intervals({n: (t.min, t.max) for n, t in campaign.targets.items() if n in judged})
    if campaign.feasibility == "warn" or not intervals:
        return
    palette = campaign.design_space()
    starts = palette.sample_uniform(_STARTS, np.random.default_rng(campaign.seed))
    if decide(palette, intervals, starts, elasticity).reachable:
        return
    told = judge_targets(palette, intervals, number=_STARTS, seed=campaign.seed, elasticity=elasticity)
    tail = "" if told.costliest is None else f" (costliest is {told.costliest.name}: {told.costliest.reason})"
    raise InputError(
        "targets",
        {n: [t.min, t.max] for n, t in campaign.targets.items() if n in intervals},
        f"are infeasible: {told.reason}",
        f"widen a target{tail}, or insist with `feasibility: warn`",
    )


def learned_chances(
    session: Session, campaign: Campaign, elasticity: ElasticModel | None = None
) -> tuple[dict[str, Chance], int]:
    """What the validators will say, by the campaign's surrogate of their answers so far.

    Args:
        session: A session of the store.
        campaign: Its targets and verdicts.
        elasticity: The campaign's elastic model.

    Returns:
        Target or verdict to its probability, empty without answers; and how many alloys were answered.
    """
    palette = campaign.design_space()
    fractions, answers = known_answers(session, campaign)
    if len(fractions) == 0:
        return {}, 0
    reports = reported_phases(session, palette.elements)
    surrogate = fit_surrogate(campaign, palette.elements, fractions, answers, elasticity, reports=reports)
    intervals = checked_intervals({n: (t.min, t.max) for n, t in campaign.targets.items()})
    chances = {
        name: _numeric(surrogate, name, intervals[name])
        for name in campaign.targets
        if name not in campaign.predictable()
    }
    return chances | {name: _verdict(surrogate, name) for name in campaign.verdicts}, len(fractions)


def _numeric(surrogate: Surrogate, name: str, interval: tuple[float, float]) -> Chance:
    def predict(x: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        estimate = surrogate.estimates(x)[name]
        return estimate.mean, estimate.sigma

    return chance_of_interval(predict, *interval)


def _verdict(surrogate: Surrogate, name: str) -> Chance:
    return lambda x: surrogate.verdict_probability(x)[name]


def campaign_feasibility(session: Session, campaign: Campaign) -> Feasibility:
    """Judge a campaign's targets with what the store knows now."""
    palette = campaign.design_space()
    elasticity = elastic_model(session, campaign)
    learned, answers = learned_chances(session, campaign, elasticity)
    known = [c.fraction_vector(palette.elements) for c in training_compositions(session, palette.elements)]
    return judge_targets(
        palette,
        {n: (t.min, t.max) for n, t in campaign.targets.items()},
        np.array(known, dtype=float).reshape(-1, len(palette.elements)),
        learned=learned,
        undecided=tuple(campaign.verdicts),
        answers=answers,
        seed=campaign.seed,
        elasticity=elasticity,
    )


def judge_before(store: Store, campaign: Campaign, campaign_id: int) -> None:
    """Judge a campaign once, before its first iteration: kept in the store, said aloud, and shown in Prefect."""
    from prefect import get_run_logger
    from prefect.artifacts import create_markdown_artifact

    with store.read() as session:
        if session.get_one(models.Campaign, campaign_id).feasibility is not None:
            return
        found = campaign_feasibility(session, campaign)
    with store.write() as session:
        session.get_one(models.Campaign, campaign_id).feasibility = found.to_json()
    costliest = (
        "" if found.costliest is None else f"; costliest is {found.costliest.name}: {found.costliest.reason}"
    )
    text = f"{found.verdict}: {found.reason}{costliest}"
    get_run_logger().info("feasibility: %s", text)
    key = re.sub(r"[^a-z0-9]+", "-", f"feasibility-{campaign.name}".lower()).strip("-")
    create_markdown_artifact(key=key, markdown=f"**{found.verdict}**: {found.reason}{costliest}")
    emit(ProgressEvent(campaign.name, 0, campaign.iterations, "preparing", message=f"feasibility: {text}"))

"""From a campaign to what its stages need: validator settings, job requests, training data, known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from db.literature import training_compositions
from hea_loop.generators import Generator, TrainingData, generator_named
from hea_loop.prediction import predict_array
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import models
from db.jobs import JobRequest
from hea_loop.campaign import Campaign
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad import CalphadSettings, load_database

__all__ = [
    "calphad_request",
    "calphad_settings",
    "check_campaign",
    "known_answers",
    "known_compositions",
    "training_data",
]

MINIMUM_TRAINING_SIZE = 20


def calphad_settings(campaign: Campaign) -> CalphadSettings:
    """What the campaign asks of the CALPHAD validator."""
    validator = campaign.validators.calphad
    if validator is None:
        raise InputError("validators.calphad", None, "is missing", "add it with a budget")
    temperatures = (
        campaign.verdicts["single_phase_bcc"].temperatures_K
        if "single_phase_bcc" in campaign.verdicts
        else []
    )
    properties = [p for p in ("single_phase_bcc",) if p in campaign.verdicts]
    properties += [p for p in ("solidus",) if p in campaign.targets]
    return CalphadSettings(
        database=validator.database, temperatures_K=tuple(temperatures), properties=tuple(properties)
    )


def calphad_request(campaign: Campaign) -> JobRequest:
    """The job that every approved candidate of the campaign gets."""
    settings = calphad_settings(campaign)
    validator = campaign.validators.calphad
    return JobRequest(
        validator="calphad",
        fidelity="calphad",
        configuration=settings.configuration(),
        configuration_hash=settings.configuration_hash(),
        budget=validator.budget if validator is not None else 0,
    )


def check_campaign(campaign: Campaign) -> None:
    """Refuse what would fail later: an unknown strategy, a missing database, elements that it does not have.

    Raises:
        InputError: The first thing that cannot work, by its field.
    """
    generator_named(campaign.strategy.name, campaign.strategy.options)
    settings = calphad_settings(campaign)
    database = load_database(settings.database)
    palette = campaign.design_space().elements
    lacking = sorted(set(palette) - set(database.elements))
    if lacking:
        raise InputError(
            "palette.elements",
            list(palette),
            f"{', '.join(lacking)} is not in the CALPHAD database {settings.database}",
            f"use elements of {', '.join(database.elements)}, or give validators.calphad.database a TDB that has them",
        )


def training_data(session: Session, campaign: Campaign, generator: Generator) -> TrainingData:
    """What the generator learns from: the literature within the palette, and what this campaign validated.

    Of the campaign's own candidates those are fed back whose verdicts all hold, whether or not their targets
    do: an alloy that decomposes is no example of a realistic one.

    Raises:
        InputError: Too few alloys for the palette.
    """
    palette = campaign.design_space()
    compositions = set(training_compositions(session, palette.elements))
    literature = len(compositions)
    if literature < MINIMUM_TRAINING_SIZE:
        raise InputError(
            "palette.elements",
            list(palette.elements),
            f"has only {literature} literature alloys within it",
            f"widen the palette: {generator.name} needs {MINIMUM_TRAINING_SIZE} to train",
        )
    compositions |= _confirmed(session, campaign)
    ordered = sorted(compositions, key=lambda c: c.key)
    fractions = np.array([c.fraction_vector(palette.elements) for c in ordered])
    names = tuple(campaign.strategy.conditions)

    def predicted(x: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = predict_array(x, palette.elements, names)
        return np.column_stack([values[name] for name in names])

    return TrainingData(
        elements=palette.elements,
        fractions=fractions,
        conditions=predicted(fractions),
        condition_names=names,
        reference=predicted,
    )


def _confirmed(session: Session, campaign: Campaign) -> set[Composition]:
    """Validated candidates of the campaign whose every verdict holds, read from their data points."""
    materials = session.execute(
        select(models.Material.id, models.Material.key)
        .join(models.Candidate, models.Candidate.material_id == models.Material.id)
        .join(models.Iteration)
        .join(models.Campaign)
        .where(models.Campaign.name == campaign.name, models.Candidate.state == "validated")
    ).all()
    answers = known_answers(session, campaign)
    wanted = [(name, t) for name, verdict in campaign.verdicts.items() for t in verdict.temperatures_K]
    return {
        Composition.from_key(key)
        for _, key in materials
        if key in answers and all(answers[key].get(question) == 1.0 for question in wanted)
    }


def known_compositions(session: Session) -> list[Composition]:
    """Every material in the store, in the order of the keys."""
    return [
        Composition.from_key(key)
        for key in session.scalars(select(models.Material.key).order_by(models.Material.key))
    ]


def known_answers(session: Session, campaign: Campaign) -> dict[str, dict[tuple[str, float | None], float]]:
    """What the CALPHAD validator has answered under the campaign's configuration, from any campaign.

    Returns:
        Material key to ``(property, temperature or None)`` to value, in the order of the keys.
    """
    settings = calphad_settings(campaign)
    sources = f"calphad:{settings.configuration_hash()[:16]}%"
    rows = session.execute(
        select(
            models.Material.key,
            models.DataPoint.property,
            models.DataPoint.temperature_K,
            models.DataPoint.value,
        )
        .join(models.DataPoint, models.DataPoint.material_id == models.Material.id)
        .where(
            models.DataPoint.fidelity == "calphad",
            models.DataPoint.superseded_by.is_(None),
            models.DataPoint.value.is_not(None),
            models.DataPoint.source.like(sources),
        )
        .order_by(models.Material.key, models.DataPoint.id)
    )
    answers: dict[str, dict[tuple[str, float | None], float]] = {}
    for key, name, temperature, value in rows:
        answers.setdefault(key, {})[name, temperature] = value
    return answers


def answers_as_arrays(
    answers: Mapping[str, Mapping[tuple[str, float | None], float]], elements: Sequence[str]
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], list[dict[tuple[str, float | None], float]]]:
    """The answers whose materials lie in the palette, as fractions ``(n, m)`` and one mapping each."""
    rows, values = [], []
    for key, answer in answers.items():
        composition = Composition.from_key(key)
        if set(composition.elements) <= set(elements):
            rows.append(composition.fraction_vector(elements))
            values.append(dict(answer))
    return np.array(rows).reshape(len(rows), len(elements)), values

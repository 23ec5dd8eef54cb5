"""Everything the store knows of one material, and which literature alloys are near it: read only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Campaign, Candidate, DataPoint, Iteration, Material
from hea_loop.composition import RESOLUTION, Composition
from hea_loop.properties import FIDELITIES

__all__ = [
    "Fact",
    "LiteratureIndex",
    "MaterialFacts",
    "Neighbour",
    "fact_of",
    "material_facts",
    "nearest_literature",
    "phases_at_temperatures",
]


@dataclass(frozen=True, slots=True)
class Fact:
    """One data point, as the store keeps it (see :class:`db.models.DataPoint`)."""

    property: str
    value: float | None
    text: str | None
    unit: str
    sigma: float | None
    kind: str
    fidelity: str
    method: str
    source: str
    temperature_K: float | None
    conditions: Mapping[str, Any]
    doi: str | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A literature alloy near a composition.

    Attributes:
        composition: The alloy.
        distance: Total-variation distance, the atomic fraction that has to be exchanged.
        dois: Where it was reported.
        phases: The phases that were observed, each label once.
        measured: Whether somebody made and measured it; False where it was only computed.
    """

    composition: Composition
    distance: float
    dois: tuple[str, ...]
    phases: tuple[str, ...]
    measured: bool


@dataclass(frozen=True, slots=True)
class MaterialFacts:
    """Everything the store knows of a composition.

    Attributes:
        composition: What was asked for.
        known: Whether the store has this very material.
        facts: Its data points, in the order of the ladder of fidelities.
        proposed_by: ``(campaign, iteration, candidate id, origin, state)`` wherever it was a candidate.
    """

    composition: Composition
    known: bool
    facts: tuple[Fact, ...]
    proposed_by: tuple[tuple[str, int, int, str, str], ...]


def fact_of(point: DataPoint) -> Fact:
    """The data point without its session."""
    return Fact(
        property=point.property,
        value=point.value,
        text=point.text,
        unit=point.unit,
        sigma=point.sigma,
        kind=point.kind,
        fidelity=point.fidelity,
        method=point.method,
        source=point.source,
        temperature_K=point.temperature_K,
        conditions=point.conditions or {},
        doi=point.doi,
        superseded=point.superseded_by is not None,
    )


def material_facts(session: Session, composition: Composition) -> MaterialFacts:
    """Everything the store knows of a composition: data points of every source kind, and who proposed it."""
    material = session.scalar(select(Material).where(Material.key == composition.key))
    if material is None:
        return MaterialFacts(composition, known=False, facts=(), proposed_by=())
    facts = [
        fact_of(p) for p in session.scalars(select(DataPoint).where(DataPoint.material_id == material.id))
    ]
    facts.sort(key=lambda f: (-FIDELITIES.index(f.fidelity), f.property, f.temperature_K or 0, f.source))
    proposed = session.execute(
        select(Campaign.name, Iteration.number, Candidate.id, Candidate.origin, Candidate.state)
        .select_from(Candidate)
        .join(Candidate.iteration)
        .join(Iteration.campaign)
        .where(Candidate.material_id == material.id)
        .order_by(Candidate.id)
    )
    return MaterialFacts(
        composition,
        known=True,
        facts=tuple(facts),
        proposed_by=tuple((name, number, i, origin, state) for name, number, i, origin, state in proposed),
    )


@dataclass(frozen=True)
class LiteratureIndex:
    """The literature alloys of the store, read once, to look up the nearest of many compositions.

    Attributes:
        compositions: ``n`` alloys.
        dois: Their DOIs.
        phases: Their observed phases.
        measured: Whether each was made and measured, or only computed.
    """

    compositions: tuple[Composition, ...]
    dois: tuple[tuple[str, ...], ...]
    phases: tuple[tuple[str, ...], ...]
    measured: tuple[bool, ...]
    _symbols: tuple[str, ...] = field(init=False, repr=False, default=())
    _parts: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        symbols = tuple(sorted({e for c in self.compositions for e in c.elements}))
        column = {e: j for j, e in enumerate(symbols)}
        parts = np.zeros((len(self.compositions), len(symbols)), dtype=np.int64)  # n x m
        for i, composition in enumerate(self.compositions):
            for element, count in composition.parts:
                parts[i, column[element]] = count
        object.__setattr__(self, "_symbols", symbols)
        object.__setattr__(self, "_parts", parts)

    @classmethod
    def load(cls, session: Session) -> LiteratureIndex:
        """Read all materials with a literature data point."""
        dois: dict[str, set[str]] = {}
        phases: dict[str, dict[str, None]] = {}
        rows = session.execute(
            select(Material.key, DataPoint.property, DataPoint.text, DataPoint.doi, DataPoint.fidelity)
            .join(DataPoint.material)
            .where(DataPoint.kind == "literature")
            .order_by(Material.id, DataPoint.id)
        )
        measured: set[str] = set()
        for key, name, text, doi, fidelity in rows:
            of_key = dois.setdefault(key, set())
            labels = phases.setdefault(key, {})
            if doi:
                of_key.add(doi)
            if fidelity == "experiment":
                measured.add(key)
            if name == "phases_observed" and text:
                labels[text] = None
        return cls(
            compositions=tuple(Composition.from_key(key) for key in dois),
            dois=tuple(tuple(sorted(d)) for d in dois.values()),
            phases=tuple(tuple(p) for p in phases.values()),
            measured=tuple(key in measured for key in dois),
        )

    def nearest(self, composition: Composition, n: int = 3) -> list[Neighbour]:
        """The ``n`` nearest alloys by total-variation distance, ties in the order of their formulas.

        The material itself comes first where the literature has it.
        """
        if not self.compositions:
            return []
        wanted = dict(composition.parts)
        known = np.array([wanted.get(e, 0) for e in self._symbols])
        outside = RESOLUTION - int(known.sum())  # parts of elements that no literature alloy has
        distance = (np.abs(self._parts - known).sum(axis=1) + outside) / (2 * RESOLUTION)
        order = sorted(
            np.argsort(distance, kind="stable")[: n + 20],
            key=lambda i: (distance[i], self.compositions[i].formula),
        )
        return [
            Neighbour(
                self.compositions[i], float(distance[i]), self.dois[i], self.phases[i], self.measured[i]
            )
            for i in order[:n]
        ]


def nearest_literature(session: Session, composition: Composition, n: int = 5) -> list[Neighbour]:
    """The ``n`` nearest literature alloys of one composition; see :class:`LiteratureIndex` for many."""
    return LiteratureIndex.load(session).nearest(composition, n)


def phases_at_temperatures(facts: Iterable[Fact]) -> dict[float, list[tuple[str, float]]]:
    """Phases and their mole fractions by temperature in K, as CALPHAD validations of a material found them.

    A phase that appears twice (a miscibility gap) is listed twice.
    """
    found: dict[float, list[tuple[str, float]]] = {}
    for fact in facts:
        if fact.superseded or fact.fidelity != "calphad" or fact.temperature_K is None:
            continue
        phases = fact.conditions.get("detail", fact.conditions).get("phases")
        if isinstance(phases, list):
            found[fact.temperature_K] = [(str(p["name"]), float(p["fraction"])) for p in phases]
    return dict(sorted(found.items()))

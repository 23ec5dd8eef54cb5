"""Materials and their data points: get or create, add without overwriting, supersede, read what is current.

Everything that writes here belongs inside ``Store.write()``: write transactions come one after the other, and
so what was looked up still holds when it is written. Every change leaves an event in the outbox in the same
transaction, one for each batch: ``material.created``, ``data-point.added`` and ``data-point.superseded``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from db.models import DataPoint, Material, OutboxEvent
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.properties import FIDELITIES, SOURCE_KINDS, property_named

__all__ = [
    "MOST_CHARACTERS",
    "NewDataPoint",
    "add_data_points",
    "current_values",
    "material_for",
    "materials_for",
    "supersede",
]

_Id = TypeVar("_Id", int, str)
_CHUNK: Final = 500  # values in one IN list: SQLite's limit on parameters was 999 for long
MOST_CHARACTERS: Final = 200  # of method, source and DOI, as the columns are wide


@dataclass(frozen=True, slots=True)
class NewDataPoint:
    """A data point to be: one value of one property of one composition from one source.

    Attributes:
        composition: What it was found of.
        property: A name of the vocabulary.
        kind: ``literature``, ``prediction``, ``validation`` or ``experiment``.
        fidelity: ``prediction``, ``calphad``, ``dft`` or ``experiment``.
        method: How it was found, named so that somebody else could do it again.
        source: What makes it one: the row of a compilation, the job, or the predictor with its version.
        value: The number, in the property's canonical unit (a verdict: 1.0 or 0.0); None for a text.
        text: The text, for a property that is one; None for a number.
        unit: None, or the canonical unit; any other is refused.
        sigma: One standard uncertainty in the same unit, or None where nobody states it.
        temperature_K: Temperature in K, or None where it is not stated or has no meaning.
        conditions: Everything else that the value depends on, as plain JSON.
        doi: DOI without a resolver.

    Raises:
        InputError: The property, kind or fidelity is not known, a number is not finite, sigma is negative,
            the unit is not the canonical one, or the text is too long.
    """

    composition: Composition
    property: str
    kind: str
    fidelity: str
    method: str
    source: str
    value: float | None = None
    text: str | None = None
    unit: str | None = None
    sigma: float | None = None
    temperature_K: float | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    doi: str | None = None

    def __post_init__(self) -> None:
        entry = property_named(self.property)
        if self.kind not in SOURCE_KINDS:
            raise InputError(
                "kind", self.kind, "is no kind of source", f"use one of {', '.join(SOURCE_KINDS)}"
            )
        if self.fidelity not in FIDELITIES:
            raise InputError(
                "fidelity", self.fidelity, "is no fidelity", f"use one of {', '.join(FIDELITIES)}"
            )
        given, wanted = ("text", "value") if entry.is_text else ("value", "text")
        if getattr(self, given) is None or getattr(self, wanted) is not None:
            raise InputError(
                self.property, getattr(self, wanted), f"needs a {given} and no {wanted}", f"give its {given}"
            )
        for name in ("value", "sigma", "temperature_K"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise InputError(
                    f"{self.property}.{name}", number, "is not finite", "leave it out or mend it"
                )
        if self.sigma is not None and self.sigma < 0:
            raise InputError(
                f"{self.property}.sigma", self.sigma, "is negative", "give a standard uncertainty"
            )
        if self.unit is not None and self.unit != entry.unit:
            raise InputError(
                f"{self.property}.unit", self.unit, "is not the canonical unit", f"use {entry.unit}"
            )
        for name in ("method", "source", "doi"):
            text = getattr(self, name)
            if text is not None and not 0 < len(text) <= MOST_CHARACTERS:
                raise InputError(name, text, f"is empty or over {MOST_CHARACTERS} characters", "shorten it")

    def _row(self, material_id: int) -> dict[str, Any]:
        return {
            "material_id": material_id,
            "property": self.property,
            "value": None if self.value is None else float(self.value),
            "text": self.text,
            "unit": property_named(self.property).unit,
            "sigma": None if self.sigma is None else float(self.sigma),
            "kind": self.kind,
            "fidelity": self.fidelity,
            "method": self.method,
            "source": self.source,
            "temperature_K": None if self.temperature_K is None else float(self.temperature_K),
            # as the database gives it back: tuples become lists
            "conditions": json.loads(json.dumps(dict(self.conditions), allow_nan=False)),
            "doi": self.doi,
        }


def material_for(session: Session, composition: Composition) -> Material:
    """Return the material of a composition, creating it where the store has none."""
    return materials_for(session, [composition])[composition.key]


def materials_for(session: Session, compositions: Iterable[Composition]) -> dict[str, Material]:
    """Return the materials of many compositions by identity key, creating those that the store has not.

    Args:
        session: Of ``Store.write()``.
        compositions: Any number, repeated or not.
    """
    wanted = {c.key: c for c in compositions}
    found = _by_key(session, wanted)
    missing = [wanted[key] for key in sorted(wanted.keys() - found.keys())]
    if missing:
        before = _last_id(session, Material)
        rows = [{"key": c.key, "formula": c.formula, "system": c.system} for c in missing]
        session.execute(sa.insert(Material), rows)
        found |= _by_key(session, [c.key for c in missing])
        _announce(session, "material.created", Material, before, len(missing))
    return found


def _by_key(session: Session, keys: Iterable[str]) -> dict[str, Material]:
    return {
        material.key: material
        for chunk in _chunks(keys)
        for material in session.scalars(sa.select(Material).where(Material.key.in_(chunk)))
    }


def add_data_points(session: Session, points: Iterable[NewDataPoint], *, earlier_stands: bool = False) -> int:
    """Add data points with their materials; those that the store has already are left as they are.

    A data point is one by (material, property, source). The same content again is nothing new; another
    content under the same source is refused, since a data point is never overwritten: give the new one a
    source of its own and :func:`supersede` the old one.

    Args:
        session: Of ``Store.write()``.
        points: Any number.
        earlier_stands: For what is computed: a point of the same source is the same question, and an answer
            that differs from the stored one (in the last bit on another machine, in a detail) changes nothing
            instead of being refused.

    Returns:
        How many were new.

    Raises:
        InputError: A point contradicts one of the same source among ``points``, or in the store unless
            ``earlier_stands``.
    """
    given = list(points)
    materials = materials_for(session, (p.composition for p in given))
    rows: dict[tuple[int, str, str], dict[str, Any]] = {}
    for point in given:
        row = point._row(materials[point.composition.key].id)  # noqa: SLF001 - of this module
        same = rows.setdefault(_identity(row), row)
        if same is not row:
            _require_same(point.composition, same, row)
    known = _stored_rows(session, rows)
    composition_of = {materials[p.composition.key].id: p.composition for p in given}
    for identity, stored in () if earlier_stands else known.items():
        _require_same(composition_of[identity[0]], stored, rows[identity])
    new = [row for identity, row in rows.items() if identity not in known]
    if new:
        before = _last_id(session, DataPoint)
        session.execute(sa.insert(DataPoint), new)
        _announce(session, "data-point.added", DataPoint, before, len(new))
    return len(new)


_CONTENT: Final = (
    "material_id",
    "property",
    "source",
    "value",
    "text",
    "unit",
    "sigma",
    "kind",
    "fidelity",
    "method",
    "temperature_K",
    "conditions",
    "doi",
)


def _identity(row: Mapping[str, Any]) -> tuple[int, str, str]:
    return row["material_id"], row["property"], row["source"]


def _stored_rows(
    session: Session, wanted: Mapping[tuple[int, str, str], Any]
) -> dict[tuple[int, str, str], dict[str, Any]]:
    """Content of those of the wanted data points that the store has."""
    found = {}
    columns = [getattr(DataPoint, name) for name in _CONTENT]
    properties = sorted({prop for _, prop, _ in wanted})
    for chunk in _chunks({material_id for material_id, _, _ in wanted}):
        query = sa.select(*columns).where(
            DataPoint.material_id.in_(chunk), DataPoint.property.in_(properties)
        )
        for values in session.execute(query):
            row = dict(zip(_CONTENT, values, strict=True))
            if _identity(row) in wanted:
                found[_identity(row)] = row
    return found


def _require_same(composition: Composition, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    differing = [name for name in _CONTENT if stored[name] != given[name]]
    if differing:
        name = differing[0]
        raise InputError(
            f"{given['property']} of {composition.formula} from {given['source']}",
            given[name],
            f"contradicts the stored {name} {stored[name]!r}, and a data point is never overwritten",
            "give it a source of its own and supersede the old one",
        )


def supersede(session: Session, old: DataPoint, new: DataPoint) -> None:
    """Mark a data point as replaced by a newer one of the same material and property; both stay in the store.

    Args:
        session: Of ``Store.write()``.
        old: The one that no longer counts.
        new: The one that counts instead.

    Raises:
        InputError: They are of different materials or properties, ``old`` is replaced already, or ``new`` is.
    """
    if old.id == new.id or (old.material_id, old.property) != (new.material_id, new.property):
        raise InputError(
            "new",
            new.id,
            f"does not replace data point {old.id}",
            "give one of the same material and property",
        )
    for name, point in (("old", old), ("new", new)):
        if point.superseded_by is not None:
            raise InputError(
                name,
                point.id,
                f"is superseded by data point {point.superseded_by}",
                "supersede the current one",
            )
    old.superseded_by = new.id
    session.add(
        OutboxEvent(
            topic="data-point.superseded",
            payload={
                "old_id": old.id,
                "new_id": new.id,
                "material_id": old.material_id,
                "property": old.property,
            },
        )
    )
    session.flush()


def current_values(
    session: Session,
    material_ids: Iterable[int],
    properties: Sequence[str],
    fidelity: str | None = None,
) -> list[DataPoint]:
    """Return the data points that are not superseded.

    Args:
        session: Of ``Store.read()`` or ``Store.write()``.
        material_ids: Of which materials.
        properties: Of which properties; names of the vocabulary.
        fidelity: Only of this one; None for all.

    Returns:
        Sorted by material and property; within them the highest fidelity first, then as they were added.
    """
    for name in properties:
        property_named(name)
    found: list[DataPoint] = []
    for chunk in _chunks(set(material_ids)):
        query = sa.select(DataPoint).where(
            DataPoint.material_id.in_(chunk),
            DataPoint.property.in_(properties),
            DataPoint.superseded_by.is_(None),
        )
        if fidelity is not None:
            query = query.where(DataPoint.fidelity == fidelity)
        found.extend(session.scalars(query))
    return sorted(found, key=lambda p: (p.material_id, p.property, -FIDELITIES.index(p.fidelity), p.id))


# -- what the writers share ----------------------------------------------------------------------------------


def _chunks(values: Iterable[_Id]) -> Iterator[list[_Id]]:
    listed = sorted(values)
    return (listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK))


def _last_id(session: Session, model: type[Material | DataPoint]) -> int:
    return session.scalar(sa.select(sa.func.max(model.id))) or 0


def _announce(
    session: Session, topic: str, model: type[Material | DataPoint], after: int, count: int
) -> None:
    """Put one event for a batch into the outbox.

    Write transactions are serial, so every id above the last one before is of this batch.
    """
    first, last = session.execute(
        sa.select(sa.func.min(model.id), sa.func.max(model.id)).where(model.id > after)
    ).one()
    session.add(OutboxEvent(topic=topic, payload={"count": count, "first_id": first, "last_id": last}))
    session.flush()

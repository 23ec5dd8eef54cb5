"""Voids: what somebody requires of a material at a fidelity, and nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from db.models import DataPoint, Material
from hea_loop.errors import InputError
from hea_loop.properties import FIDELITIES, property_named

__all__ = ["Void", "find_voids"]


@dataclass(frozen=True, slots=True)
class Void:
    """A (material, property, fidelity) without a current data point.

    Attributes:
        material_id: The material.
        key: Its identity key.
        property: What is missing of it.
        fidelity: At which fidelity.
    """

    material_id: int
    key: str
    property: str
    fidelity: str


def find_voids(
    session: Session,
    properties: Sequence[str],
    fidelity: str,
    *,
    among: sa.Select[tuple[int]] | None = None,
    limit: int | None = None,
) -> list[Void]:
    """Find what is missing, in one query.

    Args:
        session: Of ``Store.read()`` or ``Store.write()``.
        properties: What is required of each material; names of the vocabulary.
        fidelity: The fidelity at which it is required; a value at another one does not fill the void.
        among: A select of material ids to look among; None for every material.
        limit: At most so many; None for all.

    Returns:
        By material in the order they came into the store, then in the order of ``properties``.

    Raises:
        InputError: A property or the fidelity is not known.
    """
    if fidelity not in FIDELITIES:
        raise InputError("fidelity", fidelity, "is no fidelity", f"use one of {', '.join(FIDELITIES)}")
    if not properties:
        return []
    required = sa.union_all(
        *(
            sa.select(sa.literal(property_named(name).name).label("property"), sa.literal(i).label("place"))
            for i, name in enumerate(dict.fromkeys(properties))
        )
    ).subquery()
    has_one = (
        sa.select(DataPoint.id)
        .where(
            DataPoint.material_id == Material.id,
            DataPoint.property == required.c.property,
            DataPoint.fidelity == fidelity,
            DataPoint.superseded_by.is_(None),
        )
        .exists()
    )
    query = (
        sa.select(Material.id, Material.key, required.c.property)
        .select_from(sa.join(Material, required, sa.true()))
        .where(~has_one)
        .order_by(Material.id, required.c.place)
        .limit(limit)
    )
    if among is not None:
        query = query.where(Material.id.in_(among))
    return [Void(i, key, name, fidelity) for i, key, name in session.execute(query)]

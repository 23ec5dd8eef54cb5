"""Published phases as the surrogates learn from them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import DataPoint, Material
from hea_loop.composition import Composition
from hea_loop.surrogates.reported_phases import PhaseReport, is_single_phase_bcc

__all__ = ["reported_phases"]


def reported_phases(session: Session, elements: Sequence[str]) -> list[PhaseReport]:
    """All reports of phases of the alloys that lie within a set of elements.

    A report that names a phase of elements that the composition lacks (an oxide, a carbide) counts as any other:
    what was seen was not bcc alone.

    Args:
        session: A session of the store.
        elements: The allowed elements.

    Returns:
        One entry per data point, in the order of the materials' keys and the sources.
    """
    rows = session.execute(
        select(Material.key, Material.system, DataPoint.text, DataPoint.source)
        .join(DataPoint, DataPoint.material_id == Material.id)
        .where(
            DataPoint.property == "phases_observed",
            DataPoint.text.is_not(None),
            DataPoint.superseded_by.is_(None),
        )
    )
    allowed = set(elements)
    kept = sorted(
        (key, source, text) for key, system, text, source in rows if allowed >= set(system.split("-"))
    )
    return [PhaseReport(Composition.from_key(key), is_single_phase_bcc(text)) for key, _, text in kept]

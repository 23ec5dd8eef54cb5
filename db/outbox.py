"""The outbox: what others react to, written in the transaction that made it, and relayed afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import OutboxEvent

__all__ = ["announce", "mark_published", "unpublished"]


def announce(session: Session, topic: str, **payload: Any) -> None:
    """Add an event to the transaction at hand.

    Args:
        session: The transaction that makes the change.
        topic: ``thing.what-happened``, as in ``candidate.decided``.
        payload: Plain JSON.
    """
    session.add(OutboxEvent(topic=topic, payload=payload))


def unpublished(session: Session, limit: int = 200) -> Sequence[OutboxEvent]:
    """Events that nobody has been told of, oldest first."""
    statement = (
        select(OutboxEvent).where(OutboxEvent.published_at.is_(None)).order_by(OutboxEvent.id).limit(limit)
    )
    return session.scalars(statement).all()


def mark_published(session: Session, ids: Sequence[int]) -> None:
    """Note that the events were told; a relay that dies before this tells them again."""
    session.execute(
        update(OutboxEvent)
        .where(OutboxEvent.id.in_(ids), OutboxEvent.published_at.is_(None))
        .values(published_at=datetime.now(UTC))
    )

"""The relay: turns the outbox's rows into Prefect events, on which automations start the flows that care.

It tells first and notes that it told afterwards: a relay that dies repeats itself, and everything that listens
is idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefect import flow, get_run_logger
from prefect.events import Event
from prefect.events.clients import get_events_client

from db.outbox import mark_published, unpublished
from flows.stores import store_for

__all__ = ["relay_outbox"]


@flow(name="relay_outbox", flow_run_name="relay")
def relay_outbox(database_url: str | None = None) -> int:
    """Emit every unpublished event as ``hea-loop.<topic>`` and return how many there were.

    Raises:
        OSError: The Prefect server does not take them; they stay unpublished, for the next relay.
    """
    store = store_for(database_url)
    told = 0
    while True:
        with store.read() as session:
            rows = [(e.id, e.topic, e.payload) for e in unpublished(session)]
        if not rows:
            break
        asyncio.run(_tell([_event(*row) for row in rows]))
        with store.write() as session:
            mark_published(session, [number for number, _, _ in rows])
        told += len(rows)
    get_run_logger().info("told of %d events", told)
    return told


def _event(number: int, topic: str, payload: dict[str, object]) -> Event:
    name = str(payload.get("campaign", "store"))
    return Event(
        event=f"hea-loop.{topic}",
        resource={"prefect.resource.id": f"hea-loop.campaign.{name}", "prefect.resource.name": name},
        payload={**payload, "outbox_id": number},
    )


async def _tell(events: Sequence[Event]) -> None:
    """Send events and return when the server has them.

    Prefect's ``emit_event`` only puts them into a queue of this process, and drops them where the server is
    away: what is noted as told has to be told.
    """
    async with get_events_client(reconnection_attempts=3, checkpoint_every=1) as client:
        for event in events:
            await client.emit(event)

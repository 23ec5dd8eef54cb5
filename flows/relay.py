"""The relay: turns the outbox's rows into Prefect events, on which automations start the flows that care.

It tells first and notes that it told afterwards: a relay that dies repeats itself, and everything that listens
is idempotent.
"""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.events import emit_event

from db.outbox import mark_published, unpublished
from flows.stores import store_for

__all__ = ["relay_outbox"]


@flow(name="relay_outbox", flow_run_name="relay")
def relay_outbox(database_url: str | None = None) -> int:
    """Emit every unpublished event as ``hea-loop.<topic>`` and return how many there were."""
    store = store_for(database_url)
    told = 0
    while True:
        with store.read() as session:
            events = [(e.id, e.topic, e.payload) for e in unpublished(session)]
        if not events:
            break
        for number, topic, payload in events:
            name = payload.get("campaign", "store")
            emit_event(
                event=f"hea-loop.{topic}",
                resource={
                    "prefect.resource.id": f"hea-loop.campaign.{name}",
                    "prefect.resource.name": str(name),
                },
                payload={**payload, "outbox_id": number},
            )
        with store.write() as session:
            mark_published(session, [number for number, _, _ in events])
        told += len(events)
    get_run_logger().info("told of %d events", told)
    return told

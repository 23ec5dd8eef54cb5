"""Runs that died without telling Prefect: a hard-killed run stays Running there for ever unless somebody says so."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.states import Crashed

__all__ = ["mark_crashed"]


def mark_crashed(flow_run_id: str, reason: str) -> int:
    """Set an interrupted flow run and its subflows to Crashed where Prefect still believes that they run.

    Args:
        flow_run_id: Prefect's id, as the store kept it.
        reason: What is shown in Prefect.

    Returns:
        How many runs were set.
    """
    count = 0
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(UUID(flow_run_id))
        except ObjectNotFound:
            return 0  # another server, or its database was deleted: the store holds all that counts
        children = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
        )
        for stale in (run, *children):
            if stale.state is not None and stale.state.is_final():
                continue
            client.set_flow_run_state(stale.id, Crashed(message=reason), force=True)
            count += 1
    get_logger("hea_loop").info("reconciled %d interrupted flow runs", count)
    return count

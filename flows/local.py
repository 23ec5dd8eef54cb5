"""Running a campaign from this process: from the command line, a script or a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from flows.progress import ProgressEvent, listening
from hea_loop.campaign import Campaign
from hea_loop.errors import HeaLoopError

__all__ = ["CampaignBusyError", "CampaignOutcome", "PrefectLostError", "run_locally"]


class CampaignBusyError(HeaLoopError):
    """Another run works on the campaign."""


class PrefectLostError(HeaLoopError):
    """The Prefect server does not answer, or answers with an error."""


@dataclass(frozen=True, slots=True)
class CampaignOutcome:
    """How a run ended.

    Attributes:
        campaign: Name of the campaign.
        state: ``done``, ``stopped``, ``waiting`` (for decisions) or ``idle`` (this run did its share).
        reason: Why, in words; None for done.
        iterations: How many iterations are scored.
    """

    campaign: str
    state: str
    reason: str | None
    iterations: int


def run_locally(
    campaign: Campaign | str,
    *,
    database_url: str | None = None,
    max_iterations: int | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> CampaignOutcome:
    """Run a campaign as a Prefect flow in this process and return when it ends or waits.

    Where no Prefect server is configured, one is started for the length of the run.

    Args:
        campaign: The specification, or the path of a campaign file, or the name of a campaign in the store.
        database_url: The store; None takes ``HEA_LOOP_DATABASE_URL`` or the SQLite file in the working directory.
        max_iterations: Iterations that this run works on at most.
        progress: Told of every step, from several threads, one at a time.

    Raises:
        InputError: The campaign cannot run as it is.
        CampaignBusyError: A living run owns it.
        PrefectLostError: The Prefect server is not there, or was lost on the way; the store has all that was done.
    """
    # Before Prefect is imported: nobody asked it to report usage, and the terminal belongs to the progress.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # an error is raised here: once is enough
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")  # and Ctrl-C is none
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.campaign import run_campaign
    from flows.local_server import local_server
    from flows.stores import close_stores

    try:
        with local_server(), listening(progress):
            outcome = CampaignOutcome(**run_campaign(campaign, database_url, max_iterations))
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        where = os.environ.get("PREFECT_API_URL")
        mend = (
            f"see that the server at {where} runs, or unset PREFECT_API_URL"
            if where
            else "look for what ended it"
        )
        said = " ".join(str(error).split())[:200]
        raise PrefectLostError(
            f"the Prefect server does not answer ({said}): {mend}, then run the same command again; "
            "all that was done is kept"
        ) from error
    finally:
        close_stores()
    if outcome.state == "busy":
        raise CampaignBusyError(outcome.reason)
    return outcome

"""Between the command line and the flows: which campaign, checked how, run where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hea_loop.campaign import Campaign, load_campaign, parse_campaign
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from flows.progress import ProgressEvent

__all__ = ["campaign_to_run", "check_report_path", "prepare", "quickstart_file", "run", "write_to"]

_LONGEST_NAME = 63


def quickstart_file() -> Path:
    """The default campaign's file."""
    return Path(__file__).resolve().parent.parent / "campaigns" / "quickstart.yaml"


def campaign_to_run(file: Path | None, seed: int | None) -> Campaign:
    """Read the campaign that ``hea-loop run`` is asked for.

    A seed other than the file's makes another campaign, since a campaign has one seed: its name says so.

    Args:
        file: The campaign file; None takes the quickstart.
        seed: Overrides the file's.

    Raises:
        InputError: The file or the seed cannot be used.
    """
    campaign = load_campaign(quickstart_file() if file is None else file)
    if seed is None or seed == campaign.seed:
        return campaign
    suffix = f"-seed{seed}"
    changed = {"seed": seed, "name": campaign.name[: _LONGEST_NAME - len(suffix)] + suffix}
    return parse_campaign(campaign.model_dump(mode="json") | changed)


def check_report_path(path: Path, field: str = "--report") -> None:
    """Refuse a report that could not be written at the end, before anything runs.

    Raises:
        InputError: The path is a directory, or it cannot be written there.
    """
    import os

    if path.is_dir():
        raise InputError(field, str(path), "is a directory", "name a file in it, as in report.html")
    nearest = path.parent
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(field, str(path), f"{nearest} is not a directory", "name a file in a directory")
    if not os.access(nearest, os.W_OK):
        raise InputError(field, str(path), f"the directory {nearest} cannot be written", "name another place")


def prepare(campaign: Campaign, database_url: str | None) -> None:
    """Refuse what would fail later, before anything is started; then enter the campaign into the store.

    Raises:
        InputError: An unknown strategy or option, a missing database, elements that it does not have, targets
            that no composition meets, a name
            that another campaign has.
        StoreError: The store cannot be used.
    """
    from db.campaigns import register
    from db.store import open_store
    from flows.feasibility import refuse_infeasible
    from flows.planning import check_campaign

    check_campaign(campaign)
    refuse_infeasible(campaign)
    with open_store(database_url) as store, store.write() as session:
        register(session, campaign)


def run(
    campaign: Campaign,
    *,
    database_url: str | None,
    max_iterations: int | None,
    progress: Callable[[ProgressEvent], None] | None,
) -> None:
    """Run the campaign here, to its end or until it waits for a person.

    Raises:
        HeaLoopError: The store cannot be used, or the name belongs to another campaign.
    """
    from flows.local import run_locally

    run_locally(campaign, database_url=database_url, max_iterations=max_iterations, progress=progress)


def write_to(path: Path, content: str | bytes, *, field: str = "--report") -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: It cannot be written there.
    """
    import os
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise InputError(
            field, str(path), f"cannot be written ({error.strerror})", "name another place"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(
            field, str(path), f"cannot be written ({error.strerror})", "name another place"
        ) from None
    except BaseException:  # an interruption too must leave no half-written file
        Path(temporary).unlink(missing_ok=True)
        raise

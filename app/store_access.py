"""Opening the store for commands that read it: they never create one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hea_loop.errors import StoreError

if TYPE_CHECKING:
    from db.store import Store

__all__ = ["open_existing_store", "store_file"]


def store_file(url: str | None) -> Path | None:
    """The SQLite file that a URL names, without opening it; None for anything else.

    Args:
        url: The URL; None takes the environment's, and the default where that is not set.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from db.store import DEFAULT_URL, ENVIRONMENT_VARIABLE

    try:
        target = make_url(url if url is not None else os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_URL)
    except (ArgumentError, ValueError):
        return None  # opening it says what is wrong
    if target.get_backend_name() != "sqlite" or not target.database or target.database.startswith(":"):
        return None
    return Path(target.database).expanduser()


def open_existing_store(url: str | None) -> Store:
    """Open a store that is there.

    Raises:
        StoreError: There is none at that place, or it cannot be opened.
    """
    from db.store import open_store

    file = store_file(url)
    if file is not None and not file.exists() and file.parent.is_dir():
        raise StoreError(
            "store", str(file), "does not exist", "create it with `hea-loop init` or `hea-loop run`"
        )
    return open_store(url)

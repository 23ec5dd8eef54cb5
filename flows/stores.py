"""The store that the tasks of this process share, one per database."""

from __future__ import annotations

import threading

from db.store import Store, open_store

__all__ = ["close_stores", "store_for"]

_stores: dict[str | None, Store] = {}
_lock = threading.Lock()


def store_for(database_url: str | None) -> Store:
    """Return this process's store of a database, opened at the first call."""
    with _lock:
        if database_url not in _stores:
            _stores[database_url] = open_store(database_url)
        return _stores[database_url]


def close_stores() -> None:
    """Close this process's stores: SQLite then folds its write-ahead log into the one file."""
    with _lock:
        while _stores:
            _stores.popitem()[1].close()

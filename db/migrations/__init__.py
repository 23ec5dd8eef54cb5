"""Alembic migrations of the store; :func:`db.store.open_store` runs them."""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD", "VERSION_TABLE"]

HEAD: Final = "0003"
"""The newest revision. Kept here so that a store at head opens without importing Alembic; a test compares."""

VERSION_TABLE: Final = "hea_loop_version"
"""Not Alembic's default name: Prefect's own database has a table of that name."""

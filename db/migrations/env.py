"""Alembic's entry point: migrates the connection it is handed, in the transaction it is in.

From the command line (`alembic -c db/alembic.ini revision --autogenerate -m ...`) it opens the store that
``HEA_LOOP_DATABASE_URL`` names.
"""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context

from db.migrations import VERSION_TABLE
from db.models import Base, UtcDateTime


def _render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """A migration names plain SQLAlchemy types: it must not change when the models do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _migrate(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        render_item=_render_item,
        compare_type=True,
        # SQLite cannot alter a table in place: Alembic copies it
        render_as_batch=connection.dialect.name == "sqlite",
        # true here: the store begins SQLite's transactions itself
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed = context.config.attributes.get("connection")
if handed is not None:
    _migrate(handed)
else:
    from db.store import connect_for_migrations

    with connect_for_migrations() as opened:
        _migrate(opened)

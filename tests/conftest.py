"""What tests share: an environment of their own, a PostgreSQL server, and the store on both databases.

Fixtures: ``store`` (an open, empty store; every test that takes it runs on SQLite and on PostgreSQL),
``store_url`` (the same before it is opened), ``postgresql_server`` (one per test process) and
``new_database`` (makes an empty PostgreSQL database).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports Prefect or numpy: no test touches the person's own Prefect or store, nothing is
# reported anywhere, and the test processes do not fight over the cores.
_HOME = Path(tempfile.mkdtemp(prefix="hea-loop-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["PREFECT_HOME"] = str(_HOME / "prefect")
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HEA_LOOP_CACHE_DIR"] = str(_HOME / "cache")
os.environ.setdefault("XDG_RUNTIME_DIR", str(_HOME))
os.environ.pop("HEA_LOOP_DATABASE_URL", None)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """A PostgreSQL server from the pgserver wheel, stopped at the end of the session."""
    import pgserver

    server = pgserver.get_server(_HOME / "postgresql")
    yield server
    server.cleanup()


@pytest.fixture
def new_database(postgresql_server: Any) -> Iterator[Callable[[], str]]:
    """A function that makes an empty PostgreSQL database and returns its URL; they go after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        postgresql_server.psql(f"CREATE DATABASE {name}")
        made.append(name)
        return str(postgresql_server.get_uri(database=name))

    yield make
    for name in made:
        postgresql_server.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a store that does not exist yet, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return str(request.getfixturevalue("new_database")())


@pytest.fixture
def store(store_url: str) -> Iterator[Any]:
    """An open, empty store, on each kind of database."""
    from db.store import open_store

    with open_store(store_url) as opened:
        yield opened

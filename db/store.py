"""Opening the store, and the two ways to use it: one write transaction, or one consistent reading.

One SQLite file is the default; PostgreSQL when several machines write. Both behave alike:

- ``Store.write()`` is one transaction, committed whole or not at all, and write transactions come one after
  the other: SQLite's ``BEGIN IMMEDIATE`` takes the write lock at the start, so that what a transaction has
  read still holds when it writes, and PostgreSQL takes one advisory lock to the same effect.
- ``Store.read()`` sees one moment of the store and cannot write.

SQLite runs in WAL mode (readers and the writer do not wait for each other) with ``synchronous=FULL``. A
killed process loses nothing under ``NORMAL`` either, but a power cut may then take the last commits with it,
and among them may be a person's decision or a job that ran for an hour; writes come in chunks, so one sync
for each commit is cheap beside what it keeps.
"""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from db.migrations import HEAD, VERSION_TABLE
from hea_loop.errors import StoreError

__all__ = ["DEFAULT_URL", "ENVIRONMENT_VARIABLE", "Store", "connect_for_migrations", "open_store"]

ENVIRONMENT_VARIABLE: Final = "HEA_LOOP_DATABASE_URL"
DEFAULT_URL: Final = "sqlite:///hea_loop.sqlite"

_BUSY_TIMEOUT_S: Final = 30
_CONNECT_TIMEOUT_S: Final = 10
_CHECKED_AT_OPENING: Final = 16 * 1024**2
_WRITE_LOCK: Final = 0x48_45_41_4C  # "HEAL": the advisory lock of PostgreSQL that makes writes serial
_MEND_URL: Final = "write sqlite:///FILE.sqlite or postgresql://USER:PASSWORD@HOST/NAME"
_SQLITE_HEADER: Final = b"SQLite format 3\x00"


class Store:
    """An open store. Safe to share between threads; :func:`open_store` makes one.

    Attributes:
        engine: SQLAlchemy's engine, for what the two context managers do not cover.
    """

    def __init__(self, engine: sa.Engine, field: str) -> None:
        self.engine = engine
        self._field = field
        self._writer = engine.execution_options(hea_loop_access="write")
        self._reader = engine.execution_options(hea_loop_access="read", postgresql_readonly=True)
        if engine.dialect.name == "postgresql":
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ")
        self._writing = threading.local()

    @property
    def url(self) -> str:
        """The URL in full, a password included: to open the same store from another process."""
        return self.engine.url.render_as_string(hide_password=False)

    @property
    def label(self) -> str:
        """The URL without its password: to show."""
        return self.engine.url.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"Store({self.label!r})"

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One write transaction: committed on success, rolled back on any error; one at a time per store.

        Keep it short, since every other writer waits for it. Objects stay readable after the commit.

        Raises:
            StoreError: The store is corrupt, full, not writable, or held by another writer for over 30 s.
        """
        if getattr(self._writing, "now", False):
            raise RuntimeError("a write transaction inside a write transaction would wait for itself")
        self._writing.now = True
        try:
            with (
                _explained(self._field, self.engine.url),
                self._session(self._writer) as session,
                session.begin(),
            ):
                # the lock is taken now, not at the first statement
                session.connection()
                yield session
        finally:
            self._writing.now = False

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent reading: sees the store at one moment, and the database refuses a write in it.

        Raises:
            StoreError: The store is corrupt or cannot be read.
        """
        with (
            _explained(self._field, self.engine.url, reading=True),
            self._session(self._reader) as session,
            session.begin(),
        ):
            yield session

    @staticmethod
    def _session(engine: sa.Engine) -> Session:
        return Session(engine, expire_on_commit=False)

    def check_integrity(self) -> list[str]:
        """Return what SQLite finds wrong with the file; an empty list is sound, as is any PostgreSQL.

        Raises:
            StoreError: The file is too damaged to be looked through.
        """
        if self.engine.dialect.name != "sqlite":
            return []
        with self.read() as session:
            found = session.execute(sa.text("PRAGMA integrity_check(20)")).scalars()
            return [line for line in found if line != "ok"]

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(url: str | None = None) -> Store:
    """Open the store, creating it or bringing it to this version's schema where needed.

    Several processes may open, create and upgrade at once: one does the work in one transaction and the
    others wait for it. A failed opening leaves no new file and changes no existing one.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``; None takes
            ``HEA_LOOP_DATABASE_URL`` and, where that is not set, ``hea_loop.sqlite`` in the working
            directory.

    Raises:
        StoreError: The URL names no store, or the store cannot be opened or written, is corrupt, belongs to
            another program, or was made by a newer hea-loop.
    """
    field = "store" if url is not None else ENVIRONMENT_VARIABLE
    given = url if url is not None else os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_URL
    target = _read_url(given, field)
    file = Path(target.database or "") if target.get_backend_name() == "sqlite" else None
    if file is not None:
        _look_at_file(file, field, target)
    is_new = file is not None and not file.exists()
    engine = _engine(target)
    try:
        with _explained(field, target):
            _bring_to_head(engine, field)
    except BaseException:  # an interruption too must leave no new file behind
        engine.dispose()
        if is_new and file is not None:
            _remove_unborn(file)
        raise
    return Store(engine, field)


# -- the URL and the file ------------------------------------------------------------------------------------


def _shown(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


def _read_url(given: str, field: str) -> sa.URL:
    try:
        url = sa.make_url(given)
    except (ArgumentError, ValueError):
        # what cannot be read may still hold a password
        shown = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(given))
        raise StoreError(field, shown, "is not a database URL", _MEND_URL) from None
    backend = url.drivername.partition("+")[0]
    if backend in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
        return url if url.query.get("connect_timeout") else _with_timeout(url)
    if backend != "sqlite":
        raise StoreError(field, _shown(url), f"{url.drivername!r} is no kind of store", _MEND_URL)
    if url.drivername not in {"sqlite", "sqlite+pysqlite"} or url.query or url.host:
        raise StoreError(field, _shown(url), "is not a plain SQLite file", "write sqlite:///FILE.sqlite")
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreError(
            field,
            _shown(url),
            "names no file, and a store outlives its process",
            "write sqlite:///FILE.sqlite",
        )
    # absolute, so that the store stays the same one after a change of directory and in another process
    return url.set(drivername="sqlite", database=str(Path(url.database).expanduser().absolute()))


def _with_timeout(url: sa.URL) -> sa.URL:
    return url.update_query_dict({"connect_timeout": str(_CONNECT_TIMEOUT_S)})


def _look_at_file(file: Path, field: str, url: sa.URL) -> None:
    """Refuse what SQLite would explain badly or notice too late."""
    if file.is_dir():
        raise StoreError(field, _shown(url), "is a directory", "name a file in it")
    if not file.parent.is_dir():
        raise StoreError(
            field, _shown(url), f"the directory {file.parent} does not exist", "create it or name another"
        )
    try:
        with file.open("rb") as handle:
            header = handle.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(
            field,
            _shown(url),
            f"cannot be read ({error.strerror})",
            "mend its permissions or name another file",
        ) from None
    if not header:
        return
    if not header.startswith(_SQLITE_HEADER) or len(header) < 100:
        raise _not_a_database(field, url)
    # a file cut short opens well and fails at the first missing page (sqlite.org/fileformat2.html, 1.3)
    page = int.from_bytes(header[16:18], "big")
    page = 65536 if page == 1 else page
    if int.from_bytes(header[24:28], "big") == int.from_bytes(header[92:96], "big") and page:
        promised = int.from_bytes(header[28:32], "big") * page
        wal = file.with_name(file.name + "-wal")
        # with a log beside it the size is not settled until the log is copied back
        if file.stat().st_size < promised and not (wal.exists() and wal.stat().st_size):
            raise _corrupt(field, url, "it is cut short")


def _remove_unborn(file: Path) -> None:
    """Remove the file that a failed opening created, unless somebody else made a store of it meanwhile."""
    import sqlite3

    with suppress(OSError, sqlite3.Error):
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
        try:
            empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        finally:
            connection.close()
        if empty:
            for suffix in ("", "-wal", "-shm", "-journal"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)


# -- connections ---------------------------------------------------------------------------------------------


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        # isolation_level None: the driver begins nothing by itself, _begin_sqlite does
        engine = sa.create_engine(
            url,
            connect_args={"timeout": _BUSY_TIMEOUT_S, "isolation_level": None},
            pool_size=5,
            max_overflow=20,
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = sa.create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=20)
        event.listen(engine, "begin", _begin_postgresql)
    _open_engines.add(engine)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys = ON")
        # without it, INSERT OR REPLACE deletes rows behind the back of the triggers that refuse a deletion
        cursor.execute("PRAGMA recursive_triggers = ON")
        cursor.execute("PRAGMA synchronous = FULL")
    finally:
        cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    access = connection.get_execution_options().get("hea_loop_access")
    if access == "write":
        connection.exec_driver_sql("PRAGMA query_only = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if access == 'read' else 'OFF'}")
        connection.exec_driver_sql("BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("hea_loop_access") == "write":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_BUSY_TIMEOUT_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


_open_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()


def _forget_inherited() -> None:
    """A forked child opens its own connections: one that two processes share corrupts what both do."""
    for engine in _open_engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_inherited)


@contextmanager
def connect_for_migrations() -> Iterator[sa.Connection]:
    """One write transaction on the store that the environment names, whatever its version.

    For Alembic's command line, which a developer uses to write the next migration.
    """
    url = _read_url(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_URL, ENVIRONMENT_VARIABLE)
    engine = _engine(url)
    try:
        with engine.execution_options(hea_loop_access="write").begin() as connection:
            yield connection
    finally:
        engine.dispose()


# -- the schema ----------------------------------------------------------------------------------------------


def _bring_to_head(engine: sa.Engine, field: str) -> None:
    if engine.dialect.name == "sqlite":
        _check_writable(engine)
    with engine.connect() as connection:
        version = _version(connection, field)
        if version is not None and engine.dialect.name == "sqlite":
            _check_pages(connection, field)
    if version != HEAD:
        _migrate(engine, field)
    if engine.dialect.name == "sqlite":
        _use_write_ahead_log(engine)


def _check_pages(connection: sa.Connection, field: str) -> None:
    """Find a damaged page at the door, before anything is written beside it.

    About 3 ms per MB, so only for small stores; ``Store.check_integrity`` looks through any.
    """
    pages, size = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size")
    )
    if pages * size > _CHECKED_AT_OPENING:
        return
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise _corrupt(field, connection.engine.url, " ".join(found.split()))


def _version(connection: sa.Connection, field: str) -> str | None:
    """Revision of the schema; None for an empty database.

    Raises:
        StoreError: The database holds something else.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return None
    if VERSION_TABLE not in tables:
        raise StoreError(
            field,
            _shown(connection.engine.url),
            f"holds the tables of something else ({', '.join(sorted(tables)[:3])})",
            "name an empty or a new database",
        )
    version = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a constant
    return str(version) if version is not None else None


def _migrate(engine: sa.Engine, field: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "db:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.execution_options(hea_loop_access="write").begin() as connection:
        version = _version(connection, field)  # again: another process may have been faster
        if version is not None and version not in known:
            raise StoreError(
                field,
                _shown(engine.url),
                f"has schema {version}, made by a newer hea-loop (this one knows up to {HEAD})",
                "update hea-loop, or name another store",
            )
        if version != HEAD:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _check_writable(engine: sa.Engine) -> None:
    """Take the write lock and give it back: permissions, mounts and flags all show in that alone.

    Somebody else holding the lock proves the same, so this does not wait.
    """
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None  # noqa: S101 - a checked-out connection has one
        cursor = driver.cursor()
        try:
            cursor.execute("PRAGMA busy_timeout = 0")
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        except _sqlite_error() as error:
            if "locked" not in str(error):
                raise
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
            cursor.close()


def _use_write_ahead_log(engine: sa.Engine) -> None:
    """Switch the file to WAL, which it then keeps. SQLite does not wait for its lock here, so this does."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        with engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver is not None  # noqa: S101 - a checked-out connection has one
            cursor = driver.cursor()
            try:
                if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                    return
                if cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                    return
            except _sqlite_error() as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            finally:
                cursor.close()
        if time.monotonic() > deadline:
            raise RuntimeError("SQLite refuses its write-ahead log on this file system")
        time.sleep(0.02)


# -- what went wrong, in one line ----------------------------------------------------------------------------


def _sqlite_error() -> type[Exception]:
    import sqlite3

    return sqlite3.Error


def _not_a_database(field: str, url: sa.URL) -> StoreError:
    return StoreError(
        field, _shown(url), "is not a SQLite database", "name another file, or move this one away"
    )


def _corrupt(field: str, url: sa.URL, detail: str) -> StoreError:
    return StoreError(
        field,
        _shown(url),
        f"is corrupt: {detail}",
        "restore a copy, or salvage what is left with `sqlite3 FILE .recover`",
    )


@contextmanager
def _explained(field: str, url: sa.URL, *, reading: bool = False) -> Iterator[None]:
    """Turn what the database says of itself into a StoreError; what it says of the data goes through."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, _sqlite_error()) as error:
        said = error.orig if isinstance(error, DBAPIError) else error
        text = " ".join(str(said).split())
        if reading and ("readonly" in text or "read-only transaction" in text):
            raise RuntimeError("Store.read() cannot write: use Store.write()") from error
        explained = _explain(field, url, text)
        if explained is None:
            raise
        raise explained from error
    except ModuleNotFoundError as error:  # pragma: no cover - psycopg is a dependency
        raise StoreError(field, _shown(url), f"needs {error.name}", f"install {error.name}") from error


def _explain(field: str, url: sa.URL, said: str) -> StoreError | None:
    shown = _shown(url)
    if url.get_backend_name() == "sqlite":
        table: tuple[tuple[str, str, str], ...] = (
            (
                "readonly",
                "cannot be written",
                "mend the permissions of the file and its directory, or name another",
            ),
            (
                "unable to open",
                "cannot be created or opened",
                "mend the permissions of its directory, or name another",
            ),
            (
                "locked",
                f"was held by another writer for {_BUSY_TIMEOUT_S} s",
                "end what holds it, then try again",
            ),
            ("is full", "found no room on the disk", "make room, then try again"),
            (
                "disk I/O",
                "cannot be read from or written to the disk",
                "look after the disk, or name another file",
            ),
        )
        if "not a database" in said:
            return _not_a_database(field, url)
        if "malformed" in said:
            return _corrupt(field, url, said)
    else:
        table = (
            (
                "lock timeout",
                f"was held by another writer for {_BUSY_TIMEOUT_S} s",
                "end what holds it, then try again",
            ),
            ("read-only transaction", "cannot be written", "name a server that accepts writes"),
            ("authentication", f"refuses the user ({said})", "mend user and password"),
            ("does not exist", f"is not there ({said})", "create the database, or name another"),
            (
                "permission denied",
                f"refuses ({said})",
                "give the user the rights to create tables, or name another",
            ),
            ("connection", f"cannot be reached ({said})", "start the server, or mend host and port"),
            ("resolve", f"cannot be reached ({said})", "mend the host"),
            ("server", f"cannot be reached ({said})", "start the server, or mend host and port"),
        )
    for sign, problem, mend in table:
        if sign in said:
            return StoreError(field, shown, problem, mend)
    return None

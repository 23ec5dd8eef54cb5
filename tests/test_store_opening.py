from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from db.migrations import HEAD, VERSION_TABLE
from db.models import Base, Material
from db.store import open_store
from hea_loop.errors import InputError, StoreError
from tests.store_processes import ROOT, run_at_once

NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Permission bits do not bind root: become somebody whom they bind, for as long as the test looks."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        directory.chmod(0o755)


def refusal(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("store = ")
    assert isinstance(caught.value, InputError)
    return line


def tables_of(url: str) -> set[str]:
    with open_store(url) as store, store.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_a_new_store_has_every_table_of_the_models_and_its_version(store_url: str) -> None:
    assert tables_of(store_url) == {*Base.metadata.tables, VERSION_TABLE}


def test_without_a_url_the_store_is_a_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEA_LOOP_DATABASE_URL", raising=False)
    with open_store() as store:
        assert store.url == f"sqlite:///{tmp_path}/hea_loop.sqlite"
    assert (tmp_path / "hea_loop.sqlite").is_file()


def test_the_environment_names_the_store_and_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEA_LOOP_DATABASE_URL", f"sqlite:///{tmp_path}/named.sqlite")
    open_store().close()
    assert (tmp_path / "named.sqlite").is_file()
    monkeypatch.setenv("HEA_LOOP_DATABASE_URL", "oracle://somewhere/x")
    with pytest.raises(
        StoreError, match=r"^HEA_LOOP_DATABASE_URL = 'oracle://somewhere/x': 'oracle' is no kind"
    ):
        open_store()


def test_a_store_stays_the_same_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///here.sqlite") as store:
        store.engine.dispose()
        monkeypatch.chdir("/")
        with store.write() as session:
            session.add(Material(key="W:1000", formula="W", system="W"))
    assert tables_of(f"sqlite:///{tmp_path}/here.sqlite")


def test_a_store_at_head_opens_in_under_50_ms_and_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    open_store(url).close()
    took = []
    for _ in range(5):
        start = time.perf_counter()
        store = open_store(url)
        took.append(time.perf_counter() - start)
        store.close()
    assert min(took) < 0.05
    script = (
        f"import sys; from db.store import open_store; open_store({url!r}).close(); "
        "print('alembic' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "False\n"


def test_processes_that_open_a_new_store_at_the_same_instant_all_succeed(store_url: str) -> None:
    script = (
        "store = db.store.open_store(sys.argv[1])\n"
        "with store.write() as session:\n"
        "    session.add(db.materials.Material(key=sys.argv[2], formula='W', system='W'))\n"
        "store.close()\n"
        "print('done')\n"
    )
    assert run_at_once(script, store_url, processes=5) == ["done\n"] * 5
    with open_store(store_url) as store, store.read() as session:
        assert sorted(session.scalars(sa.select(Material.key))) == ["0", "1", "2", "3", "4"]


def test_a_password_is_in_the_url_for_other_processes_and_never_in_what_is_shown() -> None:
    shown = refusal("postgresql://someone:hush-hush@127.0.0.1:1/alloys")
    assert "cannot be reached" in shown
    assert "hush" not in shown
    assert "hush" not in refusal("postgresql://someone:hush-hush@host:no-port/alloys")
    assert "hush" not in refusal("mysql://someone:hush-hush@host/alloys")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is not a database URL"),
        ("store.sqlite", "is not a database URL"),
        ("mysql://user@host/alloys", "'mysql' is no kind of store"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x.sqlite?mode=ro&uri=true", "is not a plain SQLite file"),
        ("sqlite+aiosqlite:///x.sqlite", "is not a plain SQLite file"),
        ("postgresql://user@127.0.0.1:1/alloys", "cannot be reached"),
    ],
)
def test_a_url_that_names_no_store_is_refused(
    url: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refusal(url)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_named_and_not_created(tmp_path: Path) -> None:
    line = refusal(f"sqlite:///{tmp_path}/absent/store.sqlite")
    assert f"the directory {tmp_path}/absent does not exist" in line
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    assert "is a directory" in refusal(f"sqlite:///{tmp_path}")


def test_where_no_file_can_be_created_not_even_by_root_there_is_no_store() -> None:
    assert "cannot be created or opened" in refusal("sqlite:////proc/store.sqlite")


def test_a_read_only_directory_is_refused_and_stays_empty(open_to_all: Path, tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/imports_what_is_needed.sqlite").close()
    open_to_all.chmod(0o555)
    with ordinary_user():
        line = refusal(f"sqlite:///{open_to_all}/store.sqlite")
    assert "cannot be created or opened" in line
    assert list(open_to_all.iterdir()) == []


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_file_that_may_not_be_written_is_refused_and_stays_as_it_was(open_to_all: Path, mode: int) -> None:
    file = open_to_all / "store.sqlite"
    open_store(f"sqlite:///{file}").close()
    before = file.read_bytes()
    file.chmod(mode)
    with ordinary_user():
        line = refusal(f"sqlite:///{file}")
    assert ("cannot be written" if mode else "cannot be read") in line
    assert file.read_bytes() == before


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    match how:
        case "text":
            file.write_text("composition,value\n" * 300)
        case "header":
            file.write_bytes(b"SQLite format 3\x00" + b"nonsense" * 500)
        case "header only":
            file.write_bytes(content[:60])
        case "cut short":
            file.write_bytes(content[: len(content) // 2])
        case "first page":
            file.write_bytes(content[:100] + b"\xde\xad\xbe\xef" * 400 + content[1700:])
        case "later page":
            file.write_bytes(content[:-8192] + b"\xde\xad\xbe\xef" * 1024 + content[-4096:])


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("text", "is not a SQLite database"),
        ("header", "is not a SQLite database"),
        ("header only", "is not a SQLite database"),
        ("cut short", "is corrupt: it is cut short"),
        ("first page", "is corrupt"),
        ("later page", "is corrupt"),
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, how: str, says: str) -> None:
    file = tmp_path / "store.sqlite"
    open_store(f"sqlite:///{file}").close()
    damage(file, how)
    before = file.read_bytes()
    assert says in refusal(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    assert "material" in tables_of(f"sqlite:///{tmp_path}/store.sqlite")


def test_a_sqlite_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = file.read_bytes()
    assert "holds the tables of something else (bookmarks)" in refusal(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_database_of_another_program_on_postgresql_is_refused(new_database: Callable[[], str]) -> None:
    url = new_database()
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bookmarks (url TEXT)"))
    engine.dispose()
    assert "holds the tables of something else (bookmarks)" in refusal(url)


def test_a_missing_database_on_postgresql_is_named(new_database: Callable[[], str]) -> None:
    missing = sa.make_url(new_database()).set(database="nowhere")
    assert "is not there" in refusal(missing.render_as_string(hide_password=False))


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(store_url: str) -> None:
    with open_store(store_url) as store, store.write() as session:
        session.execute(sa.text("UPDATE hea_loop_version SET version_num = '9999'"))
    assert f"has schema 9999, made by a newer hea-loop (this one knows up to {HEAD})" in refusal(store_url)
    engine = sa.create_engine(store_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM hea_loop_version")) == "9999"
    engine.dispose()


def test_a_failed_creation_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "import resource, signal\n"
        "from db.store import open_store\n"
        "from hea_loop.errors import StoreError\n"
        # the disk is full after two pages
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        f"try:\n    open_store('sqlite:///{tmp_path}/store.sqlite')\n"
        "except StoreError as error:\n    print(error)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("store = 'sqlite:///"), shown
    assert shown.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_opening_that_was_killed_half_way_is_completed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, signal, sqlalchemy as sa\n"
        "from db import store\n"
        "kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "@sa.event.listens_for(sa.Engine, 'before_cursor_execute')\n"
        "def look(connection, cursor, statement, *rest):\n"
        "    if 'CREATE TABLE job' in statement: kill()\n"
        f"store.open_store('sqlite:///{tmp_path}/store.sqlite')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == -9
    assert tables_of(f"sqlite:///{tmp_path}/store.sqlite") == {*Base.metadata.tables, VERSION_TABLE}


def test_integrity_is_looked_through_on_request(store_url: str) -> None:
    with open_store(store_url) as store:
        assert store.check_integrity() == []

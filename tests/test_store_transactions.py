from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from db.materials import material_for
from db.models import DataPoint, Material, OutboxEvent
from db.store import Store, open_store
from hea_loop import parse_composition
from hea_loop.errors import StoreError
from tests.store_processes import ROOT, run_at_once


def keys(store: Store) -> list[str]:
    with store.read() as session:
        return sorted(session.scalars(sa.select(Material.key)))


def test_a_write_is_committed_whole(store: Store) -> None:
    with store.write() as session:
        session.add(Material(key="W:1000", formula="W", system="W"))
    assert keys(store) == ["W:1000"]


def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    def write_and_stumble() -> None:
        with store.write() as session:
            material_for(session, parse_composition("W"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_stumble()
    assert keys(store) == []


def test_a_reading_cannot_write(store: Store) -> None:
    with pytest.raises(RuntimeError, match=r"Store\.read\(\) cannot write"), store.read() as session:
        material_for(session, parse_composition("W"))
    assert keys(store) == []


def test_a_reading_sees_one_moment_of_the_store(store: Store) -> None:
    count = sa.select(sa.func.count()).select_from(Material)
    with store.read() as session:
        assert session.scalar(count) == 0
        with store.write() as writing:
            material_for(writing, parse_composition("NbW"))
        assert session.scalar(count) == 0
    with store.read() as session:
        assert session.scalar(count) == 1


def test_what_was_written_stays_readable_after_the_commit(store: Store) -> None:
    with store.write() as session:
        material = material_for(session, parse_composition("HfNbTaTiZr"))
    assert material.formula == "HfNbTaTiZr"


def test_a_write_inside_a_write_is_refused_at_once(store: Store) -> None:
    with (
        pytest.raises(RuntimeError, match="inside a write transaction"),
        store.write(),
        store.write(),
    ):
        pass
    with store.write() as session:
        material_for(session, parse_composition("W"))


def test_foreign_keys_hold(store: Store) -> None:
    orphan = DataPoint(
        material_id=7,
        property="density",
        value=1.0,
        unit="g/cm3",
        kind="literature",
        fidelity="experiment",
        method="m",
        source="s",
    )
    with pytest.raises(IntegrityError), store.write() as session:
        session.add(orphan)


def test_processes_that_read_then_write_at_once_lose_nothing(store_url: str) -> None:
    # each reads the count, then writes what follows from it: lost updates and locked databases would show
    script = (
        "import sqlalchemy as sa\n"
        "from db.models import OutboxEvent\n"
        "store = db.store.open_store(sys.argv[1])\n"
        "for turn in range(40):\n"
        "    with store.write() as session:\n"
        "        seen = session.scalar(sa.select(sa.func.count()).select_from(OutboxEvent))\n"
        "        session.add(OutboxEvent(topic=str(seen), payload={'by': sys.argv[2]}))\n"
        "store.close()\n"
        "print('done')\n"
    )
    open_store(store_url).close()
    assert run_at_once(script, store_url, processes=4) == ["done\n"] * 4
    with open_store(store_url) as store, store.read() as session:
        topics = sorted(int(t) for t in session.scalars(sa.select(OutboxEvent.topic)))
    assert topics == list(range(160))


def test_threads_that_write_at_once_lose_nothing(store: Store) -> None:
    failed: list[BaseException] = []

    def add(number: int) -> None:
        try:
            for turn in range(10):
                with store.write() as session:
                    part = 10 * number + turn + 1
                    material_for(session, parse_composition(f"Nb{part}W{1000 - part}"))
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(keys(store)) == 80


def test_processes_that_ask_for_the_same_materials_at_once_get_the_same_ones(store_url: str) -> None:
    script = (
        "from hea_loop import parse_composition\n"
        "store = db.store.open_store(sys.argv[1])\n"
        "wanted = [parse_composition(f'Nb{n}W{60 - n}') for n in range(1, 60)]\n"
        "with store.write() as session:\n"
        "    found = db.materials.materials_for(session, wanted)\n"
        "print(sorted((key, m.id) for key, m in found.items()))\n"
        "store.close()\n"
    )
    open_store(store_url).close()
    answers = run_at_once(script, store_url, processes=3)
    assert len(set(answers)) == 1
    with open_store(store_url) as store:
        assert len(keys(store)) == 59


def test_a_writer_that_is_killed_leaves_nothing_and_holds_nothing(store_url: str) -> None:
    script = (
        "import sys\n"
        "from db.store import open_store\n"
        "from db.materials import material_for\n"
        "from hea_loop import parse_composition\n"
        "with open_store(sys.argv[1]).write() as session:\n"
        "    material_for(session, parse_composition('W'))\n"
        "    print('written', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    open_store(store_url).close()
    with subprocess.Popen(
        [sys.executable, "-c", script, store_url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=30)
    with open_store(store_url) as store:
        assert keys(store) == []
        with store.write() as session:
            material_for(session, parse_composition("Nb"))
        assert keys(store) == ["Nb:1000"]


def test_a_forked_child_does_not_use_its_parents_connection(store_url: str) -> None:
    script = (
        "import os, sys\n"
        "from db.store import open_store\n"
        "from db.materials import material_for\n"
        "from hea_loop import parse_composition\n"
        "store = open_store(sys.argv[1])\n"
        "with store.write() as session:\n"
        "    material_for(session, parse_composition('W'))\n"
        "child = os.fork()\n"
        "for number in range(20):\n"
        "    part = number + 1 + 100 * bool(child)\n"
        "    with store.write() as session:\n"
        "        material_for(session, parse_composition(f'Nb{part}W{1000 - part}'))\n"
        "if child == 0:\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "store.close()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, store_url], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    with open_store(store_url) as store:
        assert len(keys(store)) == 41


def test_a_store_that_is_damaged_while_open_says_so_in_one_line(tmp_path) -> None:
    file = tmp_path / "store.sqlite"
    with open_store(f"sqlite:///{file}") as store:
        with store.write() as session:
            for number in range(1, 1000):
                session.add(Material(key=f"Nb:{number}", formula="x" * 100, system="Nb"))
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        store.engine.dispose()
        content = file.read_bytes()
        file.write_bytes(content[:4096] + b"\xde\xad\xbe\xef" * ((len(content) - 4096) // 4))
        with pytest.raises(StoreError, match="is corrupt") as caught:
            keys(store)
        assert "\n" not in str(caught.value)

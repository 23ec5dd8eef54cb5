"""Whatever is wrong with the input: one clear line, exit code 2, and nothing is changed."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_campaigns import FAULTS, GOOD

from db.store import open_store
from tests.example_campaigns import add_campaign, add_decision, add_literature
from tests.in_process_cli import hea_loop

STORE = "hea_loop.sqlite"

LACKING = b"""\
ELEMENT VA VACUUM 0 0 0 !
ELEMENT NB BCC_A2 92.9 5220 36.3 !
ELEMENT TI HCP_A3 47.9 4810 30.6 !
PHASE LIQUID % 1 1 !
CONSTITUENT LIQUID : NB,TI : !
PHASE BCC_A2 % 2 1 3 !
CONSTITUENT BCC_A2 : NB,TI : VA : !
PARAMETER G(LIQUID,NB;0) 298.15 29000-11*T; 6000 N !
PARAMETER G(LIQUID,TI;0) 298.15 16000-9*T; 6000 N !
PARAMETER G(BCC_A2,NB:VA;0) 298.15 0; 3000 N !
PARAMETER G(BCC_A2,TI:VA;0) 298.15 0; 6000 N !
PARAMETER G(BCC_A2,NB,TI:VA;0) 298.15 13000; 6000 N !
"""
"""A database that would do but for the liquid of Nb and Ti, and for Nb above 3000 K."""


@dataclass(frozen=True)
class Case:
    """A command and what its error names: the field and the value."""

    arguments: tuple[str, ...]
    names: tuple[str, ...]
    stdin: str = ""


def _case(*arguments: str, names: tuple[str, ...], stdin: str = "") -> Case:
    return Case(arguments, names, stdin)


COMPOSITIONS = {
    "unknown element": _case("predict", "NbXx", names=("composition", "'NbXx'", "Xx")),
    "unknown element among known ones": _case("check", "HfNbTaTiZz", names=("'HfNbTaTiZz'", "Zz")),
    "element in lower case": _case("predict", "hfnb", names=("composition", "'hfnb'")),
    "negative amount": _case("predict", "Nb-5 Ti95", names=("composition", "'Nb-5 Ti95'", "negative")),
    "zero amount": _case("predict", "Nb0Ti100", names=("composition", "'Nb0Ti100'", "zero")),
    "fractions that sum to nothing": _case("predict", "Nb0Ti0", names=("composition", "'Nb0Ti0'")),
    "empty composition": _case("predict", "", names=("composition", "''", "empty")),
    "blank composition": _case("check", "   ", names=("composition", "empty")),
    "number alone": _case("predict", "123", names=("composition", "'123'")),
    "bracket that was not opened": _case("predict", "NbTi)2", names=("'NbTi)2'", "bracket")),
    "bracket that is not closed": _case("predict", "(NbTi", names=("'(NbTi'", "bracket")),
    "empty bracket": _case("predict", "()50Nb50", names=("'()50Nb50'", "bracket")),
    "amount that is not a number": _case("predict", "Nb nan Ti 50", names=("'Nb nan Ti 50'",)),
    "infinite amount": _case("predict", "Nb1e999Ti", names=("'Nb1e999Ti'", "exponents")),
    "balance of no element": _case("predict", "10Al 5Cr bal", names=("bal",)),
    "nothing left for the balance": _case(
        "predict", "Al60 Cr50 Nb bal", names=("'Al60 Cr50 Nb bal'", "balance")
    ),
    "hyphens without a unit": _case("predict", "Ti-6Al-4V", names=("'Ti-6Al-4V'", "wt.%")),
    "two units": _case("predict", "Nb50Ti50 at.% wt.%", names=("two units",)),
    "control character": _case("predict", "Nb\x1b[31mTi", names=("composition", "\\x1b")),
    "line break": _case("predict", "Nb\nXx", names=("composition", "Xx")),
    "unknown property": _case(
        "predict", "NbTi", "--property", "hardnes", names=("--property", "'hardnes'", "hardness")
    ),
    "composition of show": _case("show", "Xx", names=("composition", "'Xx'")),
    "no composition": _case("predict", names=("composition", "stdin")),
    "bad line on stdin": _case("predict", "-", stdin="NbTi\nNbQq\n", names=("stdin line 2", "'NbQq'")),
    "dash beside a composition": _case("predict", "-", "NbTi", names=("'-'",)),
    "file that is not there": _case("predict", "--file", "none.txt", names=("--file", "'none.txt'")),
    "directory for a file": _case("predict", "--file", "folder", names=("--file", "'folder'", "directory")),
    "file with NUL bytes": _case("predict", "--file", "nul.txt", names=("--file", "'nul.txt'", "NUL")),
    "CSV with NUL bytes": _case("predict", "--file", "nul.csv", names=("--file", "'nul.csv'", "NUL")),
    "file that is not UTF-8": _case(
        "predict", "--file", "latin.txt", names=("--file", "'latin.txt'", "UTF-8")
    ),
    "empty file": _case("predict", "--file", "empty.txt", names=("'empty.txt'", "no composition")),
    "file of comments": _case(
        "predict", "--file", "comments.txt", names=("'comments.txt'", "no composition")
    ),
    "bad line in a file": _case("predict", "--file", "lines.txt", names=("lines.txt line 3", "'NbYy'")),
    "CSV without the column": _case(
        "predict", "--file", "table.csv", names=("--column", "composition or formula", "alloy")
    ),
    "CSV without the column asked for": _case(
        "predict", "--file", "table.csv", "--column", "mix", names=("--column", "'mix'", "alloy")
    ),
    "CSV with an empty cell": _case(
        "predict", "--file", "table.csv", "--column", "alloy", names=("table.csv line 3", "''")
    ),
    "CSV without rows": _case("predict", "--file", "header.csv", names=("'header.csv'", "no composition")),
    "file beside an argument": _case(
        "predict", "NbTi", "--file", "lines.txt", names=("--file", "'lines.txt'")
    ),
    "column without a file": _case("predict", "NbTi", "--column", "alloy", names=("--column", "'alloy'")),
}

CHECKS = {
    "element without a database": _case("check", "ReNb", names=("'NbRe'", "Re", "refractory10")),
    "negative temperature": _case("check", "NbTi", "--temperature=-5", names=("--temperature", "-5")),
    "temperature zero": _case("check", "NbTi", "--temperature", "0", names=("--temperature", "0")),
    "temperature out of range": _case(
        "check", "NbTi", "--temperature", "1e6", names=("--temperature", "1000000")
    ),
    "temperature that is not a number": _case(
        "check", "NbTi", "--temperature", "nan", names=("--temperature", "nan")
    ),
    "infinite temperature": _case("check", "NbTi", "--temperature", "inf", names=("--temperature", "inf")),
    "temperature in words": _case("check", "NbTi", "--temperature", "hot", names=("--temperature", "'hot'")),
    "missing TDB": _case("check", "NbTi", "--database-file", "none.tdb", names=("none.tdb",)),
    "TDB that is none": _case("check", "NbTi", "--database-file", "garbage.tdb", names=("garbage.tdb",)),
    "empty TDB": _case("check", "NbTi", "--database-file", "empty.txt", names=("empty.txt",)),
    "directory for a TDB": _case("check", "NbTi", "--database-file", "folder", names=("folder",)),
    "TDB with NUL bytes": _case(
        "check", "NbTi", "--database-file", "nul.txt", names=("database", "nul.txt", "not a text file")
    ),
    "TDB that is not UTF-8": _case(
        "check", "NbTi", "--database-file", "latin.tdb", names=("database", "latin.tdb", "UTF-8", "line 2")
    ),
    "TDB with a broken line": _case(
        "check", "NbTi", "--database-file", "broken.tdb", names=("database", "broken.tdb", "line 2")
    ),
    "TDB with a missing binary": _case(
        "check", "NbTi", "--database-file", "binary.tdb", names=("composition", "'NbTi'", "Nb-Ti", "LIQUID")
    ),
    "TDB with a missing binary, screened": _case(
        "check",
        "NbTi",
        "--tier",
        "screen",
        "--database-file",
        "binary.tdb",
        names=("'NbTi'", "Nb-Ti", "LIQUID"),
    ),
    "TDB without bcc, screened": _case(
        "check", "NbTi", "--tier", "screen", "--database-file", "nobcc.tdb", names=("database", "BCC_A2")
    ),
    "TDB without liquid": _case(
        "check", "NbTi", "--solidus", "--database-file", "noliquid.tdb", names=("database", "liquid")
    ),
    "TDB without the element": _case(
        "check", "HfNb", "--database-file", "binary.tdb", names=("composition", "'HfNb'", "Hf", "binary")
    ),
    "TDB to 3000 K at 4000 K": _case(
        "check",
        "Nb",
        "--database-file",
        "binary.tdb",
        "--temperature",
        "4000",
        names=("temperature_K", "4000", "3000 K"),
    ),
}

DATABASES = {
    "coverage of a missing TDB": _case(
        "calphad", "coverage", "--database-file", "none.tdb", names=("database", "none.tdb")
    ),
    "coverage of a directory": _case(
        "calphad", "coverage", "--database-file", "folder", names=("folder", "directory")
    ),
    "coverage of no element": _case("calphad", "coverage", "--elements", "-", names=("--elements", "'-'")),
    "coverage of what is no element": _case(
        "calphad", "coverage", "--elements", "Nb-Xx", names=("--elements", "Xx")
    ),
    "coverage of two palettes": _case(
        "calphad", "coverage", "--elements", "Nb", "--campaign", "good.yaml", names=("--elements", "'Nb'")
    ),
    "coverage for a missing campaign": _case(
        "calphad", "coverage", "--campaign", "none.yaml", names=("campaign", "none.yaml")
    ),
    "built with an element that is not ours": _case(
        "calphad", "build", "--elements", "Nb-Re", names=("--elements", "Nb-Re")
    ),
    "built into a directory": _case(
        "calphad", "build", "--out", "folder", names=("--out", "'folder'", "directory")
    ),
    "built below a file": _case("calphad", "build", "--out", "lines.txt/a.tdb", names=("--out", "lines.txt")),
    "built in a read-only place": _case("calphad", "build", "--out", "/proc/a.tdb", names=("--out", "/proc")),
    "parameters of an unknown phase": _case(
        "calphad", "parameters", "--phase", "FOO", names=("--phase", "'FOO'", "BCC_A2")
    ),
    "parameters of an unknown status": _case(
        "calphad", "parameters", "--status", "guess", names=("--status", "guess")
    ),
    "parameters of an element that is not ours": _case(
        "calphad", "parameters", "--elements", "Nb-Re", names=("--elements", "Re")
    ),
    "ternaries of an element that is not there": _case(
        "calphad", "ternaries", "--elements", "Nb-Re", names=("--elements", "Re")
    ),
}

STORES = {
    "corrupt SQLite file": _case(
        "status", "--database-url", "sqlite:///corrupt.sqlite", names=("store", "corrupt.sqlite")
    ),
    "text for a SQLite file": _case(
        "status", "--database-url", "sqlite:///lines.txt", names=("store", "lines.txt")
    ),
    "no database URL": _case("status", "--database-url", "nonsense", names=("store", "'nonsense'")),
    "empty database URL": _case("status", "--database-url", "", names=("store", "''")),
    "unknown kind of database": _case("init", "--database-url", "mysql://h/d", names=("store", "mysql")),
    "store in memory": _case("init", "--database-url", "sqlite://", names=("store", "sqlite://")),
    "store that is a directory": _case(
        "status", "--database-url", "sqlite:///folder", names=("store", "folder", "directory")
    ),
    "store in no directory": _case(
        "init", "--database-url", "sqlite:///nowhere/s.sqlite", names=("store", "nowhere")
    ),
    "store that is not there": _case(
        "status", "--database-url", "sqlite:///new.sqlite", names=("store", "'new.sqlite'", "hea-loop init")
    ),
    "read-only directory": _case(
        "init", "--database-url", "sqlite:////proc/hea_loop.sqlite", names=("store", "/proc/hea_loop.sqlite")
    ),
    "unknown campaign of status": _case("status", "nobody", names=("campaign", "'nobody'", "example")),
    "unknown campaign of report": _case("report", "nobody", names=("campaign", "'nobody'", "example")),
    "unknown campaign of the queue": _case(
        "queue", "list", "nobody", names=("campaign", "'nobody'", "example")
    ),
    "report into a directory": _case("report", "--out", "folder", names=("--out", "'folder'", "directory")),
    "report below a file": _case("report", "--out", "lines.txt/r.html", names=("--out", "lines.txt/r.html")),
    "report into a read-only directory": _case(
        "report", "--out", "/proc/r.html", names=("--out", "/proc/r.html")
    ),
    "negative number of neighbours": _case("show", "NbTi", "--nearest", "-1", names=("--nearest", "'-1'")),
}

DECISIONS = {
    "unknown candidate": _case(
        "queue", "approve", "999999", "--reason", "good", names=("candidate", "999999")
    ),
    "candidate that was validated": _case(
        "queue", "approve", "1", "--reason", "good", names=("candidate", "1", "validated")
    ),
    "candidate that was rejected": _case(
        "queue", "reject", "{rejected}", "--reason", "no", names=("candidate", "{rejected}", "rejected")
    ),
    "candidate twice": _case(
        "queue",
        "approve",
        "{queued}",
        "{queued}",
        "--reason",
        "good",
        names=("candidate", "{queued}", "twice"),
    ),
    "a good candidate and a bad one": _case(
        "queue", "approve", "{queued}", "999999", "--reason", "good", names=("candidate", "999999")
    ),
    "empty reason": _case("queue", "approve", "{queued}", "--reason", "", names=("reason", "''")),
    "blank reason": _case("queue", "reject", "{queued}", "--reason", "  ", names=("reason", "empty")),
    "no reason": _case("queue", "approve", "{queued}", names=("--reason",)),
    "nobody decides": _case(
        "queue", "approve", "{queued}", "--reason", "good", "--who", " ", names=("who", "' '")
    ),
    "id that is no number": _case("queue", "approve", "first", "--reason", "good", names=("ID", "'first'")),
    "id beyond every number of the store": _case(
        "queue", "approve", "9" * 30, "--reason", "good", names=("candidate", "999")
    ),
    "no id": _case("queue", "approve", "--reason", "good", names=("ID",)),
}

RUNS = {
    "campaign that is not there": _case("run", "none.yaml", names=("campaign", "'none.yaml'")),
    "directory for a campaign": _case("run", "folder", names=("campaign", "'folder'")),
    "negative seed": _case("run", "good.yaml", "--seed", "-1", names=("seed", "-1")),
    "seed in words": _case("run", "good.yaml", "--seed", "lucky", names=("--seed", "'lucky'")),
    "no iterations": _case("run", "good.yaml", "--iterations", "0", names=("--iterations", "'0'")),
    "report into a directory": _case(
        "run", "good.yaml", "--report", "folder", names=("--report", "'folder'")
    ),
    "report below a file": _case(
        "run", "good.yaml", "--report", "lines.txt/r.html", names=("--report", "lines.txt/r.html")
    ),
    "report and no report": _case(
        "run", "good.yaml", "--report", "r.html", "--no-report", names=("--report", "'r.html'")
    ),
    "corrupt store": _case(
        "run",
        "good.yaml",
        "--no-report",
        "--database-url",
        "sqlite:///corrupt.sqlite",
        names=("store", "corrupt.sqlite"),
    ),
    "unknown command": _case("frobnicate", names=("frobnicate",)),
    "unknown option": _case("run", "--frobnicate", names=("--frobnicate",)),
    "two campaigns": _case("run", "good.yaml", "other.yaml", names=("other.yaml",)),
    "option without its value": _case("run", "--seed", names=("--seed",)),
}

CAMPAIGNS = {name: _case("run", "bad.yaml", names=names) for name, (_, names) in FAULTS.items()}

GROUPS = {
    "composition": COMPOSITIONS,
    "check": CHECKS,
    "database": DATABASES,
    "store": STORES,
    "decision": DECISIONS,
    "run": RUNS,
    "campaign": CAMPAIGNS,
}
CASES = [
    pytest.param(case, FAULTS[name][0] if group == "campaign" else None, id=f"{group}: {name}")
    for group, cases in GROUPS.items()
    for name, case in cases.items()
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A directory with a store and with faulty files, and the ids that cases name."""
    folder = tmp_path_factory.mktemp("prepared")
    with open_store(f"sqlite:///{folder / STORE}") as store, store.write() as session:
        add_literature(session)
        campaign = add_campaign(session, scored=1, in_progress="collecting")
        waiting = [c for c in campaign.iterations[-1].candidates if c.state == "queued"]
        waiting[0].state = "rejected"
        add_decision(session, waiting[0].id, verdict="reject", who="someone", reason="too heavy")
        ids = {"rejected": str(waiting[0].id), "queued": str(waiting[1].id)}
    content = bytearray((folder / STORE).read_bytes())
    content[4096:12288] = b"\xa5" * 8192
    files: dict[str, bytes] = {
        "corrupt.sqlite": bytes(content),
        "nul.txt": b"NbTi\n\0\n",
        "nul.csv": b"composition\nNb\0Ti\n",
        "latin.txt": b"NbTi\n# \xe9\n",
        "empty.txt": b"",
        "comments.txt": b"# NbTi\n\n   # HfNb\n",
        "lines.txt": b"NbTi\n# a comment\nNbYy\n",
        "table.csv": b"alloy,phase\nNbTi,BCC\n,BCC\n",
        "header.csv": b"composition,phase\n",
        "garbage.tdb": b"PARAMETER G(BCC_A2 this is no database !!\n",
        "latin.tdb": b"$ a comment\nELEMENT N\xe9 BCC_A2 1 1 1 !\n",
        "broken.tdb": b"ELEMENT VA VACUUM 0 0 0 !\nELEMENT NB !\n",
        "binary.tdb": LACKING,
        "nobcc.tdb": LACKING.replace(b"BCC_A2 ", b"BCC ").replace(b"BCC_A2,", b"BCC,"),
        "noliquid.tdb": LACKING.replace(b"LIQUID", b"MELT"),
        "good.yaml": GOOD.encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    return folder, ids


@pytest.fixture
def place(
    prepared: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of the prepared directory, which is the working directory meanwhile."""
    folder, ids = prepared
    copy = tmp_path / "place"
    shutil.copytree(folder, copy)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("HEA_LOOP_DATABASE_URL", raising=False)
    return copy, ids


def _dump(file: Path) -> str:
    """The store as SQL, read from a copy so that looking changes nothing."""
    copy = file.with_name("looked-at.sqlite")
    shutil.copy(file, copy)
    for suffix in ("-wal", "-shm"):
        if file.with_name(file.name + suffix).exists():
            shutil.copy(file.with_name(file.name + suffix), copy.with_name(copy.name + suffix))
    connection = sqlite3.connect(copy)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _files(folder: Path) -> dict[str, str]:
    """Every file but the store, with a hash of its content."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "directory"
        for p in sorted(folder.rglob("*"))
        if p.name != STORE
    }


@pytest.mark.parametrize(("case", "campaign"), CASES)
def test_bad_input_gives_one_line_and_exit_code_2_and_changes_nothing(
    case: Case, campaign: str | bytes | None, place: tuple[Path, dict[str, str]]
) -> None:
    folder, ids = place
    if campaign is not None:
        data = campaign if isinstance(campaign, bytes) else campaign.encode()
        (folder / "bad.yaml").write_bytes(data)
    dump, files = _dump(folder / STORE), _files(folder)

    def with_ids(text: str) -> str:
        return text.replace("{queued}", ids["queued"]).replace("{rejected}", ids["rejected"])

    ended = hea_loop(*(with_ids(a) for a in case.arguments), stdin=case.stdin)

    assert ended.code == 2, ended.err
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert re.fullmatch(r"error: .+[;,] .+|error: .+; see `hea-loop.* --help`", lines[0]), lines[0]
    for name in case.names:
        assert with_ids(name) in lines[0]
    assert _files(folder) == files
    assert _dump(folder / STORE) == dump


def test_there_are_at_least_sixty_cases() -> None:
    assert len(CASES) >= 60


def test_what_the_cases_change_one_thing_of_is_itself_accepted(place: tuple[Path, dict[str, str]]) -> None:
    from app.campaign_run import campaign_to_run

    assert campaign_to_run(place[0] / "good.yaml", seed=None).name == "bad"

"""Databases of other people: everything that can be wrong with one is one clear line, or does no harm."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from hea_loop import parse_composition
from hea_loop.errors import InputError
from tests.in_process_cli import hea_loop
from validators.calphad import load_database, phases_at, provenance
from validators.calphad.build import build_tdb
from validators.outcome import OutcomeStatus

GOOD = build_tdb(["Nb", "Zr"])
PYCALPHADS = Path(str(files("pycalphad") / "tests" / "databases"))

Change = Callable[[str], str]


def swap(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def with_line(line: str) -> Change:
    return swap(" LIST_OF", f" {line}\n LIST_OF")


def without(*starts: str) -> Change:
    """Without the commands that begin so; every command of ours begins on a line of its own."""

    def change(text: str) -> str:
        commands = text.split("!\n")
        kept = [c for c in commands if not c.split("\n $")[-1].strip().startswith(starts)]
        assert len(kept) < len(commands)
        return "!\n".join(kept)

    return change


def both(*changes: Change) -> Change:
    def change(text: str) -> str:
        for one in changes:
            text = one(text)
        return text

    return change


BAD: dict[str, tuple[Change | bytes, tuple[str, ...]]] = {
    "empty": (b"", ("is empty",)),
    "blank": (b" \n\t\n", ("is empty",)),
    "binary": (b"\x7fELF\0\0\1\2", ("is not a text file",)),
    "UTF-16": (GOOD.encode("utf-16"), ("is not a text file",)),
    "not UTF-8 in a command": (
        GOOD.replace("GHSERNB", "GHS\xc9RNB").encode("latin-1"),
        ("not UTF-8", "line"),
    ),
    "a table": (b"a,b,c\n1,2,3\n", ("is not a TDB", "defines no element")),
    "comments only": (b"$ a database\n$ to be written\n", ("defines no element or no phase",)),
    "no phase": (b"ELEMENT VA VACUUM 0 0 0 !\nELEMENT NB BCC_A2 92.9 5220 36.3 !\n", ("no phase",)),
    "misspelt command": (swap("PHASE HCP_A3", "PHAZE HCP_A3"), ("PHAZE HCP_A3", "line {PHAZE}")),
    "no `!` after a parameter": (
        swap("6000 N Dinsdale1991 !", "6000 N Dinsdale1991"),
        ("not ended by `!`", "line {G(LIQUID,NB;0)}", "line {G(LIQUID,ZR;0)}"),
    ),
    "no `!` after a type definition": (swap("SEQ * !", "SEQ *"), ("not ended by `!`", "line {SEQ}")),
    "no `!` after an element": (
        swap("VACUUM 0 0 0 !", "VACUUM 0 0 0"),
        ("not ended by `!`", "line {VACUUM}"),
    ),
    "two commands on a line": (
        swap("VACUUM 0 0 0 !\n", "VACUUM 0 0 0 !"),
        ("line {VACUUM}", "two commands"),
    ),
    "everything on one line": (
        lambda text: " ".join(line for line in text.splitlines() if not line.startswith("$")),
        ("line 1", "two commands"),
    ),
    "phase twice": (with_line("PHASE HCP_A3 % 1 1 !"), ("phase HCP_A3 twice",)),
    "bracket that is not closed": (
        swap("GHSERNB#;", "EXP(GHSERNB#;"),
        ("cannot be parsed at line {EXP}", "G(BCC_A2,NB:VA;0)"),
    ),
    "number with two points": (swap("15911", "1.59.11"), ("cannot be parsed at line {1.59.11}",)),
    "no temperature limit": (
        with_line("PARAMETER G(BCC_A2,NB,ZR:VA;3) 1000 !"),
        ("cannot be parsed at line {NB,ZR:VA;3}",),
    ),
    "unknown kind of parameter": (
        swap("G(BCC_A2,NB:VA;0)", "QQ(BCC_A2,NB:VA;0)"),
        ("cannot be parsed at line {QQ}",),
    ),
    "unknown type definition": (
        swap("TYPE_DEFINITION % SEQ * !", "TYPE_DEFINITION % GES A_P_D HCP_A3 FROBNICATE 1 2 !"),
        ("cannot be parsed", "FROBNICATE"),
    ),
    "constituents of no phase": (
        with_line("CONSTITUENT FOO : NB : !"),
        ("cannot be parsed at line {FOO}", "FOO is not defined"),
    ),
    "constituent that is no element": (
        swap("CONSTITUENT HCP_A3 : NB", "CONSTITUENT HCP_A3 : NB,RE"),
        ("cannot be parsed", "RE is not defined"),
    ),
    "phase without constituents": (without("CONSTITUENT HCP_A3"), ("HCP_A3",)),
    "phase without parameters": (
        without("PARAMETER G(HCP_A3"),
        ("HCP_A3 has no parameter", "line {PHASE HCP_A3}"),
    ),
    "undefined function": (swap("GHSERNB#", "GHSERXX#"), ("undefined function GHSERXX", "line {GHSERXX}")),
    "function that no parameter needs at once": (
        without("FUNCTION GHSERZR"),
        ("undefined function GHSERZR",),
    ),
    "parameter twice": (
        with_line("PARA L( BCC_A2, NB , ZR :VA ; 0 ) 298.15 9; 6000 N !"),
        ("BCC_A2,NB,ZR:VA;0) is given twice", "adds the two"),
    ),
    "function in two ways": (
        with_line("FUNCTION GHSERNB 298.15 1000; 6000 N !"),
        ("function GHSERNB in two ways", "line"),
    ),
    "functions in a circle": (
        both(
            swap(" TYPE_DEF", " FUNCTION AAA 298.15 BBB#; 6000 N !\n TYPE_DEF"),
            swap(" TYPE_DEF", " FUNCTION BBB 298.15 AAA#; 6000 N !\n TYPE_DEF"),
            with_line("PARAMETER G(BCC_A2,NB,ZR:VA;5) 298.15 AAA#; 6000 N !"),
        ),
        ("AAA", "database"),
    ),
    "parameter of an undefined phase": (
        with_line("PARAMETER G(BCC_A3,NB,ZR:VA;0) 298.15 9; 6000 N !"),
        ("BCC_A3, which is not defined", "line {BCC_A3}"),
    ),
    "parameter with a sublattice too few": (
        with_line("PARAMETER G(BCC_A2,NB,ZR;0) 298.15 9; 6000 N !"),
        ("G(BCC_A2,NB,ZR;0) has 1 sublattices, the phase 2",),
    ),
    "constituent that is not declared there": (
        with_line("PARAMETER G(BCC_A2,NB:ZR;0) 298.15 9; 6000 N !"),
        ("constituent ZR, which the phase does not declare there",),
    ),
    "limits the wrong way round": (
        with_line("PARAMETER G(BCC_A2,NB,ZR:VA;3) 3000 9; 1000 N !"),
        ("G(BCC_A2,NB,ZR:VA;3) holds at no temperature",),
    ),
    "functions to 1000 K": (
        with_line("PARAMETER G(BCC_A2,NB,ZR:VA;3) 298.15 9; 1000 N !"),
        ("temperature_K = 1273.0", "298.15 to 1000 K", "G(BCC_A2,NB,ZR:VA;3)"),
    ),
    "unknown model": (
        both(
            with_line("PHASE SIGMA % 2 1 1 !"),
            with_line("CONSTITUENT SIGMA : NB,ZR : NB,ZR : !"),
            with_line("PARAMETER G(SIGMA,NB:NB;0) 298.15 9; 6000 N !"),
            with_line("PARAMETER G(SIGMA,NB,ZR:NB,ZR;3) 298.15 9; 6000 N !"),
        ),
        ("SIGMA has a model that pycalphad cannot build",),
    ),
    "no bcc": (lambda text: text.replace("BCC_A2,", "A2_BCC,").replace(" BCC_A2 ", " A2_BCC "), ("BCC_A2",)),
    "element without its bcc": (
        without("PARAMETER G(BCC_A2,ZR:VA;0)"),
        ("no parameter G(BCC_A2,ZR)", "zero"),
    ),
    "missing binary": (
        without("PARAMETER G(BCC_A2,NB,ZR"),
        ("composition = 'NbZr'", "binary Nb-Zr (BCC_A2)", "allow-missing-binaries"),
    ),
    "missing element": (
        lambda _: build_tdb(["Nb", "Ti"]),
        ("composition = 'NbZr'", "Zr is not in the database"),
    ),
}


def written(change: Change | bytes, folder: Path) -> Path:
    path = folder / "user.tdb"
    path.write_bytes(change if isinstance(change, bytes) else change(GOOD).encode())
    return path


def named(text: str, path: Path) -> str:
    """With ``{WORD}`` replaced by the number of the line that holds the word."""
    if "{" not in text:
        return text
    before, _, rest = text.partition("{")
    word, _, after = rest.partition("}")
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines, start=1) if word in line and not line.startswith("$"))
    return f"{before}{number}{after}"


@pytest.mark.parametrize(("change", "names"), BAD.values(), ids=BAD)
def test_a_bad_database_is_one_line_that_says_what_and_where(
    change: Change | bytes, names: tuple[str, ...], tmp_path: Path
) -> None:
    path = written(change, tmp_path)
    ended = hea_loop("check", "NbZr", "--temperature", "1273", "--database-file", str(path))
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1, ended.err
    for name in names:
        assert named(name, path) in ended.err


@pytest.mark.parametrize(
    "change",
    [
        str.lower,
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("!", "! a remark after the command"),
        lambda text: text.replace("PARAMETER", "PARA").replace("FUNCTION", "FUNCT"),
        lambda text: text.replace("LIST_OF_REFERENCES\n NUMBER SOURCE\n", "ADD_REFERENCES\n"),
    ],
    ids=["lower case", "tabs", "CRLF", "CR", "BOM", "remarks", "abbreviations", "other references"],
)
def test_ways_of_writing_a_database_change_no_answer(change: Change, tmp_path: Path) -> None:
    path = tmp_path / "user.tdb"
    path.write_bytes(change(GOOD).encode())
    database = load_database(path)
    alloy = parse_composition("NbZr")
    assert phases_at(alloy, 1200.0, database).phases == phases_at(alloy, 1200.0, load_database()).phases


def test_names_of_authors_in_another_encoding_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "user.tdb"
    text = GOOD.replace("$ compiled", "$ J\xf6nsson\n$ compiled").replace("(stated)", "(J\xf6nsson)")
    path.write_bytes(text.encode("latin-1"))
    assert load_database(path).elements == ("Nb", "Zr")


def test_a_fault_in_one_system_leaves_the_others_their_answers(tmp_path: Path) -> None:
    path = tmp_path / "user.tdb"
    text = build_tdb(["Nb", "Ti", "Zr"])
    path.write_text(with_line("PARAMETER G(BCC_A2,NB,TI,ZR:VA;0) 298.15 XX#; 6000 N !")(text))
    database = load_database(path)
    assert phases_at(parse_composition("NbZr"), 1200.0, database).status is OutcomeStatus.CONVERGED
    with pytest.raises(InputError, match=r"undefined function XX \(line"):
        phases_at(parse_composition("NbTiZr"), 1200.0, database)


@pytest.mark.parametrize("name", sorted(p.name for p in PYCALPHADS.glob("*.tdb")))
def test_every_database_that_pycalphad_ships_answers_or_says_in_one_line_why_not(
    name: str, tmp_path: Path
) -> None:
    shutil.copy(PYCALPHADS / name, tmp_path)
    path = tmp_path / name
    elements = load_database(path).elements
    metals = [
        e for e in elements if e in {"Al", "Cr", "Cu", "Fe", "Mg", "Ni", "Pb", "Sn", "Ti", "V", "Zn", "Co"}
    ]
    formula = "".join((metals or list(elements))[:3])
    ended = hea_loop("check", formula, "--temperature", "1200", "--database-file", str(path), "--json")
    assert ended.code in {0, 2}, ended.err
    if ended.code == 2:
        assert len(ended.err.splitlines()) == 1, ended.err
        assert ended.err.startswith("error: ")
    else:
        assert {row["outcome"] for row in ended.json} <= {"converged", "unconverged", "failed"}
        assert all(row["phases"] for row in ended.json if row["outcome"] == "converged")


def test_what_pycalphad_doubts_in_its_own_models_is_said_with_the_answer(tmp_path: Path) -> None:
    shutil.copy(PYCALPHADS / "Al-Fe_sundman2009.tdb", tmp_path)
    database = load_database(tmp_path / "Al-Fe_sundman2009.tdb")
    assert phases_at(parse_composition("AlFe"), 1200.0, database).status is OutcomeStatus.CONVERGED
    assert any(
        "B2_BCC" in line and "may be incorrect" in line for line in provenance(database, ("Al", "Fe")).lines()
    )


@pytest.mark.slow
def test_cost507_answers_but_for_the_systems_in_which_it_has_faults(tmp_path: Path) -> None:
    shutil.copy(PYCALPHADS / "COST507.tdb", tmp_path)
    database = load_database(tmp_path / "COST507.tdb")
    found = phases_at(parse_composition("Ti94Al6"), 1400.0, database)
    assert [p.name for p in found.phases] == ["BCC_A2"]
    with pytest.raises(
        InputError, match=r"G\(ALTI,(AL:V|V:AL);0\) is given twice.*\(line \d+\), and Al-Ti-V"
    ):
        phases_at(parse_composition("Ti90Al6V4"), 1400.0, database)

"""Thermodynamic databases: the project's own, compiled in memory, or any TDB; parsed once per process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from hea_loop.composition import Composition
from hea_loop.errors import InputError

__all__ = ["OWN_DATABASE", "CalphadDatabase", "load_database"]

OWN_DATABASE: Final = "refractory10"
"""Name of the database that comes with the project."""

_LOCK: Final = threading.Lock()
_MEND_TDB: Final = f"mend the file, or use {OWN_DATABASE}"


@dataclass(frozen=True, eq=False)
class CalphadDatabase:
    """A parsed and checked database.

    Attributes:
        name: ``refractory10``, or the stem of the file.
        elements: Symbols as the field writes them (``Nb``), in alphabetical order.
        phases: Phase names in alphabetical order.
        content_hash: SHA-256 of the TDB's text: what an answer rests on.
        parsed: The pycalphad ``Database``.
        systems: What :mod:`validators.calphad.equilibrium` builds per set of components, kept here so that it
            is built once per process.
        melting_points: Melting points of elements in K that :mod:`validators.calphad.solidus` has found so
        far.
    """

    name: str
    elements: tuple[str, ...]
    phases: tuple[str, ...]
    content_hash: str
    parsed: Any = field(repr=False)
    systems: dict[Any, Any] = field(default_factory=dict, repr=False)
    melting_points: dict[str, float] = field(default_factory=dict, repr=False)

    def require(self, composition: Composition) -> None:
        """Refuse a composition with an element that the database does not have.

        Raises:
            InputError: It has one.
        """
        missing = sorted(set(composition.elements) - set(self.elements))
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise InputError(
                "composition",
                composition.formula,
                f"{', '.join(missing)} {verb} not in the database {self.name}",
                f"use only {', '.join(self.elements)}, or a TDB that has {', '.join(missing)}",
            )


def load_database(name_or_path: str | Path = OWN_DATABASE) -> CalphadDatabase:
    """Load a database, once per process for each content.

    Args:
        name_or_path: ``refractory10``, or the path of a TDB file.

    Raises:
        InputError: There is no such file; it cannot be read or parsed (the line is named where known); it
            uses an undefined function, or a phase model that pycalphad does not know.
    """
    if str(name_or_path) == OWN_DATABASE:
        text, name = _own_text(), OWN_DATABASE
    else:
        text, name = _read(Path(name_or_path)), Path(name_or_path).stem
    with _LOCK:
        return _parse(text, name, str(name_or_path))


@lru_cache(maxsize=1)
def _own_text() -> str:
    from validators.calphad.build import build_tdb  # imported late, so that it can be run as a program

    return build_tdb()


def _read(path: Path) -> str:
    if not path.is_file():
        problem = "is a directory" if path.is_dir() else "does not exist"
        raise InputError("database", str(path), problem, f"give the path of a TDB file, or {OWN_DATABASE}")
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            "database", str(path), f"cannot be read ({error.strerror})", "mend its permissions"
        ) from None


@lru_cache(maxsize=8)
def _parse(text: str, name: str, given: str) -> CalphadDatabase:
    from pycalphad import Database

    try:
        # pycalphad prints the command that it could not read before it raises; the error says it as well
        with contextlib.redirect_stdout(io.StringIO()):
            parsed = Database.from_string(text, fmt="tdb")
    except Exception as error:  # noqa: BLE001 - from pyparsing, pycalphad, symengine and the standard library
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        problem = f"cannot be parsed{_where(str(error))}: {reason}"
        raise InputError("database", given, problem, _MEND_TDB) from None
    elements = tuple(sorted(e.capitalize() for e in parsed.elements - {"VA", "/-"}))
    if not elements or not parsed.phases:
        raise InputError("database", given, "is not a TDB: it defines no element or no phase", _MEND_TDB)
    _check_functions(parsed, text, given)
    _check_models(parsed, given)
    return CalphadDatabase(
        name=name,
        elements=elements,
        phases=tuple(sorted(parsed.phases)),
        content_hash=hashlib.sha256(text.encode()).hexdigest(),
        parsed=parsed,
    )


def _where(reason: str) -> str:
    """The line, where the parser says one."""
    line = re.search(r"\(line:(\d+)", reason)
    return f" at line {line[1]}" if line else ""


def _line_of(text: str, word: str) -> str:
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(rf"\b{re.escape(word)}\b", line, re.IGNORECASE) and not line.lstrip().startswith("$"):
            return f" (line {number})"
    return ""


def _check_functions(parsed: Any, text: str, given: str) -> None:
    """Pycalphad takes an undefined function for zero and says nothing."""
    known = set(parsed.symbols) | {"T", "P", "R"}
    expressions = [p["parameter"] for p in parsed.search(_everything())] + list(parsed.symbols.values())
    used = {str(s) for e in expressions for s in getattr(e, "free_symbols", ())}
    undefined = sorted(used - known)
    if undefined:
        raise InputError(
            "database",
            given,
            f"uses the undefined function {undefined[0]}{_line_of(text, undefined[0])}",
            f"define it, or use {OWN_DATABASE}",
        )


def _everything() -> Any:
    from tinydb import where

    return where("phase_name").exists()


def _check_models(parsed: Any, given: str) -> None:
    from pycalphad import Model

    for phase in sorted(parsed.phases):
        try:
            Model(parsed, sorted(parsed.elements - {"/-"}), phase)
        except Exception as error:  # noqa: BLE001 - likewise
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise InputError(
                "database",
                given,
                f"the phase {phase} has a model that pycalphad cannot build: {reason}",
                "remove the phase or use another database",
            ) from None

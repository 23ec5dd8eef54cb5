"""Thermodynamic databases: the project's own, compiled in memory, or any TDB; parsed once per process."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.contents import Contents, read_contents
from validators.calphad.tdb_text import (
    StatedEstimate,
    check_commands,
    content_hash,
    decode,
    failing_command,
    stated_estimates,
)

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
        content_hash: SHA-256 of what an answer rests on (:func:`validators.calphad.tdb_text.content_hash`).
        parsed: The pycalphad ``Database``.
        contents: Its parameters and phases as plain values.
        estimates: The parameters that it calls estimates; None where it states no status.
        unmodelled: Phases that pycalphad cannot model with all their constituents, and why.
        remarks: What pycalphad warned of as it read the database, one line each.
        allow_missing_binaries: Whether binaries without an interaction parameter pass as ideal.
        text: The TDB.
        systems: What :mod:`validators.calphad.equilibrium` builds per set of components, kept here so that it
            is built once per process.
        melting_points: Melting points of elements in K that :mod:`validators.calphad.solidus` has found so
        far.
        notes: What :mod:`validators.calphad.coverage` has worked out so far.
    """

    name: str
    elements: tuple[str, ...]
    phases: tuple[str, ...]
    content_hash: str
    parsed: Any = field(repr=False)
    contents: Contents = field(repr=False)
    estimates: tuple[StatedEstimate, ...] | None = field(default=None, repr=False)
    unmodelled: dict[str, str] = field(default_factory=dict, repr=False)
    remarks: tuple[str, ...] = ()
    allow_missing_binaries: bool = False
    text: str = field(default="", repr=False)
    systems: dict[Any, Any] = field(default_factory=dict, repr=False)
    melting_points: dict[str, float] = field(default_factory=dict, repr=False)
    notes: dict[str, Any] = field(default_factory=dict, repr=False)

    def require(self, composition: Composition, temperatures_K: Iterable[float] = ()) -> None:
        """Refuse a composition that the database does not describe, or not at some temperature.

        Args:
            composition: The alloy.
            temperatures_K: Temperatures at which it is to be answered for, K.

        Raises:
            InputError: An element that the database does not have, a binary without an interaction parameter
                in bcc or liquid (unless ``allow_missing_binaries``), a parameter that cannot be used, a phase
                that pycalphad cannot model, a temperature that its functions do not cover.
        """
        self.require_elements(
            composition.elements, temperatures_K, field="composition", value=composition.formula
        )

    def require_elements(
        self,
        elements: Iterable[str],
        temperatures_K: Iterable[float] = (),
        *,
        field: str = "elements",
        value: object = None,
    ) -> None:
        """The same for a set of elements, all of which may be in one alloy.

        Args:
            elements: Symbols (``Nb``).
            temperatures_K: Temperatures at which they are to be answered for, K.
            field: What the user gave, for the error.
            value: Its value; the elements when None.

        Raises:
            InputError: As :meth:`require`.
        """
        from validators.calphad.coverage import require_described

        wanted = sorted(set(elements))
        shown = "-".join(wanted) if value is None else value
        missing = [e for e in wanted if e not in self.elements]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise InputError(
                field,
                shown,
                f"{', '.join(missing)} {verb} not in the database {self.name}",
                f"use only {', '.join(self.elements)}, or a TDB that has {', '.join(missing)}",
            )
        require_described(self, wanted, field=field, value=shown, temperatures_K=temperatures_K)

    def described_between(self, composition: Composition) -> tuple[float, float]:
        """Lower and upper temperature in K between which the solutions of an alloy's elements are described."""
        from validators.calphad.coverage import described_range

        return described_range(self, composition.elements)[:2]

    def line_of(self, patterns: Iterable[str]) -> int:
        """Number of the first line outside comments that one of the regular expressions finds, tried in order.

        Returns:
            The number; 0 where there is no such line.
        """
        lines = [line.partition("$")[0] for line in self.text.splitlines()]
        for pattern in patterns:
            for number, line in enumerate(lines, start=1):
                if re.search(pattern, line, re.IGNORECASE):
                    return number
        return 0


def load_database(
    name_or_path: str | Path = OWN_DATABASE, *, allow_missing_binaries: bool = False
) -> CalphadDatabase:
    """Load a database, once per process for each content.

    A parameter that rests on an undefined function or does not fit its phase, and a phase that pycalphad cannot
    model, are refused with the first alloy that meets them (:meth:`CalphadDatabase.require`), so that a large
    database with a fault in one system can answer for the others.

    Args:
        name_or_path: ``refractory10``, or the path of a TDB file.
        allow_missing_binaries: Take binaries without an interaction parameter as ideal, in place of refusing
            alloys that have them.

    Raises:
        InputError: There is no such file; it is empty, no text, or cannot be parsed (the line is named); a
            phase is defined twice.
    """
    if str(name_or_path) == OWN_DATABASE:
        text, name = _own_text(), OWN_DATABASE
    else:
        text, name = _read(Path(name_or_path)), Path(name_or_path).stem
    with _LOCK:
        return _database(text, name, str(name_or_path), allow_missing_binaries)


@lru_cache(maxsize=1)
def _own_text() -> str:
    from validators.calphad.build import build_tdb  # imported late, so that it can be run as a program

    return build_tdb()


def _read(path: Path) -> str:
    if not path.is_file():
        problem = "is a directory" if path.is_dir() else "does not exist"
        raise InputError("database", str(path), problem, f"give the path of a TDB file, or {OWN_DATABASE}")
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(
            "database", str(path), f"cannot be read ({error.strerror})", "mend its permissions"
        ) from None


@lru_cache(maxsize=16)
def _database(text: str, name: str, given: str, allow_missing_binaries: bool) -> CalphadDatabase:
    database = _parse(text, name, given)
    if allow_missing_binaries:
        # what was settled about its binaries was settled for the strict one
        database = replace(database, allow_missing_binaries=True, notes={})
    return database


@lru_cache(maxsize=8)
def _parse(text: str, name: str, given: str) -> CalphadDatabase:
    check_commands(text, given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parsed = _parsed(text, given)
        elements = tuple(sorted(e.capitalize() for e in parsed.elements - {"VA", "/-"}))
        if not elements or not parsed.phases:
            raise InputError("database", given, "is not a TDB: it defines no element or no phase", _MEND_TDB)
        contents = read_contents(parsed)
        unmodelled = _unmodelled(parsed)
    return CalphadDatabase(
        name=name,
        elements=elements,
        phases=tuple(sorted(parsed.phases)),
        content_hash=content_hash(text),
        parsed=parsed,
        contents=contents,
        estimates=stated_estimates(text),
        unmodelled=unmodelled,
        remarks=tuple(dict.fromkeys(" ".join(str(w.message).split()) for w in caught)),
        text=text,
    )


def _parsed(text: str, given: str) -> Any:
    from pycalphad import Database

    def attempt(some: str) -> Any:
        """The database, or what was raised."""
        try:
            # pycalphad prints the command that it could not read before it raises; the error says it as well
            with contextlib.redirect_stdout(io.StringIO()):
                return Database.from_string(some, fmt="tdb")
        except Exception as error:  # noqa: BLE001 - from pyparsing, pycalphad, symengine, standard library
            return error

    parsed = attempt(text)
    if isinstance(parsed, Exception):
        where = failing_command(text, attempt, parsed)
        raise InputError("database", given, f"cannot be parsed{where}: {_reason(parsed)}", _MEND_TDB)
    return parsed


def _reason(error: Exception) -> str:
    """What a parser says, without positions in texts that the user does not have."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not defined"
    said = re.sub(r"\((at char|<unknown>).*", "", " ".join(str(error).split()))
    if said.startswith("Invalid TDB syntax"):
        return "invalid TDB syntax"
    return said.strip()[:120] or type(error).__name__


def _unmodelled(parsed: Any) -> dict[str, str]:
    """Phases that pycalphad cannot model with all their constituents, and why."""
    everything = frozenset(e.capitalize() for e in parsed.elements - {"/-", "VA"})
    reasons = {phase: model_fault(parsed, phase, everything) for phase in sorted(parsed.phases)}
    return {phase: reason for phase, reason in reasons.items() if reason}


def model_fault(parsed: Any, phase: str, elements: frozenset[str]) -> str:
    """Why pycalphad cannot model a phase for some elements; empty if it can."""
    from pycalphad import Model

    try:
        Model(parsed, sorted({*(e.upper() for e in elements), "VA"}), phase)
    except Exception as error:  # noqa: BLE001 - from pycalphad and symengine
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""

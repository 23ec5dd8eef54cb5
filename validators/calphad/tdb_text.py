"""A TDB as text: decoding, the faults that pycalphad passes over in silence, and what comments state.

pycalphad drops what follows a ``!`` on its line, and lets a command without its ``!`` swallow the next one
where it does not read the rest of a command. Both lose parameters without a word, so they are looked for here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from hea_loop.errors import InputError

__all__ = [
    "STATUS_LINE",
    "StatedEstimate",
    "check_commands",
    "content_hash",
    "decode",
    "failing_command",
    "stated_estimates",
]

STATUS_LINE: Final = "$ Parameters are published unless the comment before them begins with ESTIMATE."
"""What a TDB of ours says in its head, and by which it is known that the others are no estimates."""

_COMMAND: Final = re.compile(
    r"\s*(PAR[A-Z]*\s+[A-Z]+\s*\(|FUN[A-Z]*\s+\S+\s+[-\d.]|ELEM[A-Z]*\s+\S+\s+\S+\s+[-\d.]"
    r"|PHAS[A-Z]*\s+\S+\s+\S+\s+\d|CONS[A-Z]*\s+\S+\s*:|TYPE_DEF[A-Z_]*\s+\S\s"
    r"|SPECIES\s+\S+\s|DEFINE_SYS|DEFAULT_COM|LIST_OF_REF|ADD_REF)",
    re.IGNORECASE,
)
_ESTIMATE: Final = re.compile(r"\s*\$\s*ESTIMATE\b:?\s*(.*)")
_PARAMETER: Final = re.compile(
    r"\s*PAR[A-Z]*\s+([A-Z]+)\s*\(\s*([A-Z0-9_:]+)\s*,([^;)]+)(?:;\s*(\d+))?\s*\)", re.IGNORECASE
)
_PROSE: Final = re.compile(r"\s*(LIST_OF_REF|ADD_REF|DATABASE_INFO|REFERENCE_FILE)", re.IGNORECASE)
_SOURCE: Final = re.compile(r"(?<=[\d.\s;]) N( \S+)? ?$", re.IGNORECASE)
_EXCERPT: Final = 70  # characters of a command that an error shows


@dataclass(frozen=True, slots=True)
class StatedEstimate:
    """A parameter that the comment before it calls an estimate.

    Attributes:
        phase: Phase name.
        constituents: Constituents per sublattice, upper case.
        order: Order of the parameter.
        kind: ``G``, ``TC`` or ``BMAGN``.
        remark: On what grounds, as the comment has it.
    """

    phase: str
    constituents: tuple[tuple[str, ...], ...]
    order: int
    kind: str
    remark: str


def decode(raw: bytes, given: str) -> str:
    """Text of a TDB file.

    Comments and references in another encoding than UTF-8 (names of authors) are harmless and are read with
    replacement characters; anywhere else they are refused.

    Raises:
        InputError: It is empty, not a text file, or not UTF-8 in a command.
    """
    if not raw.strip():
        raise InputError("database", given, "is empty", "give the path of a TDB file")
    if b"\0" in raw:
        raise InputError("database", given, "is not a text file", "give the path of a TDB file in UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", errors="replace")
        for line, command in _commands(text):
            if "\ufffd" in command and not _PROSE.match(command):
                raise InputError(
                    "database",
                    given,
                    f"is not UTF-8 (command at line {line})",
                    "convert it, as in `iconv -f latin1 -t utf-8`",
                ) from None
    return "\n".join(text.splitlines()) + "\n"


def _commands(text: str) -> Iterator[tuple[int, str]]:
    """Commands with the number of the line on which they begin; comments and what follows a ``!`` removed."""
    begun, parts = 0, []
    for number, whole in enumerate(text.splitlines(), start=1):
        line, end, _ = whole.partition("$")[0].partition("!")
        if line.strip():
            begun = begun or number
            parts.append(line)
        if end and parts:
            yield begun, "\n".join(parts)
        if end:
            begun, parts = 0, []
    if parts:
        yield begun, "\n".join(parts)


def content_hash(text: str) -> str:
    """SHA-256 of all in a TDB that an answer rests on: comments, layout and citations are none of it.

    A DOI that is mended, or an estimate that is explained, thus keeps the answers that were given before.
    """
    digest = hashlib.sha256()
    for _, command in _commands(text):
        words = " ".join(command.split())
        if not _PROSE.match(words):
            # of a parameter or a function the word after the last interval names its source
            digest.update(_SOURCE.sub(" N", words).encode() + b"!")
    return digest.hexdigest()


def _excerpt(command: str) -> str:
    words = " ".join(command.split())
    return words if len(words) <= _EXCERPT else words[: _EXCERPT - 3] + "..."


def check_commands(text: str, given: str) -> None:
    """Refuse what pycalphad passes over: two commands on a line, one that is not ended, a phase or function twice.

    Raises:
        InputError: One of these, with its line.
    """
    mend = "put every command on a line of its own and end it with `!`"
    begun, phases = 0, dict[str, int]()
    for number, whole in enumerate(text.splitlines(), start=1):
        line, end, after = whole.partition("$")[0].partition("!")
        if begun and _COMMAND.match(line):
            problem = f"the command at line {begun} is not ended by `!` before that at line {number}"
            raise InputError("database", given, problem, mend)
        if _COMMAND.match(after) and "!" in after:
            problem = f"line {number} has two commands, of which only the first would be read"
            raise InputError("database", given, problem, mend)
        if line.strip():
            begun = begun or number
        phase = re.match(r"\s*PHAS[A-Z]*\s+([A-Z0-9_]+)", line, re.IGNORECASE)
        if phase and begun == number:
            name = phase[1].upper()
            if name in phases:
                problem = f"defines the phase {name} twice (lines {phases[name]} and {number})"
                raise InputError("database", given, problem, "remove one of them")
            phases[name] = number
        if end:
            begun = 0
    _check_functions(text, given)


def _check_functions(text: str, given: str) -> None:
    """Refuse a function with two different definitions, of which pycalphad takes the last."""
    known: dict[str, tuple[int, str]] = {}
    for line, command in _commands(text):
        words = command.upper().split()
        if len(words) > 2 and len(words[0]) >= 3 and "FUNCTION".startswith(words[0]):
            before = known.setdefault(words[1], (line, "".join(words[2:])))
            if before[1] != "".join(words[2:]):
                problem = f"defines the function {words[1]} in two ways (lines {before[0]} and {line})"
                raise InputError("database", given, problem, "remove one of them")


def failing_command(text: str, parse: Callable[[str], object], error: Exception) -> str:
    """Where a parser fails, as `` at line 12 (PARAMETER ...)``; empty where that cannot be found.

    Args:
        text: The TDB.
        parse: Parses a text and returns what it raised, or anything else.
        error: What it says of the whole text; the shortest beginning of which it says the same ends with the
            faulty command.
    """
    reason = _cause(error)
    commands = list(_commands(text))

    def fails(count: int) -> bool:
        said = parse("".join(f"{command}!\n" for _, command in commands[:count]))
        return isinstance(said, Exception) and _cause(said) == reason

    low, high = 0, len(commands)  # `low` commands are read, `high` are not
    if not fails(high):
        return ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    line, command = commands[high - 1]
    return f" at line {line} ({_excerpt(command)})"


def _cause(error: Exception) -> str:
    """The error without its position, which differs between a text and a beginning of it."""
    said = re.sub(r"[(]at char.*", "", str(error), flags=re.DOTALL)
    return f"{type(error).__name__} {''.join(said.split())}"


def stated_estimates(text: str) -> tuple[StatedEstimate, ...] | None:
    """The parameters that the comments of a TDB of ours call estimates; None where it states nothing."""
    lines = text.splitlines()
    if not any(line.strip() == STATUS_LINE for line in lines):
        return None
    found, remark = [], None
    for line in lines:
        comment = _ESTIMATE.match(line)
        if comment:
            remark = comment[1]
        elif line.lstrip().startswith("$"):
            remark = None if remark is None else f"{remark} {line.strip(' $')}".strip()
        elif remark is not None:
            head = _PARAMETER.match(line)
            if head:
                constituents = tuple(
                    tuple(sorted(c.strip().upper() for c in part.split(","))) for part in head[3].split(":")
                )
                found.append(
                    StatedEstimate(head[2].upper(), constituents, int(head[4] or 0), head[1].upper(), remark)
                )
            remark = None
    return tuple(found)

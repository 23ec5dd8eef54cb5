"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hea_loop.errors import InputError

__all__ = ["DatabaseUrl", "Json", "named_values"]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="The store; default is HEA_LOOP_DATABASE_URL, else sqlite:///hea_loop.sqlite.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def named_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """``name=value`` pairs; a value that is JSON is read as such, any other is a text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise InputError(option, pair, "is no name=value", f"write {option} name=value")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found

"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DatabaseUrl", "Json"]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="The store; default is HEA_LOOP_DATABASE_URL, else sqlite:///hea_loop.sqlite.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

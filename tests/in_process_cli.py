"""The command line inside the test's process: quick, and its streams apart."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from app.command_line import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def hea_loop(*arguments: str, stdin: str = "") -> Ended:
    """Run one command; an exception that the command line does not handle goes through."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "stdin", io.StringIO(stdin)),
    ):
        code = main(list(arguments))
    return Ended(code, out.getvalue(), err.getvalue())

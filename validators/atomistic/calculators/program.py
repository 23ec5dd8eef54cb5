"""Running an external program in a directory, its output kept."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hea_loop.errors import InputError
from validators.atomistic.evaluation import CalculationFailed

__all__ = ["command_of", "end_of", "required_text", "run_program"]


def command_of(name: str, options: dict[str, Any], default: str, mend: str) -> list[str]:
    """The command of an external code as a list, checked to exist.

    Args:
        name: Of the calculator.
        options: Its options; ``command`` may be a text (``mpirun -n 16 pw.x``) or a list.
        default: Where the options name none.
        mend: What to do where the program is missing.

    Raises:
        InputError: The program is not on this machine.
    """
    given = options.get("command", default)
    command = shlex.split(given) if isinstance(given, str) else [str(part) for part in given]
    if not command:
        raise InputError("calculator.options.command", given, "is empty", f"give the command of {name}")
    if shutil.which(command[0]) is None:
        raise InputError("calculator", name, f"the program {command[0]} is not on this machine", mend)
    return command


def run_program(command: list[str], directory: Path, log: str, *, stdin: str | None = None) -> None:
    """Run a program to its end in a directory, with one thread per process.

    Args:
        command: Program and arguments.
        directory: Where it runs.
        log: Name of the file that takes its output and error output.
        stdin: Name of a file in the directory that it reads; None: nothing.

    Raises:
        CalculationFailed: It did not start, or ended with another status than 0.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with (
        (directory / log).open("wb") as out,
        (Path(os.devnull) if stdin is None else directory / stdin).open("rb") as given,
    ):
        try:
            done = subprocess.run(  # noqa: S603 - the user's own command, no shell
                command,
                cwd=directory,
                stdin=given,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
            )
        except OSError as error:
            raise CalculationFailed(f"{command[0]} did not start: {error}") from error
    if done.returncode != 0:
        said = end_of(directory / log)
        raise CalculationFailed(f"{command[0]} ended with status {done.returncode}; its last words: {said}")


def end_of(path: Path, characters: int = 300) -> str:
    """The last words of a file, on one line."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"no file {path.name}"
    return " ".join(text[-4 * characters :].split())[-characters:] or f"{path.name} is empty"


def required_text(path: Path) -> str:
    """The text of an output file that a program must have left.

    Raises:
        CalculationFailed: There is none.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise CalculationFailed(f"the program left no {path.name}") from None

"""``hea-loop``: the command line.

Every command takes ``--json``. Results go to stdout, all else to stderr. What a person got wrong is one line
on stderr and exit code 2; an interrupted command ends with 130; a fault of ours keeps its traceback and
ends with 1. Everything heavy is imported by the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from app import (
    benchmark_command,
    calphad_commands,
    campaign_commands,
    check_command,
    dft_commands,
    feasibility_command,
    generate_command,
    job_commands,
    material_commands,
    queue_commands,
)
from app.options import DatabaseUrl, Json
from app.output import note, print_error, print_json, print_text
from hea_loop.errors import HeaLoopError

__all__ = ["application", "main"]

_ClickException = typer.BadParameter.__mro__[2]  # typer ships its own copy of click, whose name is private

application = typer.Typer(
    name="hea-loop",
    help="Inverse design of refractory high-entropy alloys in a closed loop: train, generate, validate, "
    "store, retrain, and count the hits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from hea_loop import __version__

        print_text(f"hea-loop {__version__}")
        raise typer.Exit


@application.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@application.command()
def init(database_url: DatabaseUrl = None, json: Json = False) -> None:
    """Create the store and load the packaged literature; a second time changes nothing."""
    from dataclasses import asdict, is_dataclass

    from db.store import open_store
    from flows.prepare import prepare_store

    with open_store(database_url) as store:
        report = prepare_store(store, progress=lambda text: note(f"{text} ..."))
        label = store.label
    literature = report.literature
    counts = asdict(literature) if is_dataclass(literature) else vars(literature)
    if json:
        print_json({"store": label, "literature": counts, "predictions_added": report.predictions_added})
        return
    print_text(f"store: {label}")
    for name, count in counts.items():
        print_text(f"{name.replace('_', ' ')}: {count}")
    print_text(f"predictions added: {report.predictions_added}")


application.command()(campaign_commands.run)
application.command()(campaign_commands.status)
application.command()(campaign_commands.report)
application.command()(feasibility_command.feasibility)
application.command()(generate_command.generate)
application.add_typer(queue_commands.queue, name="queue")
application.add_typer(dft_commands.dft, name="dft")
application.add_typer(job_commands.jobs, name="jobs")
application.add_typer(calphad_commands.calphad, name="calphad")
application.command()(material_commands.show)
application.command()(material_commands.predict)
application.command()(check_command.check)
application.command()(benchmark_command.benchmark)


@application.command()
def doctor(
    schema: Annotated[bool, typer.Option("--schema", help="Print the campaign file's JSON schema.")] = False,
    properties: Annotated[
        bool, typer.Option("--properties", help="Print the vocabulary of properties with their units.")
    ] = False,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Look whether everything is in place: versions, store, CALPHAD database, device, disk, Prefect.

    Ends with exit code 1 where something is not.
    """
    from app import doctor as examination

    if schema:
        from hea_loop.campaign import Campaign

        print_json(Campaign.json_schema())
        return
    if properties:
        examination.print_vocabulary(as_json=json)
        return
    findings = examination.examine(database_url)
    examination.print_findings(findings, as_json=json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _usage_error(error: Exception) -> str:
    """One line from what typer says of wrong options and arguments, with the way to the help."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "hea-loop"
    cause = getattr(error.__cause__, "errors", None)
    option = getattr(error, "param", None)
    if cause is not None and option is not None:
        # what pydantic refused: its own text does not repeat the value
        first = cause()[0]
        name = option.opts[-1] if option.opts[-1].startswith("-") else (option.metavar or option.name)
        problem = str(first["msg"]).removeprefix("Value error, ")
        problem = problem.removeprefix(f"{first['input']!r} ").rstrip(".")  # which it may repeat
        return f"{name} = {first['input']!r}: {problem}; see `{path} --help`"
    said = str(error.format_message()).rstrip(".") or "a command is missing"  # type: ignore[attr-defined]
    return f"{said}; see `{path} --help`"


def _drop_output() -> None:
    """Keep the interpreter from flushing into stdout again as it ends: it would fail once more."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: What stands after ``hea-loop``; None takes the process's own.
    """
    try:
        result = application(
            list(sys.argv[1:] if arguments is None else arguments),
            prog_name="hea-loop",
            standalone_mode=False,
        )
        sys.stdout.flush()  # here, where a full disk still is one line
    except HeaLoopError as error:
        print_error(str(error))
        return 2
    except _ClickException as error:
        print_error(_usage_error(error))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        _drop_output()  # whoever read it has seen enough
        return 1
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        print_error(f"output = {error.filename or 'stdout'}: {error.strerror}; make room, or write elsewhere")
        if error.filename is None:
            _drop_output()
        return 2
    return result if isinstance(result, int) else 0

"""Where jobs run: on this machine, in a dask cluster, under Slurm, or on a machine that we cannot reach.

Every runner starts the same program on the same directory. A runner can answer in three ways: it did or sees
something; it was refused (the reason in words); or it has lost contact, which says nothing about the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hea_loop.errors import InputError

if TYPE_CHECKING:
    from validators.atomistic.runners.contact import Runner

__all__ = ["RUNNERS", "check_runner", "runner_named"]

RUNNERS: Final[Mapping[str, Mapping[str, tuple[object, str]]]] = {
    "local": {
        "processes": (1, "how many jobs calculate at a time on this machine"),
    },
    "dask": {
        "address": ("", "address of the cluster's scheduler, as tcp://HOST:8786"),
        "timeout_s": (10.0, "seconds after which a silent scheduler counts as lost contact"),
    },
    "slurm": {
        "partition": ("", "partition; empty takes the cluster's default"),
        "account": ("", "account to charge"),
        "cpus": (1, "CPUs of one job"),
        "memory": ("", "memory of one job, as 8G"),
        "lines": ([], "more #SBATCH options, as --constraint=skylake"),
        "setup": ([], "shell lines before the job, as module load gpaw"),
        "python": ("", "Python on the cluster's nodes that has hea-loop; empty takes this one"),
        "timeout_s": (30.0, "seconds after which a scheduler's command counts as unanswered"),
    },
    "export": {
        "python": ("python3", "Python on the other machine that has hea-loop"),
    },
}
"""The runners with their options: default and meaning."""


def check_runner(name: str, options: Mapping[str, Any], field: str = "runner") -> dict[str, Any]:
    """The options completed with their defaults.

    Args:
        name: One of :data:`RUNNERS`.
        options: What is given.
        field: How errors name the place.

    Raises:
        InputError: There is no such runner or option, or a value is of another type.
    """
    if name not in RUNNERS:
        raise InputError(field, name, "is no runner", f"use {', '.join(RUNNERS)}")
    known = RUNNERS[name]
    for key, value in options.items():
        if key not in known:
            raise InputError(f"{field}.{key}", value, f"is no option of {name}", f"use {', '.join(known)}")
        _check_type(f"{field}.{key}", value, known[key][0])
    if name == "dask" and not options.get("address"):
        raise InputError(f"{field}.address", None, "is missing", "give the scheduler's, as tcp://HOST:8786")
    return {key: options.get(key, default) for key, (default, _) in known.items()}


def _check_type(field: str, value: object, default: object) -> None:
    if isinstance(default, str):
        if not isinstance(value, str) or not value.isprintable():
            raise InputError(field, value, "is no text of one line", "write one")
    elif isinstance(default, list):
        lines = value if isinstance(value, list) else [None]
        if not all(isinstance(v, str) and v.isprintable() for v in lines):
            raise InputError(field, value, "is no list of lines", "write a list of texts")
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if not number or (isinstance(default, int) and not isinstance(value, int)):
            kind = "whole number" if isinstance(default, int) else "number"
            raise InputError(field, value, f"is no positive {kind}", "give one")


def runner_named(name: str, options: Mapping[str, Any], folder: Path) -> Runner:
    """The runner of a name, with its options; what it needs is imported now.

    Args:
        name: One of :data:`RUNNERS`.
        options: Its options; completed with their defaults.
        folder: Where the directories of jobs are: what jobs of one folder share is kept there.

    Raises:
        InputError: See :func:`check_runner`; or a program or package is missing.
    """
    complete = check_runner(name, options)
    if name == "local":
        from validators.atomistic.runners.local import LocalRunner

        return LocalRunner(folder, processes=complete["processes"])
    if name == "slurm":
        from validators.atomistic.runners.slurm import SlurmRunner

        return SlurmRunner(complete)
    if name == "dask":
        from validators.atomistic.runners.dask_cluster import DaskRunner

        return DaskRunner(complete["address"], complete["timeout_s"])
    from validators.atomistic.runners.export import ExportRunner

    return ExportRunner(complete["python"])

"""Whether everything that hea-loop needs is in place on this machine."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from app.output import print_json, print_table
from hea_loop.errors import HeaLoopError

__all__ = ["Finding", "examine", "print_findings", "print_vocabulary"]

_PACKAGES: Final = ("torch", "pycalphad", "prefect", "sqlalchemy", "pymatgen", "gpytorch", "numpy", "ase")
_ENOUGH_DISK_BYTES: Final = 2**30  # a campaign of some hundred candidates leaves tens of MiB


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether it is in place.
        detail: What was found.
    """

    name: str
    ok: bool
    detail: str


def _versions() -> str:
    from hea_loop import __version__

    found = [f"hea-loop {__version__}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            raise LookupError(f"{package} is not installed: install hea-loop again") from None
    return ", ".join(found)


def _store(url: str | None) -> str:
    from sqlalchemy import func, select

    from app.store_access import store_file
    from db.migrations import HEAD
    from db.models import Material
    from db.store import open_store

    file = store_file(url)
    if file is not None and not file.exists() and file.parent.is_dir():
        return f"{file}: none yet; `hea-loop init` creates it"
    with open_store(url) as store:
        wrong = store.check_integrity()
        if wrong:
            raise LookupError(f"{store.label} is damaged: {'; '.join(wrong)}")
        with store.read() as session:
            materials = session.scalar(select(func.count()).select_from(Material))
        return f"{store.label}: reachable, schema {HEAD} (newest), {materials} materials"


def _calphad() -> str:
    from validators.calphad import load_database

    database = load_database()
    return (
        f"{database.name} {database.content_hash[:8]}: {' '.join(database.elements)}; "
        f"phases {', '.join(database.phases)}"
    )


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(0)}"
    return f"cpu ({torch.get_num_threads()} threads)"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    shown = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    if free < _ENOUGH_DISK_BYTES:
        raise LookupError(f"{shown}: make room, a GiB at least")
    return shown


def _prefect() -> str:
    # before Prefect is imported: nobody asked it to report usage, or to say that it would
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    address = settings.api.url or "none set, so a run starts what it needs"
    return f"API: {address}; home: {settings.home}"


def examine(database_url: str | None) -> list[Finding]:
    """Look at everything; what fails is a finding, never an exception."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("versions", _versions),
        ("store", lambda: _store(database_url)),
        ("CALPHAD database", _calphad),
        ("torch device", _device),
        ("disk", _disk),
        ("Prefect", _prefect),
        ("processors", lambda: f"{os.cpu_count()}"),
    )
    findings = []
    for name, look in checks:
        try:
            findings.append(Finding(name, ok=True, detail=look()))
        except (HeaLoopError, LookupError, ImportError, OSError, RuntimeError) as error:
            findings.append(Finding(name, ok=False, detail=" ".join(str(error).split())))
    return findings


def print_findings(findings: list[Finding], *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print_json({"ok": all(f.ok for f in findings), "findings": [asdict(f) for f in findings]})
        return
    print_table(
        "hea-loop doctor",
        ["", "what!", "found"],
        [("ok" if f.ok else "FAULT", f.name, f.detail) for f in findings],
    )


def print_vocabulary(*, as_json: bool) -> None:
    """Print the controlled vocabulary of properties."""
    from hea_loop.properties import PROPERTIES

    if as_json:
        print_json([asdict(p) for p in PROPERTIES.values()])
        return
    print_table(
        "properties",
        ["name!", "unit!", "what it is"],
        [(p.name, p.unit, p.description) for p in PROPERTIES.values()],
    )

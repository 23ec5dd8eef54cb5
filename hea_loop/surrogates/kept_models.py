"""First-principles models kept between fits: in the process, and their costly part in the user's cache directory.

A file is found by the hash of what the model was learned from, of the code and element data that learn it, and of the
versions of the libraries; so a change of any of them is another file, and nothing stale is ever read. A file that is
absent, damaged or unreadable costs a fit and nothing else, and so does a directory that cannot be written.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch

from hea_loop.surrogates.elastic import ElasticSurrogate
from hea_loop.surrogates.first_principles import (
    ElasticData,
    FirstPrinciples,
    fit_base,
    fit_first_principles,
)

__all__ = ["cache_directory", "first_principles_model"]

_LIBRARIES: Final = ("torch", "gpytorch", "numpy", "scipy")
_MOST_MODELS: Final = 4
_DIGEST: Final = 32  # bytes of a SHA-256

_models: dict[tuple[str, str], FirstPrinciples] = {}
_bases: dict[tuple[str, str], ElasticSurrogate] = {}
_lock = threading.Lock()


def cache_directory() -> Path | None:
    """Where files are kept: ``HEA_LOOP_CACHE_DIR``, else ``hea-loop`` in the user's cache directory (XDG).

    None where the user has no home either.
    """
    if own := os.environ.get("HEA_LOOP_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "hea-loop"
    except RuntimeError:
        return None


def first_principles_model(
    data: ElasticData,
    *,
    widening: Mapping[str, float] | None = None,
    say: Callable[[str], None] | None = None,
) -> FirstPrinciples:
    """The model of some data, fitted only where it is not kept.

    Args:
        data: Of all levels.
        widening: As in :func:`hea_loop.surrogates.first_principles.fit_base`.
        say: Told in a few words before a fit that takes its time.

    Raises:
        InputError: No first-principles alloy among the data.
    """
    factors = repr(sorted(widening.items())) if widening is not None else ""
    with _lock:
        key = (data.sha256, factors)
        if key not in _models:
            base = _base(data.of("literature"), factors, widening, say or (lambda _: None))
            _keep(_models, key, fit_first_principles(data, base=base))
        return _models[key]


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    while len(kept) > _MOST_MODELS:
        kept.pop(next(iter(kept)))


def _base(
    data: ElasticData, factors: str, widening: Mapping[str, float] | None, say: Callable[[str], None]
) -> ElasticSurrogate:
    key = (data.sha256, factors)
    if key in _bases:
        return _bases[key]
    name = hashlib.sha256(f"{data.sha256}|{factors}|{_learner()}".encode()).hexdigest()
    folder = cache_directory()
    file = None if folder is None else folder / f"first-principles-{name[:32]}.pt"
    base = None if file is None else _read(file)
    if base is None:
        say(f"learning elastic moduli from {data.alloys} first-principles alloys")
        base = fit_base(data, widening=widening)
        if file is not None:
            _write(file, base)
    _keep(_bases, key, base)
    return base


@lru_cache(maxsize=1)
def _learner() -> str:
    """Hash of what turns rows into a model besides the rows: code, element data and libraries."""
    digest = hashlib.sha256()
    parts = sorted(
        (f for f in files("hea_loop.surrogates").iterdir() if f.name.endswith(".py")), key=lambda f: f.name
    )
    for part in (*parts, files("hea_loop").joinpath("data/elements.csv")):
        digest.update(part.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def _read(file: Path) -> ElasticSurrogate | None:
    """The model of a file, None where there is none that is whole."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        return None
    return ElasticSurrogate.from_state(torch.load(io.BytesIO(body), weights_only=True))


def _write(file: Path, base: ElasticSurrogate) -> None:
    """Write under another name and rename, so that nobody reads half a file."""
    buffer = io.BytesIO()
    torch.save(base.state(), buffer)
    body = buffer.getvalue()
    unfinished = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".unfinished-", delete=False) as handle:
            unfinished = Path(handle.name)
            handle.write(hashlib.sha256(body).digest() + body)
        unfinished.replace(file)
    except OSError:
        # a read-only home costs the next process a fit, no more
        if unfinished is not None:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

"""Results of benchmarks as JSON, and documents whose tables are generated from them.

A document holds a generated block between two lines that name it and the command that fills it::

    <!-- begin generated: NAME; by COMMAND -->
    ...
    <!-- end generated: NAME -->

What stands between is replaced; everything else of the document is left as it is.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hea_loop.errors import InputError

__all__ = ["environment", "fill", "load_result", "markdown_table", "mean_and_spread", "write_result"]

_PACKAGES = ("hea-loop", "torch", "gpytorch", "botorch", "numpy", "scipy")


def environment(*packages: str) -> dict[str, Any]:
    """Where and when a result is made: machine, versions, threads, load and UTC time.

    Args:
        packages: Distributions whose versions count beside those of the usual ones.
    """
    found = {}
    for name in dict.fromkeys((*_PACKAGES, *packages)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "commit": _commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "versions": found,
    }


def _command() -> str:
    """The command line, less the file it writes to: that is this machine's own affair."""
    words = ["python", *sys.orig_argv[1:]]
    return " ".join(
        word for k, word in enumerate(words) if word != "--out" and (k == 0 or words[k - 1] != "--out")
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    names = re.findall(r"model name\s*:\s*(.+)", text)
    return names[0].strip() if names else platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the person's own git
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def plain(value: Any) -> Any:
    """Value as JSON has it: no NaN, arrays as lists."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write one JSON object; the folder is made.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plain(result), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            "--out", str(path), f"cannot be written ({error.strerror})", "name another file"
        ) from None


def load_result(path: Path) -> dict[str, Any]:
    """Read what :func:`write_result` wrote.

    Raises:
        InputError: The file cannot be read or is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            "result", str(path), f"cannot be read ({error})", "name the JSON of a benchmark"
        ) from None
    if not isinstance(found, dict):
        raise InputError("result", str(path), "is no JSON object", "name the JSON of a benchmark")
    return found


def mean_and_spread(values: Iterable[float | None], pattern: str = "{:.2f}") -> str:
    """``mean ± standard deviation`` over seeds; the mean alone for one seed, a dash for none."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return "-"
    mean = sum(known) / len(known)
    if len(known) == 1:
        return pattern.format(mean)
    spread = math.sqrt(sum((v - mean) ** 2 for v in known) / (len(known) - 1))
    return f"{pattern.format(mean)} ± {pattern.format(spread)}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """Return a Markdown table; the first ``left`` columns are flushed left, the others right."""
    cells = [[str(c).replace("|", "\\|") for c in row] for row in rows]
    rule = ["---" if k < left else "---:" for k in range(len(headings))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(headings), rule, *cells])


def fill(document: Path, blocks: Mapping[str, str]) -> None:
    """Replace the generated blocks of a document, all of them or none.

    Args:
        document: A Markdown file with the markers.
        blocks: Name of the block to what is to stand in it.

    Raises:
        InputError: The document has no such block.
    """
    text = document.read_text(encoding="utf-8")
    for name, content in blocks.items():
        same = re.escape(name)
        pattern = re.compile(
            rf"(<!-- begin generated: {same}(?:;[^\n]*)? -->\n).*?(<!-- end generated: {same} -->)", re.DOTALL
        )
        text, count = pattern.subn(lambda m, c=content: f"{m[1]}\n{c.strip()}\n\n{m[2]}", text)
        if count != 1:
            raise InputError(
                "block", name, f"stands {count} times in {document}", "let its two markers stand there once"
            )
    document.write_text(text, encoding="utf-8")

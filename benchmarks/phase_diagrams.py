"""Draws the pictures of docs/phase_diagrams.md with the commands that stand there.

    python -m benchmarks.phase_diagrams [--out docs/images]

A minute on one core. The tables that the commands write beside the pictures are not kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from app.command_line import main as hea_loop

__all__ = ["COMMANDS", "draw"]

COMMANDS: Final = (
    ("check", "CrNbTiZr", "--profile", "--scheil", "--binary", "Cr-Nb", "--temperature", "1273"),
    ("check", "HfNbTaTiZr", "--isopleth", "Zr", "--temperature", "1073"),
    ("check", "HfNbTaTiZr", "--ternary", "Hf-Nb-Zr", "--keep-others", "--temperature", "1073"),
)
"""The commands; their pictures are named ``phases-`` and what the command calls them."""


def draw(out: Path) -> list[Path]:
    """Run the commands and keep their pictures.

    Args:
        out: Folder of the pictures; made where it is not there.

    Returns:
        The PNG files.

    Raises:
        RuntimeError: A command failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = []
    for command in COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            if hea_loop([*command, "--out", folder]):
                raise RuntimeError(f"hea-loop {' '.join(command)} failed")
            for picture in sorted(Path(folder).glob("*.png")):
                kept.append(out / f"phases-{picture.name}")
                shutil.copyfile(picture, kept[-1])
    return kept


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="docs/images", type=Path)
    for path in draw(parser.parse_args().out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

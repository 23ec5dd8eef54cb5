"""Draws the pictures of the README from the report of a finished quickstart run.

    hea-loop run campaigns/quickstart.yaml
    python -m benchmarks.pictures [reports/quickstart.html] [--out docs/images]

Needs Chromium (`make chromium`) and the development requirements (`make install-dev`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["CHROMIUM_FLAGS", "take"]

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What keeps headless Chromium from looking for the network; root needs the first."""
_SECTIONS = {"hit-rates": "rates", "compositions": "compositions"}


def take(report: Path, out: Path, chromium: str = "/usr/bin/chromium") -> list[Path]:
    """Photograph the figures of a report.

    Args:
        report: An HTML report.
        out: Folder of the pictures; made where it is not there.
        chromium: Path of the browser.

    Returns:
        The PNG files.
    """
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    made = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(report.resolve().as_uri())
        for name, place in _SECTIONS.items():
            made.append(out / f"{name}.png")
            page.locator(f"section[aria-labelledby={place}] figure").first.screenshot(path=made[-1])
        browser.close()
    return made


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", nargs="?", default="reports/quickstart.html", type=Path)
    parser.add_argument("--out", default="docs/images", type=Path)
    arguments = parser.parse_args()
    for path in take(arguments.report, arguments.out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

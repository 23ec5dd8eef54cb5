"""The report as a browser shows it, offline, from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from app.report import build_report
from benchmarks.pictures import CHROMIUM_FLAGS
from db.store import open_store
from tests.example_campaigns import add_campaign, add_literature

pytestmark = pytest.mark.chromium

NAMES = ("example", "zero-hits", "zero-validated", "in-progress", "empty", "<script>alert(1)</script>")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {}
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store:
        with store.write() as session:
            add_literature(session)
            add_campaign(session, scored=5)
            add_campaign(session, name=NAMES[1], hit_probability=0, seed=2)
            add_campaign(session, name=NAMES[2], end="failed", seed=3)
            add_campaign(session, name=NAMES[3], scored=1, in_progress="collecting", seed=4)
            add_campaign(session, name=NAMES[4], scored=0, seed=5)
            add_campaign(session, name=NAMES[5], description="<img src=x onerror=alert(2)>", scored=1, seed=6)
        with store.read() as session:
            for number, name in enumerate(NAMES):
                written[name] = folder / f"{number}.html"
                written[name].write_text(build_report(session, name), encoding="utf-8")
    return written


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page and what happened while it was opened."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def _open(browser: Browser, file: Path, width: int, scheme: str = "light") -> Opened:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        offline=True,
        color_scheme="dark" if scheme == "dark" else "light",
    )
    opened = Opened(context.new_page())
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.complaints.append(dialog.message))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(file.as_uri())
    opened.page.wait_for_load_state("networkidle")
    return opened


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_offline_without_a_complaint_a_request_or_sideways_scrolling(
    files: dict[str, Path], browser: Browser, name: str, width: int
) -> None:
    opened = _open(browser, files[name], width)
    assert opened.complaints == []
    assert [u for u in opened.requests if not u.startswith("data:")] == [files[name].as_uri()]
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.locator("h1").inner_text() == name
    opened.page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_figures_are_seen_and_tables_have_their_rows(
    files: dict[str, Path], browser: Browser, width: int
) -> None:
    page = _open(browser, files["example"], width).page
    figures = page.locator("figure svg")
    assert figures.count() == 5  # hit rates, two pairs of targets, compositions, training
    for figure in figures.all():
        box = figure.bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 100
        assert figure.get_attribute("aria-label")
    assert page.get_by_role("region", name="Hit rates by iteration").locator("tbody tr").count() == 5
    assert page.get_by_role("region", name="Table of the best candidates").locator("tbody tr").count() == 25
    page.context.close()


def test_text_of_figures_has_the_colour_of_the_page_in_light_and_dark(
    files: dict[str, Path], browser: Browser
) -> None:
    for scheme in ("light", "dark"):
        page = _open(browser, files["example"], 1280, scheme).page
        body = page.evaluate("getComputedStyle(document.body).color")
        label = page.locator("figure svg text").first.evaluate("e => getComputedStyle(e).fill")
        assert label == body
        page.context.close()


def test_a_table_that_is_wider_than_a_phone_scrolls_in_itself(
    files: dict[str, Path], browser: Browser
) -> None:
    page = _open(browser, files["example"], 390).page
    region = page.get_by_role("region", name="Table of the best candidates")
    assert region.evaluate("e => e.scrollWidth > e.clientWidth")
    region.evaluate("e => { e.scrollLeft = 10000 }")
    assert region.evaluate("e => e.scrollLeft") > 0
    page.context.close()


def test_it_prints(files: dict[str, Path], browser: Browser) -> None:
    page = _open(browser, files["example"], 1280).page
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    page.context.close()

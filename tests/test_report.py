"""The report: what it says, what it escapes, and that it needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.campaign_run import write_to
from app.report import build_report
from db.results import campaign_candidates, campaign_results
from db.store import Store, open_store
from hea_loop.errors import InputError
from tests.example_campaigns import LITERATURE, add_campaign, add_decision, add_literature

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    file = tmp_path_factory.mktemp("report") / "store.sqlite"
    with open_store(f"sqlite:///{file}") as opened:
        with opened.write() as session:
            add_literature(session)
            add_campaign(session, scored=3)
            add_campaign(session, name="zero-hits", hit_probability=0, seed=2)
            add_campaign(session, name="zero-validated", end="failed", seed=3)
            reviewed = add_campaign(session, name="in-progress", scored=1, in_progress="collecting", seed=4)
            add_campaign(session, name="empty", scored=0, seed=5)
            add_campaign(session, name=HOSTILE, description="<img src=x onerror=alert(2)>", scored=1, seed=6)
            add_decision(
                session,
                reviewed.iterations[-1].candidates[6].id,
                verdict="reject",
                who="<b>Ada</b>",
                reason='"too heavy" & brittle',
            )
        yield opened


def report(store: Store, name: str | None = "example") -> str:
    with store.read() as session:
        return build_report(session, name)


class _Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


EVERY = ["example", "zero-hits", "zero-validated", "in-progress", "empty", HOSTILE]


@pytest.mark.parametrize("name", EVERY)
def test_a_report_needs_nothing_but_itself(store: Store, name: str) -> None:
    page = _Page(report(store, name))
    assert {"script", "iframe", "object", "embed"}.isdisjoint(page.tags)
    for tag, attribute, value in page.attributes:
        assert not attribute.startswith("on"), (tag, attribute)
        if attribute in {"src", "href", "xlink:href"} and tag != "a":
            assert value.startswith(("data:", "#")), (tag, value)
        if attribute in {"href", "src"} and tag == "a":
            assert value.startswith(("#", "https://doi.org/10.")), value
    assert "@import" not in report(store, name)
    assert not re.search(r"url\((?!#|data:)", report(store, name))


@pytest.mark.parametrize("name", EVERY)
def test_every_id_is_given_once_and_every_reference_has_one(store: Store, name: str) -> None:
    text = report(store, name)
    page = _Page(text)
    assert len(page.ids) == len(set(page.ids))
    used = {v[1:] for _, a, v in page.attributes if a in {"href", "xlink:href"} and v.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(page.ids)


@pytest.mark.parametrize("name", EVERY)
def test_a_report_has_every_section_and_table_cells_that_fit_their_heads(store: Store, name: str) -> None:
    text = report(store, name)
    for section in ("asked", "rates", "targets", "compositions", "best", "failed", "training", "again"):
        assert f'id="{section}"' in text
    for table in re.findall(r"<table>.*?</table>", text, flags=re.DOTALL):
        assert "<caption>" in table
        widths = set()
        for body in re.findall(r"<(?:tbody|tfoot)>(.*?)</(?:tbody|tfoot)>", table, flags=re.DOTALL):
            for row in re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL):
                spans = re.findall(r'<t[hd]\b[^>]*?(?:colspan="(\d+)")?[^>]*>', row)
                explicit = [int(n) for n in re.findall(r'colspan="(\d+)"', row)]
                widths.add(len(spans) + sum(explicit) - len(explicit))
        assert len(widths) == 1, widths


def test_what_users_write_is_text_and_never_markup(store: Store) -> None:
    text = report(store, HOSTILE)
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    reviewed = report(store, "in-progress")
    assert "<b>Ada" not in reviewed
    assert "&lt;b&gt;Ada&lt;/b&gt;" in reviewed
    assert "&#34;too heavy&#34; &amp; brittle" in reviewed
    assert "the equilibrium raised &lt;DofError&gt; &amp; ended" in text


def test_the_numbers_of_the_page_are_those_of_the_store(store: Store) -> None:
    page = _Page(report(store)).text
    with store.read() as session:
        results = campaign_results(session, "example")
        hits = [c for c in campaign_candidates(session, "example") if c.hit]
    totals = results.totals
    assert hits
    assert f"{totals['hit']} of {totals['validated']} validated candidates of the strategy hit" in page
    assert f"{totals['random_hit']} of {totals['random_validated']} uniform random ones" in page
    for row in results.iterations:
        assert row.hit_rate is not None
        assert f"{100 * row.hit_rate:.1f}%" in page
    for hit in hits:
        assert (
            hit.composition.formula in page.replace(" ", "").replace("\n", "")
            or hit.composition.formula in page
        )


def test_every_value_of_a_candidate_says_its_fidelity(store: Store) -> None:
    text = report(store)
    best = text[text.index('id="best"') : text.index('id="failed"')]
    assert best.count("predicted</span>") == 3 * best.count('class="alloy"')  # G, K_IC and density
    assert best.count("CALPHAD</span>") == best.count('class="alloy"')  # the solidus
    assert "shear modulus G / GPa (predicted)" in text
    assert "solidus / K (CALPHAD)" in text


def test_the_nearest_literature_has_its_distance_and_doi(store: Store) -> None:
    text = report(store)
    best = text[text.index('id="best"') : text.index('id="failed"')]
    dois = set(re.findall(r'href="https://doi.org/([^"]+)"', best))
    assert dois
    assert dois <= {doi for _, _, doi in LITERATURE}
    assert re.search(r"</span> \(0\.\d{3}; BCC", best)


def test_phases_stand_at_each_temperature(store: Store) -> None:
    page = _Page(report(store)).text
    assert "1273 K: BCC_A2 1.00" in page
    assert "1673 K: BCC_A2 1.00" in page


def test_failures_are_counted_and_give_their_message(store: Store) -> None:
    page = _Page(report(store)).text
    assert "3 failed, 3 unconverged" in page or "3 unconverged, 3 failed" in page
    assert "no convergence at 1273 K on either grid" in page
    assert "single phase bcc does not hold at 1273 K" in page


def test_a_campaign_without_hits_says_so(store: Store) -> None:
    page = _Page(report(store, "zero-hits")).text
    assert "None of the validated candidates is a hit" in page
    assert "0 of 48 validated candidates of the strategy hit every target" in page


def test_a_campaign_without_validated_candidates_draws_no_rate(store: Store) -> None:
    page = _Page(report(store, "zero-validated")).text
    assert "No candidate of the strategy has been validated yet." in page
    assert "No iteration is scored yet, so there is no rate to draw." in page
    assert "60 failed" in page


def test_an_iteration_in_progress_is_marked_and_has_no_rate(store: Store) -> None:
    text = report(store, "in-progress")
    assert '2 <span class="soft">(collecting)</span>' in text
    assert "15 candidates wait for review" in text


def test_the_specification_in_the_page_gives_the_campaign_again(store: Store) -> None:
    import html

    from ruamel.yaml import YAML

    from hea_loop.campaign import parse_campaign

    text = report(store)
    block = re.search(r'<pre tabindex="0">(.*?)</pre>', text, flags=re.DOTALL)
    assert block is not None
    found = parse_campaign(YAML(typ="safe", pure=True).load(html.unescape(block[1])))
    with store.read() as session:
        stored = campaign_results(session, "example")
    assert (found.name, found.seed) == (stored.campaign, stored.seed)


def test_the_report_of_an_unknown_campaign_names_those_there_are(store: Store) -> None:
    with pytest.raises(InputError, match=r"campaign = 'nobody'.*example"):
        report(store, "nobody")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_to(target, "half \ud800 of it")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
    write_to(target, "after")
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_says_which_targets_predictions_alone_judged_and_what_their_uncertainty_leaves(
    store: Store,
) -> None:
    page = _Page(report(store)).text
    assert "A hit is no measurement. Judged by predictions alone: " in page
    assert re.search(r"shear modulus G \(\d+%\)", page)
    assert "judged by" in page
    with store.read() as session:
        hits = [c for c in campaign_candidates(session, "example") if c.hit]
    assert hits, "the example campaign has hits"
    assert "A hit is no measurement" not in _Page(report(store, "zero-hits")).text

"""Building the report: what the store says, as figures and tables of one page."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup
from sqlalchemy.orm import Session

from app.fidelity_names import atomistic_source, shown_fidelities, shown_fidelity
from app.output import number
from app.report.drawings import Drawing, draw_all, interval_of
from app.report.ladder import ladders
from app.report.names import shown_name, shown_unit
from db.found import found_by_target
from db.material_facts import Fact, LiteratureIndex, Neighbour, phases_at_temperatures
from db.models import Campaign
from db.results import (
    CampaignResults,
    CandidateResult,
    campaign_candidates,
    campaign_or_latest,
    campaign_results,
    decisions_of,
    job_failures,
    rates_at,
    training_records,
)
from hea_loop.properties import PROPERTIES
from hea_loop.scoring import probability_inside

__all__ = ["build_report"]

_BEST: Final = 25
"""Candidates in the table of the best."""
_FAILURES: Final = 100
"""Failed jobs listed one by one; all of them are counted."""
_PACKAGES: Final = (
    "pycalphad",
    "torch",
    "numpy",
    "scipy",
    "gpytorch",
    "pymatgen",
    "prefect",
    "sqlalchemy",
)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A value in the table of candidates."""

    text: str
    fidelity: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A candidate in the table of the best."""

    candidate: CandidateResult
    values: tuple[_Cell | None, ...]
    phases: tuple[tuple[str, str], ...]
    rests_on: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A target or verdict in the table of what was asked.

    Attributes:
        name: In words.
        wanted: The interval, or the temperatures.
        judged_by: Fidelities of the values that judged the validated candidates; empty while there are none.
        inside: Share of the hits expected to lie inside if the values' stated uncertainty counts; None where
            none is stated.
        predicted: Whether predictions alone judged it.
    """

    name: str
    wanted: str
    judged_by: str
    inside: float | None
    predicted: bool


def _breakable(formula: str) -> Markup:
    """A formula that a browser may break before an element."""
    # each part is letters, digits and points of a formula, escaped like everything else
    return Markup("<wbr>").join(re.findall(r"[A-Z][^A-Z]*", formula))


def _judged(
    spec: dict[str, Any], candidates: Sequence[CandidateResult], name: str
) -> tuple[list[Fact], float | None]:
    """The values that judged a property, and the share of hits expected inside with their uncertainty."""
    validated = [(c, c.best(name)) for c in candidates if c.state == "validated"]
    interval = interval_of(spec, name)
    chances = [
        probability_inside(interval.low, interval.high, fact.value, fact.sigma)
        for c, fact in validated
        if c.hit and fact is not None and fact.value is not None and fact.sigma is not None
    ]
    return [fact for _, fact in validated if fact is not None], sum(chances) / len(
        chances
    ) if chances else None


def _asked(spec: dict[str, Any], candidates: Sequence[CandidateResult]) -> list[_Asked]:
    """Targets and verdicts in words, and what judged them."""

    def row(name: str, wanted: str) -> _Asked:
        facts, inside = _judged(spec, candidates, name)
        predicted = {f.fidelity for f in facts} == {"prediction"}
        return _Asked(shown_name(name), wanted, shown_fidelities(facts), inside, predicted)

    rows = []
    for name, target in (spec.get("targets") or {}).items():
        interval = interval_of(spec, name)
        unit = shown_unit(name)
        if interval.low is not None and interval.high is not None:
            text = f"{interval.low:g} to {interval.high:g}"
        elif interval.low is not None:
            text = f"at least {interval.low:g}"
        elif interval.high is not None:
            text = f"at most {interval.high:g}"
        else:
            text = str(target)
        rows.append(row(name, f"{text} {unit}".strip()))
    for name, verdict in (spec.get("verdicts") or {}).items():
        temperatures = ", ".join(f"{t:g}" for t in verdict.get("temperatures_K", ()))
        rows.append(row(name, f"yes, at {temperatures} K"))
    return rows


def _cell(candidate: CandidateResult, name: str) -> _Cell | None:
    fact = candidate.best(name)
    if fact is None or fact.value is None:
        return None
    text = number(fact.value)
    if fact.sigma is not None:
        text += f" ± {number(fact.sigma, 2)}"
    return _Cell(text, shown_fidelity(fact))


def _phases(candidate: CandidateResult) -> tuple[tuple[str, str], ...]:
    found = phases_at_temperatures(candidate.facts)
    return tuple(
        (f"{t:g} K", " + ".join(f"{name} {fraction:.2f}" for name, fraction in phases))
        for t, phases in found.items()
    )


def _rests_on(candidate: CandidateResult) -> str:
    """How many estimated parameters the CALPHAD answers rest on; empty where none, or where nobody says."""
    counts = [
        f.conditions.get("detail", {}).get("rests_on", {}).get("estimated_parameters")
        for f in candidate.facts
        if f.fidelity == "calphad" and not f.superseded
    ]
    most = max((n for n in counts if n), default=0)
    return f"rests on {most} estimated parameter{'s' if most > 1 else ''}" if most else ""


def _best(
    candidates: Sequence[CandidateResult], targets: Sequence[str], index: LiteratureIndex
) -> list[_Row]:
    """Hits first, then whatever was validated, each by predicted probability."""
    validated = [c for c in candidates if c.state == "validated"]
    validated.sort(key=lambda c: (not c.hit, -(c.probability or 0.0), c.iteration, c.rank))
    return [
        _Row(
            candidate=c,
            values=tuple(_cell(c, name) for name in targets),
            phases=_phases(c),
            rests_on=_rests_on(c),
            neighbours=tuple(index.nearest(c.composition, 2)),
        )
        for c in validated[:_BEST]
    ]


def _kind_of_reason(part: str) -> str:
    """A reason without the values of the one candidate: ``solidus below 2173 K``."""
    match = re.fullmatch(r"(\w+) .*?\b(below|above) (.+)", part.strip())
    return f"{shown_name(match[1])} {match[2]} {match[3]}" if match else shown_name(part.strip())


def _misses(candidates: Sequence[CandidateResult]) -> list[tuple[str, int]]:
    """Why validated candidates are no hits; one candidate can miss for several reasons."""
    counted: Counter[str] = Counter()
    for candidate in candidates:
        if candidate.state == "validated" and not candidate.hit:
            kinds = {
                _kind_of_reason(p) for p in (candidate.reason or "no reason given").split(";") if p.strip()
            }
            counted.update(kinds)
    return counted.most_common()


def _versions() -> list[tuple[str, str]]:
    from hea_loop import __version__

    found = [("hea-loop", __version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "not installed"))
    return found


@dataclass(frozen=True, slots=True)
class _AskedFor:
    """One target or verdict: what it asked for before the start, and what came of it.

    Attributes:
        name: In words.
        reachable: Range of the palette, empty where no prediction tells.
        random: Share of random compositions inside, as judged before the start; None where nobody could tell.
        data: Share of the known alloys.
        found: Share of the strategy's validated candidates.
        given_others: Share of those that meet all the others.
    """

    name: str
    reachable: str
    random: float | None
    data: float | None
    found: float | None
    given_others: float | None


def _asked_for(campaign: Campaign, candidates: Sequence[CandidateResult]) -> tuple[list[_AskedFor], str]:
    """Rows of the table of feasibility, before and after, and what cost most of what was found."""
    before = {t["name"]: t for t in (campaign.feasibility or {}).get("targets", [])}
    found = found_by_target(campaign.spec, candidates)
    rows = []
    for name, share in found.shares.items():
        told = before.get(name, {})
        low, high = told.get("reachable_low"), told.get("reachable_high")
        rows.append(
            _AskedFor(
                shown_name(name),
                "" if low is None else f"{number(low)} to {'any' if high is None else number(high)}",
                (told.get("random") or {}).get("share"),
                (told.get("data") or {}).get("share"),
                share.share,
                found.given_others[name].share,
            )
        )
    costliest = found.costliest
    return rows, "" if costliest is None else f"{shown_name(costliest.name)}: {costliest.reason}"


def _as_yaml(spec: dict[str, Any]) -> str:
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    buffer = io.StringIO()
    yaml.dump(spec, buffer)
    return buffer.getvalue()


def _headline(results: CampaignResults) -> str:
    """What came out, in a sentence."""
    totals = results.totals
    validated, hit = totals["validated"], totals["hit"]
    if not validated:
        return "No candidate of the strategy has been validated yet."
    text = f"{hit} of {validated} validated candidates of the strategy hit every target"
    if totals["random_validated"]:
        text += f", beside {totals['random_hit']} of {totals['random_validated']} uniform random ones"
    scored = [i for i in results.iterations if i.hit_rate is not None]
    if len(scored) > 1:
        first, last = scored[0].hit_rate or 0.0, scored[-1].hit_rate or 0.0
        text += f". The hit rate went from {100 * first:.0f}% in iteration {scored[0].iteration} to "
        text += f"{100 * last:.0f}% in iteration {scored[-1].iteration}"
    return text + "."


def _worth(asked: Sequence[_Asked], *, any_hit: bool) -> str:
    """What a hit is not, in a sentence; empty where no prediction judged anything."""
    predicted = [row for row in asked if row.predicted]
    if not predicted or not any_hit:
        return ""
    parts = [row.name if row.inside is None else f"{row.name} ({100 * row.inside:.0f}%)" for row in predicted]
    text = "A hit is no measurement. Judged by predictions alone: " + ", ".join(parts) + "."
    if any(row.inside is not None for row in predicted):
        text += (
            " In brackets: the share of the hits whose true value is expected inside the target, if the"
            " prediction's standard uncertainty counts."
        )
    return text


def build_report(session: Session, name: str | None) -> str:
    """Build a campaign's report.

    Args:
        session: A session of the store.
        name: The campaign; None means the one that moved last.

    Returns:
        One HTML document: figures inline, no script, nothing loaded from elsewhere.

    Raises:
        InputError: There is no such campaign.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    campaign = campaign_or_latest(session, name)
    results = campaign_results(session, campaign.name)
    candidates = campaign_candidates(session, campaign.name)
    failures = job_failures(session, campaign.name)
    models = training_records(session, campaign.name)
    targets = [n for n in (campaign.spec.get("targets") or {}) if n in PROPERTIES]
    drawings: dict[str, list[Drawing]] = draw_all(campaign.spec, results, candidates, models)
    asked = _asked(campaign.spec, candidates)
    best = _best(candidates, targets, LiteratureIndex.load(session))
    methods = sorted(
        {f.method for c in candidates for f in c.facts if f.kind in {"validation", "prediction"}}
    )

    folder = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = number
    environment.filters["breakable"] = _breakable
    environment.filters["percent"] = lambda v: "–" if v is None else f"{100 * v:.1f}%"
    return environment.get_template(
        "template.html"
    ).render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        campaign=campaign,
        spec=campaign.spec,
        asked=asked,
        judged=campaign.feasibility,
        asked_for=_asked_for(campaign, candidates),
        worth=_worth(asked, any_hit=any(c.hit for c in candidates)),
        headline=_headline(results),
        results=results,
        candidates=candidates,
        waiting=[c for c in candidates if c.state == "queued"],
        targets=[(shown_name(n), shown_unit(n)) for n in targets],
        best=best,
        any_hit=any(row.candidate.hit for row in best),
        any_miss=any(not row.candidate.hit for row in best),
        misses=_misses(candidates),
        ladders=ladders(candidates, targets),
        atomistic=atomistic_source(campaign.spec),
        dft_rates=rates_at(session, campaign.name, "dft"),
        failures=failures[:_FAILURES],
        failure_counts=Counter(f.state for f in failures),
        models=models,
        decisions=decisions_of(session, campaign.name),
        drawings=drawings,
        methods=methods,
        versions=_versions(),
        specification=_as_yaml(campaign.spec),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )

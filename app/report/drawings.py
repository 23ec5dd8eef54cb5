"""The figures of the report: which ones a campaign has data for, and with what caption."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from app.fidelity_names import shown_fidelities
from app.report.inline_svg import inline_svg
from app.report.names import shown_name, shown_unit
from db.material_facts import Fact
from db.results import CampaignResults, CandidateResult, TrainingRecord
from hea_loop.figures.campaign import (
    CompositionPanel,
    Interval,
    Share,
    composition_figure,
    hit_rate_figure,
    target_figure,
    training_figure,
)
from hea_loop.properties import PROPERTIES

__all__ = ["Drawing", "draw_all", "interval_of"]

_PAIRS: Final = (("shear_modulus", "fracture_toughness_rice"), ("density", "solidus"))
_COLUMNS: Final = 60
"""Most alloys side by side in one panel."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of the page with its caption."""

    svg: Markup
    caption: str


def _drawing(figure: Any, name: str, caption: str) -> Drawing:
    # inline_svg escapes the caption, and matplotlib the labels
    return Drawing(Markup(inline_svg(figure, name, caption)), caption)  # noqa: S704


def interval_of(spec: dict[str, Any], name: str) -> Interval:
    """The target on a property; open on both sides where the campaign has none."""
    target = (spec.get("targets") or {}).get(name) or {}
    return Interval(target.get("min"), target.get("max"))


def _column(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if v is None else v for v in values], dtype=float)


def _hit_rates(results: CampaignResults) -> list[Drawing]:
    rows = results.iterations
    if not any(r.hit_rate is not None or r.random_hit_rate is not None for r in rows):
        return []
    shares = [
        Share(
            "strategy",
            _column([r.hit_rate for r in rows]),
            _column([r.ci_low for r in rows]),
            _column([r.ci_high for r in rows]),
        ),
        Share(
            "random",
            _column([r.random_hit_rate for r in rows]),
            _column([r.random_ci_low for r in rows]),
            _column([r.random_ci_high for r in rows]),
        ),
    ]
    caption = (
        "Hit rate of the validated candidates by iteration, with 95% Wilson intervals: the strategy beside the "
        "uniform random share of the same iteration, which measures the base rate."
    )
    return [_drawing(hit_rate_figure([r.iteration for r in rows], shares), "rates", caption)]


def _axis_label(name: str, facts: Iterable[Fact]) -> str:
    unit = shown_unit(name)
    labels = shown_fidelities(facts)
    return f"{shown_name(name)} / {unit} ({labels})" if unit else f"{shown_name(name)} ({labels})"


def _pairs(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """The two pairs that belong together, then the campaign's other targets two by two."""
    rest = [
        name
        for name in (spec.get("targets") or {})
        if name in PROPERTIES and not any(name in pair for pair in _PAIRS)
    ]
    others = [(rest[i], rest[min(i + 1, len(rest) - 1)]) for i in range(0, len(rest), 2)]
    return [*_PAIRS, *((x, y) if x != y else (x, "shear_modulus") for x, y in others)]


def _targets(spec: dict[str, Any], candidates: Sequence[CandidateResult]) -> list[Drawing]:
    drawings = []
    for x_name, y_name in _pairs(spec):
        points = []
        for c in candidates:
            x, y = c.best(x_name), c.best(y_name)
            if c.state == "validated" and x is not None and y is not None:
                points.append((c, x, y))
        if not points:
            continue
        figure = target_figure(
            _column([x.value for _, x, _ in points]),
            _column([y.value for _, _, y in points]),
            hit=[bool(c.hit) for c, _, _ in points],
            origin=[c.origin for c, _, _ in points],
            x_label=_axis_label(x_name, [x for _, x, _ in points]),
            y_label=_axis_label(y_name, [y for _, _, y in points]),
            x_target=interval_of(spec, x_name),
            y_target=interval_of(spec, y_name),
        )
        caption = (
            f"{len(points)} validated candidates: {shown_name(y_name)} against {shown_name(x_name)}. "
            "The shaded box is the target; a filled mark is a hit in every target "
            "and verdict, these two and the others."
        )
        drawings.append(_drawing(figure, f"targets{len(drawings)}", caption))
    return drawings


def _compositions(spec: dict[str, Any], candidates: Sequence[CandidateResult]) -> list[Drawing]:
    if not candidates:
        return []
    palette = list((spec.get("palette") or {}).get("elements") or ())
    elements = sorted({*palette, *(e for c in candidates for e in c.composition.elements)})
    ours = [c for c in candidates if c.origin == "strategy"]
    numbers = sorted({c.iteration for c in ours})
    groups = [
        (f"iteration {n}, strategy", [c for c in ours if c.iteration == n])
        for n in dict.fromkeys((numbers[0], numbers[-1]) if numbers else ())
    ]
    groups.append(("uniform random share, all iterations", [c for c in candidates if c.origin == "random"]))
    groups.append(("all hits", [c for c in candidates if c.hit]))
    panels = []
    for title, group in groups:
        if not group:
            continue
        shown = group[:_COLUMNS]
        count = (
            f"{len(group)} alloys"
            if len(shown) == len(group)
            else f"first {len(shown)} of {len(group)} alloys"
        )
        panels.append(
            CompositionPanel(
                title=f"{title} ({count})",
                fractions=[[c.composition.fractions.get(e, 0.0) for e in elements] for c in shown],
                hit=[bool(c.hit) for c in shown],
            )
        )
    if not panels:
        return []
    caption = (
        "Compositions of the candidates: each column is an alloy, each row an element, the intensity of blue the "
        "atomic fraction; a green mark above a column is a hit."
    )
    return [_drawing(composition_figure(elements, panels), "compositions", caption)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curves(models: Sequence[TrainingRecord]) -> list[Drawing]:
    curves: dict[int, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for model in models:
        points = [p for p in model.curve if isinstance(p, dict)]
        names = list(dict.fromkeys(k for p in points for k, v in p.items() if _is_number(v) and k != "step"))
        for name in names[:6]:
            known = [(p.get("step", i), p[name]) for i, p in enumerate(points) if _is_number(p.get(name))]
            steps, values = zip(*known, strict=True)
            curves.setdefault(model.iteration, {})[name] = (_column(steps), _column(values))
    if not curves:
        return []
    caption = "Training curves of the generator, one line for each iteration; the darkest is the last."
    return [_drawing(training_figure(curves, x_label="training step"), "training", caption)]


def draw_all(
    spec: dict[str, Any],
    results: CampaignResults,
    candidates: Sequence[CandidateResult],
    models: Sequence[TrainingRecord],
) -> dict[str, list[Drawing]]:
    """Every figure that there is data for, by the section it belongs to."""
    return {
        "rates": _hit_rates(results),
        "targets": _targets(spec, candidates),
        "compositions": _compositions(spec, candidates),
        "training": _curves(models),
    }

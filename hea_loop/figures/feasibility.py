"""Targets on the ridge that correlated properties form: known alloys, random compositions and the box."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hea_loop.elasticity import ElasticModel, predictable, predicted_means
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.properties import PROPERTIES

__all__ = ["draw_targets"]

Array = NDArray[np.float64]

_RANDOM, _DATA, _BOX = "#b9c4d6", "#1f6fb4", "#d1495b"
_DRAWN: Final = 2000
_MOST: Final = 6  # panels


def draw_targets(
    palette: Palette,
    intervals: dict[str, tuple[float, float]],
    known: Array,
    elasticity: ElasticModel | None = None,
) -> Figure:
    """Draw each pair of predicted targets; of a single one its histogram.

    Args:
        palette: Random compositions are drawn from it.
        intervals: Property to (low, high); those that no prediction decides are left out.
        known: ``n x m`` fractions of the known alloys.
        elasticity: The learned model of the elastic moduli, of a campaign that has one.

    Raises:
        InputError: No target on a predicted property.
    """
    decided = predictable("linear-combination" if elasticity is None else "first-principles")
    names = [n for n in intervals if n in decided]
    if not names:
        raise InputError("--figure", list(intervals), "has no predicted target to draw", "add one")
    drawn = palette.sample_uniform(_DRAWN, np.random.default_rng(0))
    fractions = np.array([c.fraction_vector(palette.elements) for c in drawn])
    random = predicted_means(fractions, palette.elements, names, elasticity)
    data = {n: np.empty(0) for n in names}
    if len(known):
        data = predicted_means(known, palette.elements, names, elasticity)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]][:_MOST]
    panels = max(1, len(pairs))
    columns = min(3, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(4.4 * columns + 0.4, 4.1 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in grid[panels:]:
        spare.set_visible(False)
    if not pairs:
        _histogram(grid[0], names[0], random[names[0]], data[names[0]], intervals[names[0]])
    for axes, (one, other) in zip(grid, pairs, strict=False):
        _pair(axes, (one, other), random, data, intervals)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _label(name: str) -> str:
    unit = PROPERTIES[name].unit
    return f"{name.replace('_', ' ')}" + ("" if unit == "1" else f" ({unit})")


def _window(interval: tuple[float, float], *values: Array) -> tuple[float, float]:
    """Limits of an axis: the bulk of the values and every finite bound, with a margin."""
    shown = [v[np.isfinite(v)] for v in values]
    ends = [float(q) for v in shown if len(v) for q in np.quantile(v, [0.002, 0.998])]
    ends += [bound for bound in interval if math.isfinite(bound)]
    low, high = min(ends), max(ends)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _histogram(axes: Any, name: str, random: Array, data: Array, interval: tuple[float, float]) -> None:
    window = _window(interval, random, data)
    bins = np.linspace(*window, 45)
    axes.hist(random, bins=bins, density=True, color=_RANDOM, label="random compositions")
    if len(data):
        axes.hist(data, bins=bins, density=True, histtype="step", color=_DATA, label="known alloys")
    low, high = max(interval[0], window[0]), min(interval[1], window[1])
    axes.axvspan(low, high, color=_BOX, alpha=0.25, label="target")
    axes.set(xlim=window, xlabel=_label(name), ylabel="density")


def _pair(
    axes: Any,
    names: tuple[str, str],
    random: dict[str, Array],
    data: dict[str, Array],
    intervals: dict[str, tuple[float, float]],
) -> None:
    one, other = names
    axes.scatter(
        random[one],
        random[other],
        s=5,
        color=_RANDOM,
        linewidths=0,
        label="random compositions",
        rasterized=True,
    )
    axes.scatter(data[one], data[other], s=9, color=_DATA, alpha=0.6, linewidths=0, label="known alloys")
    windows = [_window(intervals[n], random[n], data[n]) for n in names]
    (left, right), (bottom, top) = (
        (max(intervals[n][0], w[0]), min(intervals[n][1], w[1])) for n, w in zip(names, windows, strict=True)
    )
    axes.add_patch(
        Rectangle(
            (left, bottom),
            right - left,
            top - bottom,
            facecolor=_BOX,
            alpha=0.22,
            edgecolor=_BOX,
            linewidth=1.6,
            label="targets",
        )
    )
    axes.set(xlim=windows[0], ylim=windows[1], xlabel=_label(one), ylabel=_label(other))
    r = float(np.asarray(np.corrcoef(random[one], random[other]))[0, 1])
    axes.set_title(f"r = {r:.2f} over random compositions", fontsize=9, loc="left")

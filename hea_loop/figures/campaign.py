"""Figures of a campaign: arrays in, a matplotlib Figure out.

Two sources of candidates are told apart by colour and by shape (blue circles for the strategy, orange
triangles for the uniform random share; both colours of Okabe and Ito's palette for the colour-blind), and a
hit is filled where a miss is hollow. Text and axes have the one colour ``INK``, so that whoever embeds a
figure in a page can replace it by the colour of the page's text; the other colours likewise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = [
    "INK",
    "RANDOM",
    "STRATEGY",
    "TARGET",
    "CompositionPanel",
    "Interval",
    "Share",
    "composition_figure",
    "hit_rate_figure",
    "target_figure",
    "training_figure",
]

INK: Final = "#1b1f24"
"""Colour of text and axes."""
STRATEGY: Final = "#0072b2"
"""Colour of the strategy's candidates."""
RANDOM: Final = "#d55e00"
"""Colour of the uniform random share."""
TARGET: Final = "#009e73"
"""Colour of targets and hits."""
_COLOURS: Final = {"strategy": STRATEGY, "random": RANDOM}
_MARKERS: Final = {"strategy": "o", "random": "^"}
_LABELS: Final = {"strategy": "strategy", "random": "uniform random"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval, open on the side that is None; in the units of the axis it is drawn on."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Hit rates of one share of the candidates, ``n`` iterations; NaN where nothing was validated.

    Attributes:
        origin: ``strategy`` or ``random``.
        rate: Hit rate, dimensionless, shape (n,).
        low: Lower end of its 95% interval, shape (n,).
        high: Upper end, shape (n,).
    """

    origin: str
    rate: ArrayLike
    low: ArrayLike
    high: ArrayLike


@dataclass(frozen=True, slots=True)
class CompositionPanel:
    """Some alloys to draw side by side.

    Attributes:
        title: What they are.
        fractions: Atomic fractions, shape (n alloys, m elements).
        hit: Which of them are hits, shape (n,).
    """

    title: str
    fractions: ArrayLike
    hit: ArrayLike


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    """Thin axes without a box, in the one colour that a page may replace."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=INK, labelsize=9, width=0.8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.patch.set_visible(False)


def _legend(axes: Axes, **options: Any) -> None:
    legend = axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, **options)
    legend.set_in_layout(True)


def hit_rate_figure(iterations: ArrayLike, shares: Sequence[Share]) -> Figure:
    """Hit rate by iteration with 95% intervals, the strategy beside the random share.

    Args:
        iterations: Numbers of the iterations, shape (n,).
        shares: The strategy's rates and the random ones.
    """
    numbers = np.asarray(iterations, dtype=float)
    figure = _figure(6.2, 3.5)
    axes = figure.add_subplot()
    for k, share in enumerate(shares):
        rate, low, high = (np.asarray(a, dtype=float) for a in (share.rate, share.low, share.high))
        known = np.isfinite(rate)
        if not known.any():
            continue
        shift = 0.08 * (k - (len(shares) - 1) / 2)  # side by side, so that no interval hides another
        errors = np.clip(np.vstack([rate - low, high - rate])[:, known], 0, None)  # 2 x known
        axes.errorbar(
            numbers[known] + shift,
            100 * rate[known],
            yerr=100 * errors,
            color=_COLOURS[share.origin],
            marker=_MARKERS[share.origin],
            markersize=6,
            linewidth=1.6 if share.origin == "strategy" else 0.9,
            linestyle="-" if share.origin == "strategy" else ":",
            elinewidth=1.2,
            capsize=3,
            label=_LABELS[share.origin],
        )
    axes.set_xlabel("iteration")
    axes.set_ylabel("hit rate / %")
    axes.set_ylim(-2, 102)
    if numbers.size:
        axes.set_xlim(numbers.min() - 0.5, numbers.max() + 0.5)
        axes.set_xticks(numbers if numbers.size <= 20 else numbers[:: -(-numbers.size // 20)])
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.7)
    axes.set_axisbelow(True)
    _plain(axes)
    if axes.get_legend_handles_labels()[0]:
        _legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, columnspacing=1.6)
    return figure


def _limits(values: np.ndarray, target: Interval) -> tuple[float, float]:
    """Limits that show every value and the target, with a margin of 6%."""
    edges = [e for e in (target.low, target.high) if e is not None]
    shown = np.concatenate([values, np.asarray(edges, dtype=float)])
    if shown.size == 0:
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    margin = 0.06 * (high - low) or max(abs(high) * 0.06, 0.5)
    return low - margin, high + margin


def target_figure(
    x: ArrayLike,
    y: ArrayLike,
    *,
    hit: ArrayLike,
    origin: Sequence[str],
    x_label: str,
    y_label: str,
    x_target: Interval,
    y_target: Interval,
) -> Figure:
    """Where the candidates fell against two targets, the target box shaded.

    Args:
        x: Values on the first axis, shape (n,); a candidate with a NaN on either axis is not drawn.
        y: Values on the second axis, shape (n,).
        hit: Whether the candidate is a hit (in every target and verdict, not only these two), shape (n,).
        origin: ``strategy`` or ``random`` for each, length n.
        x_label: Property with unit and fidelity.
        y_label: Property with unit and fidelity.
        x_target: Target on the first axis; both sides None draws none.
        y_target: Target on the second axis.
    """
    from matplotlib.patches import Rectangle

    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    hits, origins = np.asarray(hit, dtype=bool), np.asarray(list(origin), dtype=object)
    known = np.isfinite(xs) & np.isfinite(ys)
    figure = _figure(4.9, 4.0)
    axes = figure.add_subplot()
    x_limits, y_limits = _limits(xs[known], x_target), _limits(ys[known], y_target)
    if any(e is not None for t in (x_target, y_target) for e in (t.low, t.high)):
        left, bottom = (
            limits[0] if t.low is None else t.low
            for t, limits in ((x_target, x_limits), (y_target, y_limits))
        )
        right, top = (
            limits[1] if t.high is None else t.high
            for t, limits in ((x_target, x_limits), (y_target, y_limits))
        )
        axes.add_patch(
            Rectangle((left, bottom), right - left, top - bottom, color=TARGET, alpha=0.16, linewidth=0)
        )
        axes.add_patch(
            Rectangle(
                (left, bottom),
                right - left,
                top - bottom,
                fill=False,
                edgecolor=TARGET,
                linewidth=1.2,
                linestyle="--",
                label="target",
            )
        )
    for name in ("random", "strategy"):
        for is_hit in (False, True):
            chosen = known & (origins == name) & (hits == is_hit)
            if not chosen.any():
                continue
            axes.scatter(
                xs[chosen],
                ys[chosen],
                s=26,
                marker=_MARKERS[name],
                facecolors=_COLOURS[name] if is_hit else "none",
                edgecolors=_COLOURS[name],
                linewidths=1.0,
                alpha=0.9 if is_hit else 0.65,
                label=f"{_LABELS[name]}, {'hit' if is_hit else 'no hit'}",
                zorder=3,
            )
    axes.set_xlim(*x_limits)
    axes.set_ylim(*y_limits)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    _plain(axes)
    if axes.get_legend_handles_labels()[0]:
        _legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1.2)
    return figure


def composition_figure(elements: Sequence[str], panels: Sequence[CompositionPanel]) -> Figure:
    """Compositions as in Figure 4C of the seed paper: columns are alloys, rows are elements.

    The intensity of blue is the atomic fraction, on one scale for all panels; a green mark above a column
    is a hit.

    Args:
        elements: Symbols of the rows, ``m`` of them.
        panels: Groups of alloys, drawn under each other on columns of one width.
    """
    from matplotlib.figure import Figure

    width, row, gap, foot = 7.4, 0.155, 0.46, 0.32  # inches
    panel_height = row * max(1, len(elements))
    height = foot + max(1, len(panels)) * (panel_height + gap)
    figure = Figure(figsize=(width, height))
    widest = max([1, *(np.asarray(p.fractions).shape[0] for p in panels)])
    rows = [np.asarray(p.fractions, dtype=float).reshape(-1, len(elements)) for p in panels]
    top = max([1e-9, *(float(r.max()) for r in rows if r.size)])
    blue = np.array([int(STRATEGY[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    for k, (panel, fractions) in enumerate(zip(panels, rows, strict=True)):
        bottom = height - (k + 1) * (panel_height + gap)
        axes = figure.add_axes((0.35 / width, bottom / height, 1 - 0.4 / width, panel_height / height))
        n = fractions.shape[0]
        # intensity as opacity, so that an absent element has the colour of the page
        image = np.empty((len(elements), n, 4))  # m x n x RGBA
        image[..., :3] = blue
        image[..., 3] = fractions.T / top
        if n:
            axes.imshow(image, aspect="auto", interpolation="nearest", extent=(0, n, len(elements), 0))
            hits = np.flatnonzero(np.asarray(panel.hit, dtype=bool))
            axes.plot(
                hits + 0.5,
                np.full(hits.size, -0.45),
                linestyle="none",
                marker="v",
                markersize=4,
                color=TARGET,
                clip_on=False,
            )
        axes.set_xlim(0, widest)
        axes.set_ylim(len(elements), 0)
        axes.set_yticks(np.arange(len(elements)) + 0.5, elements)
        axes.set_xticks([])
        axes.set_title(panel.title, fontsize=9.5, loc="left", pad=12, color=INK)
        _plain(axes)
        axes.tick_params(axis="y", length=0, labelsize=7.5)
        axes.spines["bottom"].set_visible(False)
    bar = np.ones((1, 64, 4))
    bar[..., :3], bar[0, :, 3] = blue, np.linspace(0, 1, 64)
    if any(r.size for r in rows):
        scale = figure.add_axes((1 - 1.6 / width, 0.02 / height, 1.3 / width, 0.09 / height))
        scale.imshow(bar, aspect="auto", extent=(0, 100 * top, 0, 1))
        scale.set_yticks([])
        scale.set_xticks([0, 100 * top], ["0", f"{100 * top:.0f} at.%"])
        scale.xaxis.tick_top()
        scale.tick_params(colors=INK, labelsize=7.5, length=0, pad=1)
        for spine in scale.spines.values():
            spine.set_visible(False)
    return figure


def training_figure(
    curves: Mapping[int, Mapping[str, tuple[ArrayLike, ArrayLike]]], *, x_label: str
) -> Figure:
    """Training curves, one panel for each quantity and one line for each iteration's model.

    Args:
        curves: Iteration to quantity to ``(steps, values)``, each of shape (n,).
        x_label: What a step is.
    """
    names = list(dict.fromkeys(name for quantities in curves.values() for name in quantities))
    columns = min(2, max(1, len(names)))
    lines = -(-len(names) // columns) or 1
    figure = _figure(3.7 * columns, 2.5 * lines)
    darkest = max(curves, default=1)
    for k, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, k + 1)
        for iteration, quantities in curves.items():
            if name not in quantities:
                continue
            steps, values = (np.asarray(a, dtype=float) for a in quantities[name])
            axes.plot(
                steps,
                values,
                color=STRATEGY,
                alpha=0.25 + 0.75 * iteration / darkest,
                linewidth=1.1,
                label=f"iteration {iteration}",
            )
        axes.set_title(name.replace("_", " "), fontsize=9.5, loc="left", color=INK)
        axes.set_xlabel(x_label)
        axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.7)
        _plain(axes)
    if len(curves) > 1 and names:
        # outside the axes: curves of six iterations leave no free corner
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8.5, labelcolor=INK
        )
    return figure

"""The figures of the seed paper, for any generator: 4 (likeness), 5 (conditions), 6 (targets on G), 7 and 8 (corners).

A. Debnath et al., J. Mater. Inf. 2021, 1:3, 10.20517/jmi.2021.05. Each function takes plain arrays and returns
a matplotlib figure; nothing is drawn on a display. Colour maps are perceptually uniform or, for signed values,
safe for the colour-blind (blue to red through white, as in the paper).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from hea_loop.generators.quality import element_count_histogram, pair_correlation

__all__ = ["composition_columns", "figure_4", "figure_5", "figure_6", "figure_7", "figure_8"]

Array = NDArray[np.float64]

G_LABEL: Final = "Shear modulus G (GPa)"
K_LABEL: Final = "Rice toughness $K_{IC}$ (MPa m$^{1/2}$)"
_REAL, _MADE, _INK = "#4c566a", "#1f6fb4", "#222222"
_COLUMNS: Final = 40  # alloys in one image of sample compositions
_LETTERS: Final = "ABCDEFGH"


def composition_columns(axes: Any, fractions: Array, elements: Sequence[str]) -> Any:
    """Draw compositions as columns of an image, one row per element, as the seed's Figure 4C does.

    Args:
        axes: Where.
        fractions: ``n x m`` atomic fractions.
        elements: The ``m`` symbols.

    Returns:
        The image, for a colour bar; white is 0, dark blue 1.
    """
    image = axes.imshow(fractions.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(elements)), elements, fontsize=7 if len(elements) > 12 else 8)
    axes.set_xticks([])
    axes.set_yticks(np.arange(0.5, len(elements) - 1), minor=True)
    axes.grid(which="minor", axis="y", color="#d8dee9", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    return image


def _sorted_sample(fractions: Array, number: int, rng: np.random.Generator) -> Array:
    """Random rows, ordered by their main element, so that neighbours in the image are alike."""
    rows = fractions[rng.permutation(len(fractions))[:number]]
    order = np.lexsort((-rows.max(axis=1), rows.argmax(axis=1)))
    out: Array = rows[order]
    return out


def _caption(figure: Figure, text: str) -> None:
    """Write the numbers of a figure above it, flushed left; the layout makes room."""
    if text:
        figure.suptitle(text, fontsize=9, x=0.01, ha="left", color=_INK)


def _panel(axes: Any, letter: str, title: str) -> None:
    axes.set_title(f"({letter})  {title}", fontsize=9, loc="left", color=_INK)


def figure_4(
    real: Array,
    generated: Array,
    elements: Sequence[str],
    rng: np.random.Generator,
    *,
    name: str,
    caption: str = "",
) -> Figure:
    """Real above generated: pair correlation, number of elements, sample compositions.

    Args:
        real: ``n x m`` fractions of the data.
        generated: ``k x m`` fractions, traces dropped.
        elements: The ``m`` symbols.
        rng: Chooses the samples shown.
        name: The generator's name.
        caption: Numbers, above the figure.
    """
    figure = Figure(figsize=(12, 7.9), layout="constrained")
    _caption(figure, caption)
    grid = figure.subplots(2, 3, width_ratios=[1.1, 1.0, 1.6])
    longest = 1 + max(int(np.flatnonzero(element_count_histogram(x) > 0.002)[-1]) for x in (real, generated))
    most = 1.1 * max(float(element_count_histogram(x).max()) for x in (real, generated))
    for row, (x, kind, colour) in enumerate(((real, "literature", _REAL), (generated, name, _MADE))):
        left, middle, right = grid[row]
        correlation = pair_correlation(x)
        np.fill_diagonal(correlation, np.nan)
        image = left.imshow(correlation, cmap="RdBu_r", vmin=-0.6, vmax=0.6)
        left.set_facecolor("#e5e9f0")
        size = 6.5 if len(elements) > 12 else 8
        left.set_xticks(range(len(elements)), elements, fontsize=size, rotation=90)
        left.set_yticks(range(len(elements)), elements, fontsize=size)
        left.tick_params(length=0)
        _panel(left, "A", f"Pair correlation: {kind}")
        figure.colorbar(image, ax=left, shrink=0.85, label="correlation of presence")
        histogram = element_count_histogram(x)
        middle.bar(np.arange(1, len(histogram) + 1), histogram, color=colour, width=0.75)
        middle.set(
            xlim=(0.4, longest + 0.6),
            ylim=(0, most),
            xlabel="elements in the alloy",
            ylabel=f"share of {len(x)} alloys",
        )
        middle.set_xticks(range(1, longest + 1, 1 if longest < 12 else 2))
        middle.spines[["top", "right"]].set_visible(False)
        _panel(middle, "B", f"Number of elements: {kind}")
        image = composition_columns(right, _sorted_sample(x, _COLUMNS, rng), elements)
        _panel(right, "C", f"Sample compositions: {kind}")
        figure.colorbar(image, ax=right, shrink=0.85, label="atomic fraction")
    return figure


def figure_5(wanted: Array, reached: Array, data: Array, *, name: str, caption: str = "") -> Figure:
    """Condition given to the generator against the reference value of its answer, for G and K_IC.

    Args:
        wanted: ``k x 2`` conditions, G in GPa and K_IC in MPa m^0.5.
        reached: ``k x 2`` values of the answers.
        data: ``n x 2`` values of the training alloys, shown as a histogram of where data are.
        name: The generator's name.
        caption: Numbers, above the figure.
    """
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    _caption(figure, caption)
    for j, (axes, label) in enumerate(zip(figure.subplots(1, 2), (G_LABEL, K_LABEL), strict=True)):
        low = float(min(wanted[:, j].min(), reached[:, j].min(), data[:, j].min()))
        high = float(max(wanted[:, j].max(), reached[:, j].max(), data[:, j].max()))
        pad = 0.03 * (high - low)
        low, high = low - pad, high + pad
        behind = axes.twinx()
        behind.hist(data[:, j], bins=30, range=(low, high), color="#d8dee9")
        behind.set_ylim(0, 4 * max(np.histogram(data[:, j], bins=30, range=(low, high))[0]))
        behind.set_yticks([])
        behind.spines[:].set_visible(False)
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.plot([low, high], [low, high], color=_INK, linewidth=1, linestyle="--", label="exact")
        axes.scatter(wanted[:, j], reached[:, j], s=9, color=_MADE, alpha=0.45, linewidths=0, label=name)
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.set_box_aspect(1)
        axes.set_xlabel(f"condition: {label}")
        axes.set_ylabel("linear combination of the answer")
        error = float(np.abs(wanted[:, j] - reached[:, j]).mean())
        unit = "GPa" if j == 0 else "MPa m$^{1/2}$"
        _panel(axes, _LETTERS[j], f"mean absolute error {error:.3g} {unit}")
        grey = Patch(color="#d8dee9", label="where the training alloys lie")
        axes.legend(
            handles=[*axes.get_legend_handles_labels()[0], grey], loc="upper left", frameon=False, fontsize=8
        )
    return figure


def _histogram(axes: Any, values: Array, window: tuple[tuple[float, float], tuple[float, float]]) -> Any:
    counts, xs, ys = np.histogram2d(values[:, 0], values[:, 1], bins=45, range=window)
    image = axes.pcolormesh(
        xs, ys, np.where(counts.T > 0, counts.T, np.nan) / len(values), cmap="viridis_r", rasterized=True
    )
    axes.set(xlim=window[0], ylim=window[1])
    return image


def _window(*sets: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """Range of G and of K_IC that holds all sets, with a margin."""
    all_ = np.concatenate(sets)
    low, high = all_.min(axis=0), all_.max(axis=0)
    pad = 0.04 * (high - low)
    return (
        (float(low[0] - pad[0]), float(high[0] + pad[0])),
        (float(low[1] - pad[1]), float(high[1] + pad[1])),
    )


def figure_6(
    answers: Mapping[float, Array],
    values: Mapping[float, Array],
    data: Array,
    elements: Sequence[str],
    rng: np.random.Generator,
    *,
    caption: str = "",
) -> Figure:
    """Answers to fixed shear moduli: where they fall in G and K_IC, and sample compositions.

    Args:
        answers: Target G in GPa to ``k x m`` fractions, traces dropped.
        values: Target G to the ``k x 2`` G and K_IC of those answers.
        data: ``n x 2`` values of the training alloys, dots behind the histograms.
        elements: The ``m`` symbols.
        rng: Chooses the samples shown.
        caption: Numbers, above the figure.
    """
    figure = Figure(figsize=(3.3 * len(answers), 7.3), layout="constrained")
    _caption(figure, caption)
    grid = figure.subplots(2, len(answers), squeeze=False, height_ratios=[1, 1.25])
    window = _window(data, *values.values())
    image: Any = None
    for j, (target, x) in enumerate(answers.items()):
        top, bottom = grid[0, j], grid[1, j]
        top.scatter(data[:, 0], data[:, 1], s=3, color="#c3c9d4", linewidths=0, label="literature")
        _histogram(top, values[target], window)
        top.axvline(target, color="#d1495b", linewidth=1.2, label="wanted G")
        top.set_xlabel(G_LABEL)
        if j == 0:
            top.set_ylabel(K_LABEL)
            top.legend(loc="lower right", fontsize=7.5, frameon=False)
        within = float((np.abs(values[target][:, 0] - target) <= 5).mean())
        _panel(top, _LETTERS[j], f"G = {target:g} GPa: {within:.0%} within 5 GPa")
        image = composition_columns(bottom, _sorted_sample(x, _COLUMNS, rng), elements)
        bottom.set_xlabel(f"{min(_COLUMNS, len(x))} of {len(x)} answers")
    figure.colorbar(image, ax=grid[1, -1], label="atomic fraction")
    return figure


def figure_7(
    data: Array,
    made: Array,
    corners: Mapping[str, tuple[float, float]],
    values: Mapping[str, Array],
    *,
    name: str,
    refused: Mapping[str, str] | None = None,
    caption: str = "",
) -> Figure:
    """G against K_IC, real and generated, with the four conditions, and where the answers to each fall.

    Args:
        data: ``n x 2`` values of the training alloys.
        made: ``k x 2`` values of the answers to conditions drawn from the density of the data.
        corners: Letter to the condition (G in GPa, K_IC in MPa m^0.5).
        values: Letter to the ``k x 2`` values of the answers.
        name: The generator's name.
        refused: Letters of the conditions that no composition meets, with the reason.
        caption: Numbers, above the figure.
    """
    figure = Figure(figsize=(12, 8.6), layout="constrained")
    _caption(figure, caption)
    cells = figure.add_gridspec(2, 2 * len(corners), height_ratios=[1.25, 1])
    half = len(corners)
    grid = [figure.add_subplot(cells[0, :half]), figure.add_subplot(cells[0, half:])]
    grid += [figure.add_subplot(cells[1, 2 * j : 2 * j + 2]) for j in range(len(corners))]
    window = _window(data, made, np.array(list(corners.values())), *values.values())
    for axes, points, kind, colour in ((grid[0], data, "literature", _REAL), (grid[1], made, name, _MADE)):
        axes.scatter(points[:, 0], points[:, 1], s=8, color=colour, alpha=0.5, linewidths=0)
        correlation = float(np.asarray(np.corrcoef(points.T))[0, 1])
        for letter, (g, k) in corners.items():
            axes.plot(g, k, "o", color="#d1495b", markersize=6)
            label = axes.annotate(
                letter, (g, k), xytext=(7, 5), textcoords="offset points", fontsize=13, weight="bold"
            )
            label.set_path_effects([withStroke(linewidth=3, foreground="white")])
        axes.set(xlim=window[0], ylim=window[1], xlabel=G_LABEL)
        _panel(axes, "A", f"{kind}, r = {correlation:.2f}")
    grid[0].set_ylabel(K_LABEL)
    grid[2].set_ylabel(K_LABEL)
    for axes, (letter, (g, k)) in zip(grid[2:], corners.items(), strict=True):
        axes.scatter(data[:, 0], data[:, 1], s=3, color="#c3c9d4", linewidths=0)
        _histogram(axes, values[letter], window)
        axes.plot(g, k, "+", color="#d1495b", markersize=13, markeredgewidth=2)
        axes.set_xlabel("G (GPa)")
        if axes is not grid[2]:
            axes.set_yticklabels([])
        near = (np.abs(values[letter] / np.array([g, k]) - 1) <= 0.05).all(axis=1).mean()
        _panel(
            axes,
            "B",
            f"{letter}: {g:.0f}, {k:.3f}: " + ("refused" if letter in (refused or {}) else f"{near:.0%}"),
        )
    return figure


def figure_8(
    answers: Mapping[str, Array],
    corners: Mapping[str, tuple[float, float]],
    elements: Sequence[str],
    rng: np.random.Generator,
    *,
    caption: str = "",
) -> Figure:
    """Sample compositions for the four conditions of Figure 7.

    Args:
        answers: Letter to ``k x m`` fractions, traces dropped.
        corners: Letter to the condition (G in GPa, K_IC in MPa m^0.5).
        elements: The ``m`` symbols.
        rng: Chooses the samples shown.
        caption: Numbers, above the figure.
    """
    figure = Figure(figsize=(3.3 * len(answers), 4.5), layout="constrained")
    _caption(figure, caption)
    grid = figure.subplots(1, len(answers), squeeze=False)[0]
    image: Any = None
    for axes, (letter, x) in zip(grid, answers.items(), strict=True):
        image = composition_columns(axes, _sorted_sample(x, _COLUMNS, rng), elements)
        g, k = corners[letter]
        axes.set_title(
            f"{letter}:  G = {g:.0f} GPa, $K_{{IC}}$ = {k:.2f} MPa m$^{{1/2}}$", fontsize=8.5, loc="left"
        )
        axes.set_xlabel(f"{min(_COLUMNS, len(x))} of {len(x)} answers")
    figure.colorbar(image, ax=grid[-1], label="atomic fraction")
    return figure

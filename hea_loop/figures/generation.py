"""The figure of the generation benchmark: hits against variety, one panel for each problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

__all__ = ["hits_against_variety"]

_COLOURS: Final = (
    "#1f6fb4",
    "#d1495b",
    "#66a182",
    "#edae49",
    "#6c5b9e",
    "#8d6346",
    "#4c566a",
    "#2e9aa8",
    "#b0578d",
    "#7a8b3a",
)
_MARKERS: Final = "osD^vP<>X*"


def hits_against_variety(
    panels: Mapping[str, Sequence[tuple[str, float, float, float]]], labels: Mapping[str, str]
) -> Figure:
    """Draw one point for each strategy; its name stands in one legend for all panels.

    Args:
        panels: Problem to (strategy, diversity, share of hits, pair-correlation distance).
        labels: Problem to what counts as a hit.
    """
    names = list(dict.fromkeys(point[0] for points in panels.values() for point in points))
    figure = Figure(figsize=(3.6 * len(panels) + 2.2, 3.8), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    handles: dict[str, Any] = {}
    for axes, (problem, points) in zip(grid, panels.items(), strict=True):
        for name, variety, hits, _ in points:
            k = names.index(name)
            handles[name] = axes.scatter(
                variety,
                hits,
                s=70,
                color=_COLOURS[k % len(_COLOURS)],
                marker=_MARKERS[k % len(_MARKERS)],
                edgecolors="white",
                linewidths=0.8,
                zorder=3,
                clip_on=False,
            )
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="TV among the answers to one target",
            ylabel=f"share {labels[problem]}, reachable targets",
        )
        axes.set_title(f"problem {problem}", fontsize=10, loc="left")
        axes.grid(color="#e5e9f0", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(list(handles.values()), list(handles), loc="outside right center", frameon=False)
    return figure

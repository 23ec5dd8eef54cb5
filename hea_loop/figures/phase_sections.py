"""Figures of phase diagrams: binaries, isopleths and isothermal ternary sections, the candidate marked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from hea_loop.figures.campaign import INK
from hea_loop.figures.phases import CANDIDATE, celsius_axis, field_colour, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TieLines", "binary_figure", "field_name", "isopleth_figure", "ternary_figure"]

Array = NDArray[np.float64]
Field = tuple[float, float, tuple[str, ...]]

_RASTER: Final = (420, 420)  # on which fields are looked for that have room for their name
_SIZE: Final = (6.8, 5.0)  # inches
_FONT: Final = 8.0  # points
_LEAST_PIXELS: Final = 60  # of a field that is named: less is a speck
_HEIGHT: Final = math.sqrt(3) / 2  # of the triangle


@dataclass(frozen=True, slots=True)
class TieLines:
    """A two-phase field of a binary diagram.

    Attributes:
        phases: The two phases.
        x: ``(2, n)`` atomic fraction of the second element in each.
        temperatures_K: ``(n,)``, K.
    """

    phases: tuple[str, str]
    x: ArrayLike
    temperatures_K: ArrayLike


def field_name(phases: Sequence[str]) -> str:
    """A field as it is written into a diagram, ``BCC + C15``; a miscibility gap is ``2 BCC``."""
    names = [short_name(p).partition("#")[0] for p in phases]
    counted = {n: names.count(n) for n in sorted(set(names), key=lambda n: (n == "liquid", n))}
    return " + ".join(n if c == 1 else f"{c} {n}" for n, c in counted.items())


def _new(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _frame(axes: Axes, title: str) -> None:
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.8)
    axes.tick_params(colors=INK, labelsize=9, width=0.8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.set_title(title, fontsize=10, loc="left", color=INK)


# -- fields between columns ---------------------------------------------------------------------------------


def _between(
    left: Sequence[Field], right: Sequence[Field], a: float, b: float
) -> Iterator[tuple[tuple[str, ...], list[tuple[float, float]], bool]]:
    """Polygons of the fields between two columns, with their phases and whether the lower edge is a boundary.

    Fields that both columns have, counted from below and from above, run across. What is between them
    closes to a point where the other column has nothing there, and changes half way where it has.
    """
    left, right = _pinched(left, right), _pinched(right, left)
    first = 0
    while first < min(len(left), len(right)) and left[first][2] == right[first][2]:
        first += 1
    last = 0
    while last < min(len(left), len(right)) - first and left[-1 - last][2] == right[-1 - last][2]:
        last += 1
    for k in range(first):
        yield _quad(left[k], right[k], a, b, k > 0)
    for k in range(last):
        i, j = len(left) - 1 - k, len(right) - 1 - k
        yield _quad(left[i], right[j], a, b, i > 0 and j > 0)
    inner = left[first : len(left) - last], right[first : len(right) - last]
    if inner[0] and inner[1]:
        yield from _halves(inner[0], inner[1], a, b, first > 0)
        yield from _halves(inner[1], inner[0], b, a, first > 0)
    for own, theirs, near, far in ((inner[0], right, a, b), (inner[1], left, b, a)):
        if own and len(theirs) == first + last:
            # the other column passes from one common field to the next at a point
            point = theirs[first][0] if first < len(theirs) else theirs[-1][1]
            for k, (low, high, names) in enumerate(own):
                yield names, [(near, low), (far, point), (near, high)], first + k > 0


def _halves(
    own: Sequence[Field], other: Sequence[Field], near: float, far: float, lined: bool
) -> Iterator[tuple[tuple[str, ...], list[tuple[float, float]], bool]]:
    """Fields of one column up to half way to another that has other fields in their place."""
    middle = (near + far) / 2
    floor = (own[0][0] + other[0][0]) / 2
    ceiling = (own[-1][1] + other[-1][1]) / 2
    for k, (low, high, names) in enumerate(own):
        bottom = floor if k == 0 else min(max(low, floor), ceiling)
        top = ceiling if k == len(own) - 1 else min(max(high, floor), ceiling)
        yield names, [(near, low), (middle, bottom), (middle, top), (near, high)], lined or k > 0


def _pinched(fields: Sequence[Field], other: Sequence[Field]) -> Sequence[Field]:
    """The fields, with one of no height where the other column has a field inside one of these.

    A column ``A, C`` beside ``A, B, A, C``: B ends inside A, so A is cut at a point for it to end in.
    """
    if len(other) != len(fields) + 2:
        return fields
    mine, theirs = [f[2] for f in fields], [f[2] for f in other]
    for k in range(1, len(theirs) - 1):
        if theirs[k - 1] == theirs[k + 1] and theirs[:k] + theirs[k + 2 :] == mine:
            low, high, names = fields[k - 1]
            point = min(max((other[k][0] + other[k][1]) / 2, low), high)
            cut = [(low, point, names), (point, point, theirs[k]), (point, high, names)]
            return [*fields[: k - 1], *cut, *fields[k:]]
    return fields


def _quad(
    left: Field, right: Field, a: float, b: float, lined: bool
) -> tuple[tuple[str, ...], list[tuple[float, float]], bool]:
    return left[2], [(a, left[0]), (b, right[0]), (b, right[1]), (a, left[1])], lined


def _draw_fields(axes: Axes, x: Array, fields: Sequence[Sequence[Field]], *, lines: bool) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    shapes: dict[tuple[str, ...], list[Any]] = {}
    edges: list[Any] = []
    for k in range(len(x) - 1):
        for names, polygon, lined in _between(fields[k], fields[k + 1], float(x[k]), float(x[k + 1])):
            shapes.setdefault(names, []).append(polygon)
            if lined:
                edges.append(polygon[:2])
                if len(polygon) == 3:  # a field that closes has its upper edge too
                    edges.append(polygon[1:])
    for names, polygons in shapes.items():
        colour = field_colour(names)
        axes.add_collection(
            PolyCollection(polygons, facecolors=[colour], edgecolors=[colour], linewidths=0.4, zorder=1)
        )
    if lines:
        axes.add_collection(
            LineCollection(edges, colors=[INK], linewidths=0.9, capstyle="round", snap=False, zorder=2)
        )


def _raster(
    x: Array, fields: Sequence[Sequence[Field]], limits: tuple[float, float, float, float]
) -> tuple[NDArray[np.intp], list[tuple[str, ...]]]:
    """Number of the field at each point of a raster, rows by rising temperature; -1 where nothing is known."""
    from matplotlib.path import Path

    rows, width = _RASTER
    kinds: list[tuple[str, ...]] = []
    result = np.full(_RASTER, -1, dtype=np.intp)
    centres_x = limits[0] + (np.arange(width) + 0.5) / width * (limits[1] - limits[0])
    centres_T = limits[2] + (np.arange(rows) + 0.5) / rows * (limits[3] - limits[2])
    for k in range(len(x) - 1):
        inside = np.flatnonzero((centres_x >= x[k]) & (centres_x <= x[k + 1]))
        if not len(inside):
            continue
        grid = np.stack(np.meshgrid(centres_x[inside], centres_T), axis=-1).reshape(-1, 2)
        for names, polygon, _ in _between(fields[k], fields[k + 1], float(x[k]), float(x[k + 1])):
            if names not in kinds:
                kinds.append(names)
            hit = Path(polygon, closed=False).contains_points(grid).reshape(rows, len(inside))
            block = result[:, inside]
            block[hit] = kinds.index(names)
            result[:, inside] = block
    return result, kinds


def _write_names(
    axes: Axes,
    x: Array,
    fields: Sequence[Sequence[Field]],
    limits: tuple[float, float, float, float],
    *,
    taken: Sequence[tuple[float, float, float, float]] = (),
) -> None:
    """Write each field's name into it where there is room, else a number that is explained below.

    Args:
        axes: Where.
        x: Coordinates of the columns.
        fields: Of each column.
        limits: Of both axes.
        taken: Boxes, as parts of the axes (left, right, bottom, top), that something else is written in.
    """
    raster, kinds = _raster(x, fields, limits)
    rows, width = _RASTER
    free = np.ones(_RASTER, dtype=bool)
    for left, right, bottom, top in taken:
        free[
            max(0, round(bottom * rows)) : max(0, round(top * rows)),
            max(0, round(left * width)) : max(0, round(right * width)),
        ] = False
    # raster columns and rows per point of the page, of which the axes are about so much
    per_point, rows_per_point = width / (_SIZE[0] * 72 * 0.78), rows / (_SIZE[1] * 72 * 0.78)
    tall = round(_FONT * 1.5 * rows_per_point)
    numbers: dict[str, int] = {}
    for k, names in enumerate(kinds):
        text = field_name(names)
        regions, count = ndimage.label(raster == k)
        for region in range(1, count + 1):
            mask = regions == region
            if mask.sum() < _LEAST_PIXELS:
                continue
            if (mask & free).any():
                mask &= free
            wide = round((len(text) + 1) * _FONT * 0.58 * per_point)
            place = _room(mask, wide, tall)
            shown = text
            if place is None:
                shown = str(numbers.setdefault(text, len(numbers) + 1))
                place = _room(mask, round(_FONT * per_point), tall) or _deepest(mask)
            row, column = place
            axes.text(
                limits[0] + (column + 0.5) / width * (limits[1] - limits[0]),
                limits[2] + (row + 0.5) / rows * (limits[3] - limits[2]),
                shown,
                ha="center",
                va="center",
                fontsize=_FONT,
                color=INK,
                zorder=5,
            )
    if numbers:
        axes.annotate(
            "    ".join(f"{n}  {text}" for text, n in numbers.items()),
            (0.0, -0.13),
            xycoords="axes fraction",
            fontsize=_FONT - 0.5,
            color=INK,
            va="top",
            wrap=True,
        )


def _room(mask: NDArray[np.bool_], wide: int, tall: int) -> tuple[float, float] | None:
    """Middle of a box of this many columns and rows inside a field, as deep inside as it goes."""
    padded = np.pad(mask, 1)
    # a box fits where erosion by it leaves something
    fits = ndimage.minimum_filter(padded.astype(np.uint8), size=(max(tall, 1), max(wide, 1)), mode="constant")
    if not fits.any():
        return None
    depth = ndimage.distance_transform_edt(fits)
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(row) - 1, float(column) - 1


def _deepest(mask: NDArray[np.bool_]) -> tuple[float, float]:
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(row) - 1, float(column) - 1


def _beside(
    place: float, limits: tuple[float, float, float, float]
) -> list[tuple[float, float, float, float]]:
    """The strip of the candidate's line, which names keep off."""
    if not math.isfinite(place):
        return []
    part = (place - limits[0]) / (limits[1] - limits[0])
    return [(part - 0.008, part + 0.008, 0.0, 1.0)]


def _mark(axes: Axes, place: float, name: str, temperatures_K: Sequence[float]) -> None:
    if not math.isfinite(place):
        return
    axes.axvline(place, color=CANDIDATE, linewidth=1.3, linestyle="--", zorder=4, label=name)
    for T in temperatures_K:
        axes.plot([place], [T], marker="o", markersize=4.5, color=CANDIDATE, zorder=6)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="lower right", bbox_to_anchor=(1.0, 1.0))


def binary_figure(
    elements: tuple[str, str],
    range_K: tuple[float, float],
    tie_lines: Sequence[TieLines],
    invariants: Sequence[tuple[float, ArrayLike]],
    fractions: ArrayLike,
    fields: Sequence[Sequence[Field]],
    *,
    title: str,
    candidate: float = math.nan,
    candidate_name: str = "",
    temperatures_K: Sequence[float] = (),
) -> Figure:
    """A binary phase diagram: two-phase fields tinted, single phases white, invariants as lines.

    Args:
        elements: The first is at 0, the second at 100 at.%.
        range_K: Lowest and highest temperature.
        tie_lines: Two-phase fields; without any, the fields alone are drawn.
        invariants: Temperature, K, and atomic fractions of the phases of each three-phase line.
        fractions: ``(c,)`` atomic fraction of the second element, columns of ``fields``.
        fields: For each column lowest and highest temperature, K, and phases of each field, rising.
        title: Of the figure.
        candidate: Atomic fraction of the second element at which an alloy is marked; NaN for none.
        candidate_name: What is written for it.
        temperatures_K: Points to mark on the candidate's line.
    """
    x = 100 * np.asarray(fractions, dtype=float)
    figure = _new(*_SIZE)
    axes = figure.add_subplot()
    for one in tie_lines:
        ends = 100 * np.asarray(one.x, dtype=float)
        T = np.asarray(one.temperatures_K, dtype=float)
        colour = field_colour(one.phases)
        axes.fill_betweenx(T, ends[0], ends[1], color=colour, linewidth=0, zorder=1)
        for side in ends:
            axes.plot(side, T, color=INK, linewidth=1.1, zorder=3)
    if not tie_lines:
        _draw_fields(axes, x, fields, lines=True)
    limits = (0.0, 100.0, *range_K)
    taken = _beside(100 * candidate, limits)
    for temperature, compositions in invariants:
        ends = 100 * np.asarray(compositions, dtype=float)
        axes.plot([ends.min(), ends.max()], [temperature, temperature], color=INK, linewidth=1.1, zorder=3)
        # below the line, where it is widest, and off the candidate's
        bounds = sorted({*ends.tolist(), *([100 * candidate] if math.isfinite(candidate) else [])})
        bounds = [b for b in bounds if ends.min() <= b <= ends.max()]
        low, high = max(itertools.pairwise(bounds), key=lambda pair: pair[1] - pair[0])
        axes.annotate(
            f"{temperature:.0f} K",
            ((low + high) / 2, temperature),
            xytext=(0, -2),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7.5,
            color=INK,
            zorder=6,
        )
        middle, level = (low + high) / 200, (temperature - range_K[0]) / (range_K[1] - range_K[0])
        taken.append((middle - 0.06, middle + 0.06, level - 0.045, level))
    _write_names(axes, x, fields, limits, taken=taken)
    axes.set_xlim(0, 100)
    axes.set_ylim(*range_K)
    axes.set_xlabel(f"{elements[1]} / at.%")
    axes.set_ylabel("temperature / K")
    _frame(axes, title)
    celsius_axis(axes)
    _mark(axes, 100 * candidate, candidate_name, temperatures_K)
    return figure


def isopleth_figure(
    coordinates: ArrayLike,
    range_K: tuple[float, float],
    fields: Sequence[Sequence[Field]],
    *,
    x_label: str,
    title: str,
    candidate: float = math.nan,
    candidate_name: str = "",
    temperatures_K: Sequence[float] = (),
) -> Figure:
    """A vertical section, its fields tinted by their phases.

    Args:
        coordinates: ``(c,)`` rising, in the units of the axis.
        range_K: Lowest and highest temperature.
        fields: For each coordinate lowest and highest temperature, K, and phases of each field, rising.
        x_label: Of the axis, with its unit.
        title: Of the figure.
        candidate: Coordinate at which an alloy is marked; NaN for none.
        candidate_name: What is written for it.
        temperatures_K: Points to mark on the candidate's line.
    """
    x = np.asarray(coordinates, dtype=float)
    figure = _new(*_SIZE)
    axes = figure.add_subplot()
    _draw_fields(axes, x, fields, lines=True)
    limits = (float(x[0]), float(x[-1]), *range_K)
    _write_names(axes, x, fields, limits, taken=_beside(candidate, limits))
    axes.set_xlim(*limits[:2])
    axes.set_ylim(*range_K)
    axes.set_xlabel(x_label)
    axes.set_ylabel("temperature / K")
    _frame(axes, title)
    celsius_axis(axes)
    _mark(axes, candidate, candidate_name, temperatures_K)
    return figure


# -- ternary ------------------------------------------------------------------------------------------------


def _flat(fractions: Array) -> Array:
    """``(n, 3)`` fractions as ``(n, 2)`` points of a triangle of side 1: first left, second right, third top."""
    return np.stack([fractions[:, 1] + fractions[:, 2] / 2, fractions[:, 2] * _HEIGHT], axis=1)


def _triangle(axes: Axes, elements: Sequence[str], whole: float) -> Any:
    from matplotlib.patches import Polygon

    corners = _flat(np.eye(3))
    outline = Polygon(corners.tolist(), closed=True, fill=False, edgecolor=INK, linewidth=1.0, zorder=4)
    axes.add_patch(outline)
    for k, (dx, dy, ha) in enumerate(
        ((-0.02, -0.035, "right"), (0.02, -0.035, "left"), (0.0, 0.025, "center"))
    ):
        axes.text(
            corners[k, 0] + dx,
            corners[k, 1] + dy,
            elements[k],
            ha=ha,
            va="bottom" if k == 2 else "top",
            fontsize=11,
            color=INK,
        )
    for step in (0.2, 0.4, 0.6, 0.8):
        label = f"{100 * step * whole:.3g}"
        # along the base grows the second, up the right side the third, down the left side the first
        for (here, dx, dy, ha, va), to in (
            (((1 - step, step, 0.0), 0.0, -0.02, "center", "top"), (0.0, step, 1 - step)),
            (((0.0, 1 - step, step), 0.02, 0.0, "left", "center"), (1 - step, 0.0, step)),
            (((step, 0.0, 1 - step), -0.02, 0.0, "right", "center"), (step, 1 - step, 0.0)),
        ):
            ends = _flat(np.array([here, to]))
            axes.plot(ends[:, 0], ends[:, 1], color=INK, alpha=0.18, linewidth=0.6, zorder=3)
            axes.text(ends[0, 0] + dx, ends[0, 1] + dy, label, ha=ha, va=va, fontsize=7.5, color=INK)
    axes.set_xlim(-0.12, 1.12)
    axes.set_ylim(-0.1, _HEIGHT + 0.1)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return outline


def _cells(points: Array, divisions: int) -> Array:
    """``(n, 6, 2)`` hexagons of the triangular grid around the points."""
    radius = 1 / divisions / math.sqrt(3) * 1.02
    angles = np.pi / 6 + np.arange(6) * np.pi / 3
    return points[:, None, :] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def ternary_figure(
    elements: tuple[str, str, str],
    fractions: ArrayLike,
    phases: Sequence[tuple[str, ...]],
    driving_force: ArrayLike,
    *,
    title: str,
    whole: float = 1.0,
    candidate: ArrayLike = (math.nan, math.nan, math.nan),
    candidate_name: str = "",
    inside: bool = True,
) -> Figure:
    """An isothermal section: which phases, and how far bcc alone is from stable.

    Args:
        elements: First the left corner, then the right, then the top.
        fractions: ``(n, 3)`` of a regular grid over the triangle, rows that sum to one.
        phases: For each point its phases; empty where there is no answer, left white.
        driving_force: ``(n,)`` J per mole of atoms against bcc of the point's composition; NaN is left white.
        title: Of the figure.
        whole: What the three together have of the alloy; ticks are of the alloy.
        candidate: ``(3,)`` shares of the marked alloy, sum one; NaN for none.
        candidate_name: What is written for it.
        inside: Whether it lies in the section (a filled mark) or is projected onto it (an open one).
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.patches import Patch

    inner = np.asarray(fractions, dtype=float)
    force = np.asarray(driving_force, dtype=float)
    points = _flat(inner)
    divisions = max(1, round(1 / max(float(np.unique(inner)[1:2].max(initial=0.0)), 1e-9)))
    cells: Any = _cells(points, divisions)  # matplotlib takes arrays, its stubs do not
    known = np.isfinite(force)
    figure = _new(9.4 if known.any() else 5.2, 4.0)
    panels = figure.subplots(1, 2 if known.any() else 1, squeeze=False)[0]
    left = panels[0]
    kinds = sorted({p for p in phases if p}, key=lambda p: -sum(q == p for q in phases))
    outline = _triangle(left, elements, whole)
    for names in kinds:
        mine = [k for k, p in enumerate(phases) if p == names]
        colour = field_colour(names)
        shapes = PolyCollection(
            cells[mine], facecolors=[colour], edgecolors=[colour], linewidths=0.3, zorder=1
        )
        left.add_collection(shapes)
        shapes.set_clip_path(outline)
    left.legend(
        handles=[
            Patch(facecolor=field_colour(n), edgecolor=INK, linewidth=0.5, label=field_name(n)) for n in kinds
        ],
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        loc="upper left",
        bbox_to_anchor=(-0.14, 1.0),
    )
    left.set_title(title, fontsize=10, loc="left", color=INK)
    if known.any():
        right = panels[1]
        outline = _triangle(right, elements, whole)
        limit = float(np.clip(np.quantile(np.abs(force[known]), 0.95), 10.0, 5000.0))
        shapes = PolyCollection(
            list(cells[known]),
            array=force[known],
            cmap="RdBu_r",
            norm=TwoSlopeNorm(0.0, -limit, limit),
            edgecolors="face",
            linewidths=0.3,
            zorder=1,
        )
        right.add_collection(shapes)
        shapes.set_clip_path(outline)
        bar = figure.colorbar(shapes, ax=right, shrink=0.75, extend="both")
        bar.set_label("driving force against single BCC / J mol$^{-1}$", color=INK, fontsize=8.5)
        bar.ax.tick_params(colors=INK, labelsize=8)
        right.set_title("blue: BCC alone is stable", fontsize=9, loc="left", color=INK)
    share = np.asarray(candidate, dtype=float).reshape(1, 3)
    if np.isfinite(share).all():
        ((u, v),) = _flat(share)
        for axes in panels:
            axes.plot(
                [u],
                [v],
                linestyle="none",
                marker="o",
                markersize=7,
                markerfacecolor=CANDIDATE if inside else "none",
                markeredgecolor=CANDIDATE,
                markeredgewidth=1.6,
                zorder=6,
            )
            axes.annotate(
                candidate_name if inside else f"{candidate_name} (projected)",
                (u, v),
                xytext=(7, 5),
                textcoords="offset points",
                fontsize=8.5,
                color=INK,
                zorder=7,
            )
    return figure

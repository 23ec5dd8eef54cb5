"""Figures of phases: fractions against temperature, solidification, sections. Arrays in, a Figure out.

A phase has one colour in every figure; a field of several phases has the light mean of theirs. Temperatures
are in kelvin with degrees Celsius on the right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import zero_Celsius

from hea_loop.figures.campaign import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "CANDIDATE",
    "celsius_axis",
    "field_colour",
    "phase_colour",
    "profile_figure",
    "short_name",
    "solidification_figure",
]

CANDIDATE: Final = "#d55e00"
"""Colour of the line or point that marks the alloy."""

# Okabe and Ito's colours for what occurs most; the Laves phases are three shades of one
_COLOURS: Final = {
    "LIQUID": "#e69f00",
    "BCC": "#0072b2",
    "HCP": "#009e73",
    "FCC": "#56b4e9",
    "C14": "#aa4499",
    "C15": "#882255",
    "C36": "#cc79a7",
    "SIGMA": "#999933",
    "B2": "#332288",
}
_OTHERS: Final = ("#7f5539", "#6a994e", "#bc4749", "#577590", "#b5838d", "#4d908e", "#9c6644", "#3d405b")


def short_name(phase: str) -> str:
    """A phase as it is written into a diagram: ``BCC``, ``C15``, ``liquid``; ``#2`` stays."""
    name, _, number = phase.partition("#")
    parts = name.upper().split("_")
    if parts[0].startswith(("LIQUID", "IONIC")):
        short = "liquid"
    elif "LAVES" in parts and len(parts) > 1:
        short = next(p for p in parts if p != "LAVES")
    elif parts[0] == "BCC" and len(parts) > 1 and parts[1] != "A2":
        short = parts[1]  # BCC_B2 is called B2
    else:
        short = parts[0]
    return f"{short}#{number}" if number else short


def phase_colour(phase: str) -> str:
    """The colour of a phase, the same in every figure and process."""
    key = short_name(phase).partition("#")[0].upper()
    if key in _COLOURS:
        return _COLOURS[key]
    return _OTHERS[sum(ord(c) * (k + 1) for k, c in enumerate(key)) % len(_OTHERS)]


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def field_colour(phases: Sequence[str]) -> tuple[float, float, float]:
    """Colour of a field: one phase a clear tint, several a lighter mean; no phase, white."""
    if not phases:
        return (1.0, 1.0, 1.0)
    mean = np.mean([_rgb(phase_colour(p)) for p in phases], axis=0)
    strength = 0.45 if len(phases) == 1 else 0.16 + 0.10 * min(len(set(phases)), 3)
    red, green, blue = (1 - strength * (1 - mean)).tolist()
    return (red, green, blue)


def celsius_axis(axes: Axes, *, horizontal: bool = False) -> None:
    """Put degrees Celsius on the other side of a temperature axis in kelvin."""
    functions = (lambda T: T - zero_Celsius, lambda T: T + zero_Celsius)
    second: Any = axes.secondary_xaxis("top", functions=functions) if horizontal else None
    if second is None:
        second = axes.secondary_yaxis("right", functions=functions)
        second.set_ylabel("temperature / °C", color=INK)
    else:
        second.set_xlabel("temperature / °C", color=INK)
    second.tick_params(colors=INK, labelsize=9, width=0.8)


def _new(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _plain(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.8)
    axes.tick_params(colors=INK, labelsize=9, width=0.8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)


def profile_figure(
    temperatures_K: ArrayLike,
    names: Sequence[str],
    fractions: ArrayLike,
    *,
    title: str,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Phase fractions against temperature.

    Args:
        temperatures_K: ``(n,)`` rising, K.
        names: Of the entries, ``k``; ``BCC_A2#2`` is the second side of a miscibility gap and drawn dashed.
        fractions: ``(n, k)`` mole fractions, zero where an entry is not stable.
        title: Of the figure.
        marks: Temperatures to name, K (``solidus``); those that are NaN are left out.
    """
    T, parts = np.asarray(temperatures_K, dtype=float), np.asarray(fractions, dtype=float)
    figure = _new(7.0, 4.0)
    axes = figure.add_subplot()
    for k, name in enumerate(names):
        second = name.partition("#")[2] not in {"", "1"}
        # a phase begins and ends at zero: the line is not drawn along the axis
        present = parts[:, k] > 0
        shown = present.copy()
        shown[1:] |= present[:-1]
        shown[:-1] |= present[1:]
        axes.plot(
            T,
            np.where(shown, parts[:, k], np.nan),
            color=phase_colour(name),
            linestyle="--" if second else "-",
            linewidth=1.9,
            label=name,
        )
    axes.set_ylim(0, 1.02)
    if T.size:
        axes.set_xlim(float(T.min()), float(T.max()))
    known = sorted(((n, t) for n, t in (marks or {}).items() if math.isfinite(t)), key=lambda m: m[1])
    width = float(np.ptp(T)) if T.size else 1.0
    for k, (name, temperature) in enumerate(known):
        # names of neighbours at one height would run into each other
        near = k > 0 and temperature - known[k - 1][1] < 0.06 * width
        axes.axvline(temperature, color=INK, linewidth=0.7, linestyle=":", zorder=0)
        axes.annotate(
            f"{name} {temperature:.0f} K",
            (temperature, 0.985),
            xycoords=("data", "axes fraction"),
            xytext=(2 if near else -2, 0),
            textcoords="offset points",
            rotation=90,
            va="top",
            ha="left" if near else "right",
            fontsize=8,
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
        )
    axes.set_xlabel("temperature / K")
    axes.set_ylabel("mole fraction of phase")
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.7)
    axes.set_title(title, fontsize=10, loc="left", color=INK)
    _plain(axes)
    celsius_axis(axes, horizontal=True)
    if names:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def solidification_figure(
    temperatures_K: ArrayLike,
    solid_fraction: ArrayLike,
    phases: Sequence[str],
    amounts: ArrayLike,
    elements: Sequence[str],
    liquid_compositions: ArrayLike,
    *,
    title: str,
    equilibrium: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """Scheil solidification: solid against temperature, and the liquid as the solid grows.

    Args:
        temperatures_K: ``(n,)`` falling, K.
        solid_fraction: ``(n,)`` mole fraction of solid.
        phases: The ``k`` solids.
        amounts: ``(n, k)`` mole fraction of each so far.
        elements: ``m`` symbols.
        liquid_compositions: ``(n, m)`` atomic fractions.
        title: Of the figure.
        equilibrium: Temperatures and solid fraction of the same alloy at equilibrium (the lever rule).
    """
    T, solid = np.asarray(temperatures_K, dtype=float), np.asarray(solid_fraction, dtype=float)
    parts, liquid = np.asarray(amounts, dtype=float), np.asarray(liquid_compositions, dtype=float)
    figure = _new(8.6, 3.9)
    left, right = figure.subplots(1, 2)
    if equilibrium is not None:
        left.plot(
            np.asarray(equilibrium[1], dtype=float),
            np.asarray(equilibrium[0], dtype=float),
            color=INK,
            linewidth=1.0,
            linestyle=":",
            label="equilibrium",
        )
    left.plot(solid, T, color=INK, linewidth=1.8, label="Scheil, all solids")
    if len(phases) > 1:
        for k, phase in enumerate(phases):
            left.plot(parts[:, k], T, color=phase_colour(phase), linewidth=1.4, label=phase)
    left.set_xlim(0, 1)
    if T.size:
        margin = max(20.0, 0.05 * float(np.ptp(T)))
        left.set_ylim(float(T.min()) - margin, float(T.max()) + margin)
    left.set_xlabel("mole fraction of solid")
    left.set_ylabel("temperature / K")
    left.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right")
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#7f5539")
    for m, element in enumerate(elements):
        right.plot(
            solid,
            100 * liquid[:, m],
            color=colours[m % len(colours)],
            linestyle="-" if m < len(colours) else "--",
            linewidth=1.6,
            label=element,
        )
    right.set_xlim(0, 1)
    right.set_ylim(bottom=0)
    right.set_xlabel("mole fraction of solid")
    right.set_ylabel("in the liquid / at.%")
    if elements:
        right.legend(frameon=False, fontsize=8, labelcolor=INK, ncols=2)
    left.set_title(title, fontsize=10, loc="left", color=INK)
    for axes in (left, right):
        axes.grid(color=INK, alpha=0.12, linewidth=0.7)
        _plain(axes)
    celsius_axis(left)
    return figure

"""Figures of phases: looked at through matplotlib's axes, not through pixels."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from hea_loop.figures.phase_sections import (
    TieLines,
    binary_figure,
    field_name,
    isopleth_figure,
    ternary_figure,
)
from hea_loop.figures.phases import (
    field_colour,
    phase_colour,
    profile_figure,
    short_name,
    solidification_figure,
)

BCC, GAP, LIQUID = ("BCC_A2",), ("BCC_A2", "BCC_A2"), ("LIQUID",)


def _texts(axes):
    return {t.get_text() for t in axes.texts if t.get_text()}


def _is_png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    buffer.seek(0)
    with Image.open(buffer) as image:
        image.load()
        return image.format == "PNG" and min(image.size) > 150


@pytest.mark.parametrize(
    ("phase", "short"),
    [
        ("LIQUID", "liquid"),
        ("BCC_A2", "BCC"),
        ("BCC_A2#2", "BCC#2"),
        ("BCC_B2", "B2"),
        ("LAVES_C15", "C15"),
        ("C14_LAVES", "C14"),
        ("FCC_A1", "FCC"),
        ("SIGMA", "SIGMA"),
        ("AL3NB_D022", "AL3NB"),
    ],
)
def test_phases_are_written_short(phase, short):
    assert short_name(phase) == short


def test_a_field_is_named_by_its_phases_liquid_last():
    assert field_name(("LIQUID", "LAVES_C15", "BCC_A2")) == "BCC + C15 + liquid"
    assert field_name(GAP) == "2 BCC"


def test_colours_tell_common_phases_apart_and_do_not_change():
    names = ("LIQUID", "BCC_A2", "HCP_A3", "FCC_A1", "LAVES_C14", "LAVES_C15", "LAVES_C36", "SIGMA", "BCC_B2")
    assert len({phase_colour(n) for n in names}) == len(names)
    assert phase_colour("BCC_A2#2") == phase_colour("BCC_A2")
    assert phase_colour("AL3NB_D022") == phase_colour("AL3NB_D022")
    assert field_colour(()) == (1.0, 1.0, 1.0)
    assert len({field_colour(n) for n in (BCC, GAP, LIQUID, ("BCC_A2", "LIQUID"))}) == 4


def test_a_profile_has_a_line_for_each_entry_and_names_known_temperatures_only():
    T = np.array([1000.0, 1200.0, 1400.0, 1600.0])
    parts = np.array([[0.6, 0.4, 0], [0.8, 0.2, 0], [1, 0, 0], [0.5, 0, 0.5]])
    figure = profile_figure(
        T,
        ["BCC_A2#1", "BCC_A2#2", "LIQUID"],
        parts,
        title="NbZr",
        marks={"solidus": 1500.0, "liquidus": math.nan},
    )
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert set(lines) == {"BCC_A2#1", "BCC_A2#2", "LIQUID"}
    assert lines["BCC_A2#2"].get_linestyle() == "--"
    # an entry is drawn to zero where it ends and not along the axis after that
    assert np.isnan(lines["LIQUID"].get_ydata()[:2]).all()
    assert _texts(axes) == {"solidus 1500 K"}
    assert axes.get_xlabel() == "temperature / K"
    assert "°C" in axes.child_axes[0].get_xlabel()
    assert _is_png(figure)


def test_solidification_shows_every_solid_and_every_element():
    figure = solidification_figure(
        [2000.0, 1900.0, 1800.0],
        [0.0, 0.5, 0.99],
        ["BCC_A2", "LAVES_C15"],
        [[0, 0], [0.5, 0], [0.8, 0.19]],
        ["Nb", "Zr"],
        [[0.5, 0.5], [0.4, 0.6], [0.2, 0.8]],
        title="NbZr",
        equilibrium=([1850.0, 2000.0], [1.0, 0.0]),
    )
    left, right = figure.axes
    assert {line.get_label() for line in left.lines} == {
        "equilibrium",
        "Scheil, all solids",
        "BCC_A2",
        "LAVES_C15",
    }
    assert {line.get_label() for line in right.lines} == {"Nb", "Zr"}
    assert right.lines[1].get_ydata()[-1] == pytest.approx(80)
    assert _is_png(figure)


FIELDS = [
    [(600.0, 1500.0, BCC), (1500.0, 2000.0, LIQUID)],
    [(600.0, 1000.0, GAP), (1000.0, 1400.0, BCC), (1400.0, 2000.0, LIQUID)],
    [(600.0, 1000.0, GAP), (1000.0, 1400.0, BCC), (1400.0, 2000.0, LIQUID)],
    [(600.0, 1500.0, BCC), (1500.0, 2000.0, LIQUID)],
]


def test_an_isopleth_names_its_fields_and_marks_the_alloy_with_a_dashed_line():
    figure = isopleth_figure(
        [0.0, 30.0, 60.0, 100.0],
        (600.0, 2000.0),
        FIELDS,
        x_label="Ti / at.%",
        title="NbTi",
        candidate=50.0,
        candidate_name="NbTi",
        temperatures_K=[1273.0],
    )
    (axes,) = figure.axes
    assert {"BCC", "2 BCC", "liquid"} <= _texts(axes)
    (mark,) = (line for line in axes.lines if line.get_label() == "NbTi")
    assert mark.get_linestyle() == "--"
    assert list(mark.get_xdata()) == [50.0, 50.0]
    assert axes.get_xlabel() == "Ti / at.%"
    assert _is_png(figure)


def test_the_fields_of_an_isopleth_cover_it_once():
    figure = isopleth_figure([0.0, 30.0, 60.0, 100.0], (600.0, 2000.0), FIELDS, x_label="x", title="t")
    area = 0.0
    for shapes in figure.axes[0].collections:
        if type(shapes).__name__ != "PolyCollection":
            continue
        for path in shapes.get_paths():
            x, y = path.vertices[:-1].T
            area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert area == pytest.approx(100 * 1400, rel=1e-9)


def test_a_field_that_ends_inside_another_ends_in_a_point():
    inside = [(600.0, 900.0, BCC), (900.0, 1000.0, GAP), (1000.0, 1500.0, BCC), (1500.0, 2000.0, LIQUID)]
    outside = [(600.0, 1500.0, BCC), (1500.0, 2000.0, LIQUID)]
    figure = isopleth_figure([0.0, 1.0], (600.0, 2000.0), [inside, outside], x_label="x", title="t")
    gap = next(
        shapes
        for shapes in figure.axes[0].collections
        if type(shapes).__name__ == "PolyCollection"
        and tuple(shapes.get_facecolor()[0][:3]) == pytest.approx(field_colour(GAP))
    )
    right = gap.get_paths()[0].vertices
    assert set(right[right[:, 0] == 1.0][:, 1]) == {950.0}


@pytest.mark.parametrize("mapped", [True, False])
def test_a_binary_has_units_invariants_and_fields_with_or_without_mapped_boundaries(mapped):
    lines = [TieLines(("BCC_A2", "BCC_A2#2"), [[0.2, 0.3], [0.7, 0.5]], [700.0, 1000.0])]
    figure = binary_figure(
        ("Nb", "Zr"),
        (600.0, 2000.0),
        lines if mapped else [],
        [(893.0, [0.2, 0.8, 0.99])],
        [0.0, 0.3, 0.6, 1.0],
        FIELDS,
        title="Nb-Zr",
        candidate=0.5,
        candidate_name="NbZr",
    )
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Zr / at.%"
    assert {"893 K", "liquid", "2 BCC"} <= _texts(axes)
    assert "NbZr" in {line.get_label() for line in axes.lines}
    assert axes.child_axes[0].get_ylabel() == "temperature / °C"
    assert _is_png(figure)


def test_a_ternary_shows_phases_and_driving_forces_and_says_what_is_projected():
    steps = [(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]
    fractions = np.array(steps) / 4
    phases = [BCC if k % 3 else GAP for k in range(len(steps))]
    figure = ternary_figure(
        ("Nb", "Ti", "Zr"),
        fractions,
        phases,
        np.where([p == BCC for p in phases], -50.0, 20.0),
        title="1273 K",
        candidate=(0.2, 0.3, 0.5),
        candidate_name="HfNbTaTiZr",
        inside=False,
    )
    left, right, bar = figure.axes
    for axes in (left, right):
        assert {"Nb", "Ti", "Zr", "HfNbTaTiZr (projected)"} <= _texts(axes)
        (mark,) = (line for line in axes.lines if line.get_marker() == "o")
        assert mark.get_markerfacecolor() == "none"
        assert mark.get_xdata()[0] == pytest.approx(0.3 + 0.5 / 2)
        assert mark.get_ydata()[0] == pytest.approx(0.5 * math.sqrt(3) / 2)
    assert {t.get_text() for t in left.get_legend().get_texts()} == {"BCC", "2 BCC"}
    assert "J mol" in bar.get_ylabel()
    assert _is_png(figure)


def test_without_driving_forces_a_ternary_has_one_panel():
    figure = ternary_figure(("Nb", "Ti", "Zr"), np.eye(3), [BCC] * 3, np.full(3, np.nan), title="t")
    assert len(figure.axes) == 1

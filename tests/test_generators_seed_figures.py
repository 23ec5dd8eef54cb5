"""The command that draws the seed paper's figures and prints its table."""

import contextlib
import io
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from rich.console import Console

from benchmarks import seed_figures
from hea_loop.figures import seed as figures
from hea_loop.formula import parse_composition


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = seed_figures.main(["--smoke", "--json", "--seed", "1", "--out", str(folder)])
    return code, json.loads(out.getvalue()), folder


def test_the_command_draws_every_figure_as_a_picture_that_is_not_blank(printed):
    code, result, folder = printed
    assert code == 0
    names = [f"figure_{n}.png" for n in (4, 5, 6, 7, 8)]
    assert [str(folder / name) for name in names] == result["figures"]
    for name in names:
        assert np.ptp(imread(folder / name)[..., :3]) > 0.5


def test_the_table_has_the_four_shear_moduli_of_the_seed_with_error_and_diversity(printed):
    _, result, _ = printed
    rows = result["runs"][0]["fixed_shear_modulus"]
    assert [row["target_GPa"] for row in rows] == [30, 60, 90, 120]
    for row in rows:
        assert {"mean", "median", "mae", "share_within", "diversity", "share_of_data_within"} <= set(row)
        assert row["mae"] >= abs(row["bias"])
        assert 0 <= row["diversity"] <= 1
    assert result["runs"][0]["metrics"]["collapsed"] in {True, False}


def test_training_uses_every_packaged_alloy_that_the_linear_combination_covers(printed):
    _, result, _ = printed
    assert result["alloys"] > 800
    assert {"Mo", "Re", "Ru", "W", "Al"} <= set(result["elements"])


def test_every_figure_has_its_number_in_the_result(printed):
    _, result, _ = printed
    run = result["runs"][0]
    assert {
        "pair_correlation_distance",
        "property_correlation_distance",
        "element_count_distance",
        "mae_shear_modulus",
        "coverage",
        "novelty",
    } <= set(run["realism"])
    assert [row["corner"] for row in run["corners"]] == ["a", "b", "c", "d"]
    assert all(0 <= row["share_within_5_percent"] <= 1 for row in run["corners"])


def test_a_caption_says_the_numbers_and_which_corner_is_refused():
    likeness = dict.fromkeys(
        ("pair_correlation_distance", "property_correlation_distance", "element_count_distance"), 0.125
    ) | {"coverage": 0.5, "novelty": 1.0, "share_within_5_percent": 0.4}
    corners = [
        {"corner": "a", "refused": "nothing is there", "share_within_5_percent": 0.0, "diversity": 0.1},
        {"corner": "b", "refused": None, "share_within_5_percent": 0.75, "diversity": 0.3},
    ]
    said = seed_figures.captions("cvae", likeness, [{"diversity": 0.2, "target_GPa": 30.0}], corners)
    assert "0.125" in said["figure_4"]
    assert "40%" in said["figure_5"]
    assert "0.20 at 30 GPa" in said["figure_6"]
    assert "a refused; b 75%" in said["figure_7"]
    assert "b 0.30" in said["figure_8"]


def test_two_strategies_are_compared_in_one_table(printed):
    _, result, _ = printed
    other = result | {"strategy": "neighbour-jitter"}
    out = io.StringIO()
    seed_figures.show([result, other], Console(file=out, width=250))
    for table in out.getvalue().split("figures 4, 5, 7 and 8"):
        assert table.index("cgan-2021") < table.index("neighbour-jitter")


def test_a_condition_that_no_composition_meets_is_refused_with_the_reason():
    data = seed_figures.training_data(
        [parse_composition(f) for f in ("NbTi", "MoNb", "MoNbTi", "MoTi", "Mo3Nb")]
    )
    refused = seed_figures.refused_corners(data, {"a": (400.0, 0.1), "b": tuple(data.conditions[0])})
    assert set(refused) == {"a"}
    assert "nearest is" in refused["a"]


def test_an_unknown_strategy_ends_with_one_line_and_code_2(tmp_path, capfd):
    code = seed_figures.main(["--smoke", "--strategy", "cgan-2012", "--out", str(tmp_path)])
    said = capfd.readouterr()
    assert code == 2
    assert said.out == ""
    assert "did you mean cgan-2021" in said.err


def test_a_file_in_place_of_the_folder_ends_with_one_line_and_code_2(tmp_path, capfd):
    (tmp_path / "taken").write_text("")
    code = seed_figures.main(["--smoke", "--out", str(tmp_path / "taken")])
    assert code == 2
    assert "--out" in capfd.readouterr().err


def test_the_corner_conditions_lie_two_on_the_ridge_and_two_on_opposite_sides_of_it():
    rng = np.random.default_rng(1)
    g = rng.uniform(30, 120, 500)
    data = np.column_stack([g, 0.005 * g + rng.normal(0, 0.02, 500)])
    corners = seed_figures.corner_conditions(data)
    off = {letter: k - 0.005 * g for letter, (g, k) in corners.items()}
    assert off["a"] == pytest.approx(0.04, abs=0.01)
    assert off["d"] == pytest.approx(-0.04, abs=0.01)
    assert abs(off["b"]) < 0.03
    assert abs(off["c"]) < 0.03
    assert corners["c"][0] < corners["a"][0] < corners["d"][0] < corners["b"][0]


def test_sample_compositions_are_columns_with_one_row_for_each_element():
    axes = Figure().subplots()
    x = np.array([[0.2, 0.8, 0.0], [0.0, 0.5, 0.5]])
    image = figures.composition_columns(axes, x, ("Hf", "Nb", "W"))
    assert np.array_equal(image.get_array(), x.T)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Hf", "Nb", "W"]

"""The command that draws the seed paper's figures and prints its table."""

import contextlib
import io
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from benchmarks import seed_figures
from hea_loop.figures import seed as figures


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

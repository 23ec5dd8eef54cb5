"""The stored uncertainties of the predictions are those that the packaged data give."""

import pytest

from benchmarks.prediction_uncertainty import Deviation, main, measured, stored
from hea_loop.prediction import METHODS


def test_stored_uncertainties_are_measured_ones():
    found = measured()
    assert stored().keys() == found.keys()
    for name, (value, number) in stored().items():
        assert name in METHODS
        assert found[name].number == number
        assert value == pytest.approx(found[name].root_mean_square, rel=1e-3), name


def test_root_mean_square_includes_the_bias():
    import numpy as np

    summary = Deviation.of(np.array([1.0, 3.0]))
    assert (summary.number, summary.bias, summary.root_mean_square) == (2, 2.0, pytest.approx(5**0.5))


def test_command_prints_a_line_for_every_constant(capsys):
    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(stored())

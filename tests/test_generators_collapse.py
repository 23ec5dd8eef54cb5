"""Collapse is noticed while training, dated, taken back on recovery, and told in words."""

import numpy as np
import pytest

from hea_loop.errors import InputError
from hea_loop.generators.collapse import CollapseMonitor, collapse_words, probe_conditions
from hea_loop.generators.protocol import TrainingData

PROBES = np.array([[60.0, 1.0], [90.0, 2.0]])


def varied(wanted: np.ndarray, seed: int) -> np.ndarray:
    """A different alloy at each call for an answer."""
    return np.random.default_rng(seed).dirichlet(np.ones(5), len(wanted))


def one_answer_each(wanted: np.ndarray, _seed: int) -> np.ndarray:
    """One alloy per condition: diverse over the conditions, never at one of them."""
    share = np.clip(wanted[:, :1] / 150, 0, 1)
    return np.concatenate([share, 1 - share, np.zeros((len(wanted), 3))], axis=1)


def test_a_generator_that_answers_each_condition_with_one_alloy_has_collapsed_since_the_first_low_measure() -> (
    None
):
    monitor = CollapseMonitor(PROBES, seed=1, patience=3)
    points = [monitor.observe(step, varied) for step in (10, 20)]
    points += [monitor.observe(step, one_answer_each) for step in (30, 40, 50, 60)]
    assert [p["collapsed"] for p in points] == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    assert points[0]["diversity"] > 0.2
    assert points[-1]["diversity"] == 0.0
    assert monitor.metrics() == {"collapsed": True, "collapsed_at_step": 30}
    assert collapse_words(monitor.metrics()) == (
        "collapsed: since step 30 of training it answers one condition with one composition"
    )


def test_a_generator_that_recovers_has_not_collapsed() -> None:
    monitor = CollapseMonitor(PROBES, seed=1, patience=2)
    for step in (10, 20, 30):
        monitor.observe(step, one_answer_each)
    assert monitor.collapsed
    monitor.observe(40, varied)
    assert monitor.metrics() == {"collapsed": False, "collapsed_at_step": None}
    assert collapse_words(monitor.metrics()) == ""


def test_differences_in_traces_alone_are_no_diversity() -> None:
    def traces(wanted: np.ndarray, seed: int) -> np.ndarray:
        x = np.tile([0.5, 0.5, 0.0], (len(wanted), 1))
        x[:, 2] = np.random.default_rng(seed).uniform(0, 0.004, len(wanted))
        return x / x.sum(axis=1, keepdims=True)

    monitor = CollapseMonitor(PROBES, seed=1, patience=1)
    assert monitor.observe(1, traces)["diversity"] == pytest.approx(0, abs=1e-12)


def test_probes_are_conditions_of_real_alloys_over_the_range_of_the_first_property() -> None:
    conditions = np.column_stack([np.linspace(0, 100, 101), np.linspace(5, 6, 101)])
    conditions[7, 0] = np.nan
    data = TrainingData(("Nb", "W"), np.tile([0.5, 0.5], (101, 1)), conditions, ("a", "b"))
    probes = probe_conditions(data, 4)
    assert probes.shape == (4, 2)
    assert all((row == conditions).all(axis=1).any() for row in probes)
    assert (np.diff(probes[:, 0]) > 10).all()


def test_one_answer_a_probe_is_refused_as_nothing_could_differ() -> None:
    with pytest.raises(InputError, match="too few"):
        CollapseMonitor(PROBES, seed=1, answers=1)

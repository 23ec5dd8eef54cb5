"""The model of observed phases: its arithmetic, its fit, and how it is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from hea_loop.errors import InputError
from validators.calphad.observed import AS_CAST, PROCESSING_STATES, RIVALS, NoisyOr, fit, processing_state
from validators.calphad.observed.probability import load_model

STATES = len(PROCESSING_STATES)


def model(levels: tuple[float, ...], background: float, slope: float = 1.0) -> NoisyOr:
    return NoisyOr(
        tuple(float(logit(q)) for q in levels), (slope,) * len(RIVALS), (float(logit(background)),) * STATES
    )


def test_rivals_spoil_an_observation_independently_of_each_other() -> None:
    # at 0.55 of the solidus a rival is seen with the probability of its level
    one = model((0.5, 0.2, 0.1, 0.01), 0.04).probability(np.full((1, 4), 0.55), [AS_CAST])
    assert one[0] == pytest.approx(0.5 * 0.8 * 0.9 * 0.99 * 0.96)


def test_a_tenth_of_the_solidus_more_moves_a_rival_by_its_slope_in_logits() -> None:
    found = model((0.5, 0.2, 0.1, 0.01), 0.04, slope=2.0).spoilers(
        np.array([[0.65, 0.55, 0.45, 0.55]]), [AS_CAST]
    )
    assert logit(found[0]) == pytest.approx([2.0, logit(0.2), logit(0.1) - 2.0, logit(0.01), logit(0.04)])


def test_a_rival_that_is_stable_further_up_never_helps() -> None:
    coefficients = load_model().coefficients
    low = coefficients.probability(np.full((1, 4), 0.4), [AS_CAST])[0]
    for k in range(len(RIVALS)):
        features = np.full((1, 4), 0.4)
        features[0, k] = 0.9
        assert coefficients.probability(features, [AS_CAST])[0] <= low


def test_the_fit_finds_the_probabilities_that_made_the_data() -> None:
    rng = np.random.default_rng(3)
    truth = NoisyOr((-3.0, -1.0, -4.0, -3.5), (1.5, 2.0, 0.8, 1.0), (-3.0, -2.5, -0.5, -4.0, -2.0))
    features = rng.uniform(0.3, 0.9, (6000, 4))
    states = rng.choice(PROCESSING_STATES, 6000).tolist()
    p = truth.probability(features, states)
    found = fit(features, states, rng.random(6000) < p)
    assert np.abs(found.probability(features, states) - p).mean() < 0.02
    assert min(found.slopes) >= 0.0


def test_weights_count_as_often_as_the_observation_repeated() -> None:
    rng = np.random.default_rng(4)
    features, states = rng.uniform(0.3, 0.9, (200, 4)), [AS_CAST] * 200
    single = rng.random(200) < 0.6
    times = rng.integers(0, 3, 200)
    weighted = fit(features, states, single, weights=times.astype(float))
    repeated = fit(np.repeat(features, times, axis=0), [AS_CAST] * int(times.sum()), np.repeat(single, times))
    assert weighted.probability(features, states) == pytest.approx(
        repeated.probability(features, states), abs=1e-3
    )


def test_observations_that_are_all_alike_teach_nothing() -> None:
    with pytest.raises(InputError, match="all alike"):
        fit(np.full((5, 4), 0.5), [AS_CAST] * 5, np.ones(5, dtype=bool))


def test_what_is_written_reads_back_the_same() -> None:
    coefficients = load_model().coefficients
    assert NoisyOr.from_json(json.loads(json.dumps(coefficients.to_json()))) == coefficients


@pytest.mark.parametrize(
    ("content", "problem"), [("{", "is no model"), ("{}", "is no model"), (None, "cannot be read")]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "model.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=problem) as error:
        load_model(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (("arc melted",), "as cast"),
        (("arc melted", "cold rolled"), "as cast"),
        (("directed energy deposited",), "as cast"),
        (("annealed", "arc melted"), "heat treated"),
        (("mechanically alloyed", "spark plasma sintered"), "powder"),
        (("hot isostatic pressed", "mechanically alloyed"), "powder"),
        (("sputtered",), "film"),
        (("cold rolled",), "unknown"),
        ((), "unknown"),
    ],
)
def test_processing_steps_leave_one_state(steps: tuple[str, ...], state: str) -> None:
    assert processing_state(steps) == state

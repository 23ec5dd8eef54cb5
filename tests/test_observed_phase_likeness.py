"""What alloys of like composition showed: the Gaussian process on top of the rivals, against what it must do."""

import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from hea_loop import parse_composition
from hea_loop.errors import InputError
from validators.calphad.observed import AS_CAST, KERNELS, Evidence, Kernel, Learned, NoisyOr, learn
from validators.calphad.observed.likeness import averaged

ELEMENTS = ("Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
KERNEL = Kernel(2.0, 0.5, 0.2)
EVEN = NoisyOr((-30.0,) * 4, (0.0,) * 4, (0.0,) * 5)  # one half for every alloy


def evidence(*formulas: str, top: float = 0.5, state: str = AS_CAST) -> Evidence:
    alloys = tuple(parse_composition(f) for f in formulas)
    return Evidence(alloys, np.full((len(alloys), 4), top), (state,) * len(alloys), ELEMENTS)


def random_evidence(count: int, rng: np.random.Generator) -> Evidence:
    chosen = [rng.choice(ELEMENTS, 4, replace=False) for _ in range(count)]
    formulas = ["".join(f"{e}{k}" for e, k in zip(one, rng.integers(1, 9, 4), strict=True)) for one in chosen]
    return Evidence(
        tuple(parse_composition(f) for f in formulas),
        rng.uniform(0.3, 0.9, (count, 4)),
        tuple(rng.choice([AS_CAST, "film"], count).tolist()),
        ELEMENTS,
    )


def test_the_average_of_the_logistic_agrees_with_its_integral() -> None:
    for mean, variance in ((0.0, 1.0), (2.0, 0.25), (-3.0, 4.0)):
        exact = [
            quad(lambda f, m=mean, v=variance, k=k: expit(f) ** k * norm.pdf(f, m, v**0.5), -40, 40)[0]
            for k in (1, 2)
        ]
        average, spread = averaged(np.array([mean]), np.array([variance]))
        assert average[0] == pytest.approx(exact[0], abs=1e-4)
        assert spread[0] == pytest.approx((exact[1] - exact[0] ** 2) ** 0.5, abs=1e-3)


def test_an_alloy_is_pulled_to_what_like_alloys_showed_and_one_unlike_hardly() -> None:
    known = evidence("MoNbTa", "Mo1.1NbTa", "MoNb1.1Ta")
    model = Learned(EVEN, KERNEL, known, np.zeros(3, dtype=bool))
    like, unlike = model.probability(evidence("MoNbTa1.1", "HfTiZr"))
    assert like < 0.3
    assert 0.35 < unlike < 0.5


def test_like_composition_with_other_rivals_or_in_another_state_tells_less() -> None:
    model = Learned(EVEN, KERNEL, evidence("MoNbTa", "Mo1.1NbTa"), np.zeros(2, dtype=bool))
    same = model.probability(evidence("MoNb1.1Ta"))[0]
    assert same < model.probability(evidence("MoNb1.1Ta", state="film"))[0] < 0.5
    assert same < model.probability(evidence("MoNb1.1Ta", top=0.9))[0] < 0.5


def test_an_alloy_is_less_sure_the_less_like_those_known() -> None:
    model = Learned(EVEN, KERNEL, evidence("MoNbTa", "Mo1.1NbTa"), np.zeros(2, dtype=bool))
    variance = model.latent(evidence("MoNbTa", "MoNbTi", "HfTiZr"))[1]
    assert np.all(np.diff(variance) > 0)
    assert variance[0] > 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_likeness_is_a_covariance(kernel: Kernel) -> None:
    known = random_evidence(60, np.random.default_rng(5))
    covariance = known.likeness(known, kernel)
    assert covariance == pytest.approx(covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


def test_many_observations_of_one_system_weigh_as_their_root() -> None:
    weights = evidence("MoNbTa", "HfTiZr", "Hf2TiZr", "HfTi2Zr", "HfTiZr2").weights
    assert weights.mean() == pytest.approx(1.0)
    assert weights[1:].sum() / weights[0] == pytest.approx(2.0)


def test_the_kernel_is_chosen_by_systems_left_out_and_rediscovers_what_made_the_data() -> None:
    rng = np.random.default_rng(8)
    known = random_evidence(250, rng)
    # a deviation that composition alone makes and the rivals do not tell: titanium spoils
    p = np.where([c.fractions.get("Ti", 0.0) > 0.1 for c in known.compositions], 0.1, 0.9)
    single = rng.random(250) < p
    train, test = np.arange(200), np.arange(200, 250)
    model = learn(known.take(train), single[train])
    assert model.kernel in KERNELS
    asked = known.take(test)
    alone = model.rivals.probability(asked.stable_up_to, asked.states)
    found = model.probability(asked)
    assert np.abs(found - p[test]).mean() < np.abs(alone - p[test]).mean() - 0.1


def test_observations_that_are_all_alike_teach_nothing() -> None:
    with pytest.raises(InputError, match="all alike"):
        learn(evidence("MoNbTa", "HfTiZr"), np.ones(2, dtype=bool))


def test_what_is_written_reads_back_and_answers_the_same() -> None:
    rng = np.random.default_rng(6)
    known = random_evidence(40, rng)
    known = Evidence(known.compositions, np.round(known.stable_up_to, 6), known.states, ELEMENTS)
    model = learn(known, rng.random(40) < 0.6)
    again = Learned.from_json(json.loads(json.dumps(model.to_json())), ELEMENTS)
    asked = random_evidence(10, rng)
    assert again.kernel == model.kernel
    assert again.probability(asked) == pytest.approx(model.probability(asked), abs=1e-12)

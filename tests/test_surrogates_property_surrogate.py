"""Several properties at several fidelities: cheap data help where they are related and do no harm elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hea_loop.errors import InputError
from hea_loop.surrogates.property_surrogate import PropertySurrogate

ELEMENTS = ("Mo", "Nb", "Ti", "V")


def dear(x: np.ndarray) -> np.ndarray:
    return 100 * x[:, 0] + 60 * np.sin(6 * x[:, 1]) - 40 * x[:, 2] * x[:, 3]


def cheap(x: np.ndarray) -> np.ndarray:
    """Three quarters of the dear one, off by something smooth."""
    return 0.75 * dear(x) + 20 * x[:, 2] - 10


def unrelated(x: np.ndarray) -> np.ndarray:
    return 80 * np.cos(9 * x[:, 3]) + 30 * np.sin(11 * x[:, 0])


def two_fidelities(low, *, dear_rows: int = 12, seed: int = 1):
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(4), 150 + dear_rows)
    fidelity = ["calphad"] * 150 + ["dft"] * dear_rows
    y = np.where(np.arange(len(x)) < 150, low(x), dear(x))
    return x, y, fidelity, rng.dirichlet(np.ones(4), 200)


def error(surrogate: PropertySurrogate, x: np.ndarray) -> float:
    return float(np.abs(surrogate.predict(x)["property"][0] - dear(x)).mean())


def alone(x, y, fidelity) -> PropertySurrogate:
    rows = np.array(fidelity) == "dft"
    return PropertySurrogate.fit(ELEMENTS, x[rows], {"property": y[rows]})


def test_related_cheap_data_make_the_dear_property_far_better_foretold():
    x, y, fidelity, asked = two_fidelities(cheap)
    both = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity)
    assert both.rho("property")["dft"] == pytest.approx(4 / 3, abs=0.15)
    assert error(both, asked) < 0.3 * error(alone(x, y, fidelity), asked)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_unrelated_cheap_data_do_not_spoil_the_dear_property(seed):
    x, y, fidelity, asked = two_fidelities(unrelated, dear_rows=30, seed=seed)
    both = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity)
    assert error(both, asked) < 1.1 * error(alone(x, y, fidelity), asked)


def test_the_lower_fidelity_can_be_asked_for_itself():
    x, y, fidelity, asked = two_fidelities(cheap)
    both = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity)
    low = both.predict(asked, fidelity="calphad")["property"][0]
    assert np.abs(low - cheap(asked)).mean() < 2
    assert both.predict(asked, fidelity="prediction") == {}


def test_the_intervals_of_two_fidelities_cover_the_truth():
    x, y, fidelity, asked = two_fidelities(cheap, dear_rows=25)
    mean, sigma = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity).predict(asked)[
        "property"
    ]
    assert np.mean(np.abs(mean - dear(asked)) < 1.96 * sigma) > 0.85


def test_a_property_learns_from_the_rows_that_have_it():
    x = np.random.default_rng(4).dirichlet(np.ones(4), 40)
    one, two = dear(x), cheap(x)
    one[:10], two[25:] = np.nan, np.nan
    both = PropertySurrogate.fit(ELEMENTS, x, {"one": one, "two": two})
    single = PropertySurrogate.fit(ELEMENTS, x[:25], {"two": two[:25]})
    assert np.array_equal(both.predict(x)["two"][0], single.predict(x)["two"][0])
    assert list(both.predict(x)) == ["one", "two"]


def test_the_means_of_a_tensor_are_those_of_the_array_and_have_a_slope():
    x, y, fidelity, asked = two_fidelities(cheap)
    both = PropertySurrogate.fit(ELEMENTS, x, {"property": y, "other": -y}, fidelity=fidelity)
    point = torch.tensor(asked[:5], requires_grad=True)
    means = both.mean_tensor(point)
    assert means.shape == (5, 2)
    assert means[:, 0].detach().numpy() == pytest.approx(both.predict(asked[:5])["property"][0], abs=1e-6)
    means.sum().backward()
    assert torch.isfinite(point.grad).all()


def test_pending_alloys_make_their_surroundings_surer_and_leave_the_means():
    x, y, fidelity, asked = two_fidelities(cheap)
    both = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity)
    pending = both.condition_on_pending(asked[:3])
    (before, wide), (after, narrow) = both.predict(asked)["property"], pending.predict(asked)["property"]
    assert after == pytest.approx(before, abs=1e-4)
    assert np.all(narrow[:3] < wide[:3])


def test_a_refit_from_an_earlier_surrogate_foretells_as_well():
    x, y, fidelity, asked = two_fidelities(cheap)
    first = PropertySurrogate.fit(ELEMENTS, x[:-2], {"property": y[:-2]}, fidelity=fidelity[:-2])
    again = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity, start=first)
    fresh = PropertySurrogate.fit(ELEMENTS, x, {"property": y}, fidelity=fidelity)
    assert error(again, asked) < 1.5 * error(fresh, asked)


def test_what_does_not_fit_is_refused():
    x = np.full((3, 4), 0.25)
    with pytest.raises(InputError, match="fidelity"):
        PropertySurrogate.fit(ELEMENTS, x, {"property": np.ones(3)}, fidelity=["guess"] * 3)
    with pytest.raises(InputError, match="does not fit 3 compositions"):
        PropertySurrogate.fit(ELEMENTS, x, {"property": np.ones(2)})
    with pytest.raises(InputError, match="no known value"):
        PropertySurrogate.fit(ELEMENTS, x, {"property": np.full(3, np.nan)})

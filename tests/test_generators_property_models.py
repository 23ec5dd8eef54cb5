"""The differentiable properties: formulas equal to the prediction loop, and processes learned from rows."""

import numpy as np
import pytest
import torch

from hea_loop.errors import InputError
from hea_loop.generators.property_models import PropertyModel, closed_form_value, property_model
from hea_loop.generators.protocol import TrainingData
from hea_loop.prediction import PREDICTED_PROPERTIES, predict_array
from hea_loop.surrogates.composition_gp import CompositionGP

PALETTE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")


def random_alloys(number: int, seed: int) -> np.ndarray:
    """Alloys of two to nine elements with exact zeros."""
    rng = np.random.default_rng(seed)
    raw = rng.exponential(size=(number, len(PALETTE)))
    kept = rng.integers(2, len(PALETTE) + 1, size=number)
    rank = rng.random(raw.shape).argsort(axis=1).argsort(axis=1)
    raw[rank >= kept[:, None]] = 0.0
    return raw / raw.sum(axis=1, keepdims=True)


def hidden_strength(x: np.ndarray) -> np.ndarray:
    """A smooth made-up property of no formula."""
    return 300 + 500 * x[:, 2] - 200 * x[:, 5] + 900 * x[:, 2] * x[:, 7]


def data_of(x: np.ndarray, unknown: float = 0.0) -> TrainingData:
    density = predict_array(x, PALETTE, ("density",))["density"]
    strength = hidden_strength(x)
    strength[: int(unknown * len(x))] = np.nan
    return TrainingData(
        PALETTE, x, np.column_stack([density, strength]), ("density", "strength"), closed_form=("density",)
    )


@pytest.mark.parametrize("name", PREDICTED_PROPERTIES)
def test_each_formula_equals_the_prediction_loop(name: str) -> None:
    x = random_alloys(200, seed=1)
    expected = predict_array(x, PALETTE, (name,))[name]
    given = closed_form_value(torch.as_tensor(x), PALETTE, name).numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-9)


@pytest.mark.parametrize("name", PREDICTED_PROPERTIES)
def test_each_formula_has_the_gradient_that_differences_give_and_a_finite_one_where_elements_are_absent(
    name: str,
) -> None:
    x = random_alloys(6, seed=2)
    point = torch.tensor(x, requires_grad=True)
    (slope,) = torch.autograd.grad(closed_form_value(point, PALETTE, name).sum(), point)
    assert slope.isfinite().all()
    # a move among present elements: half a thousandth from the second largest to the largest and back
    order = np.argsort(x, axis=1)
    move = np.zeros_like(x)
    rows = np.arange(len(x))
    move[rows, order[:, -1]] = 5e-6
    move[rows, order[:, -2]] = -5e-6
    up = predict_array(x + move, PALETTE, (name,))[name]
    down = predict_array(x - move, PALETTE, (name,))[name]
    along = (slope.numpy() * move).sum(axis=1)
    np.testing.assert_allclose(along, (up - down) / 2, rtol=1e-4, atol=1e-9 * np.abs(up).max())


def test_an_element_without_a_number_makes_only_its_own_alloys_unknown() -> None:
    elements = ("Mo", "N", "Nb")
    x = torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.1, 0.4]], dtype=torch.float64)
    values = closed_form_value(x, elements, "size_mismatch")
    assert values[0].isfinite()
    assert values[1].isnan() == (np.isnan(predictable(elements)))


def predictable(elements: tuple[str, ...]) -> float:
    """A number where the loop predicts the size mismatch of N in a metal, else NaN."""
    try:
        return float(
            predict_array(np.array([[0.5, 0.1, 0.4]]), elements, ("size_mismatch",))["size_mismatch"][0]
        )
    except InputError:
        return float("nan")


def test_a_property_without_a_formula_is_learned_from_the_rows_that_have_it() -> None:
    train, held_out = random_alloys(150, seed=3), random_alloys(60, seed=4)
    model = property_model(data_of(train, unknown=0.2), seed=1)
    predicted = model.values(held_out)
    np.testing.assert_allclose(
        predicted[:, 0], predict_array(held_out, PALETTE, ("density",))["density"], rtol=1e-9
    )
    truth = hidden_strength(held_out)
    assert np.abs(predicted[:, 1] - truth).mean() < 0.1 * np.abs(truth - truth.mean()).mean()
    sigma = model.sigma(held_out)
    assert (sigma[:, 0] == 0).all()
    assert (sigma[:, 1] > 0).all()


def test_the_gradient_of_a_learned_property_reaches_the_composition() -> None:
    train = random_alloys(80, seed=5)
    model = property_model(data_of(train), seed=1)
    x = torch.tensor(random_alloys(10, seed=6), requires_grad=True)
    (slope,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    across = (slope - slope.mean(dim=1, keepdim=True)).norm(dim=1)
    assert (across > 1).all()


def test_a_stored_model_gives_the_same_numbers_bit_by_bit() -> None:
    train, asked = random_alloys(60, seed=7), random_alloys(20, seed=8)
    model = property_model(data_of(train), seed=1)
    again = PropertyModel.from_state(model.state())
    assert np.array_equal(model.values(asked), again.values(asked))
    assert np.array_equal(model.sigma(asked), again.sigma(asked))


def test_a_formula_that_does_not_exist_is_refused_by_name() -> None:
    x = random_alloys(10, seed=9)
    data = TrainingData(PALETTE, x, hidden_strength(x)[:, None], ("strength",), closed_form=("strength",))
    with pytest.raises(InputError, match=r"closed_form.*strength.*has no formula"):
        property_model(data, seed=1)


def test_the_descriptors_a_learned_property_is_learned_by_are_those_that_foretell_left_out_rows_better() -> (
    None
):
    train, held_out = random_alloys(120, seed=10), random_alloys(80, seed=11)

    def strengthened(x: np.ndarray) -> np.ndarray:
        enthalpy = predict_array(x, PALETTE, ("mixing_enthalpy",))["mixing_enthalpy"] / 1000
        shear = predict_array(x, PALETTE, ("shear_modulus",))["shear_modulus"]
        return 300 * np.exp(-(((enthalpy + 4) / 4) ** 2)) + 200 * np.tanh((shear - 60) / 20)

    data = TrainingData(PALETTE, train, strengthened(train)[:, None], ("strength",))
    truth = strengthened(held_out)
    chosen = property_model(data, seed=1)
    plain, more = (
        CompositionGP.fit(PALETTE, train, data.conditions[:, 0], seed=1, strengthening=s)
        for s in (False, True)
    )
    errors = [np.abs(m - truth).mean() for m in (plain.predict(held_out)[0], more.predict(held_out)[0])]
    assert more.left_out_density() > plain.left_out_density()
    assert errors[1] < 0.7 * errors[0]
    np.testing.assert_array_equal(chosen.values(held_out)[:, 0], more.mean(torch.as_tensor(held_out)).numpy())
    density = data_of(train).conditions[:, :1]
    simple = property_model(TrainingData(PALETTE, train, density, ("density",)), seed=1)
    kept = simple.state()["learned"]["density"]
    both = [
        CompositionGP.fit(PALETTE, train, np.log(density[:, 0]), seed=1, strengthening=s)
        for s in (False, True)
    ]
    assert kept["strengthening"] == (both[1].left_out_density() > both[0].left_out_density())

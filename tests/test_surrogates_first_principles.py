"""The elastic model of a campaign: literature below, validators and the bench above, fitted once and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from db.elasticity import packaged_elastic_data
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array
from hea_loop.surrogates import first_principles, kept_models
from hea_loop.surrogates.first_principles import ElasticData, ElasticRow, fit_first_principles
from hea_loop.surrogates.kept_models import first_principles_model
from tests.elastic_models import ELEMENTS, WIDENING, small_elastic_data, small_elastic_model, with_more

G, K = "shear_modulus", "fracture_toughness_rice"
ASKED = np.array([[0.3, 0.3, 0.2, 0.2], [0.1, 0.4, 0.4, 0.1], [0.5, 0.0, 0.5, 0.0]])


def rows_above(level: str, shift: float, number: int, *, sigma: float | None = None) -> list[ElasticRow]:
    """Values of G that lie by so much above what the literature's level says."""
    x = np.random.default_rng(3).dirichlet(np.ones(4), number)
    alloys = [Composition.from_fractions(ELEMENTS, row.tolist()) for row in x]
    exact = np.array([c.fraction_vector(ELEMENTS) for c in alloys])
    low = small_elastic_model().means(exact, ELEMENTS, (G,))[G]
    return [
        ElasticRow(c, G, float(value) + shift, sigma, level) for c, value in zip(alloys, low, strict=True)
    ]


def test_the_order_in_which_values_were_stored_changes_nothing():
    turned = ElasticData(tuple(reversed(small_elastic_data().rows)))
    again = fit_first_principles(turned, widening=WIDENING)
    assert again.sha256 == small_elastic_model().sha256
    for name, (mean, sigma) in small_elastic_model().predict(ASKED, ELEMENTS).items():
        assert np.array_equal(again.predict(ASKED, ELEMENTS)[name][0], mean)
        assert np.array_equal(again.predict(ASKED, ELEMENTS)[name][1], sigma)


def test_means_alone_are_the_means_and_a_column_of_an_absent_element_does_not_matter():
    known = small_elastic_model().predict(ASKED, ELEMENTS)
    for name, mean in small_elastic_model().means(ASKED, ELEMENTS).items():
        assert mean == pytest.approx(known[name][0], rel=1e-12)
    wider = np.column_stack([ASKED, np.zeros(3)])
    assert small_elastic_model().means(wider, (*ELEMENTS, "N"), (K,))[K] == pytest.approx(known[K][0])


def test_what_validators_found_lifts_the_predictions_by_what_they_differ():
    model = fit_first_principles(with_more(*rows_above("dft", 9.0, 20)), widening=WIDENING)
    before, after = (m.predict(ASKED, ELEMENTS) for m in (small_elastic_model(), model))
    assert after[G][0] - before[G][0] == pytest.approx(np.full(3, 9.0), abs=1.5)
    assert np.array_equal(after["poisson_ratio"][0], before["poisson_ratio"][0])
    ratio = np.sqrt(after[G][0] / before[G][0])
    assert after[K][0] / before[K][0] == pytest.approx(ratio)
    assert "20 dft" in model.method(G)
    assert model.source != small_elastic_model().source


def test_few_values_of_another_method_leave_the_slope_alone_and_the_doubt_wide():
    (one,) = rows_above("dft", 9.0, 1)
    model = fit_first_principles(with_more(one), widening=WIDENING)
    assert model.above[G][0].rho == 1.0
    x = np.array([one.composition.fraction_vector(ELEMENTS)])
    mean, sigma = model.predict(x, ELEMENTS, (G,))[G]
    assert abs(mean[0] - one.value) < 1.0
    far = model.predict(np.eye(4), ELEMENTS, (G,))[G][1]
    assert (far > sigma[0]).all()
    assert (far > small_elastic_model().predict(np.eye(4), ELEMENTS, (G,))[G][1]).all()


def test_an_experiment_stands_above_what_validators_found():
    rows = [*rows_above("dft", 9.0, 16), *rows_above("experiment", -4.0, 16)]
    model = fit_first_principles(with_more(*rows), widening=WIDENING)
    assert len(model.above[G]) == 2
    shift = model.means(ASKED, ELEMENTS, (G,))[G] - small_elastic_model().means(ASKED, ELEMENTS, (G,))[G]
    assert shift == pytest.approx(np.full(3, -4.0), abs=1.5)


def test_a_measured_youngs_modulus_counts_as_the_shear_modulus_of_an_isotropic_solid():
    (one,) = rows_above("experiment", -8.0, 1)
    x = np.array([one.composition.fraction_vector(ELEMENTS)])
    nu = small_elastic_model().means(x, ELEMENTS, ("poisson_ratio",))["poisson_ratio"][0]
    young = ElasticRow(one.composition, "youngs_modulus", 2 * one.value * (1 + nu), None, "experiment")
    direct, by_young = (fit_first_principles(with_more(r), widening=WIDENING) for r in (one, young))
    for found, expected in zip(
        by_young.predict(ASKED, ELEMENTS, (G,))[G], direct.predict(ASKED, ELEMENTS, (G,))[G], strict=True
    ):
        assert found == pytest.approx(expected)
    assert by_young.sha256 != direct.sha256


def test_elements_that_nobody_computed_bring_the_doubt_of_the_linear_combination():
    wider = ("Mo", "Nb", "Cr", "Al")
    x = np.array([[0.5, 0.5, 0, 0], [0.45, 0.45, 0.1, 0], [0.3, 0.3, 0.2, 0.2], [0, 0, 0.5, 0.5]])
    mean, sigma = small_elastic_model().predict(x, wider, (G,))[G]
    assert (np.diff(sigma) > 0).all()
    assert sigma[3] == pytest.approx(small_elastic_model().base.prior_sigma[G])
    assert mean[3] == pytest.approx(predict_array(x, wider, (G,))[G][3])


def test_values_above_the_literature_may_be_of_elements_that_it_lacks():
    alloy = Composition.from_fractions(("Cr", "Mo"), [0.4, 0.6])
    model = fit_first_principles(with_more(ElasticRow(alloy, G, 140.0, 1.0, "dft")), widening=WIDENING)
    x = np.array([[0.4, 0.6]])
    before = small_elastic_model().predict(x, ("Cr", "Mo"), (G,))[G]
    after = model.predict(x, ("Cr", "Mo"), (G,))[G]
    assert abs(after[0][0] - 140.0) < abs(before[0][0] - 140.0)


def test_the_known_widening_is_that_of_the_packaged_alloys():
    assert packaged_elastic_data().of("literature").sha256 in first_principles._KNOWN_WIDENING


def test_what_has_not_all_three_moduli_is_no_base_and_without_any_the_campaign_cannot_go_on():
    rows = tuple(r for r in small_elastic_data().rows if r.property == G)
    with pytest.raises(InputError, match="elasticity"):
        fit_first_principles(ElasticData(rows))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory, and nothing kept in the process."""
    monkeypatch.setenv("HEA_LOOP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_models, "_models", {})
    monkeypatch.setattr(kept_models, "_bases", {})
    return tmp_path / "cache"


def forget() -> None:
    kept_models._models.clear()
    kept_models._bases.clear()


def test_a_model_is_fitted_once_then_read_and_a_damaged_file_costs_a_fit(cache):
    said: list[str] = []

    def model():
        return first_principles_model(small_elastic_data(), widening=WIDENING, say=said.append)

    first = model()
    assert model() is first
    assert len(said) == 1
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    forget()
    read = model()
    assert len(said) == 1
    for name, (mean, sigma) in first.predict(ASKED, ELEMENTS).items():
        assert np.array_equal(read.predict(ASKED, ELEMENTS)[name][0], mean)
        assert np.array_equal(read.predict(ASKED, ELEMENTS)[name][1], sigma)
    file.write_bytes(whole[: len(whole) // 2])
    forget()
    mended = model()
    assert len(said) == 2
    assert file.read_bytes() == whole
    assert np.array_equal(mended.predict(ASKED, ELEMENTS)[G][0], first.predict(ASKED, ELEMENTS)[G][0])


def test_new_validations_do_not_cost_the_fit_of_the_literature_again(cache):
    said: list[str] = []
    first_principles_model(small_elastic_data(), widening=WIDENING, say=said.append)
    more = first_principles_model(with_more(*rows_above("dft", 5.0, 3)), widening=WIDENING, say=said.append)
    assert len(said) == 1
    assert more.alloys["dft"] == 3


def test_a_directory_that_cannot_be_written_costs_nothing_but_the_file(cache):
    cache.write_text("a file stands where the directory should be")
    model = first_principles_model(small_elastic_data(), widening=WIDENING)
    assert np.array_equal(
        model.means(ASKED, ELEMENTS, (G,))[G], small_elastic_model().means(ASKED, ELEMENTS, (G,))[G]
    )
    assert cache.is_file()

"""How the probability was learned: labels, splits, scores, and that what is packaged is of today's data."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.observed_phase import (
    FEATURES,
    evaluate,
    main,
    observations,
    read_rows,
    system_folds,
    train,
    write_rows,
)
from benchmarks.reliability import (
    balanced_accuracy,
    bins_of_equal_count,
    calibration_floor,
    draw,
    expected_calibration_error,
)
from db.literature import LiteratureRow, read_literature
from hea_loop import parse_composition
from validators.calphad import load_database
from validators.calphad.observed import competition, load_model


@pytest.fixture(scope="module")
def report() -> LiteratureRow:
    return next(r for r in read_literature() if r.property == "phases_observed")


def labelled(report: LiteratureRow, *texts: str, formula: str = "MoNbTi") -> list[LiteratureRow]:
    return [
        replace(report, composition=parse_composition(formula), text=t, processing=("cast",)) for t in texts
    ]


def test_calibration_error_of_a_case_worked_by_hand() -> None:
    p = np.array([0.1, 0.3, 0.6, 0.8])
    y = np.array([False, True, True, True])
    # two bins: |0.5 - 0.2| and |1.0 - 0.7|, each with half of the weight
    assert expected_calibration_error(y, p, bins=2) == pytest.approx(0.3)
    assert expected_calibration_error(y, y.astype(float), bins=2) == 0.0


def test_bins_hold_equally_many_in_the_order_of_their_probability() -> None:
    found = bins_of_equal_count(np.array([0.9, 0.1, 0.5, 0.2, 0.7, 0.3]), bins=3)
    assert [b.tolist() for b in found] == [[1, 3], [5, 2], [4, 0]]


def test_balanced_accuracy_gives_both_kinds_the_same_weight() -> None:
    y = np.array([True] * 8 + [False] * 2)
    assert balanced_accuracy(y, np.ones(10, dtype=bool)) == 0.5
    assert balanced_accuracy(y, np.array([True] * 6 + [False] * 4)) == pytest.approx((6 / 8 + 1) / 2)
    assert np.isnan(balanced_accuracy(y[:8], y[:8]))


def test_calibrated_probabilities_show_an_error_by_chance_that_shrinks_with_their_number() -> None:
    rng = np.random.default_rng(0)
    few, many = (calibration_floor(rng.random(n), rng, draws=50) for n in (100, 10_000))
    assert few > 5 * many > 0


def test_no_system_is_in_two_folds_and_folds_are_of_equally_many_systems() -> None:
    systems = [s for s in "abcdefghijkl" for _ in range(1 + ord(s) % 5)]
    fold = system_folds(systems, 4, np.random.default_rng(1))
    of_system = {s: {int(f) for f, t in zip(fold, systems, strict=True) if t == s} for s in set(systems)}
    assert all(len(f) == 1 for f in of_system.values())
    assert set(Counter(f.pop() for f in of_system.values()).values()) == {3}
    with pytest.raises(ValueError, match="cannot be split"):
        system_folds(["a", "b"], 3, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("texts", "observed"),
    [
        (["BCC"], True),
        (["BCC", "BCC", "BCC+LAVES"], True),
        (["BCC", "BCC+BCC", "BCC+HCP"], False),
        (["B2"], False),
        (["BCC+UNKNOWN"], False),
    ],
)
def test_most_reports_decide_what_was_observed(
    report: LiteratureRow, texts: list[str], observed: bool
) -> None:
    (one,) = observations(("Mo", "Nb", "Ti"), labelled(report, *texts)).observations
    assert one.observed is observed


def test_divided_reports_and_phases_of_foreign_elements_are_left_out_and_counted(
    report: LiteratureRow,
) -> None:
    rows = labelled(report, "BCC", "BCC+HCP") + labelled(report, "BCC+CARBIDE", "BCC", formula="MoNbV")
    found = observations(("Mo", "Nb", "Ti", "V"), rows)
    assert (found.divided, found.foreign) == (1, 1)
    assert [o.composition.formula for o in found.observations] == ["MoNbV"]


def test_binaries_and_elements_outside_are_no_observations(report: LiteratureRow) -> None:
    rows = labelled(report, "BCC", formula="NbTi") + labelled(report, "BCC", formula="MoNbW")
    assert observations(("Mo", "Nb", "Ti"), rows).observations == ()


def test_the_packaged_model_is_of_the_present_database_and_literature() -> None:
    database, trained = load_database(), load_model().trained_on
    table = observations(database.elements)
    mend = "retrain: python -m benchmarks.observed_phase --write"
    assert trained["database_sha256"] == database.content_hash, mend
    assert trained["literature_sha256"] == table.digest(), mend
    assert read_rows().observations == table.observations, mend


def test_the_packaged_features_are_those_of_the_present_code() -> None:
    rows = read_rows()
    chosen = range(0, len(rows.observations), 60)
    found = competition([rows.observations[k].composition for k in chosen], load_database())
    # one bisection step, should a last bit fall on the other side
    assert found.stable_up_to == pytest.approx(rows.features[list(chosen)], abs=0.013)


def test_training_again_gives_the_packaged_model() -> None:
    rows, packaged = read_rows(), load_model()
    model, resampled = train(rows, packaged.trained_on["seed"])
    assert model.kernel == packaged.learned.kernel
    assert model.probability(rows.evidence) == pytest.approx(
        packaged.learned.probability(rows.evidence), abs=1e-3
    )
    assert len(resampled) == len(packaged.resampled)


def test_the_stated_figures_are_found_again_and_calibration_is_within_the_acceptance() -> None:
    packaged = load_model()
    stated = packaged.cross_validation["scores"]
    splits = 2  # the first of those stated: all of them take most of a minute
    result = evaluate(read_rows(), repeats=splits, draws=2, seed=packaged.trained_on["seed"])
    assert result["of_each_split"] == pytest.approx(
        packaged.cross_validation["of_each_split"][:splits], abs=0.005
    )
    found = result["scores"]
    assert found["plain_balanced_accuracy"]["value"] == pytest.approx(
        stated["plain_balanced_accuracy"]["value"]
    )
    assert stated["balanced_accuracy"]["value"] == pytest.approx(
        np.mean(packaged.cross_validation["of_each_split"]), abs=1e-5
    )
    assert max(s["expected_calibration_error"]["value"] for s in (found, stated)) <= 0.06
    # the acceptance asks for 0.82, which these data do not give (docs/observed_phase.md); it must not get worse
    assert min(s["balanced_accuracy"]["value"] for s in (found, stated)) >= 0.78
    assert stated["gain_over_plain"]["low"] > 0
    # what likeness adds to the rivals alone, on the same splits
    assert found["log_loss_less_rivals_alone"]["value"] < -0.02
    assert stated["log_loss_less_rivals_alone"]["value"] < -0.02


def test_rows_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = read_rows()
    write_rows(rows, tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_bytes() == FEATURES.read_bytes()


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200)
    assert draw(rng.random(200) < p, p, tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_trains_a_model_of_few_alloys_and_prints_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "few.json"
    assert main(["--smoke", "--json", "--write", str(path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert 0 <= result["scores"]["balanced_accuracy"]["value"] <= 1
    assert load_model(str(path)).trained_on["observations"] == result["observations"] < 120
    with pytest.raises(SystemExit):
        main(["--smoke", "--write"])
    assert main(["--database", str(tmp_path / "none.tdb")]) == 2
    assert "does not exist" in capsys.readouterr().err

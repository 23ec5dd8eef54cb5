from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.base_rate import main, measure
from hea_loop.campaign import load_campaign, parse_campaign

QUICKSTART = Path(__file__).parents[1] / "campaigns" / "quickstart.yaml"


def binary(**changes):
    return parse_campaign(
        {
            "name": "binary",
            "palette": {"elements": ["Nb", "Zr"], "number_of_elements": {"min": 2}},
            "targets": {"density": {"max": 7.5}},
            "verdicts": {"single_phase_bcc": {"temperatures_K": [1100]}},
            "validators": {"calphad": {"budget": 10}},
            **changes,
        }
    )


def test_the_quickstart_spends_its_budget_on_full_batches_and_enough_candidates():
    campaign = load_campaign(QUICKSTART)
    assert campaign.iterations >= 5
    assert campaign.validators.calphad.budget == campaign.iterations * campaign.batch_size >= 100
    assert {"shear_modulus", "fracture_toughness_rice", "density", "solidus"} == set(campaign.targets)


def test_those_outside_a_predicted_target_are_counted_without_asking_and_the_rest_with_equilibria():
    measured = measure(binary(), number=40, seed=3)
    assert 0 < measured.hits < measured.inside_predicted < measured.drawn == 40
    assert measured.holds["density"] == measured.inside_predicted / 40
    assert measured.holds_inside["single_phase_bcc"] == measured.hits / measured.inside_predicted
    assert measured.unanswered == 0
    assert measured.ci_low < measured.rate == measured.hits / 40 < measured.ci_high


def test_asking_all_gives_the_hits_that_asking_those_inside_gives():
    short = measure(binary(), number=25, seed=4)
    # without the predicted target all are asked; with it none of those outside can be among the hits
    all_asked = measure(binary(targets={}), number=25, seed=4)
    assert all_asked.inside_predicted == 25
    assert short.hits <= all_asked.hits


def test_the_command_prints_one_json_object(tmp_path, capsys):
    path = tmp_path / "binary.yaml"
    path.write_text(json.dumps(binary().model_dump(mode="json", exclude_none=True)))
    assert main([str(path), "--number", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["drawn"] == 5


@pytest.mark.parametrize("arguments", [["no-such.yaml"], [str(QUICKSTART), "--number", "0"]])
def test_bad_input_gives_one_line_and_exit_code_two(arguments, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1

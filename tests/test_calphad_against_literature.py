"""The verdict beside what the literature saw."""

import json

import pytest

from benchmarks.calphad_against_literature import computed, main, observed
from hea_loop import parse_composition
from validators.calphad import load_database, phases_at


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["BCC", "BCC"], "single BCC"),
        (["BCC", "BCC+LAVES_C15"], "Laves"),
        (["BCC", "BCC+BCC"], "two BCC"),
        (["BCC+BCC+LAVES", "BCC"], "Laves"),
        (["BCC+HCP"], "other"),
        (["B2+BCC", "BCC"], "other"),
    ],
)
def test_one_label_of_another_phase_makes_an_alloy_no_single_phase(labels: list[str], kind: str) -> None:
    assert observed(labels) == kind


@pytest.mark.parametrize(
    ("formula", "temperature", "kind"),
    [
        ("MoNbTaW", 1473.0, "single BCC"),
        ("HfNbTaTiZr", 1173.0, "two BCC"),
        ("CrNbTiZr", 1473.0, "Laves"),
        ("HfNbTaTiZr", 873.0, "other"),
    ],
)
def test_an_equilibrium_is_named_by_its_phases(formula: str, temperature: float, kind: str) -> None:
    assert computed(phases_at(parse_composition(formula), temperature, load_database())) == kind


def test_the_command_counts_every_alloy_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--most", "4", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["observed_then_computed"]
    assert sum(n for row in table.values() for n in row.values()) == 4
    assert main(["--most", "4"]) == 0
    assert "4 literature alloys" in capsys.readouterr().out

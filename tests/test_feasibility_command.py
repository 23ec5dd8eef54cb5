"""``hea-loop feasibility`` and ``hea-loop generate``: what they say, and what they refuse in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hea_loop.formula import parse_composition
from tests.in_process_cli import hea_loop
from tests.programs import write_campaign
from tests.small_campaign import small_campaign


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store lies in the working directory: the packaged alloys are the known ones."""
    monkeypatch.chdir(tmp_path)


QUICK = ("--number", "200")


def test_targets_are_judged_without_a_store_or_a_campaign() -> None:
    ended = hea_loop("feasibility", "--target", "shear_modulus=55:70", "--target", "density=:10", *QUICK)
    assert ended.code == 0
    assert "feasible" in ended.out
    assert "costliest target" in ended.out
    assert not Path("hea_loop.sqlite").exists()


def test_a_campaign_file_is_judged_and_what_only_validation_tells_is_left_out(tmp_path: Path) -> None:
    file = write_campaign(tmp_path, small_campaign())
    ended = hea_loop("feasibility", str(file), *QUICK, "--json")
    assert ended.code == 0
    assert ended.json["campaign"] == "small"
    assert ended.json["left_out"] == ["solidus", "single_phase_bcc"]
    assert ended.json["targets"][0]["reachable_low"] < 40


def test_an_infeasible_pair_is_said_with_its_proof() -> None:
    ended = hea_loop(
        "feasibility",
        *("--target", "shear_modulus=40:45", "--target", "fracture_toughness_rice=0.5:", *QUICK),
    )
    assert ended.code == 0
    assert "infeasible" in ended.out
    assert "that is proved" in ended.out


def test_the_figure_is_a_png(tmp_path: Path) -> None:
    file = tmp_path / "targets.png"
    ended = hea_loop("feasibility", "--target", "density=:10", "--figure", str(file), *QUICK)
    assert ended.code == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_answers_of_a_strategy_lie_in_the_palette_with_their_novelty() -> None:
    call = (
        "generate",
        *("--strategy", "neighbour-jitter", "--target", "shear_modulus=50:80", "--number", "7", "--json"),
        *("--elements", "Hf-Mo-Nb-Ta-Ti-W-Zr"),
    )
    ended, again = hea_loop(*call), hea_loop(*call)
    assert ended.code == 0
    rows = ended.json["compositions"]
    assert len({row["composition"] for row in rows}) == 7
    for row in rows:
        assert set(parse_composition(row["composition"]).elements) <= {
            "Hf",
            "Mo",
            "Nb",
            "Ta",
            "Ti",
            "W",
            "Zr",
        }
        g = row["values"]["shear_modulus"]
        assert g["inside"] == row["inside"] == (50 <= g["value"] <= 80)
        assert g["fidelity"] == "prediction"
        assert 0 <= row["novelty"] <= 1
    assert ended.json["inside"] == sum(row["inside"] for row in rows)
    assert ended.json["feasibility"]["verdict"] == "feasible"
    assert again.json["compositions"] == rows


def test_infeasible_targets_are_refused_unless_one_insists() -> None:
    call = (
        "generate",
        "--strategy",
        "neighbour-jitter",
        "--target",
        "shear_modulus=300:400",
        "--number",
        "2",
    )
    refused = hea_loop(*call)
    assert refused.code == 2
    assert refused.out == ""
    assert refused.err.count("\n") == 1
    assert "--anyway" in refused.err
    insisted = hea_loop(*call, "--anyway", "--json")
    assert insisted.code == 0
    assert insisted.json["inside"] == 0


def test_the_targets_of_a_campaign_file_are_taken_where_none_is_given(tmp_path: Path) -> None:
    file = write_campaign(tmp_path, small_campaign())
    ended = hea_loop(
        "generate", "--campaign", str(file), "--strategy", "neighbour-jitter", "--number", "3", "--json"
    )
    assert ended.code == 0
    assert set(ended.json["targets"]) == {"shear_modulus", "density"}
    for row in ended.json["compositions"]:
        composition = parse_composition(row["composition"])
        assert small_campaign().design_space().contains(composition)


BAD = [
    (("--target", "shear_modulos=90:110"), "shear_modulus"),
    (("--target", "shear_modulus=110:90"), "low side above"),
    (("--target", "shear_modulus=90"), "85.5:94.5"),
    (("--target", "shear_modulus"), "NAME=LOW:HIGH"),
    (("--target", "shear_modulus=:"), "open on both sides"),
    (("--target", "shear_modulus=a:b"), "not a number"),
    (("--target", "shear_modulus=nan:1"), "not a number"),
    (("--target", "shear_modulus=1e999:"), "not a number"),
    (("--target", "shear_modulus=1:2:3"), "not a number"),
    (("--target", "=1:2"), "NAME=LOW:HIGH"),
    (("--target", "single_phase_bcc=0:1"), "no interval"),
    (("--target", "phases_observed=0:1"), "no interval"),
    (("--target", "hardness=100:200"), "hardness"),
    (("--target", "density=:9", "--target", "density=:8"), "again"),
    (("--target", "density=:9", "--elements", "Nb-Xx"), "Xx"),
    (("--target", "density=:9", "--elements", "Nb-Nb"), "twice"),
    (("--target", "density=:9", "--elements", "Nb"), "too few"),
    (("--target", "density=:9", "--elements", ""), "too few"),
    (("--target", "shear_modulus=40:60", "--elements", "Nb-O-Ti"), "cannot be predicted for O"),
    (("--target", "density=:9", "--number", "0"), "--number"),
    (("--target", "density=:9", "--seed", "-1"), "--seed"),
]


@pytest.mark.parametrize("command", ["feasibility", "generate"])
@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_with_exit_code_2(command: str, arguments: tuple[str, ...], said: str) -> None:
    ended = hea_loop(command, *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert said in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("feasibility", "nowhere.yaml"), "does not exist"),
        (("feasibility", "x.yaml", "--target", "density=:9"), "stands beside"),
        (("feasibility", "--elements", "Nb-Ti"), "without a target"),
        (("feasibility", "--target", "density=:9", "--figure", "x.pdf"), ".png"),
        (("feasibility", "--target", "density=:9", "--figure", "/proc/none/x.png"), "--figure"),
        (("feasibility", "--target", "solidus=2000:", "--figure", "x.png"), "no predicted target"),
        (
            ("feasibility", "--target", "density=:9", "--database-url", "sqlite:///none.sqlite"),
            "does not exist",
        ),
        (("generate",), "--target"),
        (("generate", "--target", "solidus=2000:"), "cannot be predicted"),
        (("generate", "--target", "density=:9", "--strategy", "flow-machine"), "flow-matching"),
        (
            ("generate", "--target", "density=:9", "--campaign", "x.yaml", "--elements", "Nb-Ti"),
            "stands beside",
        ),
        (("generate", "--target", "density=:25", "--elements", "Os-Re"), "literature alloys"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, tuple) else "",
)
def test_what_only_one_of_the_commands_takes_is_refused_likewise(
    arguments: tuple[str, ...], said: str
) -> None:
    ended = hea_loop(*arguments)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert said in ended.err

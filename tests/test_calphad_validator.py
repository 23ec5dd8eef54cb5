"""What the validator answers of known alloys, and that it never answers more than it knows."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hea_loop import Composition, parse_composition
from hea_loop.errors import InputError
from validators.calphad import (
    CalphadSettings,
    load_database,
    phases_at,
    solidus,
    validate,
    validate_many,
)
from validators.calphad.build import build_tdb
from validators.calphad.systems import System, system_for
from validators.outcome import OutcomeStatus


def names(formula: str, temperature: float) -> list[str]:
    found = phases_at(parse_composition(formula), temperature, load_database())
    assert found.status is OutcomeStatus.CONVERGED, found.message
    assert sum(p.fraction for p in found.phases) == pytest.approx(1.0, abs=1e-5)
    return sorted(p.name for p in found.phases)


@pytest.mark.parametrize("temperature", [873.0, 1273.0, 1673.0])
def test_monbtaw_is_a_single_bcc_phase(temperature):
    assert names("MoNbTaW", temperature) == ["BCC_A2"]


def test_hfnbtatizr_decomposes_on_cooling():
    assert names("HfNbTaTiZr", 1473.0) == ["BCC_A2"]
    assert names("HfNbTaTiZr", 1273.0) == ["BCC_A2"]
    assert names("HfNbTaTiZr", 1173.0) == ["BCC_A2", "BCC_A2"]
    assert names("HfNbTaTiZr", 873.0) == ["BCC_A2", "HCP_A3"]


@pytest.mark.parametrize("formula", ["CrNbTiZr", "CrNbTiVZr", "CrTaTiVZr", "CrMoTaTi", "CrMo0.5NbTa0.5TiZr"])
def test_chromium_alloys_have_a_cubic_laves_phase_at_1473_kelvin(formula):
    assert names(formula, 1473.0) == ["BCC_A2", "LAVES_C15"]


@pytest.mark.parametrize(("formula", "expected"), [("MoNbTaW", 3023), ("HfNbTaTiZr", 2127)])
def test_the_solidus_of_two_known_alloys(formula, expected):
    found = solidus(parse_composition(formula), load_database())
    assert found.status is OutcomeStatus.CONVERGED
    assert found.temperature_K == pytest.approx(expected, abs=2.0)


def test_liquid_begins_at_the_solidus_and_not_below():
    alloy, database = parse_composition("HfNbTaTiZr"), load_database()
    onset = solidus(alloy, database, tolerance_K=0.5).temperature_K
    assert not phases_at(alloy, onset - 0.5, database).has_liquid()
    assert phases_at(alloy, onset + 0.5, database).has_liquid()


def test_the_gap_of_nb_zr_closes_between_1200_and_1300_kelvin():
    assert names("NbZr", 1200.0) == ["BCC_A2", "BCC_A2"]
    assert names("NbZr", 1300.0) == ["BCC_A2"]


def test_entries_satisfy_the_mass_balance_and_share_their_chemical_potentials():
    alloy = parse_composition("CrNb2TiZr")
    found = phases_at(alloy, 1373.0, load_database())
    for element, wanted in alloy.fractions.items():
        total = sum(p.fraction * p.composition[element] for p in found.phases)
        assert total == pytest.approx(wanted, abs=1e-5)
    assert found.chemical_potentials is not None
    total = sum(found.chemical_potentials[e] * x for e, x in alloy.fractions.items())
    assert total == pytest.approx(found.gibbs_energy, abs=0.1)


def test_a_gap_that_coarse_sampling_leaves_out_is_found():
    # At 60 points per degree of freedom pycalphad stops at two phases, 20 J/mol above a sampled point.
    alloy = Composition.from_amounts({"Cr": 34.9, "Ti": 33.9, "W": 28.0, "Zr": 3.2})
    coarse = system_for(load_database(), alloy.elements).minimise(alloy, 1273.15, (60, 60))
    assert coarse.overlooked > 1.0
    found = phases_at(alloy, 1273.15, load_database())
    assert found.status is OutcomeStatus.CONVERGED
    assert found.gibbs_energy < coarse.energy - 1.0
    assert sorted(p.name for p in found.phases) == ["BCC_A2", "BCC_A2", "LAVES_C15"]


def test_the_outcome_carries_a_verdict_per_temperature_and_one_solidus():
    settings = CalphadSettings(temperatures_K=(1523.0, 1173.0))
    outcome = validate(parse_composition("HfNbTaTiZr"), settings)
    assert outcome.status is OutcomeStatus.CONVERGED
    assert [(v.property, v.temperature_K) for v in outcome.values] == [
        ("single_phase_bcc", 1173.0),
        ("single_phase_bcc", 1523.0),
        ("solidus", None),
    ]
    assert [v.value for v in outcome.values[:2]] == [0.0, 1.0]
    assert [p["name"] for p in outcome.values[0].detail["phases"]] == ["BCC_A2", "BCC_A2"]
    cold = outcome.values[0].detail
    assert (cold["competing_phase"], cold["remark"]) == ("BCC_A2", "")
    assert 0.0 < cold["energy_gain_J_per_mol"] < cold["driving_force_J_per_mol"]
    assert 0.0 < cold["competing_fraction"] < 0.5
    window = outcome.values[1].detail["single_phase_window"]
    assert cold["single_phase_window"] == window
    assert 1173.0 < window["lower_K"] < 1473.0
    assert window["upper_K"] == pytest.approx(outcome.values[2].value, abs=2.0)
    assert (window["lower_phase"], window["upper_phase"]) == ("BCC_A2", "LIQUID")
    assert outcome.method.startswith("pycalphad ")
    json.dumps(outcome.to_json(), allow_nan=False)


def test_phase_fractions_are_values_of_their_own_when_asked_for():
    settings = CalphadSettings(temperatures_K=(1473.0,), properties=("phase_fraction",))
    values = validate(parse_composition("CrNbTiZr"), settings).values
    assert [v.detail["phase"] for v in values] == ["BCC_A2", "LAVES_C15"]
    assert sum(v.value for v in values) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_answers_do_not_depend_on_order_chunk_or_process():
    rng = np.random.default_rng(3)
    elements = ("Hf", "Mo", "Nb", "Ti", "V")
    alloys = [Composition.from_fractions(elements, rng.dirichlet(np.ones(5))) for _ in range(3)]
    settings = CalphadSettings(temperatures_K=(1073.0, 1473.0))
    together = {a: o.values for a, o in zip(alloys, validate_many(alloys, settings), strict=True)}
    backwards = {a: validate_many([a], settings)[0].values for a in reversed(alloys)}
    assert together == backwards
    program = (
        "import sys; from hea_loop.composition import Composition; "
        "from validators.calphad import CalphadSettings, validate_many; "
        "alloys = [Composition.from_key(k) for k in sys.argv[1:]]; "
        "print([o.values for o in validate_many(alloys, CalphadSettings(temperatures_K=(1073.0, 1473.0)))])"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program, *(a.key for a in alloys)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )
    assert elsewhere.stdout.strip() == str([together[a] for a in alloys])


def test_one_bad_alloy_takes_nothing_from_the_others():
    settings = CalphadSettings(temperatures_K=(1273.0,), properties=("single_phase_bcc",))
    good, bad = parse_composition("MoNb"), parse_composition("NbRe")
    outcomes = validate_many([good, bad, good], settings)
    assert [o.status for o in outcomes] == [
        OutcomeStatus.CONVERGED,
        OutcomeStatus.FAILED,
        OutcomeStatus.CONVERGED,
    ]
    assert "Re is not in the database" in outcomes[1].message
    assert outcomes[1].values == ()


def test_a_minimiser_that_did_not_converge_gives_no_value(monkeypatch):
    from pycalphad.core import solver

    # the real solver with its own verdict overturned: what pycalphad then returns is NaN throughout
    solve = solver.Solver.solve
    monkeypatch.setattr(solver.Solver, "solve", lambda *a: solve(*a)._replace(converged=False))
    outcome = validate(parse_composition("MoNbTi"), CalphadSettings())
    assert outcome.status is OutcomeStatus.UNCONVERGED
    assert outcome.values == ()
    assert "did not converge" in outcome.message
    onset = solidus(parse_composition("MoNbTi"), load_database())
    assert onset.status is OutcomeStatus.UNCONVERGED
    assert math.isnan(onset.temperature_K)


def test_elements_that_can_form_no_phase_fail_with_one_line(tmp_path: Path):
    text = build_tdb(["Cr", "Nb"])
    head, _, rest = text.partition("PHASE LIQUID")
    only_laves = (
        head + "PHASE LAVES_C15" + rest.partition("PHASE LAVES_C15")[2].partition("PHASE LAVES_C36")[0]
    )
    path = tmp_path / "laves.tdb"
    path.write_text(only_laves, encoding="utf-8")
    found = phases_at(parse_composition("Nb"), 1000.0, load_database(path))
    assert found.status is OutcomeStatus.FAILED
    assert "DofError" in found.message
    assert "\n" not in found.message


def database_with_order(path: Path, order_J: float) -> Path:
    """Nb-Ti with BCC modelled as B2 upon its disordered part, as most larger databases have it."""
    pairs = ("NB:TI", "TI:NB")
    order = "".join(f"PARAMETER G(BCC_B2,{p}:VA;0) 298.15 {order_J}; 6000 N !\n" for p in pairs)
    path.write_text(
        build_tdb(["Nb", "Ti"])
        + "TYPE_DEFINITION O GES A_P_D BCC_B2 DIS_PART BCC_A2 !\n"
        + "PHASE BCC_B2 %O 3 0.5 0.5 3 !\nCONSTITUENT BCC_B2 :NB,TI:NB,TI:VA: !\n"
        + order,
        encoding="utf-8",
    )
    return path


def test_bcc_modelled_as_b2_is_single_phase_bcc_where_it_has_no_order(tmp_path: Path):
    alloy = parse_composition("NbTi")
    plain = phases_at(alloy, 1473.0, load_database())
    found = phases_at(alloy, 1473.0, load_database(database_with_order(tmp_path / "weak.tdb", -10.0)))
    assert [p.name for p in found.phases] == ["BCC_A2"]
    assert found.single_phase_bcc
    assert found.gibbs_energy == pytest.approx(plain.gibbs_energy, abs=0.1)


def test_bcc_with_order_is_not_single_phase_bcc(tmp_path: Path):
    database = load_database(database_with_order(tmp_path / "strong.tdb", -50000.0))
    found = phases_at(parse_composition("NbTi"), 1473.0, database)
    assert [p.name for p in found.phases] == ["BCC_B2"]
    assert not found.single_phase_bcc


@pytest.mark.parametrize(("phase", "asked"), [("BCC_A2", "single_phase_bcc"), ("LIQUID", "solidus")])
def test_a_database_without_the_phase_that_is_asked_for_is_refused(tmp_path: Path, phase: str, asked: str):
    path = tmp_path / "renamed.tdb"
    path.write_text(build_tdb(["Nb", "Ti"]).replace(phase, "OTHER"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        validate(parse_composition("NbTi"), CalphadSettings(database=str(path), properties=(asked,)))
    assert caught.value.field == "database"


@pytest.mark.parametrize("temperature", [0.0, 298.0, 6000.5, math.nan, math.inf, -5.0])
def test_a_temperature_without_data_is_refused(temperature):
    with pytest.raises(InputError, match="temperature"):
        phases_at(parse_composition("Nb"), temperature, load_database())
    with pytest.raises(InputError, match="temperatures_K"):
        CalphadSettings(temperatures_K=(temperature,))


@pytest.mark.parametrize("temperature", [298.15, 6000.0])
def test_the_ends_of_the_range_are_answered(temperature):
    assert phases_at(parse_composition("MoNb"), temperature, load_database()).phases


def test_a_composition_outside_the_database_is_refused():
    with pytest.raises(InputError, match=r"composition = .*Re, Ru are not in the database refractory10"):
        validate(parse_composition("NbReRu"), CalphadSettings())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"properties": ("density",)}, "properties"),
        ({"properties": ()}, "properties"),
        ({"temperatures_K": ()}, "temperatures_K"),
        ({"solidus_tolerance_K": 0.0}, "solidus_tolerance_K"),
        ({"solidus_tolerance_K": math.nan}, "solidus_tolerance_K"),
    ],
)
def test_settings_that_cannot_be_answered_are_refused(changed, field):
    with pytest.raises(InputError, match=field):
        CalphadSettings(**changed)


def test_the_configuration_depends_on_what_is_asked_and_on_the_content_of_the_database(tmp_path: Path):
    first = CalphadSettings(temperatures_K=(1273.0, 1073.0))
    assert first.configuration_hash() == CalphadSettings(temperatures_K=(1073, 1273)).configuration_hash()
    assert first.configuration_hash() != CalphadSettings(temperatures_K=(1073.0,)).configuration_hash()
    here, there = tmp_path / "a", tmp_path / "b"
    for folder in (here, there):
        folder.mkdir()
        (folder / "own.tdb").write_text(build_tdb(["Nb", "Zr"]), encoding="utf-8")
    moved = [CalphadSettings(database=str(f / "own.tdb")).configuration_hash() for f in (here, there)]
    assert moved[0] == moved[1] != CalphadSettings().configuration_hash()
    json.dumps(first.configuration(), allow_nan=False)


def test_systems_of_elements_are_kept_and_the_oldest_dropped(monkeypatch):
    from validators.calphad import systems

    database = load_database()
    kept = system_for(database, ("Mo", "Nb"))
    assert system_for(database, ("Mo", "Nb")) is kept
    monkeypatch.setattr(systems, "_KEPT", 1)
    system_for(database, ("Nb", "W"))
    assert len(database.systems) == 1
    assert isinstance(system_for(database, ("Mo", "Nb")), System)


def test_samplings_are_kept_within_a_number_of_bytes():
    from validators.calphad.systems import _GridCache

    class Grid:
        data_vars = {"GM": (["points"], np.zeros(100))}  # noqa: RUF012 - as pycalphad's dataset has it

    cache = _GridCache(budget=2000)
    grids = [Grid(), Grid(), Grid()]
    cache.put("a", grids[0])
    cache.put("b", grids[1])
    assert cache.get("a") is grids[0]
    cache.put("c", grids[2])
    assert [cache.get(key) for key in "abc"] == [grids[0], None, grids[2]]

"""What a database lacks for a set of elements, and that an alloy which needs it is refused before any work."""

from __future__ import annotations

import itertools
import json
from importlib.resources import files
from pathlib import Path

import pytest

from flows.planning import check_campaign
from hea_loop import parse_composition
from hea_loop.campaign import load_campaign
from hea_loop.errors import InputError
from tests.in_process_cli import hea_loop
from tests.programs import write_campaign
from tests.small_campaign import small_campaign
from validators.calphad import CalphadSettings, load_database, validate, validate_many
from validators.calphad.build import build_tdb
from validators.calphad.coverage import coverage
from validators.outcome import OutcomeStatus

GHOSH = Path(str(files("pycalphad") / "tests" / "databases" / "crtiv_ghosh.tdb"))


def database_file(
    folder: Path, *, drop: str = "", add: str = "", elements: tuple[str, ...] = ("Cr", "Nb", "Ti")
) -> Path:
    """Our tables for some elements, without the parameters that begin with ``drop``, with a line more."""
    path = folder / "user.tdb"
    commands = build_tdb(elements).split("!\n")
    kept = [c for c in commands if not drop or not c.split("\n")[-1].strip().startswith(f"PARAMETER {drop}")]
    assert len(kept) < len(commands) or not drop
    path.write_text("!\n".join(kept).replace(" LIST_OF", f" {add}\n LIST_OF"), encoding="utf-8")
    return path


def test_our_database_lacks_no_binary_no_pure_element_and_has_no_fault():
    found = coverage(load_database())
    assert found.binaries_lacking == {}
    assert found.faults == ()
    assert found.elements_lacking == ()
    assert found.structures_lacking == ()
    assert all(not p.pure_lacking for p in found.phases)
    assert found.complete
    assert found.range_K == (298.15, 6000.0)


def test_every_ternary_of_ours_is_either_assessed_or_extrapolated():
    database = load_database()
    found = coverage(database)
    both = set(found.ternaries_assessed) | set(found.ternaries_extrapolated)
    assert both == set(itertools.combinations(database.elements, 3))
    assert not set(found.ternaries_assessed) & set(found.ternaries_extrapolated)
    assert ("Cr", "Ti", "V") in found.ternaries_assessed
    assert ("Hf", "Mo", "W") in found.ternaries_extrapolated


def test_a_binary_without_an_interaction_is_found_in_the_phase_that_lacks_it(tmp_path):
    database = load_database(database_file(tmp_path, drop="G(BCC_A2,NB,TI"))
    found = coverage(database)
    assert found.binaries_lacking == {("Nb", "Ti"): ("BCC_A2",)}
    assert not found.complete
    assert json.loads(json.dumps(found.detail()))["binaries_lacking"] == {"Nb-Ti": ["BCC_A2"]}


def test_a_binary_that_is_zero_in_the_file_is_described(tmp_path):
    zero = "PARAMETER G(BCC_A2,NB,TI:VA;0) 298.15 0; 6000 N !"
    assert coverage(load_database(database_file(tmp_path, drop="G(BCC_A2,NB,TI", add=zero))).complete


def test_an_associate_in_the_liquid_describes_its_binary(tmp_path):
    path = tmp_path / "associate.tdb"
    path.write_text(
        build_tdb(["Nb", "Zr"])
        .replace(" FUNCTION", " SPECIES NBZR NB1ZR1 !\n FUNCTION", 1)
        .replace("CONSTITUENT LIQUID : NB,ZR", "CONSTITUENT LIQUID : NB,NBZR,ZR")
        .replace("PARAMETER G(LIQUID,NB,ZR;0)", "PARAMETER G(LIQUID,NBZR;0)")
    )
    assert coverage(load_database(path)).binaries_lacking == {}


def test_elements_and_phases_that_are_not_there_are_named():
    found = coverage(load_database(GHOSH), ["Cr", "Nb", "V"])
    assert found.elements_lacking == ("Nb",)
    assert found.structures_lacking == ()
    assert {p.structure for p in found.phases} >= {"liquid", "bcc"}


def test_an_assessed_ternary_of_another_database_is_found():
    assert coverage(load_database(GHOSH)).ternaries_assessed == (("Cr", "Ti", "V"),)


@pytest.mark.parametrize("allowed", [False, True])
def test_an_alloy_with_a_missing_binary_is_refused_unless_that_is_allowed(tmp_path, allowed):
    path = database_file(tmp_path, drop="G(BCC_A2,NB,TI")
    settings = CalphadSettings(
        database=str(path), properties=("single_phase_bcc",), allow_missing_binaries=allowed
    )
    alloy = parse_composition("CrNbTi")
    if allowed:
        assert validate(alloy, settings).status is OutcomeStatus.CONVERGED
    else:
        with pytest.raises(InputError, match=r"composition = 'CrNbTi'.*binary Nb-Ti \(BCC_A2\).*0 counts"):
            validate(alloy, settings)
    # its other binaries are there
    assert validate(parse_composition("CrNb"), settings).status is OutcomeStatus.CONVERGED


def test_a_solidus_beyond_the_functions_of_the_database_is_no_answer(tmp_path):
    path = database_file(tmp_path, add="PARAMETER G(BCC_A2,CR,NB:VA;3) 298.15 0; 1500 N !")
    outcome = validate(
        parse_composition("CrNb9"),
        CalphadSettings(database=str(path), temperatures_K=(), properties=("solidus",)),
    )
    assert outcome.status is OutcomeStatus.UNCONVERGED
    assert outcome.values == ()
    assert "beyond 298.15 to 1500 K" in outcome.message


def test_a_check_takes_missing_binaries_as_ideal_where_that_is_asked_for(tmp_path):
    path = database_file(tmp_path, drop="G(BCC_A2,NB,TI")
    command = ("check", "NbTi", "--temperature", "1473", "--database-file", str(path))
    assert hea_loop(*command).code == 2
    for tier in ("screen", "confirm"):
        ended = hea_loop(*command, "--allow-missing-binaries", "--tier", tier, "--json")
        assert ended.json[0]["single_phase_bcc"] is True
        assert (
            ended.json[0]["estimated_parameters"]["text"][0]
            == "taken as ideal, not described: Nb-Ti (BCC_A2)"
        )
    assert (
        "taken as ideal, not described: Nb-Ti (BCC_A2)" in hea_loop(*command, "--allow-missing-binaries").out
    )


def test_one_alloy_of_many_that_cannot_be_answered_takes_nothing_from_the_others(tmp_path):
    settings = CalphadSettings(
        database=str(database_file(tmp_path, drop="G(BCC_A2,NB,TI")), properties=("single_phase_bcc",)
    )
    both = validate_many([parse_composition("NbTi"), parse_composition("CrTi")], settings)
    assert [o.status for o in both] == [OutcomeStatus.FAILED, OutcomeStatus.CONVERGED]
    assert "binary Nb-Ti" in both[0].message


def test_whether_missing_binaries_are_allowed_is_no_other_configuration():
    assert (
        CalphadSettings().configuration_hash()
        == CalphadSettings(allow_missing_binaries=True).configuration_hash()
    )


def campaign(database: str, **calphad):
    return small_campaign(
        palette={"elements": {"Cr": {}, "Nb": {}, "Ti": {}}},
        validators={"calphad": {"budget": 100, "database": database, **calphad}},
    )


def test_a_campaign_whose_palette_has_a_missing_binary_is_refused_before_any_work(tmp_path):
    path = str(database_file(tmp_path, drop="G(BCC_A2,NB,TI"))
    with pytest.raises(InputError, match=r"palette.elements = 'Cr-Nb-Ti'.*Nb-Ti \(BCC_A2\)"):
        check_campaign(campaign(path))
    check_campaign(campaign(path, allow_missing_binaries=True))


def test_a_campaign_at_temperatures_that_the_functions_do_not_cover_is_refused(tmp_path):
    path = str(database_file(tmp_path, add="PARAMETER G(BCC_A2,CR,NB:VA;3) 298.15 0; 800 N !"))
    with pytest.raises(InputError, match=r"temperature_K = \d+.*298.15 to 800 K"):
        check_campaign(campaign(path))


def test_a_refused_campaign_leaves_no_store_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEA_LOOP_DATABASE_URL", raising=False)
    path = database_file(tmp_path, drop="G(BCC_A2,NB,TI")
    file = write_campaign(tmp_path, campaign(path.name))
    assert load_campaign(file).validators.calphad is not None
    ended = hea_loop("run", str(file))
    assert ended.code == 2
    assert "Nb-Ti" in ended.err
    assert not list(tmp_path.glob("*.sqlite*"))

"""A job of the atomistic validator: what is asked is written out, checked, and the same on another machine."""

from __future__ import annotations

import json

import pytest

from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from hea_loop.properties import PROPERTIES
from validators.atomistic.specification import WORKFLOWS, CalculatorChoice, JobSpec

GPAW = CalculatorChoice("gpaw", "screening", {"mode": {"ecut": 350}})


def job(**changed):
    asked = {
        "workflow": "elastic",
        "composition": parse_composition("MoNbTaW"),
        "atoms": 8,
        "seed": 3,
        "calculator": GPAW,
    }
    return JobSpec(**(asked | changed))


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_property_of_a_workflow_is_in_the_vocabulary(workflow):
    assert set(WORKFLOWS[workflow].properties) <= set(PROPERTIES)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_job_survives_its_way_through_json(workflow):
    spec = job(workflow=workflow)
    again = JobSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.configuration_hash() == spec.configuration_hash()


def test_defaults_are_written_out_so_that_a_waiting_job_keeps_what_was_asked():
    assert job().to_json()["options"]["strain"] == WORKFLOWS["elastic"].options["strain"].default
    assert job(options={"strain": 0.005}) == job()


def test_the_configuration_knows_everything_but_the_composition():
    reference = job().configuration_hash()
    assert job(composition=parse_composition("HfNbTaTi")).configuration_hash() == reference
    changed = [
        job(seed=4),
        job(atoms=16),
        job(options={"strain": 0.01}),
        job(workflow="equation-of-state"),
        job(calculator=CalculatorChoice("gpaw", "screening", {"mode": {"ecut": 400}})),
        job(calculator=CalculatorChoice("gpaw", "production", {"mode": {"ecut": 350}})),
        job(calculator=CalculatorChoice("abinit", "screening", {"mode": {"ecut": 350}})),
    ]
    hashes = {spec.configuration_hash() for spec in changed}
    assert len(hashes) == len(changed)
    assert reference not in hashes


def test_the_method_names_code_preset_workflow_and_cell():
    assert job().method("gpaw 25.7.0") == "gpaw 25.7.0, preset screening; elastic/1, bcc 8 atoms, seed 3"
    pure = job(composition=parse_composition("W"))
    assert pure.method("gpaw 25.7.0").endswith("elastic/1, bcc primitive cell")


@pytest.mark.parametrize(
    ("changed", "field", "mend"),
    [
        ({"workflow": "elastics"}, "workflow", "equation-of-state"),
        ({"atoms": 9}, "atoms", "8, 16, 54"),
        ({"atoms": True}, "atoms", "8, 16, 54"),
        ({"seed": -1}, "seed", "whole number"),
        ({"seed": 1.0}, "seed", "whole number"),
        ({"options": {"strian": 0.01}}, "options.strian", "strain"),
        ({"options": {"strain": 0.5}}, "options.strain", "0.0005 to 0.03"),
        ({"options": {"strain": "much"}}, "options.strain", "0.005"),
        ({"options": {"relax_ions": 1}}, "options.relax_ions", "true or false"),
        ({"options": {"volume_points": 6.5}}, "options.volume_points", "use for example 7"),
        ({"options": {"lattice": "hcp"}}, "options.lattice", "bcc or fcc"),
        ({"options": {"fmax": float("nan")}}, "options", "use numbers"),
        ({"workflow": "rice", "options": {"displacements": [0.25]}}, "options.displacements", "add 0.5"),
        ({"workflow": "rice", "options": {"displacements": 0.5}}, "options.displacements", "write"),
        ({"workflow": "stacking-fault", "options": {"lattice": "fcc"}}, "options.lattice", "bcc"),
    ],
)
def test_what_cannot_be_run_is_refused_by_the_name_of_its_field(changed, field, mend):
    with pytest.raises(InputError) as refused:
        job(**changed)
    assert refused.value.field == field
    assert mend in refused.value.mend


@pytest.mark.parametrize(
    ("name", "preset", "options", "field"),
    [
        ("GPAW 25", "screening", {}, "calculator"),
        ("", "screening", {}, "calculator"),
        ("../run", "screening", {}, "calculator"),
        ("gpaw", "fast", {}, "preset"),
        ("gpaw", "test", {"xc": object()}, "calculator.options"),
        ("gpaw", "test", {1: 2}, "calculator.options"),
    ],
)
def test_a_calculator_that_cannot_be_meant_is_refused(name, preset, options, field):
    with pytest.raises(InputError) as refused:
        CalculatorChoice(name, preset, options)
    assert refused.value.field == field


def test_any_ase_calculator_can_be_named_by_module_and_class():
    assert CalculatorChoice("ase.calculators.emt:EMT", "test").name == "ase.calculators.emt:EMT"


@pytest.mark.parametrize("damage", ["seed", "calculator"])
def test_a_job_file_that_lacks_a_field_is_refused(damage):
    written = job().to_json()
    del written[damage]
    with pytest.raises(InputError, match=f"lacks {damage}"):
        JobSpec.from_json(written)


def test_a_job_file_with_a_field_too_many_is_refused():
    with pytest.raises(InputError, match="sed"):
        JobSpec.from_json(job().to_json() | {"sed": 1})

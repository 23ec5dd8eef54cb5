"""Workflows on the real engine with cheap potentials, against numbers that were not made by the workflows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.units import GPa
from cheap_codes import breaking, finnis_sinclair, lennard_jones, never_converging
from finnis_sinclair import FinnisSinclair

from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from hea_loop.prediction import rice_toughness
from validators.atomistic.engine import engine_for
from validators.atomistic.specification import WORKFLOWS, CalculatorChoice, JobSpec
from validators.atomistic.structures import primitive_cell
from validators.atomistic.workflows import fitted_spec, require_runnable, run_workflow
from validators.atomistic.workflows.calculation import Calculation
from validators.atomistic.workflows.formation_energy import _reference
from validators.outcome import OutcomeStatus

FS = CalculatorChoice("finnis_sinclair:FinnisSinclair", "test")
EMT_CHOICE = CalculatorChoice("emt", "test")


def job(workflow, formula, *, calculator=FS, atoms=8, seed=0, **options):
    return JobSpec(workflow, parse_composition(formula), atoms, seed, calculator, options)


def answered(spec, engine):
    outcome = run_workflow(spec, engine)
    assert outcome.status is OutcomeStatus.CONVERGED, outcome.message
    assert tuple(v.property for v in outcome.values) == WORKFLOWS[spec.workflow].properties
    return {v.property: v for v in outcome.values}


# a0 (A), C11, C12, C44 (GPa): Finnis and Sinclair, Philos. Mag. A 50 (1984) 45, what their potentials were fitted to
PUBLISHED = {
    "V": (3.0399, 227.9, 118.7, 42.6),
    "Nb": (3.3008, 246.6, 133.2, 28.1),
    "Ta": (3.3058, 266.0, 161.2, 82.4),
    "W": (3.1652, 522.4, 204.4, 160.6),
}


# a0 (A) and cohesive energy (eV) of the same table
COHESIVE = {
    "V": (3.0399, 5.31),
    "Nb": (3.3008, 7.57),
    "Ta": (3.3058, 8.1),
    "Mo": (3.1472, 6.82),
    "W": (3.1652, 8.9),
}


@pytest.mark.parametrize("element", COHESIVE)
def test_the_test_potential_has_its_published_cohesive_energy_and_no_pressure_at_its_lattice_parameter(
    element,
):
    a, energy = COHESIVE[element]
    crystal = primitive_cell(element, "bcc", a)
    crystal.calc = FinnisSinclair()
    assert -crystal.get_potential_energy() == pytest.approx(energy, abs=2e-5)
    assert crystal.get_stress() / GPa == pytest.approx(np.zeros(6), abs=1e-3)


@pytest.mark.parametrize("element", PUBLISHED)
def test_published_lattice_parameters_and_elastic_constants_come_out(element, tmp_path):
    values = answered(job("elastic", element, volume_strain=0.03), finnis_sinclair(tmp_path))
    a, *constants = PUBLISHED[element]
    assert values["lattice_parameter"].value == pytest.approx(a, abs=2e-4)
    for name, published in zip(("c11", "c12", "c44"), constants, strict=True):
        assert values[f"elastic_constant_{name}"].value == pytest.approx(published, rel=3e-3), name


def test_emt_copper_agrees_with_second_differences_of_its_energy(tmp_path):
    engine = engine_for(EMT_CHOICE, tmp_path)
    values = answered(job("elastic", "Cu", calculator=EMT_CHOICE, lattice="fcc", volume_strain=0.03), engine)
    cell = primitive_cell("Cu", "fcc", values["lattice_parameter"].value)

    def energy(strain):
        atoms = cell.copy()
        atoms.set_cell(np.asarray(cell.cell) @ (np.eye(3) + strain), scale_atoms=True)
        atoms.calc = EMT()
        return atoms.get_potential_energy()

    def curvature(direction, h=4e-3):
        second = (energy(h * direction) - 2 * energy(0 * direction) + energy(-h * direction)) / h**2
        return second / cell.get_volume() / GPa

    stretch, tetragonal = np.diag([1.0, 0, 0]), np.diag([1.0, -1.0, 0])
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    assert values["elastic_constant_c11"].value == pytest.approx(curvature(stretch), rel=0.01)
    difference = values["elastic_constant_c11"].value - values["elastic_constant_c12"].value
    assert 2 * difference == pytest.approx(curvature(tetragonal), rel=0.01)
    assert values["elastic_constant_c44"].value == pytest.approx(curvature(shear), rel=0.01)


def test_the_equation_of_state_finds_a_minimum_far_from_the_first_guess(tmp_path):
    # every atom is taken for niobium, whose cells are 18% larger than those that the search begins with
    engine = finnis_sinclair(tmp_path, element="Nb")
    values = answered(job("equation-of-state", "W", volume_strain=0.04), engine)
    assert values["lattice_parameter"].value == pytest.approx(3.3008, abs=3e-4)
    assert values["bulk_modulus"].value == pytest.approx((246.6 + 2 * 133.2) / 3, rel=0.01)
    assert engine.computed > WORKFLOWS["equation-of-state"].options["volume_points"].default + 1


def test_six_strains_of_a_quasirandom_cell_give_what_two_of_the_pure_metal_give(tmp_path):
    # both elements are tungsten to the potential: the alloy's way must end at tungsten's constants
    engine = finnis_sinclair(tmp_path, element="W")
    values = answered(job("elastic", "MoNbTaW", volume_strain=0.03), engine)
    _, *constants = PUBLISHED["W"]
    for name, published in zip(("c11", "c12", "c44"), constants, strict=True):
        assert values[f"elastic_constant_{name}"].value == pytest.approx(published, rel=3e-3), name
    detail = values["shear_modulus"].detail
    assert detail["departure_from_cubic"] < 1e-3
    assert detail["cell"]["shells"][1]["pair_mismatch"] > 0.2


def test_an_alloy_says_how_far_it_is_from_cubic_and_carries_its_scatter(tmp_path):
    values = answered(job("elastic", "NbTaVW"), finnis_sinclair(tmp_path))
    shear = values["shear_modulus"]
    matrix = np.array(shear.detail["elastic_constants_GPa"])
    assert 0 < shear.detail["departure_from_cubic"] < 0.2
    assert shear.sigma > 0
    assert shear.detail["voigt_GPa"]["G"] > shear.value > shear.detail["reuss_GPa"]["G"]
    assert values["elastic_constant_c11"].value == pytest.approx(np.diag(matrix)[:3].mean(), abs=0.01)
    assert shear.detail["cell"]["rounding_distance"] == 0.0


def test_atoms_that_can_move_make_no_alloy_stiffer(tmp_path):
    engine = finnis_sinclair(tmp_path)
    free = answered(job("elastic", "NbTaVW", atoms=16), engine)["shear_modulus"]
    clamped = answered(job("elastic", "NbTaVW", atoms=16, relax_ions=False), engine)["shear_modulus"]
    exact = answered(job("elastic", "NbTaVW", atoms=16, strain_fmax=5e-4), engine)["shear_modulus"]
    assert free.value == pytest.approx(exact.value, abs=0.1 * (clamped.value - exact.value))
    difference = np.subtract(*(np.array(v.detail["elastic_constants_GPa"]) for v in (clamped, free)))
    assert np.linalg.eigvalsh(difference).min() > -0.5
    assert clamped.value > free.value + 3


def test_a_rounded_composition_is_told_and_widens_sigma(tmp_path):
    engine = finnis_sinclair(tmp_path)
    exact = answered(job("elastic", "NbTaVW"), engine)["shear_modulus"]
    rounded = answered(job("elastic", "Nb28Ta24V24W24"), engine)["shear_modulus"]
    assert rounded.value == exact.value  # the same eight atoms
    assert rounded.detail["cell"]["rounding_distance"] == pytest.approx(0.03)
    assert rounded.detail["cell"]["computed"] != rounded.detail["cell"]["requested"]
    assert rounded.sigma**2 == pytest.approx(
        exact.sigma**2 + rounded.detail["shift_of_rounding"] ** 2, rel=1e-2
    )
    assert rounded.sigma > exact.sigma


def test_an_alloy_that_does_not_fit_is_refused_before_anything_runs(tmp_path):
    engine = finnis_sinclair(tmp_path)
    with pytest.raises(InputError, match="max_rounding"):
        run_workflow(job("elastic", "NbTaW"), engine)
    with pytest.raises(InputError, match="no bcc, fcc or hcp structure"):
        require_runnable(job("formation-energy", "Nb3Si"))
    with pytest.raises(InputError, match="in 24 atoms"):
        require_runnable(job("rice", "Nb98.1W1.9", atoms=54, max_rounding=0.01))
    with pytest.raises(InputError, match="use the option columns: 4, or allow more"):
        require_runnable(job("rice", "Nb97.9W2.1", atoms=54, max_rounding=0.005))
    assert engine.computed == 0


def test_a_job_without_a_stated_size_gets_the_smallest_cell_that_holds_its_alloy():
    def atoms(formula, stated=None, **options):
        return fitted_spec("elastic", parse_composition(formula), stated, 0, FS, options).atoms

    assert (atoms("NbTaVW"), atoms("HfNbTaTiZr"), atoms("W97Ta3"), atoms("W")) == (8, 16, 54, 8)
    assert atoms("HfNbTaTiZr", max_rounding=0.15) == 8
    assert atoms("CuNiPdPtAu", lattice="fcc") == 32
    assert atoms("HfNbTaTiZr", stated=8) == 8
    with pytest.raises(InputError, match=r"fits no bcc cell of 8, 16, 54 atoms within max_rounding 0\.001; "):
        atoms("Nb47Ti22Si16Mo15", max_rounding=0.001)


@pytest.mark.parametrize("formula", ["Cu", "Au"])
def test_a_crystal_that_is_mechanically_unstable_has_no_moduli(formula, tmp_path):
    engine = engine_for(EMT_CHOICE, tmp_path)
    outcome = run_workflow(job("elastic", formula, calculator=EMT_CHOICE, volume_strain=0.04), engine)
    assert outcome.status is OutcomeStatus.UNCONVERGED
    assert "mechanically unstable" in outcome.message
    assert "C11 - C12 = -" in outcome.message
    assert outcome.values == ()


@pytest.mark.parametrize("workflow", WORKFLOWS)
@pytest.mark.parametrize("at", [0, 7])
def test_one_unconverged_run_leaves_no_value(workflow, at, tmp_path):
    outcome = run_workflow(job(workflow, "NbTaVW", fmax=0.005), never_converging(tmp_path, at))
    assert outcome.status is OutcomeStatus.UNCONVERGED
    assert "no self-consistency" in outcome.message
    assert outcome.values == ()


def test_an_error_of_the_code_is_a_failure_with_its_text(tmp_path):
    outcome = run_workflow(job("elastic", "NbTaVW"), breaking(tmp_path, 4))
    assert outcome.status is OutcomeStatus.FAILED
    assert "segmentation fault" in outcome.message
    assert outcome.values == ()


def test_strains_beyond_the_linear_range_are_noticed(tmp_path):
    outcome = run_workflow(
        job("elastic", "Nb", strain=0.03, volume_strain=0.03), lennard_jones(tmp_path, 2.9)
    )
    assert outcome.status is OutcomeStatus.UNCONVERGED


def test_the_second_attempt_computes_nothing_again(tmp_path):
    spec = job("elastic", "NbTaVW")
    first = finnis_sinclair(tmp_path)
    one = run_workflow(spec, first)
    second = finnis_sinclair(tmp_path)
    two = run_workflow(spec, second)
    assert first.computed > 19
    assert second.computed == 0
    assert replace(one, wall_s=0.0) == replace(two, wall_s=0.0)


@pytest.mark.parametrize(
    ("workflow", "formula"), [("elastic", "W"), ("rice", "NbTaVW"), ("formation-energy", "NbW")]
)
def test_progress_counts_to_what_was_expected(workflow, formula, tmp_path):
    told = []
    spec = job(workflow, formula)
    run_workflow(spec, finnis_sinclair(tmp_path), lambda *step: told.append(step))
    assert [number for _, number, _ in told] == list(range(1, len(told) + 1))
    assert {expected for *_, expected in told} == {len(told)}
    assert len({label for label, *_ in told}) == len(told)


@pytest.mark.parametrize("formula", ["W", "NbW"])
def test_a_fault_between_surfaces_costs_what_one_in_a_tilted_cell_costs(formula, tmp_path):
    engine = finnis_sinclair(tmp_path)
    slab = answered(job("stacking-fault", formula), engine)["unstable_stacking_fault_energy"]
    tilted = answered(job("stacking-fault", formula, vacuum=0), engine)["unstable_stacking_fault_energy"]
    assert slab.value == pytest.approx(tilted.value, rel=0.02)
    assert 0.5 < slab.value < 2.0


def test_a_thicker_slab_changes_the_fault_energy_little(tmp_path):
    engine = finnis_sinclair(tmp_path)
    thin, thick = (
        answered(job("stacking-fault", "Ta", layers=n), engine)["unstable_stacking_fault_energy"].value
        for n in (8, 20)
    )
    assert thin == pytest.approx(thick, rel=0.02)


def test_the_path_of_a_pure_metal_is_highest_in_its_middle(tmp_path):
    value = answered(
        job("stacking-fault", "W", displacements=[0.1, 0.25, 0.4, 0.5]), finnis_sinclair(tmp_path)
    )["unstable_stacking_fault_energy"]
    (line,) = value.detail["fault_energies_J_per_m2"].values()
    assert list(line) == ["0.1", "0.25", "0.4", "0.5"]
    assert list(line.values()) == sorted(line.values())
    assert value.value == pytest.approx(line["0.5"], abs=1e-4)
    assert value.detail["fault_area_angstrom2"] == pytest.approx(3.1654**2 / 2**0.5, rel=1e-3)


def test_an_alloy_is_cut_at_several_planes_whose_scatter_is_its_error(tmp_path):
    value = answered(job("stacking-fault", "NbW", fault_planes=3), finnis_sinclair(tmp_path))[
        "unstable_stacking_fault_energy"
    ]
    lines = value.detail["fault_energies_J_per_m2"]
    assert len(lines) == 3
    top = max(["0.4", "0.5", "0.6"], key=lambda u: np.mean([line[u] for line in lines.values()]))
    energies = [line[top] for line in lines.values()]
    assert value.value == pytest.approx(np.mean(energies), abs=1e-4)
    assert value.sigma == pytest.approx(np.std(energies, ddof=1) / np.sqrt(3), abs=1e-4)


def test_rices_toughness_is_that_of_the_values_beside_it(tmp_path):
    values = answered(job("rice", "NbW"), finnis_sinclair(tmp_path))
    parts = [
        np.array(values[name].value)
        for name in ("shear_modulus", "unstable_stacking_fault_energy", "poisson_ratio")
    ]
    assert values["fracture_toughness_rice"].value == pytest.approx(float(rice_toughness(*parts)))
    assert 0 < values["fracture_toughness_rice"].sigma < values["fracture_toughness_rice"].value


def test_a_pure_metal_has_no_energy_of_formation(tmp_path):
    values = answered(job("formation-energy", "W", volume_strain=0.03), finnis_sinclair(tmp_path))
    assert values["formation_energy"].value == 0.0


def test_an_alloy_of_two_names_of_one_metal_forms_at_no_cost(tmp_path):
    values = answered(
        job("formation-energy", "MoW", volume_strain=0.03), finnis_sinclair(tmp_path, element="W")
    )
    assert values["formation_energy"].value == pytest.approx(0.0, abs=1e-5)


def test_the_energy_of_formation_is_against_relaxed_elements(tmp_path):
    value = answered(job("formation-energy", "NbW", volume_strain=0.03), finnis_sinclair(tmp_path))[
        "formation_energy"
    ]
    # cohesive energies that the potentials were fitted to: Nb 7.57, W 8.90 eV (the same paper)
    assert value.value == pytest.approx(value.detail["energy_eV_per_atom"] + (7.57 + 8.90) / 2, abs=1e-3)
    assert value.value != 0


def test_an_hcp_reference_finds_the_ratio_of_close_packing(tmp_path):
    # nearest neighbours of zirconium at its volume are 3.2 angstrom apart: sigma of a Lennard-Jones crystal of
    # that distance. Such a crystal is closely packed: c/a within 0.1% of sqrt(8/3)
    engine = lennard_jones(tmp_path, 3.2 / 1.09)
    spec = job("formation-energy", "Zr")
    found = _reference(Calculation(engine, None, 1), spec, "Zr", "hcp")
    assert found.structure == "hcp"
    assert found.c_over_a == pytest.approx((8 / 3) ** 0.5, rel=2e-3)
    nearest = (found.volume * 2**0.5) ** (1 / 3)
    assert nearest / (3.2 / 1.09) == pytest.approx(1.09, rel=0.01)
    # -8.61 epsilon per atom: the lattice sum of Lennard-Jones, Kittel, chapter 3
    assert found.energy == pytest.approx(-0.861, rel=0.03)

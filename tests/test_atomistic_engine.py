"""The engine, with EMT and with codes that misbehave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from hea_loop.errors import InputError
from validators.atomistic.calculators.code import Code
from validators.atomistic.calculators.emt import Emt
from validators.atomistic.engine import CalculationFailed, Engine, Evaluation, Unconverged, engine_for
from validators.atomistic.presets import k_points, k_shift
from validators.atomistic.specification import CalculatorChoice

EMT = CalculatorChoice("emt", "test")


def _copper(a: float = 3.7) -> Atoms:
    atoms = bulk("Cu", a=a, cubic=True)
    atoms.rattle(0.02, rng=np.random.default_rng(7))
    return atoms


class Stubborn(Emt):
    """EMT that says it did not converge on the first rungs."""

    rungs = ("first try", "softer mixing", "more iterations")

    def __init__(self, converges_on: int) -> None:
        super().__init__({})
        self.converges_on = converges_on
        self.settings = {**self.settings, "stubborn": True}

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        (directory / "log.txt").write_text(f"rung {rung}\n", encoding="utf-8")
        if rung < self.converges_on:
            raise Unconverged("200 iterations were not enough")
        return super().run(atoms, directory, rung, k_points)


class Garbage(Emt):
    """A code that gives no number."""

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        good = super().run(atoms, directory, rung, k_points)
        return Evaluation(float("nan"), good.forces_eV_A, good.stress_GPa, good.free_energy_eV)


def test_an_evaluation_has_the_numbers_of_ase_with_the_stress_in_gpa_and_tension_positive(
    tmp_path: Path,
) -> None:
    engine = engine_for(EMT, tmp_path)
    stretched = engine.evaluate(bulk("Cu", a=3.75), "stretched")
    pressed = engine.evaluate(bulk("Cu", a=3.4), "pressed")
    assert np.trace(stretched.stress_GPa) > 0 > np.trace(pressed.stress_GPa)
    # the stress is the derivative of the energy: dE/dV of the isotropic strain
    higher = engine.evaluate(bulk("Cu", a=3.7502), "a").energy_eV
    lower = engine.evaluate(bulk("Cu", a=3.7498), "b").energy_eV
    slope = (higher - lower) / ((3.7502**3 - 3.7498**3) / 4.0) * 160.21766
    assert np.trace(stretched.stress_GPa) / 3.0 == pytest.approx(slope, rel=1e-4)


def test_what_was_computed_once_is_read_from_disk_by_the_next_attempt(tmp_path: Path) -> None:
    first = engine_for(EMT, tmp_path / "attempt-1")
    _, before = first.relax(_copper(), "relax", cell=True)
    second = engine_for(EMT, tmp_path / "attempt-2", earlier=[tmp_path / "attempt-1"])
    _, after = second.relax(_copper(), "relax", cell=True)
    assert first.computed > 3
    assert second.computed == 0
    assert second.spent_s == pytest.approx(first.spent_s)
    assert after.energy_eV == before.energy_eV


@pytest.mark.parametrize("damage", ["edited", "cut", "of another key"])
def test_a_damaged_evaluation_on_disk_is_computed_again(tmp_path: Path, damage: str) -> None:
    truth = engine_for(EMT, tmp_path).evaluate(_copper(), "one")
    (file,) = (tmp_path / "evaluations").glob("*.json")
    body = json.loads(file.read_text())
    if damage == "cut":
        file.write_text(file.read_text()[:-40])
    else:
        body["energy_eV" if damage == "edited" else "key"] = -99.0
        file.write_text(json.dumps(body))
    engine = engine_for(EMT, tmp_path)
    assert engine.evaluate(_copper(), "one").energy_eV == truth.energy_eV
    assert engine.computed == 1


def test_other_settings_mesh_or_structure_are_another_evaluation(tmp_path: Path) -> None:
    engine = engine_for(EMT, tmp_path)
    engine.evaluate(_copper(), "one")
    engine.evaluate(_copper(), "one", mesh=(2, 2, 2))
    engine.evaluate(_copper(3.71), "one")
    Engine(Stubborn(0), tmp_path).evaluate(_copper(), "one")
    assert len(list((tmp_path / "evaluations").glob("*.json"))) == 4
    assert engine.computed == 3


def test_the_ladder_is_climbed_and_the_rung_recorded(tmp_path: Path) -> None:
    found = Engine(Stubborn(2), tmp_path).evaluate(_copper(), "hard")
    assert found.rung == 2
    logs = sorted(p.read_text() for p in tmp_path.glob("calculations/hard-*/rung-*/log.txt"))
    assert logs == ["rung 0\n", "rung 1\n", "rung 2\n"]


def test_nothing_is_kept_of_a_calculation_that_never_converged(tmp_path: Path) -> None:
    with pytest.raises(Unconverged, match=r"none of 3 rungs.*200 iterations"):
        Engine(Stubborn(3), tmp_path).evaluate(_copper(), "hopeless")
    assert not (tmp_path / "evaluations").exists()


def test_an_energy_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(CalculationFailed, match="no number"):
        Engine(Garbage({}), tmp_path).evaluate(_copper(), "nan")
    assert not (tmp_path / "evaluations").exists()


@pytest.mark.parametrize("cell", [True, "volume", False])
def test_relaxation_ends_below_its_thresholds(tmp_path: Path, cell: bool | str) -> None:
    engine = engine_for(EMT, tmp_path)
    atoms = _copper()
    relaxed, found = engine.relax(atoms, "relax", cell=cell, fmax=0.01, smax_GPa=0.05)  # type: ignore[arg-type]
    assert np.linalg.norm(found.forces_eV_A, axis=1).max() <= 0.01
    if cell:
        assert abs(np.trace(found.stress_GPa)) / 3 <= 0.05
        assert relaxed.cell.lengths().mean() == pytest.approx(3.59, abs=0.01)
    else:
        assert relaxed.cell.array == pytest.approx(atoms.cell.array)
    assert relaxed.calc is None
    assert atoms.cell.lengths() == pytest.approx([3.7] * 3)


def test_a_relaxation_that_does_not_end_is_unconverged(tmp_path: Path) -> None:
    with pytest.raises(Unconverged, match="not relaxed after 2 steps"):
        engine_for(EMT, tmp_path).relax(_copper(), "relax", cell=True, fmax=1e-6, steps=2)


@pytest.mark.parametrize("label", ["../out", "a/b", "", ".hidden", "x" * 81])
def test_a_label_that_cannot_be_a_directory_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(InputError, match="label"):
        engine_for(EMT, tmp_path).evaluate(_copper(), label)


def test_an_element_that_emt_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no parameters for W.*gpaw"):
        engine_for(EMT, tmp_path).evaluate(bulk("W"), "tungsten")


def test_the_mesh_follows_the_density_and_leaves_vacuum_and_open_directions_at_one_point() -> None:
    assert k_points(bulk("W", a=3.18), 4.25) == (12, 12, 12)
    assert k_points(bulk("W", a=3.18, cubic=True), 4.25) == (8, 8, 8)
    slab = bulk("W", a=3.18, cubic=True) * (1, 1, 4)
    slab.center(vacuum=8.0, axis=2)
    slab.pbc = (True, True, False)
    assert k_points(slab, 4.25) == (8, 8, 1)
    assert k_shift((8, 8, 1)) == (1, 1, 0)


def test_every_code_has_a_ladder_that_begins_with_a_first_try() -> None:
    assert Code.rungs[0] == "first try"

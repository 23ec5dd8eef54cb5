"""What each code says of its own convergence, and what is read from its output.

GPAW and ABINIT really run here. The excerpts of Quantum ESPRESSO were written by pw.x 6.7 for aluminium; those of
VASP were written by hand from its documented format, and VASP was never run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.genericfileio import GenericFileIOCalculator

from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from validators.atomistic.calculators import CALCULATORS, code_for
from validators.atomistic.calculators.abinit_code import Pseudopotential, abinit_iterations
from validators.atomistic.calculators.espresso_code import espresso_iterations, read_espresso
from validators.atomistic.calculators.gpaw_code import gpaw_iterations
from validators.atomistic.calculators.program import run_program
from validators.atomistic.calculators.vasp_code import read_vasp, vasp_iterations
from validators.atomistic.engine import CalculationFailed, Unconverged, engine_for
from validators.atomistic.presets import PRESETS
from validators.atomistic.specification import PRESETS as NAMED
from validators.atomistic.specification import CalculatorChoice, JobSpec
from validators.atomistic.workflows.running import run_workflow
from validators.outcome import OutcomeStatus

TUNGSTEN = parse_composition("W")


# -- GPAW, really run --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gpaw_gives_the_lattice_parameter_of_tungsten_and_keeps_its_logs(tmp_path: Path) -> None:
    choice = CalculatorChoice("gpaw", "test")
    spec = JobSpec("equation-of-state", TUNGSTEN, 8, 0, choice, {"volume_points": 5})
    outcome = run_workflow(spec, engine_for(choice, tmp_path))
    assert outcome.status is OutcomeStatus.CONVERGED, outcome.message
    values = {v.property: v.value for v in outcome.values}
    assert values["lattice_parameter"] == pytest.approx(3.18, rel=0.01)
    assert values["bulk_modulus"] == pytest.approx(301, rel=0.1)
    assert "gpaw 2" in outcome.method
    logs = list(tmp_path.glob("calculations/*/rung-0/gpaw.txt"))
    assert len(logs) == 6
    assert all(gpaw_iterations(log.read_text(encoding="utf-8")) > 1 for log in logs)


@pytest.mark.slow
def test_gpaw_with_too_few_iterations_gives_no_number_on_any_rung(tmp_path: Path) -> None:
    choice = CalculatorChoice("gpaw", "test", {"max_iterations": 1, "cutoff_eV": 200, "k_density": 1.0})
    with pytest.raises(Unconverged, match=r"none of 3 rungs.*KohnShamConvergenceError"):
        engine_for(choice, tmp_path).evaluate(bulk("W", a=3.18), "tungsten")
    logs = sorted(tmp_path.glob("calculations/*/rung-*/gpaw.txt"))
    assert len(logs) == 3
    for log in logs:
        with pytest.raises(Unconverged, match="iterations did not converge"):
            gpaw_iterations(log.read_text(encoding="utf-8"))
    assert not list(tmp_path.glob("evaluations/*"))


def test_gpaws_log_must_say_that_the_last_loop_converged() -> None:
    loop = "SCF iterations\n|iter:   1| 13:11:15 |  -11.7 | -0.20 |       |\n"
    assert gpaw_iterations(f"{loop}Converged in 7 steps\n") == 7
    with pytest.raises(Unconverged, match="1 iterations"):
        gpaw_iterations(f"{loop}Converged in 7 steps\n{loop}")


# -- ABINIT, really run ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_abinit_gives_the_lattice_parameter_of_tungsten(tmp_path: Path) -> None:
    choice = CalculatorChoice("abinit", "test", {"cutoff_eV": 400, "k_density": 2.1})
    spec = JobSpec("equation-of-state", TUNGSTEN, 8, 0, choice, {"volume_points": 5})
    outcome = run_workflow(spec, engine_for(choice, tmp_path))
    assert outcome.status is OutcomeStatus.CONVERGED, outcome.message
    assert outcome.values[0].value == pytest.approx(3.16, rel=0.02)
    assert "abinit 9" in outcome.method
    assert len(list(tmp_path.glob("calculations/*/rung-0/abinit.abo"))) == 6


def test_abinits_stress_is_the_derivative_of_its_energy(tmp_path: Path) -> None:
    engine = engine_for(CalculatorChoice("abinit", "test", {"k_density": 1.2}), tmp_path)
    middle, low, high = (engine.evaluate(bulk("W", a=a), "w", mesh=(4, 4, 4)) for a in (3.2, 3.19, 3.21))
    volumes = [a**3 / 2 for a in (3.19, 3.21)]
    slope = (high.free_energy_eV - low.free_energy_eV) / (volumes[1] - volumes[0]) * 160.21766
    assert np.trace(middle.stress_GPa) / 3 == pytest.approx(slope, abs=0.3)


def test_abinit_with_too_few_iterations_gives_no_number_on_any_rung(tmp_path: Path) -> None:
    choice = CalculatorChoice("abinit", "test", {"max_iterations": 1, "k_density": 1.0, "cutoff_eV": 300})
    with pytest.raises(Unconverged, match=r"none of 3 rungs.*6 iterations did not converge"):
        engine_for(choice, tmp_path).evaluate(bulk("W", a=3.18), "tungsten")
    assert not list(tmp_path.glob("evaluations/*"))


def test_abinits_output_must_say_that_it_converged_and_completed() -> None:
    good = "At SCF step    7       vres2   =  6.39E-15 < tolvrs=  1.00E-12 =>converged.\n Calculation completed.\n"
    assert abinit_iterations(good) == 7
    with pytest.raises(CalculationFailed, match="before its end"):
        abinit_iterations(good.replace("Calculation completed.", ""))
    with pytest.raises(Unconverged, match="does not say"):
        abinit_iterations(" Calculation completed.\n")
    with pytest.raises(Unconverged, match="3 iterations"):
        abinit_iterations(f"  nstep=    3 was not enough SCF cycles to converge;\n{good}")


def test_the_packaged_pseudopotential_has_the_fewest_electrons_and_a_missing_one_is_named(
    tmp_path: Path,
) -> None:
    code = code_for(CalculatorChoice("abinit", "test"))
    found = code.pseudopotential("W")  # type: ignore[attr-defined]
    assert (found.electrons, found.ixc) == (6, 1)
    with pytest.raises(InputError, match="none for Pu"):
        code.pseudopotential("Pu")  # type: ignore[attr-defined]
    (tmp_path / "bad.hgh").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(InputError, match="no pseudopotential of ABINIT"):
        Pseudopotential.read(tmp_path / "bad.hgh")


# -- Quantum ESPRESSO, from its output ---------------------------------------------------------------------

ESPRESSO = """\
!    total energy              =     -16.59324509 Ry
     estimated scf accuracy    <       0.00000002 Ry
     smearing contrib. (-TS)   =      -0.00619879 Ry
     internal energy E=F+TS    =     -16.58704630 Ry

     convergence has been achieved in   6 iterations

     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =    -0.02252446   -0.01601801   -0.00574854
     atom    2 type  1   force =     0.01532538    0.00435653    0.01151735
     atom    3 type  1   force =     0.00154628   -0.00430470    0.00811124
     atom    4 type  1   force =     0.00565279    0.01596617   -0.01388006

     Total force =     0.041830     Total SCF correction =     0.000014

     Computing stress (Cartesian axis) and pressure

          total   stress  (Ry/bohr**3)                   (kbar)     P=       10.73
   0.00006119   0.00001339   0.00000930            9.00        1.97        1.37
   0.00001339   0.00009339  -0.00000002            1.97       13.74       -0.00
   0.00000930  -0.00000002   0.00006423            1.37       -0.00        9.45

   JOB DONE.
"""


def test_espressos_numbers_are_read_in_our_units_and_signs() -> None:
    found = read_espresso(ESPRESSO, 4)
    assert found.free_energy_eV == pytest.approx(-225.76260, abs=1e-4)
    assert found.energy_eV == pytest.approx(-225.72043, abs=1e-4)
    assert found.forces_eV_A[0] == pytest.approx([-0.57913, -0.41184, -0.14780], abs=1e-4)
    assert -np.trace(found.stress_GPa) / 3 == pytest.approx(1.073, abs=2e-3)  # compressed: P = 10.73 kbar
    assert found.stress_GPa[0, 1] == pytest.approx(-0.197, abs=1e-3)
    assert found.detail == {"iterations": 6}


def test_espresso_that_ran_out_of_iterations_is_unconverged_though_it_says_job_done() -> None:
    text = "     convergence NOT achieved after   1 iterations: stopping\n   JOB DONE.\n"
    with pytest.raises(Unconverged, match="1 iterations"):
        espresso_iterations(text)
    with pytest.raises(Unconverged, match="does not say"):
        espresso_iterations("   JOB DONE.\n")
    with pytest.raises(CalculationFailed, match=r"read_upf.*cannot open file"):
        espresso_iterations("     Error in routine read_upf (1):\n     cannot open file\n")
    with pytest.raises(CalculationFailed, match="lacks the stress"):
        read_espresso(ESPRESSO.replace("total   stress", "nothing"), 4)


def test_espressos_input_has_the_settings_and_names_a_missing_pseudopotential(tmp_path: Path) -> None:
    upf = tmp_path / "W.upf"
    upf.write_text("<UPF/>", encoding="utf-8")
    options = {"pseudopotentials": {"W": str(upf)}, "command": sys.executable, "cutoff_eV": 680.28}
    code = code_for(CalculatorChoice("espresso", "screening", options))
    place = tmp_path / "place"
    place.mkdir()
    code.write(bulk("W", a=3.18), place, 1, (12, 12, 12))  # type: ignore[attr-defined]
    lines = [" ".join(line.split()) for line in (place / "espresso.pwi").read_text().splitlines()]
    assert {"electron_maxstep = 300", "smearing = 'gaussian'", "12 12 12 1 1 1", "tstress = .true."} <= set(
        lines
    )
    assert any(line.startswith("ecutwfc = 49.9") for line in lines)
    assert "&RISM" not in lines
    assert (place / "W.upf").read_text() == "<UPF/>"
    with pytest.raises(InputError, match="none for Mo"):
        code.write(bulk("Mo", a=3.15), place, 0, (12, 12, 12))  # type: ignore[attr-defined]


# -- VASP, from its documented output ----------------------------------------------------------------------

VASP = """\
--------------------------------------- Iteration      1(   1)  ---------------------------------------
  free energy    TOTEN  =       -25.10000000 eV
--------------------------------------- Iteration      1(   9)  ---------------------------------------
------------------------ aborting loop because EDIFF is reached ----------------------------------------
  FORCE on cell =-STRESS in cart. coord.  units (eV):
  Direction    XX          YY          ZZ          XY          YZ          ZX
  in kB     -16.40000   -16.50000   -16.60000     1.00000     2.00000     3.00000
  external pressure =      -16.50 kB  Pullay stress =        0.00 kB
 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.010000      0.020000     -0.030000
      1.59000      1.59000      1.59000        -0.010000     -0.020000      0.030000
 -----------------------------------------------------------------------------------
    total drift:                                0.000000      0.000000      0.000000
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =       -25.91000000 eV

  energy  without entropy=      -25.90000000  energy(sigma->0) =      -25.90500000
 General timing and accounting informations for this job:
"""


def test_vasps_numbers_are_read_in_our_units_and_signs() -> None:
    found = read_vasp(VASP, 2)
    assert (found.energy_eV, found.free_energy_eV) == (-25.905, -25.91)
    assert found.forces_eV_A.tolist() == [[0.01, 0.02, -0.03], [-0.01, -0.02, 0.03]]
    assert found.stress_GPa == pytest.approx(
        np.array([[1.64, -0.1, -0.3], [-0.1, 1.65, -0.2], [-0.3, -0.2, 1.66]])
    )
    assert found.detail == {"iterations": 9}


def test_vasp_that_reached_nelm_is_unconverged_in_whichever_words() -> None:
    reached = "aborting loop because EDIFF is reached"
    for words in (
        "aborting loop EDIFF was not reached (unconverged)",
        "aborting loop because hard stop was set",
        "",
    ):
        with pytest.raises(Unconverged, match="9 iterations"):
            vasp_iterations(VASP.replace(reached, words))
    with pytest.raises(CalculationFailed, match="before its end"):
        vasp_iterations(VASP.replace("General timing", ""))
    with pytest.raises(CalculationFailed, match="cannot be read"):
        read_vasp(VASP.replace("in kB", "nothing"), 2)
    # an earlier loop that converged does not speak for the last one
    again = (
        VASP.replace("General timing", "")
        + "---- Iteration      2(   1)  ---\n General timing and accounting"
    )
    with pytest.raises(Unconverged):
        vasp_iterations(again)


def test_vasps_inputs_have_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for element in ("W", "Nb_sv"):
        folder = tmp_path / "pp" / "potpaw_PBE" / element
        folder.mkdir(parents=True)
        (folder / "POTCAR").write_text(f"PAW_PBE {element}\n", encoding="utf-8")
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path / "pp"))
    options = {"command": sys.executable, "setups": {"Nb": "_sv"}}
    code = code_for(CalculatorChoice("vasp", "screening", options))
    place = tmp_path / "place"
    place.mkdir()
    atoms = bulk("W", a=3.2, cubic=True)
    atoms.set_chemical_symbols(["W", "Nb"])
    places = code.write(atoms, place, 1, (8, 8, 8))  # type: ignore[attr-defined]
    incar = {" ".join(line.split()) for line in (place / "INCAR").read_text().splitlines()}
    assert {"ISMEAR = 0", "SIGMA = 0.200000", "NELM = 300", "BMIX = 0.010000", "PREC = Accurate"} <= incar
    assert (place / "KPOINTS").read_text().splitlines()[2:4] == ["Monkhorst-Pack", "8 8 8"]
    poscar = (place / "POSCAR").read_text().splitlines()
    order = poscar[0].split()
    assert [order[k] for k in places] == ["W", "Nb"]
    assert "PAW_PBE Nb_sv" in (place / "POTCAR").read_text()


# -- any ASE calculator ------------------------------------------------------------------------------------


class Judged(EMT):  # type: ignore[misc]
    """A calculator that says itself whether it converged."""

    def __init__(self, converges: bool = True) -> None:
        super().__init__()
        self.converged = converges


class Runs(GenericFileIOCalculator):  # type: ignore[misc]
    """One that runs a program, and says nothing."""


def yes(calculator: Any, directory: Path) -> bool:
    return directory.is_dir()


def test_any_ase_calculator_can_be_named_by_its_class(tmp_path: Path) -> None:
    named = engine_for(CalculatorChoice("ase.calculators.emt:EMT"), tmp_path / "a")
    ours = engine_for(CalculatorChoice("emt"), tmp_path / "b")
    atoms = bulk("Cu", a=3.7)
    assert named.evaluate(atoms, "cu").energy_eV == ours.evaluate(atoms, "cu").energy_eV
    assert named.method.startswith("ase.calculators.emt:EMT 3.")


def test_a_calculator_that_says_it_did_not_converge_is_believed(tmp_path: Path) -> None:
    target = f"{__name__}:Judged"
    good = engine_for(CalculatorChoice(target), tmp_path / "a")
    assert good.evaluate(bulk("Cu"), "cu").detail["convergence"] == "none needed, or its own word"
    bad = engine_for(CalculatorChoice(target, options={"arguments": {"converges": False}}), tmp_path / "b")
    with pytest.raises(Unconverged, match="did not converge"):
        bad.evaluate(bulk("Cu"), "cu")


def test_a_class_that_runs_a_program_is_refused_unless_somebody_judges_it(tmp_path: Path) -> None:
    for target in (f"{__name__}:Runs", "ase.calculators.espresso:Espresso", "ase.calculators.vasp:Vasp"):
        with pytest.raises(InputError, match="does not notice"):
            code_for(CalculatorChoice(target))
    judged = CalculatorChoice(f"{__name__}:Runs", options={"converged": f"{__name__}:yes"})
    assert code_for(judged).settings["converged"] == f"{__name__}:yes"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("no.such.module:Class", {}, "package no"),
        ("ase.calculators.emt:NoClass", {}, "cannot be imported"),
        ("ase.calculators.emt:EMT", {"asap": 1}, "arguments"),
        ("gpaw", {"cutoff": 300}, "cutoff_eV"),
        ("gpaw", {"cutoff_eV": -3}, "out of range"),
        ("gpaw", {"k_density": "dense"}, "out of range"),
        ("abinit", {"command": "no-such-program"}, "no-such-program is not on this machine.*make dft"),
        ("espresso", {"command": "no-such-program"}, "is not on this machine"),
        ("vasp", {"command": sys.executable}, "VASP_PP_PATH"),
        ("castep", {}, "is not known"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_mend(
    name: str, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    with pytest.raises(InputError, match=said):
        code_for(CalculatorChoice(name, "test", options))


def test_gpaw_that_is_not_installed_is_an_input_error_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from validators.atomistic.calculators import gpaw_code

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(gpaw_code, "version", absent)
    with pytest.raises(InputError, match="make dft"):
        code_for(CalculatorChoice("gpaw", "test"))


def test_a_program_that_fails_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(CalculationFailed, match=r"status 3; its last words: .*no licence"):
        run_program(["sh", "-c", "echo no licence; exit 3"], tmp_path, "log")
    (tmp_path / "not-a-program").write_text("x", encoding="utf-8")
    with pytest.raises(CalculationFailed, match="did not start"):
        run_program([str(tmp_path / "not-a-program")], tmp_path, "log")


def test_the_presets_are_those_that_a_job_may_name_and_rise_in_accuracy() -> None:
    assert tuple(PRESETS) == NAMED
    densities = [p.k_density for p in PRESETS.values()]
    assert densities == sorted(densities)
    for code in ("gpaw", "abinit", "espresso", "vasp"):
        assert code in CALCULATORS
        cutoffs = [p.cutoff_eV[code] for p in PRESETS.values()]
        assert cutoffs == sorted(cutoffs)

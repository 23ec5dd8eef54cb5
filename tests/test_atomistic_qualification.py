"""Qualification: references, errors, what is refused, and what later values carry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ase.calculators.calculator import Calculator, all_changes
from in_process_cli import hea_loop

from hea_loop.elements import element_values
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition
from validators.atomistic.calculators import code_for
from validators.atomistic.engine import engine_for
from validators.atomistic.qualification import (
    BOUNDS,
    COUNTED,
    Qualification,
    find_qualification,
    judged,
    qualify,
    references,
    run_qualified,
)
from validators.atomistic.specification import CalculatorChoice, JobSpec
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEA_LOOP_QUALIFICATIONS", str(tmp_path / "qualifications"))


def scaled(factor: float, metals: tuple[str, ...] = COUNTED) -> Qualification:
    """What a calculator gives whose moduli are all off by a factor."""
    values = {
        e: {
            n: v * (1.0 if n in {"lattice_parameter", "poisson_ratio"} else factor)
            for n, v in references()[e].items()
        }
        for e in metals
    }
    return Qualification("code", "test", "code 1.0", {"code": "code", "factor": factor}, values)


def outcome() -> Outcome:
    values = (
        OutcomeValue("shear_modulus", 100.0, 0.0, 3.0),
        OutcomeValue("lattice_parameter", 3.2, 0.0),
        OutcomeValue("fracture_toughness_rice", 2.0, 0.0, 0.02),
        OutcomeValue("formation_energy", -0.1, 0.0, 0.01),
    )
    return Outcome(OutcomeStatus.CONVERGED, "code 1.0", values)


def test_the_references_are_the_hill_averages_of_the_measured_constants() -> None:
    known = references()
    assert known["W"]["bulk_modulus"] == pytest.approx((522.39 + 2 * 204.37) / 3)
    assert known["W"]["shear_modulus"] == pytest.approx(160, abs=1)
    # handbook values of polycrystals, measured independently of the single crystals
    handbook = {"V": 47, "Nb": 38, "Ta": 69, "Mo": 125, "W": 161}
    assert {e: known[e]["shear_modulus"] for e in COUNTED} == pytest.approx(handbook, rel=0.03)


def test_the_bounds_leave_room_for_converged_pbe_and_none_for_a_third_of_the_shear_modulus() -> None:
    pbe: dict[str, dict[str, float]] = {}
    for row in element_values():
        if row.source == "PSU-PureElements" and row.element in COUNTED:
            pbe.setdefault(row.element, {})[row.quantity] = row.value
    found = Qualification("pbe", "converged", "", {}, pbe)
    assert found.error("shear_modulus").metals == 5
    for name in ("bulk_modulus", "shear_modulus"):
        assert not found.error(name).refused
        assert found.error(name).relative > 0.4 * BOUNDS[name]
    assert scaled(52 / 161).error("shear_modulus").refused


def test_errors_are_root_mean_squares_over_the_counted_metals() -> None:
    error = scaled(1.1).error("shear_modulus")
    squares = [(0.1 * references()[e]["shear_modulus"]) ** 2 for e in COUNTED]
    assert error.rms == pytest.approx((sum(squares) / 5) ** 0.5)
    assert error.relative == pytest.approx(0.1)
    with_cr = scaled(1.1, (*COUNTED, "Cr"))
    assert with_cr.error("shear_modulus") == error


def test_two_metals_qualify_nothing() -> None:
    error = scaled(1.0, ("V", "W")).error("shear_modulus")
    assert error.refused
    assert error.reason() == "only 2 of 3 metals needed were computed"


def test_later_values_carry_the_error_as_uncertainty() -> None:
    found = scaled(1.1)
    values = {v.property: v for v in judged(outcome(), found).values}
    rms = found.error("shear_modulus").rms
    assert values["shear_modulus"].sigma == pytest.approx((3.0**2 + rms**2) ** 0.5)
    assert values["shear_modulus"].detail["qualification"]["refused"] is False
    toughness = values["fracture_toughness_rice"]
    assert toughness.sigma == pytest.approx(((0.5 * 0.1 * 2.0) ** 2 + 0.02**2) ** 0.5)
    assert "stacking-fault energy, which is not known" in toughness.detail["sigma_lacks"]
    assert values["formation_energy"].sigma == 0.01
    assert "not compared with measurement" in values["formation_energy"].detail["qualification"]


def test_a_sigma_that_the_workflow_does_not_know_stays_unknown() -> None:
    unknown = Outcome(OutcomeStatus.CONVERGED, "code", (OutcomeValue("shear_modulus", 100.0, 0.0),))
    (alloy,) = judged(unknown, scaled(1.1)).values
    assert alloy.sigma is None
    assert alloy.detail["qualification"]["relative_error"] == pytest.approx(0.1)
    # of one element nothing is rounded and no cell scatters
    (metal,) = judged(unknown, scaled(1.1), pure=True).values
    assert metal.sigma == scaled(1.1).error("shear_modulus").rms
    for found in (None, Qualification("code", "test", "", {}, {})):
        (kept,) = judged(unknown, found, accepted=True, pure=True).values
        assert kept.sigma is None


def test_a_refused_property_is_left_out_with_what_depends_on_it_and_the_rest_says_so() -> None:
    kept = judged(outcome(), scaled(0.33)).values
    assert [v.property for v in kept] == ["lattice_parameter", "formation_energy"]
    assert set(kept[0].detail["refused_properties"]) == {"shear_modulus", "fracture_toughness_rice"}
    assert "off by 67.0%" in kept[0].detail["refused_properties"]["shear_modulus"]


def test_where_nothing_is_left_the_outcome_has_failed() -> None:
    only = Outcome(OutcomeStatus.CONVERGED, "code", outcome().values[:1])
    refused = judged(only, scaled(0.33))
    assert refused.status is OutcomeStatus.FAILED
    assert "shear_modulus refused" in refused.message


def test_a_user_who_insists_gets_the_value_and_every_value_says_so() -> None:
    values = judged(outcome(), scaled(0.33), accepted=True).values
    assert len(values) == 4
    assert values[0].detail["qualification"]["refused"] is True
    assert values[0].sigma == pytest.approx(scaled(0.33).error("shear_modulus").rms, rel=1e-2)
    unknown = judged(outcome(), None, accepted=True).values
    assert all(v.detail["qualification"] == "none: the user insisted" for v in unknown)


def test_an_outcome_without_values_passes_unchanged() -> None:
    none = Outcome(OutcomeStatus.UNCONVERGED, "code", message="no")
    assert judged(none, scaled(1.0)) is none


def test_a_qualification_is_found_again_by_exactly_its_settings(tmp_path: Path) -> None:
    path = scaled(1.1).save(tmp_path / "qualifications")
    found = find_qualification({"code": "code", "factor": 1.1})
    assert found is not None
    assert found.error("shear_modulus") == scaled(1.1).error("shear_modulus")
    assert find_qualification({"code": "code", "factor": 1.2}) is None
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="run `hea-loop dft qualify` again"):
        find_qualification({"code": "code", "factor": 1.1})


class Springs(Calculator):  # type: ignore[misc]
    """A crystal of known elastic constants: the energy is quadratic in the strain from a reference cell."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")
    rest: ClassVar[dict[str, float]] = {"V": 3.03, "Nb": 3.30, "Ta": 3.30, "Mo": 3.15, "W": 3.17, "Cr": 2.88}

    def __init__(self, stiffness: float = 1.0) -> None:
        super().__init__()
        self.stiffness = stiffness

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        import ase.units
        import numpy as np
        from ase.build import bulk
        from ase.stress import full_3x3_to_voigt_6_stress

        super().calculate(atoms, properties, system_changes)
        symbol = self.atoms[0].symbol
        start = bulk(symbol, "bcc", a=self.rest[symbol]).cell.array
        deformation = np.linalg.solve(start, self.atoms.cell.array).T
        strain = (deformation + deformation.T) / 2 - np.eye(3)
        shear, bulk_modulus = (
            self.stiffness * references()[symbol][n] for n in ("shear_modulus", "bulk_modulus")
        )
        trace = np.trace(strain)
        deviator = strain - np.eye(3) * trace / 3
        stress = (bulk_modulus * trace * np.eye(3) + 2 * shear * deviator) * ase.units.GPa
        # harmonic in the strain: no equation of state bends it, and none is needed at 1%
        energy = 0.5 * float(np.sum(stress * strain)) * float(abs(np.linalg.det(start)))
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


SPRINGS = f"{__name__}:Springs"


def test_a_calculator_is_computed_compared_and_kept(tmp_path: Path) -> None:
    kept: list[Qualification] = []
    found = qualify(CalculatorChoice(SPRINGS, "test"), tmp_path, ("W", "Mo", "Ta"), keep=kept.append)
    assert not found.failures
    assert [len(q.values) for q in kept] == [1, 2, 3]
    assert found.values["W"]["shear_modulus"] == pytest.approx(references()["W"]["shear_modulus"], rel=0.03)
    assert not found.error("shear_modulus").refused
    assert found.error("lattice_parameter").relative < 0.005
    with pytest.raises(InputError, match="has no reference here"):
        qualify(CalculatorChoice(SPRINGS, "test"), tmp_path, ("Fe",))


def test_a_job_with_a_calculator_that_is_not_qualified_does_not_begin(tmp_path: Path) -> None:
    choice = CalculatorChoice(SPRINGS, "test")
    spec = JobSpec("elastic", parse_composition("W"), 8, 0, choice)
    with pytest.raises(InputError, match=r"has not been qualified.*hea-loop dft qualify"):
        run_qualified(spec, engine_for(choice, tmp_path / "job"))
    assert not (tmp_path / "job").exists()
    qualify(choice, tmp_path, ("W", "Mo", "Ta")).save(tmp_path / "qualifications")
    values = run_qualified(spec, engine_for(choice, tmp_path / "job")).values
    assert values[0].property == "shear_modulus"
    assert values[0].sigma is not None
    insisted = CalculatorChoice(
        SPRINGS, "test", {"arguments": {"stiffness": 0.9}, "accept_unqualified": True}
    )
    values = run_qualified(
        JobSpec("elastic", parse_composition("W"), 8, 0, insisted), engine_for(insisted, tmp_path / "other")
    ).values
    assert all(v.detail["qualification"] == "none: the user insisted" for v in values)
    made_by = {"name": SPRINGS, "preset": "test", "kind": "potential"}
    assert all(v.detail["calculator"] == made_by for v in values)


def test_only_the_four_codes_of_density_functional_theory_count_as_first_principles() -> None:
    kinds = {name: CalculatorChoice(name, "test").kind for name in ("gpaw", "abinit", "espresso", "vasp")}
    assert set(kinds.values()) == {"first-principles"}
    potential = CalculatorChoice("mace.calculators:MACECalculator", "test")
    assert (potential.kind, CalculatorChoice("emt", "test").kind) == ("potential", "potential")
    spec = JobSpec("elastic", parse_composition("W"), 8, 0, potential)
    assert spec.method("MACE 0.3").startswith("potential: MACE 0.3, preset test; elastic/1")


def test_a_soft_calculator_loses_the_properties_that_it_is_refused_for_and_no_others(tmp_path: Path) -> None:
    soft = CalculatorChoice(SPRINGS, "test", {"arguments": {"stiffness": 0.3}})
    found = qualify(soft, tmp_path, ("W", "Mo", "Ta"))
    assert found.error("shear_modulus").refused
    assert found.error("bulk_modulus").refused
    found.save(tmp_path / "qualifications")
    spec = JobSpec("elastic", parse_composition("W"), 8, 0, soft)
    kept = run_qualified(spec, engine_for(soft, tmp_path / "job")).values
    names = {v.property for v in kept}
    assert "lattice_parameter" in names
    assert not names & {"shear_modulus", "bulk_modulus", "youngs_modulus"}
    assert "shear_modulus" in kept[0].detail["refused_properties"]


def test_emt_needs_no_qualification_and_its_values_say_that_they_count_for_nothing(tmp_path: Path) -> None:
    choice = CalculatorChoice("emt", "test")
    spec = JobSpec("equation-of-state", parse_composition("Cu"), 8, 0, choice, {"lattice": "fcc"})
    values = run_qualified(spec, engine_for(choice, tmp_path)).values
    assert all(v.detail["qualification"] == "none: the calculator is for tests only" for v in values)


def test_every_packaged_qualification_is_whole_and_says_what_it_was_made_with() -> None:
    from importlib.resources import files

    folder = files("validators.atomistic").joinpath("data/qualifications")
    packaged = [e for e in folder.iterdir() if e.name.endswith(".json")]
    assert packaged
    for entry in packaged:
        data = json.loads(entry.read_text(encoding="utf-8"))
        found = Qualification.from_json(data)
        assert entry.name.endswith(f"-{found.key[:8]}.json")
        assert data["errors"] == {n: found.error(n).to_json() for n in BOUNDS}
        assert set(found.wall_s) == set(found.values) | set(found.failures)
        assert str(found.settings["version"]) in found.method


def test_the_command_runs_one_job_and_leaves_its_result(tmp_path: Path) -> None:
    place = tmp_path / "cu"
    done = hea_loop("dft", "run", "Cu", "--calculator", "emt", "--workflow", "equation-of-state",
                    "--option", "lattice=fcc", "--directory", str(place), "--json")  # fmt: skip
    assert done.code == 0, done.err
    result = json.loads((place / "result.json").read_text())
    assert json.loads(done.out) == result
    assert result["values"][0]["value"] == pytest.approx(3.59, abs=0.01)
    assert result["settings"]["code"] == "emt"
    assert list(place.glob("calculations/*"))


def test_the_command_qualifies_and_shows_the_errors(tmp_path: Path) -> None:
    done = hea_loop("dft", "qualify", SPRINGS, "--elements", "W-Mo-Ta", "--directory", str(tmp_path / "run"),
                   "--preset", "test")  # fmt: skip
    assert done.code == 0, done.err
    assert "counts" in done.out
    assert list((tmp_path / "qualifications").glob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dft", "run", "W", "--calculator", "gpaw", "--preset", "rough"], "preset"),
        (["dft", "run", "W", "--calculator-option", "cutoff"], "name=value"),
        (
            ["dft", "run", "W", "--calculator", "vasp", "--calculator-option", "command=none-such"],
            "not on this machine",
        ),
        (["dft", "qualify", "gpaw", "--elements", "Xx"], "no reference"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    extra = ["--directory", str(tmp_path / "d")]
    done = hea_loop(*arguments, *extra)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_the_lists_of_calculators_and_presets_are_shown() -> None:
    shown = json.loads(hea_loop("dft", "calculators", "--json").out)["calculators"]
    assert {"gpaw", "abinit", "espresso", "vasp", "emt"} < {row["name"] for row in shown}
    presets = json.loads(hea_loop("dft", "presets", "--json").out)["presets"]
    assert [p["name"] for p in presets] == ["test", "screening", "production"]
    assert "screening" in hea_loop("dft", "presets").out
    assert "gpaw 2" in hea_loop("dft", "calculators").out


@pytest.mark.parametrize("command", [("run", "Cu", "--calculator", "emt"), ("qualify", SPRINGS)])
def test_a_directory_that_cannot_be_written_is_refused_before_anything_is_computed(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for directory in ("/proc", str(tmp_path / "file")):
        ended = hea_loop("dft", *command, "--directory", directory)
        assert ended.code == 2
        (line,) = ended.err.strip().splitlines()
        assert line.startswith(f"error: --directory = '{directory}': cannot be written")
    ended = hea_loop("dft", "qualify", SPRINGS, "--out", "/proc", "--directory", str(tmp_path / "run"))
    assert ended.err.startswith("error: --out = '/proc': cannot be written")


def test_a_calculator_that_cannot_run_leaves_no_directory_behind(tmp_path: Path) -> None:
    for calculator in (SPRINGS, "emt", "abinit --calculator-option command=/nowhere"):
        where = ("--calculator", *calculator.split(), "--directory", str(tmp_path / "run"))
        assert hea_loop("dft", "run", "W", *where).code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((SPRINGS,), "has not been qualified"),
        (("emt",), "has no parameters for W; use gpaw or abinit"),
        (("emt", "--runner", "local"), "has no parameters for W"),
        (("none:Such",), "none"),
    ],
)
def test_what_its_own_calculator_would_refuse_is_not_submitted(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = hea_loop("jobs", "submit", "W", "--calculator", *arguments)
    assert ended.code == 2
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("error: calculator = ")
    assert said in line
    assert not list(tmp_path.iterdir())


def test_a_job_for_another_machine_is_left_to_the_calculator_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = hea_loop("jobs", "submit", "W", "--calculator", SPRINGS, "--runner", "export", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["jobs"][0]["state"] == "submitted"


def test_elements_without_parameters_are_known_before_anything_runs() -> None:
    code_for(CalculatorChoice("emt")).require_elements(("Cu", "Ni"))
    with pytest.raises(InputError, match="no parameters for Mo, W"):
        code_for(CalculatorChoice("emt")).require_elements(("W", "Cu", "Mo"))
    abinit = code_for(CalculatorChoice("abinit"))
    abinit.require_elements(("W", "Nb"))
    with pytest.raises(InputError, match="has none for Np"):
        abinit.require_elements(("W", "Np"))

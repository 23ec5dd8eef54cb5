"""One job's science: from its specification and an engine to an outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hea_loop.elements import element_vector, mixing_enthalpy_matrix
from hea_loop.errors import InputError
from hea_loop.prediction import PREDICTED_PROPERTIES, missing_inputs, predict, rice_toughness
from validators.atomistic.evaluation import CalculationFailed, Unconverged
from validators.atomistic.specification import CELL_SIZES, WORKFLOWS, CalculatorChoice, JobSpec
from validators.atomistic.structures import lattice_guess, rounded_composition, smallest_cell
from validators.atomistic.workflows.calculation import Calculation, NoAnswer, Progress
from validators.atomistic.workflows.elastic import ElasticResult, elastic_constants, expected_strains
from validators.atomistic.workflows.equilibrium import Equilibrium, equilibrium, expected_runs
from validators.atomistic.workflows.formation_energy import (
    expected_references,
    formation_energy,
    stable_structure,
)
from validators.atomistic.workflows.stacking_fault import FaultResult, expected_faults, fault_energy
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

if TYPE_CHECKING:
    from hea_loop.composition import Composition
    from validators.atomistic.engine import Engine

__all__ = ["fitted_spec", "require_runnable", "run_workflow"]

_TEMPERATURE_K = 0.0
"""The nuclei rest: values are of 0 K without zero-point motion."""

_COLUMNS: Final = WORKFLOWS["stacking-fault"].options["columns"].choices


def require_runnable(spec: JobSpec) -> None:
    """Refuse a job that could not be run by any calculator, before anybody queues it.

    Raises:
        InputError: The composition does not fit into the cell or the slab within ``max_rounding``, or an element
            lacks what the workflow needs.
    """
    lattice_guess(dict(spec.composition.fractions), spec.lattice)
    if spec.workflow == "formation-energy":
        for element in spec.composition.elements:
            stable_structure(element)
    if spec.is_pure:
        return
    bound = spec.options["max_rounding"]
    cells = {n: f"{n} atoms" for n in CELL_SIZES[spec.lattice]}
    rounded_composition(spec.composition, spec.atoms).require_within(bound, cells)
    if "layers" in spec.options:
        layers = spec.options["layers"]
        slabs = {layers * int(n): f"the option columns: {n}" for n in _COLUMNS}
        sites = layers * spec.options["columns"]
        rounded_composition(spec.composition, sites).require_within(bound, slabs)


def fitted_spec(
    workflow: str,
    composition: Composition,
    atoms: int | None,
    seed: int,
    calculator: CalculatorChoice,
    options: dict[str, Any],
) -> JobSpec:
    """A job with the number of atoms that its composition takes, where nobody states one.

    Args:
        workflow: As in :class:`JobSpec`, like all but the next.
        composition: The alloy.
        atoms: What was stated and stays so; None takes the smallest cell that holds the composition within the
            option ``max_rounding`` (of a pure element the smallest there is: it has its primitive cell).
        seed: Of the search for the cell.
        calculator: What computes.
        options: Of the workflow.

    Raises:
        InputError: A part of the job is not as it should be, or no cell holds the composition.
    """
    # every lattice has a cell of eight atoms
    first = JobSpec(workflow, composition, 8 if atoms is None else atoms, seed, calculator, options)
    if atoms is not None or first.is_pure:
        return first
    bound, sizes = first.options["max_rounding"], CELL_SIZES[first.lattice]
    found = smallest_cell(composition, bound, first.lattice)
    if found is None:
        nearest = min((rounded_composition(composition, n) for n in sizes), key=lambda r: r.distance)
        raise InputError(
            "composition",
            composition.formula,
            f"fits no {first.lattice} cell of {', '.join(map(str, sizes))} atoms within max_rounding {bound:g}; "
            f"{nearest.composition.formula} is nearest, {nearest.distance:.3f} of its atoms exchanged",
            "ask for a composition that a cell can hold, or allow more by the option max_rounding",
        )
    return replace(first, atoms=found)


def run_workflow(spec: JobSpec, engine: Engine, progress: Progress | None = None) -> Outcome:
    """Run a job to its outcome.

    Args:
        spec: What is asked.
        engine: What computes.
        progress: Called before each run with its label, its number from 1, and how many are expected in all (the
            last grows if the volumes have to be sampled again).

    Returns:
        ``converged`` with one value for each of the workflow's properties; ``unconverged`` where a run did not
        converge, or the runs did and no value follows (no minimum of the energy, stresses that contradict each
        other, a mechanically unstable crystal); ``failed`` where a run stopped with an error. Values without
        vibration, at 0 K. The detail of each says how the cell differs from the alloy; its ``sigma`` is what the
        rounding of the composition and the scatter within the cell are worth, not the calculator's own error.

    Raises:
        InputError: The job cannot be run (see :func:`require_runnable`), or the calculator refuses an element.
    """
    require_runnable(spec)
    began = time.perf_counter()
    method = spec.method(engine.method)
    try:
        values = _RECIPES[spec.workflow](spec, engine, progress)
    except (Unconverged, NoAnswer) as reason:
        status, message = OutcomeStatus.UNCONVERGED, str(reason)
    except CalculationFailed as reason:
        status, message = OutcomeStatus.FAILED, str(reason)
    else:
        return Outcome(OutcomeStatus.CONVERGED, method, values, wall_s=time.perf_counter() - began)
    return Outcome(status, method, message=message, wall_s=time.perf_counter() - began)


def _equation_of_state(spec: JobSpec, engine: Engine, progress: Progress | None) -> tuple[OutcomeValue, ...]:
    rest = equilibrium(Calculation(engine, progress, expected_runs(spec)), spec)
    detail = rest.detail()
    return (
        _value(spec, rest, "lattice_parameter", rest.a, rest.a_sigma, detail),
        _value(spec, rest, "bulk_modulus", rest.state.bulk_modulus, rest.state.bulk_modulus_sigma, detail),
    )


def _elastic(spec: JobSpec, engine: Engine, progress: Progress | None) -> tuple[OutcomeValue, ...]:
    calculation = Calculation(engine, progress, expected_runs(spec) + expected_strains(spec))
    rest = equilibrium(calculation, spec)
    return _elastic_values(spec, rest, elastic_constants(calculation, spec, rest))


def _elastic_values(spec: JobSpec, rest: Equilibrium, found: ElasticResult) -> tuple[OutcomeValue, ...]:
    detail = rest.detail() | found.detail()
    return (
        *(
            _value(spec, rest, name, value, found.errors.get(name), detail)
            for name, value in found.by_property().items()
        ),
        _value(spec, rest, "lattice_parameter", rest.a, rest.a_sigma, rest.detail()),
    )


def _stacking_fault(spec: JobSpec, engine: Engine, progress: Progress | None) -> tuple[OutcomeValue, ...]:
    calculation = Calculation(engine, progress, expected_runs(spec) + expected_faults(spec))
    rest = equilibrium(calculation, spec)
    found = fault_energy(calculation, spec, rest.a)
    return (
        _fault_value(spec, rest, found),
        _value(spec, rest, "lattice_parameter", rest.a, rest.a_sigma, rest.detail()),
    )


def _fault_value(spec: JobSpec, rest: Equilibrium, found: FaultResult) -> OutcomeValue:
    name = "unstable_stacking_fault_energy"
    detail = rest.detail() | found.detail() | {"slip_system": "{110}<111>"}
    cell = None if found.rounding is None else found.rounding.composition
    shift = 0.0 if cell is None else _shift(spec.composition, cell, name)
    return OutcomeValue(
        name, found.energy, _TEMPERATURE_K, _total(found.error, shift, pure=spec.is_pure), detail
    )


def _rice(spec: JobSpec, engine: Engine, progress: Progress | None) -> tuple[OutcomeValue, ...]:
    expected = expected_runs(spec) + expected_strains(spec) + expected_faults(spec)
    calculation = Calculation(engine, progress, expected)
    rest = equilibrium(calculation, spec)
    elastic = _elastic_values(spec, rest, elastic_constants(calculation, spec, rest))
    fault = _fault_value(spec, rest, fault_energy(calculation, spec, rest.a))
    known = {value.property: value for value in (*elastic, fault)}
    parts = [known[n] for n in ("shear_modulus", "unstable_stacking_fault_energy", "poisson_ratio")]
    shear, energy, poisson = (part.value for part in parts)
    toughness = float(rice_toughness(np.array(shear), np.array(energy), np.array(poisson)))
    # K ~ sqrt(G E / (1 - nu)): half the relative errors, added as independent ones
    errors = [
        part.sigma / scale
        for part, scale in zip(parts, (shear, energy, 1 - poisson), strict=True)
        if part.sigma is not None
    ]
    sigma = 0.5 * toughness * math.hypot(*errors) if len(errors) == len(parts) else None
    detail = {
        "shear_modulus_GPa": round(shear, 3),
        "unstable_stacking_fault_energy_J_per_m2": round(energy, 4),
        "poisson_ratio": round(poisson, 4),
        "formula": "sqrt(2 G E_USF / (1 - nu))",
    } | rest.detail()
    return (
        OutcomeValue("fracture_toughness_rice", toughness, _TEMPERATURE_K, sigma, detail),
        *elastic,
        fault,
    )


def _formation_energy(spec: JobSpec, engine: Engine, progress: Progress | None) -> tuple[OutcomeValue, ...]:
    calculation = Calculation(engine, progress, expected_runs(spec) + expected_references(spec))
    rest = equilibrium(calculation, spec)
    found = formation_energy(calculation, spec, rest)
    return (
        _value(spec, rest, "formation_energy", found.energy, None, rest.detail() | found.detail()),
        _value(spec, rest, "lattice_parameter", rest.a, rest.a_sigma, rest.detail()),
    )


_RECIPES: dict[str, Callable[[JobSpec, Engine, Progress | None], tuple[OutcomeValue, ...]]] = {
    "equation-of-state": _equation_of_state,
    "elastic": _elastic,
    "stacking-fault": _stacking_fault,
    "rice": _rice,
    "formation-energy": _formation_energy,
}


def _value(
    spec: JobSpec, rest: Equilibrium, name: str, value: float, error: float | None, detail: dict[str, Any]
) -> OutcomeValue:
    """One value, its sigma grown by what the rounding of the composition is worth."""
    shift = 0.0 if rest.cell is None else _shift(spec.composition, rest.cell.rounding.composition, name)
    if rest.cell is not None:
        detail = detail | {"shift_of_rounding": None if shift is None else float(f"{shift:.3g}")}
    return OutcomeValue(name, value, _TEMPERATURE_K, _total(error, shift, pure=spec.is_pure), detail)


def _total(error: float | None, shift: float | None, *, pure: bool) -> float | None:
    """Scatter and rounding together; None where one of them is not known."""
    if pure:
        return error
    if shift is None:
        return None
    return math.hypot(error or 0.0, shift) or None


def _shift(requested: Composition, computed: Composition, name: str) -> float | None:
    """How much a property changes between two compositions by the laws of mixture; None where they do not know."""
    if requested == computed:
        return 0.0
    if name in PREDICTED_PROPERTIES:
        if any(missing_inputs(c, name) for c in (requested, computed)):
            return None
        first, second = (value.value for value in predict((requested, computed), (name,)))
        return abs(first - second)
    difference = _mixture(requested, name) - _mixture(computed, name)
    return abs(difference) if math.isfinite(difference) else None


def _mixture(composition: Composition, name: str) -> float:
    x = np.array(list(composition.fractions.values()))
    if name == "lattice_parameter":
        return lattice_guess(dict(composition.fractions), "bcc")
    if name == "formation_energy":
        # Miedema's enthalpy of mixing, kJ/mol to eV per atom
        return float(2 * x @ mixing_enthalpy_matrix(composition.elements) @ x * 1e3 / 96485.33212)
    return float(x @ element_vector(composition.elements, name))

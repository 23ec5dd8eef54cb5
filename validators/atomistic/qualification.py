"""Qualification: what a calculator's numbers for the pure bcc metals are worth against measurement.

Before a calculator's numbers count, it computes V, Nb, Ta, Mo and W (and Cr, which is shown and not counted) by
the very workflow that will compute alloys. The root mean square of its errors is the uncertainty of its later
values; a property in which it is off by more than :data:`BOUNDS` is refused, unless the user insists
(``accept_unqualified: true`` among the calculator's options), and then every value says so.

The references are measured at room temperature, the calculations are of 0 K without zero-point motion: some
percent of the moduli, and 0.2% of the lattice parameter, are temperature and are counted as error.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hea_loop.errors import InputError
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

if TYPE_CHECKING:
    from validators.atomistic.engine import Engine
    from validators.atomistic.specification import CalculatorChoice, JobSpec

__all__ = [
    "BOUNDS",
    "COUNTED",
    "METALS",
    "PropertyError",
    "Qualification",
    "find_qualification",
    "judged",
    "own_folder",
    "qualify",
    "references",
    "require_usable",
    "run_qualified",
]

COUNTED: Final = ("V", "Nb", "Ta", "Mo", "W")
METALS: Final = (*COUNTED, "Cr")
"""Cr is shown and not counted: measured, it is antiferromagnetic and softened by its Neel temperature of 311 K;
computed here, it is not magnetic."""

FEWEST: Final = 3
"""Counted metals without which nothing is qualified."""

BOUNDS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "lattice_parameter": 0.02,
        "bulk_modulus": 0.15,
        "shear_modulus": 0.20,
        "youngs_modulus": 0.20,
        "poisson_ratio": 0.20,
    }
)
"""Largest root mean square error over the root mean square of the references.

Converged PBE of the packaged table (source PSU-PureElements) is at 0.06 for B and 0.12 for G, the latter mostly by
V and Nb, whose C44 PBE misses by half: no bound may be closer than what the functional can reach. CHGNet, with
52 GPa for the shear modulus of tungsten, is at 0.7.
"""

_DEPENDS: Final[Mapping[str, str]] = MappingProxyType({"fracture_toughness_rice": "shear_modulus"})
"""Properties that are computed from another one and stand or fall with it."""

ACCEPT: Final = "accept_unqualified"
"""The option of a calculator by which a user insists."""


@lru_cache(maxsize=1)
def references() -> Mapping[str, Mapping[str, float]]:
    """Measured values by element and property, the moduli as Hill averages of the single crystal's constants.

    Source: rows of ``data/bcc_references.csv``, each with its own.
    """
    from validators.atomistic.elasticity import cubic_matrix, moduli

    rows: dict[str, dict[str, float]] = {}
    with files("validators.atomistic").joinpath("data/bcc_references.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["element"], {})[row["quantity"]] = float(row["value"])
    found: dict[str, dict[str, float]] = {}
    for element, known in rows.items():
        constants = [known[f"elastic_constant_c{ij}"] for ij in ("11", "12", "44")]
        matrix = cubic_matrix(constants[0], constants[1], constants[2])
        found[element] = {"lattice_parameter": known["lattice_parameter"], **moduli(matrix).by_property()}
    return found


@dataclass(frozen=True, slots=True)
class PropertyError:
    """How far off a calculator is in one property.

    Attributes:
        name: Its name.
        rms: Root mean square error over the counted metals, in the property's unit.
        relative: The same over the root mean square of the references.
        metals: Number of metals counted.
        worst: Metal with the largest relative error.
        bound: Of ``relative``, above which the property is refused.
    """

    name: str
    rms: float
    relative: float
    metals: int
    worst: str
    bound: float

    @property
    def refused(self) -> bool:
        """Whether the property is off by more than the bound, or too few metals were computed."""
        return self.metals < FEWEST or not self.relative <= self.bound

    def reason(self) -> str:
        """One line."""
        if self.metals < FEWEST:
            return f"only {self.metals} of {FEWEST} metals needed were computed"
        return (
            f"off by {self.relative:.1%} of the measured values over {self.metals} bcc metals, most for "
            f"{self.worst}; bound {self.bound:.0%}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "rms_error": float(f"{self.rms:.4g}"),
            "relative_error": round(self.relative, 4),
            "bound": self.bound,
            "metals": self.metals,
            "worst": self.worst,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Qualification:
    """What a calculator gave for the pure metals.

    Attributes:
        calculator: Its name.
        preset: The preset.
        method: One line with version and settings.
        settings: All that decides its numbers; a qualification holds for exactly these.
        values: Computed values by element and property.
        failures: Why an element has none.
        wall_s: Seconds of calculation by element.
        made: Day and time, UTC.
    """

    calculator: str
    preset: str
    method: str
    settings: Mapping[str, Any]
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    wall_s: Mapping[str, float] = field(default_factory=dict)
    made: str = ""

    @property
    def key(self) -> str:
        """SHA-256 of the settings in canonical JSON."""
        return settings_key(self.settings)

    def error(self, name: str) -> PropertyError:
        """The error of one property of :data:`BOUNDS` over the counted metals."""
        known = references()
        pairs = {e: (self.values[e][name], known[e][name]) for e in COUNTED if name in self.values.get(e, {})}
        if not pairs:
            return PropertyError(name, math.nan, math.nan, 0, "", BOUNDS[name])
        squares = sum((computed - measured) ** 2 for computed, measured in pairs.values())
        scale = sum(measured**2 for _, measured in pairs.values())
        return PropertyError(
            name,
            math.sqrt(squares / len(pairs)),
            math.sqrt(squares / scale),
            len(pairs),
            max(pairs, key=lambda e: abs(pairs[e][0] / pairs[e][1] - 1)),
            BOUNDS[name],
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with the errors beside the values for people who read the file."""
        return {
            "calculator": self.calculator,
            "preset": self.preset,
            "method": self.method,
            "settings": dict(self.settings),
            "values": {e: dict(v) for e, v in self.values.items()},
            "failures": dict(self.failures),
            "wall_s": dict(self.wall_s),
            "made": self.made,
            "errors": {name: self.error(name).to_json() for name in BOUNDS if self.values},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Qualification:
        """Read back what :meth:`to_json` wrote; the errors are computed anew."""
        return cls(**{name: data[name] for name in cls.__slots__})

    def save(self, folder: Path) -> Path:
        """Write it into a folder, whole or not at all, under a name that its settings give."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(c if c.isalnum() else "-" for c in self.calculator)
        path = folder / f"{stem}-{self.preset}-{self.key[:8]}.json"
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            part.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path


def settings_key(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings in canonical JSON."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()


def own_folder() -> Path:
    """Where the user's qualifications are: ``HEA_LOOP_QUALIFICATIONS``, else in the user's data directory."""
    named = os.environ.get("HEA_LOOP_QUALIFICATIONS")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "hea-loop" / "qualifications"


def find_qualification(settings: Mapping[str, Any]) -> Qualification | None:
    """The qualification of exactly these settings: the user's own before the packaged one.

    Raises:
        InputError: A file of that name that is no qualification.
    """
    key = settings_key(settings)
    packaged = files("validators.atomistic").joinpath("data/qualifications")
    own = own_folder()
    for folder in (own if own.is_dir() else None, packaged):
        for entry in sorted(folder.iterdir(), key=lambda e: e.name) if folder is not None else ():
            if not entry.name.endswith(f"-{key[:8]}.json"):
                continue
            try:
                found = Qualification.from_json(json.loads(entry.read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise InputError(
                    "qualification",
                    str(entry),
                    f"cannot be read ({error})",
                    "run `hea-loop dft qualify` again",
                ) from None
            if found.key == key:
                return found
    return None


def qualify(
    choice: CalculatorChoice,
    directory: Path,
    elements: Iterable[str] = METALS,
    *,
    keep: Callable[[Qualification], None] | None = None,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Qualification:
    """Compute the pure metals with a calculator by the workflow ``elastic``.

    Args:
        choice: The calculator.
        directory: Where it works, one directory per metal; what is finished there is not computed again.
        elements: Which of :data:`METALS`.
        keep: Called with what is known after each metal.
        progress: Called before each run with the metal, the run's label, its number and how many are expected.

    Raises:
        InputError: An element without reference, or a calculator that cannot be made.
    """
    from hea_loop.formula import parse_composition
    from validators.atomistic.engine import engine_for
    from validators.atomistic.specification import JobSpec
    from validators.atomistic.workflows.running import run_workflow

    chosen = tuple(dict.fromkeys(elements))
    for element in chosen:
        if element not in METALS:
            raise InputError("--elements", element, "has no reference here", f"use {', '.join(METALS)}")
    first = engine_for(choice, directory)
    found = Qualification(choice.name, choice.preset, first.method, first.settings)
    known = find_qualification(first.settings)
    if known is not None:
        found = replace(found, values=known.values, failures=known.failures, wall_s=known.wall_s)
    for element in chosen:
        spec = JobSpec("elastic", parse_composition(element), 8, 0, choice)
        engine = engine_for(choice, directory / element)

        def tell(label: str, done: int, expected: int, metal: str = element) -> None:
            if progress is not None:
                progress(metal, label, done, expected)

        outcome = run_workflow(spec, engine, tell)
        found = _with(found, element, outcome, engine.spent_s)
        if keep is not None:
            keep(found)
    return found


def _with(found: Qualification, element: str, outcome: Outcome, spent_s: float) -> Qualification:
    values = {e: v for e, v in found.values.items() if e != element}
    failures = {e: m for e, m in found.failures.items() if e != element}
    if outcome.status is OutcomeStatus.CONVERGED:
        values[element] = {v.property: round(v.value, 6) for v in outcome.values}
    else:
        failures[element] = f"{outcome.status.value}: {outcome.message}"
    return replace(
        found,
        values=values,
        failures=failures,
        wall_s={**found.wall_s, element: round(spent_s, 1)},
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def require_usable(spec: JobSpec, engine: Engine, elements: Sequence[str] = ()) -> None:
    """Refuse a job that its calculator, as it is installed here, would end with a refusal: see the errors.

    Args:
        spec: The job.
        engine: With its calculator.
        elements: Further ones that it needs parameters for.

    Raises:
        InputError: An element that it has no parameters for, or as :func:`require_qualified`.
    """
    engine.code.require_elements((*spec.composition.elements, *elements))
    require_qualified(spec, engine)


def require_qualified(spec: JobSpec, engine: Engine) -> Qualification | None:
    """The qualification of a job's calculator, before anything is computed with it.

    Returns:
        None for a calculator for tests of the machinery, and for one that the user insists on.

    Raises:
        InputError: It has none, or is refused for every property of the workflow.
    """
    accepted = bool(spec.calculator.options.get(ACCEPT, False))
    found = find_qualification(engine.settings)
    if engine.code.only_for_tests or accepted:
        return found
    command = f"hea-loop dft qualify {spec.calculator.name} --preset {spec.calculator.preset}"
    if found is None:
        raise InputError(
            "calculator",
            f"{spec.calculator.name} {spec.calculator.preset}",
            "has not been qualified with these settings, so its numbers do not count",
            f"run `{command}` with the same options, or insist with the calculator's option {ACCEPT}: true",
        )
    from validators.atomistic.specification import WORKFLOWS

    names = WORKFLOWS[spec.workflow].properties
    if all(_error_of(found, name) is not None and _is_refused(found, name) for name in names):
        raise InputError(
            "calculator",
            f"{spec.calculator.name} {spec.calculator.preset}",
            f"is refused for {', '.join(names)}",
            f"use another one, or insist with the calculator's option {ACCEPT}: true",
        )
    return found


def _error_of(found: Qualification, name: str) -> PropertyError | None:
    asked = _DEPENDS.get(name, name)
    return found.error(asked) if asked in BOUNDS else None


def _is_refused(found: Qualification, name: str) -> bool:
    error = _error_of(found, name)
    return error is not None and error.refused


def judged(
    outcome: Outcome,
    found: Qualification | None,
    *,
    accepted: bool = False,
    only_for_tests: bool = False,
    pure: bool = False,
) -> Outcome:
    """An outcome whose values carry the calculator's own error, without those it is refused for.

    Args:
        outcome: Of a workflow.
        found: The calculator's qualification, if it has one.
        accepted: Whether the user insists on values that are refused, or on a calculator without qualification.
        only_for_tests: Whether the calculator is for tests of the machinery.
        pure: Whether it is of one element: nothing is rounded and no cell scatters, so that where the workflow
            states no sigma the calculator's error is all there is.

    Returns:
        The outcome with ``sigma`` grown by the root mean square error of the qualification and ``qualification``
        in each detail; failed, if nothing is left. A sigma that the workflow does not know stays unknown: the
        error of the qualification alone would be too small, and stands in the detail.
    """
    if outcome.status is not OutcomeStatus.CONVERGED:
        return outcome
    kept, refused = [], {}
    for value in outcome.values:
        error = None if found is None else _error_of(found, value.property)
        if error is not None and error.refused and not accepted:
            refused[value.property] = error.reason()
            continue
        own = 0.0 if value.sigma is None and pure else value.sigma
        kept.append(_carrying(value, own, found, error, only_for_tests=only_for_tests))
    if not kept:
        said = "; ".join(f"{name} refused: {why}" for name, why in refused.items())
        return Outcome(OutcomeStatus.FAILED, outcome.method, message=said, wall_s=outcome.wall_s)
    if refused:
        kept = [replace(v, detail={**v.detail, "refused_properties": refused}) for v in kept]
    return replace(outcome, values=tuple(kept))


def _carrying(
    value: OutcomeValue,
    own: float | None,
    found: Qualification | None,
    error: PropertyError | None,
    *,
    only_for_tests: bool,
) -> OutcomeValue:
    """A value with what the qualification says of it; ``own`` is the workflow's part of sigma, None if unknown."""
    if found is None:
        said = "none: the calculator is for tests only" if only_for_tests else "none: the user insisted"
        return replace(value, detail={**value.detail, "qualification": said})
    if error is None:
        said = "not compared with measurement; the calculator's error in this property is not known"
        return replace(value, detail={**value.detail, "qualification": said})
    detail = {**value.detail, "qualification": error.to_json()}
    depends = value.property in _DEPENDS
    if depends:
        detail["sigma_lacks"] = (
            "the calculator's error in the unstable stacking-fault energy, which is not known"
        )
    if error.metals == 0 or own is None:
        return replace(value, detail=detail)
    # K goes with the root of G: half of G's relative error
    added = 0.5 * error.relative * abs(value.value) if depends else error.rms
    return replace(value, sigma=math.hypot(own, added), detail=detail)


def run_qualified(
    spec: JobSpec, engine: Engine, progress: Callable[[str, int, int], None] | None = None
) -> Outcome:
    """Run a job with a calculator that is qualified, and let its values carry what that is worth.

    Each value's detail names the calculator and its kind (:attr:`CalculatorChoice.kind`): the fidelity in the
    store is ``dft`` for whatever computes atoms.

    Raises:
        InputError: The calculator is not qualified (see :func:`require_qualified`), or the job cannot be run.
    """
    from validators.atomistic.workflows.running import run_workflow

    found = require_qualified(spec, engine)
    outcome = judged(
        run_workflow(spec, engine, progress),
        found,
        accepted=bool(spec.calculator.options.get(ACCEPT, False)),
        only_for_tests=engine.code.only_for_tests,
        pure=spec.is_pure,
    )
    made_by = {"name": spec.calculator.name, "preset": spec.calculator.preset, "kind": spec.calculator.kind}
    values = (replace(v, detail={**v.detail, "calculator": made_by}) for v in outcome.values)
    return replace(outcome, values=tuple(values))

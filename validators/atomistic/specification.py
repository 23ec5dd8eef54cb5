"""What is asked of the atomistic validator: one composition, one workflow, one calculator.

A :class:`JobSpec` is all that a job directory needs to be run anywhere; it is checked when it is made, so that
no bad job reaches a queue. Of the alloy's cell and of the options everything is written out, defaults
included: a job that waits in a queue while a default changes still computes what was asked.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from hea_loop.composition import Composition
from hea_loop.errors import InputError

__all__ = [
    "CELL_SIZES",
    "PRESETS",
    "WORKFLOWS",
    "CalculatorChoice",
    "JobSpec",
    "Option",
    "Workflow",
    "calculator_kind",
]

PRESETS: Final = ("test", "screening", "production")
"""Names of the presets of k-point density, cut-off and smearing, in ascending accuracy."""

CELL_SIZES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({"bcc": (8, 16, 54), "fcc": (8, 32)})
"""Numbers of atoms of an alloy's cell, per lattice; a pure element always has its primitive cell."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a workflow.

    Attributes:
        default: Its value if none is given; its type is the option's type.
        description: What it decides, with its unit.
        low: Smallest allowed number (of a list: of each entry).
        high: Largest.
        choices: Allowed values where they are few; empty otherwise.
    """

    default: float | str | bool | tuple[float, ...]
    description: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str | int, ...] = ()

    def checked(self, value: object, name: str) -> Any:
        """The value in the option's type.

        Raises:
            InputError: It is of another type, or out of range.
        """
        if self.choices:
            if value not in self.choices or isinstance(value, bool):
                raise InputError(name, value, "is no choice", f"use {' or '.join(map(str, self.choices))}")
            return value
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise InputError(name, value, "is neither true nor false", "use true or false")
            return value
        if isinstance(self.default, tuple):
            if not isinstance(value, (list, tuple)) or not value:
                raise InputError(name, value, "is no list of numbers", f"write {list(self.default)}")
            return tuple(float(self._number(entry, name)) for entry in value)
        number = self._number(value, name)
        if not isinstance(self.default, int):
            return float(number)
        if number != int(number):
            raise InputError(name, value, "is no whole number", f"use for example {self.default}")
        return int(number)

    def _number(self, value: object, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(name, value, "is no finite number", f"use for example {self.default}")
        if not self.low <= value <= self.high:
            raise InputError(name, value, "is out of range", f"use {self.low:g} to {self.high:g}")
        return value


@dataclass(frozen=True, slots=True)
class Workflow:
    """One question that the atomistic validator answers.

    Attributes:
        name: As in campaign files and on the command line.
        version: Changes when a number can change though nothing that was asked did.
        properties: What it gives, names of :mod:`hea_loop.properties`, in the order of the values.
        description: What it computes.
        options: Its options by name.
        lattices: The lattices it can work on.
    """

    name: str
    version: int
    properties: tuple[str, ...]
    description: str
    options: Mapping[str, Option]
    lattices: tuple[str, ...] = ("bcc", "fcc")


def _lattice(*lattices: str) -> dict[str, Option]:
    return {"lattice": Option("bcc", "lattice that the atoms sit on", choices=lattices)}


_STRUCTURE: Final = {
    "max_rounding": Option(
        0.05,
        "largest allowed distance (fraction of atoms to exchange) between the composition and the cell's",
        0.0,
        0.25,
    ),
    "fmax": Option(0.02, "largest force on an atom of a relaxed structure, eV/angstrom", 1e-4, 0.2),
}
_EQUATION: Final = {
    "volume_strain": Option(
        0.06, "half width of the sampled volumes, as a fraction of the volume", 0.01, 0.2
    ),
    "volume_points": Option(7, "number of sampled volumes", 5, 21),
}
_ELASTIC: Final = {
    "strain": Option(0.005, "amplitude of the finite strains", 5e-4, 0.03),
    "relax_ions": Option(True, "let the atoms of a strained cell move (relaxed-ion constants)"),
    # a strain of 0.005 makes forces of some 0.01 eV/angstrom: with a bound like that no atom would move
    "strain_fmax": Option(
        0.005, "largest force on an atom of a strained cell and of its reference, eV/angstrom", 1e-4, 0.05
    ),
}
_FAULT: Final = {
    "layers": Option(12, "number of {110} planes of the slab, even", choices=(8, 12, 16, 20, 24)),
    "columns": Option(2, "atoms per plane of an alloy's slab; a pure element has one", choices=(2, 4, 8)),
    "vacuum": Option(
        10.0, "vacuum above the slab, angstrom; 0: none, the fault repeats in a tilted cell", 0, 30
    ),
    "fault_planes": Option(2, "number of planes that an alloy is cut at; the value is their mean", 1, 24),
    "displacements": Option(
        (0.4, 0.5, 0.6), "displacements of the fault in Burgers vectors a/2<111>, one of them 0.5", 0.05, 0.95
    ),
}

_ELASTIC_PROPERTIES: Final = (
    "shear_modulus",
    "bulk_modulus",
    "youngs_modulus",
    "poisson_ratio",
    "elastic_constant_c11",
    "elastic_constant_c12",
    "elastic_constant_c44",
    "lattice_parameter",
)

WORKFLOWS: Final[Mapping[str, Workflow]] = MappingProxyType(
    {
        w.name: w
        for w in (
            Workflow(
                "equation-of-state",
                1,
                ("lattice_parameter", "bulk_modulus"),
                "lattice parameter and bulk modulus from energies at several volumes (Birch-Murnaghan)",
                _lattice("bcc", "fcc") | _STRUCTURE | _EQUATION,
            ),
            Workflow(
                "elastic",
                1,
                _ELASTIC_PROPERTIES,
                "elastic constants by finite strain, their Voigt-Reuss-Hill averages, Born stability",
                _lattice("bcc", "fcc") | _STRUCTURE | _EQUATION | _ELASTIC,
            ),
            Workflow(
                "stacking-fault",
                1,
                ("unstable_stacking_fault_energy", "lattice_parameter"),
                "unstable stacking-fault energy of {110}<111> by sliding one half of a slab",
                _lattice("bcc") | _STRUCTURE | _EQUATION | _FAULT,
                ("bcc",),
            ),
            Workflow(
                "rice",
                1,
                ("fracture_toughness_rice", *_ELASTIC_PROPERTIES, "unstable_stacking_fault_energy"),
                "Rice's toughness from the elastic constants and the unstable stacking-fault energy",
                _lattice("bcc") | _STRUCTURE | _EQUATION | _ELASTIC | _FAULT,
                ("bcc",),
            ),
            Workflow(
                "formation-energy",
                1,
                ("formation_energy", "lattice_parameter"),
                "energy against the pure elements in their stable structures, at the same settings",
                _lattice("bcc", "fcc") | _STRUCTURE | _EQUATION,
            ),
        )
    }
)
"""Every workflow by its name."""

_CALCULATOR: Final = re.compile(r"[a-z][a-z0-9_-]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _plain(value: object, name: str) -> dict[str, Any]:
    """A copy of a JSON object, refusing what JSON cannot hold: it must look the same on another machine."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(name, value, "is no table of options", "write name: value pairs")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False, sort_keys=True))
    except (TypeError, ValueError) as error:
        raise InputError(
            name, value, f"cannot be written as JSON ({error})", "use numbers, texts, true, false and lists"
        ) from None
    return copied


_FIRST_PRINCIPLES: Final = ("gpaw", "abinit", "espresso", "vasp")


def calculator_kind(name: str) -> str:
    """``first-principles`` for the four codes of density-functional theory, ``potential`` for all else.

    A class of the user's (``module:Class``) counts as a potential: nothing here can tell what it computes, and a
    machine-learned potential that is called DFT is the worse mistake.
    """
    return "first-principles" if name in _FIRST_PRINCIPLES else "potential"


@dataclass(frozen=True, slots=True)
class CalculatorChoice:
    """Which calculator, at which preset, with which options of its own.

    Attributes:
        name: ``gpaw``, ``abinit``, ``espresso``, ``vasp``, ``emt``, or ``module:Class`` of any ASE calculator.
        preset: One of :data:`PRESETS`.
        options: The calculator's own, plain JSON; they go over the preset's.

    Raises:
        InputError: A name of another form, an unknown preset, options that JSON cannot hold.
    """

    name: str
    preset: str = "screening"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _CALCULATOR.fullmatch(self.name):
            raise InputError(
                "calculator",
                self.name,
                "is no name of a calculator",
                "see `hea-loop dft calculators`, or write module:Class of an ASE calculator",
            )
        if self.preset not in PRESETS:
            raise InputError("preset", self.preset, "is not known", f"use {', '.join(PRESETS)}")
        object.__setattr__(self, "options", _plain(self.options, "calculator.options"))

    @property
    def kind(self) -> str:
        """See :func:`calculator_kind`."""
        return calculator_kind(self.name)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"name": self.name, "preset": self.preset, "options": _plain(self.options, "options")}

    @classmethod
    def from_json(cls, data: object) -> CalculatorChoice:
        """Read back what :meth:`to_json` wrote.

        Raises:
            InputError: Something is missing, unknown or out of range.
        """
        table = _table(data, "calculator", {"name", "preset", "options"})
        return cls(table["name"], table.get("preset", "screening"), table.get("options", {}))


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job of the atomistic validator.

    Attributes:
        workflow: One of :data:`WORKFLOWS`.
        composition: The alloy.
        atoms: Atoms of its cell, one of :data:`CELL_SIZES` of the lattice; a pure element is computed in its
            primitive cell whatever is given here.
        seed: Of the search for the special quasirandom structure.
        calculator: What computes energies, forces and stresses.
        options: Of the workflow; completed with its defaults.

    Raises:
        InputError: An unknown workflow or option, a value out of range.
    """

    workflow: str
    composition: Composition
    atoms: int
    seed: int
    calculator: CalculatorChoice
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.workflow not in WORKFLOWS:
            raise InputError("workflow", self.workflow, "is not known", f"use {', '.join(WORKFLOWS)}")
        if not isinstance(self.composition, Composition):
            raise InputError(
                "composition", self.composition, "is no composition", "use hea_loop's parse_composition()"
            )
        if not isinstance(self.calculator, CalculatorChoice):
            raise InputError(
                "calculator", self.calculator, "is no choice", "use CalculatorChoice(name, preset)"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise InputError("seed", self.seed, "is no seed", "use a whole number from 0 to 4294967295")
        object.__setattr__(self, "options", self._completed())
        sizes = CELL_SIZES[self.options["lattice"]]
        if isinstance(self.atoms, bool) or self.atoms not in sizes:
            raise InputError(
                "atoms",
                self.atoms,
                f"is no size of a {self.options['lattice']} cell here",
                f"use {', '.join(map(str, sizes))}",
            )
        if 0.5 not in self.options.get("displacements", (0.5,)):
            raise InputError(
                "options.displacements",
                self.options["displacements"],
                "lacks 0.5, where the fault energy of a pure bcc metal is largest",
                "add 0.5",
            )

    def _completed(self) -> dict[str, Any]:
        known = WORKFLOWS[self.workflow].options
        given = _plain(self.options, "options")
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise InputError(
                f"options.{unknown[0]}",
                given[unknown[0]],
                f"is no option of {self.workflow}",
                f"use {', '.join(known)}",
            )
        return {
            name: option.checked(given.get(name, option.default), f"options.{name}")
            for name, option in known.items()
        }

    @property
    def lattice(self) -> str:
        """``bcc`` or ``fcc``."""
        return str(self.options["lattice"])

    @property
    def is_pure(self) -> bool:
        """Whether it is one element, computed in its primitive cell."""
        return len(self.composition.elements) == 1

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; lists where the options have tuples."""
        return {
            "workflow": self.workflow,
            "composition": self.composition.key,
            "atoms": self.atoms,
            "seed": self.seed,
            "calculator": self.calculator.to_json(),
            "options": _plain(self.options, "options"),
        }

    @classmethod
    def from_json(cls, data: object) -> JobSpec:
        """Read back what :meth:`to_json` wrote.

        Raises:
            InputError: Something is missing, unknown or out of range.
        """
        fields = {"workflow", "composition", "atoms", "seed", "calculator", "options"}
        table = _table(data, "job", fields)
        missing = sorted(fields - set(table))
        if missing:
            raise InputError("job", sorted(table), f"lacks {missing[0]}", "write it with JobSpec.to_json()")
        if not isinstance(table["composition"], str):
            raise InputError("composition", table["composition"], "is no key", "write it as 'Hf:200 Nb:800'")
        return cls(
            workflow=table["workflow"],
            composition=Composition.from_key(table["composition"]),
            atoms=table["atoms"],
            seed=table["seed"],
            calculator=CalculatorChoice.from_json(table["calculator"]),
            options=table["options"],
        )

    def configuration(self) -> dict[str, Any]:
        """All that decides the numbers but the composition, as plain JSON."""
        job = self.to_json()
        del job["composition"]
        return job | {"validator": "atomistic", "workflow_version": WORKFLOWS[self.workflow].version}

    def configuration_hash(self) -> str:
        """SHA-256 of the configuration in canonical JSON: the third part of a job's unique key."""
        text = json.dumps(self.configuration(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def method(self, version: str) -> str:
        """The method of a data point: ``gpaw 25.7.0, PBE 350 eV, screening; elastic/1, bcc 8 atoms``.

        That of a potential begins with the word.

        Args:
            version: The engine's own text: the code with its version and what else names its settings.
        """
        cell = "primitive cell" if self.is_pure else f"{self.atoms} atoms, seed {self.seed}"
        workflow = f"{self.workflow}/{WORKFLOWS[self.workflow].version}"
        kind = "potential: " if self.calculator.kind == "potential" else ""
        return f"{kind}{version}, preset {self.calculator.preset}; {workflow}, {self.lattice} {cell}"


def _table(data: object, name: str, allowed: set[str]) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise InputError(name, data, "is no table", f"give {', '.join(sorted(allowed))}")
    unknown = sorted(str(key) for key in set(data) - allowed)
    if unknown:
        raise InputError(name, unknown[0], "is not known here", f"use {', '.join(sorted(allowed))}")
    return {str(key): value for key, value in data.items()}

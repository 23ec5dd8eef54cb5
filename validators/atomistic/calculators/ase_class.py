"""Any other ASE calculator, by the name of its class: machine-learned potentials, LAMMPS, codes of one's own."""

from __future__ import annotations

import importlib
import math
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hea_loop.errors import InputError
from validators.atomistic.calculators.ase_reading import evaluated, reason
from validators.atomistic.calculators.code import Code
from validators.atomistic.evaluation import CalculationFailed, Unconverged

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from validators.atomistic.evaluation import Evaluation

__all__ = ["AseClass"]

_OWN_OPTIONS = ("arguments", "converged", "k_density")


class AseClass(Code):
    """A calculator named ``module:Class`` (or ``module:function`` that returns one).

    A potential has nothing to converge and is taken at its word where its numbers are finite. A class that runs
    another program has: ASE reads whatever the program left. Such a one is refused unless it says itself whether
    it converged, or the option ``converged`` names who says it.

    Options:
        ``arguments``: A table of keyword arguments of the class, plain JSON. The texts ``{directory}`` and
            ``{k_points}`` stand for the directory of the calculation and the divisions of the k-mesh.
        ``converged``: ``module:function``, called with the calculator and the directory (a ``Path``) after the
            calculation; true if it converged.
        ``k_density``: Divisions of the k-mesh per reciprocal angstrom, for ``{k_points}``.

    Raises:
        InputError: No such module or class, options of another form, or a class that runs a program and says
            nothing on convergence.
    """

    name = "ase class"

    def __init__(self, target: str, options: dict[str, Any]) -> None:
        unknown = sorted(set(options) - set(_OWN_OPTIONS))
        if unknown:
            raise InputError(
                f"calculator.options.{unknown[0]}",
                options[unknown[0]],
                f"is no option of {target}",
                f"use {', '.join(_OWN_OPTIONS)}; what the class takes goes into `arguments`",
            )
        self.name = target
        self._class = _load(target, "calculator")
        self._arguments = dict(options.get("arguments", {}))
        self._judge = (
            _load(str(options["converged"]), "calculator.options.converged")
            if "converged" in options
            else None
        )
        self.k_density = _density(options.get("k_density"))
        if self._judge is None and _runs_a_program(self._class) and not hasattr(self._class, "converged"):
            raise InputError(
                "calculator",
                target,
                "runs a program, and ASE does not notice where that has not converged",
                "name a function that does: options.converged = module:function(calculator, directory)",
            )
        self.settings = {
            "code": target,
            "version": _version(target.partition(":")[0]),
            "arguments": self._arguments,
            "converged": options.get("converged"),
            "k_density": self.k_density,
        }
        shown = ", ".join(f"{k}={v}" for k, v in sorted(self._arguments.items()))
        self.method = f"{target} {self.settings['version']}{f' ({shown})' if shown else ''}"

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:  # noqa: ARG002 - one rung
        """Make the calculator, evaluate, ask for convergence."""
        filled = _filled(self._arguments, directory, k_points)
        try:
            calculator = self._class(**filled)
        except Exception as error:
            raise CalculationFailed(f"{self.name} cannot be made: {reason(error)}") from error
        found = evaluated(atoms, calculator, k_points=k_points)
        if not self._converged(calculator, directory):
            raise Unconverged(f"{self.name} says that it did not converge")
        return replace(
            found, detail={"convergence": "stated" if self._judge else "none needed, or its own word"}
        )

    def _converged(self, calculator: Any, directory: Path) -> bool:
        if self._judge is not None:
            return bool(self._judge(calculator, directory))
        said = getattr(calculator, "converged", True)
        # exactly a true word counts: ASE's VASP leaves None where it found nothing
        return bool(said() if callable(said) else said)


def _filled(value: Any, directory: Path, k_points: tuple[int, int, int]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, directory, k_points) for k, v in value.items()}
    if value == "{k_points}":
        return list(k_points)
    if isinstance(value, str):
        return value.replace("{directory}", str(directory))
    return value


def _load(target: str, field: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # a class of one's own beside the campaign file
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise InputError(
            field,
            target,
            f"needs the package {error.name}, which is not installed",
            "install it in this environment",
        ) from None
    except Exception as error:
        raise InputError(
            field, target, f"cannot be imported ({reason(error)})", "write module:Class"
        ) from error
    if not callable(found):
        raise InputError(field, target, "cannot be called", "name a class or a function")
    called: Callable[..., Any] = found
    return called


def _runs_a_program(made: Callable[..., Any]) -> bool:
    """Whether ASE runs an external program for a class, and reads what it left."""
    if not isinstance(made, type):
        return False
    return any(
        base.__name__
        in {"FileIOCalculator", "GenericFileIOCalculator", "CommandCalculator", "GenerateVaspInput"}
        for base in made.__mro__
    )


def _version(module: str) -> str:
    """Of the package that a module comes from."""
    top = module.partition(".")[0]
    for distribution in packages_distributions().get(top, ()):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "of unknown version"


def _density(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError("calculator.options.k_density", value, "is no density", "use a number above 0")
    return float(value)

"""What the engine asks of every code: one self-consistent calculation, and its word on whether it converged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from hea_loop.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from validators.atomistic.evaluation import Evaluation
    from validators.atomistic.presets import Preset

__all__ = ["Code", "electronic_settings", "require_options"]


class Code(ABC):
    """One code with its settings.

    Attributes:
        name: As in :class:`validators.atomistic.specification.CalculatorChoice`.
        only_for_tests: Whether its numbers mean nothing for the alloys, and it needs no qualification.
        rungs: Texts of the restart ladder, the first try first. A rung changes the way to self-consistency
            (iterations, mixing, eigensolver), never the functional, basis, k-mesh, smearing or tolerances:
            those decide the number.
        k_density: Divisions of the k-mesh per reciprocal angstrom; None for a code without k-points.
        settings: All that decides the numbers, as plain JSON, the code's version included.
        method: One line for a data point: ``gpaw 26.7.0, PBE, plane waves 350 eV, ...``.
        spin_polarised: Whether initial magnetic moments of the atoms are used.
    """

    name: str
    only_for_tests: ClassVar[bool] = False
    rungs: ClassVar[tuple[str, ...]] = ("first try",)
    k_density: float | None = None
    settings: dict[str, Any]
    method: str
    spin_polarised: bool = True

    @abstractmethod
    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        """Run one self-consistent calculation in an empty directory.

        Args:
            atoms: The structure, without a calculator.
            directory: Exists and is empty; inputs, logs and outputs are kept there.
            rung: Index into ``rungs``.
            k_points: Divisions of the Monkhorst-Pack mesh; see :func:`validators.atomistic.presets.k_shift`.

        Raises:
            Unconverged: The code ended without reaching self-consistency.
            CalculationFailed: It ended with an error, or without what was asked.
        """

    def require_elements(self, elements: Sequence[str]) -> None:  # noqa: B027 - most codes learn it when they run
        """Refuse elements that the code has no parameters for, as far as that is known before it runs.

        Raises:
            InputError: There are some.
        """


def require_options(name: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuse options that a calculator does not have.

    Raises:
        InputError: The first one it does not know.
    """
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"calculator.options.{unknown[0]}",
            options[unknown[0]],
            f"is no option of {name}",
            f"use {', '.join(known)}" if known else "leave it out: there are none",
        )


def electronic_settings(
    name: str,
    preset: Preset,
    options: dict[str, Any],
    known: tuple[str, ...],
    *,
    iterations: int,
) -> dict[str, Any]:
    """The preset's settings with the user's options over them.

    Args:
        name: Of the code.
        preset: The preset.
        options: The user's options of the calculator.
        known: The code's own options; every code has ``cutoff_eV``, ``k_density`` and ``smearing_eV``.
        iterations: Electronic iterations of the first rung unless the options say so.

    Returns:
        ``preset``, ``cutoff_eV``, ``k_density``, ``smearing_eV``, ``energy_tolerance_eV``,
        ``max_iterations``.

    Raises:
        InputError: An option that the code does not have, or a value out of range.
    """
    require_options(name, options, ("cutoff_eV", "k_density", "smearing_eV", *known))
    return {
        "preset": preset.name,
        "cutoff_eV": _between(options, "cutoff_eV", preset.cutoff_eV[name], 100.0, 5000.0),
        "k_density": _between(options, "k_density", preset.k_density, 0.1, 50.0),
        "smearing_eV": _between(options, "smearing_eV", preset.smearing_eV, 1e-3, 2.0),
        "energy_tolerance_eV": preset.energy_tolerance_eV,
        "max_iterations": int(_between(options, "max_iterations", iterations, 1, 10000)),
    }


def _between(options: dict[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(
            f"calculator.options.{key}", value, "is out of range", f"use a number from {low:g} to {high:g}"
        )
    return float(value)

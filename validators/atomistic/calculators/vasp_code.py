"""VASP with the user's licence and potentials."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from hea_loop.errors import InputError
from validators.atomistic.calculators.ase_reading import reason
from validators.atomistic.calculators.code import Code, electronic_settings
from validators.atomistic.calculators.program import command_of, required_text, run_program
from validators.atomistic.evaluation import CalculationFailed, Evaluation, Unconverged

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from validators.atomistic.presets import Preset

__all__ = ["Vasp", "read_vasp", "vasp_iterations"]

_MEND: Final = "give calculator.options.command, as in `mpirun -n 16 vasp_std`"
_ITERATION: Final = re.compile(r"Iteration\s+\d+\(\s*(\d+)\)")
_LOOP: Final[tuple[dict[str, Any], ...]] = (
    {"algo": "Normal"},
    {"algo": "Normal", "amix": 0.1, "bmix": 0.01},
    {"algo": "All"},
)
_MORE_ITERATIONS: Final = (1, 3, 6)


def vasp_iterations(outcar: str) -> int:
    """Iterations after which OUTCAR says that the energy converged.

    VASP ends without an error when NELM is reached; what it then says depends on its version, so that only the
    positive statement of the last electronic loop counts.

    Raises:
        Unconverged: OUTCAR does not say so.
        CalculationFailed: VASP did not come to its end.
    """
    iterations = _ITERATION.findall(outcar)
    last = int(iterations[-1]) if iterations else 0
    if "General timing and accounting" not in outcar:
        raise CalculationFailed(f"vasp stopped before its end, after {last} iterations")
    loop = outcar.rpartition("(   1)  ---")[2] or outcar
    if "aborting loop because EDIFF is reached" not in loop:
        raise Unconverged(f"vasp: {last} iterations did not converge")
    return last


def read_vasp(outcar: str, atoms: int) -> Evaluation:
    """Energy, forces and stress of an OUTCAR, once it says that it converged.

    Args:
        outcar: The text.
        atoms: How many.

    Raises:
        Unconverged: It did not converge.
        CalculationFailed: Something is missing.
    """
    iterations = vasp_iterations(outcar)
    try:
        free = float(re.findall(r"free  energy   TOTEN  =\s+(\S+) eV", outcar)[-1])
        energy = float(re.findall(r"energy\(sigma->0\) =\s+(\S+)", outcar)[-1])
        return Evaluation(
            energy_eV=energy,
            free_energy_eV=free,
            forces_eV_A=_forces(outcar, atoms),
            stress_GPa=_stress(outcar),
            detail={"iterations": iterations},
        )
    except (IndexError, ValueError) as error:
        raise CalculationFailed(f"vasp's OUTCAR cannot be read: {reason(error)}") from error


def _forces(outcar: str, atoms: int) -> NDArray[np.float64]:
    """Shape ``(atoms, 3)``, eV/angstrom: the last three columns of the table of positions and forces."""
    table = outcar.rpartition("TOTAL-FORCE (eV/Angst)")[2].splitlines()[2 : 2 + atoms]
    return np.array([[float(x) for x in line.split()[3:6]] for line in table], dtype=np.float64)


def _stress(outcar: str) -> NDArray[np.float64]:
    """Shape ``(3, 3)``, GPa, tension positive: ``in kB`` is a pressure, in the order XX YY ZZ XY YZ ZX."""
    xx, yy, zz, xy, yz, zx = (
        -0.1 * float(x) for x in re.findall(r"^  in kB\s+(.*)$", outcar, re.MULTILINE)[-1].split()[:6]
    )
    return np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]], dtype=np.float64)


class Vasp(Code):
    """VASP: Kresse and Furthmuller, Phys. Rev. B 54 (1996) 11169, doi 10.1103/PhysRevB.54.11169.

    Options: ``xc`` (PBE), ``setups`` (a table of element and suffix: ``{Nb: _sv}``), ``cutoff_eV``, ``k_density``,
    ``smearing_eV``, ``command``, ``max_iterations`` of the first rung. POTCARs are taken from ``VASP_PP_PATH``.
    """

    name = "vasp"
    rungs: ClassVar[tuple[str, ...]] = (
        "ALGO = Normal",
        "AMIX 0.1 and BMIX 0.01, three times the iterations",
        "ALGO = All, six times the iterations",
    )

    def __init__(self, preset: Preset, options: dict[str, Any]) -> None:
        known = ("xc", "setups", "command", "max_iterations")
        electronic = electronic_settings(self.name, preset, options, known, iterations=100)
        self.k_density = electronic["k_density"]
        self._command = command_of(self.name, options, os.environ.get("ASE_VASP_COMMAND", "vasp_std"), _MEND)
        self._iterations = int(electronic.pop("max_iterations"))
        self._potentials = os.environ.get("VASP_PP_PATH", "")
        if not Path(self._potentials).is_dir() or not self._potentials:
            raise InputError(
                "VASP_PP_PATH",
                self._potentials,
                "is no folder of potentials",
                "set it to the folder that holds potpaw_PBE",
            )
        self.settings = {
            "code": self.name,
            **electronic,
            "xc": str(options.get("xc", "PBE")),
            "setups": dict(options.get("setups", {})),
            "smearing": "gaussian",
            "k_mesh": "monkhorst-pack",
            "potentials": Path(self._potentials).name,
        }
        self.method = (
            f"VASP, {self.settings['xc']}, plane waves {electronic['cutoff_eV']:g} eV, "
            f"k-density {electronic['k_density']:g} A, Gaussian {electronic['smearing_eV']:g} eV"
        )

    def write(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> list[int]:
        """Write INCAR, KPOINTS, POSCAR and POTCAR.

        Returns:
            For each atom of ``atoms`` its place in POSCAR, which is sorted by element.

        Raises:
            CalculationFailed: A potential is missing.
        """
        from ase.calculators.vasp import Vasp as AseVasp

        calculator = AseVasp(
            directory=str(directory),
            xc=self.settings["xc"],
            setups=self.settings["setups"] or None,
            prec="Accurate",
            encut=self.settings["cutoff_eV"],
            ismear=0,
            sigma=self.settings["smearing_eV"],
            ediff=self.settings["energy_tolerance_eV"] * len(atoms) * 1e-1,
            nelm=self._iterations * _MORE_ITERATIONS[rung],
            lreal=False,
            lasph=True,
            nsw=0,
            ibrion=-1,
            isif=2,
            lwave=False,
            lcharg=False,
            kpts=k_points,
            gamma=False,  # Monkhorst-Pack: even divisions avoid Gamma
            **_LOOP[rung],
        )
        try:
            with warnings.catch_warnings():
                # ASE would rather have the path in its own configuration file; VASP users have the variable
                warnings.filterwarnings("ignore", message="Loaded VASP_PP_PATH from environment")
                calculator.initialize(atoms)
                calculator.write_input(atoms)
        except Exception as error:
            raise CalculationFailed(f"vasp's input cannot be written: {reason(error)}") from error
        places: list[int] = [int(k) for k in calculator.resort]
        return places

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        """Write the inputs, run, read OUTCAR."""
        places = self.write(atoms, directory, rung, k_points)
        run_program(self._command, directory, "vasp.log")
        found = read_vasp(required_text(directory / "OUTCAR"), len(atoms))
        return replace(found, forces_eV_A=found.forces_eV_A[places], k_points=k_points)

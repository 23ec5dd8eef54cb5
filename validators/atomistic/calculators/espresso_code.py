"""Quantum ESPRESSO: pw.x with the user's pseudopotentials."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from hea_loop.errors import InputError
from validators.atomistic.calculators.ase_reading import reason
from validators.atomistic.calculators.code import Code, electronic_settings
from validators.atomistic.calculators.program import command_of, required_text, run_program
from validators.atomistic.evaluation import CalculationFailed, Evaluation, Unconverged
from validators.atomistic.presets import k_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from validators.atomistic.presets import Preset

__all__ = ["Espresso", "espresso_iterations", "read_espresso"]

_MEND: Final = "install Quantum ESPRESSO (Debian: quantum-espresso), or give calculator.options.command"
_NUMBER: Final = r"([-+]?\d+\.\d+(?:[Ee][-+]?\d+)?)"
_MIXING: Final[tuple[dict[str, Any], ...]] = (
    {"mixing_beta": 0.5},
    {"mixing_beta": 0.2, "mixing_ndim": 12},
    {"mixing_beta": 0.1, "mixing_ndim": 16, "diagonalization": "cg"},
)
_MORE_ITERATIONS: Final = (1, 3, 6)


def espresso_iterations(output: str) -> int:
    """Iterations after which pw.x says that it converged.

    Raises:
        Unconverged: It says ``convergence NOT achieved``, or does not say that it was achieved.
        CalculationFailed: It did not come to its end.
    """
    short = re.search(r"convergence NOT achieved after\s+(\d+)\s+iterations", output)
    if short is not None:
        raise Unconverged(f"espresso: {short.group(1)} iterations did not converge")
    if "JOB DONE." not in output:
        found = re.search(r"Error in routine\s+(.*?)\n\s*(.*?)\n", output)
        raise CalculationFailed(
            f"pw.x stopped before its end{f' in {found.group(1)}: {found.group(2)}' if found else ''}"
        )
    done = re.search(r"convergence has been achieved in\s+(\d+)\s+iterations", output)
    if done is None:
        raise Unconverged("pw.x does not say that it converged")
    return int(done.group(1))


def read_espresso(output: str, atoms: int) -> Evaluation:
    """Energy, forces and stress of the output of a ``scf`` run, once it says that it converged.

    Args:
        output: The text.
        atoms: How many.

    Raises:
        Unconverged: It did not converge.
        CalculationFailed: Something is missing.
    """
    import ase.units

    iterations = espresso_iterations(output)
    rydberg, bohr = ase.units.Rydberg, ase.units.Bohr
    free = re.findall(rf"^!\s+total energy\s+=\s+{_NUMBER} Ry", output, re.MULTILINE)
    smearing = re.findall(rf"smearing contrib\. \(-TS\)\s+=\s+{_NUMBER} Ry", output)
    forces = re.findall(rf"atom\s+\d+ type\s+\d+\s+force =\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}", output)
    if not free or len(forces) < atoms:
        raise CalculationFailed("pw.x's output lacks the energy or the forces")
    entropy = float(smearing[-1]) if smearing else 0.0
    return Evaluation(
        energy_eV=(float(free[-1]) - 0.5 * entropy) * rydberg,  # Gaussian: mean of energy and free energy
        free_energy_eV=float(free[-1]) * rydberg,
        forces_eV_A=np.array(forces[:atoms], dtype=np.float64) * (rydberg / bohr),  # totals stand first
        stress_GPa=_stress(output) * (rydberg / bohr**3 / ase.units.GPa),
        detail={"iterations": iterations},
    )


def _stress(output: str) -> NDArray[np.float64]:
    """In Ry/bohr^3, tension positive: pw.x prints compression positive."""
    _, found, table = output.rpartition("total   stress")
    rows = [line.split() for line in table.splitlines()[1:4]]
    if not found or len(rows) < 3 or any(len(row) < 6 for row in rows):
        raise CalculationFailed("pw.x's output lacks the stress")
    return -np.array([[float(x) for x in row[:3]] for row in rows], dtype=np.float64)


class Espresso(Code):
    """pw.x: Giannozzi et al., J. Phys.: Condens. Matter 29 (2017) 465901, doi 10.1088/1361-648X/aa8f79.

    The functional is that of the pseudopotentials.

    Options: ``pseudopotentials`` (a table of element and file, needed), ``density_cutoff_factor`` (8; 4 is enough
    for norm-conserving ones), ``cutoff_eV``, ``k_density``, ``smearing_eV``, ``command`` (``mpirun -n 16 pw.x``),
    ``max_iterations`` of the first rung.
    """

    name = "espresso"
    rungs: ClassVar[tuple[str, ...]] = (
        "mixing 0.5 over 8 steps",
        "mixing 0.2 over 12 steps, three times the iterations",
        "mixing 0.1 over 16 steps, conjugate gradients, six times the iterations",
    )

    def __init__(self, preset: Preset, options: dict[str, Any]) -> None:
        known = ("pseudopotentials", "density_cutoff_factor", "command", "max_iterations")
        electronic = electronic_settings(self.name, preset, options, known, iterations=100)
        self.k_density = electronic["k_density"]
        self._command = command_of(self.name, options, "pw.x", _MEND)
        self._iterations = int(electronic.pop("max_iterations"))
        self._files = {e: Path(p) for e, p in dict(options.get("pseudopotentials", {})).items()}
        self.settings = {
            "code": self.name,
            **electronic,
            "density_cutoff_factor": float(options.get("density_cutoff_factor", 8)),
            "smearing": "gaussian",
            "k_mesh": "monkhorst-pack",
            "pseudopotentials": {e: _digest(e, p) for e, p in sorted(self._files.items())},
        }
        self.method = (
            f"Quantum ESPRESSO, {', '.join(sorted(p.name for p in self._files.values())) or 'no pseudopotentials'}"
            f", plane waves {electronic['cutoff_eV']:g} eV, k-density {electronic['k_density']:g} A, "
            f"Gaussian {electronic['smearing_eV']:g} eV"
        )

    def require_elements(self, elements: Sequence[str]) -> None:
        """Refuse an element without pseudopotential."""
        lacking = sorted(set(elements) - set(self._files))
        if lacking:
            raise InputError(
                "calculator.options.pseudopotentials",
                sorted(self._files),
                f"has none for {', '.join(lacking)}",
                f"give {lacking[0]}: FILE.UPF",
            )

    def write(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> None:
        """Write ``espresso.pwi``.

        Raises:
            InputError: An element without pseudopotential.
        """
        import ase.units
        from ase.io.espresso import write_espresso_in

        self.require_elements(atoms.get_chemical_symbols())
        cutoff = self.settings["cutoff_eV"] / ase.units.Rydberg
        data = {
            "control": {
                "calculation": "scf",
                "prefix": "hea",
                "outdir": "./scratch",
                "pseudo_dir": "./",
                "tprnfor": True,
                "tstress": True,
                "disk_io": "none",
            },
            "system": {
                "ecutwfc": cutoff,
                "ecutrho": cutoff * self.settings["density_cutoff_factor"],
                "occupations": "smearing",
                "smearing": "gaussian",
                "degauss": self.settings["smearing_eV"] / ase.units.Rydberg,
            },
            "electrons": {
                "conv_thr": self.settings["energy_tolerance_eV"] / ase.units.Rydberg * len(atoms) * 1e-2,
                "electron_maxstep": self._iterations * _MORE_ITERATIONS[rung],
                **_MIXING[rung],
            },
        }
        for path in self._files.values():
            # pw.x cuts names of files at 80 characters
            (directory / path.name).symlink_to(path.resolve())
        text = io.StringIO()
        write_espresso_in(
            text,
            atoms,
            input_data=data,
            pseudopotentials={e: p.name for e, p in self._files.items()},
            kpts=k_points,
            koffset=k_shift(k_points),
        )
        # empty namelists, some of which older versions do not know
        lines = re.sub(r"^&\w+\n/\n", "", text.getvalue(), flags=re.MULTILINE)
        (directory / "espresso.pwi").write_text(lines, encoding="utf-8")

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        """Write ``espresso.pwi``, run pw.x, read ``espresso.pwo``."""
        self.write(atoms, directory, rung, k_points)
        log = directory / "espresso.pwo"
        try:
            run_program([*self._command, "-in", "espresso.pwi"], directory, log.name)
        except CalculationFailed:
            # pw.x ends with an error status also where it has merely not converged
            espresso_iterations(required_text(log))
            raise
        return replace(read_espresso(required_text(log), len(atoms)), k_points=k_points)


def _digest(element: str, path: Path) -> str:
    try:
        return f"{path.name} {sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        raise InputError(
            f"calculator.options.pseudopotentials.{element}",
            str(path),
            f"cannot be read ({reason(error)})",
            "give a UPF file",
        ) from None

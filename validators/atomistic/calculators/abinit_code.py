"""ABINIT: plane waves with norm-conserving pseudopotentials; Debian's package brings both."""

from __future__ import annotations

import math
import re
import subprocess
from dataclasses import dataclass
from functools import lru_cache
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

__all__ = ["Abinit", "Pseudopotential", "abinit_iterations", "read_abinit"]

PACKAGED: Final = Path("/usr/share/abinit/psp")
"""Where Debian's package abinit-data keeps its pseudopotentials."""

_MEND: Final = "run `make dft`, or install Debian's packages abinit and abinit-data"
_CONVERGED: Final = re.compile(r"At SCF step\s+(\d+).*converged")
_TERM: Final = r"^\s*'?{}'?\s*:\s*(\S+)\s*$"
_MIXING: Final[tuple[dict[str, Any], ...]] = (
    {"iscf": 17, "npulayit": 7},
    {"iscf": 17, "npulayit": 12, "diemix": 0.3},
    {"iscf": 17, "npulayit": 15, "diemix": 0.1, "nline": 8},
)
_MORE_ITERATIONS: Final = (1, 3, 6)
_ELECTRONS_PER_BAND: Final = 2


@dataclass(frozen=True, slots=True)
class Pseudopotential:
    """What the head of a pseudopotential's file says.

    Attributes:
        path: The file.
        electrons: Valence electrons.
        ixc: Functional it was made for, ABINIT's number.
    """

    path: Path
    electrons: float
    ixc: int

    @classmethod
    def read(cls, path: Path) -> Pseudopotential:
        """Read the head: line 2 is ``zatom zion pspdat``, line 3 ``pspcod pspxc ...``.

        Raises:
            InputError: It is no such file.
        """
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                next(file)
                electrons = float(next(file).split()[1])
                ixc = int(next(file).split()[1])
        except (OSError, StopIteration, IndexError, ValueError) as error:
            raise InputError(
                "pseudopotential",
                str(path),
                f"is no pseudopotential of ABINIT ({reason(error)})",
                "give a file of format HGH, psp8 or fhi",
            ) from None
        return cls(path, electrons, ixc)


def abinit_iterations(output: str) -> int:
    """Iterations after which ABINIT's main output says that it converged.

    Raises:
        CalculationFailed: The run did not come to its end.
        Unconverged: It says that there were not enough iterations, or does not say that it converged.
    """
    short = re.search(r"nstep\s*=?\s*(\d+) was not enough SCF cycles to converge", output)
    if short is not None:
        raise Unconverged(f"abinit: {short.group(1)} iterations did not converge")
    if "Calculation completed." not in output:
        raise CalculationFailed("abinit stopped before its end")
    found = _CONVERGED.search(output)
    if found is None:
        raise Unconverged("abinit does not say that it converged")
    return int(found.group(1))


def read_abinit(directory: Path) -> Evaluation:
    """Read energy, forces and stress from ``abinit.abo``, once it says that it converged.

    Raises:
        Unconverged: It did not.
        CalculationFailed: Something is missing.
    """
    import ase.units

    path = directory / "abinit.abo"
    text = required_text(path)
    iterations = abinit_iterations(text)
    try:
        terms = text.rpartition("--- !EnergyTerms\n")[2]
        internal, entropy = (_term(terms, name) for name in ("internal", "-kT*entropy"))
        forces = _forces(text)
        stress = _stress_hartree_per_bohr3(text) * (ase.units.Hartree / ase.units.Bohr**3 / ase.units.GPa)
    except (ValueError, IndexError) as error:
        raise CalculationFailed(f"abinit's output cannot be read: {reason(error)}") from error
    free = (internal + entropy) * ase.units.Hartree
    return Evaluation(
        # Gaussian smearing: the mean of energy and free energy
        energy_eV=free - 0.5 * entropy * ase.units.Hartree,
        free_energy_eV=free,
        forces_eV_A=forces,
        stress_GPa=stress,
        detail={"iterations": iterations},
    )


def _term(terms: str, name: str) -> float:
    found = re.search(_TERM.format(re.escape(name)), terms, re.MULTILINE)
    if found is None:
        raise ValueError(f"no term {name}")
    return float(found.group(1))


def _forces(text: str) -> NDArray[np.float64]:
    """Shape ``(n, 3)``, eV/angstrom, from the table after the last step."""
    table = text.rpartition("cartesian forces (eV/Angstrom) at end:\n")[2]
    rows = []
    for line in table.splitlines():
        words = line.split()
        if len(words) != 4 or not words[0].isdigit():
            break
        rows.append([float(word) for word in words[1:]])
    if not rows:
        raise ValueError("no forces")
    return np.array(rows, dtype=np.float64)


def _stress_hartree_per_bohr3(text: str) -> NDArray[np.float64]:
    """Shape ``(3, 3)``: six components, each of which stands for itself and its mirror image."""
    table = text.rpartition("Cartesian components of stress tensor (hartree/bohr^3)\n")[2][:600]
    stress = np.full((3, 3), np.nan)
    for i, j, value in re.findall(r"sigma\((\d) (\d)\)=\s*(\S+)", table)[:6]:
        stress[int(i) - 1, int(j) - 1] = stress[int(j) - 1, int(i) - 1] = float(value)
    if not np.isfinite(stress).all():
        raise ValueError("no stress")
    return stress


class Abinit(Code):
    """ABINIT with the pseudopotentials of Debian's package, or the user's own.

    By default Hartwigsen, Goedecker and Hutter, Phys. Rev. B 58 (1998) 3641, doi 10.1103/PhysRevB.58.3641, for the
    local-density approximation, with as few valence electrons as there are (6 for W and Mo, 5 for V, Nb, Ta):
    a second, independent code rather than a second opinion on moduli.

    Options: ``cutoff_eV``, ``k_density``, ``smearing_eV``, ``pseudopotentials`` (a table of element and file, all
    for one functional), ``command``, ``max_iterations`` of the first rung.
    """

    name = "abinit"
    rungs: ClassVar[tuple[str, ...]] = (
        "Pulay mixing of the density over 7 steps",
        "over 12 steps, damped to 0.3, three times the iterations",
        "over 15 steps, damped to 0.1, six times the iterations",
    )

    def __init__(self, preset: Preset, options: dict[str, Any]) -> None:
        electronic = electronic_settings(
            self.name, preset, options, ("pseudopotentials", "command", "max_iterations"), iterations=60
        )
        self.k_density = electronic["k_density"]
        self._command = command_of(self.name, options, "abinit", _MEND)
        self._iterations = int(electronic.pop("max_iterations"))
        self._own = {e: Path(p) for e, p in dict(options.get("pseudopotentials", {})).items()}
        self.settings = {
            "code": self.name,
            "version": _version(tuple(self._command)),
            **electronic,
            "smearing": "gaussian",
            "k_mesh": "monkhorst-pack",
            "ecutsm_Ha": 0.5,
            "tolvrs": _tolerance(electronic["energy_tolerance_eV"]),
            "pseudopotentials": {e: _digest(p) for e, p in sorted(self._own.items())},
            "other_pseudopotentials": "HGH-LDA with the fewest electrons",
        }
        self.method = (
            f"abinit {self.settings['version']}, {'own pseudopotentials' if self._own else 'HGH-LDA'}, "
            f"plane waves {electronic['cutoff_eV']:g} eV, k-density {electronic['k_density']:g} A, "
            f"Gaussian {electronic['smearing_eV']:g} eV"
        )

    def pseudopotential(self, element: str) -> Pseudopotential:
        """The pseudopotential of an element.

        Raises:
            InputError: There is none.
        """
        if element in self._own:
            return Pseudopotential.read(self._own[element])
        from ase.data import atomic_numbers

        start = f"{atomic_numbers[element]:02d}{element.lower()}."
        found = [Pseudopotential.read(p) for p in sorted(PACKAGED.glob(f"{start}*.hgh"))]
        if not found:
            raise InputError(
                "calculator.options.pseudopotentials",
                sorted(self._own),
                f"has none for {element}, nor has {PACKAGED}",
                f"give {element}: FILE" if PACKAGED.is_dir() else _MEND,
            )
        return min(found, key=lambda p: p.electrons)

    def require_elements(self, elements: Sequence[str]) -> None:
        """Refuse an element without pseudopotential."""
        for element in elements:
            self.pseudopotential(element)

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        """Write ``abinit.abi``, run, read ``abinit.abo``."""
        from dataclasses import replace

        from ase.io.abinit import write_abinit_in

        numbers = sorted(set(atoms.numbers.tolist()))
        symbols = dict(zip(atoms.numbers.tolist(), atoms.get_chemical_symbols(), strict=True))
        chosen = [self.pseudopotential(symbols[z]) for z in numbers]
        functionals = {p.ixc for p in chosen}
        if len(functionals) > 1:
            raise InputError(
                "calculator.options.pseudopotentials",
                [p.path.name for p in chosen],
                "are made for different functionals",
                "use one family for all elements",
            )
        by_number = dict(zip(numbers, chosen, strict=True))
        electrons = sum(by_number[z].electrons for z in atoms.numbers.tolist())
        parameters = {
            "ixc": functionals.pop(),
            "ecut": self.settings["cutoff_eV"],
            # lets the basis grow smoothly with the volume, so that stress and energies belong together
            "ecutsm": self.settings["ecutsm_Ha"],
            "occopt": 7,
            "tsmear": self.settings["smearing_eV"],
            "nband": math.ceil(0.6 * electrons) + 4,
            "kptopt": 1,
            "ngkpt": list(k_points),
            "nshiftk": 1,
            "shiftk": [0.5 * half for half in k_shift(k_points)],
            "tolvrs": self.settings["tolvrs"],
            "nstep": self._iterations * _MORE_ITERATIONS[rung],
            "optforces": 1,
            "prtwf": 0,
            "prtden": 0,
            "prtebands": 0,
            **_MIXING[rung],
        }
        with (directory / "abinit.abi").open("w", encoding="utf-8") as file:
            write_abinit_in(
                file, atoms, param=parameters, species=numbers, pseudos=[str(p.path) for p in chosen]
            )
        run_program([*self._command, "abinit.abi"], directory, "abinit.log")
        return replace(read_abinit(directory), k_points=k_points)


def _tolerance(energy_tolerance_eV: float) -> float:
    """Residual of the potential: the energy goes with its square, the stress with itself."""
    return energy_tolerance_eV * 1e-5


@lru_cache(maxsize=8)
def _version(command: tuple[str, ...]) -> str:
    """What the program says of its version."""
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, no shell
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError("calculator", "abinit", f"does not start ({reason(error)})", _MEND) from None
    words = done.stdout.split()
    return words[-1] if words else "of unknown version"


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            "calculator.options.pseudopotentials",
            str(path),
            f"cannot be read ({error.strerror})",
            "give a file",
        ) from None

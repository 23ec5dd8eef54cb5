"""GPAW: the projector-augmented-wave method with plane waves, inside this process. The real default."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hea_loop.errors import InputError
from validators.atomistic.calculators.ase_reading import evaluated
from validators.atomistic.calculators.code import Code, electronic_settings
from validators.atomistic.evaluation import Unconverged

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from validators.atomistic.evaluation import Evaluation
    from validators.atomistic.presets import Preset

__all__ = ["Gpaw", "gpaw_iterations"]

_LOG: Final = "gpaw.txt"
_CONVERGED: Final = re.compile(r"^Converged in (\d+) steps", re.MULTILINE)
_MIXING: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"mixer": {"beta": 0.02, "nmaxold": 8, "weight": 100.0}},
    {
        "mixer": {"beta": 0.01, "nmaxold": 12, "weight": 100.0},
        "eigensolver": {"name": "davidson", "niter": 4},
    },
)
_MORE_ITERATIONS: Final = (1, 3, 6)


def gpaw_iterations(log: str) -> int:
    """Iterations after which GPAW's log says that it converged.

    Args:
        log: The text of GPAW's log.

    Raises:
        Unconverged: The log does not say so of its last self-consistency loop.
    """
    last_loop = log.rpartition("SCF iterations")[2]
    found = _CONVERGED.search(last_loop)
    if found is None:
        steps = len(re.findall(r"^\|?\s*iter:\s*\d+", last_loop, re.MULTILINE))
        raise Unconverged(f"gpaw: {steps} iterations did not converge")
    return int(found.group(1))


class Gpaw(Code):
    """GPAW in plane-wave mode: Mortensen et al., J. Chem. Phys. 160 (2024) 092503, doi 10.1063/5.0182685.

    The stress is that of a fixed basis: at a finite cut-off it differs from the derivative of the energies, which
    are those of a fixed cut-off, by a nearly constant pressure (GPAW 26 ignores its own correction ``dedecut``).
    Volumes are to be found from energies, and elastic constants from differences of stresses.

    Occupations are smeared by a Gaussian (Methfessel-Paxton of order 0), whose number of electrons rises with
    the Fermi level. With order 1 it does not, and tungsten had two self-consistent states, 0.36 meV and 0.27 eV
    of Fermi level apart; which of them was found hung on the mixing (dos Santos and Marzari, Phys. Rev. B 107
    (2023) 195122, doi 10.1103/PhysRevB.107.195122).

    Options: ``xc``, ``cutoff_eV``, ``k_density``, ``smearing_eV``, ``setups`` (a table of element and the name
    of GPAW's dataset: ``{Nb: "5"}``), ``max_iterations`` of the first rung.
    """

    name = "gpaw"
    rungs: ClassVar[tuple[str, ...]] = (
        "GPAW's own mixing",
        "density mixing of 0.02 over 8 steps, three times the iterations",
        "density mixing of 0.01 over 12 steps, four Davidson steps each, six times the iterations",
    )

    def __init__(self, preset: Preset, options: dict[str, Any]) -> None:
        electronic = electronic_settings(
            self.name, preset, options, ("xc", "setups", "max_iterations"), iterations=100
        )
        self.k_density = electronic["k_density"]
        self._iterations = int(electronic.pop("max_iterations"))
        self._setups = dict(options.get("setups", {}))
        self.settings = {
            "code": self.name,
            "version": _installed_version(),
            "datasets": _datasets(),
            **electronic,
            "xc": str(options.get("xc", "PBE")),
            "setups": self._setups,
            "smearing": "gaussian",
            "k_mesh": "monkhorst-pack",
            "density_tolerance": 1e-4,
            "eigenstate_tolerance": 4e-8,
        }
        self.method = (
            f"gpaw {self.settings['version']}, {self.settings['xc']}, plane waves {electronic['cutoff_eV']:g} eV, "
            f"k-density {electronic['k_density']:g} A, Gaussian {electronic['smearing_eV']:g} eV, "
            f"{self.settings['datasets']}"
        )

    def run(self, atoms: Atoms, directory: Path, rung: int, k_points: tuple[int, int, int]) -> Evaluation:
        """Run GPAW and read its log for its word on convergence."""
        from dataclasses import replace

        from gpaw import GPAW, PW

        settings = self.settings
        log = directory / _LOG
        calculator = GPAW(
            mode=PW(settings["cutoff_eV"]),
            xc=settings["xc"],
            kpts={"size": k_points, "gamma": False},
            occupations={"name": "methfessel-paxton", "order": 0, "width": settings["smearing_eV"]},
            convergence={
                "energy": settings["energy_tolerance_eV"],
                "density": settings["density_tolerance"],
                "eigenstates": settings["eigenstate_tolerance"],
            },
            setups=self._setups,
            maxiter=self._iterations * _MORE_ITERATIONS[rung],
            txt=str(log),
            **_MIXING[rung],
        )
        found = evaluated(atoms, calculator, k_points=k_points)
        del calculator  # closes the log
        iterations = gpaw_iterations(log.read_text(encoding="utf-8", errors="replace"))
        return replace(found, detail={"iterations": iterations})


def _installed_version() -> str:
    """GPAW's version, without importing it."""
    try:
        return version("gpaw")
    except PackageNotFoundError:
        raise InputError("calculator", "gpaw", "is not installed", "run `make dft`") from None


def _datasets() -> str:
    """Where the atomic datasets come from: the user's own path goes before the package."""
    own = os.environ.get("GPAW_SETUP_PATH")
    if own:
        return f"datasets of {own}"
    if find_spec("gpaw_data") is None:
        raise InputError(
            "calculator", "gpaw", "has no atomic datasets", "run `make dft`, or set GPAW_SETUP_PATH to yours"
        )
    return f"gpaw-data {version('gpaw-data')}"

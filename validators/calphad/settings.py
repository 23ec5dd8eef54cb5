"""What is asked of the CALPHAD validator: the configuration of a job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from hea_loop.errors import InputError
from validators.calphad.database import OWN_DATABASE, CalphadDatabase, load_database
from validators.calphad.equilibrium import BCC, GRID_DENSITIES, PRESENT_ABOVE, require_temperature
from validators.calphad.observed import AS_CAST, load_model, model_hash, require_state
from validators.calphad.screening.window import GRID_K
from validators.calphad.solidus import require_liquid, require_tolerance

__all__ = ["ANSWERED", "OBSERVED", "CalphadSettings"]

OBSERVED: Final = "single_phase_bcc_probability"
ANSWERED: Final = ("single_phase_bcc", "phase_fraction", "solidus", "liquidus", OBSERVED)
"""Properties that the validator can answer."""

_OF_MELTING: Final = frozenset({"solidus", "liquidus"})
_WITHOUT_TEMPERATURE: Final = _OF_MELTING | {OBSERVED}


@dataclass(frozen=True, slots=True)
class CalphadSettings:
    """One configuration: equal settings give equal answers.

    Attributes:
        database: ``refractory10`` or the path of a TDB.
        temperatures_K: Temperatures of the verdict and of the phase fractions, K, each once, in ascending
        order.
        properties: Which of :data:`ANSWERED`.
        solidus_tolerance_K: Width of the bracket that solidus and liquidus are narrowed to, K.
        allow_missing_binaries: Take binaries that the database does not describe as ideal; otherwise alloys
            with such a binary are refused. No part of the configuration: it changes no answer.
        processing: State of the material that ``single_phase_bcc_probability`` is for, one of
            :data:`validators.calphad.observed.PROCESSING_STATES`. A part of the configuration only where that is
            asked for.

    Raises:
        InputError: A temperature, property or tolerance that cannot be answered; the database is read only
            when it is needed.
    """

    database: str = OWN_DATABASE
    temperatures_K: tuple[float, ...] = (1273.15,)
    properties: tuple[str, ...] = ("single_phase_bcc", "solidus")
    solidus_tolerance_K: float = 1.0
    allow_missing_binaries: bool = False
    processing: str = AS_CAST

    def __post_init__(self) -> None:
        unknown = sorted(set(self.properties) - set(ANSWERED))
        if unknown or not self.properties:
            raise InputError(
                "properties",
                list(self.properties),
                f"{unknown[0]} is not answered by pycalphad here" if unknown else "asks for nothing",
                f"choose among {', '.join(ANSWERED)}",
            )
        if not self.temperatures_K and self.asks_for_phases:
            raise InputError("temperatures_K", [], "is empty", "give at least one temperature in kelvin")
        temperatures = tuple(sorted({require_temperature(t, "temperatures_K") for t in self.temperatures_K}))
        object.__setattr__(self, "temperatures_K", temperatures)
        object.__setattr__(self, "properties", tuple(p for p in ANSWERED if p in self.properties))
        object.__setattr__(self, "database", str(self.database))
        require_tolerance(self.solidus_tolerance_K, "solidus_tolerance_K")
        require_state(self.processing)

    @property
    def asks_for_phases(self) -> bool:
        """Whether anything at the temperatures is asked for."""
        return bool(set(self.properties) - _WITHOUT_TEMPERATURE)

    def load(self) -> CalphadDatabase:
        """The database.

        Raises:
            InputError: It cannot be used, or has no phase to answer what is asked with: a verdict on BCC without
                a BCC phase would be a no for every alloy, and the probability to be observed as single-phase was
                learned with the packaged database.
        """
        database = load_database(self.database, allow_missing_binaries=self.allow_missing_binaries)
        if "single_phase_bcc" in self.properties and BCC not in database.phases:
            raise InputError(
                "database",
                self.database,
                f"has no phase {BCC}, so single_phase_bcc cannot be answered",
                f"name its disordered BCC phase {BCC}, or use another database",
            )
        if _OF_MELTING & set(self.properties):
            require_liquid(database)
        if OBSERVED in self.properties:
            load_model().require(database)
        return database

    def configuration(self) -> dict[str, Any]:
        """All that an answer depends on, as plain JSON.

        The database enters by the hash of its content, not by its path: moved, it is the same configuration;
        edited, it is another.

        Raises:
            InputError: The database cannot be used.
        """
        database = self.load()
        observed = (
            {"observed_model": model_hash(), "processing": self.processing}
            if OBSERVED in self.properties
            else {}
        )
        return observed | {
            "validator": "calphad",
            "pycalphad": version("pycalphad"),
            "database": database.name,
            "database_sha256": database.content_hash,
            "temperatures_K": list(self.temperatures_K),
            "properties": list(self.properties),
            "solidus_tolerance_K": self.solidus_tolerance_K,
            "grid_densities": [list(density) for density in GRID_DENSITIES],
            "present_above": PRESENT_ABOVE,
            "starting_points": "screening",
            "window_grid_K": GRID_K,
        }

    def configuration_hash(self) -> str:
        """SHA-256 of the configuration in canonical JSON: the third part of a job's unique key."""
        text = json.dumps(self.configuration(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def method(self) -> str:
        """The method of a data point: ``pycalphad 0.11.2, refractory10 1a2b3c4d``."""
        database = self.load()
        return f"pycalphad {version('pycalphad')}, {database.name} {database.content_hash[:8]}"

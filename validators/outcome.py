"""What a validator answers: values that converged, no answer, or an error. Three outcomes, never two."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Outcome", "OutcomeStatus", "OutcomeValue"]


class OutcomeStatus(StrEnum):
    """The three outcomes."""

    CONVERGED = "converged"
    UNCONVERGED = "unconverged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OutcomeValue:
    """One value of one property.

    Attributes:
        property: A name of the vocabulary (:mod:`hea_loop.properties`).
        value: The value in the property's canonical unit; 1.0 or 0.0 for a verdict.
        temperature_K: Temperature it holds at; None where there is none (a solidus).
        sigma: Standard uncertainty in the same unit, None where unknown.
        detail: What else describes it, as plain JSON (phases with fractions, driving force, ...).
    """

    property: str
    value: float
    temperature_K: float | None = None
    sigma: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one validator on one composition.

    Attributes:
        status: Converged, unconverged or failed. Only a converged outcome carries values.
        method: What gave it, with its version (``pycalphad 0.11.2, refractory10 ab12cd34``).
        values: The values; empty unless converged.
        message: Why there is no answer, or what failed; empty when converged.
        wall_s: Seconds it took.
    """

    status: OutcomeStatus
    method: str
    values: tuple[OutcomeValue, ...] = ()
    message: str = ""
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        if (self.status is OutcomeStatus.CONVERGED) != bool(self.values):
            raise ValueError(
                f"an outcome has values if and only if it converged: {self.status=}, {self.values=}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as the store keeps it."""
        return asdict(self)

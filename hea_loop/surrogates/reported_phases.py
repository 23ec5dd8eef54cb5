"""What published phases say of an alloy that no validator has answered yet.

A Gaussian process on the labels of the literature, +1 where bcc alone was reported and -1 where not: classification by
regression on a latent value (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 6.5,
ISBN 026218253X). It is a lower fidelity of the verdict ``single_phase_bcc``: reports are of samples as cast and as
annealed, of another purity and of no stated equilibrium, so that its sign agrees with an equilibrium at service
temperature more often than not, and no more. Once validators have answered, the verdict's own process corrects
rho times this one, the auto-regressive link of two fidelities (Kennedy and O'Hagan, Biometrika 87 (2000) 1,
doi 10.1093/biomet/87.1.1, eq. 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition

__all__ = ["PhaseReport", "ReportedPhases", "ScaledBelief", "is_single_phase_bcc", "link"]

Array = NDArray[np.float64]

_FEWEST: Final = 20
"""Reports below which nothing is learned from them."""

_SCALES: Final = (0.0, 1.2)
"""Where no alloy was reported the answer is open, although most published alloys are bcc: failures go unpublished."""

_NOISE: Final = 0.3

_DISAGREEMENT: Final = 1.0
"""Standard deviation, in units of the labels, of what an equilibrium answers about what is reported: a reported bcc is
one by CALPHAD with probability 0.84 (83% at 1473 K: ``python -m benchmarks.calphad_against_literature``)."""

_RHO: Final = (
    0.5  # before any answer; an answer's latent values are about half as far from zero as the labels
)
_RHO_ROWS: Final = 4.0  # weight of that, in answers


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What was published of one alloy.

    Attributes:
        composition: The alloy.
        single: Whether bcc and nothing else was reported.
    """

    composition: Composition
    single: bool


def is_single_phase_bcc(text: str) -> bool:
    """Whether phases as the store has them, sorted and joined by ``+``, are bcc alone; ordered B2 is another."""
    return text == "BCC"


@dataclass(frozen=True, slots=True)
class ReportedPhases:
    """The latent value of the reports over compositions; build it with :meth:`fit`.

    Attributes:
        process: A fitted :class:`hea_loop.surrogates.composition_gp.CompositionGP`.
    """

    process: Any

    @classmethod
    def fit(cls, elements: Sequence[str], reports: Sequence[PhaseReport]) -> Self | None:
        """Learn from reports; those with other elements are passed over, divided alloys stand with their mean.

        Args:
            elements: ``m`` symbols, the columns of every array of fractions.
            reports: In any order.

        Returns:
            None where there are fewer than twenty alloys.
        """
        from hea_loop.surrogates.composition_gp import CompositionGP

        said: dict[Composition, list[bool]] = {}
        for report in reports:
            if set(report.composition.elements) <= set(elements):
                said.setdefault(report.composition, []).append(report.single)
        if len(said) < _FEWEST:
            return None
        alloys = sorted(said, key=lambda c: c.key)
        fractions = np.array([c.fraction_vector(tuple(elements)) for c in alloys])
        labels = np.array([2.0 * float(np.mean(said[c])) - 1.0 for c in alloys])
        return cls(CompositionGP.fit(elements, fractions, labels, scales=_SCALES, starting_noise=_NOISE))

    def predict(self, fractions: Array) -> tuple[Array, Array]:
        """Latent mean and standard deviation of what a validator would answer, ``n`` each.

        The probability of a yes is the normal distribution function of their ratio.

        Args:
            fractions: ``n x m`` atomic fractions.
        """
        mean, sigma = self.process.predict(fractions)
        return mean, np.hypot(sigma, _DISAGREEMENT)

    def condition_on_pending(self, fractions: Array) -> Self:  # noqa: ARG002 - the surrogates' interface
        """The same: what a validator will answer of one alloy tells nothing of what was reported of others."""
        return self


@dataclass(frozen=True, slots=True)
class ScaledBelief:
    """rho times the latent mean of the reports: the prior mean of the answers.

    Attributes:
        reported: The reports.
        rho: The link.
    """

    reported: ReportedPhases
    rho: float

    def __call__(self, x: Any) -> Any:
        """Mean of ``... x m`` fractions: ``...`` numbers."""
        return self.rho * self.reported.process.mean(x)


def link(reported: ReportedPhases, fractions: Array, latent: Array) -> ScaledBelief:
    """The link of reports and answers by regularised least squares, never negative.

    Args:
        reported: The reports.
        fractions: ``n x m`` atomic fractions of the answers.
        latent: ``n`` latent values of the answers.
    """
    mean = reported.process.predict(fractions)[0]
    rho = (mean @ latent + _RHO_ROWS * _RHO) / (mean @ mean + _RHO_ROWS)
    return ScaledBelief(reported, max(0.0, float(rho)))

"""Whether bcc stays alone, learned from how near every competing phase is to being stable.

An equilibrium tells more than yes or no. For each phase there is the driving force, by how much the phase lies below
the tangent plane of the alloy's own bcc (M. Hillert, Phase Equilibria, Phase Diagrams and Phase Transformations,
2nd ed., Cambridge 2008, section 7.8): below zero it cannot form, and zero is the limit of stability. It is smooth in
the composition where the verdict is a step, and the phases differ in what makes them stable, so each kind of phase
(Laves, hcp, liquid, a second bcc) gets a Gaussian process of its own. Bcc is alone where none is stable; the kinds are
taken as independent given the composition.

A second bcc is special: it has a driving force only where the Gibbs energy of bcc has a second minimum. Where there is
none bcc counts as far from demixing as :data:`_NO_SECOND_MINIMUM` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

__all__ = ["PhaseAnswer", "PhaseCompetition"]

Array = NDArray[np.float64]

_SOFT: Final = 20_000.0
"""J/mol below which a driving force counts linearly, and above which in its logarithm (arsinh)."""

_DEMIXING: Final = 100.0
"""The same of a second bcc, whose driving forces are much smaller."""

_NO_SECOND_MINIMUM: Final = 1.5
_SECOND_MINIMUM: Final = 0.3
"""Latent values: stable by the first where bcc has no second minimum, and by the second less where it has one."""

_STEP: Final = 0.3
"""Noise of the latent values of a second bcc: they jump where the second minimum appears, and within the step nothing
is known. The numbers were chosen on three recorded campaigns, 57 failures among 504 alloys of later iterations: the
log loss of the next iteration fell from 0.24 without this noise to 0.12 with it and with the linear range above; the
process of counted temperatures had 0.34. The other numbers mattered little."""

_SURE: Final = 0.003
"""The latent value at least, where a verdict and the sign of the driving forces differ: the verdict decides."""

_BCC: Final = "BCC"


@dataclass(frozen=True, slots=True)
class PhaseAnswer:
    """What one equilibrium answered.

    Attributes:
        alone: Whether bcc is the only phase.
        driving_forces: J per mole of atoms by phase, named as in the database.
    """

    alone: bool
    driving_forces: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PhaseCompetition:
    """The latent stability against each kind of phase over compositions; build it with :meth:`fit`.

    Attributes:
        processes: A fitted :class:`hea_loop.surrogates.composition_gp.CompositionGP` by kind of phase.
    """

    processes: Mapping[str, Any]

    @classmethod
    def fit(cls, elements: Sequence[str], fractions: Array, answers: Sequence[Sequence[PhaseAnswer]]) -> Self:
        """Learn from equilibria.

        Args:
            elements: ``m`` symbols.
            fractions: ``n x m`` atomic fractions.
            answers: ``n`` collections, one answer per temperature.
        """
        from hea_loop.surrogates.composition_gp import CompositionGP

        return cls(
            {
                kind: CompositionGP.fit(elements, fractions, values, noise=_STEP if kind == _BCC else None)
                for kind, values in _latent(answers).items()
            }
        )

    def probability(self, fractions: Array) -> Array:
        """Probability that no competing phase is stable at any of the temperatures, ``n`` numbers.

        Args:
            fractions: ``n x m`` atomic fractions.
        """
        out = np.ones(len(fractions))
        for process in self.processes.values():
            mean, sigma = process.predict(fractions)
            out *= norm.cdf(mean / sigma)
        return out

    def condition_on_pending(self, fractions: Array) -> Self:
        """Take in compositions whose equilibria are still being found, as if they answered what is expected.

        Args:
            fractions: ``k x m`` atomic fractions; ``k`` may be zero.
        """
        return replace(
            self, processes={k: p.condition_on_pending(fractions) for k, p in self.processes.items()}
        )


def _kind(phase: str) -> str:
    """``LAVES`` of ``LAVES_C15``: polytypes compete alike, and as independent ones would count three times."""
    return phase.partition("_")[0]


def _latent(answers: Sequence[Sequence[PhaseAnswer]]) -> dict[str, Array]:
    """By kind of phase ``n`` latent values, above zero where it is stable at none of the temperatures."""
    kinds = sorted({_kind(name) for row in answers for a in row for name in a.driving_forces} | {_BCC})
    table = np.array([[_nearest(row, kind) for kind in kinds] for row in answers])
    own = kinds.index(_BCC)
    stability = np.where(np.arange(len(kinds)) == own, _demixing(table), -np.arcsinh(table / _SOFT))
    # a database may lack a phase for some elements: as far from stable there as it was ever seen
    for column in stability.T:
        known = np.isfinite(column)
        column[~known] = max(column[known].max(initial=0.0), _NO_SECOND_MINIMUM)
    alone = np.array([all(a.alone for a in row) for row in answers])
    stability[alone] = np.maximum(stability[alone], _SURE)
    unexplained = ~alone & (stability > 0).all(axis=1)
    stability[unexplained, stability[unexplained].argmin(axis=1)] = -_SURE
    return {kind: stability[:, k] for k, kind in enumerate(kinds)}


def _nearest(row: Sequence[PhaseAnswer], kind: str) -> float:
    """The largest driving force of a kind of phase at any temperature; NaN where none is known."""
    found = [force for a in row for name, force in a.driving_forces.items() if _kind(name) == kind]
    return max(found, default=np.nan)


def _demixing(forces: Array) -> Array:
    return np.where(np.isnan(forces), _NO_SECOND_MINIMUM, -np.arcsinh(forces / _DEMIXING) - _SECOND_MINIMUM)

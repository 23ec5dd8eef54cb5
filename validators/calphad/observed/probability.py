"""The answer: how probably an alloy is observed as single-phase bcc, and what speaks against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.observed.competition import LOWEST, RIVALS, Competition, competition
from validators.calphad.observed.likeness import Evidence, Learned, averaged, logit_of
from validators.calphad.observed.model import NoisyOr
from validators.calphad.observed.processing import AS_CAST, require_state
from validators.outcome import OutcomeStatus

__all__ = [
    "PACKAGED_MODEL",
    "Against",
    "ObservedModel",
    "ObservedPhase",
    "load_model",
    "model_hash",
    "observed_probability",
]

PACKAGED_MODEL: Final = "observed_phase.json"
_DIGITS: Final = 6
_NORMAL_95: Final = 1.6448536269514722
"""95% quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class ObservedModel:
    """A trained model and what it was trained on.

    Attributes:
        learned: The model.
        resampled: Rivals of the same data with alloy systems drawn again: how sure the coefficients are.
        trained_on: ``database``, ``database_sha256``, ``literature_sha256``, ``elements``,
            ``least_elements``, ``observations``, ``single``, ``systems``, ``versions``.
        cross_validation: Scores on alloys whose system was not trained on.
    """

    learned: Learned
    resampled: tuple[NoisyOr, ...]
    trained_on: dict[str, Any]
    cross_validation: dict[str, Any]

    @property
    def coefficients(self) -> NoisyOr:
        """What each rival does by itself."""
        return self.learned.rivals

    def require(self, database: CalphadDatabase) -> None:
        """Refuse a database that the model was not trained with: its features mean something else.

        Raises:
            InputError: It is another one.
        """
        if database.content_hash != self.trained_on["database_sha256"]:
            raise InputError(
                "database",
                database.name,
                f"is not the one that the model of observed phases was trained with "
                f"({self.trained_on['database']} {self.trained_on['database_sha256'][:8]}, "
                f"not {database.content_hash[:8]})",
                "use that one, or train with yours: python -m benchmarks.observed_phase --database PATH --write PATH",
            )


@dataclass(frozen=True, slots=True)
class Against:
    """One thing that can spoil the observation.

    Attributes:
        rival: A class of :data:`validators.calphad.observed.competition.RIVALS`, or ``anything else``.
        phase: The phase of that class that is stable up to the highest temperature; empty where none is.
        stable_up_to_K: That temperature, K; None where none is above 0.3 of the solidus.
        homologous: The same over the solidus.
        probability: That it is seen.
    """

    rival: str
    phase: str
    stable_up_to_K: float | None
    homologous: float | None
    probability: float


@dataclass(frozen=True, slots=True)
class ObservedPhase:
    """The answer for one alloy.

    Attributes:
        composition: The alloy.
        processing: State that the probability is for.
        status: Converged, or unconverged where no solidus was found.
        probability: Of being reported as single-phase bcc; None unless converged.
        from_rivals: What the rivals alone would give, the product of (1 - probability) of ``against``; the
            rest is what alloys of like composition and like rivals showed.
        low: 5% quantile of the probability: of what like alloys do, and of what alloy systems were learned from.
        high: 95% quantile.
        sigma: Standard deviation of it.
        solidus_K: K; None unless converged.
        against: What speaks against it, the most probable first; the last ones are what speaks for it.
        in_domain: Whether the alloy has as many elements as those learned from (three or more), and no others.
        message: Why there is no answer; empty when converged.
    """

    composition: Composition
    processing: str
    status: OutcomeStatus
    probability: float | None = None
    from_rivals: float | None = None
    low: float | None = None
    high: float | None = None
    sigma: float | None = None
    solidus_K: float | None = None
    against: tuple[Against, ...] = ()
    in_domain: bool = True
    message: str = ""

    def detail(self) -> dict[str, Any]:
        """All but the probability itself, as plain JSON."""
        return {
            "processing": self.processing,
            "from_rivals": self.from_rivals,
            "low": self.low,
            "high": self.high,
            "in_domain": self.in_domain,
            "against": [
                {
                    "rival": a.rival,
                    "phase": a.phase or None,
                    "stable_up_to_K": a.stable_up_to_K,
                    "probability": a.probability,
                }
                for a in self.against
            ],
        }


@lru_cache(maxsize=4)
def load_model(path: str | None = None) -> ObservedModel:
    """Load a model: the packaged one, or one that ``benchmarks.observed_phase --write`` wrote.

    Raises:
        InputError: It cannot be read, or is no such model.
    """
    source = files("validators.calphad.observed").joinpath(PACKAGED_MODEL) if path is None else Path(path)
    mend = "write one with python -m benchmarks.observed_phase --write PATH"
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
        return ObservedModel(
            Learned.from_json(data, data["trained_on"]["elements"]),
            tuple(NoisyOr.from_json(one) for one in data["resampled"]),
            dict(data["trained_on"]),
            dict(data["cross_validation"]),
        )
    except OSError as error:
        raise InputError("model", str(source), f"cannot be read ({error.strerror})", mend) from None
    except (ValueError, KeyError, TypeError, IndexError, InputError) as error:
        raise InputError("model", str(source), f"is no model of observed phases ({error})", mend) from None


@lru_cache(maxsize=1)
def model_hash() -> str:
    """SHA-256 of the packaged model: what an answer depends on beside the database."""
    return hashlib.sha256(
        files("validators.calphad.observed").joinpath(PACKAGED_MODEL).read_bytes()
    ).hexdigest()


def observed_probability(
    compositions: Sequence[Composition],
    database: CalphadDatabase,
    *,
    processing: str = AS_CAST,
    model: ObservedModel | None = None,
) -> list[ObservedPhase]:
    """How probably each alloy is observed as single-phase bcc.

    An answer does not depend on which other alloys are asked for. It is the share of alloys like it that
    publications report so, contradictions and what their methods cannot see included; no statement on equilibrium.

    Args:
        compositions: The alloys.
        database: The one that the model was trained with.
        processing: One of ``PROCESSING_STATES``, for all of them.
        model: From :func:`load_model`; the packaged one if not given.

    Raises:
        InputError: Another database, an element outside it, an unknown processing state.
    """
    state = require_state(processing)
    used = load_model() if model is None else model
    used.require(database)
    found = competition(compositions, database)
    return [_one(found, k, state, used) for k in range(len(found.compositions))]


def _one(found: Competition, k: int, state: str, model: ObservedModel) -> ObservedPhase:
    from scipy.special import expit

    alloy = found.compositions[k]
    if not np.isfinite(found.solidus_K[k]):
        return ObservedPhase(
            alloy, state, OutcomeStatus.UNCONVERGED, message="no solidus was found to measure temperatures by"
        )
    features: NDArray[np.float64] = found.stable_up_to[k : k + 1]
    solidus_K = float(found.solidus_K[k])
    # by itself, not with the others: the answer must not depend on them to the last bit
    asked = Evidence((alloy,), features, (state,), model.learned.evidence.elements)
    mean, variance = model.learned.latent(asked)
    drawn = logit_of(np.array([m.probability(features, [state])[0] for m in model.resampled]))
    wider = variance + drawn.var()
    probability = float(averaged(mean, variance)[0][0])
    low, high = expit(mean[0] + np.array([-1.0, 1.0]) * _NORMAL_95 * np.sqrt(wider[0]))
    spoilers = model.coefficients.spoilers(features, [state])[0]
    against = []
    for j, rival in enumerate(RIVALS):
        homologous = float(features[0, j])
        there = bool(found.rivals[k, j]) and homologous > LOWEST
        against.append(
            Against(
                rival,
                str(found.rivals[k, j]),
                round(homologous * solidus_K, 1) if there else None,
                round(homologous, 4) if there else None,
                round(float(spoilers[j]), _DIGITS),
            )
        )
    against.append(Against("anything else", "", None, None, round(float(spoilers[-1]), _DIGITS)))
    return ObservedPhase(
        alloy,
        state,
        OutcomeStatus.CONVERGED,
        probability=round(probability, _DIGITS),
        from_rivals=round(float(np.prod(1.0 - spoilers)), _DIGITS),
        low=round(min(float(low), probability), _DIGITS),
        high=round(max(float(high), probability), _DIGITS),
        sigma=round(float(averaged(mean, wider)[1][0]), _DIGITS),
        solidus_K=round(solidus_K, 1),
        against=tuple(sorted(against, key=lambda a: (-a.probability, a.rival))),
        in_domain=len(alloy.elements) >= int(model.trained_on["least_elements"])
        and set(alloy.elements) <= set(model.trained_on["elements"]),
    )

"""The calibrated verdict: the probability that an alloy is observed as single-phase bcc."""

from validators.calphad.observed.competition import RIVALS, Competition, competition
from validators.calphad.observed.model import NoisyOr, fit
from validators.calphad.observed.probability import (
    Against,
    ObservedModel,
    ObservedPhase,
    load_model,
    model_hash,
    observed_probability,
)
from validators.calphad.observed.processing import (
    AS_CAST,
    PROCESSING_STATES,
    processing_state,
    require_state,
)

__all__ = [
    "AS_CAST",
    "PROCESSING_STATES",
    "RIVALS",
    "Against",
    "Competition",
    "NoisyOr",
    "ObservedModel",
    "ObservedPhase",
    "competition",
    "fit",
    "load_model",
    "model_hash",
    "observed_probability",
    "processing_state",
    "require_state",
]

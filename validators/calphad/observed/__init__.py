"""The calibrated verdict: the probability that an alloy is observed as single-phase bcc."""

from validators.calphad.observed.competition import RIVALS, Competition, competition
from validators.calphad.observed.likeness import KERNELS, Evidence, Kernel, Learned, learn
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
    "KERNELS",
    "PROCESSING_STATES",
    "RIVALS",
    "Against",
    "Competition",
    "Evidence",
    "Kernel",
    "Learned",
    "NoisyOr",
    "ObservedModel",
    "ObservedPhase",
    "competition",
    "fit",
    "learn",
    "load_model",
    "model_hash",
    "observed_probability",
    "processing_state",
    "require_state",
]

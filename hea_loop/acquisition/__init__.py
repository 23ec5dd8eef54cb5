"""Which compositions to validate next: the probability that all holds, batches, better candidates, fidelities."""

from hea_loop.acquisition.batch import BatchSurrogate, choose_batch
from hea_loop.acquisition.distance import element_sets, nearest_distance
from hea_loop.acquisition.fidelities import Fidelity, choose_fidelities
from hea_loop.acquisition.improvement import climb, improve
from hea_loop.acquisition.probability import (
    Interval,
    intervals_of,
    log_probability_all,
    probability_all,
)

__all__ = [
    "BatchSurrogate",
    "Fidelity",
    "Interval",
    "choose_batch",
    "choose_fidelities",
    "climb",
    "element_sets",
    "improve",
    "intervals_of",
    "log_probability_all",
    "nearest_distance",
    "probability_all",
]

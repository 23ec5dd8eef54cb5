"""Problem B: the oracle of real alloys whose properties follow the composition nonlinearly, learned from rows only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.oracles import kind_b
from hea_loop.composition import RESOLUTION
from hea_loop.generation_benchmark import Problem
from hea_loop.generators.quality import TRACE

__all__ = ["kind_b_problem"]

Array = NDArray[np.float64]


def kind_b_problem() -> Problem:
    """The packaged oracle ``kind_b``; no strategy may use a formula."""
    oracle = kind_b()
    names = tuple(oracle.units)

    def evaluate(x: Array) -> Array:
        values = oracle.evaluate(x)
        return np.column_stack([values[name] for name in names])

    least = round(TRACE * RESOLUTION)
    return Problem(
        "B",
        oracle.elements,
        oracle.training,
        np.column_stack([oracle.training_values[name] for name in names]),
        names,
        evaluate,
        dict.fromkeys(names, "the oracle kind-b"),
        (),
        replace(oracle.palette, lower=(least,) * len(oracle.elements)),
    )

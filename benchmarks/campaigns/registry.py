"""The contestants by name."""

from __future__ import annotations

from functools import partial
from typing import Final

from benchmarks.campaigns.controls import CmaEs, Nsga2, Random
from benchmarks.campaigns.harness import Factory
from benchmarks.campaigns.own import GeneratorAlone, HeaLoop
from benchmarks.campaigns.peers import Ax, BayBe, BoTorch

__all__ = ["CONTESTANTS", "DEFAULT", "MAIN", "PEERS"]

CONTESTANTS: Final[dict[str, Factory]] = {
    "hea-loop": HeaLoop,
    "hea-loop without generator": partial(HeaLoop, generated=0, uniform=4000, improved=200),
    "hea-loop without formulas": partial(HeaLoop, formulas=False),
    "generator without acquisition": GeneratorAlone,
    "botorch": BoTorch,
    "botorch qLogNEI": partial(BoTorch, acquisition="improvement"),
    "ax": Ax,
    "ax unconstrained": partial(Ax, constrained=False),
    "baybe": BayBe,
    "cma": CmaEs,
    "pymoo nsga2": Nsga2,
    "random": Random,
}
"""Each makes a contestant for a task and a seed."""

DEFAULT: Final = "hea-loop"
"""What hea-loop does unless told otherwise."""

PEERS: Final = ("botorch", "botorch qLogNEI", "ax", "ax unconstrained", "baybe", "cma", "pymoo nsga2")
"""Software of others."""

MAIN: Final = (
    "hea-loop",
    "hea-loop without formulas",
    "botorch",
    "ax",
    "baybe",
    "cma",
    "pymoo nsga2",
    "random",
)
"""Those of the benchmark as published."""

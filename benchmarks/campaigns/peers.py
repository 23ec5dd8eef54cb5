"""Bayesian optimisers of others, from their own packages, each as its documentation recommends.

What all are given: compositions as fractions on the simplex (box and one linear equation), the observed values,
the pending alloys, the targets, and the standard deviation of the noise where the package takes one.
"""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns.harness import State, Task

__all__ = ["Ax", "BayBe", "BoTorch"]

Array = NDArray[np.float64]

_EFFORT = {"batch_limit": 6, "maxiter": 40, "n_burnin": 200, "n_thinning": 2}
"""Options of optimize_acqf: as good a maximum as 10 restarts of 100 iterations in a third of the time."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and log lines of third parties: numerical jitter, retried fits, their own deprecations."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's global stream, which these packages draw from, seeded and put back."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Leave what exists out of garbage collection: baybe collects at each of its many class definitions."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class BoTorch:
    """BoTorch: one SingleTaskGP per property and the batch probability of feasibility, or of improvement.

    ``feasibility``: qLogProbabilityOfFeasibility of both ends of every target, the acquisition for finding points
    that meet constraints. ``improvement``: qLogNoisyExpectedImprovement of the smallest margin to an end. Both are
    optimised one after the other with pending points under the linear equation of the simplex (6 restarts, 256
    raw samples, 40 iterations), as in its tutorials; in a pool by optimize_acqf_discrete.
    """

    def __init__(self, task: Task, seed: int, *, acquisition: str = "feasibility", restarts: int = 6) -> None:
        self._task, self._seed, self._acquisition = task, seed, acquisition
        self._restarts = restarts

    def propose(self, state: State, number: int) -> Array:
        """Fit and optimise; see :class:`benchmarks.campaigns.harness.Contestant`."""
        import torch
        from botorch.optim import optimize_acqf, optimize_acqf_discrete

        with _quiet(), _seeded(1000 * self._seed + state.round):
            model = self._fitted(state)
            acquisition = self._made(model, state)
            if self._task.pool is not None:
                taken = {row.tobytes() for row in np.rint(1000 * state.asked)}
                pool = [r for r in self._task.pool if np.rint(1000 * r).tobytes() not in taken]
                found, _ = optimize_acqf_discrete(acquisition, q=number, choices=torch.tensor(np.array(pool)))
            else:
                m = len(self._task.elements)
                upper = torch.tensor(self._task.palette.upper, dtype=torch.float64) / 1000
                found, _ = optimize_acqf(
                    acquisition,
                    bounds=torch.stack([torch.zeros(m, dtype=torch.float64), upper]),
                    q=number,
                    num_restarts=self._restarts,
                    raw_samples=256,
                    equality_constraints=[(torch.arange(m), torch.ones(m, dtype=torch.float64), 1.0)],
                    sequential=True,
                    options=_EFFORT | {"seed": 1000 * self._seed + state.round},
                )
        return np.asarray(found.detach().numpy())

    def _fitted(self, state: State) -> Any:
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import ModelListGP, SingleTaskGP
        from botorch.models.transforms import Standardize
        from gpytorch.mlls import SumMarginalLogLikelihood

        x = torch.tensor(state.fractions)
        models = []
        for name in self._task.targets:
            y = torch.tensor(state.values[name])[:, None]
            noise = self._task.noise[name]
            known = torch.full_like(y, noise**2) if noise > 0 else None
            models.append(SingleTaskGP(x, y, known, outcome_transform=Standardize(1)))
        model = ModelListGP(*models)
        fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
        return model

    def _made(self, model: Any, state: State) -> Any:
        import torch
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement, qLogProbabilityOfFeasibility
        from botorch.acquisition.objective import GenericMCObjective
        from botorch.sampling import SobolQMCNormalSampler

        ends = list(self._task.targets.values())
        low = torch.tensor([a for a, _ in ends], dtype=torch.float64)
        high = torch.tensor([b for _, b in ends], dtype=torch.float64)
        half = (high - low) / 2
        sampler = SobolQMCNormalSampler(torch.Size([128]), seed=self._seed)
        pending = torch.tensor(state.pending) if len(state.pending) else None

        def below(i: int) -> Callable[[Any], Any]:
            return lambda y: (low[i] - y[..., i]) / half[i]

        def above(i: int) -> Callable[[Any], Any]:
            return lambda y: (y[..., i] - high[i]) / half[i]

        if self._acquisition == "feasibility":
            constraints = [side(i) for i in range(len(ends)) for side in (below, above)]
            return qLogProbabilityOfFeasibility(model, constraints, sampler=sampler, X_pending=pending)

        def margin(y: Any, X: Any = None) -> Any:  # noqa: ARG001 - asked for by botorch
            return torch.minimum((y - low) / half, (high - y) / half).amin(dim=-1)

        return qLogNoisyExpectedImprovement(
            model,
            torch.tensor(state.fractions),
            sampler=sampler,
            objective=GenericMCObjective(margin),
            X_pending=pending,
            prune_baseline=True,
        )


class Ax:
    """Ax: its Client with parameter and outcome constraints and the default generation strategy.

    Each property is a metric with two outcome constraints; the objective is the smallest margin to an end of a
    target, which the package has to be given a metric for. The answers carry their standard error; pending jobs stay
    running trials and failed ones are marked as such. The Client takes no linear equation, so the last element is what
    the others leave, which two inequalities keep within its bounds. The initial alloys are attached and completed.
    """

    def __init__(self, task: Task, seed: int, *, constrained: bool = True, restarts: int = 6) -> None:
        self._task, self._seed, self._constrained = task, seed, constrained
        self._restarts = restarts
        self._client: Any = None
        self._trials: dict[bytes, list[int]] = {}

    def propose(self, state: State, number: int) -> Array:
        """Complete what is new and get the next trials; see :class:`benchmarks.campaigns.harness.Contestant`."""
        with _quiet(), _seeded(1000 * self._seed + state.round):
            if self._client is None:
                self._client = self._configured()
                for row in state.fractions:
                    self._remember(row, self._client.attach_trial(self._parameters(row)))
            for i, row in enumerate(state.fractions):
                for trial in self._trials.pop(np.rint(1000 * row).tobytes(), []):
                    self._client.complete_trial(trial, raw_data=self._observed(state, i))
            for row in state.failed:
                for trial in self._trials.pop(np.rint(1000 * row).tobytes(), []):
                    self._client.mark_trial_failed(trial)
            got = self._client.get_next_trials(max_trials=number)
        from hea_loop.palette import snapped

        found = []
        for trial, parameters in got.items():
            free = [float(parameters[e]) for e in self._task.elements[:-1]]
            found.append(np.maximum([*free, 1 - sum(free)], 0.0))
            allowed = snapped(found[-1][None], self._task.elements, self._task.palette)[0]
            self._remember(allowed, trial)
        return np.array(found)

    def _remember(self, row: Array, trial: int) -> None:
        self._trials.setdefault(np.rint(1000 * row).tobytes(), []).append(trial)

    def _parameters(self, row: Array) -> dict[str, float]:
        return {e: float(v) for e, v in zip(self._task.elements[:-1], row[:-1], strict=True)}

    def _observed(self, state: State, i: int) -> dict[str, tuple[float, float]]:
        values = {name: float(v[i]) for name, v in state.values.items()}
        margins, slopes = [], []
        for name, (low, high) in self._task.targets.items():
            half = 0.5 * (high - low)
            margins.append(min(values[name] - low, high - values[name]) / half)
            slopes.append(self._task.noise[name] / half)
        binding = int(np.argmin(margins))
        out = {name: (value, self._task.noise[name]) for name, value in values.items()}
        return out | {"margin": (margins[binding], slopes[binding])}

    def _configured(self) -> Any:
        from ax.adapter.registry import Generators
        from ax.api.client import Client
        from ax.api.configs import RangeParameterConfig
        from ax.generation_strategy.generation_node import GenerationNode
        from ax.generation_strategy.generation_strategy import GenerationStrategy
        from ax.generation_strategy.generator_spec import GeneratorSpec

        client = Client(random_seed=self._seed)
        upper = np.array(self._task.palette.upper) / 1000
        total = " + ".join(self._task.elements[:-1])
        client.configure_experiment(
            parameters=[
                RangeParameterConfig(name=e, bounds=(0.0, float(u)), parameter_type="float")
                for e, u in zip(self._task.elements[:-1], upper[:-1], strict=True)
            ],
            parameter_constraints=[f"{total} <= 1", f"{total} >= {1 - upper[-1]}"],
        )
        limits = [
            text
            for name, (low, high) in self._task.targets.items()
            for text in (f"{name} >= {low}", f"{name} <= {high}")
        ]
        client.configure_optimization("margin", limits if self._constrained else None)
        # the default node of the method "fast" (its Gaussian process and its acquisition), with the effort of the
        # search for the maximum that BoTorch has here too: the default one takes minutes for a batch
        effort = {"num_restarts": self._restarts, "raw_samples": 256, "options": _EFFORT}
        node = GenerationNode(
            name="MBM",
            generator_specs=[
                GeneratorSpec(
                    generator_enum=Generators.BOTORCH_MODULAR,
                    generator_gen_kwargs={"model_gen_options": {"optimizer_kwargs": effort}},
                )
            ],
            should_deduplicate=True,
        )
        client.set_generation_strategy(GenerationStrategy(name="MBM", nodes=[node]))
        return client


class BayBe:
    """BayBE: a continuous (in a pool: discrete) search space and the desirability of matched targets.

    Each target is matched by a bell, 1 at the middle of the interval and exp(-1/2) at its ends (at zero, where
    there is nothing below, the bell stays 1); the desirability is their geometric mean over one Gaussian process per
    target, the recommender the package's default (qLogEI, sequential). Pending alloys are given.
    """

    def __init__(self, task: Task, seed: int, *, restarts: int = 4) -> None:
        self._task, self._seed, self._restarts = task, seed, restarts

    def propose(self, state: State, number: int) -> Array:
        """Fit and recommend; see :class:`benchmarks.campaigns.harness.Contestant`."""
        import pandas as pd

        elements = list(self._task.elements)
        with _frozen_heap(), _quiet(), _seeded(1000 * self._seed + state.round):
            from baybe.recommenders import BotorchRecommender

            measured = pd.DataFrame(state.fractions, columns=elements).assign(**state.values)
            pending = pd.DataFrame(state.pending, columns=elements) if len(state.pending) else None
            found = BotorchRecommender(n_restarts=self._restarts).recommend(
                number, self._space(state), self._objective(), measured, pending
            )
        return np.asarray(found[elements].to_numpy(dtype=float))

    def _objective(self) -> Any:
        from baybe.objectives import DesirabilityObjective
        from baybe.targets import NumericalTarget

        targets = []
        for name, (low, high) in self._task.targets.items():
            middle, half, mode = 0.5 * (low + high), 0.5 * (high - low), "="
            if low <= 0:
                middle, half, mode = high - 0.25 * (high - low), 0.25 * (high - low), "<="
            targets.append(NumericalTarget.match_bell(name, middle, half, match_mode=mode))
        return DesirabilityObjective(targets)

    def _space(self, state: State) -> Any:
        import pandas as pd
        from baybe.constraints import ContinuousLinearConstraint
        from baybe.parameters import NumericalContinuousParameter
        from baybe.searchspace import SearchSpace, SubspaceDiscrete

        elements = list(self._task.elements)
        if self._task.pool is not None:
            taken = {row.tobytes() for row in np.rint(1000 * np.vstack([state.failed, state.pending]))}
            rows = [r for r in self._task.pool if np.rint(1000 * r).tobytes() not in taken]
            table = pd.DataFrame(np.array(rows), columns=elements)
            return SearchSpace(discrete=SubspaceDiscrete.from_dataframe(table))
        return SearchSpace.from_product(
            [
                NumericalContinuousParameter(e, bounds=(0.0, u / 1000))
                for e, u in zip(elements, self._task.palette.upper, strict=True)
            ],
            [ContinuousLinearConstraint(elements, "=", [1.0] * len(elements), 1.0)],
        )

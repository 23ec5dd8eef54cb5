"""Campaigns that make properties as large or small as possible under the targets and verdicts.

The worth of a candidate is log E[improvement] + log P(all targets and verdicts hold): the expected constrained
improvement (Gardner et al. 2014, Proc. 31st ICML, equation 8) in logarithms. For one objective the improvement is that
over the best so far under noise (qLogNEI: Letham et al. 2019, doi 10.1214/18-BA1110; in logarithms Ament et al. 2023,
arXiv:2310.20708), for several the hypervolume that is gained (qLogNEHVI: Daulton, Balandat and Bakshy 2021,
arXiv:2105.08195), both as BoTorch has them. Only compositions that were hits count as found so far. Pending jobs and
what the batch has already are given to BoTorch as pending points.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.acquisition.batch import CandidatePool
from hea_loop.errors import InputError

__all__ = ["Objective", "ObjectiveScore", "choose_optimising", "objective_score"]

Array = NDArray[np.float64]

_SAMPLES: Final = 64
_FEWEST: Final = 2
"""Answers without which there is nothing to learn."""
_SHORTLIST: Final = 256
_UPDATES: Final = 8
_LEAST_LOG: Final = -1e5


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """A property to be made large or small.

    Attributes:
        name: The property.
        maximize: Whether large is good.
        formula: From ``n x m`` fractions to ``n`` values where they are known exactly; None where answers tell.
        fractions: ``k x m`` of the compositions with an answer.
        values: Their ``k`` values.
        baseline: From fractions to ``n`` values that the property is measured from; None for none.
    """

    name: str
    maximize: bool
    formula: Callable[[Array], Array] | None = None
    fractions: Array | None = None
    values: Array | None = None
    baseline: Callable[[Array], Array] | None = None

    @property
    def sign(self) -> float:
        """Plus one where large is good, minus one where small is."""
        return 1.0 if self.maximize else -1.0


class ObjectiveScore:
    """Log of the expected improvement at any composition; build it with :func:`objective_score`."""

    def __init__(self, acquisition: Any, pending: Array) -> None:
        self._acquisition = acquisition
        self._pending = pending

    def log_improvement(self, fractions: Array) -> Array:
        """Log of the expected improvement by each of ``n x m`` fractions alone, beyond what is pending: ``n``."""
        import torch

        if len(fractions) == 0:
            return np.empty(0)
        with _quiet(), torch.no_grad():
            out = self._acquisition(torch.as_tensor(fractions, dtype=torch.float64).unsqueeze(1))
        found: Array = np.nan_to_num(out.numpy(), nan=_LEAST_LOG, neginf=_LEAST_LOG)
        return np.maximum(found, _LEAST_LOG)

    def take_as_pending(self, fractions: Array) -> None:
        """Count ``k x m`` fractions as waiting for their answers from now on."""
        import torch

        self._pending = np.vstack([self._pending, fractions])
        with _quiet():
            self._acquisition.set_X_pending(torch.as_tensor(self._pending, dtype=torch.float64))


def objective_score(
    objectives: Sequence[Objective], feasible: Array, *, seed: int, pending: Array | None = None
) -> ObjectiveScore | None:
    """Prepare the expected improvement over the hits so far.

    Args:
        objectives: One or several.
        feasible: ``k x m`` fractions of the hits so far.
        seed: Of the quasi-random samples.
        pending: Fractions whose answers are awaited.

    Returns:
        None while there is no hit to improve upon, or an objective has fewer than two answers: then the
        probability alone has to decide.

    Raises:
        InputError: No objective.
    """
    if not objectives:
        raise InputError("objectives", [], "are none", "give at least one")
    if len(feasible) == 0 or any(o.formula is None and len(_answers(o)[1]) < _FEWEST for o in objectives):
        return None
    import torch

    _load_botorch()
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.models.model import ModelList
    from botorch.sampling.get_sampler import get_sampler
    from botorch.utils.multi_objective.hypervolume import infer_reference_point

    with _quiet():
        models = [_model(o, seed) for o in objectives]
        model: Any = models[0] if len(models) == 1 else ModelList(*models)
        found = torch.as_tensor(feasible, dtype=torch.float64)
        with torch.no_grad():
            posterior = model.posterior(found)
        sampler = get_sampler(posterior, torch.Size([_SAMPLES]), seed=seed)
        shared = {"X_baseline": found, "sampler": sampler, "prune_baseline": False, "cache_root": False}
        if len(models) == 1:
            acquisition: Any = qLogNoisyExpectedImprovement(model, **shared)
        else:
            # the worst of the front, a tenth of its range lower: what is worse than all found gains nothing
            reference = infer_reference_point(_front(posterior.mean))
            acquisition = qLogNoisyExpectedHypervolumeImprovement(model, ref_point=reference, **shared)
    score = ObjectiveScore(acquisition, np.empty((0, feasible.shape[1])))
    if pending is not None and len(pending):
        score.take_as_pending(np.asarray(pending, dtype=float))
    return score


def choose_optimising(
    fractions: Array,
    log_feasible: Array,
    score: ObjectiveScore,
    *,
    number: int,
    pending: Array | None = None,
    minimum_distance: float = 0.0,
) -> NDArray[np.int64]:
    """Choose a batch by expected improvement and feasibility, one after the other.

    Args:
        fractions: ``n x m`` fractions of the pool.
        log_feasible: ``n`` logarithms of the probability that all targets and verdicts hold.
        score: The improvement; what is chosen is given to it as pending.
        number: Size of the batch.
        pending: Fractions whose answers are awaited; the score knows them already.
        minimum_distance: Least total-variation distance to the pending and among the chosen.

    Returns:
        Indices, best first; fewer than ``number`` where the pool has no more that are far enough apart.
    """
    rows = np.asarray(fractions, dtype=float)
    waiting = np.empty((0, rows.shape[1])) if pending is None else np.asarray(pending, dtype=float)
    pool = CandidatePool(rows, minimum_distance, waiting)
    worth = np.asarray(log_feasible) + score.log_improvement(rows)
    chosen: list[int] = []
    told = 0
    every = max(1, -(-number // _UPDATES))
    while len(chosen) < number and pool.open.any():
        if len(chosen) - told >= every:
            score.take_as_pending(rows[chosen[told:]])
            told = len(chosen)
            # what is gained beyond the batch: the best by the last look are looked at again
            again = np.flatnonzero(pool.open)
            again = again[np.argsort(-worth[again], kind="stable")[:_SHORTLIST]]
            worth[again] = np.asarray(log_feasible)[again] + score.log_improvement(rows[again])
        value = np.where(pool.open, worth + pool.log_spread(np.arange(len(rows))), -np.inf)
        chosen.append(int(np.argmax(np.where(np.isfinite(value) | ~pool.open, value, -1e300))))
        pool.take(chosen[-1])
    return np.array(chosen, dtype=np.int64)


def _answers(objective: Objective) -> tuple[Array, Array]:
    if objective.fractions is None or objective.values is None:
        return np.empty((0, 0)), np.empty(0)
    return np.asarray(objective.fractions, dtype=float), np.asarray(objective.values, dtype=float)


def _front(values: Any) -> Any:
    from botorch.utils.multi_objective.pareto import is_non_dominated

    return values[is_non_dominated(values)]


def _model(objective: Objective, seed: int) -> Any:
    """A BoTorch model of the signed objective: the formula, or the baseline and what answers add to it."""
    import torch
    from botorch.models.deterministic import GenericDeterministicModel

    def signed(function: Callable[[Array], Array]) -> Callable[[Any], Any]:
        def evaluate(x: Any) -> Any:
            rows = x.detach().reshape(-1, x.shape[-1]).numpy()
            return torch.as_tensor(objective.sign * function(rows)).reshape(*x.shape[:-1], 1)

        return evaluate

    if objective.formula is not None:
        return GenericDeterministicModel(signed(objective.formula), num_outputs=1)
    return _learned(objective, None if objective.baseline is None else signed(objective.baseline), seed)


def _learned(objective: Objective, baseline: Callable[[Any], Any] | None, seed: int) -> Any:
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms.outcome import Standardize
    from gpytorch.means import ConstantMean, Mean
    from gpytorch.mlls import ExactMarginalLogLikelihood

    fractions, values = _answers(objective)
    x, y = torch.as_tensor(fractions), torch.as_tensor(objective.sign * values).unsqueeze(-1)
    if baseline is None:
        mean: Any = ConstantMean()
    else:
        from_formula = baseline
        centre, spread = y.mean(), y.std().clamp_min(1e-9)

        class FromBaseline(Mean):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.register_parameter("offset", torch.nn.Parameter(torch.zeros((), dtype=torch.float64)))

            def forward(self, inputs: Any) -> Any:
                return (from_formula(inputs).squeeze(-1) - centre) / spread + self.offset

        mean = FromBaseline()
    model = SingleTaskGP(x, y, outcome_transform=Standardize(m=1), mean_module=mean)
    torch.manual_seed(seed)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def _load_botorch() -> None:
    with warnings.catch_warnings():
        # BoTorch compiles with torch.jit when it is imported, which torch 2.13 calls deprecated
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        import botorch.fit
        import botorch.models  # noqa: F401 - what follows imports names from these
        from botorch.acquisition.multi_objective import logei
    # BoTorch 0.18 compiles a kernel in C++ for the machine at hand before its first answer: a minute, a compiler, and
    # last digits that depend on the processor. Its own Python does the same.
    if hasattr(logei, "_load_attempted"):
        logei._load_attempted = True  # noqa: SLF001 - there is no other switch


@contextmanager
def _quiet() -> Iterator[None]:
    """One thread, so that answers do not depend on how many there are, and without the libraries' advice."""
    import torch
    from botorch.exceptions.warnings import BotorchWarning
    from linear_operator.utils.warnings import NumericalWarning  # type: ignore[import-untyped]

    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            # fractions are no unit cube, and a fit that stops at its bounds is still the best found
            warnings.simplefilter("ignore", BotorchWarning)
            warnings.simplefilter("ignore", NumericalWarning)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)

"""What any strategy could reach on problem B with the rows it is given: the most probable answers there are.

Of each target the compositions are sought that a model of the properties holds most probable to meet it, from many
starts over the whole palette, with no regard to realism: the best single one, and 40 that differ by as much as the
bar asks. Two models: that of our own strategies, and one whose strength is a process of the very features that the
oracle is made of, which nobody may use. What they say is then held against the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.generation_kind_b import kind_b_problem
from benchmarks.oracle_models import STRENGTH_ELEMENTS, packaged_models
from benchmarks.oracles import SERVICE_K
from hea_loop.composition import RESOLUTION
from hea_loop.elements import element_vector, mixing_enthalpy_matrix
from hea_loop.generation_benchmark import Problem, Setting, Trial, training_data, trial
from hea_loop.generation_measures import relative_errors
from hea_loop.generators.allowed_region import AllowedRegion, project_on_bounds
from hea_loop.generators.answer_choice import varied
from hea_loop.generators.climbing import Addition, AwayFromOthers, climb, log_chance
from hea_loop.generators.property_models import PropertyModel, property_model
from hea_loop.generators.quality import diversity
from hea_loop.torch_threads import one_thread

__all__ = ["OwnFeatures", "ceiling"]

Array = NDArray[np.float64]
Whole = NDArray[np.intp]
Spread = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

STRENGTH: Final = "strength_1200C"
TOLERANCE: Final = 0.05
VARIETY: Final = 0.35
_KNOWN: Final = 0.0015  # taken as the deviation of the logarithm of what is learned to a tenth of a percent
_POOL: Final = (
    (0.05, 8),
    (0.15, 15),
    (0.4, 15),
)  # logarithmic widths of variations of each alloy, and how many
_BETWEEN: Final = 5000  # compositions on lines between two alloys
_DRAWN: Final = 3000  # of the palette
_SOFT: Final = 0.08  # a start is judged as if nothing were known better than this
_ELIGIBLE: Final = 2000  # of the pool, for each target, starts are chosen from
_STARTS: Final = 200
_WEIGHT: Final = 8.0  # of the total variation to the starts before, against the logarithm of the probability
_STEPS: Final = 60
_AT_ONCE: Final = 2048
_MOST_WEIGHT: Final = 50.0
_ROUNDS: Final = 5  # of moving candidates apart
_MORE: Final = 2  # times as many as are asked are moved
_APART_STEPS: Final = 10
_LENGTHS: Final = (2.0, 3.0, 4.0)
_NOISES: Final = (1e-4, 1e-6)
_LINEAR_SHARE: Final = 0.3


# -- the process of the oracle's own features ------------------------------------------------------------------


def own_features(x: torch.Tensor) -> torch.Tensor:
    """:func:`benchmarks.oracle_models.strength_features` at 1200 degC, scaled as the oracle does, differentiable.

    Args:
        x: Fractions of the ten elements, float64, ``n x 10``.

    Returns:
        ``n x 18``.
    """
    radii, moduli, melting, electrons = (
        torch.as_tensor(element_vector(STRENGTH_ELEMENTS, name), dtype=torch.float64)
        for name in ("metallic_radius", "shear_modulus", "melting_temperature", "valence_electrons")
    )
    enthalpies = torch.as_tensor(mixing_enthalpy_matrix(STRENGTH_ELEMENTS), dtype=torch.float64)
    radius, modulus, melts = x @ radii, x @ moduli, x @ melting
    size = 100 * ((x * (1 - radii / radius[:, None]) ** 2).sum(dim=1) + 1e-12).sqrt()
    stiffness = ((x * (1 - moduli / modulus[:, None]) ** 2).sum(dim=1) + 1e-12).sqrt()
    enthalpy = 2 * ((x @ enthalpies) * x).sum(dim=1)
    temperature = torch.full_like(melts, SERVICE_K)
    own = (size, stiffness, modulus, x @ electrons, enthalpy, melts, temperature, temperature / melts)
    models = packaged_models()
    out: torch.Tensor = (
        torch.cat([x, torch.stack(own, dim=1)], dim=1) - torch.as_tensor(models.centre)
    ) / torch.as_tensor(models.scale)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class OwnFeatures:
    """A process of the logarithm of the strength with the covariance whose random features the oracle is made of.

    Attributes:
        length: Of the Gaussian covariance, in units of the scaled features.
        density: Mean log density of each row foretold from the others.
    """

    length: float
    density: float
    _features: torch.Tensor
    _factor: torch.Tensor
    _weights: torch.Tensor
    _middle: float
    _scale: float

    @classmethod
    def fit(cls, fractions: Array, logarithms: Array) -> OwnFeatures:
        """Of three lengths and two noises the one that foretells the rows best, each left out in turn.

        Args:
            fractions: ``n x 10``.
            logarithms: Of the strengths, shape ``n``.
        """
        features = own_features(torch.as_tensor(fractions))
        y = torch.as_tensor(logarithms - logarithms.mean())
        tried = [
            cls._with(features, y, float(logarithms.mean()), length, noise)
            for length in _LENGTHS
            for noise in _NOISES
        ]
        return max(tried, key=lambda process: process.density)

    @classmethod
    def _with(
        cls, features: torch.Tensor, y: torch.Tensor, middle: float, length: float, noise: float
    ) -> OwnFeatures:
        noisy = _covariance(features, features, length) + noise * torch.eye(len(y), dtype=torch.float64)
        factor = torch.linalg.cholesky(noisy)
        weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
        scale = float((y @ weights / len(y)).sqrt())  # the likeliest size of the covariance
        precision = torch.cholesky_inverse(factor).diagonal()
        density = torch.distributions.Normal(0.0, scale / precision.sqrt()).log_prob(weights / precision)
        return cls(length, float(density.mean()), features, factor, weights, middle, scale)

    def mean_and_deviation(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the logarithm at ``n x 10`` fractions, ``n`` each, differentiable."""
        features = own_features(x)
        cross = _covariance(self._features, features, self.length)
        explained = torch.linalg.solve_triangular(self._factor, cross, upper=False).square().sum(0)
        alone = 1 + _LINEAR_SHARE * (1 + features.square().mean(dim=1))
        deviation = self._scale * (alone - explained).clamp_min(1e-10).sqrt()
        return self._middle + cross.T @ self._weights, deviation


def _covariance(one: torch.Tensor, other: torch.Tensor, length: float) -> torch.Tensor:
    squared = one.square().sum(1)[:, None] + other.square().sum(1) - 2 * one @ other.T
    linear = 1 + one @ other.T / one.shape[1]
    out: torch.Tensor = torch.exp(-0.5 * squared.clamp_min(0) / length**2) + _LINEAR_SHARE * linear
    return out


def _with_own_features(model: PropertyModel, process: OwnFeatures, known: dict[str, float]) -> Spread:
    """Our model with the strength of the other."""
    place = model.names.index(STRENGTH)

    def spread(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, deviation = model.spread(x, known | {STRENGTH: 1.0})
        own = process.mean_and_deviation(x)
        here = torch.arange(len(model.names)) == place
        return torch.where(here, own[0][:, None], mean), torch.where(here, own[1][:, None], deviation)

    return spread


# -- the most probable answers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What is asked, in the coordinates of the model, all of them logarithms."""

    wanted: Array
    margin: float


def _pool(problem: Problem, given: Trial, rng: np.random.Generator) -> Array:
    """Known alloys, variations of them, compositions between two of them, and draws of the palette, ``n x m``."""
    known = problem.fractions[given.training]
    parts = [known]
    for width, copies in _POOL:
        x = np.repeat(known, copies, axis=0)
        parts.append(x * np.exp(width * rng.standard_normal(x.shape)))
    one, other = rng.integers(len(known), size=(2, _BETWEEN))
    share = rng.random((_BETWEEN, 1))
    parts.append(share * known[one] + (1 - share) * known[other])
    drawn = problem.palette.sample_uniform(_DRAWN, rng)
    parts.append(np.array([c.fraction_vector(problem.elements) for c in drawn]))
    x = np.vstack(parts)
    x /= x.sum(axis=1, keepdims=True)
    return _bounded(problem, x)[0]


def _bounded(problem: Problem, x: Array) -> tuple[Array, Array, Array]:
    """Rows moved into the palette on their own elements, and their bounds, each ``n x m``."""
    low = np.where(x > 0, np.array(problem.palette.lower) / RESOLUTION, 0.0)
    high = np.where(x > 0, np.array(problem.palette.upper) / RESOLUTION, 0.0)
    fits = (low.sum(axis=1) <= 1) & (high.sum(axis=1) >= 1)
    x, low, high = x[fits], low[fits], high[fits]
    return project_on_bounds(x, low, high), low, high


def _spreads(spread: Spread, x: Array) -> tuple[Array, Array]:
    with torch.no_grad():
        parts = [spread(part) for part in torch.split(torch.as_tensor(x), _AT_ONCE)]
    return torch.cat([p[0] for p in parts]).numpy(), torch.cat([p[1] for p in parts]).numpy()


def _log_chance(mean: Array, deviation: Array, wanted: Array, margin: float) -> Array:
    middle, off = torch.as_tensor(np.broadcast_to(wanted, mean.shape).copy()), margin
    return np.asarray(
        log_chance(torch.as_tensor(mean), torch.as_tensor(deviation), middle - off, middle + off).numpy()
    )


def _candidates(problem: Problem, spread: Spread, asked: _Asked, pool: Array) -> tuple[Array, Array]:
    """For each target climbed compositions, ``t x c x m``, and the logarithm of the probability of each."""
    mean, deviation = _spreads(spread, pool)
    starts = []
    for wanted in asked.wanted:
        soft = _log_chance(mean, np.maximum(deviation, _SOFT), wanted, asked.margin)
        sharp = _log_chance(mean, deviation, wanted, asked.margin)
        best = np.argsort(-soft, kind="stable")[:_ELIGIBLE]
        best = np.union1d(best, np.argsort(-sharp, kind="stable")[: _STARTS // 4])
        liking = np.maximum(soft, sharp)[best]
        sure = best[np.argsort(-liking, kind="stable")[: _STARTS // 2]]
        other = best[varied(pool[best], liking, _STARTS - len(sure), _WEIGHT)]
        starts.append(np.concatenate([sure, other]))
    x = pool[np.concatenate(starts)]
    found, reached = _climbed(problem, spread, asked, x, np.repeat(np.arange(len(starts)), _STARTS), _STEPS)
    shape = (len(asked.wanted), _STARTS)
    return found.reshape(*shape, -1), reached.reshape(shape)


def _climbed(
    problem: Problem,
    spread: Spread,
    asked: _Asked,
    x: Array,
    of: Whole,
    steps: int,
    addition: Addition | None = None,
) -> tuple[Array, Array]:
    """Rows for the targets of some numbers, moved uphill, and the logarithm of the probability of each."""
    start, low, high = (torch.as_tensor(part) for part in _bounded(problem, x))
    target = torch.as_tensor(asked.wanted[of])
    margin = torch.full_like(target, asked.margin)
    found, reached = climb(spread, start, target, margin, low=low, high=high, steps=steps, addition=addition)
    return found.numpy(), reached.numpy()


def _choice(x: Array, chance: Array, answers: int) -> tuple[list[Whole], float]:
    """Of each target as many rows as probable as can be, with the mean total variation of the bar over all targets.

    One weight of variety for all targets, so that it is had where it costs least; found by bisection, and given too.
    """
    low, high = 0.0, _MOST_WEIGHT
    best: list[Whole] = []
    for _ in range(12):
        weight = 0.5 * (low + high)
        taken = [varied(rows, p, answers, weight) for rows, p in zip(x, chance, strict=True)]
        apart = np.mean([diversity(rows[t]) for rows, t in zip(x, taken, strict=True)])
        if apart >= VARIETY:
            best, high = taken, weight
        else:
            low = weight
    return best or taken, high


def _spread_out(
    problem: Problem, spread: Spread, asked: _Asked, x: Array, chance: Array, answers: int
) -> tuple[Array, Array]:
    """Candidates, ``t x c x m``, and their probabilities, with more that were moved apart at the weight of the bar."""
    every = np.arange(len(x))
    for _ in range(_ROUNDS):
        weight = _choice(x, chance, answers)[1]
        number = min(_MORE * answers, x.shape[1])
        taken = [varied(rows, p, number, weight) for rows, p in zip(x, chance, strict=True)]
        of, rows = (
            np.repeat(every, number),
            np.concatenate([x[k, t] for k, t in zip(every, taken, strict=True)]),
        )
        others = AwayFromOthers(torch.as_tensor(rows), torch.as_tensor(of), 2 * weight)
        moved, reached = _climbed(problem, spread, asked, rows, of, _APART_STEPS, others)
        x = np.concatenate([x, moved.reshape(len(x), number, -1)], axis=1)
        chance = np.concatenate([chance, np.exp(reached).reshape(len(x), number)], axis=1)
    return x, chance


def _measured(
    problem: Problem, given: Trial, spread: Spread, asked: _Asked, pool: Array, answers: int
) -> dict[str, float]:
    found, chance = _candidates(problem, spread, asked, pool)
    region = AllowedRegion.of(training_data(problem, given), problem.palette)

    def held(rows: Array, of: Array) -> tuple[float, float]:
        """Share within the tolerance, and the mean probability stated, of rows as they would be answered."""
        exact = region.rounded(rows)
        error = relative_errors(problem.evaluate(exact), given.targets[of], given.unit[of])
        stated = np.exp(_log_chance(*_spreads(spread, exact), asked.wanted[of], asked.margin))
        return float((error <= TOLERANCE).mean()), float(stated.mean())

    every = np.arange(len(found))
    one = held(found[every, chance.argmax(axis=1)], every)
    found, likely = _spread_out(problem, spread, asked, found, np.exp(chance), answers)
    taken, _ = _choice(found, likely, answers)
    rows = np.concatenate([x[t] for x, t in zip(found, taken, strict=True)])
    many = held(rows, np.repeat(every, answers))
    return {
        "one": one[0],
        "one_stated": one[1],
        "many": many[0],
        "many_stated": many[1],
        "variety": float(np.mean([diversity(x[t]) for x, t in zip(found, taken, strict=True)])),
    }


def ceiling(seeds: Sequence[int], number: int, setting: Setting, *, thinned: int = 1) -> list[dict[str, Any]]:
    """One entry for each seed and model: shares of hits of the most probable answers, and what was stated of them.

    Args:
        seeds: Of the benchmark.
        number: How many of a seed's targets, the first ones.
        setting: The benchmark's sizes.
        thinned: Of so many compositions that could be started from one is looked at; above 1 shows only that it runs.

    Returns:
        Entries with ``seed``, ``model`` (``ours`` or ``own features``), ``reachable``, and for the best single
        answer and for as many as the setting asks: ``one``, ``many`` (share within 5% on all three), ``one_stated``,
        ``many_stated`` (mean probability) and ``variety`` (mean total variation among the many).
    """
    return [entry for seed in seeds for entry in _of_seed(seed, number, setting, thinned)]


def _of_seed(seed: int, number: int, setting: Setting, thinned: int) -> list[dict[str, Any]]:
    problem = kind_b_problem()
    whole = trial(problem, seed, setting)
    given = replace(
        whole,
        targets=whole.targets[:number],
        unit=whole.unit[:number],
        least_error=whole.least_error[:number],
        closest=whole.closest[:number],
    )
    data = training_data(problem, given)
    model = property_model(data, seed=seed)
    known = {name: _KNOWN for name in problem.names if name != STRENGTH}
    process = OwnFeatures.fit(data.fractions, np.log(data.conditions[:, problem.names.index(STRENGTH)]))
    spreads: dict[str, Spread] = {
        "ours": lambda x: model.spread(x, known),
        "own features": _with_own_features(model, process, known),
    }
    # 5% up is a little less in the logarithm than 5% down: the smaller of both is what is asked
    asked = _Asked(model.to_coordinates(given.targets), float(np.log1p(TOLERANCE)))
    pool = _pool(problem, given, np.random.default_rng([seed, 31]))[::thinned]
    reachable = float((given.least_error <= TOLERANCE).mean())
    with one_thread():
        return [
            {
                "seed": seed,
                "model": name,
                "targets": len(given.targets),
                "reachable": reachable,
                **_measured(problem, given, spread, asked, pool, setting.answers),
            }
            for name, spread in spreads.items()
        ]

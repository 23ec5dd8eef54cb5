"""Which generated compositions go to the validators.

Ranked by the probability that every target and verdict holds. Targets that a prediction decides are known
beforehand (the prediction is deterministic, and a candidate is judged by the very same number), so whatever lies
outside comes last; where the prediction knows how sure it is (``elasticity: first-principles``) the probability
that the truth lies inside counts besides. What validators decide comes from the surrogate.
Near-duplicates of known materials and of each other are kept out, and within one batch a candidate close to a
chosen one counts less, so that a batch asks different questions (see
:mod:`hea_loop.acquisition.batch`). A share of uniform random compositions comes last, unfiltered by any
prediction: it measures the base rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hea_loop.acquisition import Interval, choose_batch, climb, improve, log_probability_all, nearest_distance
from hea_loop.acquisition.distance import FLOAT_NOISE
from hea_loop.campaign import Campaign, Target
from hea_loop.composition import Composition
from hea_loop.elasticity import learned_targets
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.prediction import PREDICTED_PROPERTIES, predict_array
from hea_loop.surrogate import Surrogate

if TYPE_CHECKING:
    from hea_loop.acquisition.optimising import ObjectiveScore
    from hea_loop.objectives import Optimisation

__all__ = [
    "Selected",
    "Selection",
    "SelectionReport",
    "improved_candidates",
    "nearest_distance",
    "number_at_random",
    "predicted_violation",
    "select",
]

Array = NDArray[np.float64]

_RANDOM_TRIES: Final = 1000
"""Draws in a row that only give known materials before the random share is given up as exhausted."""

_IMPROVED: Final = 200
"""Candidates of the pool that are improved."""

_STEPS: Final = 40
"""Moves tried of each."""

_SOFTNESS: Final = 0.01  # of a target's width: how far beyond an edge a prediction still counts for something


@dataclass(frozen=True, slots=True)
class Selected:
    """One composition chosen for validation.

    Attributes:
        composition: What.
        probability: Predicted probability that all targets and verdicts hold.
        predicted: What was predicted when it was chosen, plain numbers: each target's value; ``<name>_sigma``
            for one that a validator decides or a model predicts; ``p_<name>`` the probability of each verdict.
        rank: 1 is the best of the batch; the random share comes last.
        origin: ``strategy`` or ``random``.
    """

    composition: Composition
    probability: float
    predicted: dict[str, float]
    rank: int
    origin: Literal["strategy", "random"]


@dataclass(frozen=True, slots=True)
class SelectionReport:
    """What became of the generated compositions.

    Attributes:
        generated: Compositions given to the selection.
        distinct: Different materials among them, within the palette.
        near_known: Left out: known, or nearer than the minimum distance to a known material.
        near_chosen: Left out: nearer than the minimum distance to a chosen one.
        inside: Of those that are left, how many lie inside every target that a prediction decides.
        outside_chosen: Chosen although outside a predicted target, because too few are inside: no hits.
        wanted: Batch asked for.
        chosen: Batch given.
        short: ``wanted - chosen``.
        why: Why it is short; empty if it is not.
    """

    generated: int
    distinct: int
    near_known: int
    near_chosen: int
    inside: int
    outside_chosen: int
    wanted: int
    chosen: int
    short: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The batch, best first and the random share last, with its report."""

    selected: tuple[Selected, ...]
    report: SelectionReport = field(repr=False)


def number_at_random(number: int, share: float) -> int:
    """Size of the random share: rounded half up, and at least one of a batch if the share is above zero."""
    if share <= 0 or number <= 0:
        return 0
    return min(number, max(1, math.floor(share * number + 0.5)))


def predicted_violation(
    fractions: Array, elements: Sequence[str], targets: dict[str, Target]
) -> tuple[Array, dict[str, Array]]:
    """How far the predictions lie outside the targets that they decide.

    Args:
        fractions: ``n x m`` atomic fractions.
        elements: ``m`` symbols.
        targets: Targets by property; those that no prediction decides are passed over.

    Returns:
        ``n`` sums of the distances to the intervals, each over the interval's width (an open interval's: over
        the magnitude of its bound), zero exactly for those inside all; and the predicted values by property.
    """
    names = tuple(name for name in targets if name in PREDICTED_PROPERTIES)
    values = predict_array(fractions, tuple(elements), names) if names and len(fractions) else {}
    return _violation(values, targets, len(fractions)), values


def _violation(values: Mapping[str, Array], targets: Mapping[str, Target], number: int) -> Array:
    violation = np.zeros(number)
    for name in values:
        low, high = targets[name].min, targets[name].max
        width = abs((high if low is None else low) or 0.0) if low is None or high is None else high - low
        scale = width if width > 0 else max(abs(low or 0.0), 1e-9)
        below = np.maximum(low - values[name], 0) if low is not None else 0
        above = np.maximum(values[name] - high, 0) if high is not None else 0
        violation += np.asarray(below + above) / scale
    return violation


def select(
    candidates: Sequence[Composition],
    campaign: Campaign,
    known: Sequence[Composition],
    surrogate: Surrogate,
    *,
    number: int,
    rng: np.random.Generator,
    pending: Sequence[Composition] = (),
    optimised: Optimisation | None = None,
) -> Selection:
    """Choose a batch.

    Those inside the predicted targets by :func:`hea_loop.acquisition.choose_batch`: greedy by probability, given what
    is chosen and pending, with the campaign's minimum distance and its share of other combinations of elements.
    When none inside is left, those outside follow by how little they miss the predicted targets.

    Args:
        candidates: Generated compositions; duplicates and those outside the palette are passed over.
        campaign: Targets, palette, random share and minimum distance.
        known: Materials that have been proposed or are known from elsewhere; elements beyond the palette
            are allowed.
        surrogate: What the validators will answer; its elements are the palette's.
        number: Size of the batch, the random share included.
        rng: Draws the random share, and ties by a stream of its own; the same state gives the same batch.
        pending: Of the known ones those whose answers are still awaited.
        optimised: What a campaign with objectives rests on; as soon as there is a hit to improve upon, the
            expected improvement counts besides the probability.

    Raises:
        InputError: The surrogate's elements are not the palette's, or a negative number.
    """
    palette = campaign.design_space()
    if surrogate.elements != palette.elements:
        raise InputError(
            "surrogate", surrogate.elements, "has other elements than the palette", "fit it on the palette's"
        )
    if number < 0:
        raise InputError("number", number, "is below zero", "give the size of the batch")
    at_random = number_at_random(number, campaign.random_share)
    distinct = [c for c in dict.fromkeys(candidates) if palette.contains(c)]
    fractions = _rows(distinct, palette)
    far = nearest_distance(fractions, _rows(known, palette))
    taken = set(known)
    free = np.array([c not in taken for c in distinct], dtype=bool)
    free &= far >= campaign.minimum_distance - FLOAT_NOISE
    pool = [c for c, keep in zip(distinct, free, strict=True) if keep]
    fractions = fractions[free]

    violation = _violation(surrogate.predicted_means(fractions), campaign.targets, len(fractions))
    inside = violation <= 0
    within = np.flatnonzero(inside)
    chosen = within[
        _choose(
            fractions[within],
            _Questions(surrogate, campaign),
            number - at_random,
            rng.spawn(1)[0],
            _rows(pending, palette),
            optimised,
        )
    ].tolist()
    chosen += _least_misses(
        fractions, violation, chosen, number - at_random - len(chosen), campaign.minimum_distance
    )
    strategy = [pool[i] for i in chosen]
    drawn = _random_share(palette, taken | set(strategy), at_random, rng)

    rows = _rows([*strategy, *drawn], palette)
    selected = _describe([*strategy, *drawn], rows, len(strategy), campaign, surrogate)
    left_over = nearest_distance(fractions, fractions[chosen]) < campaign.minimum_distance - FLOAT_NOISE
    near_chosen = int(left_over.sum()) - len(chosen) if campaign.minimum_distance > 0 else 0
    report = SelectionReport(
        generated=len(candidates),
        distinct=len(distinct),
        near_known=len(distinct) - len(pool),
        near_chosen=max(0, near_chosen),
        inside=int(inside.sum()),
        outside_chosen=int((~inside[chosen]).sum()),
        wanted=number,
        chosen=len(selected),
        short=number - len(selected),
    )
    return Selection(selected, _explained(report, number - at_random - len(strategy), at_random - len(drawn)))


def _rows(compositions: Sequence[Composition], palette: Palette) -> Array:
    rows = [[c.fractions.get(e, 0.0) for e in palette.elements] for c in compositions]
    return np.array(rows, dtype=float).reshape(-1, len(palette.elements))


def improved_candidates(
    candidates: Sequence[Composition],
    campaign: Campaign,
    surrogate: Surrogate,
    *,
    rng: np.random.Generator,
    number: int = _IMPROVED,
    steps: int = _STEPS,
    optimised: Optimisation | None = None,
) -> list[Composition]:
    """Climb the probability that all holds from the best of the generated compositions.

    With objectives, and a hit to improve upon, what is climbed is the expected improvement times that probability,
    from the hits as well.

    Args:
        candidates: Generated compositions; those outside the palette are passed over.
        campaign: Targets, verdicts and palette.
        surrogate: What the validators will answer.
        rng: Draws the moves.
        number: How many of them climb, the likeliest.
        steps: Moves tried of each.
        optimised: What a campaign with objectives rests on.

    Returns:
        What came of them, in the palette, without those that are candidates already.
    """
    palette = campaign.design_space()
    distinct = [c for c in dict.fromkeys(candidates) if palette.contains(c)]
    if not distinct:
        return []
    questions, intervals = _Questions(surrogate, campaign), _intervals(campaign)
    rows = _rows(distinct, palette)
    improvement = _improvement(optimised, rows[:0])

    def score(x: Array) -> Array:
        likely = log_probability_all(questions.predict(x), intervals, softness=_SOFTNESS)
        return likely if improvement is None else likely + improvement.log_improvement(x)

    best = rows[np.argsort(-score(rows), kind="stable")[:number]]
    if improvement is None or optimised is None:
        climbed = improve(best, questions, intervals, palette, rng, steps)
    else:
        inside = [palette.contains(Composition.from_fractions(palette.elements, h)) for h in optimised.hits]
        climbed = climb(np.vstack([best, optimised.hits[inside]]), score, palette, rng, steps)
    found = [Composition.from_fractions(palette.elements, row.tolist()) for row in climbed]
    return [c for c in dict.fromkeys(found) if c not in set(distinct)]


@dataclass(frozen=True, slots=True)
class _Questions:
    """What predictions and validators will say, each as a normal law, for the acquisition.

    What a formula predicts is known exactly. A verdict that holds with probability p is a latent number with a standard
    deviation of one and the mean for which it is above zero with just that probability.
    """

    surrogate: Surrogate
    campaign: Campaign

    def predict(self, fractions: Array) -> dict[str, tuple[Array, Array]]:
        out: dict[str, tuple[Array, Array]] = {}
        estimates = self.surrogate.predicted(fractions) | self.surrogate.estimates(fractions)
        for name, estimate in estimates.items():
            out[name] = (estimate.mean, estimate.sigma)
        for name, yes in self.surrogate.verdict_probability(fractions).items():
            latent = ndtri(np.clip(yes, 1e-300, 1 - 1e-16))
            out[name] = (np.asarray(latent, dtype=float), np.ones(len(fractions)))
        return out

    def condition_on_pending(self, fractions: Array) -> _Questions:
        return replace(self, surrogate=self.surrogate.condition_on_pending(fractions))


def _intervals(campaign: Campaign) -> tuple[Interval, ...]:
    targets = [Interval(name, target.min, target.max) for name, target in campaign.targets.items()]
    return (*targets, *(Interval(name, 0.0, None) for name in campaign.verdicts))


def _choose(
    fractions: Array,
    questions: _Questions,
    number: int,
    rng: np.random.Generator,
    pending: Array,
    optimised: Optimisation | None,
) -> NDArray[np.int64]:
    """Indices of the strategy's share among those inside the predicted targets."""
    campaign = questions.campaign
    intervals = _intervals(campaign)
    score = _improvement(optimised, pending)
    if score is None:
        return choose_batch(
            fractions,
            questions,
            intervals,
            number=number,
            rng=rng,
            pending=pending,
            minimum_distance=campaign.minimum_distance,
            diversity=campaign.strategy.diversity,
        )
    from hea_loop.acquisition.optimising import choose_optimising

    return choose_optimising(
        fractions,
        log_probability_all(questions.predict(fractions), intervals),
        score,
        number=number,
        pending=pending,
        minimum_distance=campaign.minimum_distance,
    )


def _improvement(optimised: Optimisation | None, pending: Array) -> ObjectiveScore | None:
    if optimised is None:
        return None
    from hea_loop.acquisition.optimising import objective_score

    return objective_score(optimised.objectives, optimised.hits, seed=optimised.seed, pending=pending)


def _least_misses(
    fractions: Array, violation: Array, chosen: Sequence[int], number: int, minimum_distance: float
) -> list[int]:
    """Those outside the predicted targets, the smallest miss first: no hits, whatever else they are."""
    out: list[int] = []
    outside = violation > 0
    least = max(minimum_distance, 0.0) - FLOAT_NOISE
    open_ = outside & (nearest_distance(fractions, fractions[list(chosen)]) >= least)
    for i in np.argsort(violation, kind="stable"):
        if len(out) >= number:
            break
        if open_[i]:
            out.append(int(i))
            open_ &= 0.5 * np.abs(fractions - fractions[i]).sum(axis=1) >= least
            open_[i] = False
    return out


def _random_share(
    palette: Palette, taken: set[Composition], number: int, rng: np.random.Generator
) -> list[Composition]:
    """Uniform random compositions; only exact duplicates are drawn again."""
    out: list[Composition] = []
    seen = set(taken)
    misses = 0
    while len(out) < number and misses < _RANDOM_TRIES:
        drawn = palette.sample_uniform(1, rng)[0]
        if drawn in seen:
            misses += 1
            continue
        misses = 0
        seen.add(drawn)
        out.append(drawn)
    return out


def _describe(
    compositions: Sequence[Composition],
    rows: Array,
    from_strategy: int,
    campaign: Campaign,
    surrogate: Surrogate,
) -> tuple[Selected, ...]:
    if not compositions:
        return ()
    predictions = surrogate.predicted(rows)
    columns = {name: estimate.mean for name, estimate in predictions.items()}
    violation = _violation(columns, campaign.targets, len(rows))
    probability = np.where(violation <= 0, surrogate.probability(rows), 0.0)
    for name in learned_targets(tuple(predictions), surrogate.elasticity):
        columns[f"{name}_sigma"] = predictions[name].sigma
    for name, estimate in surrogate.estimates(rows).items():
        columns[name], columns[f"{name}_sigma"] = estimate.mean, estimate.sigma
    for name, yes in surrogate.verdict_probability(rows).items():
        columns[f"p_{name}"] = yes
    return tuple(
        Selected(
            composition=composition,
            probability=float(probability[i]),
            predicted={name: float(column[i]) for name, column in columns.items()},
            rank=i + 1,
            origin="strategy" if i < from_strategy else "random",
        )
        for i, composition in enumerate(compositions)
    )


def _explained(report: SelectionReport, missing: int, missing_random: int) -> SelectionReport:
    reasons = []
    if missing > 0:
        reasons.append(
            f"{missing} too few from the strategy: of {report.generated} generated {report.distinct} are"
            f" distinct within the palette, {report.near_known} of them too near to known materials and"
            f" {report.near_chosen} too near to a chosen one"
        )
    if missing_random > 0:
        reasons.append(f"{missing_random} too few at random: the palette holds next to no other material")
    if not reasons:
        return report
    return replace(report, why="; ".join(reasons))

"""Feasibility first: what targets ask of a palette, judged before any budget is spent.

For each target: which values the palette reaches, the share of uniform random compositions inside, where the
interval lies among the known alloys. For all together: whether any composition meets them (one is named, or it
is proved that there is none: :mod:`hea_loop.reachability`), how rare a hit is at random, how far the targets lie
off the ridge that correlated properties form, which single target costs most and which has to be relaxed.
The same of what was found after is :mod:`hea_loop.found`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.elasticity import (
    LEARNED_PROPERTIES,
    ElasticModel,
    learned_targets,
    predicted,
    predicted_means,
)
from hea_loop.errors import InputError
from hea_loop.feasibility_report import (
    Costliest,
    Feasibility,
    Judgement,
    Relaxation,
    RidgePair,
    Share,
    TargetFeasibility,
)
from hea_loop.generators.conditioning import ConditionDensity
from hea_loop.palette import Palette
from hea_loop.prediction import PREDICTED_PROPERTIES
from hea_loop.properties import PROPERTIES
from hea_loop.reachability import Answer, Reach, decide, reachable_range, require_predictable
from hea_loop.target_intervals import Chance, chance_of_interval, checked_intervals, describe_interval

__all__ = ["RANDOM_COMPOSITIONS", "RARE", "judge_condition", "judge_targets"]

Array = NDArray[np.float64]

RANDOM_COMPOSITIONS: Final = 4000
"""Uniform random compositions that shares are counted on."""
RARE: Final = 0.01
"""Share of random compositions below which meeting the targets is called rare."""
_LEAST_LEVEL: Final = 0.01
"""Share of the known alloys in sparser regions than the targets' densest point, below which data do not support."""
_FEWEST_FOR_DENSITY: Final = 10


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Random compositions and known alloys with their targeted properties."""

    palette: Palette
    intervals: dict[str, tuple[float, float]]
    random: list[Composition]
    fractions: Array
    values: dict[str, Array]
    known: dict[str, Array] = field(default_factory=dict)
    elasticity: ElasticModel | None = None

    def held(self, values: Mapping[str, Array], without: str = "") -> NDArray[np.bool_]:
        """Which rows lie inside all intervals but one."""
        number = len(next(iter(values.values()))) if values else len(self.fractions)
        inside = np.ones(number, dtype=bool)
        for name, (low, high) in self.intervals.items():
            if name != without:
                inside &= (values[name] >= low) & (values[name] <= high)
        return inside


def judge_targets(
    palette: Palette,
    targets: Mapping[str, tuple[float | None, float | None]],
    known: Array | None = None,
    *,
    learned: Mapping[str, Chance] | None = None,
    undecided: Sequence[str] = (),
    answers: int = 0,
    elasticity: ElasticModel | None = None,
    number: int = RANDOM_COMPOSITIONS,
    seed: int = 0,
) -> Feasibility:
    """Judge targets before any budget is spent.

    Args:
        palette: Where the compositions have to lie.
        targets: Property to (low, high) in its unit, None for an open side. Those of
            :data:`hea_loop.prediction.PREDICTED_PROPERTIES` are judged by the prediction loop, elastic ones by
            the model of them where there is one; others by ``learned``, and where nobody has learned them they
            are left out and said so.
        known: ``n x m`` fractions of the known alloys, the columns are the palette's elements.
        learned: Target or verdict to the probability that it holds, by a surrogate of what validators answer.
        undecided: Verdicts of the campaign, for those that nobody has learned.
        answers: Validated alloys that ``learned`` rests on.
        elasticity: The learned model of the elastic moduli, of a campaign that has one.
        number: Uniform random compositions.
        seed: Of their draw; the same seed gives the same report.

    Raises:
        InputError: No target, no interval, or an element without the data that a prediction needs.
    """
    intervals = checked_intervals(targets)
    decided = PREDICTED_PROPERTIES if elasticity is None else (*PREDICTED_PROPERTIES, *LEARNED_PROPERTIES)
    by_prediction = {n: i for n, i in intervals.items() if n in decided}
    chances = dict(learned or {})
    left_out = tuple(n for n in (*targets, *undecided) if n not in by_prediction and n not in chances)
    if not targets and not chances and not left_out:
        raise InputError("targets", {}, "are none", "give at least one interval")
    names = tuple(by_prediction)
    require_predictable(palette, names)
    drawn = _draw(palette, by_prediction, known, number, seed, elasticity)
    answer = decide(palette, by_prediction, drawn.random, elasticity) if by_prediction else None
    inside = drawn.held(drawn.values)
    rows = [_one_target(drawn, name) for name in names]
    level = _density_level(drawn)
    relaxations = _relaxations(drawn, answer)
    expected, more = _learned_targets(drawn.fractions[inside], intervals, chances)
    rows += more
    rows += [_nobody(name, intervals.get(name)) for name in left_out]
    random = Share.counted(inside)
    data = Share.counted(drawn.held(drawn.known)) if drawn.known else Share.counted(np.zeros(0, dtype=bool))
    ridge = _ridge(drawn)
    verdict, reason = _verdict(answer, random, data, level, ridge, by_prediction)
    rate = None
    if expected is not None and not left_out and random.share is not None:
        rate = random.share * expected
    return Feasibility(
        verdict=verdict,
        reason=reason,
        proved=answer is not None and answer.proved,
        targets=tuple(rows),
        random=random,
        data=data,
        composition=None if answer is None else answer.composition,
        values={} if answer is None else answer.values,
        misses={} if answer is None else answer.misses,
        relaxations=relaxations,
        costliest=_costliest(rows, relaxations, answer),
        ridge=ridge,
        density_level=level,
        left_out=left_out,
        expected_rate=rate,
        answers=answers,
    )


def _draw(
    palette: Palette,
    intervals: dict[str, tuple[float, float]],
    known: Array | None,
    number: int,
    seed: int,
    elasticity: ElasticModel | None,
) -> _Drawn:
    names = tuple(intervals)
    random = palette.sample_uniform(number, np.random.default_rng(seed))
    fractions = np.array([c.fraction_vector(palette.elements) for c in random])
    values = predicted_means(fractions, palette.elements, names, elasticity) if names else {}
    rows = np.empty((0, len(palette.elements))) if known is None else np.asarray(known, dtype=float)
    of_known = predicted_means(rows, palette.elements, names, elasticity) if names and len(rows) else {}
    return _Drawn(palette, intervals, random, fractions, values, of_known, elasticity)


def _one_target(drawn: _Drawn, name: str) -> TargetFeasibility:
    low, high = drawn.intervals[name]
    learned = bool(learned_targets((name,), drawn.elasticity))
    reach = _seen_range(drawn, name) if learned else reachable_range(drawn.palette, name, drawn.random)
    others = drawn.held(drawn.values, without=name)
    alone = (drawn.values[name] >= low) & (drawn.values[name] <= high)
    known = drawn.known.get(name, np.empty(0))
    known = known[np.isfinite(known)]
    data = Share.counted((known >= low) & (known <= high))
    shown = f"{reach.low:.4g} to {reach.high:.4g}"
    verdict: Judgement = "feasible"
    reason = (
        f"random compositions reach {shown}{_truth(drawn, name)}"
        if learned
        else f"the palette reaches {shown}"
    )
    if not learned and (high < reach.low or low > reach.high):
        verdict, reason = "infeasible", f"the palette only reaches {shown}"
    elif len(known) and not data.inside and (high < known.min() or low > known.max()):
        verdict = "unsupported by the data"
        reason = f"the known alloys lie from {known.min():.4g} to {known.max():.4g}"
    elif alone.mean() < RARE:
        verdict, reason = "rare", f"{alone.mean():.1%} of random compositions lie inside"
    return TargetFeasibility(
        name=name,
        unit=PROPERTIES[name].unit,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        judged_by="first-principles" if learned else "prediction",
        reachable_low=reach.low,
        reachable_high=reach.high,
        exact=reach.exact,
        random=Share.counted(alone),
        given_others=Share.counted(alone[others]),
        data=data,
        quantile_low=float((known < low).mean()) if len(known) and math.isfinite(low) else None,
        quantile_high=float((known <= high).mean()) if len(known) and math.isfinite(high) else None,
        verdict=verdict,
        reason=reason,
    )


def _seen_range(drawn: _Drawn, name: str) -> Reach:
    """Range of a learned property over the random compositions: no search, which would take minutes."""
    values = drawn.values[name]
    least, most = int(values.argmin()), int(values.argmax())
    return Reach(
        float(values[least]), float(values[most]), drawn.random[least], drawn.random[most], exact=False
    )


def _truth(drawn: _Drawn, name: str) -> str:
    """How many of the random compositions that a learned model puts inside are expected to be there."""
    low, high = drawn.intervals[name]
    inside = (drawn.values[name] >= low) & (drawn.values[name] <= high)
    if drawn.elasticity is None or not inside.any():
        return ""

    def sure(x: Array) -> tuple[Array, Array]:
        return predicted(x, drawn.palette.elements, (name,), drawn.elasticity)[name]

    share = float(chance_of_interval(sure, low, high)(drawn.fractions[inside]).mean())
    return f"; of those predicted inside {share:.0%} are expected to be"


def _nothing() -> Share:
    return Share(0, 0, None, None, None)


def _nobody(name: str, interval: tuple[float, float] | None) -> TargetFeasibility:
    low, high = interval or (-math.inf, math.inf)
    return TargetFeasibility(
        name=name,
        unit=PROPERTIES[name].unit if name in PROPERTIES else "",
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        judged_by="nobody yet",
        reachable_low=None,
        reachable_high=None,
        exact=False,
        random=_nothing(),
        given_others=_nothing(),
        data=_nothing(),
        quantile_low=None,
        quantile_high=None,
        verdict=None,
        reason="no prediction tells, and no validator has answered yet",
    )


def _learned_targets(
    inside: Array, intervals: Mapping[str, tuple[float, float]], chances: Mapping[str, Chance]
) -> tuple[float | None, list[TargetFeasibility]]:
    """Expected share of those inside the predicted targets that meet the learned ones too, and each by itself."""
    if not chances:
        return (1.0 if len(inside) else None), []
    rows, joint = [], np.ones(len(inside))
    for name, chance in chances.items():
        probability = np.asarray(chance(inside), dtype=float) if len(inside) else np.empty(0)
        joint = joint * probability
        share = Share(0, len(inside), float(probability.mean()) if len(inside) else None, None, None)
        base = _nobody(name, intervals.get(name))
        kept = {
            k: getattr(base, k)
            for k in ("name", "unit", "low", "high", "reachable_low", "reachable_high", "exact", "data")
        }
        said = "no random composition lies inside the predicted targets"
        if share.share is not None:
            said = (
                f"holds in {share.share:.0%} of those inside the predicted targets, as the surrogate expects"
            )
        rows.append(
            TargetFeasibility(
                **kept,
                judged_by="surrogate",
                random=share,
                given_others=share,
                quantile_low=None,
                quantile_high=None,
                verdict=None,
                reason=said,
            )
        )
    return (float(joint.mean()) if len(inside) else None), rows


def _density_level(drawn: _Drawn) -> float | None:
    """Share of the known alloys in sparser regions than the densest point inside the targets.

    The density is the Gaussian kernel density of the known alloys in the targeted properties; inside the
    targets it is evaluated at each alloy moved to the nearest point of the box.
    """
    data = np.column_stack(list(drawn.known.values())) if drawn.known else np.empty((0, 0))
    data = data[np.isfinite(data).all(axis=1)] if data.size else data
    if len(data) < _FEWEST_FOR_DENSITY:
        return None
    try:
        density = ConditionDensity(data)
    except InputError:  # a property that all known alloys share has no density
        return None
    low, high = np.array(list(drawn.intervals.values())).T
    of_data = _log_density(density, data)
    best = float(_log_density(density, np.clip(data, low, high)).max())
    return float((of_data <= best).mean())


def _log_density(density: ConditionDensity, points: Array) -> Array:
    """Logarithm of the kernel density up to a constant, ``k`` numbers."""
    inverse = np.linalg.pinv(density.covariance)
    gap = density.standardise(points)[:, None, :] - density.centres[None, :, :]
    exponent = -0.5 * np.einsum("kni,ij,knj->kn", gap, inverse, gap)
    most = exponent.max(axis=1)
    out: Array = most + np.log(np.exp(exponent - most[:, None]).sum(axis=1))
    return out


def _ridge(drawn: _Drawn) -> tuple[RidgePair, ...]:
    names = list(drawn.values)
    out = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = np.column_stack([drawn.values[first], drawn.values[second]])
            pair = pair[np.isfinite(pair).all(axis=1)]
            mean, spread = pair.mean(axis=0), pair.std(axis=0)
            if len(pair) < 3 or not (spread > 1e-12 * np.abs(mean)).all():
                continue
            r = float(np.asarray(np.corrcoef(pair.T))[0, 1])
            known = np.empty((0, 2))
            if drawn.known:
                known = np.column_stack([drawn.known[first], drawn.known[second]])
                known = known[np.isfinite(known).all(axis=1)]
            of_data = None
            if len(known) > 2 and (known.std(axis=0) > 0).all():
                of_data = float(np.asarray(np.corrcoef(known.T))[0, 1])
            out.append(
                RidgePair(first, second, r, of_data, _off_ridge(drawn, first, second, mean, spread, r))
            )
    return tuple(sorted(out, key=lambda p: -abs(p.correlation_random)))


def _off_ridge(drawn: _Drawn, first: str, second: str, mean: Array, spread: Array, r: float) -> float:
    sign = 1.0 if r >= 0 else -1.0
    (a, b), (c, d) = (drawn.intervals[n] for n in (first, second))
    one = (np.array([a, b]) - mean[0]) / spread[0]
    other = np.sort(sign * (np.array([c, d]) - mean[1]) / spread[1])
    # across the ridge z1 - s z2 has the variance 2 (1 - |r|)
    least, most = float(one[0] - other[1]), float(one[1] - other[0])
    if least <= 0 <= most:
        return 0.0
    return min(abs(least), abs(most)) / math.sqrt(max(2 * (1 - abs(r)), 1e-12))


def _relaxations(drawn: _Drawn, answer: Answer | None) -> tuple[Relaxation, ...]:
    if len(drawn.intervals) < 2 or answer is None:
        return ()
    out = []
    for name in drawn.intervals:
        others = {n: i for n, i in drawn.intervals.items() if n != name}
        reachable = (
            answer.reachable or decide(drawn.palette, others, drawn.random, drawn.elasticity).reachable
        )
        out.append(Relaxation(name, reachable, Share.counted(drawn.held(drawn.values, without=name))))
    return tuple(out)


def _costliest(
    rows: Sequence[TargetFeasibility], relaxations: Sequence[Relaxation], answer: Answer | None
) -> Costliest | None:
    if answer is not None and not answer.reachable and relaxations:
        able = [r for r in relaxations if r.reachable]
        if not able:
            return None
        best = max(able, key=lambda r: r.random.inside)
        tail = f"; {best.random.share or 0:.1%} of random compositions meet the others"
        return Costliest(best.dropped, f"without it the others can be met{tail}")
    if answer is not None and not answer.reachable:
        why = (
            "it is narrower than the steps of composition"
            if answer.between_steps
            else "it cannot be met by itself"
        )
        return Costliest(next(iter(answer.misses)), why)
    told = [(r.name, r.given_others.share, r.judged_by) for r in rows if r.given_others.share is not None]
    if not told:
        return None
    name, share, by = min(told, key=lambda row: row[1] or 0.0)
    whom = "the predicted targets" if by == "surrogate" else "all other predicted targets"
    if len(rows) == 1:
        return Costliest(name, f"it holds in {share or 0:.1%} of random compositions")
    expected = ", as the surrogate expects" if by == "surrogate" else ""
    return Costliest(name, f"it holds in {share or 0:.1%} of those inside {whom}{expected}")


def _shown_misses(answer: Answer) -> str:
    parts = []
    for name, miss in answer.misses.items():
        unit = PROPERTIES[name].unit
        tail = "" if unit == "1" else f" {unit}"
        side = "below" if miss < 0 else "above"
        parts.append(f"{name} {answer.values[name]:.4g}{tail}, {abs(miss):.3g} {side} its target")
    return "; ".join(parts)


def _verdict(
    answer: Answer | None,
    random: Share,
    data: Share,
    level: float | None,
    ridge: Sequence[RidgePair],
    intervals: Mapping[str, tuple[float, float]],
) -> tuple[Judgement, str]:
    if answer is None:
        return "feasible", "no target is decided by a prediction: only validation can tell"
    if not answer.reachable:
        how = (
            "no composition of the palette" if answer.proved else "a search from many starts found none that"
        )
        verb = "meets" if len(intervals) == 1 else "meets all predicted targets:"
        text = f"{how} {verb} {_wanted(intervals)}"
        if answer.between_steps:
            text += (
                ", though fractions between the steps of 0.1 at.% do: the targets are narrower than the steps"
            )
        off = [p for p in ridge if p.off_ridge > 1]
        if off:
            worst = max(off, key=lambda p: p.off_ridge)
            text += (
                f"; {worst.first} and {worst.second} correlate at {worst.correlation_random:.2f} in the palette "
                f"and the pair lies {worst.off_ridge:.1f} standard deviations off that ridge"
            )
        return "infeasible", f"{text}; nearest is {answer.composition.formula} with {_shown_misses(answer)}"
    share = random.share or 0.0
    upper = random.high or 0.0
    at_random = f"{share:.2%} of random compositions" if random.inside else f"fewer than {upper:.2%} of them"
    if data.of and not data.inside and level is not None and level < _LEAST_LEVEL:
        text = (
            f"{answer.composition.formula} meets all predicted targets, but none of {data.of} known alloys does, and "
            f"{1 - level:.0%} of them lie where data are denser than anywhere inside: what is learned there is "
            "extrapolated"
        )
        return "unsupported by the data", text
    if share < RARE:
        text = f"reachable, as {answer.composition.formula} shows, but {at_random} lie inside all predicted targets"
        return "rare", text
    return "feasible", f"{at_random} lie inside all predicted targets, {answer.composition.formula} for one"


def _wanted(intervals: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {describe_interval(name, *interval)}" for name, interval in intervals.items())


def judge_condition(
    condition: Mapping[str, float],
    palette: Palette,
    known: Array | None = None,
    *,
    tolerance: float = 0.05,
    number: int = RANDOM_COMPOSITIONS,
    seed: int = 0,
) -> Feasibility:
    """Judge a point condition, as a generator is given it: every property within a relative tolerance.

    Args:
        condition: Property to the wanted value; each is predictable.
        palette: Where the answers have to lie.
        known: As in :func:`judge_targets`.
        tolerance: Relative half-width of the interval about each value.
        number: Uniform random compositions.
        seed: Of their draw.

    Raises:
        InputError: A property that no prediction gives, a value that is not finite, or no tolerance.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise InputError("tolerance", tolerance, "is not above zero", "give a share, as in 0.05")
    for name, value in condition.items():
        if name not in PREDICTED_PROPERTIES:
            raise InputError(
                "condition", name, "cannot be predicted", f"use {', '.join(PREDICTED_PROPERTIES)}"
            )
        if not math.isfinite(value):
            raise InputError(f"condition.{name}", value, "is not finite", "give a number")
    targets = {
        n: (float(v) - tolerance * abs(float(v)), float(v) + tolerance * abs(float(v)))
        for n, v in condition.items()
    }
    return judge_targets(palette, targets, known, number=number, seed=seed)

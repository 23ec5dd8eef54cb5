"""Hits and hit rates: who lies in every target, how many of those who were asked, and how sure that is.

Judged is what is known of a material, each property by its value of the highest fidelity
(``prediction < calphad < dft < experiment``). What nobody has answered is missing, and never a hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Literal

from hea_loop.campaign import Campaign, Target
from hea_loop.errors import InputError
from hea_loop.properties import FIDELITIES, property_named

__all__ = [
    "ORIGINS",
    "ROOM_TEMPERATURE_K",
    "TEMPERATURE_TOLERANCE_K",
    "CandidateResult",
    "HitRate",
    "Judgement",
    "KnownValue",
    "decisive_value",
    "judge",
    "probability_inside",
    "score",
    "wilson_interval",
]

ORIGINS: Final = ("strategy", "random")
"""Where a candidate comes from; the random share measures the base rate."""

TEMPERATURE_TOLERANCE_K: Final = 0.5
"""A value belongs to a listed temperature that is no further away: 1273 and 1273.15 are one."""

ROOM_TEMPERATURE_K: Final = 350.0
"""A target means room temperature (or 0 K, as computed): values from hotter tests do not decide it."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """One value that is known of a material.

    Attributes:
        property: A name of the vocabulary.
        value: In the property's canonical unit; 1 or 0 for a verdict.
        fidelity: Rung of the ladder.
        temperature_K: Temperature it holds at, None where there is none.
        driving_forces: Of a verdict on phases, where whoever answered it said so: J per mole of atoms by which each
            competing phase lies below the tangent plane of the alloy. No part of what makes two values equal.
    """

    property: str
    value: float
    fidelity: str
    temperature_K: float | None = None
    driving_forces: Mapping[str, float] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.fidelity not in FIDELITIES:
            raise InputError(
                "fidelity", self.fidelity, "is not a rung of the ladder", f"use {', '.join(FIDELITIES)}"
            )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a material is a hit, and why not.

    Attributes:
        hit: Every target and every verdict holds, and nothing is missing.
        fidelity: Highest fidelity among the values that decided; None where there were none.
        failed: One text per target or verdict that does not hold (``solidus 2110 K below 2173 K``).
        missing: Targets and verdicts without a value (``solidus``, ``single_phase_bcc at 1273 K``).
    """

    hit: bool
    fidelity: str | None
    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Everything against it in one line; empty for a hit."""
        return "; ".join((*self.failed, *(f"no value of {m}" for m in self.missing)))


def judge(campaign: Campaign, values: Sequence[KnownValue]) -> Judgement:
    """Judge a material by the targets and verdicts of a campaign.

    For each property (a verdict: at each listed temperature) the value at the highest fidelity decides; of
    several at one fidelity the last given, since a newer value supersedes an older one. A non-finite value is
    no value.

    Args:
        campaign: The targets and verdicts.
        values: All that is known of the material, oldest first.

    Raises:
        InputError: A value of an unknown fidelity (raised where the value is built).
    """
    failed: list[str] = []
    missing: list[str] = []
    decisive: list[KnownValue] = []
    for name, target in campaign.targets.items():
        found = decisive_value(values, name)
        if found is None:
            missing.append(name)
            continue
        decisive.append(found)
        if not target.holds(found.value):
            failed.append(_off_target(name, found.value, target))
    for name, verdict in campaign.verdicts.items():
        for temperature in verdict.temperatures_K:
            found = decisive_value(values, name, temperature)
            if found is None:
                missing.append(f"{name} at {temperature:g} K")
                continue
            decisive.append(found)
            if found.value < 0.5:
                failed.append(f"{name} does not hold at {temperature:g} K")
    rungs = [FIDELITIES.index(v.fidelity) for v in decisive]
    return Judgement(
        hit=not failed and not missing,
        fidelity=FIDELITIES[max(rungs)] if rungs else None,
        failed=tuple(failed),
        missing=tuple(missing),
    )


def decisive_value(
    values: Iterable[KnownValue], name: str, temperature_K: float | None = None
) -> KnownValue | None:
    """Return the value that decides about a property: the last given of the highest fidelity.

    Args:
        values: All that is known of one material, oldest first.
        name: The property.
        temperature_K: Only values within 0.5 K of it; None takes values without a temperature or at most at
            room temperature.

    Returns:
        The value, or None where there is no finite one.
    """
    best: KnownValue | None = None
    for value in values:
        if (
            value.property == name
            and math.isfinite(value.value)
            and _belongs(value.temperature_K, temperature_K)
            and (best is None or FIDELITIES.index(value.fidelity) >= FIDELITIES.index(best.fidelity))
        ):
            best = value
    return best


def _belongs(stated: float | None, wanted: float | None) -> bool:
    if wanted is None:
        return stated is None or stated <= ROOM_TEMPERATURE_K
    # the last digits of a float are not the edge of the tolerance
    return stated is not None and abs(stated - wanted) <= TEMPERATURE_TOLERANCE_K + 1e-9


def _off_target(name: str, value: float, target: Target) -> str:
    unit = property_named(name).unit
    unit = "" if unit == "1" else f" {unit}"
    below = target.min is not None and value < target.min
    bound = target.min if below else target.max
    side = "below" if below else "above"
    # as many digits as tell the value from the bound: 2172.9996 is not "2173 K below 2173 K"
    for digits in range(4, 18):
        shown, limit = f"{value:.{digits}g}", f"{bound:.{digits}g}"
        if shown != limit:
            break
    return f"{name} {shown}{unit} {side} {limit}{unit}"


def probability_inside(low: float | None, high: float | None, value: float, sigma: float) -> float:
    """Probability that a quantity lies in a closed interval, given a value with a standard uncertainty.

    A target judged by a prediction counts as met when the predicted value lies inside. This says what such a
    hit is worth: how likely the true value lies inside too, its error taken as normal.

    Args:
        low: Lower end, None for an open side.
        high: Upper end, None for an open side.
        value: The value, in the unit of the interval.
        sigma: Its standard uncertainty, same unit, at least zero.

    Returns:
        0 to 1; without uncertainty 1 inside and 0 outside.
    """
    if sigma <= 0:
        return float((low is None or low <= value) and (high is None or value <= high))
    error = NormalDist(value, sigma)
    return (1.0 if high is None else error.cdf(high)) - (0.0 if low is None else error.cdf(low))


def wilson_interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson's score interval of a proportion.

    Wilson 1927, J. Am. Stat. Assoc. 22, 209, doi 10.1080/01621459.1927.10502953. p = hits / n and the
    normal quantile z: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Args:
        hits: Successes, 0 to ``n``.
        n: Trials.
        confidence: Two-sided confidence, between 0 and 1.

    Returns:
        Lower and upper end in [0, 1]; None for no trial, which says nothing.

    Raises:
        InputError: Not 0 <= hits <= n, or a confidence outside (0, 1).
    """
    if not 0 <= hits <= n:
        raise InputError("hits", (hits, n), "are not hits out of n", "give 0 <= hits <= n")
    if not 0 < confidence < 1:
        raise InputError("confidence", confidence, "is no confidence", "give a number between 0 and 1")
    if n == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = hits / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # at the ends the interval touches 0 and 1 exactly; cancellation must not leave 1e-18
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """What came of one candidate.

    Attributes:
        origin: ``strategy`` or ``random``.
        state: State of the candidate; ``validated``, ``failed`` and ``unconverged`` are counted by name,
            every other one (queued, rejected, validating, ...) only as proposed.
        hit: The judgement of a validated candidate; None while there is none.
        fidelity: Highest fidelity it has been validated at; None while there is no answer.
    """

    origin: Literal["strategy", "random"]
    state: str
    hit: bool | None = None
    fidelity: str | None = None

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise InputError("origin", self.origin, "is not an origin", f"use {' or '.join(ORIGINS)}")
        if self.state == "validated" and self.hit is None:
            raise InputError("hit", self.hit, "is unknown for a validated candidate", "judge it first")


@dataclass(frozen=True, slots=True)
class HitRate:
    """Counts and hit rate of one origin (``all`` for both together).

    Attributes:
        origin: ``strategy``, ``random`` or ``all``.
        fidelity: The fidelity counted: candidates validated at another one count as proposed only.
        proposed: Candidates proposed.
        validated: Candidates with an answer.
        failed: Candidates whose validator ended in an error.
        unconverged: Candidates whose validator gave no answer.
        hit: Hits among the validated.
        rate: hit / validated; None when nothing was validated.
        ci_low: Lower end of the 95% Wilson interval.
        ci_high: Upper end.
    """

    origin: str
    fidelity: str
    proposed: int
    validated: int
    failed: int
    unconverged: int
    hit: int
    rate: float | None
    ci_low: float | None
    ci_high: float | None


def score(results: Iterable[CandidateResult], *, fidelity: str = "calphad") -> dict[str, HitRate]:
    """Count the hits of one iteration, or of any other set of candidates.

    Args:
        results: The candidates.
        fidelity: Count as validated those whose highest fidelity this is, so that rates of different
            trust are never mixed.

    Returns:
        Hit rates by ``strategy``, ``random`` and ``all``.
    """
    rows = list(results)
    return {
        origin: _rate(origin, fidelity, [r for r in rows if origin in {"all", r.origin}])
        for origin in (*ORIGINS, "all")
    }


def _rate(origin: str, fidelity: str, rows: Sequence[CandidateResult]) -> HitRate:
    validated = [r for r in rows if r.state == "validated" and r.fidelity in {None, fidelity}]
    hits = sum(bool(r.hit) for r in validated)
    interval = wilson_interval(hits, len(validated))
    return HitRate(
        origin=origin,
        fidelity=fidelity,
        proposed=len(rows),
        validated=len(validated),
        failed=sum(r.state == "failed" for r in rows),
        unconverged=sum(r.state == "unconverged" for r in rows),
        hit=hits,
        rate=hits / len(validated) if validated else None,
        ci_low=None if interval is None else interval[0],
        ci_high=None if interval is None else interval[1],
    )

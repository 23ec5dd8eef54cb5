"""What is said of targets: each by itself, all together, the ridge they lie on, what costs most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.scoring import wilson_interval

__all__ = [
    "Costliest",
    "Feasibility",
    "Judgement",
    "Relaxation",
    "RidgePair",
    "Share",
    "TargetFeasibility",
    "plain_json",
]

Judgement = Literal["feasible", "rare", "unsupported by the data", "infeasible"]


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95% Wilson interval; all None of nothing.

    Attributes:
        inside: How many.
        of: Out of how many.
        share: inside / of.
        low: Lower end of the interval.
        high: Upper end.
    """

    inside: int
    of: int
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def counted(cls, held: NDArray[np.bool_]) -> Share:
        """The share of True."""
        inside, of = int(held.sum()), len(held)
        low, high = wilson_interval(inside, of) or (None, None)
        return cls(inside, of, inside / of if of else None, low, high)


@dataclass(frozen=True, slots=True)
class TargetFeasibility:
    """One target by itself.

    Attributes:
        name: The property.
        unit: Its unit.
        low: Lower bound of the interval; None where open, and of a verdict.
        high: Upper bound likewise.
        judged_by: ``prediction``; ``surrogate`` for what validators decide, once they have answered; ``nobody
            yet`` before.
        reachable_low: Least value in the palette; None where no prediction tells.
        reachable_high: Largest.
        exact: Whether nothing lies beyond that range; else it is what a search from many starts reached.
        random: Share of random compositions inside. By the surrogate it is an expected share, without interval,
            and of the compositions inside the predicted targets.
        given_others: Share inside of those random compositions that lie inside all other predicted targets.
        data: Share of the known alloys inside.
        quantile_low: Share of the known alloys below the lower bound.
        quantile_high: Share of them at or below the upper bound.
        verdict: For this target alone.
        reason: Of that verdict.
    """

    name: str
    unit: str
    low: float | None
    high: float | None
    judged_by: str
    reachable_low: float | None
    reachable_high: float | None
    exact: bool
    random: Share
    given_others: Share
    data: Share
    quantile_low: float | None
    quantile_high: float | None
    verdict: Judgement | None
    reason: str


@dataclass(frozen=True, slots=True)
class RidgePair:
    """Two targeted properties that go together.

    Attributes:
        first: One.
        second: The other.
        correlation_random: Pearson's correlation over random compositions.
        correlation_data: Over the known alloys; None of too few.
        off_ridge: Least distance of the targets from the ridge, in standard deviations across it over the random
            compositions; zero where the ridge runs through them. The ridge is the main axis of the
            standardised pair, and the distance is taken along the other.
    """

    first: str
    second: str
    correlation_random: float
    correlation_data: float | None
    off_ridge: float


@dataclass(frozen=True, slots=True)
class Relaxation:
    """What leaving one target out would do.

    Attributes:
        dropped: The target.
        reachable: Whether some composition meets the others; None where it was not asked.
        random: Share of random compositions inside the others.
    """

    dropped: str
    reachable: bool | None
    random: Share


@dataclass(frozen=True, slots=True)
class Costliest:
    """The single target that costs most, and why it is that one."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What targets ask of a palette.

    Attributes:
        verdict: ``feasible``; ``rare`` (below 1% of random compositions); ``unsupported by the data``
            (reachable, but next to no known alloy lies near); ``infeasible``.
        reason: One sentence.
        proved: Of ``infeasible``: whether there is a proof; else a search from many starts found nothing.
        targets: One by one.
        random: Share of random compositions inside all predicted targets.
        data: Share of the known alloys inside all predicted targets.
        composition: One that meets all predicted targets, or the nearest one found; None without any.
        values: Its predicted properties.
        misses: Target to how far that composition lies outside: negative below, positive above.
        relaxations: What leaving out each predicted target would do.
        costliest: The single target that costs most.
        ridge: Pairs of targeted properties, the most correlated first.
        density_level: Share of the known alloys that lie in sparser regions of the targeted properties than the
            densest point inside the targets; None with too few alloys.
        left_out: Targets and verdicts that nobody can tell before validation.
        expected_rate: Predicted share of hits among random compositions, with what the surrogate says of the
            validators' answers; None where some target has no surrogate.
        answers: Validated alloys that the surrogate learned from.
    """

    verdict: Judgement
    reason: str
    proved: bool
    targets: tuple[TargetFeasibility, ...]
    random: Share
    data: Share
    composition: Composition | None
    values: Mapping[str, float]
    misses: Mapping[str, float]
    relaxations: tuple[Relaxation, ...]
    costliest: Costliest | None
    ridge: tuple[RidgePair, ...]
    density_level: float | None
    left_out: tuple[str, ...]
    expected_rate: float | None
    answers: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; the composition as its formula, None for what is not finite."""
        out = asdict(self) | {"composition": None if self.composition is None else self.composition.formula}
        plain = plain_json(out)
        return dict(plain)


def plain_json(value: Any) -> Any:
    """Mappings, lists and numbers as JSON holds them: keys as text, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

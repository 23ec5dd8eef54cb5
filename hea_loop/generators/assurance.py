"""Answers whose learned properties are likely to hold: where the models are sure, and not by their mean alone.

A property model that learned from rows is sure near them and guesses elsewhere, so that of the compositions whose mean
is what is wanted most may miss it. The probability P that all properties hold within their margins (independent normal
laws with the models' own deviations) says which do. Draws are moved to where P is greater
(:mod:`hea_loop.generators.climbing`), and so are compositions near the known alloys and between them: the most
probable of many for each condition, most of them as unlike each other as can be. Where P is flat there is room:
answers to one condition are moved away from each other there (:meth:`Assurance.apart`). Formulas have no uncertainty;
where all properties are formulas nothing of this is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.answer_choice import Candidates, varied
from hea_loop.generators.climbing import Addition, AwayFromOthers, climb, log_chance
from hea_loop.generators.property_models import PropertyModel
from hea_loop.generators.protocol import TrainingData

__all__ = ["Assurance", "nearest"]

Array = NDArray[np.float64]
Whole = NDArray[np.intp]

_LONG_SHOT: Final = float(np.log(0.003))
"""Log P from which on a composition counts as an answer though its mean lies beyond a margin: where little is known the
mean says little, and among forty answers a long shot may be worth its distance to the others."""
_APART_STEPS: Final = 10
_AT_ONCE: Final = 256  # rows whose covariances with the data stay in the cache
_LOOKED_AT: Final = 1024
_TRIFLE: Final = 0.1  # of the margin: a deviation that is less changes no choice
_POOL: Final = ((0.05, 0.2), (0.15, 0.3), (0.4, 0.25))
"""Logarithmic widths of the variations of known alloys, and their share of the pool; the rest lies between two."""
_POOL_SIZE: Final = 20_000
_ELIGIBLE: Final = 1500  # of the pool, by what is missing to a condition
_SOFT: Final = 1.6  # margins: a start is also judged as if nothing were known better than this
_SUREST: Final = 4  # of so many starts one is for its P alone
_VARIETY: Final = 8.0  # of the total variation to the starts before, against the logarithm of P


@dataclass(frozen=True, slots=True, eq=False)
class Assurance:
    """How sure answers are, and how they get surer.

    Attributes:
        model: Of the properties, not all of them formulas.
        data: What it learned from.
        region: Where answers may lie.
        units: ``k x p`` for the conditions ``0, 1, ...``: what their gaps are measured in.
        conditions: ``k x p``, in the model's coordinates; NaN where any value will do.
        tolerance: Of formulas, in those units.
        margin: Of learned properties.
        steps: Of climbing, at most.
    """

    model: PropertyModel
    data: TrainingData
    region: AllowedRegion
    units: Array
    conditions: Array
    tolerance: float
    margin: float
    steps: int

    def margins(self, of: Whole) -> Array:
        """How far off each property may be of the conditions of some numbers, ``n x p``."""
        formula = np.array([name in self.model.closed_form for name in self.model.names])
        out: Array = self.units[of] * np.where(formula, self.tolerance, self.margin)
        return out

    def doubt(self, x: Array, of: Whole) -> Array:
        """Minus log P of rows that meet their conditions, as if they did exactly: shape ``n``."""
        deviation = self._in_parts(x)[1] if len(x) else np.zeros((0, len(self.model.names)))
        asked = np.isfinite(self.conditions[of]) & (deviation > 0)
        ratio = self.margins(of) / np.where(asked, deviation, 1.0)
        chance = np.where(asked, 2 * ndtr(ratio) - 1, 1.0)
        out: Array = -np.log(np.maximum(chance, 1e-12)).sum(axis=1)
        return out

    def surest(self, found: Candidates, number: Whole, share: int) -> Whole:
        """Of the candidates that meet their condition the surest, up to ``share`` for each answer: their rows."""
        met = np.flatnonzero(found.gap <= self.tolerance)
        met = met[np.lexsort((found.doubt[met], found.condition[met]))]
        of = found.condition[met]
        return met[np.arange(len(met)) - np.searchsorted(of, of) < share * number[of]]

    def climbed(self, x: Array, of: Whole, moved: Array) -> Candidates:
        """Rows moved to where P is greater.

        Args:
            x: ``n x m``, in the region.
            of: Numbers of their conditions, shape ``n``.
            moved: How far each has been moved before, shape ``n``.

        Returns:
            Candidates; their gap is zero where the mean meets the condition within the margins, or where P is more than
            next to nothing.
        """
        margin, wanted = self.margins(of), self.conditions[of]
        y, chance = self._climbed(x, of, self.steps)
        with torch.no_grad():
            mean = self._in_parts(y)[0] if len(y) else wanted
        off = np.nan_to_num(np.abs(mean - wanted) / margin).max(axis=1, initial=0.0)
        return Candidates(
            fractions=y,
            condition=of,
            # within the margins is as good as within the tolerance: P says what an answer is worth
            gap=np.where((off <= 1) | (chance >= _LONG_SHOT), 0.0, off * self.margin),
            moved=moved + 0.5 * np.abs(y - x).sum(axis=1),
            nearest=nearest(self.data, y),
            doubt=-chance,
        )

    def apart(self, given: Candidates, weight: float) -> tuple[Candidates, Whole]:
        """Candidates moved away from the others to their condition, as far as P allows.

        P + weight * mean total variation to the others, where these stand now, is climbed for each. Mean P + w * mean
        total variation of all pairs grows fastest with a weight of 2 w, since a pair has two ends.

        Args:
            given: To some conditions more than one.
            weight: See above.

        Returns:
            Those that have others and a P of more than next to nothing, and which of the given they are.
        """
        counts = np.bincount(given.condition, minlength=len(self.conditions))
        rows = np.flatnonzero(counts[given.condition] > 1)
        x, of = given.fractions[rows], given.condition[rows]
        found, chance = self._climbed(
            x, of, _APART_STEPS, AwayFromOthers(torch.as_tensor(x), torch.as_tensor(of), weight), _LONG_SHOT
        )
        kept = np.flatnonzero(chance >= _LONG_SHOT)
        y, origin = found[kept], rows[kept]
        moved = Candidates(
            fractions=y,
            condition=of[kept],
            gap=np.zeros(len(y)),
            moved=given.moved[origin] + 0.5 * np.abs(y - x[kept]).sum(axis=1),
            nearest=nearest(self.data, y),
            doubt=-chance[kept],
        )
        return moved, origin

    def from_known(self, number: Whole, share: int, rng: np.random.Generator) -> Candidates:
        """Candidates that start near known alloys, up to ``share`` for each answer: see the text of the module.

        Args:
            number: Of answers to each condition.
            share: See above.
            rng: Draws the pool.
        """
        pool = self._pool(rng)
        mean, deviation = self._in_parts(pool)
        chosen = [
            self._starts(pool, mean, deviation, k, share * int(wanted)) for k, wanted in enumerate(number)
        ]
        of = np.repeat(np.arange(len(number)), [len(rows) for rows in chosen])
        return self.climbed(pool[np.concatenate(chosen)], of, np.zeros(len(of)))

    def _climbed(
        self,
        x: Array,
        of: Whole,
        steps: int,
        addition: Addition | None = None,
        least_chance: float = -np.inf,
    ) -> tuple[Array, Array]:
        """:func:`hea_loop.generators.climbing.climb` of rows in the region."""
        margin = self.margins(of)
        low, high = self.region.bounds(x > 0)
        found, chance = climb(
            partial(self.model.spread, known=self._known(x, margin)),
            torch.as_tensor(x),
            torch.as_tensor(self.conditions[of]),
            torch.as_tensor(margin),
            low=torch.as_tensor(np.minimum(low, x)),
            high=torch.as_tensor(np.maximum(high, x)),
            steps=steps,
            addition=addition,
            least_chance=least_chance,
        )
        return found.numpy(), chance.numpy()

    def _known(self, x: Array, margin: Array) -> dict[str, float]:
        """Deviations that may be taken as given, by property: of formulas, and of what is learned to a trifle."""
        of = self.model.deviations(x[:_LOOKED_AT])
        most = np.quantile(of, 0.9, axis=0) if len(of) else np.zeros(len(self.model.names))
        least = np.min(margin, axis=0, initial=np.inf)
        return {
            name: max(float(deviation), _TRIFLE / 4 * float(smallest))
            for name, deviation, smallest in zip(self.model.names, most, least, strict=True)
            if name in self.model.closed_form or deviation < _TRIFLE * smallest
        }

    def _pool(self, rng: np.random.Generator) -> Array:
        known = self.data.fractions
        parts = []
        for width, share in _POOL:
            x = known[rng.integers(len(known), size=int(share * _POOL_SIZE))]
            parts.append(x * np.exp(width * rng.standard_normal(x.shape)))
        between = _POOL_SIZE - sum(len(part) for part in parts)
        one, other = rng.integers(len(known), size=(2, between))
        share_of_one = rng.random((between, 1))
        parts.append(share_of_one * known[one] + (1 - share_of_one) * known[other])
        x = np.concatenate(parts)
        x /= x.sum(axis=1, keepdims=True)
        return self.region.placed(x, np.where(x > 0, x, -1.0))[0]

    def _in_parts(self, x: Array) -> tuple[Array, Array]:
        with torch.no_grad():
            formulas = dict.fromkeys(self.model.closed_form, 0.0)
            parts = [self.model.spread(part, formulas) for part in torch.split(torch.as_tensor(x), _AT_ONCE)]
        return torch.cat([p[0] for p in parts]).numpy(), torch.cat([p[1] for p in parts]).numpy()

    def _starts(self, pool: Array, mean: Array, deviation: Array, k: int, number: int) -> Whole:
        """Rows of the pool that the climb to one condition starts from."""
        of = np.array([k])
        wanted, margin = self.conditions[of], self.margins(of)
        missing = np.nan_to_num(np.abs(mean - wanted) / margin, nan=0.0, posinf=1e6)
        if not np.isfinite(wanted).all():
            missing[:, ~np.isfinite(wanted[0])] = 0.0
        likely = np.argpartition((missing**2).sum(axis=1), min(_ELIGIBLE, len(pool) - 1))[:_ELIGIBLE]
        least = np.where(np.isfinite(wanted), wanted - margin, -np.inf)
        most = np.where(np.isfinite(wanted), wanted + margin, np.inf)
        sharp, soft = (
            log_chance(
                torch.as_tensor(mean[likely]),
                torch.as_tensor(np.maximum(deviation[likely], floor * margin)),
                torch.as_tensor(least),
                torch.as_tensor(most),
            ).numpy()
            for floor in (1e-3, _SOFT)
        )
        liking = np.maximum(sharp, soft)
        order = np.argsort(-liking, kind="stable")
        surest = -(-number // _SUREST)
        sure, others = likely[order[:surest]], order[surest:]
        unlike = varied(pool[likely[others]], liking[others], number - surest, _VARIETY)
        return np.concatenate([sure, likely[others[unlike]]])


def nearest(data: TrainingData, x: Array) -> Array:
    """Total variation to the nearest training alloy, shape ``n``."""
    if not len(x):
        return np.zeros(0)
    known = torch.as_tensor(data.fractions)
    out: Array = 0.5 * torch.cdist(torch.as_tensor(x), known, p=1).min(dim=1).values.numpy()
    return out

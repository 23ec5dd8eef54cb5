"""Several properties, each at one or more fidelities, with gaps: what the store's data points teach.

Where a property is known at several fidelities, each is modelled on the one below it (Kennedy and O'Hagan,
Biometrika 87 (2000) 1, doi 10.1093/biomet/87.1.1, eq. 1; the recursive fit, which needs no nested designs and
costs one small fit per level, is that of Le Gratiet and Garnier, Int. J. Uncertainty Quantification 4 (2014)
365, doi 10.1615/Int.J.UncertaintyQuantification.2014006914):

    f_high(x) = prior(x) + rho (f_low(x) - prior(x)) + delta(x)

with delta a process of its own. A joint coregionalised process would fit both at once at the cost of the cube
of all rows, and gains nothing where the low fidelity is dense, as a cheap one is. rho is the generalised least
squares estimate (ibid.); it is used only where it foretells the high rows, each left out in turn, better than
rho = 0, which is ignoring the low fidelity: unrelated cheap data cannot spoil what the dear ones say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hea_loop.errors import InputError
from hea_loop.properties import FIDELITIES
from hea_loop.surrogates.composition_gp import CompositionGP

__all__ = ["PropertySurrogate", "fit_above"]

Array = NDArray[np.float64]

_FEWEST_TO_CALIBRATE: Final = 20
_FEWEST_TO_LINK: Final = 4
"""With fewer rows at the higher fidelity their link to the lower one cannot be told from chance: rho is one."""


@dataclass(frozen=True, slots=True)
class _Level:
    """One fidelity of one property: ``rho`` times the excess of the level below plus a process."""

    fidelity: str
    rho: float
    process: Any  # a CompositionGP, or whatever has its mean


@dataclass(frozen=True, slots=True)
class _Given:
    """A lower fidelity that is known as a function."""

    mean: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Below:
    """Prior mean of a level: the property's own plus ``rho`` times the excess of the levels below."""

    levels: tuple[_Level, ...]
    prior: Callable[[Any], Any] | None
    rho: float

    def __call__(self, x: Any) -> Any:
        prior = _zero(x) if self.prior is None else self.prior(x)
        if self.rho == 0.0 or not self.levels:
            return prior
        return prior + self.rho * (self.levels[-1].process.mean(x) - prior)


@dataclass(frozen=True, slots=True)
class PropertySurrogate:
    """Models of several properties; build it with :meth:`fit`.

    Attributes:
        elements: ``m`` symbols, the columns of every array of fractions.
        levels: Property to its fidelities, the lowest first.
    """

    elements: tuple[str, ...]
    levels: Mapping[str, tuple[_Level, ...]]

    @classmethod
    def fit(
        cls,
        elements: Sequence[str],
        fractions: Array,
        values: Mapping[str, Array],
        *,
        fidelity: Sequence[str] | None = None,
        prior_means: Mapping[str, Callable[[Any], Any]] | None = None,
        noise: Mapping[str, Array | float] | None = None,
        groups: Sequence[str] | None = None,
        start: PropertySurrogate | None = None,
        seed: int = 0,
    ) -> PropertySurrogate:
        """Learn from rows; the same arguments and versions give the same models.

        Every process with at least 20 rows is calibrated: its standard deviations are scaled so that 95% of its
        rows lie within 1.96 of them when their group is left out.

        Args:
            elements: ``m`` symbols.
            fractions: ``n x m`` atomic fractions; a material may have several rows.
            values: Property to ``n`` values in its unit, NaN where unknown.
            fidelity: ``n`` names out of :data:`hea_loop.properties.FIDELITIES`; None for one fidelity.
            prior_means: Property to a differentiable prior mean; none for the mean of its rows.
            noise: Property to standard deviations, as in :meth:`CompositionGP.fit`.
            groups: ``n`` names of what is left out together in the calibration; None for each row alone.
            start: An earlier surrogate, whose parameters the fit starts from: a refit costs less.
            seed: Of the rows that parameters are fitted on, where there are many.

        Raises:
            InputError: Shapes that do not fit, an unknown fidelity, a property without any value.
        """
        x = np.asarray(fractions, dtype=float)
        names = np.asarray(fidelity if fidelity is not None else ["experiment"] * len(x))
        if names.shape != (len(x),) or not set(names.tolist()) <= set(FIDELITIES):
            raise InputError(
                "fidelity",
                sorted(set(names.tolist())),
                "does not fit the rows",
                f"use {', '.join(FIDELITIES)}",
            )
        left = np.asarray(groups if groups is not None else [str(i) for i in range(len(x))])
        out = {}
        for name, column in values.items():
            y = np.asarray(column, dtype=float)
            if y.shape != (len(x),):
                raise InputError(
                    name, y.shape, f"does not fit {len(x)} compositions", "give one value per row"
                )
            if not np.isfinite(y).any():
                raise InputError(name, y.shape, "has no known value", "leave the property out")
            given = np.broadcast_to(np.asarray((noise or {}).get(name, np.nan), dtype=float), y.shape)
            before = dict.fromkeys(FIDELITIES) | {
                level.fidelity: level.process for level in (start.levels.get(name, ()) if start else ())
            }
            levels: tuple[_Level, ...] = ()
            for rung in FIDELITIES:
                rows = (names == rung) & np.isfinite(y)
                if rows.any():
                    fit = _Fit(tuple(elements), x[rows], y[rows], given[rows], left[rows], before[rung], seed)
                    levels = (*levels, fit.level(rung, levels, (prior_means or {}).get(name)))
            out[name] = levels
        return cls(tuple(elements), MappingProxyType(out))

    def predict(self, fractions: Array, *, fidelity: str | None = None) -> dict[str, tuple[Array, Array]]:
        """Mean and standard deviation of every property.

        Args:
            fractions: ``n x m`` atomic fractions.
            fidelity: At which; None for the highest that a property has. A property that lacks it is given at
                its nearest one below, and left out where there is none.

        Returns:
            Property to ``n`` means and ``n`` standard deviations in its unit.
        """
        x = np.asarray(fractions, dtype=float)
        out = {}
        for name, levels in self.levels.items():
            chosen = levels if fidelity is None else _up_to(levels, fidelity)
            if chosen:
                out[name] = (chosen[-1].process.predict(x)[0], _sigma(chosen, x))
        return out

    def mean_tensor(self, x: Any) -> Any:
        """Means of ``n x m`` fractions at the highest fidelity: ``n x p``, differentiable, in units."""
        return torch.stack([levels[-1].process.mean(x) for levels in self.levels.values()], dim=-1)

    def rho(self, name: str) -> dict[str, float]:
        """Weight of the level below at each fidelity of a property; the lowest has none."""
        return {level.fidelity: level.rho for level in self.levels[name][1:]}

    def condition_on_pending(self, fractions: Array) -> PropertySurrogate:
        """Take in compositions whose values are still being found (the kriging believer), at every fidelity.

        Args:
            fractions: ``k x m`` atomic fractions; ``k`` may be zero.

        Returns:
            Another surrogate with the same means, surer nearby.
        """
        return replace(
            self,
            levels=MappingProxyType(
                {
                    name: tuple(
                        replace(level, process=level.process.condition_on_pending(fractions))
                        for level in levels
                    )
                    for name, levels in self.levels.items()
                }
            ),
        )


def fit_above(
    elements: Sequence[str],
    fractions: Array,
    values: Array,
    low: Callable[[Any], Any],
    *,
    prior_mean: Callable[[Any], Any] | None = None,
    noise: Array | None = None,
    spread: float | None = None,
    groups: Sequence[str] | None = None,
    fewest_to_link: int = _FEWEST_TO_LINK,
    seed: int = 0,
) -> tuple[float, CompositionGP]:
    """Learn one property at a fidelity above a model that is given as a function.

    Args:
        elements: ``m`` symbols.
        fractions: ``n x m`` atomic fractions.
        values: ``n`` values in the property's unit, every one known.
        low: The lower fidelity's mean: maps a float64 tensor ``n x m`` to ``n`` values.
        prior_mean: Likewise what both are measured from; None for zero.
        noise: ``n`` standard deviations, NaN where unknown.
        spread: Difference from the lower fidelity that is expected beforehand, as in :meth:`CompositionGP.fit`.
        groups: ``n`` names of what is left out together in the calibration; None for each row alone.
        fewest_to_link: With fewer rows the weight of the lower fidelity is one.
        seed: Of the rows that parameters are fitted on, where there are many.

    Returns:
        The weight of the lower fidelity, and the process, whose mean includes it; calibrated from 20 rows on.

    Raises:
        InputError: As :meth:`CompositionGP.fit`.
    """
    y = np.asarray(values, dtype=float)
    given = np.full(len(y), np.nan) if noise is None else np.asarray(noise, dtype=float)
    left = np.asarray([str(i) for i in range(len(y))] if groups is None else groups)
    x = np.asarray(fractions, dtype=float)
    rows = _Fit(tuple(elements), x, y, given, left, None, seed, fewest_to_link, spread)
    level = rows.level("", (_Level("", 0.0, _Given(low)),), prior_mean)
    return level.rho, level.process


@dataclass(frozen=True, slots=True)
class _Fit:
    """The rows of one property at one fidelity, and how they are learned from."""

    elements: tuple[str, ...]
    x: Array
    y: Array
    noise: Array
    groups: NDArray[np.str_]
    start: CompositionGP | None
    seed: int
    fewest_to_link: int = _FEWEST_TO_LINK
    spread: float | None = None

    def process(self, prior_mean: Callable[[Any], Any] | None) -> CompositionGP:
        return CompositionGP.fit(
            self.elements,
            self.x,
            self.y,
            prior_mean=prior_mean,
            noise=self.noise,
            seed=self.seed,
            start=self.start,
            spread=self.spread,
        )

    def level(self, fidelity: str, below: tuple[_Level, ...], prior: Callable[[Any], Any] | None) -> _Level:
        if not below:
            rho, process = 0.0, self.process(prior)
        elif len(self.y) < self.fewest_to_link:
            rho, process = 1.0, self.process(_Below(below, prior, 1.0))
        else:
            rho, process = self.linked(below, prior)
        if len(self.y) >= _FEWEST_TO_CALIBRATE:
            process = process.calibrated(self.groups.tolist())
        return _Level(fidelity, rho, process)

    def linked(
        self, below: tuple[_Level, ...], prior: Callable[[Any], Any] | None
    ) -> tuple[float, CompositionGP]:
        """Process on the level below, or alone where that foretells the left-out rows at least as well."""
        x = torch.as_tensor(self.x)
        with torch.no_grad():
            base = _zero(x) if prior is None else prior(x)
            excess = (below[-1].process.mean(x) - base).numpy()
        alone = self.process(prior)
        linked = self.process(_Below(below, prior, 1.0))
        rho = _generalised_slope(linked, excess, self.y - base.numpy())
        linked = self.process(_Below(below, prior, rho))
        groups = self.groups.tolist()
        if _log_score(linked, groups, self.y) > _log_score(alone, groups, self.y):
            return rho, linked
        return 0.0, alone


def _generalised_slope(process: CompositionGP, excess: Array, values: Array) -> float:
    """Slope of ``values`` on ``excess`` beside a constant, with the errors correlated as the process has it."""
    design = torch.as_tensor(np.column_stack([excess, np.ones(len(excess))]))
    solved = process.solve(design)
    moments = design.T @ solved + 1e-9 * torch.eye(2, dtype=torch.float64)
    return float(torch.linalg.solve(moments, solved.T @ torch.as_tensor(values))[0])


def _log_score(process: CompositionGP, groups: Sequence[str], values: Array) -> float:
    """Mean logarithm of the density that left-out rows are given."""
    mean, sigma = process.left_out(groups)
    return float(np.mean(-np.log(sigma) - 0.5 * ((values - mean) / sigma) ** 2))


def _sigma(levels: tuple[_Level, ...], x: Array) -> Array:
    variance = np.zeros(len(x))
    for level in levels:
        variance = level.rho**2 * variance + level.process.predict(x)[1] ** 2
    return np.asarray(np.sqrt(variance))


def _up_to(levels: tuple[_Level, ...], fidelity: str) -> tuple[_Level, ...]:
    if fidelity not in FIDELITIES:
        raise InputError("fidelity", fidelity, "is not known", f"use {', '.join(FIDELITIES)}")
    rank = FIDELITIES.index(fidelity)
    return tuple(level for level in levels if FIDELITIES.index(level.fidelity) <= rank)


def _zero(x: Any) -> Any:
    return torch.zeros(x.shape[:-1], dtype=torch.float64)

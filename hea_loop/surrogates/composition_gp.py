"""A Gaussian process of one property on composition.

The value is a prior mean (for example the linear combination) plus an offset plus a Gaussian process with the
covariance of :mod:`hea_loop.surrogates.kernels`; see ``docs/surrogates.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hea_loop.errors import InputError
from hea_loop.surrogates.exact_inference import (
    covariance_factor,
    extended_factor,
    fit_parameters,
)
from hea_loop.surrogates.kernels import CompositionKernel
from hea_loop.torch_threads import one_thread

__all__ = ["CompositionGP", "LinearCombination"]

Array = NDArray[np.float64]

_FEWEST_TO_TUNE: Final = 15
"""With fewer rows the kernel keeps its starting values: the likelihood of so few prefers extremes."""

_MOST_TO_TUNE: Final = 500
"""Rows that the parameters are fitted on, drawn at random from more: the cost of a step grows with the cube."""

_ITERATIONS: Final = 40
_PRIOR_ROWS: Final = 4.0  # weight, in rows, of a spread that is expected beforehand
_NORMAL_95: Final = 1.959963984540054
_WIDENING: Final = (0.5, 5.0)  # beyond these the model, not its scale, is wrong
_ROWS_AT_ONCE: Final = 4096  # bounds the table of covariances


@dataclass(frozen=True, slots=True)
class LinearCombination:
    """Average of element values over the atoms, as a prior mean that a state can hold.

    Attributes:
        values: One number per element, in the order of the columns, in the property's unit.
        offset: Added to the average, in the same unit.
    """

    values: tuple[float, ...]
    offset: float = 0.0

    def __call__(self, x: Any) -> Any:
        """Mean of ``... x m`` fractions: ``...`` numbers."""
        return x @ torch.tensor(self.values, dtype=torch.float64) + self.offset


@dataclass(frozen=True, slots=True)
class CompositionGP:
    """What is learned of one property; build it with :meth:`fit`.

    Attributes:
        elements: ``m`` symbols, the columns of every array of fractions.
        prior_mean: What the process is a correction of; None for the mean of the rows.
        offset: Mean difference of the rows from the prior mean, in the property's unit.
        spread: Standard deviation of that difference, likewise; the process is in units of it.
        widening: By what the standard deviations are multiplied (see :meth:`calibrated`).
        fractions: ``n x m`` float64 tensor of the rows learned from.
        differences: ``n`` differences from the prior mean and offset, in units of the spread.
        noise: ``n`` noise variances, in units of the spread squared.
        new_noise: Noise variance of a further observation, in the same units.
    """

    elements: tuple[str, ...]
    prior_mean: Callable[[Any], Any] | None
    offset: float
    spread: float
    widening: float
    fractions: Any
    differences: Any
    noise: Any
    new_noise: float
    _kernel: Any
    _factor: Any
    _weights: Any

    @classmethod
    def fit(
        cls,
        elements: Sequence[str],
        fractions: Array,
        values: Array,
        *,
        prior_mean: Callable[[Any], Any] | None = None,
        noise: Array | float | None = None,
        seed: int = 0,
        spread: float | None = None,
        scales: tuple[float, float] | None = None,
        starting_noise: float = 0.1,
        start: CompositionGP | None = None,
        strengthening: bool = False,
    ) -> CompositionGP:
        """Learn from rows; the same arguments and versions give the same model, bit by bit.

        With more than 500 rows the kernel's parameters are fitted on 500 of them, drawn with ``seed``; the
        predictions rest on all.

        Args:
            elements: ``m`` symbols, the columns of ``fractions``.
            fractions: ``n x m`` atomic fractions, rows summing to one.
            values: ``n`` values in the property's unit; rows of NaN are left out.
            prior_mean: Maps a float64 tensor ``n x m`` to ``n`` values, differentiably.
            noise: Standard deviations of the values in their unit: one for all, or ``n`` with NaN where
                unknown; the unknown ones are learned, as one number.
            seed: Of the draw of rows.
            spread: Standard deviation of the difference from the prior mean that is expected beforehand; it
                counts as much as four rows. None: the rows' own.
            scales: Offset from the prior mean and spread, given instead of taken from the rows.
            starting_noise: Standard deviation of the learned noise to start from (with fewer than 15 rows: to
                stay at), in units of the spread, from 0.001 to 1.
            start: An earlier model of the same elements and descriptors whose parameters the fit starts from.
            strengthening: Whether the kernel sees the descriptors of solution strengthening too.

        Raises:
            InputError: Shapes that do not fit, rows that are no compositions, no row with a value, a noise
                that is not positive.
        """
        symbols = tuple(elements)
        x, y, given = _checked_rows(symbols, fractions, values, noise)
        with one_thread():
            inputs = torch.as_tensor(x)
            with torch.no_grad():
                difference = y - (prior_mean(inputs).numpy() if prior_mean is not None else 0.0)
            offset, scale = scales or (float(difference.mean()), _scale(difference, spread))
            targets = torch.as_tensor((difference - offset) / scale)
            learned = torch.as_tensor(np.isnan(given).astype(float))
            known = torch.as_tensor(np.nan_to_num(given / scale) ** 2)
            kernel = CompositionKernel(symbols, strengthening=strengthening)
            log_noise = float(np.log(starting_noise))
            if start is not None:
                _same_inputs(kernel, start._kernel)  # noqa: SLF001 - the same class
                kernel.load_state_dict(start._kernel.state_dict())  # noqa: SLF001 - the same class
            if len(y) >= _FEWEST_TO_TUNE and np.ptp(difference) > 0:
                tuned = np.arange(len(y))
                if len(y) > _MOST_TO_TUNE:
                    tuned = np.sort(np.random.default_rng(seed).permutation(len(y))[:_MOST_TO_TUNE])
                log_noise = fit_parameters(
                    kernel,
                    inputs[tuned],
                    targets[tuned],
                    known_noise=known[tuned],
                    learned=learned[tuned],
                    log_noise=log_noise,
                    iterations=_ITERATIONS,
                )
            fresh = float(np.exp(2 * log_noise)) if learned.any() else float(known.mean())
            return _assembled(
                symbols,
                prior_mean,
                (offset, scale, 1.0),
                (inputs, targets, known + learned * fresh, fresh),
                kernel,
            )

    def predict(self, fractions: Array, *, noise: bool = False) -> tuple[Array, Array]:
        """Mean and standard deviation of the property itself, or of an observation of it.

        Args:
            fractions: ``n x m`` atomic fractions.
            noise: Whether the noise of an observation is added.

        Returns:
            ``n`` means and ``n`` standard deviations, in the property's unit.

        Raises:
            InputError: The shape does not fit.
        """
        x = torch.as_tensor(_checked_shape(self.elements, fractions))
        means, variances = [], []
        with one_thread(), torch.no_grad():
            for part in torch.split(x, _ROWS_AT_ONCE):
                cross = self._kernel.forward(self.fractions, part)
                means.append(self._in_units(part, cross.T @ self._weights))
                explained = torch.linalg.solve_triangular(self._factor, cross, upper=False).square().sum(0)
                variances.append((self._kernel.forward(part, part, diag=True) - explained).clamp_min(1e-12))
            variance = torch.cat(variances).numpy() + (self.new_noise if noise else 0.0)
            return torch.cat(means).numpy(), self.widening * self.spread * np.sqrt(variance)

    def means(self, fractions: Array) -> Array:
        """The means of :meth:`predict` alone, ``n`` numbers: without the standard deviations it costs little."""
        x = torch.as_tensor(_checked_shape(self.elements, fractions))
        with one_thread(), torch.no_grad():
            parts = [self.mean(part) for part in torch.split(x, _ROWS_AT_ONCE)]
        return np.asarray(torch.cat(parts).numpy())

    def mean(self, x: Any) -> Any:
        """Mean of a float64 tensor ``... x m``: ``...`` numbers in the property's unit, differentiable."""
        return self._in_units(x, self._kernel.weighted_sum(x, self.fractions, self._weights))

    def mean_and_deviation(self, x: Any) -> tuple[Any, Any]:
        """Mean and standard deviation of a float64 tensor ``n x m``: ``n`` numbers each, in the property's unit.

        Those of :meth:`predict`, differentiable; the deviation costs much more than :meth:`mean` does.
        """
        process, explained = self._kernel.foretold(x, self.fractions, self._weights, self._factor)
        variance = (self._kernel.forward(x, x, diag=True) - explained).clamp_min(1e-12)
        return self._in_units(x, process), self.widening * self.spread * variance.sqrt()

    def condition_on(self, fractions: Array, values: Array, *, noise: float | None = None) -> CompositionGP:
        """Take in further rows without fitting the parameters again.

        Args:
            fractions: ``k x m`` atomic fractions.
            values: ``k`` values in the property's unit.
            noise: Their standard deviation; None for the learned (or mean) one.

        Raises:
            InputError: Shapes that do not fit, or rows that are no compositions.
        """
        if len(np.asarray(fractions)) == 0:
            return self
        x, y, _ = _checked_rows(self.elements, fractions, values, None)
        with one_thread(), torch.no_grad():
            new = torch.as_tensor(x)
            prior = self._in_units(new, torch.zeros(len(new), dtype=torch.float64))
            differences = torch.cat([self.differences, (torch.as_tensor(y) - prior) / self.spread])
            variance = self.new_noise if noise is None else (noise / self.spread) ** 2
            added = torch.full((len(new),), variance, dtype=torch.float64)
            factor = extended_factor(self._kernel, self._factor, self.fractions, new, added)
            return replace(
                self,
                fractions=torch.cat([self.fractions, new]),
                differences=differences,
                noise=torch.cat([self.noise, added]),
                _factor=factor,
                _weights=torch.cholesky_solve(differences[:, None], factor)[:, 0],
            )

    def condition_on_pending(self, fractions: Array) -> CompositionGP:
        """Take in compositions whose values are still being found: the kriging believer.

        Each counts as if its mean had been observed (Ginsbourger, Le Riche and Carraro 2010,
        doi 10.1007/978-3-642-10701-6_6): means stay, standard deviations shrink nearby.

        Args:
            fractions: ``k x m`` atomic fractions; ``k`` may be zero.
        """
        x = _checked_shape(self.elements, fractions)
        return self.condition_on(x, self.predict(x)[0]) if len(x) else self

    def solve(self, columns: Any) -> Any:
        """Inverse covariance of the noisy rows, in units of the spread, times ``n x c`` columns."""
        with one_thread(), torch.no_grad():
            return torch.cholesky_solve(columns, self._factor)

    def left_out(self, groups: Sequence[str]) -> tuple[Array, Array]:
        """Predict every row from the rows of the other groups, at the parameters of the fit.

        With P the inverse covariance of the noisy rows, the rows b of a group miss their prediction by
        ``inv(P_bb) (P y)_b`` with the covariance ``inv(P_bb)`` (Rasmussen and Williams 2006, eqs. 5.10 to 5.12,
        for blocks): no refit.

        Args:
            groups: ``n`` names, one per row.

        Returns:
            ``n`` predictions and ``n`` standard deviations of an observation, in the property's unit; the
            widening is not in them.

        Raises:
            InputError: The number of names does not fit.
        """
        names = np.asarray(groups)
        if names.shape != (len(self.fractions),):
            raise InputError(
                "groups", names.shape, f"do not fit {len(self.fractions)} rows", "give one per row"
            )
        with one_thread(), torch.no_grad():
            inverse = torch.cholesky_inverse(self._factor)
            missed, sigma = np.empty(len(names)), np.empty(len(names))
            for name in np.unique(names):
                held = np.flatnonzero(names == name)
                rows = torch.as_tensor(held)
                covariance = torch.linalg.inv(inverse[rows][:, rows])
                missed[held] = (covariance @ self._weights[rows]).numpy()
                sigma[held] = covariance.diagonal().clamp_min(1e-12).sqrt().numpy()
            observed = self._in_units(self.fractions, self.differences).numpy()
        return observed - self.spread * missed, self.spread * sigma

    def left_out_density(self) -> float:
        """Mean log density of every row's value, predicted from all other rows at the parameters of the fit.

        Rasmussen and Williams 2006, eqs. 5.10 to 5.12, divided by the number of rows, of values in the property's unit:
        by it one chooses between kernels; the widening is not in it.
        """
        with one_thread(), torch.no_grad():
            precision = torch.cholesky_inverse(self._factor).diagonal()
            deviation = self.spread / precision.sqrt()
            missed = self.spread * self._weights / precision
            return float(torch.distributions.Normal(0.0, deviation).log_prob(missed).mean())

    def calibrated(self, groups: Sequence[str]) -> CompositionGP:
        """Widen (or narrow) the standard deviations so that 95% of the left-out rows lie within 1.96 of them.

        Args:
            groups: ``n`` names, one per row: what is left out together, for example the system of elements.
        """
        predicted, sigma = self.left_out(groups)
        observed = self._in_units(self.fractions, self.differences).numpy()
        ratio = float(np.quantile(np.abs(observed - predicted) / sigma, 0.95)) / _NORMAL_95
        return replace(self, widening=float(np.clip(ratio, *_WIDENING)))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which :meth:`from_state` makes the same model."""
        linear = self.prior_mean if isinstance(self.prior_mean, LinearCombination) else None
        return {
            "elements": list(self.elements),
            "prior_mean": (
                {"values": [float(v) for v in linear.values], "offset": float(linear.offset)}
                if linear
                else ("none" if self.prior_mean is None else "given")
            ),
            "scales": [self.offset, self.spread, self.widening],
            "fractions": self.fractions,
            "differences": self.differences,
            "noise": self.noise,
            "new_noise": self.new_noise,
            "theta": self._kernel.theta.detach().clone(),
            "strengthening": self._kernel.strengthening,
        }

    @classmethod
    def from_state(
        cls, state: dict[str, Any], *, prior_mean: Callable[[Any], Any] | None = None
    ) -> CompositionGP:
        """Restore what :meth:`state` gave.

        Args:
            state: The dictionary.
            prior_mean: The prior mean of the fit, where it was neither None nor a
                :class:`LinearCombination`: a function cannot be stored.

        Raises:
            InputError: The prior mean is lacking.
        """
        kept = state["prior_mean"]
        if isinstance(kept, dict):
            prior_mean = LinearCombination(tuple(kept["values"]), kept["offset"])
        elif kept == "given" and prior_mean is None:
            raise InputError("prior_mean", None, "was a function in the fit", "give the same function")
        # a state of before there was a choice has no word on it
        kernel = CompositionKernel(state["elements"], strengthening=state.get("strengthening", False))
        with one_thread(), torch.no_grad():
            kernel.theta.copy_(state["theta"])
            rows = (state["fractions"], state["differences"], state["noise"], state["new_noise"])
            offset, spread, widening = state["scales"]
            return _assembled(tuple(state["elements"]), prior_mean, (offset, spread, widening), rows, kernel)

    def _in_units(self, x: Any, process: Any) -> Any:
        base = self.offset + self.spread * process
        return base if self.prior_mean is None else base + self.prior_mean(x)


def _assembled(
    elements: tuple[str, ...],
    prior_mean: Callable[[Any], Any] | None,
    scales: tuple[float, float, float],
    rows: tuple[Any, Any, Any, float],
    kernel: Any,
) -> CompositionGP:
    x, differences, noise, new_noise = rows
    kernel.requires_grad_(False)
    with torch.no_grad():
        factor = covariance_factor(kernel, x, noise)
        weights = torch.cholesky_solve(differences[:, None], factor)[:, 0]
    offset, spread, widening = scales
    return CompositionGP(
        elements,
        prior_mean,
        offset,
        spread,
        widening,
        x,
        differences,
        noise,
        new_noise,
        kernel,
        factor,
        weights,
    )


def _scale(difference: Array, expected: float | None) -> float:
    if expected is not None:
        rows = len(difference)
        return float(np.sqrt((rows * difference.var() + _PRIOR_ROWS * expected**2) / (rows + _PRIOR_ROWS)))
    spread = float(difference.std())
    # constant rows say nothing about the spread: a hundredth of their size keeps the process defined
    return spread if spread > 0 else 0.01 * float(np.abs(difference).max()) or 1.0


def _checked_shape(elements: tuple[str, ...], fractions: Array) -> Array:
    x = np.asarray(fractions, dtype=float)
    if x.ndim != 2 or x.shape[1] != len(elements):
        raise InputError("fractions", x.shape, f"is not n x {len(elements)}", "one column per element")
    return x


def _checked_rows(
    elements: tuple[str, ...], fractions: Array, values: Array, noise: Array | float | None
) -> tuple[Array, Array, Array]:
    """Rows with a value: ``n x m`` fractions, ``n`` values, ``n`` standard deviations with NaN for unknown."""
    x, y = _checked_shape(elements, fractions), np.asarray(values, dtype=float)
    if y.shape != (len(x),):
        raise InputError("values", y.shape, f"do not fit {len(x)} compositions", "give one per row")
    if not np.isfinite(x).all() or (x < 0).any() or (np.abs(x.sum(axis=1) - 1) > 1e-6).any():
        raise InputError("fractions", x.shape, "has a row that is no composition", "rows must sum to one")
    given = np.broadcast_to(np.asarray(np.nan if noise is None else noise, dtype=float), y.shape)
    if (given <= 0).any() or np.isinf(given).any():
        raise InputError("noise", noise, "is not a standard deviation", "give numbers above zero, or NaN")
    kept = np.isfinite(y)
    if not kept.any():
        raise InputError("values", y.shape, "has no known value", "give at least one row with a number")
    return x[kept], y[kept], given[kept]


def _same_inputs(mine: CompositionKernel, other: CompositionKernel) -> None:
    if mine.elements != other.elements:
        raise InputError(
            "start", other.elements, f"is a model of other elements than {mine.elements}", "start from none"
        )
    if mine.strengthening != other.strengthening:
        raise InputError(
            "start",
            other.embedding.names,
            "is a model of other descriptors",
            "start from none, or use the same",
        )

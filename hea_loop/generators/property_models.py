"""Properties of a composition as differentiable functions: what a generator steers its answers by.

A property that follows from the composition by a formula of :mod:`hea_loop.prediction` is that formula, written in
torch so that its gradient with respect to the fractions is exact; a test holds both to the same numbers. Any
other property is a Gaussian process learned from the rows that have a value of it
(:class:`hea_loop.surrogates.composition_gp.CompositionGP`), and from nothing else; the descriptors its kernel sees
are chosen by leaving rows out. Everything is float64 on the CPU.

Properties that spread over orders of magnitude, as a strength at high temperature does, are learned, compared and
steered in their logarithm (:func:`hea_loop.generators.conditioning.prefers_logarithm`).

The formulas and their sources stand in :mod:`hea_loop.prediction`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import constants

from hea_loop.composition import atomic_masses
from hea_loop.elements import element_vector, mixing_enthalpy_matrix
from hea_loop.errors import InputError
from hea_loop.generators.conditioning import prefers_logarithm
from hea_loop.prediction import PREDICTED_PROPERTIES

if TYPE_CHECKING:
    from hea_loop.generators.protocol import TrainingData
    from hea_loop.surrogates.composition_gp import CompositionGP

__all__ = ["PropertyModel", "closed_form_value", "property_model"]

Array = NDArray[np.float64]

_MOST_ROWS: Final = 1500
"""Rows a Gaussian process learns from at most (drawn at random): its time grows with their cube."""

_LEAST_VALUE: Final = 1e-3
"""Of the smallest value in the data: what a property learned in its logarithm is at least taken as."""

_AVERAGES: Final[Mapping[str, str]] = {
    "shear_modulus": "shear_modulus",
    "poisson_ratio": "poisson_ratio",
    "unstable_stacking_fault_energy": "unstable_stacking_fault_energy",
    "valence_electron_concentration": "valence_electrons",
    "melting_temperature_rom": "melting_temperature",
}
"""Properties that are averages over the atoms, and the element value that is averaged."""


# -- closed formulas -------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _per_element(elements: tuple[str, ...], quantity: str) -> torch.Tensor:
    """Element values, shape ``m``, NaN where the table has none."""
    return torch.as_tensor(element_vector(elements, quantity), dtype=torch.float64)


@lru_cache(maxsize=64)
def _pairs(elements: tuple[str, ...]) -> torch.Tensor:
    return torch.as_tensor(mixing_enthalpy_matrix(elements), dtype=torch.float64)


@lru_cache(maxsize=64)
def _masses(elements: tuple[str, ...]) -> torch.Tensor:
    return torch.tensor([atomic_masses()[e] for e in elements], dtype=torch.float64)


def _average(x: torch.Tensor, elements: tuple[str, ...], quantity: str) -> torch.Tensor:
    """Average over the atoms; NaN for a row that holds an element without a value."""
    values = _per_element(elements, quantity)
    mean = x @ values.nan_to_num()
    lacking = ((x > 0) & values.isnan()).any(dim=1)
    return mean.masked_fill(lacking, math.nan)


def _safe_root(square: torch.Tensor) -> torch.Tensor:
    """Square root whose gradient is zero, not infinite, where the argument is zero; NaN where it is negative."""
    positive = square > 0
    root = torch.sqrt(torch.where(positive, square, torch.ones_like(square)))
    return torch.where(positive, root, square * 0).masked_fill(square < 0, math.nan)


def _entropy(x: torch.Tensor) -> torch.Tensor:
    present = x > 0
    safe = torch.where(present, x, torch.ones_like(x))
    return -constants.R * (safe * safe.log()).sum(dim=1)


def _enthalpy(x: torch.Tensor, elements: tuple[str, ...]) -> torch.Tensor:
    pairs = _pairs(elements)
    present = (x > 0).double()
    lacking = ((present @ pairs.isnan().double()) * present).sum(dim=1) > 0
    value = 2 * constants.kilo * ((x @ pairs.nan_to_num()) * x).sum(dim=1)
    return value.masked_fill(lacking, math.nan)


def _density(x: torch.Tensor, elements: tuple[str, ...]) -> torch.Tensor:
    masses, densities = _masses(elements), _per_element(elements, "density")
    volumes = torch.where(densities > 0, masses / densities, torch.zeros_like(masses))
    lacking = ((x > 0) & densities.isnan()).any(dim=1)
    return ((x @ masses) / (x @ volumes)).masked_fill(lacking, math.nan)


def _size_mismatch(x: torch.Tensor, elements: tuple[str, ...]) -> torch.Tensor:
    mean = _average(x, elements, "metallic_radius")
    ratio = _per_element(elements, "metallic_radius").nan_to_num() / mean[:, None]
    return 100 * _safe_root((x * (1 - ratio) ** 2).sum(dim=1))


def _rice(x: torch.Tensor, elements: tuple[str, ...]) -> torch.Tensor:
    shear = _average(x, elements, "shear_modulus")
    energy = _average(x, elements, "unstable_stacking_fault_energy")
    poisson = _average(x, elements, "poisson_ratio")
    factor = math.sqrt(constants.giga) / constants.mega  # sqrt(GPa J/m2) in MPa m^0.5
    return factor * _safe_root(2 * shear * energy / (1 - poisson))


def closed_form_value(  # noqa: PLR0911
    x: torch.Tensor, elements: tuple[str, ...], name: str
) -> torch.Tensor:
    """One property of :data:`hea_loop.prediction.PREDICTED_PROPERTIES`, differentiable.

    Args:
        x: Atomic fractions, float64, ``n x m``; rows sum to one.
        elements: Symbols of the columns.
        name: Which property.

    Returns:
        Shape ``n``, in the property's canonical unit; NaN for a row that holds an element of which the formula
        lacks a number. The gradient with respect to the fraction of an absent element is finite.

    Raises:
        InputError: No formula of that name.
    """
    if name in _AVERAGES:
        return _average(x, elements, _AVERAGES[name])
    match name:
        case "fracture_toughness_rice":
            return _rice(x, elements)
        case "density":
            return _density(x, elements)
        case "mixing_entropy":
            return _entropy(x)
        case "mixing_enthalpy":
            return _enthalpy(x, elements)
        case "size_mismatch":
            return _size_mismatch(x, elements)
        case "omega":
            melting = _average(x, elements, "melting_temperature")
            return melting * _entropy(x) / _enthalpy(x, elements).abs()
        case _:
            raise InputError(
                "property", name, "has no formula", f"use {', '.join(PREDICTED_PROPERTIES)}, or learn it"
            )


# -- the model -------------------------------------------------------------------------------------------------


class PropertyModel:
    """The conditioning properties as one differentiable function of the composition.

    Call it with ``n x m`` fractions (float64 tensor, rows summing to one) for ``n x p`` values in the properties'
    units, in the order of ``names``.

    Attributes:
        elements: Symbols of the columns, ``m`` of them.
        names: The properties, ``p`` of them.
        closed_form: Those of them that are formulas.
        logarithmic: Those of them whose coordinate is the natural logarithm, with the least value that has one.
    """

    def __init__(
        self,
        elements: tuple[str, ...],
        names: tuple[str, ...],
        closed_form: tuple[str, ...],
        learned: Mapping[str, CompositionGP],
        logarithmic: Mapping[str, float] | None = None,
    ) -> None:
        self.elements = elements
        self.names = names
        self.closed_form = closed_form
        self.logarithmic = dict(logarithmic or {})
        self._learned = dict(learned)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Values, ``n x p``."""
        columns = []
        for name in self.names:
            value = self._one(x, name)
            columns.append(value.exp() if self._is_logarithm(name) else value)
        return torch.stack(columns, dim=1)

    def coordinates(self, x: torch.Tensor) -> torch.Tensor:
        """Values as :meth:`to_coordinates` has them, ``n x p``, differentiable."""
        columns = []
        for name in self.names:
            value = self._one(x, name)
            if name in self.logarithmic and not self._is_logarithm(name):
                value = value.clamp_min(self.logarithmic[name]).log()
            columns.append(value)
        return torch.stack(columns, dim=1)

    def to_coordinates(self, values: Array) -> Array:
        """Values in units, ``n x p``, as what they are compared in: some in their logarithm. NaN stays NaN."""
        out = np.array(values, dtype=np.float64)
        for j, name in enumerate(self.names):
            if name in self.logarithmic:
                out[:, j] = np.log(np.maximum(out[:, j], self.logarithmic[name]))
        return out

    def _is_logarithm(self, name: str) -> bool:
        """Whether :meth:`_one` gives the logarithm: what is learned is learned in its coordinate."""
        return name in self._learned and name in self.logarithmic

    def _one(self, x: torch.Tensor, name: str) -> torch.Tensor:
        if name in self.closed_form:
            return closed_form_value(x, self.elements, name)
        mean: torch.Tensor = self._learned[name].mean(x)
        return mean

    def values(self, fractions: Array) -> Array:
        """The same without gradients and in numpy: ``n x m`` to ``n x p``."""
        with torch.no_grad():
            out: Array = self(torch.as_tensor(np.asarray(fractions, dtype=np.float64))).numpy()
        return out

    def deviations(self, fractions: Array) -> Array:
        """Standard deviation of each learned property's coordinate, ``n x p``; zero of a formula."""
        x = np.asarray(fractions, dtype=np.float64)
        out = np.zeros((len(x), len(self.names)))
        for j, name in enumerate(self.names):
            if name in self._learned:
                out[:, j] = self._learned[name].predict(x)[1]
        return out

    def spread(self, x: torch.Tensor, known: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and standard deviations of the coordinates, each ``n x p``, differentiable.

        Args:
            x: Fractions, float64, ``n x m``.
            known: Standard deviations taken as given, by property: those of formulas have to be among them, and
                those of properties learned so well that working them out would change nothing.
        """
        means, deviations = [], []
        for name in self.names:
            if name in known:
                mean = self._one(x, name)
                deviation = torch.full_like(mean, known[name])
            else:
                mean, deviation = self._learned[name].mean_and_deviation(x)
            if name in self.logarithmic and not self._is_logarithm(name):
                mean = mean.clamp_min(self.logarithmic[name]).log()
            means.append(mean)
            deviations.append(deviation)
        return torch.stack(means, dim=1), torch.stack(deviations, dim=1)

    def sigma(self, fractions: Array) -> Array:
        """The same in the properties' units; of a logarithm to first order, value times its deviation."""
        out = self.deviations(fractions)
        values = self.values(fractions)
        for j, name in enumerate(self.names):
            if self._is_logarithm(name):
                out[:, j] *= values[:, j]
        return out

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint."""
        return {
            "elements": list(self.elements),
            "names": list(self.names),
            "closed_form": list(self.closed_form),
            "logarithmic": dict(self.logarithmic),
            "learned": {name: process.state() for name, process in self._learned.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The model of :meth:`state`."""
        learned: dict[str, CompositionGP] = {}
        if state["learned"]:
            # gpytorch takes seconds to import, and formulas do not need it
            from hea_loop.surrogates.composition_gp import CompositionGP

            learned = {name: CompositionGP.from_state(part) for name, part in state["learned"].items()}
        return cls(
            tuple(state["elements"]),
            tuple(state["names"]),
            tuple(state["closed_form"]),
            learned,
            state["logarithmic"],
        )


def property_model(data: TrainingData, *, seed: int) -> PropertyModel:
    """The model of the conditions of training data: formulas where they hold, else learned from the rows.

    Args:
        data: Alloys; a property is learned from those rows that have a value of it.
        seed: Same seed, data and versions: the same model.

    Raises:
        InputError: A name in ``data.closed_form`` that has no formula.
    """
    if unknown := [name for name in data.closed_form if name not in PREDICTED_PROPERTIES]:
        raise InputError(
            "closed_form", unknown, "has no formula", f"name some of {', '.join(PREDICTED_PROPERTIES)}"
        )
    logarithmic = {
        name: _LEAST_VALUE * float(np.nanmin(column))
        for name, column in zip(data.condition_names, data.conditions.T, strict=True)
        if prefers_logarithm(column[np.isfinite(column)])
    }
    empty = PropertyModel(data.elements, data.condition_names, data.closed_form, {}, logarithmic)
    values = empty.to_coordinates(data.conditions)
    rng = np.random.default_rng(seed)
    learned = {
        name: _learned(data, column, rng, seed)
        for name, column in zip(data.condition_names, values.T, strict=True)
        if name not in data.closed_form
    }
    return PropertyModel(data.elements, data.condition_names, data.closed_form, learned, logarithmic)


def _learned(data: TrainingData, column: Array, rng: np.random.Generator, seed: int) -> CompositionGP:
    """The process of one property, from the rows that have a value of it.

    Of the kernel with and without the descriptors of solution strengthening, the one that foretells the rows
    better, each left out in turn.
    """
    from hea_loop.surrogates.composition_gp import CompositionGP

    rows = np.flatnonzero(np.isfinite(column))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(rng.choice(rows, _MOST_ROWS, replace=False))
    plain, strengthening = (
        CompositionGP.fit(data.elements, data.fractions[rows], column[rows], seed=seed, strengthening=more)
        for more in (False, True)
    )
    return strengthening if strengthening.left_out_density() > plain.left_out_density() else plain

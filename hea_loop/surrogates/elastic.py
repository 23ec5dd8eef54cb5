"""G, B and Poisson's ratio of bcc alloys as first-principles data correct the linear combination.

Each is a Gaussian process about the linear combination of the elements' values (for B that of the elements'
bulk moduli, chosen as :func:`hea_loop.elements.element_value` does), fitted by
:func:`hea_loop.surrogates.doubtful_rows.fit_doubting` and widened so that 95% of the alloys of systems left
out whole lie within its intervals. Rice's toughness follows from G, nu and the linear combination of the
unstable stacking-fault energies, as in :mod:`hea_loop.prediction`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.elements import element_vector
from hea_loop.errors import InputError
from hea_loop.prediction import predict_array, rice_toughness, sigma_array
from hea_loop.surrogates.composition_gp import CompositionGP, LinearCombination
from hea_loop.surrogates.doubtful_rows import fit_doubting
from hea_loop.surrogates.group_validation import (
    folds_of_groups,
    left_out_by_refits,
    systems_of,
    widening_for,
)

__all__ = [
    "ELASTIC_PROPERTIES",
    "ElasticSurrogate",
    "element_values",
    "fit_elastic",
    "learned_part",
    "rice_of",
]

Array = NDArray[np.float64]

ELASTIC_PROPERTIES: Final = ("shear_modulus", "bulk_modulus", "poisson_ratio")
"""What is learned, in GPa, GPa and 1."""

_STACKING_FAULT: Final = "unstable_stacking_fault_energy"
_FOLDS: Final = 7


def fit_elastic(
    name: str, elements: Sequence[str], fractions: Array, values: Array, *, seed: int = 0
) -> tuple[CompositionGP, NDArray[np.bool_]]:
    """Fit one property about its linear combination.

    Args:
        name: One of :data:`ELASTIC_PROPERTIES`.
        elements: ``m`` symbols.
        fractions: ``n x m`` atomic fractions.
        values: ``n`` first-principles values.
        seed: Of the rows that parameters are fitted on.

    Returns:
        The model, not yet widened, and ``n`` times whether it doubts a row.

    Raises:
        InputError: Shapes that do not fit, or an element without a value in the table.
    """
    prior = LinearCombination(tuple(float(v) for v in element_values(name, elements)))
    return fit_doubting(elements, fractions, values, prior_mean=prior, seed=seed)


@dataclass(frozen=True, slots=True)
class ElasticSurrogate:
    """Learned G, B and nu; build it with :meth:`fit`.

    Attributes:
        elements: The ``m`` elements that were learned.
        models: Property to its process.
        prior_sigma: Property to the root mean square miss of the linear combination in the rows: what is known
            where an alloy has elements that were not learned.
        doubted: Property to the number of rows that the fit doubts.
    """

    elements: tuple[str, ...]
    models: Mapping[str, CompositionGP]
    prior_sigma: Mapping[str, float]
    doubted: Mapping[str, int]

    @classmethod
    def fit(
        cls,
        elements: Sequence[str],
        fractions: Array,
        G: Array,
        B: Array,
        nu: Array,
        *,
        widening: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> ElasticSurrogate:
        """Learn from first-principles alloys; the same arguments and versions give the same models.

        Args:
            elements: ``m`` symbols; each has to be in some row.
            fractions: ``n x m`` atomic fractions.
            G: ``n`` shear moduli in GPa.
            B: ``n`` bulk moduli in GPa.
            nu: ``n`` Poisson's ratios.
            widening: Property to the factor on its standard deviations, where known from an earlier
                calibration (:meth:`widening`); None to find it by 7 refits per property, each without a
                seventh of the systems, which takes seven times the time of the fit.
            seed: Of the rows that parameters are fitted on, and of the dealing out of systems.

        Raises:
            InputError: Shapes that do not fit, values that are unknown, an element that is in no row or lacks
                a value in the table, fewer than two systems to calibrate on.
        """
        x, symbols = np.asarray(fractions, dtype=float), tuple(elements)
        absent = [e for e, amount in zip(symbols, x.sum(axis=0), strict=True) if not amount > 0]
        if absent:
            raise InputError("elements", absent, "are in no row", "leave them out")
        models, sigmas, doubts = {}, {}, {}
        for name, column in zip(ELASTIC_PROPERTIES, (G, B, nu), strict=True):
            y = np.asarray(column, dtype=float)
            if y.shape != (len(x),) or not np.isfinite(y).all():
                raise InputError(name, y.shape, "is not one known value per row", "leave out unknown rows")
            model, doubted = fit_elastic(name, symbols, x, y, seed=seed)
            factor = _widening(name, symbols, x, y, seed) if widening is None else widening[name]
            models[name] = replace(model, widening=factor)
            sigmas[name] = float(np.sqrt(np.mean((y - x @ element_values(name, symbols)) ** 2)))
            doubts[name] = int(doubted.sum())
        return cls(symbols, MappingProxyType(models), MappingProxyType(sigmas), MappingProxyType(doubts))

    @property
    def widening(self) -> dict[str, float]:
        """Property to the factor on its standard deviations; :meth:`fit` takes it back."""
        return {name: model.widening for name, model in self.models.items()}

    def means(self, name: str, fractions: Array, elements: Sequence[str]) -> Array:
        """Means of G, B or nu alone, as :meth:`predict` gives them and in a fraction of its time."""
        return self._predict_one(name, np.asarray(fractions, dtype=float), tuple(elements), sure=False)[0]

    def predict_one(self, name: str, fractions: Array, elements: Sequence[str]) -> tuple[Array, Array]:
        """Means and standard deviations of G, B or nu alone, as :meth:`predict` gives them."""
        return self._predict_one(name, np.asarray(fractions, dtype=float), tuple(elements))

    def predict(self, fractions: Array, elements: Sequence[str]) -> dict[str, tuple[Array, Array]]:
        """Mean and standard deviation of G, B, nu and Rice's toughness.

        With ``u`` the share of an alloy in elements that were not learned, the correction of the linear
        combination is that of the learned part times ``1 - u``, and the variance
        ``(1 - u)^2 s^2 + (1 - (1 - u)^2) s_0^2`` with ``s`` of the process and ``s_0`` of the linear
        combination: an assumption that ends at the linear combination with its own uncertainty. The relative
        errors of G, 1 - nu and E_USF are taken as independent.

        Args:
            fractions: ``n x k`` atomic fractions.
            elements: ``k`` symbols of the columns, not necessarily the learned ones.

        Returns:
            ``shear_modulus``, ``bulk_modulus``, ``poisson_ratio`` and ``fracture_toughness_rice``
            (MPa m^0.5), each with ``n`` means and ``n`` standard deviations. ``bulk_modulus`` or the toughness
            is left out where an element of the alloys lacks what it needs.

        Raises:
            InputError: The shape does not fit, or an element lacks a shear modulus or Poisson's ratio.
        """
        x, symbols = np.asarray(fractions, dtype=float), tuple(elements)
        if x.ndim != 2 or x.shape[1] != len(symbols):
            raise InputError("fractions", x.shape, f"is not n x {len(symbols)}", "one column per element")
        out: dict[str, tuple[Array, Array]] = {}
        if len(x) == 0:
            return {n: (np.empty(0), np.empty(0)) for n in (*ELASTIC_PROPERTIES, "fracture_toughness_rice")}
        present = x.sum(axis=0) > 0
        x, symbols = x[:, present], tuple(e for e, there in zip(symbols, present, strict=True) if there)
        for name in ELASTIC_PROPERTIES:
            if name == "bulk_modulus" and not np.isfinite(element_vector(symbols, name)).all():
                continue
            out[name] = self._predict_one(name, x, symbols)
        if np.isfinite(element_vector(symbols, _STACKING_FAULT)).all():
            out["fracture_toughness_rice"] = rice_of(x, symbols, out["shear_modulus"], out["poisson_ratio"])
        return out

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which :meth:`from_state` makes the same surrogate."""
        return {
            "elements": list(self.elements),
            "models": {name: model.state() for name, model in self.models.items()},
            "prior_sigma": dict(self.prior_sigma),
            "doubted": dict(self.doubted),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ElasticSurrogate:
        """Restore what :meth:`state` gave."""
        models = {name: CompositionGP.from_state(kept) for name, kept in state["models"].items()}
        return cls(
            tuple(state["elements"]),
            MappingProxyType(models),
            MappingProxyType(dict(state["prior_sigma"])),
            MappingProxyType(dict(state["doubted"])),
        )

    def _predict_one(
        self, name: str, x: Array, symbols: tuple[str, ...], *, sure: bool = True
    ) -> tuple[Array, Array]:
        """Means, and standard deviations if ``sure``, of rows whose columns may be any elements."""
        mean = x @ element_values(name, symbols, x)
        sigma = np.full(len(x), self.prior_sigma[name])
        part, weight = learned_part(x, symbols, self.elements)
        some = weight > 0
        if some.any():
            part, weight = part[some], weight[some]
            model = self.models[name]
            process, spread = model.predict(part) if sure else (model.means(part), sigma[some])
            mean[some] += weight * (process - part @ element_values(name, self.elements))
            sigma[some] = np.sqrt(weight**2 * spread**2 + (1 - weight**2) * sigma[some] ** 2)
        return mean, sigma


def learned_part(x: Array, symbols: Sequence[str], elements: Sequence[str]) -> tuple[Array, Array]:
    """What of each alloy consists of given elements.

    Args:
        x: ``n x k`` atomic fractions.
        symbols: ``k`` symbols of its columns.
        elements: ``m`` symbols.

    Returns:
        ``n x m`` fractions of that part, summing to one where there is one, and ``n`` shares of it in the alloy.
    """
    part = np.zeros((len(x), len(elements)))
    for column, symbol in enumerate(symbols):
        if symbol in elements:
            part[:, list(elements).index(symbol)] = x[:, column]
    share = part.sum(axis=1)
    some = share > 0
    part[some] /= share[some, None]
    return part, np.minimum(share, 1.0)


def rice_of(
    x: Array, symbols: tuple[str, ...], G: tuple[Array, Array], nu: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Rice's toughness and its standard deviation from G, nu and the linear combination of E_USF.

    Args:
        x: ``n x k`` atomic fractions.
        symbols: ``k`` symbols of its columns.
        G: ``n`` means and standard deviations in GPa.
        nu: Likewise, without unit. The relative errors of G, 1 - nu and E_USF are taken as independent.
    """
    energy = predict_array(x, symbols, (_STACKING_FAULT,))[_STACKING_FAULT]
    uncertainty = sigma_array(x, symbols, (_STACKING_FAULT,))[_STACKING_FAULT]
    relative = 0.0 if uncertainty is None else (uncertainty / energy) ** 2
    toughness = rice_toughness(G[0], energy, nu[0])
    variance = (G[1] / G[0]) ** 2 + (nu[1] / (1 - nu[0])) ** 2 + relative
    return toughness, np.asarray(0.5 * toughness * np.sqrt(variance))


def element_values(name: str, elements: Sequence[str], x: Array | None = None) -> Array:
    """Values of elements, ``m`` numbers.

    Args:
        name: One of :data:`ELASTIC_PROPERTIES`.
        elements: ``m`` symbols.
        x: ``n x m`` fractions; an element that none of the alloys has may then lack its value (zero stands in).

    Raises:
        InputError: An element lacks a value in the table.
    """
    values = element_vector(elements, name)
    needed = np.ones(len(values)) if x is None else x.max(axis=0, initial=0.0)
    lacking = [
        e for e, value, used in zip(elements, values, needed, strict=True) if used > 0 and np.isnan(value)
    ]
    if lacking:
        raise InputError(name, lacking, "have no value in the element table", "leave the elements out")
    return np.asarray(np.nan_to_num(values))


def _widening(name: str, elements: tuple[str, ...], x: Array, y: Array, seed: int) -> float:
    def fit(used: NDArray[np.bool_]) -> CompositionGP:
        return fit_elastic(name, elements, x[used], y[used], seed=seed)[0]

    folds = folds_of_groups(systems_of(elements, x), _FOLDS, seed)
    return widening_for(y, *left_out_by_refits(fit, x, folds))

"""Predictions from pure-element values: the cheapest rung of the ladder, and the seed's own descriptors.

Shear modulus G, Poisson's ratio nu and unstable stacking-fault energy E_USF are averaged over the atoms, each
element with its bcc value where one is known and else with that of its own structure (the rule and the
numbers, source ``PSU-ULTERA``, that reproduce the averages of the cGAN's authors, doi 10.20517/jmi.2021.05).
Rice's toughness follows from the averages, not the average from the toughnesses. These are priors, not
measurements: every value carries the method that made it and, where there is evidence for one, a standard
uncertainty (``data/prediction_uncertainty.csv``).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import constants
from scipy.special import xlogy

from hea_loop.composition import Composition, atomic_masses, require_element
from hea_loop.elements import element_vector, mixing_enthalpy_matrix
from hea_loop.errors import InputError
from hea_loop.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "METHODS",
    "PREDICTED_PROPERTIES",
    "PredictedValue",
    "missing_inputs",
    "predict",
    "predict_array",
    "rice_toughness",
    "sigma_array",
]

_PAIRS: Final = "mixing_enthalpy"
"""The input that belongs to pairs of elements, not to one."""

_LINEAR: Final = "linear-combination-bcc/1"

METHODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shear_modulus": _LINEAR,
        "poisson_ratio": _LINEAR,
        "unstable_stacking_fault_energy": _LINEAR,
        "fracture_toughness_rice": f"{_LINEAR} + rice/1",
        "density": "additive-volume/1",
        "mixing_entropy": "ideal-mixing/1",
        "mixing_enthalpy": "miedema-pairs/1",
        "size_mismatch": "radius-mismatch/1",
        "valence_electron_concentration": "atom-average/1",
        "melting_temperature_rom": "atom-average/1",
        "omega": "atom-average/1 + miedema-pairs/1",
    }
)
"""The method of each predicted property, with its version: it changes when a number can change."""

PREDICTED_PROPERTIES: Final = tuple(METHODS)
"""The properties that can be predicted."""

_INPUTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "shear_modulus": ("shear_modulus",),
        "poisson_ratio": ("poisson_ratio",),
        "unstable_stacking_fault_energy": ("unstable_stacking_fault_energy",),
        "fracture_toughness_rice": ("shear_modulus", "poisson_ratio", "unstable_stacking_fault_energy"),
        "density": ("density",),
        "mixing_entropy": (),
        "mixing_enthalpy": (_PAIRS,),
        "size_mismatch": ("metallic_radius",),
        "valence_electron_concentration": ("valence_electrons",),
        "melting_temperature_rom": ("melting_temperature",),
        "omega": ("melting_temperature", _PAIRS),
    }
)


@dataclass(frozen=True, slots=True)
class PredictedValue:
    """One predicted value of one composition.

    Attributes:
        composition: Of what.
        property: Name in the vocabulary.
        value: In ``unit``.
        sigma: Standard uncertainty in ``unit``; None where there is no evidence for one.
        unit: The canonical unit of the property.
        method: How it was predicted, with version.
    """

    composition: Composition
    property: str
    value: float
    sigma: float | None
    unit: str
    method: str


def rice_toughness(
    shear_modulus: NDArray[np.float64],
    unstable_stacking_fault_energy: NDArray[np.float64],
    poisson_ratio: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Stress intensity at which a crack tip emits a dislocation, K = sqrt(2 G E_USF / (1 - nu)).

    The energy release rate K^2 (1 - nu) / (2 G) equals E_USF: Rice's criterion for slip on the plane of the
    crack, without the geometric factor of an inclined slip system under mode I. The cGAN's authors take it as
    the fracture toughness K_IC, and so does the target of that name. It is one only where emission precedes
    cleavage: the load of cleavage (Griffith) is not in it, so a large K alone makes no ductile alloy.

    Source: Rice, J. Mech. Phys. Solids 40 (1992) 239, doi 10.1016/S0022-5096(05)80012-2; used so by the
    cGAN's authors, doi 10.20517/jmi.2021.05.

    Args:
        shear_modulus: G in GPa, of any shape; the others of the same shape.
        unstable_stacking_fault_energy: E_USF in J/m2.
        poisson_ratio: nu, below 1.

    Returns:
        K in MPa m^0.5, NaN where the argument of the root is negative.
    """
    # sqrt(GPa J/m2) = sqrt(1e9) Pa m^0.5
    factor = math.sqrt(constants.giga) / constants.mega
    with np.errstate(invalid="ignore"):
        toughness: NDArray[np.float64] = factor * np.sqrt(
            2 * shear_modulus * unstable_stacking_fault_energy / (1 - poisson_ratio)
        )
    return toughness


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Element values with gaps filled by zero, and where the gaps are.

    Attributes:
        vectors: Quantity to array of shape ``(m,)``.
        pairs: Enthalpies of pairs in kJ/mol, shape ``(m, m)``.
        masses: Atomic weights in g/mol, shape ``(m,)``.
        gaps: Quantity to Boolean array, ``(m,)``, for pairs ``(m, m)``.
    """

    vectors: dict[str, NDArray[np.float64]]
    pairs: NDArray[np.float64]
    masses: NDArray[np.float64]
    gaps: dict[str, NDArray[np.bool_]]


@lru_cache(maxsize=1024)
def _inputs(elements: tuple[str, ...]) -> _Inputs:
    names = {name for inputs in _INPUTS.values() for name in inputs if name != _PAIRS}
    vectors = {name: element_vector(elements, name) for name in names}
    pairs = mixing_enthalpy_matrix(elements)
    return _Inputs(
        vectors={name: np.nan_to_num(vector) for name, vector in vectors.items()},
        pairs=np.nan_to_num(pairs),
        masses=np.array([atomic_masses()[e] for e in elements]),
        gaps={_PAIRS: np.isnan(pairs)} | {name: np.isnan(vector) for name, vector in vectors.items()},
    )


def _gaps_of_rows(x: NDArray[np.float64], name: str, inputs: _Inputs) -> NDArray[np.bool_]:
    """Which rows lack data for a property, shape ``(n,)``."""
    present = x > 0
    lacking = np.zeros(len(x), dtype=bool)
    for quantity in _INPUTS[name]:
        gap = inputs.gaps[quantity]
        if quantity == _PAIRS:
            lacking |= ((present @ gap) & present).any(axis=1)
        else:
            lacking |= (present & gap).any(axis=1)
    return lacking


def _compute(x: NDArray[np.float64], name: str, inputs: _Inputs) -> NDArray[np.float64]:  # noqa: PLR0911
    """One property of every row of atomic fractions, shape ``(n,)``."""
    table = inputs.vectors
    match name:
        case "fracture_toughness_rice":
            return rice_toughness(
                x @ table["shear_modulus"],
                x @ table["unstable_stacking_fault_energy"],
                x @ table["poisson_ratio"],
            )
        case "density":
            # molar volumes add: rho = sum x_i M_i / sum x_i M_i / rho_i. The volumes are the measured ones of
            # the metals near 293 K; of Si, whose own structure is open, the computed close-packed one.
            with np.errstate(divide="ignore", invalid="ignore"):
                volumes = np.where(table["density"] > 0, inputs.masses / table["density"], 0.0)
                return np.asarray((x @ inputs.masses) / (x @ volumes))
        case "mixing_entropy":
            # S = -R sum x_i ln x_i; the zero of a pure element without its sign
            return np.asarray(-constants.R * xlogy(x, x).sum(axis=1) + 0.0)
        case "mixing_enthalpy":
            # H = sum over pairs of 4 H_ij x_i x_j = 2 x.H.x; Zhang et al., Adv. Eng. Mater. 10 (2008) 534,
            # doi 10.1002/adem.200700240, eq. 2
            return np.asarray(2 * constants.kilo * np.einsum("ni,ij,nj->n", x, inputs.pairs, x))
        case "size_mismatch":
            # delta = sqrt(sum x_i (1 - r_i / r)^2), ibid. eq. 1, in percent
            radii = table["metallic_radius"]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = radii / (x @ radii)[:, None]
                return np.asarray(100 * np.sqrt((x * (1 - ratio) ** 2).sum(axis=1)))
        case "valence_electron_concentration":
            # doi 10.1063/1.3587228
            return x @ table["valence_electrons"]
        case "melting_temperature_rom":
            return x @ table["melting_temperature"]
        case "omega":
            # Omega = T_m S / |H|; Yang and Zhang, Mater. Chem. Phys. 132 (2012) 233,
            # doi 10.1016/j.matchemphys.2011.11.021
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(
                    (x @ table["melting_temperature"])
                    * _compute(x, "mixing_entropy", inputs)
                    / np.abs(_compute(x, "mixing_enthalpy", inputs))
                )
        case _:
            return x @ table[name]


@lru_cache(maxsize=1)
def _uncertainties() -> dict[str, tuple[str, float]]:
    with files("hea_loop").joinpath("data/prediction_uncertainty.csv").open(encoding="utf-8") as file:
        return {row["property"]: (row["kind"], float(row["value"])) for row in csv.DictReader(file)}


def _sigma(x: NDArray[np.float64], name: str, inputs: _Inputs) -> NDArray[np.float64] | None:
    """Standard uncertainty of every row, shape ``(n,)``, or None where nothing is known of it."""
    if name == "fracture_toughness_rice":
        # K ~ sqrt(G E / (1 - nu)): relative variances of G, E and 1 - nu, taken as independent, add to four
        # times that of K
        relative = np.zeros(len(x))
        for part in _INPUTS[name]:
            value, sigma = _compute(x, part, inputs), _sigma(x, part, inputs)
            if sigma is None:
                return None
            relative += (sigma / (1 - value if part == "poisson_ratio" else value)) ** 2
        return np.asarray(0.5 * _compute(x, name, inputs) * np.sqrt(relative))
    if name not in _uncertainties():
        return None
    kind, constant = _uncertainties()[name]
    value = _compute(x, name, inputs)
    return np.asarray(constant * np.abs(value) if kind == "relative" else np.full(len(x), constant))


def _checked_names(properties: Iterable[str] | None) -> tuple[str, ...]:
    names = PREDICTED_PROPERTIES if properties is None else tuple(properties)
    for name in names:
        if name not in METHODS:
            raise InputError(
                "property", name, "cannot be predicted", f"use {', '.join(PREDICTED_PROPERTIES)}"
            )
    return names


def _checked_fractions(fractions: NDArray[np.float64], elements: Sequence[str]) -> NDArray[np.float64]:
    x = np.asarray(fractions, dtype=np.float64)
    for symbol in elements:
        require_element(symbol, "elements", symbol)
    if x.ndim != 2 or x.shape[1] != len(elements):
        raise InputError(
            "fractions", x.shape, f"is not of the shape (n, {len(elements)})", "give one column per element"
        )
    totals = x.sum(axis=1, keepdims=True)
    bad = ~(np.isfinite(x).all(axis=1) & (x >= 0).all(axis=1) & (totals[:, 0] > 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"fractions[{row}]",
            x[row].tolist(),
            "is not a composition",
            "give finite fractions, at least zero, with a positive sum",
        )
    checked: NDArray[np.float64] = x / totals
    return checked


def _refuse_gaps(x: NDArray[np.float64], elements: tuple[str, ...], name: str, inputs: _Inputs) -> None:
    lacking = _gaps_of_rows(x, name, inputs)
    if lacking.any():
        row = int(np.flatnonzero(lacking)[0])
        present = tuple(e for e, amount in zip(elements, x[row], strict=True) if amount > 0)
        lacks = "; ".join(f"{who}: {', '.join(what)}" for who, what in _missing(present, name).items())
        raise InputError(
            name, "".join(present), f"cannot be predicted, no data for {lacks}", "leave the element out"
        )


def _missing(elements: tuple[str, ...], name: str) -> dict[str, tuple[str, ...]]:
    gaps = _inputs(elements).gaps
    lacks: dict[str, list[str]] = {}
    for quantity in _INPUTS[name]:
        if quantity == _PAIRS:
            rows, columns = np.nonzero(np.triu(gaps[quantity]))
            who = [f"{elements[i]}-{elements[j]}" for i, j in zip(rows, columns, strict=True)]
        else:
            who = [elements[i] for i in np.flatnonzero(gaps[quantity])]
        for symbol in who:
            lacks.setdefault(symbol, []).append(quantity)
    return {symbol: tuple(quantities) for symbol, quantities in lacks.items()}


def missing_inputs(composition: Composition, property: str) -> dict[str, tuple[str, ...]]:  # noqa: A002
    """What the element table lacks for a prediction.

    Args:
        composition: Of what.
        property: One of :data:`PREDICTED_PROPERTIES`.

    Returns:
        Element, or pair of elements (``Nb-O``), to the quantities that are not known of it; empty when the
        property can be predicted.

    Raises:
        InputError: The property cannot be predicted at all.
    """
    (name,) = _checked_names((property,))
    return _missing(composition.elements, name)


def predict_array(
    fractions: NDArray[np.float64], elements: Sequence[str], properties: Iterable[str] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Predict properties of many compositions at once.

    Args:
        fractions: Atomic fractions, shape ``(n, m)``, rows of any positive sum (they are divided by it).
        elements: The ``m`` symbols of the columns.
        properties: Names out of :data:`PREDICTED_PROPERTIES`; None for all.

    Returns:
        Property to array of shape ``(n,)`` in its canonical unit. ``omega`` is infinite where the enthalpy of
        mixing is zero, and NaN for a pure element.

    Raises:
        InputError: A name that cannot be predicted, an unknown element, a row that is no composition, or an
            element present in some row of which the table lacks what a property needs.
    """
    names, symbols = _checked_names(properties), tuple(elements)
    x = _checked_fractions(fractions, symbols)
    inputs = _inputs(symbols)
    for name in names:
        _refuse_gaps(x, symbols, name, inputs)
    return {name: _compute(x, name, inputs) for name in names}


def sigma_array(
    fractions: NDArray[np.float64], elements: Sequence[str], properties: Iterable[str] | None = None
) -> dict[str, NDArray[np.float64] | None]:
    """Standard uncertainties of :func:`predict_array`, with the same arguments and errors.

    Returns:
        Property to array of shape ``(n,)`` in its canonical unit; None where nothing is known of it.
    """
    names, symbols = _checked_names(properties), tuple(elements)
    x = _checked_fractions(fractions, symbols)
    inputs = _inputs(symbols)
    for name in names:
        _refuse_gaps(x, symbols, name, inputs)
    return {name: _sigma(x, name, inputs) for name in names}


def predict(
    compositions: Iterable[Composition], properties: Iterable[str] | None = None
) -> list[PredictedValue]:
    """Predict properties of compositions.

    A property for which the table lacks an element's data is left out for that composition (ask
    :func:`missing_inputs` for what is missing), and so is one that is not finite there (``omega`` of a pure
    element or of an alloy without enthalpy of mixing).

    Args:
        compositions: Any number of them.
        properties: Names out of :data:`PREDICTED_PROPERTIES`; None for all.

    Returns:
        Values in the order of the compositions, and within one in the order of the properties.

    Raises:
        InputError: A name that cannot be predicted.
    """
    names, chosen = _checked_names(properties), list(compositions)
    if not chosen:
        return []
    return [value for composition in chosen for value in _predict_one(composition, names)]


def _predict_one(composition: Composition, names: tuple[str, ...]) -> list[PredictedValue]:
    """One composition by itself, on its own elements.

    In company the last digits of a sum depend on the other rows and columns of the array, and what is stored must not
    depend on what else was predicted in the same breath.
    """
    symbols = tuple(composition.elements)
    x = np.array([composition.fraction_vector(symbols)])
    inputs = _inputs(symbols)
    out: list[PredictedValue] = []
    for name in names:
        value = _compute(x, name, inputs)[0]
        if _gaps_of_rows(x, name, inputs)[0] or not np.isfinite(value):
            continue
        sigma = _sigma(x, name, inputs)
        out.append(
            PredictedValue(
                composition=composition,
                property=name,
                value=float(value),
                sigma=None if sigma is None else float(sigma[0]),
                unit=PROPERTIES[name].unit,
                method=METHODS[name],
            )
        )
    return out

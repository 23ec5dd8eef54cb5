"""The pure elements: a value per element, structure, quantity and source, with the reference of each number.

``data/elements.csv`` holds every number with its source and DOI; where sources disagree all are kept, and a
reader names the source or takes the order of trust in :data:`SOURCES`. ``data/miedema_pairs.csv`` holds the
enthalpies of mixing of pairs.

Names of sources: ``PSU-ULTERA`` the pure-element values behind the linear combinations of the cGAN's authors
(implied by their published averages), ``PSU-PureElements`` the same group's later table, ``Hu2021`` bcc
values by extrapolation, ``pymatgen`` its periodic table (measured), ``MiracleSenkov2017`` atomic radii,
``Guo2011`` the rule that counts valence electrons, ``TakeuchiInoue2005`` the pairs.
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

from hea_loop.composition import require_element
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = [
    "SOURCES",
    "ElementValue",
    "element_value",
    "element_values",
    "element_vector",
    "mixing_enthalpy_matrix",
    "own_structures",
]

_COMPUTED: Final = ("PSU-ULTERA", "PSU-PureElements")

SOURCES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "density": (
            "pymatgen",
            "PSU-ULTERA",
        ),  # measured where the solid is a metal, else computed (Si as hcp)
        "melting_temperature": ("pymatgen", "PSU-ULTERA"),
        "metallic_radius": ("MiracleSenkov2017",),
        "valence_electrons": ("Guo2011",),
        "unstable_stacking_fault_energy": ("PSU-ULTERA",),
        "poisson_ratio": ("PSU-ULTERA",),
        "shear_modulus": ("PSU-ULTERA",),
    }
)
"""Sources of a quantity in the order in which they are asked; other quantities: the computed tables."""

_OWN_STRUCTURES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "fcc": ("Ag", "Al", "Au", "Cu", "Ir", "Ni", "Pd", "Pt", "Rh"),
        "hcp": ("Be", "Co", "Gd", "Hf", "Mg", "Os", "Re", "Ru", "Sc", "Ti", "Y", "Zn", "Zr"),
        "bcc": ("Cr", "Fe", "Li", "Mo", "Nb", "Ta", "V", "W"),
        "tetragonal": ("In", "Sn"),
        "dhcp": ("La",),
        "rhombohedral": ("B",),
        "graphite": ("C",),
        "gas": ("N", "O"),
    }
)


@dataclass(frozen=True, slots=True)
class ElementValue:
    """One number of one pure element.

    Attributes:
        element: Symbol.
        structure: Crystal structure it holds for.
        quantity: Name, as in :mod:`hea_loop.properties` where the vocabulary has it.
        value: The number, in ``unit``.
        unit: Its unit, ``1`` for a pure number.
        source: Short name of the source.
        doi: Where the source is published.
        note: How the number came about, and its conditions.
    """

    element: str
    structure: str
    quantity: str
    value: float
    unit: str
    source: str
    doi: str
    note: str


@lru_cache(maxsize=1)
def element_values() -> tuple[ElementValue, ...]:
    """Every row of the table, in the order of the file."""
    with files("hea_loop").joinpath("data/elements.csv").open(encoding="utf-8") as file:
        return tuple(
            ElementValue(
                element=row["element"],
                structure=row["structure"],
                quantity=row["quantity"],
                value=float(row["value"]),
                unit=row["unit"],
                source=row["source"],
                doi=row["doi"],
                note=row["note"],
            )
            for row in csv.DictReader(file)
        )


@lru_cache(maxsize=1)
def _index() -> dict[tuple[str, str, str, str], ElementValue]:
    return {(v.element, v.quantity, v.source, v.structure): v for v in element_values()}


def own_structures(symbol: str) -> tuple[str, ...]:
    """Structures that stand for the pure element where no bcc value is known, the stable one first.

    Si (diamond) and Mn (A12) have no computed values in their stable structure; a close-packed one, the only
    kind their tables have, stands in.
    """
    special = {"Si": ("diamond", "hcp"), "Mn": ("A12", "fcc")}
    if symbol in special:
        return special[symbol]
    return tuple(structure for structure, symbols in _OWN_STRUCTURES.items() if symbol in symbols)


def _find(symbol: str, quantity: str, structure: str | None, source: str | None) -> ElementValue | None:
    sources = (source,) if source else SOURCES.get(quantity, _COMPUTED)
    structures = (structure,) if structure else ("bcc", *own_structures(symbol))
    index = _index()
    for wanted in sources:
        for kind in structures:
            found = index.get((symbol, quantity, wanted, kind))
            if found is not None:
                return found
    return None


def element_value(
    symbol: str, quantity: str, structure: str | None = None, source: str | None = None
) -> ElementValue:
    """Return one number with its source.

    Args:
        symbol: The element.
        quantity: A name such as ``shear_modulus``.
        structure: Crystal structure; None for bcc where a bcc value is known, else the element's own.
        source: Name of the source; None for the first in :data:`SOURCES` that has a value.

    Raises:
        InputError: No such element or quantity, or no such number in the table.
    """
    require_element(symbol, "element", symbol)
    known = sorted({value.quantity for value in element_values()})
    if quantity not in known:
        raise InputError("quantity", quantity, "is not in the element table", f"use {', '.join(known)}")
    found = _find(symbol, quantity, structure, source)
    if found is None:
        asked = ", ".join(f"{k} {v}" for k, v in (("structure", structure), ("source", source)) if v)
        raise InputError(
            quantity,
            symbol,
            f"has no value in the element table{f' ({asked})' if asked else ''}",
            "leave the element out, or add a row with its source to data/elements.csv",
        )
    return found


def element_vector(
    elements: Iterable[str], quantity: str, structure: str | None = None, source: str | None = None
) -> NDArray[np.float64]:
    """Values of one quantity for ``m`` elements, chosen as in :func:`element_value`.

    Returns:
        Array of shape ``(m,)`` in the unit of the table; NaN where nothing is known.
    """
    found = [_find(symbol, quantity, structure, source) for symbol in elements]
    return np.array([math.nan if value is None else value.value for value in found], dtype=np.float64)


@lru_cache(maxsize=1)
def _pairs() -> dict[frozenset[str], float]:
    with files("hea_loop").joinpath("data/miedema_pairs.csv").open(encoding="utf-8") as file:
        return {
            frozenset((row["element_1"], row["element_2"])): float(row["mixing_enthalpy_kJ_per_mol"])
            for row in csv.DictReader(file)
        }


def mixing_enthalpy_matrix(elements: Iterable[str]) -> NDArray[np.float64]:
    """Miedema enthalpies of mixing of equiatomic liquid pairs.

    Source: Takeuchi and Inoue, Mater. Trans. 46 (2005) 2817, doi 10.2320/matertrans.46.2817.

    Returns:
        Symmetric array of shape ``(m, m)`` in kJ/mol, zero on the diagonal, NaN where nothing is known.
    """
    symbols = tuple(elements)
    pairs = _pairs()
    return np.array(
        [[0.0 if a == b else pairs.get(frozenset((a, b)), math.nan) for b in symbols] for a in symbols],
        dtype=np.float64,
    ).reshape(len(symbols), len(symbols))

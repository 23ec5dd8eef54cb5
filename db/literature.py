"""The data that comes with the package: what the literature measured, and first-principles elastic moduli.

The files lie in ``db/data`` with a README on their schema, origins, licences and oddities. One row of
``literature.csv`` is one data point; one row of ``first_principles_ternaries.csv`` is three.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from db.materials import NewDataPoint, add_data_points
from db.models import DataPoint, Material
from db.store import Store
from hea_loop.composition import Composition
from hea_loop.errors import InputError
from hea_loop.formula import parse_composition

__all__ = [
    "PHASES",
    "QUALIFIERS",
    "FirstPrinciplesRow",
    "LiteratureRow",
    "LoadReport",
    "load_packaged_data",
    "read_first_principles",
    "read_literature",
    "training_compositions",
]

QUALIFIERS: Final = ("", "at least", "estimated", "doubtful")
"""What a value is when it is not simply measured: a lower bound (the test was stopped), an estimate of its
authors, or a number that cannot be right and is kept as it was published."""

PHASES: Final = (
    "BCC",
    "B2",
    "FCC",
    "HCP",
    "LAVES",
    "LAVES_C14",
    "LAVES_C15",
    "LAVES_C36",
    "SIGMA",
    "MU",
    "CARBIDE",
    "CARBONITRIDE",
    "OXIDE",
    "OXYNITRIDE",
    "NITRIDE",
    "BORIDE",
    "SILICIDE",
    "INTERMETALLIC",
    "TIAL",
    "TI3AL",
    "A15",
    "B19",
    "C11B",
    "C32",
    "E93",
    "L12",
    "TETRAGONAL",
    "ORTHORHOMBIC",
    "OMEGA",
    "AMORPHOUS",
    "QUASICRYSTAL",
    "UNKNOWN",
)
"""The vocabulary of observed phases. ``LAVES`` is a Laves phase whose authors do not say which."""

_COMPILATION: Final = "literature.csv"
_TERNARIES: Final = "first_principles_ternaries.csv"


@dataclass(frozen=True, slots=True)
class LiteratureRow:
    """One published fact about one alloy.

    Attributes:
        id: Stable identity of the row, made from its content.
        composition: Of which alloy, at the resolution at which materials are told apart.
        property: A name of the vocabulary.
        value: The number in canonical units; None for ``phases_observed``.
        text: The phases, sorted and joined by ``+``, for ``phases_observed``; None for a number.
        unit: The canonical unit.
        sigma: Stated uncertainty in the same unit, or None.
        qualifier: One of ``QUALIFIERS``.
        temperature_K: Temperature of the test in K, or None where it is not stated.
        test: ``compression``, ``tension`` or empty.
        time_h: Duration in hours, or None.
        phases: Phases of the tested material in the vocabulary, each as often as it was seen.
        phases_label: The same as the authors wrote it.
        processing: Steps in a vocabulary, sorted; ``unclear`` stands for a step whose label is ambiguous.
        processing_label: The same as the compilation wrote it, in its order.
        doi: DOI of the publication (of a compilation, for some).
        year: Of publication, or None.
        dataset: The open data set the fact was read from.
    """

    id: str
    composition: Composition
    property: str
    value: float | None
    text: str | None
    unit: str
    sigma: float | None
    qualifier: str
    temperature_K: float | None
    test: str
    time_h: float | None
    phases: tuple[str, ...]
    phases_label: str
    processing: tuple[str, ...]
    processing_label: str
    doi: str
    year: int | None
    dataset: str

    def data_point(self) -> NewDataPoint:
        """Return the row as a data point of kind ``literature``."""
        conditions: dict[str, Any] = {
            "qualifier": self.qualifier,
            "test": self.test,
            "time_h": self.time_h,
            "phases": list(self.phases),
            "phases_label": self.phases_label,
            "processing": list(self.processing),
            "processing_label": self.processing_label,
            "year": self.year,
            "dataset": self.dataset,
        }
        return NewDataPoint(
            composition=self.composition,
            property=self.property,
            value=self.value,
            text=self.text,
            unit=self.unit,
            sigma=self.sigma,
            kind="literature",
            fidelity="experiment",
            method="estimate of the authors" if self.qualifier == "estimated" else "as published",
            source=f"{_COMPILATION}:{self.id}",
            temperature_K=self.temperature_K,
            conditions={name: value for name, value in conditions.items() if value not in (None, "", [])},
            doi=self.doi,
        )


@dataclass(frozen=True, slots=True)
class FirstPrinciplesRow:
    """Elastic moduli of one random BCC alloy from first principles at 0 K.

    Attributes:
        id: Stable identity of the row, made from its content.
        composition: Of which alloy.
        bulk_modulus: B in GPa.
        shear_modulus: G in GPa.
        poisson_ratio: Dimensionless.
        method: How it was computed.
        doi: DOI of the publication.
    """

    id: str
    composition: Composition
    bulk_modulus: float
    shear_modulus: float
    poisson_ratio: float
    method: str
    doi: str

    def data_points(self) -> list[NewDataPoint]:
        """Return the row as three data points of kind ``literature`` and fidelity ``dft``."""
        return [
            NewDataPoint(
                composition=self.composition,
                property=name,
                value=getattr(self, name),
                kind="literature",
                fidelity="dft",
                method=self.method,
                source=f"{_TERNARIES}:{self.id}",
                temperature_K=0.0,
                conditions={"phases": ["BCC"]},
                doi=self.doi,
            )
            for name in ("bulk_modulus", "shear_modulus", "poisson_ratio")
        ]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading the packaged data changed.

    Attributes:
        materials_added: Materials that the store had not.
        data_points_added: Data points that the store had not.
        already_there: Data points that it had.
    """

    materials_added: int
    data_points_added: int
    already_there: int


def read_literature() -> list[LiteratureRow]:
    """Read the packaged literature data: one row for each published fact."""
    return [
        LiteratureRow(
            id=row["id"],
            composition=parse_composition(row["composition"], unit="at.%"),
            property=row["property"],
            value=_number(row["value"]),
            text=row["text"] or None,
            unit=row["unit"],
            sigma=_number(row["sigma"]),
            qualifier=row["qualifier"],
            temperature_K=_number(row["temperature_K"]),
            test=row["test"],
            time_h=_number(row["time_h"]),
            phases=_tokens(row["phases"]),
            phases_label=row["phases_label"],
            processing=_tokens(row["processing"]),
            processing_label=row["processing_label"],
            doi=row["doi"],
            year=int(row["year"]) if row["year"] else None,
            dataset=row["dataset"],
        )
        for row in _rows(_COMPILATION)
    ]


def read_first_principles() -> list[FirstPrinciplesRow]:
    """Read the packaged first-principles moduli of ternary BCC alloys."""
    return [
        FirstPrinciplesRow(
            id=row["id"],
            composition=parse_composition(row["composition"], unit="at.%"),
            bulk_modulus=float(row["bulk_modulus_GPa"]),
            shear_modulus=float(row["shear_modulus_GPa"]),
            poisson_ratio=float(row["poisson_ratio"]),
            method=row["method"],
            doi=row["doi"],
        )
        for row in _rows(_TERNARIES)
    ]


def load_packaged_data(store: Store, progress: Callable[[str], None] | None = None) -> LoadReport:
    """Load the packaged data into the store, in one transaction; a second load changes nothing.

    Args:
        store: An open store.
        progress: Told in a few words what is done next, a few times in all.

    Raises:
        StoreError: The store cannot be written.
    """
    say = progress or (lambda _: None)
    say("reading the packaged data")
    points = [row.data_point() for row in read_literature()]
    points += [point for row in read_first_principles() for point in row.data_points()]
    say(f"loading {len(points)} data points")
    with store.write() as session:
        count = sa.select(sa.func.count()).select_from(Material)
        before = session.scalar(count) or 0
        added = add_data_points(session, points)
        materials = (session.scalar(count) or 0) - before
    say(f"loaded {added} data points of {materials} new materials")
    return LoadReport(materials, added, len(points) - added)


def training_compositions(
    session: Session, elements: Iterable[str], *, min_elements: int = 2
) -> list[Composition]:
    """Return the alloys of the literature that lie within a set of elements: what a generator trains on.

    Args:
        session: Of ``Store.read()`` or ``Store.write()``.
        elements: The allowed elements.
        min_elements: Fewest elements of an alloy.

    Returns:
        Every material with a measured literature value, once, sorted by identity key.

    Raises:
        InputError: No element is given.
    """
    allowed = set(elements)
    if not allowed:
        raise InputError("elements", [], "allows no alloy", "give the elements of the palette")
    measured = (
        sa.select(DataPoint.id)
        .where(
            DataPoint.material_id == Material.id,
            DataPoint.kind == "literature",
            DataPoint.fidelity == "experiment",
            DataPoint.superseded_by.is_(None),
        )
        .exists()
    )
    query = sa.select(Material.key, Material.system).where(measured)
    # sorted here: databases sort text by their own rules
    keys = sorted(
        key
        for key, system in session.execute(query)
        if len(present := system.split("-")) >= min_elements and allowed.issuperset(present)
    )
    return [Composition.from_key(key) for key in keys]


def _rows(name: str) -> Iterator[dict[str, str]]:
    with files("db.data").joinpath(name).open(encoding="utf-8") as handle:
        yield from csv.DictReader(handle)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(text.split("+")) if text else ()

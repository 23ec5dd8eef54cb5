"""What the store knows of elastic moduli, for the first-principles model, and the model's values as data points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.literature import read_first_principles
from db.materials import NewDataPoint
from db.models import DataPoint, Material
from hea_loop.composition import Composition
from hea_loop.elasticity import LEARNED_PROPERTIES, ElasticModel, require_predictable_elements
from hea_loop.errors import InputError
from hea_loop.properties import PROPERTIES
from hea_loop.scoring import ROOM_TEMPERATURE_K

if TYPE_CHECKING:
    from hea_loop.surrogates.first_principles import ElasticData

__all__ = ["elastic_data", "elastic_points", "packaged_elastic_data"]

_LEARNED_FROM: Final = ("shear_modulus", "bulk_modulus", "poisson_ratio")


def elastic_data(session: Session, validators: str | tuple[str, ...] | None = None) -> ElasticData:
    """Every current value of G, B and nu at the fidelities ``dft`` and ``experiment``, up to room temperature.

    The order in which values were stored is not in it, nor who asked for them.

    Args:
        session: A session of the store.
        validators: What the sources of validators' values begin with that count, one or several (see
            :func:`db.jobs.source_of`), so that a campaign learns from its own configuration; None for all.
    """
    from hea_loop.surrogates.first_principles import ElasticData, ElasticRow

    rows = session.execute(
        select(
            Material.key,
            DataPoint.property,
            DataPoint.value,
            DataPoint.sigma,
            DataPoint.kind,
            DataPoint.fidelity,
            DataPoint.temperature_K,
            DataPoint.source,
        )
        .join(DataPoint.material)
        .where(
            DataPoint.property.in_(_LEARNED_FROM),
            DataPoint.fidelity.in_(("dft", "experiment")),
            DataPoint.kind != "prediction",
            DataPoint.superseded_by.is_(None),
            DataPoint.value.is_not(None),
        )
    )
    return ElasticData(
        tuple(
            ElasticRow(Composition.from_key(key), name, value, sigma, _level(kind, fidelity))
            for key, name, value, sigma, kind, fidelity, temperature, source in rows
            if (temperature is None or temperature <= ROOM_TEMPERATURE_K)
            and (kind != "validation" or validators is None or source.startswith(validators))
        )
    )


def packaged_elastic_data() -> ElasticData:
    """The packaged first-principles alloys: what a store has that nobody has added anything to."""
    from hea_loop.surrogates.first_principles import ElasticData, ElasticRow

    return ElasticData(
        tuple(
            ElasticRow(row.composition, name, getattr(row, name), None, "literature")
            for row in read_first_principles()
            for name in _LEARNED_FROM
        )
    )


def _level(kind: str, fidelity: str) -> str:
    if fidelity == "experiment":
        return "experiment"
    return "literature" if kind == "literature" else "dft"


def elastic_points(model: ElasticModel, compositions: Sequence[Composition]) -> list[NewDataPoint]:
    """A model's values of some materials as data points; a property whose inputs an element lacks is left out."""
    out = []
    for composition in compositions:
        names = [n for n in LEARNED_PROPERTIES if _can(composition, n)]
        x = np.array([composition.fraction_vector(composition.elements)])
        for name, (mean, sigma) in model.predict(x, composition.elements, names).items():
            out.append(
                NewDataPoint(
                    composition=composition,
                    property=name,
                    value=float(mean[0]),
                    sigma=float(sigma[0]),
                    unit=PROPERTIES[name].unit,
                    kind="prediction",
                    fidelity="prediction",
                    method=model.method(name),
                    source=model.source,
                )
            )
    return out


def _can(composition: Composition, name: str) -> bool:
    try:
        require_predictable_elements(composition.elements, (name,))
    except InputError:
        return False
    return True

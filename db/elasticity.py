"""What the store knows of elastic moduli, for the first-principles model, and the model's values as data points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.literature import read_first_principles, read_literature
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
_YOUNG: Final = "youngs_modulus"


def elastic_data(session: Session, validators: str | tuple[str, ...] | None = None) -> ElasticData:
    """Every current value of G, B and nu at the fidelities ``dft`` and ``experiment``, up to room temperature.

    Of Young's modulus what was measured of alloys that are stated to be BCC and nothing else. Lower bounds and
    doubtful values are left out. The order in which values were stored is not in it, nor who asked for them.

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
            DataPoint.conditions,
        )
        .join(DataPoint.material)
        .where(
            DataPoint.property.in_((*_LEARNED_FROM, _YOUNG)),
            DataPoint.fidelity.in_(("dft", "experiment")),
            DataPoint.kind != "prediction",
            DataPoint.superseded_by.is_(None),
            DataPoint.value.is_not(None),
        )
    )
    return ElasticData(
        tuple(
            ElasticRow(Composition.from_key(key), name, value, sigma, _level(kind, fidelity))
            for key, name, value, sigma, kind, fidelity, temperature, source, conditions in rows
            if (temperature is None or temperature <= ROOM_TEMPERATURE_K)
            and (kind != "validation" or validators is None or source.startswith(validators))
            and _counts(name, fidelity, conditions or {})
        )
    )


def packaged_elastic_data() -> ElasticData:
    """The packaged alloys: what :func:`elastic_data` gives of a store that nobody has added anything to."""
    from hea_loop.surrogates.first_principles import ElasticData, ElasticRow

    points = [p for row in read_first_principles() for p in row.data_points()]
    points += [
        p for row in read_literature() if row.property in (*_LEARNED_FROM, _YOUNG) for p in [row.data_point()]
    ]
    return ElasticData(
        tuple(
            ElasticRow(p.composition, p.property, p.value, p.sigma, _level(p.kind, p.fidelity))
            for p in points
            if p.value is not None
            and (p.temperature_K is None or p.temperature_K <= ROOM_TEMPERATURE_K)
            and _counts(p.property, p.fidelity, p.conditions)
        )
    )


def _counts(name: str, fidelity: str, conditions: Mapping[str, Any]) -> bool:
    """Whether a value is one to learn from: stated as it is, and Young's modulus of a bcc polycrystal."""
    if conditions.get("qualifier") in {"at least", "doubtful"}:
        return False
    return name != _YOUNG or (fidelity == "experiment" and set(conditions.get("phases", ())) == {"BCC"})


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

"""Making a store ready: the packaged literature, and the prediction loop over every material that lacks a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from db import models
from db.campaigns import prediction_points
from db.literature import LoadReport, load_packaged_data
from db.materials import add_data_points
from db.store import Store
from db.voids import find_voids
from hea_loop.composition import Composition
from hea_loop.prediction import PREDICTED_PROPERTIES

__all__ = ["PrepareReport", "fill_prediction_voids", "is_prepared", "prepare_store"]

_CHUNK = 400


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What preparing did."""

    literature: LoadReport
    predictions_added: int


def prepare_store(store: Store, progress: Callable[[str], None] | None = None) -> PrepareReport:
    """Load the packaged data and fill the voids of the prediction loop; a second call changes nothing."""
    tell = progress or (lambda _: None)
    tell("loading the packaged literature")
    literature = load_packaged_data(store)
    tell("predicting properties of the literature's alloys")
    return PrepareReport(literature, fill_prediction_voids(store))


def is_prepared(store: Store) -> bool:
    """Whether the store has the packaged literature and predictions for all of it, seen at a glance.

    The mixing entropy is predicted for every composition there is, and last of all when filling is interrupted
    it is what some material still lacks.
    """
    with store.read() as session:
        literature = session.scalar(
            select(models.DataPoint.id).where(models.DataPoint.kind == "literature").limit(1)
        )
        return literature is not None and not find_voids(session, ["mixing_entropy"], "prediction", limit=1)


def fill_prediction_voids(store: Store) -> int:
    """Add the predictions that materials in the store lack; return how many were added."""
    with store.read() as session:
        voids = find_voids(session, PREDICTED_PROPERTIES, "prediction")
    wanted: dict[str, set[str]] = {}
    for void in voids:
        wanted.setdefault(void.key, set()).add(void.property)
    added = 0
    keys = sorted(wanted)
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        compositions = [Composition.from_key(key) for key in chunk]
        # predict() leaves out what an element has no data for: that void stays open
        points = [p for p in prediction_points(compositions) if p.property in wanted[p.composition.key]]
        with store.write() as session:
            # another process may be at it too, in other chunks
            added += add_data_points(session, points, earlier_stands=True)
    return added

"""A small first-principles model for tests: every fourth packaged alloy of four elements, learned in a second."""

from __future__ import annotations

from functools import lru_cache

from db.elasticity import packaged_elastic_data
from hea_loop.surrogates.elastic import ELASTIC_PROPERTIES
from hea_loop.surrogates.first_principles import (
    ElasticData,
    ElasticRow,
    FirstPrinciples,
    fit_first_principles,
)

ELEMENTS = ("Mo", "Nb", "Ti", "V")
WIDENING = dict.fromkeys(ELASTIC_PROPERTIES, 2.0)


@lru_cache(maxsize=1)
def small_elastic_data() -> ElasticData:
    """The alloys."""
    rows = [
        r
        for r in packaged_elastic_data().of("literature").rows
        if set(r.composition.elements) <= set(ELEMENTS)
    ]
    keys = sorted({r.composition.key for r in rows})[::4]
    return ElasticData(tuple(r for r in rows if r.composition.key in keys))


def with_more(*rows: ElasticRow) -> ElasticData:
    """The alloys and further rows."""
    return ElasticData((*small_elastic_data().rows, *rows))


@lru_cache(maxsize=1)
def small_elastic_model() -> FirstPrinciples:
    """What is learned from them."""
    return fit_first_principles(small_elastic_data(), widening=WIDENING)

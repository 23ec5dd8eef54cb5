from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from db.materials import (
    NewDataPoint,
    add_data_points,
    current_values,
    material_for,
    materials_for,
    supersede,
)
from db.models import DataPoint, Material, OutboxEvent
from db.store import Store
from db.voids import Void, find_voids
from hea_loop import Composition, parse_composition
from hea_loop.errors import InputError

ALLOY = parse_composition("HfNbTaTiZr")


def point(composition: Composition = ALLOY, **changes: Any) -> NewDataPoint:
    given: dict[str, Any] = {
        "composition": composition,
        "property": "density",
        "value": 9.9,
        "kind": "literature",
        "fidelity": "experiment",
        "method": "weighed",
        "source": "table 1",
        "conditions": {"phases": ["BCC"]},
    }
    return NewDataPoint(**(given | changes))


def add(store: Store, *points: NewDataPoint) -> int:
    with store.write() as session:
        return add_data_points(session, points)


def events(store: Store) -> list[tuple[str, dict[str, Any]]]:
    with store.read() as session:
        return [
            (e.topic, e.payload) for e in session.scalars(sa.select(OutboxEvent).order_by(OutboxEvent.id))
        ]


def stored(store: Store) -> list[DataPoint]:
    with store.read() as session:
        return list(session.scalars(sa.select(DataPoint).order_by(DataPoint.id)))


def test_one_alloy_written_in_many_ways_is_one_material(store: Store) -> None:
    with store.write() as session:
        ids = {
            material_for(session, parse_composition(text)).id
            for text in ("HfNbTaTiZr", "ZrTiTaNbHf", "Zr20 Ti20 Ta20 Nb20 Hf20", "Hf2Nb2Ta2Ti2Zr2")
        }
    assert len(ids) == 1


def test_a_material_carries_its_key_formula_and_system(store: Store) -> None:
    with store.write() as session:
        made = material_for(session, ALLOY)
    assert (made.key, made.formula, made.system) == (ALLOY.key, "HfNbTaTiZr", "Hf-Nb-Ta-Ti-Zr")
    assert made.created_at.tzinfo is not None


def test_many_materials_are_made_once_with_one_event_and_few_queries(store: Store) -> None:
    wanted = [parse_composition(f"Nb{n}W{1000 - n}") for n in range(1, 1000)]
    queries: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *a: queries.append(a[2]))
    with store.write() as session:
        first = materials_for(session, wanted)
    assert len(queries) < 30
    with store.write() as session:
        second = materials_for(session, [*wanted, *reversed(wanted)])
    assert {k: m.id for k, m in first.items()} == {k: m.id for k, m in second.items()}
    assert set(first) == {c.key for c in wanted}
    [(topic, payload)] = events(store)
    assert (topic, payload["count"]) == ("material.created", 999)
    assert {payload["first_id"], payload["last_id"]} <= {m.id for m in first.values()}


def test_a_data_point_is_kept_as_it_was_given(store: Store) -> None:
    add(store, point(sigma=0.1, temperature_K=298.15, doi="10.1000/x", conditions={"phases": ("BCC", "B2")}))
    [kept] = stored(store)
    assert (kept.value, kept.text, kept.unit, kept.sigma, kept.temperature_K, kept.doi) == (
        9.9,
        None,
        "g/cm3",
        0.1,
        298.15,
        "10.1000/x",
    )
    assert kept.conditions == {"phases": ["BCC", "B2"]}
    assert (kept.kind, kept.fidelity, kept.method, kept.source) == (
        "literature",
        "experiment",
        "weighed",
        "table 1",
    )


def test_the_same_data_point_again_is_nothing_new(store: Store) -> None:
    points = [point(), point(property="hardness", value=350.0), point(source="table 2", value=10.4)]
    assert add(store, *points) == 3
    before = events(store)
    assert add(store, *points, *points) == 0
    assert len(stored(store)) == 3
    assert events(store) == before


def test_values_of_two_sources_that_disagree_are_both_kept(store: Store) -> None:
    add(store, point(), point(source="table 2", value=12.0))
    assert [p.value for p in stored(store)] == [9.9, 12.0]


@pytest.mark.parametrize(
    "change",
    [
        {"value": 9.8},
        {"sigma": 0.2},
        {"method": "computed"},
        {"fidelity": "dft"},
        {"kind": "prediction"},
        {"temperature_K": 300.0},
        {"conditions": {"phases": ["FCC"]}},
        {"doi": "10.1000/y"},
    ],
)
def test_other_content_under_the_same_source_is_refused_and_nothing_is_written(
    store: Store, change: dict[str, Any]
) -> None:
    add(store, point())
    with pytest.raises(InputError, match=r"^density of HfNbTaTiZr from table 1 = .* never overwritten"):
        add(store, point(source="new"), point(**change))
    assert [p.source for p in stored(store)] == ["table 1"]


def test_points_of_one_batch_that_contradict_each_other_are_refused(store: Store) -> None:
    with pytest.raises(InputError, match="never overwritten"):
        add(store, point(), point(value=1.0))
    assert stored(store) == []


def test_a_batch_of_data_points_leaves_one_event_that_names_its_ids(store: Store) -> None:
    add(store, point(), point(source="table 2"), point(parse_composition("W")))
    assert [topic for topic, _ in events(store)] == ["material.created", "data-point.added"]
    ids = [p.id for p in stored(store)]
    assert events(store)[1][1] == {"count": 3, "first_id": min(ids), "last_id": max(ids)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"property": "densty"}, "did you mean density"),
        ({"value": float("nan")}, "density.value = nan: is not finite"),
        ({"value": float("inf")}, "is not finite"),
        ({"sigma": -0.1}, "density.sigma = -0.1: is negative"),
        ({"sigma": float("nan")}, "is not finite"),
        ({"temperature_K": float("inf")}, "is not finite"),
        ({"unit": "kg/m3"}, "density.unit = 'kg/m3': is not the canonical unit; use g/cm3"),
        ({"kind": "rumour"}, "is no kind of source"),
        ({"fidelity": "guess"}, "is no fidelity"),
        ({"value": None}, "needs a value"),
        ({"text": "dense"}, "needs a value and no text"),
        ({"property": "phases_observed"}, "needs a text and no value"),
        ({"source": ""}, "is empty or over 200 characters"),
        ({"method": "m" * 201}, "is empty or over 200 characters"),
    ],
)
def test_a_data_point_that_makes_no_sense_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        point(**change)
    assert says in str(caught.value)


def test_a_superseded_value_stays_in_the_store_and_is_no_longer_current(store: Store) -> None:
    add(store, point(), point(source="erratum", value=9.94))
    old, new = stored(store)
    with store.write() as session:
        supersede(session, session.get_one(DataPoint, old.id), session.get_one(DataPoint, new.id))
    with store.read() as session:
        current = current_values(session, [old.material_id], ["density"])
    assert [p.value for p in current] == [9.94]
    assert [p.value for p in stored(store)] == [9.9, 9.94]
    assert events(store)[-1] == (
        "data-point.superseded",
        {"old_id": old.id, "new_id": new.id, "material_id": old.material_id, "property": "density"},
    )


def test_only_a_current_value_of_the_same_material_and_property_supersedes(store: Store) -> None:
    add(
        store,
        point(),
        point(source="b"),
        point(property="hardness", value=300.0),
        point(parse_composition("W")),
        point(source="c"),
    )
    one, two, hardness, other, three = (p.id for p in stored(store))
    for old, new in ((one, one), (one, hardness), (one, other)):
        with pytest.raises(InputError, match="does not replace"), store.write() as session:
            supersede(session, session.get_one(DataPoint, old), session.get_one(DataPoint, new))
    with store.write() as session:
        supersede(session, session.get_one(DataPoint, one), session.get_one(DataPoint, two))
    for old, new in ((one, three), (three, one), (two, one)):
        with pytest.raises(InputError, match="is superseded by"), store.write() as session:
            supersede(session, session.get_one(DataPoint, old), session.get_one(DataPoint, new))


def test_current_values_come_with_the_highest_fidelity_first(store: Store) -> None:
    add(
        store,
        point(kind="prediction", fidelity="prediction", source="rom", value=1.0),
        point(value=2.0),
        point(kind="validation", fidelity="dft", source="job 1", value=3.0),
        point(property="hardness", value=4.0),
    )
    with store.read() as session:
        [material] = session.scalars(sa.select(Material.id))
        everything = current_values(session, [material], ["density", "hardness"])
        only_dft = current_values(session, [material], ["density", "hardness"], "dft")
    assert [p.value for p in everything] == [2.0, 3.0, 1.0, 4.0]
    assert [p.value for p in only_dft] == [3.0]


def test_current_values_of_an_unknown_property_are_refused(store: Store) -> None:
    with pytest.raises(InputError, match="is not a known property"), store.read() as session:
        current_values(session, [1], ["densty"])


def test_voids_are_what_nobody_has_at_that_fidelity(store: Store) -> None:
    tungsten = parse_composition("W")
    add(store, point(), point(tungsten, kind="prediction", fidelity="prediction"))
    with store.read() as session:
        ids = {m.key: m.id for m in session.scalars(sa.select(Material))}
        voids = find_voids(session, ["density", "hardness"], "experiment")
    assert set(voids) == {
        Void(ids[ALLOY.key], ALLOY.key, "hardness", "experiment"),
        Void(ids[tungsten.key], tungsten.key, "density", "experiment"),
        Void(ids[tungsten.key], tungsten.key, "hardness", "experiment"),
    }
    assert voids == sorted(voids, key=lambda v: (v.material_id, v.property))


def test_a_superseded_value_fills_no_void_but_its_successor_does(store: Store) -> None:
    add(store, point(), point(source="erratum"))
    old, new = stored(store)
    with store.write() as session:
        supersede(session, session.get_one(DataPoint, old.id), session.get_one(DataPoint, new.id))
    with store.read() as session:
        assert find_voids(session, ["density"], "experiment") == []


def test_voids_can_be_looked_for_among_some_materials_and_up_to_a_number(store: Store) -> None:
    with store.write() as session:
        made = materials_for(session, [parse_composition(f"Nb{n}W{100 - n}") for n in range(1, 40)])
    chosen = sorted(m.id for m in made.values())[:7]
    with store.read() as session:
        among = sa.select(Material.id).where(Material.id.in_(chosen))
        assert [v.material_id for v in find_voids(session, ["solidus"], "calphad", among=among)] == chosen
        assert len(find_voids(session, ["solidus", "density"], "calphad", limit=5)) == 5
        assert find_voids(session, [], "calphad") == []


def test_voids_of_something_unknown_are_refused(store: Store) -> None:
    with store.read() as session:
        with pytest.raises(InputError, match="is no fidelity"):
            find_voids(session, ["solidus"], "guess")
        with pytest.raises(InputError, match="is not a known property"):
            find_voids(session, ["solidity"], "dft")

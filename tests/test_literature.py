from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from db.literature import (
    PHASES,
    QUALIFIERS,
    LiteratureRow,
    LoadReport,
    load_packaged_data,
    read_first_principles,
    read_literature,
    training_compositions,
)
from db.materials import current_values
from db.models import DataPoint, Material, OutboxEvent
from db.store import Store, open_store
from hea_loop import parse_composition
from hea_loop.errors import InputError
from hea_loop.properties import PROPERTIES

PALETTE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
REFRACTORY = {"Ti", "V", "Cr", "Zr", "Nb", "Mo", "Ru", "Rh", "Hf", "Ta", "W", "Re", "Os", "Ir"}


@pytest.fixture(scope="module")
def rows() -> list[LiteratureRow]:
    return read_literature()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('loaded')}/store.sqlite") as store:
        load_packaged_data(store)
        yield store


def test_there_are_over_a_thousand_unique_alloys_all_with_a_doi(rows: list[LiteratureRow]) -> None:
    assert len({row.composition.key for row in rows}) >= 1000
    assert all(re.fullmatch(r"10\.\d{4,9}/\S+", row.doi) for row in rows)


def test_every_alloy_is_mostly_refractory(rows: list[LiteratureRow]) -> None:
    for row in rows:
        # the sum of rounded percentages may fall a little short
        assert sum(x for e, x in row.composition.fractions.items() if e in REFRACTORY) > 0.49, row


def test_every_row_is_in_the_vocabulary_and_its_canonical_unit(rows: list[LiteratureRow]) -> None:
    for row in rows:
        assert row.unit == PROPERTIES[row.property].unit, row
        assert (row.text is not None) == PROPERTIES[row.property].is_text, row
        assert (row.value is None) != (row.text is None), row
        assert row.qualifier in QUALIFIERS, row
        assert row.test in {"", "compression", "tension"}, row
        assert set(row.phases) <= set(PHASES), row
        assert list(row.phases) == sorted(row.phases), row
        assert bool(row.phases) == bool(row.phases_label), row
        assert list(row.processing) == sorted(set(row.processing)), row
        assert bool(row.processing) == bool(row.processing_label), row


def test_ids_are_unique(rows: list[LiteratureRow]) -> None:
    assert Counter(row.id for row in rows).most_common(1)[0][1] == 1


def test_no_fact_is_there_twice(rows: list[LiteratureRow]) -> None:
    facts = Counter(
        (
            r.composition.key,
            r.property,
            r.value,
            r.text,
            r.qualifier,
            r.temperature_K,
            r.test,
            r.time_h,
            r.phases_label,
            r.processing_label,
            r.doi,
        )
        for r in rows
    )
    assert facts.most_common(1)[0][1] == 1


def test_values_lie_where_physics_allows(rows: list[LiteratureRow]) -> None:
    ranges = {
        "density": (3, 23),
        "hardness": (50, 2500),
        "nanohardness": (1, 30),
        "yield_strength": (10, 4000),
        "ultimate_strength": (10, 7000),
        "youngs_modulus": (30, 500),
        "reduced_elastic_modulus": (30, 500),
        "elongation": (0, 100),
        "ductility": (0, 100),
        "creep_rate": (1e-13, 1e-3),
        "electrical_resistivity": (1e-8, 1e-5),
        "thermal_expansion": (1e-6, 3e-5),
        "thermal_conductivity": (1, 200),
        "superconducting_transition_temperature": (0.1, 40),
        "oxidation_mass_change": (0, 1000),
    }
    for row in rows:
        if row.property in ranges and row.qualifier != "doubtful":
            low, high = ranges[row.property]
            assert row.value is not None
            assert low <= row.value <= high, row
        if row.sigma is not None and row.value is not None:
            assert 0 <= row.sigma <= abs(row.value), row


def test_known_facts_are_there_in_our_units(rows: list[LiteratureRow]) -> None:
    senkov = [
        r
        for r in rows
        if r.composition == parse_composition("MoNbTaW")
        and r.property == "yield_strength"
        and r.test == "compression"
    ]
    # Senkov et al. 2011, 10.1016/j.intermet.2011.01.004: 1058 MPa at room temperature
    assert any(r.value == 1058 and r.temperature_K is not None and r.temperature_K < 300 for r in senkov)
    oxidation = [r for r in rows if r.property == "oxidation_mass_change"]
    assert {r.time_h for r in oxidation} == {3, 4, 10, 20, 50, 100}


def test_authors_labels_are_kept_beside_the_vocabulary(rows: list[LiteratureRow]) -> None:
    by_label = {row.phases_label: row.phases for row in rows}
    assert by_label["BCC+Laves"] == by_label["BCC+laves"] == ("BCC", "LAVES")
    assert by_label["BCC+Sec."] == ("BCC", "UNKNOWN")
    assert by_label["BCC+BCC"] == ("BCC", "BCC")
    assert by_label["HCP+BCC+C15"] == ("BCC", "HCP", "LAVES_C15")


def test_values_that_disagree_are_all_kept(rows: list[LiteratureRow]) -> None:
    values = defaultdict(set)
    for row in rows:
        if row.property == "yield_strength" and row.temperature_K and 290 <= row.temperature_K <= 300:
            values[row.composition.key, row.test].add(row.value)
    scattered = [v for v in values.values() if len(v) > 1 and max(v) > 1.2 * min(v)]
    assert len(scattered) >= 20


def test_the_readme_counts_what_is_in_the_files(rows: list[LiteratureRow]) -> None:
    from importlib.resources import files

    text = " ".join(files("db.data").joinpath("README.md").read_text(encoding="utf-8").split())
    materials, dois = len({r.composition.key for r in rows}), len({r.doi for r in rows})
    assert f"{len(rows):,} published facts on {materials:,} materials" in text
    assert f"from {dois} DOIs" in text
    assert f"the {sum(r.property == 'phases_observed' for r in rows)} `phases_observed` rows" in text
    assert f"{len(read_first_principles()):,} random BCC alloys" in text


def test_first_principles_moduli_are_those_of_an_isotropic_solid() -> None:
    ternaries = read_first_principles()
    assert len({row.composition.key for row in ternaries}) == len(ternaries) > 1000
    for row in ternaries:
        b, g = row.bulk_modulus, row.shear_modulus
        assert row.poisson_ratio == pytest.approx((3 * b - 2 * g) / (2 * (3 * b + g)), abs=0.004), row


def state(store: Store) -> dict[str, list[tuple[int, int]]]:
    with store.read() as session:
        return {
            model.__tablename__: [
                tuple(row) for row in session.execute(sa.select(sa.func.count(), sa.func.max(model.id)))
            ]
            for model in (Material, DataPoint, OutboxEvent)
        }


def test_a_second_load_changes_nothing(store: Store) -> None:
    said: list[str] = []
    first = load_packaged_data(store, said.append)
    points = len(read_literature()) + 3 * len(read_first_principles())
    assert first.data_points_added == points
    assert first.already_there == 0
    assert len(said) >= 2
    before = state(store)
    assert before["material"][0][0] == first.materials_added
    assert before["data_point"][0][0] == points
    assert before["outbox"][0][0] == 2
    assert load_packaged_data(store) == LoadReport(0, 0, points)
    assert state(store) == before


def test_a_load_that_fails_leaves_the_store_as_it_was(tmp_path) -> None:
    from db.materials import add_data_points

    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as store:
        row = read_literature()[-1].data_point()
        other = type(row)(
            composition=row.composition,
            property=row.property,
            value=None if row.value is None else row.value + 1,
            text=None if row.text is None else "OTHER",
            kind=row.kind,
            fidelity=row.fidelity,
            method=row.method,
            source=row.source,
        )
        with store.write() as session:
            add_data_points(session, [other])
        before = state(store)
        with pytest.raises(InputError, match="never overwritten"):
            load_packaged_data(store)
        assert state(store) == before


def test_literature_and_first_principles_meet_at_the_material_and_stay_apart_at_the_data_point(
    loaded: Store,
) -> None:
    with loaded.read() as session:
        kinds = {tuple(row) for row in session.execute(sa.select(DataPoint.kind, DataPoint.fidelity))}
        assert kinds == {("literature", "experiment"), ("literature", "dft")}
        alloy = session.scalars(
            sa.select(Material).where(Material.key == parse_composition("MoNbTaW").key)
        ).one()
        phases = current_values(session, [alloy.id], ["phases_observed"])
    assert "BCC" in {p.text for p in phases}
    assert all(p.conditions["phases_label"] and p.doi for p in phases)


def test_training_compositions_are_the_literature_alloys_within_the_elements(
    loaded: Store, rows: list[LiteratureRow]
) -> None:
    expected = sorted(
        {
            r.composition.key
            for r in rows
            if set(r.composition.elements) <= set(PALETTE) and len(r.composition.elements) >= 2
        }
    )
    with loaded.read() as session:
        assert [c.key for c in training_compositions(session, PALETTE)] == expected
        assert [c.key for c in training_compositions(session, reversed(PALETTE))] == expected
        with_three = training_compositions(session, PALETTE, min_elements=3)
    assert 380 <= len(with_three) < len(expected)


def test_training_without_elements_is_refused(loaded: Store) -> None:
    with loaded.read() as session, pytest.raises(InputError, match="allows no alloy"):
        training_compositions(session, [])

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError

from db.materials import material_for
from db.migrations import HEAD, VERSION_TABLE
from db.models import Base, Campaign, Candidate, DataPoint, Decision, Iteration
from db.store import Store
from hea_loop import parse_composition


def configuration(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "db:migrations")
    config.attributes["connection"] = connection
    return config


def writing(store: Store) -> Any:
    return store.engine.execution_options(hea_loop_access="write").begin()


def tables(store: Store) -> set[str]:
    with store.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_the_migrated_schema_is_the_models_schema(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_check_constraints_of_the_models_are_in_the_migrated_schema(store: Store) -> None:
    # autogenerate does not compare these
    with store.engine.connect() as connection:
        look = sa.inspect(connection)
        found = {
            (table, constraint["name"])
            for table in Base.metadata.tables
            for constraint in look.get_check_constraints(table)
        }
    expected = {
        (table.name, str(constraint.name))
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
    assert expected
    assert {(t, n.removeprefix(f"ck_{t}_")) for t, n in found} == {
        (t, n.removeprefix(f"ck_{t}_")) for t, n in expected
    }


def test_the_head_that_the_store_compares_with_is_alembics_head() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_downgrade_takes_everything_away_and_upgrade_brings_it_back(store: Store) -> None:
    with writing(store) as connection:
        command.downgrade(configuration(connection), "base")
    assert tables(store) == {VERSION_TABLE}
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect() as connection:
            functions = sa.text(
                "SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
            )
            assert connection.scalar(functions) == 0
    with writing(store) as connection:
        command.upgrade(configuration(connection), "head")
    assert tables(store) == {*Base.metadata.tables, VERSION_TABLE}


def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(store: Store) -> None:
    before = tables(store)

    def downgrade_and_stumble() -> None:
        with writing(store) as connection:
            command.downgrade(configuration(connection), "base")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        downgrade_and_stumble()
    assert tables(store) == before


@pytest.fixture
def decision(store: Store) -> Decision:
    with store.write() as session:
        campaign = Campaign(name="c", spec={}, spec_hash="0")
        iteration = Iteration(campaign=campaign, number=1)
        candidate = Candidate(
            iteration=iteration,
            material=material_for(session, parse_composition("NbW")),
            origin="random",
            rank=1,
        )
        made = Decision(candidate=candidate, verdict="approve", who="me", reason="because")
        session.add(made)
    return made


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decision SET verdict = 'reject'",
        "UPDATE decision SET reason = reason",
        "DELETE FROM decision",
    ],
)
def test_a_decision_is_appended_and_never_edited(store: Store, decision: Decision, statement: str) -> None:
    with pytest.raises(IntegrityError, match="decisions are appended, never"), store.write() as session:
        session.execute(sa.text(statement))
    with store.read() as session:
        kept = session.get_one(Decision, decision.id)
        assert (kept.verdict, kept.who, kept.reason) == ("approve", "me", "because")


def test_a_decision_cannot_be_replaced_or_truncated_either(store: Store, decision: Decision) -> None:
    statement = {
        "sqlite": "INSERT OR REPLACE INTO decision SELECT id, candidate_id, 'reject', who, reason, decided_at "
        "FROM decision",
        "postgresql": "TRUNCATE decision",
    }[store.engine.dialect.name]
    with pytest.raises(IntegrityError, match="decisions are appended, never"), store.write() as session:
        session.execute(sa.text(statement))


def test_a_second_decision_can_be_appended(store: Store, decision: Decision) -> None:
    with store.write() as session:
        session.add(
            Decision(
                candidate_id=decision.candidate_id, verdict="reject", who="you", reason="changed my mind"
            )
        )
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Decision)) == 2


@pytest.mark.parametrize("statement", ["UPDATE data_point SET value = 2", "DELETE FROM data_point"])
def test_a_data_point_is_never_edited_behind_the_code(store: Store, statement: str) -> None:
    with store.write() as session:
        session.add(
            DataPoint(
                material_id=material_for(session, parse_composition("W")).id,
                property="density",
                value=19.3,
                unit="g/cm3",
                kind="literature",
                fidelity="experiment",
                method="m",
                source="s",
            )
        )
    with pytest.raises(IntegrityError, match="data points are superseded, never"), store.write() as session:
        session.execute(sa.text(statement))
    with store.read() as session:
        assert session.scalars(sa.select(DataPoint.value)).all() == [19.3]

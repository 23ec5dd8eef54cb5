"""The first schema: materials and their data points, campaigns and all that hangs on them, the outbox.

Two rules are kept by the database itself, on SQLite and on PostgreSQL: decisions are appended and never
edited, and data points are never overwritten (only marked as superseded).

Revision 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_DATA_POINT_CONTENT = (
    'material_id, property, value, text, unit, sigma, kind, fidelity, method, source, "temperature_K", '
    "conditions, doi, created_at"
)

# name, table, when it fires, what it says
_GUARDS = (
    ("decision_not_edited", "decision", "UPDATE", "decisions are appended, never edited"),
    ("decision_not_deleted", "decision", "DELETE", "decisions are appended, never deleted"),
    (
        "data_point_not_edited",
        "data_point",
        f"UPDATE OF {_DATA_POINT_CONTENT}",
        "data points are superseded, never edited",
    ),
    ("data_point_not_deleted", "data_point", "DELETE", "data points are superseded, never deleted"),
)


def upgrade() -> None:
    _create_tables()
    if op.get_context().dialect.name == "sqlite":
        for name, table, when, says in _GUARDS:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {when} ON {table} BEGIN SELECT RAISE(ABORT, '{says}'); END"
            )
            # INSERT OR REPLACE deletes without firing the trigger above
            if when == "DELETE":
                exists = f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608 - constants
                op.execute(
                    f"CREATE TRIGGER {table}_not_replaced BEFORE INSERT ON {table} WHEN {exists} "
                    f"BEGIN SELECT RAISE(ABORT, '{says}'); END"
                )
    else:
        for name, table, when, says in _GUARDS:
            op.execute(
                f"CREATE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{says}' USING ERRCODE = 'restrict_violation'; END $$"
            )
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {when} ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION refuse_{name}()"
            )
            if when == "DELETE":
                op.execute(
                    f"CREATE TRIGGER {table}_not_truncated BEFORE TRUNCATE ON {table} "
                    f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_{name}()"
                )


def downgrade() -> None:
    _drop_tables()
    if op.get_context().dialect.name != "sqlite":
        for name, *_ in _GUARDS:
            op.execute(f"DROP FUNCTION refuse_{name}()")


def _create_tables() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("spec_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("owner_expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flow_run_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('new', 'running', 'idle', 'waiting', 'done', 'stopped')",
            name=op.f("ck_campaign_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("name", name=op.f("uq_campaign_name")),
    )
    op.create_table(
        "material",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("formula", sa.String(length=200), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_material")),
        sa.UniqueConstraint("key", name=op.f("uq_material_key")),
    )
    op.create_index(op.f("ix_material_system"), "material", ["system"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(length=80), nullable=False),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_unpublished", "outbox", ["published_at", "id"], unique=False)
    op.create_table(
        "data_point",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column("property", sa.String(length=60), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=False),
        sa.Column("sigma", sa.Double(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("fidelity", sa.String(length=20), nullable=False),
        sa.Column("method", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("temperature_K", sa.Double(), nullable=True),
        sa.Column("conditions", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("doi", sa.String(length=200), nullable=True),
        sa.Column("superseded_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "fidelity IN ('prediction', 'calphad', 'dft', 'experiment')",
            name=op.f("ck_data_point_fidelity_known"),
        ),
        sa.CheckConstraint(
            "kind IN ('literature', 'prediction', 'validation', 'experiment')",
            name=op.f("ck_data_point_kind_known"),
        ),
        sa.CheckConstraint("(value IS NULL) <> (text IS NULL)", name=op.f("ck_data_point_value_or_text")),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_data_point_material_id_material")
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by"], ["data_point.id"], name=op.f("fk_data_point_superseded_by_data_point")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_point")),
        sa.UniqueConstraint(
            "material_id", "property", "source", name=op.f("uq_data_point_material_id_property_source")
        ),
    )
    op.create_index(op.f("ix_data_point_material_id"), "data_point", ["material_id"], unique=False)
    op.create_index("ix_data_point_property_fidelity", "data_point", ["property", "fidelity"], unique=False)
    op.create_table(
        "iteration",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "stage IN ('training', 'generating', 'dispatching', 'collecting', 'scored')",
            name=op.f("ck_iteration_stage_known"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_iteration_campaign_id_campaign")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_iteration")),
        sa.UniqueConstraint("campaign_id", "number", name=op.f("uq_iteration_campaign_id_number")),
    )
    op.create_index(op.f("ix_iteration_campaign_id"), "iteration", ["campaign_id"], unique=False)
    op.create_table(
        "candidate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("iteration_id", sa.Integer(), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("predicted", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("hit", sa.Boolean(), nullable=True),
        sa.Column("fidelity", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("origin IN ('strategy', 'random')", name=op.f("ck_candidate_origin_known")),
        sa.CheckConstraint(
            "state IN ('proposed', 'queued', 'approved', 'rejected', 'validating', 'validated', 'failed', "
            "'unconverged', 'abandoned')",
            name=op.f("ck_candidate_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["iteration_id"], ["iteration.id"], name=op.f("fk_candidate_iteration_id_iteration")
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_candidate_material_id_material")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidate")),
        sa.UniqueConstraint(
            "iteration_id", "material_id", name=op.f("uq_candidate_iteration_id_material_id")
        ),
        sa.UniqueConstraint("iteration_id", "rank", name=op.f("uq_candidate_iteration_id_rank")),
    )
    op.create_index(op.f("ix_candidate_iteration_id"), "candidate", ["iteration_id"], unique=False)
    op.create_index(op.f("ix_candidate_material_id"), "candidate", ["material_id"], unique=False)
    op.create_index(op.f("ix_candidate_state"), "candidate", ["state"], unique=False)
    op.create_table(
        "hit_rate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("iteration_id", sa.Integer(), nullable=False),
        sa.Column("fidelity", sa.String(length=20), nullable=False),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("proposed", sa.Integer(), nullable=False),
        sa.Column("validated", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("unconverged", sa.Integer(), nullable=False),
        sa.Column("hit", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("diversity", sa.Double(), nullable=True),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("origin IN ('strategy', 'random')", name=op.f("ck_hit_rate_origin_known")),
        sa.ForeignKeyConstraint(
            ["iteration_id"], ["iteration.id"], name=op.f("fk_hit_rate_iteration_id_iteration")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hit_rate")),
        sa.UniqueConstraint(
            "iteration_id", "fidelity", "origin", name=op.f("uq_hit_rate_iteration_id_fidelity_origin")
        ),
    )
    op.create_index(op.f("ix_hit_rate_iteration_id"), "hit_rate", ["iteration_id"], unique=False)
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("iteration_id", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(length=40), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint_sha256", sa.String(length=64), nullable=False),
        sa.Column("options", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("training_curve", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("device", sa.String(length=40), nullable=False),
        sa.Column("training_size", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["iteration_id"], ["iteration.id"], name=op.f("fk_model_iteration_id_iteration")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("iteration_id", "strategy", name=op.f("uq_model_iteration_id_strategy")),
    )
    op.create_index(op.f("ix_model_iteration_id"), "model", ["iteration_id"], unique=False)
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("verdict IN ('approve', 'reject')", name=op.f("ck_decision_verdict_known")),
        sa.ForeignKeyConstraint(
            ["candidate_id"], ["candidate.id"], name=op.f("fk_decision_candidate_id_candidate")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index(op.f("ix_decision_candidate_id"), "decision", ["candidate_id"], unique=False)
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("validator", sa.String(length=40), nullable=False),
        sa.Column("fidelity", sa.String(length=20), nullable=False),
        sa.Column("configuration", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("configuration_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("external_id", sa.String(length=200), nullable=True),
        sa.Column("outcome", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'unconverged', 'failed', 'cancelled')",
            name=op.f("ck_job_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["candidate_id"], ["candidate.id"], name=op.f("fk_job_candidate_id_candidate")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint(
            "candidate_id",
            "validator",
            "configuration_hash",
            name=op.f("uq_job_candidate_id_validator_configuration_hash"),
        ),
    )
    op.create_index(op.f("ix_job_candidate_id"), "job", ["candidate_id"], unique=False)
    op.create_index("ix_job_state_lease", "job", ["state", "lease_expires"], unique=False)


def _drop_tables() -> None:
    op.drop_index("ix_job_state_lease", table_name="job")
    op.drop_index(op.f("ix_job_candidate_id"), table_name="job")
    op.drop_table("job")
    op.drop_index(op.f("ix_decision_candidate_id"), table_name="decision")
    op.drop_table("decision")
    op.drop_index(op.f("ix_model_iteration_id"), table_name="model")
    op.drop_table("model")
    op.drop_index(op.f("ix_hit_rate_iteration_id"), table_name="hit_rate")
    op.drop_table("hit_rate")
    op.drop_index(op.f("ix_candidate_state"), table_name="candidate")
    op.drop_index(op.f("ix_candidate_material_id"), table_name="candidate")
    op.drop_index(op.f("ix_candidate_iteration_id"), table_name="candidate")
    op.drop_table("candidate")
    op.drop_index(op.f("ix_iteration_campaign_id"), table_name="iteration")
    op.drop_table("iteration")
    op.drop_index("ix_data_point_property_fidelity", table_name="data_point")
    op.drop_index(op.f("ix_data_point_material_id"), table_name="data_point")
    op.drop_table("data_point")
    op.drop_index("ix_outbox_unpublished", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_material_system"), table_name="material")
    op.drop_table("material")
    op.drop_table("campaign")

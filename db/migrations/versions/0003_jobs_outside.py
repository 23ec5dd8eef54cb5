"""Jobs that run outside the campaign's processes: their attempts, where they run, and jobs of materials.

Revision 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BEFORE = "state IN ('waiting', 'running', 'done', 'unconverged', 'failed', 'cancelled')"
_NOW = "state IN ('waiting', 'submitted', 'running', 'done', 'unconverged', 'failed', 'lost', 'cancelled')"
_OF_ATTEMPTS = (
    "state IN ('prepared', 'submitted', 'running', 'done', 'unconverged', 'failed', 'lost', 'cancelled')"
)


def _job_table(*checks: sa.CheckConstraint) -> sa.Table:
    """The first schema's table with its checks, which SQLAlchemy does not read back from SQLite."""
    return sa.Table(
        "job",
        sa.MetaData(),
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
        *checks,
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name="fk_job_candidate_id_candidate"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint(
            "candidate_id",
            "validator",
            "configuration_hash",
            name="uq_job_candidate_id_validator_configuration_hash",
        ),
        sa.Index("ix_job_candidate_id", "candidate_id"),
        sa.Index("ix_job_state_lease", "state", "lease_expires"),
    )


def upgrade() -> None:
    """Give jobs a runner and, instead of a candidate, a material; add their attempts."""
    before = _job_table(sa.CheckConstraint(_BEFORE, name="ck_job_state_known"))
    with op.batch_alter_table("job", copy_from=before) as job:
        job.drop_constraint(op.f("ck_job_state_known"), type_="check")
        job.alter_column("candidate_id", existing_type=sa.Integer(), nullable=True)
        job.add_column(sa.Column("material_id", sa.Integer(), nullable=True))
        job.add_column(sa.Column("runner", sa.JSON(none_as_null=True), nullable=True))
        job.create_foreign_key(op.f("fk_job_material_id_material"), "material", ["material_id"], ["id"])
        job.create_check_constraint(op.f("ck_job_state_known"), _NOW)
        job.create_check_constraint(
            op.f("ck_job_candidate_or_material"), "(candidate_id IS NULL) <> (material_id IS NULL)"
        )
        job.create_unique_constraint(
            op.f("uq_job_material_id_validator_configuration_hash"),
            ["material_id", "validator", "configuration_hash"],
        )
        job.create_index(op.f("ix_job_material_id"), ["material_id"])
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_hash", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("result_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(_OF_ATTEMPTS, name=op.f("ck_attempt_state_known")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_attempt_job_id_job")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("job_hash", name=op.f("uq_attempt_job_hash")),
        sa.UniqueConstraint("job_id", "number", name=op.f("uq_attempt_job_id_number")),
    )
    op.create_index(op.f("ix_attempt_job_id"), "attempt", ["job_id"])


def downgrade() -> None:
    """Take them away, and with them the jobs that the earlier schema has no words for."""
    op.drop_index(op.f("ix_attempt_job_id"), table_name="attempt")
    op.drop_table("attempt")
    op.execute("DELETE FROM job WHERE candidate_id IS NULL")
    op.execute("UPDATE job SET state = 'waiting' WHERE state IN ('submitted', 'lost')")
    if op.get_context().dialect.name == "sqlite":
        _copy_back()
        return
    op.drop_index(op.f("ix_job_material_id"), table_name="job")
    op.drop_constraint(op.f("uq_job_material_id_validator_configuration_hash"), "job", type_="unique")
    op.drop_constraint(op.f("ck_job_candidate_or_material"), "job", type_="check")
    op.drop_constraint(op.f("ck_job_state_known"), "job", type_="check")
    op.drop_constraint(op.f("fk_job_material_id_material"), "job", type_="foreignkey")
    op.drop_column("job", "runner")
    op.drop_column("job", "material_id")
    op.alter_column("job", "candidate_id", existing_type=sa.Integer(), nullable=False)
    op.create_check_constraint(op.f("ck_job_state_known"), "job", _BEFORE)


def _copy_back() -> None:
    """SQLite cannot alter a table in place: make the old one anew and fill it."""
    op.drop_index("ix_job_state_lease", table_name="job")
    op.drop_index(op.f("ix_job_material_id"), table_name="job")
    op.drop_index(op.f("ix_job_candidate_id"), table_name="job")
    op.rename_table("job", "job_newer")
    table = _job_table(sa.CheckConstraint(_BEFORE, name="ck_job_state_known"))
    columns = [c.name for c in table.columns]
    bind = op.get_bind()
    references = sa.MetaData()
    sa.Table("candidate", references, sa.Column("id", sa.Integer(), primary_key=True))
    table.to_metadata(references).create(bind)
    names = ", ".join(columns)
    op.execute(f"INSERT INTO job ({names}) SELECT {names} FROM job_newer")  # noqa: S608 - constants
    op.drop_table("job_newer")

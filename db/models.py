"""The store's tables as typed models.

The project's database owns the truth: materials, data points, campaigns, candidates, jobs, outcomes,
decisions, hit rates. Idempotency lives in the unique keys below.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = [
    "ATTEMPT_STATES",
    "CAMPAIGN_STATES",
    "CANDIDATE_STATES",
    "ITERATION_STAGES",
    "JOB_STATES",
    "Attempt",
    "Base",
    "Campaign",
    "Candidate",
    "DataPoint",
    "Decision",
    "HitRate",
    "Iteration",
    "Job",
    "Material",
    "Model",
    "OutboxEvent",
]

CAMPAIGN_STATES = ("new", "running", "idle", "waiting", "done", "stopped")
"""``idle``: between two runs; ``waiting``: for a decision; ``stopped``: a stop rule or a spent budget ended it."""
ITERATION_STAGES = ("training", "generating", "dispatching", "collecting", "scored")
"""The stage that comes next; every stage's result is committed together with the step to the next."""
CANDIDATE_STATES = (
    "proposed",
    "queued",
    "approved",
    "rejected",
    "validating",
    "validated",
    "failed",
    "unconverged",
    "abandoned",
)
JOB_STATES = ("waiting", "submitted", "running", "done", "unconverged", "failed", "lost", "cancelled")
"""``submitted``: a scheduler has it; ``lost``: nobody can say where it is, which is not ``failed``."""
ATTEMPT_STATES = ("prepared", *JOB_STATES[1:])
"""``prepared``: its directory is written, and whether a scheduler has it is not known yet."""
ORIGINS = ("strategy", "random")


def _now() -> datetime:
    return datetime.now(UTC)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{v}'" for v in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC in Python, also on SQLite, which has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Refuse naive times: they would be somebody's local time."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Attach UTC where the database does not keep it."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        # no outcome is SQL's NULL, not a JSON text that says null
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        datetime: UtcDateTime,
        float: Double,
    }


class Material(Base):
    """A unique composition; many data points hang on it."""

    __tablename__ = "material"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(400), unique=True)
    """Identity key, ``hea_loop.composition.Composition.key``."""
    formula: Mapped[str] = mapped_column(String(200))
    system: Mapped[str] = mapped_column(String(100), index=True)
    created_at: Mapped[datetime] = mapped_column(default=_now)
    data_points: Mapped[list[DataPoint]] = relationship(back_populates="material")


class DataPoint(Base):
    """ONE value of one property of one material from one source.

    Never overwritten: a newer one supersedes it.
    """

    __tablename__ = "data_point"
    __table_args__ = (
        UniqueConstraint("material_id", "property", "source"),
        CheckConstraint("(value IS NULL) <> (text IS NULL)", name="value_or_text"),
        _one_of("kind", ("literature", "prediction", "validation", "experiment")),
        _one_of("fidelity", ("prediction", "calphad", "dft", "experiment")),
        Index("ix_data_point_property_fidelity", "property", "fidelity"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    material_id: Mapped[int] = mapped_column(ForeignKey("material.id"), index=True)
    property: Mapped[str] = mapped_column(String(60))
    value: Mapped[float | None]
    text: Mapped[str | None] = mapped_column(Text)
    unit: Mapped[str] = mapped_column(String(20))
    sigma: Mapped[float | None]
    kind: Mapped[str] = mapped_column(String(20))
    fidelity: Mapped[str] = mapped_column(String(20))
    method: Mapped[str] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(200))
    """What makes it one: the row of a compilation, the job, or the predictor with its version."""
    temperature_K: Mapped[float | None]
    conditions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Phases, processing, test, time, the authors' own labels, DOI, year: plain JSON."""
    doi: Mapped[str | None] = mapped_column(String(200))
    superseded_by: Mapped[int | None] = mapped_column(ForeignKey("data_point.id"))
    created_at: Mapped[datetime] = mapped_column(default=_now)
    material: Mapped[Material] = relationship(back_populates="data_points")


class Campaign(Base):
    """A campaign, its specification and where it stands."""

    __tablename__ = "campaign"
    __table_args__ = (_one_of("state", CAMPAIGN_STATES),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    spec: Mapped[dict[str, Any]]
    spec_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20), default="new")
    stop_reason: Mapped[str | None] = mapped_column(Text)
    owner: Mapped[str | None] = mapped_column(String(200))
    """Who runs it now, ``host:pid:token``; None when nobody does."""
    owner_expires: Mapped[datetime | None]
    flow_run_id: Mapped[str | None] = mapped_column(String(40))
    """Prefect's id of the run that owns it, so that a dead run can be reconciled."""
    feasibility: Mapped[dict[str, Any] | None]
    """What its targets ask for, as judged before the first iteration; None while it was not."""
    created_at: Mapped[datetime] = mapped_column(default=_now)
    updated_at: Mapped[datetime] = mapped_column(default=_now, onupdate=_now)
    iterations: Mapped[list[Iteration]] = relationship(back_populates="campaign", order_by="Iteration.number")


class Iteration(Base):
    """One turn of a campaign."""

    __tablename__ = "iteration"
    __table_args__ = (UniqueConstraint("campaign_id", "number"), _one_of("stage", ITERATION_STAGES))
    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    number: Mapped[int]
    """1, 2, ..."""
    stage: Mapped[str] = mapped_column(String(20), default="training")
    created_at: Mapped[datetime] = mapped_column(default=_now)
    scored_at: Mapped[datetime | None]
    campaign: Mapped[Campaign] = relationship(back_populates="iterations")
    candidates: Mapped[list[Candidate]] = relationship(back_populates="iteration", order_by="Candidate.rank")
    hit_rates: Mapped[list[HitRate]] = relationship(back_populates="iteration")


class Candidate(Base):
    """A material that an iteration proposed."""

    __tablename__ = "candidate"
    __table_args__ = (
        UniqueConstraint("iteration_id", "material_id"),
        UniqueConstraint("iteration_id", "rank"),
        _one_of("state", CANDIDATE_STATES),
        _one_of("origin", ORIGINS),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iteration.id"), index=True)
    material_id: Mapped[int] = mapped_column(ForeignKey("material.id"), index=True)
    origin: Mapped[str] = mapped_column(String(20))
    """``strategy``, or ``random`` for the share that measures the base rate."""
    rank: Mapped[int]
    """1 is the best ranked of the iteration; the random share comes last."""
    probability: Mapped[float | None]
    """Predicted probability that all targets and verdicts hold, when it was chosen."""
    predicted: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What was predicted when it was chosen: plain JSON."""
    state: Mapped[str] = mapped_column(String(20), default="proposed", index=True)
    hit: Mapped[bool | None]
    """Judged at ``fidelity``; None while there is no answer."""
    fidelity: Mapped[str | None] = mapped_column(String(20))
    """Highest fidelity it has been validated at."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Which targets and verdicts failed, or why there is no answer."""
    created_at: Mapped[datetime] = mapped_column(default=_now)
    updated_at: Mapped[datetime] = mapped_column(default=_now, onupdate=_now)
    iteration: Mapped[Iteration] = relationship(back_populates="candidates")
    material: Mapped[Material] = relationship()
    jobs: Mapped[list[Job]] = relationship(back_populates="candidate")
    decisions: Mapped[list[Decision]] = relationship(back_populates="candidate", order_by="Decision.id")


class Job(Base):
    """One validator on one candidate, or on a material that nobody proposed, under one configuration."""

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("candidate_id", "validator", "configuration_hash"),
        UniqueConstraint("material_id", "validator", "configuration_hash"),
        CheckConstraint("(candidate_id IS NULL) <> (material_id IS NULL)", name="candidate_or_material"),
        _one_of("state", JOB_STATES),
        Index("ix_job_state_lease", "state", "lease_expires"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    candidate_id: Mapped[int | None] = mapped_column(ForeignKey("candidate.id"), index=True)
    material_id: Mapped[int | None] = mapped_column(ForeignKey("material.id"), index=True)
    """Set for a job outside any campaign."""
    validator: Mapped[str] = mapped_column(String(40))
    fidelity: Mapped[str] = mapped_column(String(20))
    configuration: Mapped[dict[str, Any]]
    configuration_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires: Mapped[datetime | None]
    external_id: Mapped[str | None] = mapped_column(String(200))
    runner: Mapped[dict[str, Any] | None]
    """Where it runs and within which limits; None for what runs in the campaign's own processes."""
    outcome: Mapped[dict[str, Any] | None]
    """The validator's outcome as JSON, once there is one."""
    message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=_now)
    finished_at: Mapped[datetime | None]
    candidate: Mapped[Candidate | None] = relationship(back_populates="jobs")
    material: Mapped[Material | None] = relationship()
    tries: Mapped[list[Attempt]] = relationship(back_populates="job", order_by="Attempt.number")

    @property
    def subject(self) -> Material:
        """The material that is asked about."""
        found = self.material if self.candidate is None else self.candidate.material
        assert found is not None  # noqa: S101 - a check of the table
        return found


class Attempt(Base):
    """One try of a job that runs outside: its directory, and what became of it."""

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("job_id", "number"), _one_of("state", ATTEMPT_STATES))
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    number: Mapped[int]
    """1, 2, ..."""
    job_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of what ``job.json`` asks, a nonce included: a result that repeats it belongs here."""
    nonce: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(20), default="prepared")
    directory: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(String(200))
    message: Mapped[str | None] = mapped_column(Text)
    result_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=_now)
    lost_at: Mapped[datetime | None]
    """When contact was lost; None while there is some."""
    finished_at: Mapped[datetime | None]
    job: Mapped[Job] = relationship(back_populates="tries")


class Decision(Base):
    """What a person said of a candidate. Appended, never edited: the store refuses both."""

    __tablename__ = "decision"
    __table_args__ = (_one_of("verdict", ("approve", "reject")),)
    id: Mapped[int] = mapped_column(primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), index=True)
    verdict: Mapped[str] = mapped_column(String(20))
    who: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(default=_now)
    candidate: Mapped[Candidate] = relationship(back_populates="decisions")


class Model(Base):
    """A trained generator: checkpoint, metrics, training curve."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("iteration_id", "strategy"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iteration.id"), index=True)
    strategy: Mapped[str] = mapped_column(String(40))
    checkpoint: Mapped[bytes] = mapped_column(LargeBinary)
    """Weights only, loadable without executing anything."""
    checkpoint_sha256: Mapped[str] = mapped_column(String(64))
    options: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    training_curve: Mapped[list[Any]]
    device: Mapped[str] = mapped_column(String(40))
    training_size: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=_now)


class HitRate(Base):
    """Hit rate of one iteration at one fidelity, for one origin of candidates."""

    __tablename__ = "hit_rate"
    __table_args__ = (UniqueConstraint("iteration_id", "fidelity", "origin"), _one_of("origin", ORIGINS))
    id: Mapped[int] = mapped_column(primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iteration.id"), index=True)
    fidelity: Mapped[str] = mapped_column(String(20))
    origin: Mapped[str] = mapped_column(String(20))
    proposed: Mapped[int]
    validated: Mapped[int]
    failed: Mapped[int]
    unconverged: Mapped[int]
    hit: Mapped[int]
    rate: Mapped[float | None]
    """hit / validated; None when nothing was validated."""
    ci_low: Mapped[float | None]
    ci_high: Mapped[float | None]
    diversity: Mapped[float | None]
    """Mean total-variation distance among the validated, 0 to 1; None for fewer than two of them."""
    computed_at: Mapped[datetime] = mapped_column(default=_now)
    iteration: Mapped[Iteration] = relationship(back_populates="hit_rates")


class OutboxEvent(Base):
    """A change that others react to, written in the transaction that made it."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_unpublished", "published_at", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(String(80))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=_now)
    published_at: Mapped[datetime | None]

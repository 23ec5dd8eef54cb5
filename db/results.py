"""What the store knows, asked by its domain names: read only.

A campaign's hit rates, its queue, its candidates with their values, its trained models and its failures.
The command line, the report and a notebook ask here and nowhere else.

Two shares are kept apart everywhere: the strategy's candidates (``proposed``, ``validated``, ``hit``,
``failed``, ``unconverged``, ``hit_rate``) and the uniform random ones (``random_...``), because the second
measures the base rate of the first and must not be mixed into it. ``validated_in_all`` is the sum of both:
what the budget paid for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.jobs import source_of
from db.material_facts import Fact, fact_of
from db.models import Campaign, Candidate, DataPoint, Decision, HitRate, Iteration, Job, Material, Model
from db.objectives import campaign_objectives
from db.ownership import is_free
from hea_loop.composition import Composition
from hea_loop.elasticity import decides_last
from hea_loop.errors import InputError
from hea_loop.properties import FIDELITIES
from hea_loop.scoring import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

    from hea_loop.objectives import ObjectiveProgress

__all__ = [
    "CampaignResults",
    "CandidateResult",
    "IterationResult",
    "JobFailure",
    "QueueRow",
    "RateRow",
    "TrainingRecord",
    "campaign_candidates",
    "campaign_names",
    "campaign_or_latest",
    "campaign_results",
    "decisions_of",
    "job_failures",
    "queue_rows",
    "rates_at",
    "training_records",
]

_FIDELITY: Final = "calphad"
_ENDED: Final = frozenset({"validated", "failed", "unconverged", "rejected", "abandoned"})


@dataclass(frozen=True, slots=True)
class IterationResult:
    """One iteration in numbers, at CALPHAD fidelity; rates are None where nothing was validated.

    Attributes:
        iteration: 1, 2, ...
        stage: The stage that comes next; ``scored`` when it is complete.
        proposed: Candidates of the strategy.
        validated: Of these, the ones with a converged answer.
        hit: Of the validated, those that lie in every target and whose every verdict holds.
        failed: Of the proposed, the ones whose validation ended in an error.
        unconverged: Of the proposed, the ones that got no answer.
        hit_rate: hit / validated.
        ci_low: Lower end of the 95% Wilson interval of the hit rate.
        ci_high: Upper end.
        diversity: Mean total-variation distance among the validated, 0 (all alike) to 1 (no element in common).
        random_proposed: The same numbers of the uniform random share.
        random_validated: See above.
        random_hit: See above.
        random_failed: See above.
        random_unconverged: See above.
        random_hit_rate: Base rate as this iteration measured it.
        random_ci_low: Lower end of its 95% Wilson interval.
        random_ci_high: Upper end.
        random_diversity: See above.
        validated_in_all: validated + random_validated.
        pending: Candidates of both shares that still wait for review or for their validation.
        rejected: Candidates of both shares that a person rejected.
    """

    iteration: int
    stage: str
    proposed: int = 0
    validated: int = 0
    hit: int = 0
    failed: int = 0
    unconverged: int = 0
    hit_rate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    diversity: float | None = None
    random_proposed: int = 0
    random_validated: int = 0
    random_hit: int = 0
    random_failed: int = 0
    random_unconverged: int = 0
    random_hit_rate: float | None = None
    random_ci_low: float | None = None
    random_ci_high: float | None = None
    random_diversity: float | None = None
    validated_in_all: int = 0
    pending: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class CampaignResults:
    """A campaign's results, iteration by iteration.

    Attributes:
        campaign: Its name.
        seed: Its seed.
        state: ``new``, ``running``, ``idle`` (between two runs), ``waiting`` (for decisions), ``done``,
            ``stopped``, or ``interrupted`` where the run that worked on it is dead: the next one goes on.
        stop_reason: Why it stopped, None while it has not.
        iterations: In order.
        totals: The counts summed over the iterations, with the pooled rates and their intervals.
        objectives: Of a campaign that optimises, the best hits after every iteration.
    """

    campaign: str
    seed: int
    state: str
    stop_reason: str | None
    iterations: tuple[IterationResult, ...]
    totals: dict[str, float | int | None]
    objectives: tuple[ObjectiveProgress, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: campaign, seed, state, stop_reason, iterations, totals, and objectives where it has any."""
        body = asdict(self) | {"iterations": [asdict(i) for i in self.iterations]}
        if not self.objectives:
            del body["objectives"]
        return body

    def to_dataframe(self) -> pd.DataFrame:
        """One row per iteration, indexed by its number; the columns are the fields of IterationResult."""
        import pandas as pd

        names = list(IterationResult.__dataclass_fields__)
        frame = pd.DataFrame([asdict(i) for i in self.iterations], columns=names)
        rates = [n for n in names if n.endswith(("rate", "low", "high", "diversity"))]
        return frame.astype(dict.fromkeys(rates, float)).set_index("iteration")


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A candidate that waits for a decision."""

    id: int
    campaign: str
    iteration: int
    rank: int
    composition: Composition
    origin: str
    probability: float | None
    predicted: Mapping[str, Any]
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A candidate with its state and with the data points of its material."""

    id: int
    iteration: int
    rank: int
    origin: str
    state: str
    composition: Composition
    probability: float | None
    predicted: Mapping[str, Any]
    hit: bool | None
    fidelity: str | None
    reason: str | None
    facts: tuple[Fact, ...] = ()

    def best(self, name: str, temperature_K: float | None = None) -> Fact | None:
        """The value of a property at the highest fidelity that is known, not superseded.

        Args:
            name: A property of the vocabulary.
            temperature_K: Only values at this temperature; None takes any.
        """
        found = [
            f
            for f in self.facts
            if f.property == name
            and not f.superseded
            and f.value is not None
            and (temperature_K is None or f.temperature_K == temperature_K)
        ]
        return max(found, key=lambda f: FIDELITIES.index(f.fidelity), default=None)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A job that gave no values."""

    iteration: int
    candidate_id: int
    composition: Composition
    validator: str
    state: str
    attempts: int
    message: str


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """The model an iteration trained, without its weights."""

    iteration: int
    strategy: str
    device: str
    training_size: int
    metrics: Mapping[str, Any]
    curve: Sequence[Any]
    checkpoint_sha256: str


def campaign_names(session: Session) -> list[tuple[str, str]]:
    """``(name, state)`` of every campaign, the one that moved last first."""
    rows = session.scalars(select(Campaign).order_by(Campaign.updated_at.desc(), Campaign.id.desc()))
    return [(row.name, shown_state(row)) for row in rows]


def shown_state(campaign: Campaign) -> str:
    """The campaign's state, ``interrupted`` where it says running and nobody runs it any more."""
    if campaign.state == "running" and is_free(campaign.owner, campaign.owner_expires):
        return "interrupted"
    return campaign.state


def campaign_or_latest(session: Session, name: str | None) -> Campaign:
    """The campaign of that name; None means the one that moved last.

    Raises:
        InputError: There is none.
    """
    names = [n for n, _ in campaign_names(session)]
    if not names:
        raise InputError("campaign", name, "the store has no campaign", "start one with `hea-loop run`")
    wanted = names[0] if name is None else name
    found = session.scalar(select(Campaign).where(Campaign.name == wanted))
    if found is None:
        listed = ", ".join(names[:10])
        raise InputError(
            "campaign", wanted, "is not the name of a campaign in the store", f"there are: {listed}"
        )
    return found


def _share(rows: Sequence[HitRate], states: Counter[tuple[str, str]], origin: str) -> dict[str, Any]:
    """Counts and rate of one share: from its hit-rate row, or from the candidates while there is none."""
    for row in rows:
        if row.origin == origin and row.fidelity == _FIDELITY:
            return {
                "proposed": row.proposed,
                "validated": row.validated,
                "hit": row.hit,
                "failed": row.failed,
                "unconverged": row.unconverged,
                "hit_rate": row.rate,
                "ci_low": row.ci_low,
                "ci_high": row.ci_high,
                "diversity": row.diversity,
            }
    counted = {state: states[origin, state] for state in ("validated", "failed", "unconverged", "hit")}
    proposed = sum(n for (o, s), n in states.items() if o == origin and s != "hit")
    return {
        "proposed": proposed,
        **counted,
        "hit_rate": None,
        "ci_low": None,
        "ci_high": None,
        "diversity": None,
    }


def _iteration_result(
    iteration: Iteration, rows: Sequence[HitRate], states: Counter[tuple[str, str]]
) -> IterationResult:
    ours = _share(rows, states, "strategy")
    random = {f"random_{k}": v for k, v in _share(rows, states, "random").items()}
    counts = {k: n for k, n in states.items() if k[1] != "hit"}
    return IterationResult(
        iteration=iteration.number,
        stage=iteration.stage,
        **ours,
        **random,
        validated_in_all=ours["validated"] + random["random_validated"],
        pending=sum(n for (_, state), n in counts.items() if state not in _ENDED),
        rejected=sum(n for (_, state), n in counts.items() if state == "rejected"),
    )


def _pooled(iterations: Iterable[IterationResult]) -> dict[str, float | int | None]:
    rows = list(iterations)
    counted = ("proposed", "validated", "hit", "failed", "unconverged")
    totals: dict[str, float | int | None] = {}
    for prefix in ("", "random_"):
        sums = {f"{prefix}{n}": sum(int(getattr(r, f"{prefix}{n}")) for r in rows) for n in counted}
        validated, hit = sums[f"{prefix}validated"], sums[f"{prefix}hit"]
        low, high = wilson_interval(hit, validated) or (None, None)
        totals |= sums
        totals |= {
            f"{prefix}hit_rate": hit / validated if validated else None,
            f"{prefix}ci_low": low,
            f"{prefix}ci_high": high,
        }
    totals["validated_in_all"] = sum(r.validated_in_all for r in rows)
    totals["pending"] = sum(r.pending for r in rows)
    totals["rejected"] = sum(r.rejected for r in rows)
    return totals


def campaign_results(session: Session, name: str | None) -> CampaignResults:
    """Hit rates of a campaign by iteration, from the rows its scoring wrote.

    An iteration that is not scored yet has its counts from its candidates and no rate.

    Args:
        session: A session of the store.
        name: The campaign; None means the one that moved last.

    Raises:
        InputError: There is no such campaign.
    """
    campaign = campaign_or_latest(session, name)
    rates: dict[int, list[HitRate]] = defaultdict(list)
    for row in session.scalars(select(HitRate).join(Iteration).where(Iteration.campaign_id == campaign.id)):
        rates[row.iteration_id].append(row)
    states: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    counted = session.execute(
        select(Candidate.iteration_id, Candidate.origin, Candidate.state, Candidate.hit)
        .join(Iteration)
        .where(Iteration.campaign_id == campaign.id)
    )
    for iteration_id, origin, state, hit in counted:
        states[iteration_id][origin, state] += 1
        if hit and state == "validated":
            states[iteration_id][origin, "hit"] += 1
    iterations = tuple(_iteration_result(i, rates[i.id], states[i.id]) for i in campaign.iterations)
    return CampaignResults(
        campaign=campaign.name,
        seed=int(campaign.spec.get("seed", 1)),
        state=shown_state(campaign),
        stop_reason=campaign.stop_reason,
        iterations=iterations,
        totals=_pooled(iterations),
        objectives=campaign_objectives(session, campaign),
    )


@dataclass(frozen=True, slots=True)
class RateRow:
    """Hit rate of one origin of candidates of one iteration at one fidelity."""

    iteration: int
    origin: str
    proposed: int
    validated: int
    hit: int
    failed: int
    unconverged: int
    rate: float | None
    ci_low: float | None
    ci_high: float | None


def rates_at(session: Session, name: str | None, fidelity: str) -> list[RateRow]:
    """Hit rates of a campaign at one fidelity, by iteration and origin.

    Args:
        session: A session of the store.
        name: The campaign; None means the one that moved last.
        fidelity: ``prediction``, ``calphad`` or ``dft``; of the last only those that were sent are counted.

    Raises:
        InputError: There is no such campaign.
    """
    campaign = campaign_or_latest(session, name)
    columns = [getattr(HitRate, n) for n in RateRow.__dataclass_fields__ if n != "iteration"]
    rows = session.execute(
        select(Iteration.number, *columns)
        .join(Iteration, Iteration.id == HitRate.iteration_id)
        .where(Iteration.campaign_id == campaign.id, HitRate.fidelity == fidelity)
        .order_by(Iteration.number, HitRate.origin.desc())
    )
    return [RateRow(*row) for row in rows]


def queue_rows(session: Session, campaign: str | None = None) -> list[QueueRow]:
    """Candidates that wait for a decision, the best ranked first.

    Args:
        session: A session of the store.
        campaign: Only this campaign's; None takes all.

    Raises:
        InputError: There is no campaign of that name.
    """
    query = (
        select(Candidate, Iteration.number, Campaign.name, Material.key)
        .join(Candidate.iteration)
        .join(Iteration.campaign)
        .join(Candidate.material)
        .where(Candidate.state == "queued")
        .order_by(Campaign.name, Iteration.number, Candidate.rank)
    )
    if campaign is not None:
        query = query.where(Campaign.id == campaign_or_latest(session, campaign).id)
    return [
        QueueRow(
            id=c.id,
            campaign=name,
            iteration=number,
            rank=c.rank,
            composition=Composition.from_key(key),
            origin=c.origin,
            probability=c.probability,
            predicted=c.predicted,
            queued_at=c.updated_at,
        )
        for c, number, name, key in session.execute(query)
    ]


def campaign_candidates(session: Session, name: str | None) -> list[CandidateResult]:
    """All candidates of a campaign with the data points of their materials, in the order they were proposed.

    Raises:
        InputError: There is no such campaign.
    """
    campaign = campaign_or_latest(session, name)
    rows = session.execute(
        select(Candidate, Iteration.number, Material.key)
        .join(Candidate.iteration)
        .join(Candidate.material)
        .order_by(Iteration.number, Candidate.rank)
        .where(Iteration.campaign_id == campaign.id)
    ).all()
    facts: dict[int, list[Fact]] = defaultdict(list)
    ours = select(Candidate.material_id).join(Candidate.iteration).where(Iteration.campaign_id == campaign.id)
    for point in session.scalars(
        select(DataPoint).where(DataPoint.material_id.in_(ours)).order_by(DataPoint.id)
    ):
        facts[point.material_id].append(fact_of(point))
    own: dict[int, tuple[str, ...]] = defaultdict(tuple)
    jobs = (
        select(Job).join(Job.candidate).join(Candidate.iteration).where(Iteration.campaign_id == campaign.id)
    )
    for job in session.scalars(jobs):
        if job.candidate_id is not None:
            own[job.candidate_id] += (source_of(job),)
    elasticity = campaign.spec.get("elasticity", "linear-combination")
    for found in facts.values():
        # of two predictions of a property the campaign's kind comes first, and of these the newest, as it is judged
        found.reverse()
        found.sort(key=lambda f: not decides_last(f.source, elasticity))
    return [
        CandidateResult(
            id=c.id,
            iteration=number,
            rank=c.rank,
            origin=c.origin,
            state=c.state,
            composition=Composition.from_key(key),
            probability=c.probability,
            predicted=c.predicted or {},
            hit=c.hit,
            fidelity=c.fidelity,
            reason=c.reason,
            facts=_as_judged(facts[c.material_id], own[c.id]),
        )
        for c, number, key in rows
    ]


def _as_judged(facts: Sequence[Fact], own: tuple[str, ...]) -> tuple[Fact, ...]:
    """The facts of a candidate's material as its campaign judges: what its own validators gave comes first.

    Atomistic values of another configuration, which somebody else asked for, judge nothing here and are left out.
    """
    kept = [
        f for f in facts if f.source.startswith(own) or not (f.kind == "validation" and f.fidelity == "dft")
    ]
    return tuple(sorted(kept, key=lambda f: not f.source.startswith(own)))


def job_failures(session: Session, name: str | None) -> list[JobFailure]:
    """Jobs of a campaign that ended without values, with what they said.

    Raises:
        InputError: There is no such campaign.
    """
    campaign = campaign_or_latest(session, name)
    rows = session.execute(
        select(Job, Iteration.number, Material.key)
        .join(Job.candidate)
        .join(Candidate.iteration)
        .join(Candidate.material)
        .where(Job.state.in_(("failed", "unconverged")))
        .order_by(Iteration.number, Candidate.rank, Job.id)
        .where(Iteration.campaign_id == campaign.id)
    )
    return [
        JobFailure(
            iteration=number,
            candidate_id=job.candidate_id,
            composition=Composition.from_key(key),
            validator=job.validator,
            state=job.state,
            attempts=job.attempts,
            message=job.message or "",
        )
        for job, number, key in rows
    ]


def training_records(session: Session, name: str | None) -> list[TrainingRecord]:
    """The models a campaign trained, by iteration; the weights stay in the store.

    Raises:
        InputError: There is no such campaign.
    """
    campaign = campaign_or_latest(session, name)
    rows = session.execute(
        select(
            Iteration.number,
            Model.strategy,
            Model.device,
            Model.training_size,
            Model.metrics,
            Model.training_curve,
            Model.checkpoint_sha256,
        )
        .select_from(Model)
        .join(Iteration, Iteration.id == Model.iteration_id)
        .order_by(Iteration.number)
        .where(Iteration.campaign_id == campaign.id)
    )
    return [TrainingRecord(*row) for row in rows]


def decisions_of(session: Session, name: str | None) -> list[tuple[Decision, Composition]]:
    """What people decided on a campaign's candidates, oldest first.

    Raises:
        InputError: There is no such campaign.
    """
    campaign = campaign_or_latest(session, name)
    rows = session.execute(
        select(Decision, Material.key)
        .join(Decision.candidate)
        .join(Candidate.iteration)
        .join(Candidate.material)
        .order_by(Decision.id)
        .where(Iteration.campaign_id == campaign.id)
    )
    return [(decision, Composition.from_key(key)) for decision, key in rows]

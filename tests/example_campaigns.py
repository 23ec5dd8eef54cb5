"""Stores with small made-up campaigns, written through the models, for tests of what reads them.

The values are plausible and invented; they stand only in tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from db.models import (
    Campaign,
    Candidate,
    DataPoint,
    Decision,
    HitRate,
    Iteration,
    Job,
    Material,
    Model,
)
from hea_loop.campaign import parse_campaign
from hea_loop.composition import Composition
from hea_loop.formula import parse_composition
from hea_loop.scoring import wilson_interval

PALETTE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
SPEC: dict[str, Any] = {
    "name": "example",
    "description": "Stiff and tough at low weight.",
    "seed": 7,
    "palette": {"elements": list(PALETTE)},
    "targets": {
        "shear_modulus": {"min": 50, "max": 80, "unit": "GPa"},
        "fracture_toughness_rice": {"min": 1.8, "unit": "MPa m^0.5"},
        "density": {"max": 9.5, "unit": "g/cm3"},
        "solidus": {"min": 2000, "unit": "K"},
    },
    "verdicts": {"single_phase_bcc": {"temperatures_K": [1273, 1673]}},
    "validators": {"calphad": {"budget": 200}},
    "iterations": 5,
    "batch_size": 20,
}
LITERATURE = (
    ("HfNbTaTiZr", "BCC", "10.1016/j.jallcom.2011.02.171"),
    ("MoNbTaW", "BCC", "10.1016/j.intermet.2010.05.014"),
    ("MoNbTaVW", "BCC", "10.1016/j.intermet.2011.01.004"),
    ("CrNbTiZr", "BCC + Laves", "10.1016/j.actamat.2012.11.032"),
    ("NbTiVZr", "BCC", "10.1016/j.msea.2012.12.018"),
)


def material_of(session: Session, composition: Composition) -> Material:
    """The material of a composition, made if it is new."""
    found = session.query(Material).filter_by(key=composition.key).one_or_none()
    if found is None:
        found = Material(key=composition.key, formula=composition.formula, system=composition.system)
        session.add(found)
        session.flush()
    return found


def add_literature(session: Session) -> None:
    """Five alloys with their phases and a hardness."""
    for n, (formula, phases, doi) in enumerate(LITERATURE):
        material = material_of(session, parse_composition(formula))
        common = {
            "material_id": material.id,
            "kind": "literature",
            "fidelity": "experiment",
            "method": "as reported",
            "doi": doi,
        }
        session.add(
            DataPoint(property="phases_observed", text=phases, unit="", source=f"table:{n}", **common)
        )
        session.add(DataPoint(property="hardness", value=400.0 + n, unit="HV", source=f"table:{n}", **common))


def add_computed_alloy(session: Session, formula: str, doi: str) -> None:
    """An alloy that nobody made: a modulus from first principles."""
    session.add(
        DataPoint(
            material_id=material_of(session, parse_composition(formula)).id,
            property="shear_modulus",
            value=50.0,
            unit="GPa",
            kind="literature",
            fidelity="dft",
            method="EMTO-CPA",
            source="table:dft",
            doi=doi,
        )
    )


def _predict(session: Session, material: Material, fractions: np.ndarray) -> dict[str, float]:
    values = {
        "shear_modulus": float(40 + 90 * fractions[[0, 2, 7]].sum()),
        "fracture_toughness_rice": float(1.2 + 1.6 * fractions[[0, 2, 7]].sum()),
        "density": float(fractions @ [7.2, 13.3, 10.2, 8.6, 16.7, 4.5, 6.1, 19.3, 6.5]),
    }
    units = {"shear_modulus": "GPa", "fracture_toughness_rice": "MPa m^0.5", "density": "g/cm3"}
    if session.query(DataPoint).filter_by(material_id=material.id, kind="prediction").first() is None:
        session.add_all(
            DataPoint(
                material_id=material.id,
                property=name,
                value=value,
                sigma=0.1 * value,
                unit=units[name],
                kind="prediction",
                fidelity="prediction",
                method="linear combination",
                source="prediction:linear combination",
            )
            for name, value in values.items()
        )
    return values


def _validate(session: Session, candidate: Candidate, material: Material, rng: np.random.Generator) -> None:
    solidus = float(rng.uniform(1800, 2600))
    single = bool(rng.random() < 0.8)
    for temperature in (1273.0, 1673.0):
        phases = (
            [{"name": "BCC_A2", "fraction": 1.0}]
            if single
            else [{"name": "BCC_A2", "fraction": 0.9}, {"name": "LAVES_C15", "fraction": 0.1}]
        )
        session.add(
            DataPoint(
                material_id=material.id,
                property="single_phase_bcc",
                value=float(single),
                unit="1",
                kind="validation",
                fidelity="calphad",
                method="pycalphad 0.11.2, refractory10 ab12cd34",
                source=f"calphad:0123:{temperature:g}K",
                temperature_K=temperature,
                conditions={"detail": {"phases": phases}},
            )
        )
    session.add(
        DataPoint(
            material_id=material.id,
            property="solidus",
            value=solidus,
            unit="K",
            kind="validation",
            fidelity="calphad",
            method="pycalphad 0.11.2, refractory10 ab12cd34",
            source="calphad:0123",
        )
    )
    candidate.state, candidate.fidelity = "validated", "calphad"
    reasons = [] if single else ["single_phase_bcc does not hold at 1273 K"]
    if solidus < 2000:
        reasons.append(f"solidus {solidus:.0f} K below 2000 K")
    candidate.reason = "; ".join(reasons) or None


def _job(session: Session, candidate: Candidate, state: str, message: str | None) -> None:
    session.add(
        Job(
            candidate_id=candidate.id,
            validator="calphad",
            fidelity="calphad",
            configuration={"temperatures_K": [1273, 1673]},
            configuration_hash="0" * 64,
            state=state,
            attempts=1,
            message=message,
        )
    )


def _score(session: Session, iteration: Iteration, candidates: Sequence[Candidate]) -> None:
    for origin in ("strategy", "random"):
        group = [c for c in candidates if c.origin == origin]
        validated = sum(c.state == "validated" for c in group)
        hit = sum(bool(c.hit) for c in group)
        low, high = wilson_interval(hit, validated) or (None, None)
        session.add(
            HitRate(
                iteration_id=iteration.id,
                fidelity="calphad",
                origin=origin,
                proposed=len(group),
                validated=validated,
                failed=sum(c.state == "failed" for c in group),
                unconverged=sum(c.state == "unconverged" for c in group),
                hit=hit,
                rate=hit / validated if validated else None,
                ci_low=low,
                ci_high=high,
            )
        )
    iteration.stage = "scored"


def add_campaign(
    session: Session,
    *,
    name: str = "example",
    description: str | None = None,
    scored: int = 3,
    hit_probability: float = 0.6,
    in_progress: str | None = None,
    end: str = "mixed",
    seed: int = 1,
) -> Campaign:
    """A campaign with iterations of 18 candidates of the strategy and 2 random ones.

    Args:
        session: A write transaction.
        name: Its name, which is not checked here.
        description: Its description.
        scored: Iterations that are complete.
        hit_probability: Share of hits of the strategy's validated candidates in the last one.
        in_progress: Stage of one more iteration that is not scored, None for none.
        end: ``mixed`` lets one candidate fail and one not converge, ``failed`` lets all fail.
        seed: Of the made-up numbers.
    """
    rng = np.random.default_rng(seed)
    spec = parse_campaign(SPEC).model_dump(mode="json")
    spec |= {"name": name} | ({} if description is None else {"description": description})
    campaign = Campaign(
        name=name, spec=spec, spec_hash="c0ffee" + "0" * 58, state="running" if in_progress else "done"
    )
    session.add(campaign)
    session.flush()
    for number in range(1, scored + 1 + (in_progress is not None)):
        iteration = Iteration(campaign_id=campaign.id, number=number, stage=in_progress or "training")
        session.add(iteration)
        session.flush()
        is_open = number > scored
        steps = range(0, 200, 10)
        session.add(
            Model(
                iteration_id=iteration.id,
                strategy="cgan-2021",
                checkpoint=b"weights",
                checkpoint_sha256="5" * 64,
                options={},
                metrics={"conditional_error": 8.0 / number, "seconds": 3.2},
                training_curve=[
                    {
                        "step": s,
                        "critic_loss": -1 / (1 + s / 40),
                        "generator_loss": 1 / (1 + s / (30 * number)),
                    }
                    for s in steps
                ],
                device="cpu",
                training_size=5 + 18 * (number - 1),
            )
        )
        _fill(
            session,
            iteration,
            rng,
            is_open=is_open,
            hits=hit_probability * number / max(scored, 1),
            all_fail=end == "failed",
        )
    session.flush()
    return campaign


def _fill(
    session: Session,
    iteration: Iteration,
    rng: np.random.Generator,
    *,
    is_open: bool,
    hits: float,
    all_fail: bool,
) -> None:
    candidates = []
    for rank in range(1, 21):
        fractions = rng.dirichlet(np.full(len(PALETTE), 0.7))
        composition = Composition.from_fractions(PALETTE, fractions)
        material = material_of(session, composition)
        predicted = _predict(session, material, fractions)
        candidate = Candidate(
            iteration_id=iteration.id,
            material_id=material.id,
            origin="random" if rank > 18 else "strategy",
            rank=rank,
            probability=None if rank > 18 else float(rng.uniform(0.1, 0.9)),
            predicted={k: {"value": v, "sigma": 0.1 * v} for k, v in predicted.items()},
            state="proposed",
        )
        session.add(candidate)
        session.flush()
        candidates.append(candidate)
        if is_open and rank > 5:
            candidate.state = "queued"
            continue
        if all_fail or rank == 3:
            candidate.state, candidate.reason = "failed", "the equilibrium raised <DofError> & ended"
            _job(session, candidate, "failed", candidate.reason)
        elif rank == 4:
            candidate.state, candidate.reason = "unconverged", "no convergence at 1273 K on either grid"
            _job(session, candidate, "unconverged", candidate.reason)
        else:
            _validate(session, candidate, material, rng)
            _job(session, candidate, "done", None)
            good = candidate.reason is None
            candidate.hit = good and (candidate.origin == "strategy") and rng.random() < hits
            if good and not candidate.hit:
                candidate.reason = f"density {predicted['density']:.2f} g/cm3 above 9.5 g/cm3"
    if not is_open:
        _score(session, iteration, candidates)
    session.flush()


def add_decision(session: Session, candidate_id: int, *, verdict: str, who: str, reason: str) -> None:
    """One decision, as a person would have made it."""
    session.add(Decision(candidate_id=candidate_id, verdict=verdict, who=who, reason=reason))

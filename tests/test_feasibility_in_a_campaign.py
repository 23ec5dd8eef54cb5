"""A campaign whose targets nothing meets is refused before it is stored; of any other the report is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.campaign_run import prepare
from app.report import build_report
from db.campaigns import register
from db.found import found_by_target
from db.results import campaign_candidates, campaign_names
from db.store import Store, open_store
from flows.feasibility import campaign_feasibility, learned_chances, refuse_infeasible
from hea_loop.campaign import Campaign, parse_campaign
from hea_loop.errors import InputError
from hea_loop.scoring import wilson_interval
from tests.example_campaigns import add_campaign, add_literature
from tests.small_campaign import small_campaign

IMPOSSIBLE = {"shear_modulus": {"min": 40, "max": 45}, "fracture_toughness_rice": {"min": 0.6}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")


def impossible(**changes: object) -> Campaign:
    return small_campaign(targets=IMPOSSIBLE, **changes)


def test_impossible_targets_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with pytest.raises(InputError, match="feasibility: warn") as refused:
        prepare(impossible(), url)
    assert refused.value.field == "targets"
    with open_store(url) as store, store.read() as session:
        assert campaign_names(session) == []


def test_who_insists_goes_on_and_so_does_what_can_be_met() -> None:
    refuse_infeasible(impossible(feasibility="warn"))
    refuse_infeasible(small_campaign())


def test_a_campaign_may_be_told_to_go_on_later(store: Store) -> None:
    with store, store.write() as session:
        register(session, impossible())
        assert register(session, impossible(feasibility="warn")).spec["feasibility"] == "warn"


def test_another_word_than_refuse_or_warn_is_refused() -> None:
    with pytest.raises(InputError, match="feasibility"):
        small_campaign(feasibility="ignore")


def test_before_any_answer_the_validators_part_is_left_out(store: Store) -> None:
    with store:
        with store.write() as session:
            add_literature(session)
        with store.read() as session:
            assert learned_chances(session, small_campaign()) == ({}, 0)
            found = campaign_feasibility(session, small_campaign())
    assert found.left_out == ("solidus", "single_phase_bcc")
    assert found.expected_rate is None
    assert found.verdict == "feasible"


def test_what_was_found_agrees_with_the_candidates_and_stands_in_the_report(store: Store) -> None:
    with store:
        with store.write() as session:
            add_literature(session)
            row = add_campaign(session, scored=2)
            row.feasibility = {
                "verdict": "rare",
                "reason": "reachable, but <few> lie inside",
                "targets": [{"name": "density", "reachable_low": 5.1, "reachable_high": 17.2}],
                "costliest": {"name": "shear_modulus", "reason": "it holds in 3% of those inside"},
                "left_out": ["solidus"],
            }
        with store.read() as session:
            candidates = campaign_candidates(session, "example")
            spec = parse_campaign(candidates and row.spec)
            found = found_by_target(spec.model_dump(mode="json"), candidates)
            page = build_report(session, "example")
    validated = [c for c in candidates if c.state == "validated" and c.origin == "strategy"]
    facts = [c.best("density") for c in validated]
    inside = sum(
        f is not None and f.value is not None and spec.targets["density"].holds(f.value) for f in facts
    )
    share = found.shares["density"]
    assert (share.inside, share.of) == (inside, len(validated))
    assert (share.low, share.high) == wilson_interval(inside, len(validated))
    assert "judged <strong>rare</strong>: reachable, but &lt;few&gt; lie inside" in page
    assert "5.1 to 17.2" in page
    assert "Feasibility of the targets, before and after" in page

"""A campaign of first-principles elasticity from the command line, with the model of the packaged alloys."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from db import models
from db.results import campaign_candidates
from db.store import open_store
from tests.programs import hea_loop_json, write_campaign
from tests.small_campaign import small_campaign

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.xdist_group("loop")]


def test_a_run_stores_both_kinds_of_prediction_and_is_judged_by_the_learned_one(tmp_path: Path) -> None:
    spec = small_campaign(
        name="learned",
        elasticity="first-principles",
        targets={"shear_modulus": {"min": 45, "max": 60}},
        strategy={"name": "cgan-2021", "options": {"steps": 10}, "oversample": 10},
        iterations=1,
        batch_size=5,
    )
    printed = hea_loop_json(tmp_path, "run", write_campaign(tmp_path, spec), "--no-report")
    assert printed["state"] == "done"
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store, store.read() as session:
        candidates = campaign_candidates(session, "learned")
        report = session.scalar(select(models.Campaign.feasibility))
    assert report["targets"][0]["judged_by"] == "first-principles"
    assert len(candidates) == 5
    for candidate in candidates:
        stored = [f for f in candidate.facts if f.property == "shear_modulus"]
        assert {f.method.split("/")[0] for f in stored} == {"linear-combination-bcc", "first-principles-gp"}
        best, single = candidate.best("shear_modulus"), candidate.best("single_phase_bcc")
        assert best is not None
        assert single is not None
        assert best.value == pytest.approx(candidate.predicted["shear_modulus"])
        assert best.sigma == pytest.approx(candidate.predicted["shear_modulus_sigma"])
        assert candidate.hit == (45 <= best.value <= 60 and single.value == 1.0)

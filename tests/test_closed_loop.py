"""The loop end to end: real training, real equilibria, a real Prefect flow, from the command line."""

import pytest
from sqlalchemy import func, select

from db import models
from db.store import open_store
from tests.programs import hea_loop, hea_loop_json, write_campaign
from tests.small_campaign import small_campaign

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.xdist_group("loop")]

ASKED = {
    "proposed",
    "validated",
    "hit",
    "failed",
    "unconverged",
    "hit_rate",
    "ci_low",
    "ci_high",
    "random_hit_rate",
}


def candidates(folder):
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        return session.execute(
            select(
                models.Iteration.number, models.Candidate.rank, models.Material.key, models.Candidate.origin
            )
            .join(models.Iteration, models.Candidate.iteration_id == models.Iteration.id)
            .join(models.Material)
            .order_by(models.Iteration.number, models.Candidate.rank)
        ).all()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run of the small campaign: its folder, its file and what it printed."""
    folder = tmp_path_factory.mktemp("done")
    file = write_campaign(folder, small_campaign())
    return folder, file, hea_loop_json(folder, "run", file)


def test_a_run_prints_the_hit_rate_of_every_iteration(done):
    _, _, printed = done
    assert [i["iteration"] for i in printed["iterations"]] == [1, 2]
    for iteration in printed["iterations"]:
        assert set(iteration) >= ASKED
        assert (
            iteration["validated"] + iteration["failed"] + iteration["unconverged"]
            == iteration["proposed"]
            == 8
        )
        assert iteration["random_validated"] == 2
        assert iteration["ci_low"] <= iteration["hit_rate"] <= iteration["ci_high"]


def test_every_validation_is_stored_with_its_values_and_its_method(done):
    folder, _, _ = done
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        points = session.scalars(select(models.DataPoint).where(models.DataPoint.kind == "validation")).all()
        states = session.scalars(select(models.Job.state)).all()
    assert states == ["done"] * 20
    assert {p.property for p in points} == {"single_phase_bcc", "solidus"}
    assert len(points) == 40
    assert all("pycalphad" in p.method for p in points)
    assert all(p.fidelity == "calphad" for p in points)


def test_the_generator_is_retrained_on_more_alloys_and_kept_with_its_curve(done):
    folder, _, _ = done
    with open_store(f"sqlite:///{folder / 'store.sqlite'}") as store, store.read() as session:
        first, second = session.scalars(select(models.Model).order_by(models.Model.iteration_id)).all()
    assert second.training_size > first.training_size
    assert first.checkpoint_sha256 != second.checkpoint_sha256
    assert first.training_curve


def test_running_it_again_changes_nothing_and_prints_the_same(done):
    folder, file, printed = done
    before = candidates(folder)
    assert hea_loop_json(folder, "run", file) == printed
    assert candidates(folder) == before


def test_the_report_is_written_and_names_the_hits(done):
    folder, _, printed = done
    text = (folder / "reports" / "small.html").read_text()
    total = sum(i["hit"] for i in printed["iterations"])
    assert f"{total} of" in text


def test_the_same_seed_and_data_give_the_same_candidates(done, tmp_path):
    folder, file, _ = done
    hea_loop_json(tmp_path, "run", file)
    assert candidates(tmp_path) == candidates(folder)


def test_another_seed_gives_other_candidates(done, tmp_path):
    folder, file, _ = done
    hea_loop_json(tmp_path, "run", file, "--seed", 4, "--iterations", 1)
    assert {c.key for c in candidates(tmp_path)} != {c.key for c in candidates(folder) if c.number == 1}


def test_the_loop_runs_on_postgresql(new_database, done, tmp_path):
    _, file, printed = done
    again = hea_loop_json(tmp_path, "run", file, HEA_LOOP_DATABASE_URL=new_database())
    assert again["iterations"] == printed["iterations"]


def test_a_campaign_with_review_waits_without_a_process_and_never_validates_a_rejected_candidate(tmp_path):
    file = write_campaign(tmp_path, small_campaign(name="reviewed", review="required", iterations=1))
    waiting = hea_loop_json(tmp_path, "run", file)
    assert waiting["state"] == "waiting"
    queue = hea_loop_json(tmp_path, "queue", "list")["queued"]
    ids = [row["id"] for row in queue]
    assert len(ids) == 10
    for verdict, chosen in (("approve", ids[:6]), ("reject", ids[6:9])):
        said = hea_loop(tmp_path, "queue", verdict, *chosen, "--reason", "by the book", "--who", "Ada")
        assert said.returncode == 0, said.stderr
    again = hea_loop_json(tmp_path, "run", file)
    assert again["state"] == "waiting"  # the tenth is undecided
    assert hea_loop(tmp_path, "queue", "reject", ids[9], "--reason", "no", "--who", "Bo").returncode == 0
    finished = hea_loop_json(tmp_path, "run", file)
    assert finished["state"] == "done"
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store, store.read() as session:
        rows = dict(session.execute(select(models.Candidate.id, models.Candidate.state)).all())
        with_job = set(session.scalars(select(models.Job.candidate_id)))
        decided = session.scalar(select(func.count()).select_from(models.Decision))
    assert {rows[i] for i in ids[:6]} == {"validated"}
    assert {rows[i] for i in ids[6:]} == {"rejected"}
    assert with_job == set(ids[:6])
    assert decided == 10


def test_a_run_of_a_campaign_that_another_run_holds_is_refused_in_one_line(done, tmp_path):
    from datetime import UTC, datetime, timedelta

    file = write_campaign(tmp_path, small_campaign(iterations=1))
    hea_loop_json(tmp_path, "run", file, "--no-report")
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store, store.write() as session:
        row = session.scalar(select(models.Campaign))
        row.owner, row.owner_expires = "elsewhere|1|1|x", datetime.now(UTC) + timedelta(hours=1)
    refused = hea_loop(tmp_path, "run", file)
    assert refused.returncode == 2
    assert "is being run by another process" in refused.stderr.splitlines()[-1]

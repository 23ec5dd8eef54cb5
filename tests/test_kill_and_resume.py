"""Runs that are killed hard go on where they were. `make kill-test` does it twenty times on the quickstart."""

import io

import pytest

from benchmarks.kill_and_resume import kill_and_resume
from tests.programs import write_campaign
from tests.small_campaign import small_campaign

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.xdist_group("kill")]


def test_a_run_killed_at_random_moments_loses_nothing_and_does_nothing_twice(tmp_path):
    file = write_campaign(tmp_path, small_campaign(batch_size=5))
    log = io.StringIO()
    verdict = kill_and_resume(file, kills=6, seed=1, folder=tmp_path, log=log)
    assert verdict.differences == [], log.getvalue()
    assert verdict.kills == 6
    assert verdict.runs_compared >= 1
    assert verdict.validated == 10

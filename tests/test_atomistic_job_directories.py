"""A job's directory: whole files, one worker, one result, nothing edited by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from hea_loop.errors import InputError
from tests.store_processes import ROOT, run_at_once
from validators.atomistic.job_directory import JobDirectory, JobOrder, JobResult, Limits, Stage
from validators.outcome import Outcome, OutcomeStatus, OutcomeValue

SPEC = {"workflow": "equation-of-state", "composition": "Cu:1000000"}
LIMITS = Limits(wall_s=100, lease_s=30)


def order(**changes):
    return JobOrder(**({"name": "hea-loop-1-1", "nonce": "ab", "spec": SPEC, "limits": LIMITS} | changes))


def result(job_hash, value=134.4):
    return JobResult(
        job_hash, Outcome(OutcomeStatus.CONVERGED, "EMT", (OutcomeValue("bulk_modulus", value),))
    )


@pytest.fixture
def directory(tmp_path):
    made = JobDirectory(tmp_path / "attempt-1")
    made.write(order())
    return made


def read(directory, job_hash=None, lease_s=30.0):
    return directory.read(job_hash or order().job_hash, lease_s)


def test_the_same_order_can_be_written_again_and_another_one_cannot(directory):
    directory.write(order())
    assert directory.order() == order()
    with pytest.raises(InputError, match="holds another job"):
        directory.write(order(nonce="cd"))


def test_a_job_that_was_edited_is_refused(directory):
    file = directory.path / "job.json"
    file.write_text(file.read_text().replace("Cu:1000000", "Al:1000000"))
    with pytest.raises(InputError, match="was changed after it was written"):
        directory.order()


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda text: text.replace("134.4", "234.4"), "does not match its checksum"),
        (lambda text: text[: len(text) // 2], "is no JSON"),
        (lambda _: "[]", "is no result of this version"),
        (lambda text: json.dumps(json.loads(text) | {"sha256": "0" * 64}), "does not match its checksum"),
    ],
)
def test_a_result_that_was_edited_or_cut_short_is_refused_in_one_line(directory, edit, says):
    claim = directory.claim(LIMITS)
    assert directory.publish(result(order().job_hash), claim)
    assert read(directory).stage is Stage.RESULT
    directory.result_file.write_text(edit(directory.result_file.read_text()))
    refused = read(directory)
    assert (refused.stage, refused.result) == (Stage.REFUSED, None)
    assert says in refused.text
    assert "\n" not in refused.text


def test_the_result_of_another_job_is_refused(directory):
    claim = directory.claim(LIMITS)
    directory.publish(result(order(nonce="cd").job_hash), claim)
    assert read(directory).stage is Stage.REFUSED
    assert "answers job" in read(directory).text


def test_a_value_that_no_outcome_can_have_is_refused_though_its_checksum_fits(directory):
    body = result(order().job_hash).to_json()
    for bad in ({"property": "beauty"}, {"value": "134"}, {"sigma": True}):
        changed = json.loads(json.dumps(body))
        changed["outcome"]["values"][0] |= bad
        del changed["sha256"]
        import hashlib

        text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        changed["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        directory.result_file.write_text(json.dumps(changed))
        assert read(directory).stage is Stage.REFUSED, bad


def test_of_many_workers_at_one_directory_exactly_one_gets_it(directory):
    script = (
        "import sys, time\n"
        "from validators.atomistic.job_directory import JobDirectory, Limits\n"
        "claim = JobDirectory(sys.argv[1]).claim(Limits(100, 30))\n"
        "print('mine' if claim else 'not mine', flush=True)\n"
        "sys.stdin.readline()\n"  # stays alive until all have tried
    )
    said = run_at_once(script, str(directory.path), processes=6)
    assert sorted(said) == ["mine\n"] + ["not mine\n"] * 5


def claimed_by_a_dead_process(directory):
    script = (
        "import sys; from validators.atomistic.job_directory import JobDirectory, Limits; "
        "print(JobDirectory(sys.argv[1]).claim(Limits(100, 30)).token)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(directory.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_dead_workers_claim_is_seen_at_once_and_goes_to_the_next(directory):
    claimed_by_a_dead_process(directory)
    assert read(directory).stage is Stage.EXPIRED
    claim = directory.claim(LIMITS)
    assert claim is not None
    assert claim.number == 2
    assert read(directory).stage is Stage.RUNNING
    assert directory.claim(LIMITS) is None


def test_a_worker_on_another_host_holds_its_claim_until_the_lease_ends(directory):
    claim = directory.claim(LIMITS)
    file = directory.path / f"claim-{claim.number}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"host": "elsewhere", "pid": 1}))
    assert read(directory).stage is Stage.RUNNING
    assert directory.claim(LIMITS) is None
    long_ago = time.time() - 31
    os.utime(directory.path / "heartbeat-1", (long_ago, long_ago))
    assert read(directory).stage is Stage.EXPIRED
    assert directory.claim(LIMITS).number == 2


def test_a_renewed_lease_lives_on_and_a_released_one_ends_at_once(directory):
    claim = directory.claim(LIMITS)
    long_ago = time.time() - 31
    os.utime(directory.path / "heartbeat-1", (long_ago, long_ago))
    assert read(directory).stage is Stage.EXPIRED
    assert directory.beat(claim)
    assert read(directory).stage is Stage.RUNNING
    directory.release(claim)
    assert read(directory).stage is Stage.EXPIRED


def test_a_late_zombie_neither_renews_nor_writes_once_another_took_over(directory):
    zombie = directory.claim(LIMITS)
    directory.release(zombie)  # as if its lease had run out
    other = directory.claim(LIMITS)
    assert not directory.beat(zombie)
    assert not directory.publish(result(order().job_hash, value=1.0), zombie)
    assert not directory.result_file.exists()
    assert directory.publish(result(order().job_hash), other)
    assert read(directory).result.outcome.values[0].value == 134.4


def test_a_result_is_never_written_over(directory):
    claim = directory.claim(LIMITS)
    assert directory.publish(result(order().job_hash), claim)
    assert not directory.publish(result(order().job_hash, value=1.0), claim)
    assert read(directory).result.outcome.values[0].value == 134.4
    assert directory.claim(LIMITS) is None


def test_nobody_begins_in_a_cancelled_directory_and_who_works_there_hears_of_it(directory):
    claim = directory.claim(LIMITS)
    directory.cancel()
    assert not directory.beat(claim)
    directory.release(claim)
    assert directory.claim(LIMITS) is None


def test_a_directory_that_is_not_there_is_absent_and_one_that_nobody_took_is_unclaimed(directory, tmp_path):
    assert read(directory).stage is Stage.UNCLAIMED
    assert read(JobDirectory(tmp_path / "gone")).stage is Stage.ABSENT


def test_the_next_attempt_has_the_evaluations_that_the_last_one_finished(directory, tmp_path):
    done = directory.calculation / "evaluations"
    done.mkdir(parents=True)
    (done / "abc.json").write_text("{}")
    after = JobDirectory(tmp_path / "attempt-2")
    after.write(order(name="hea-loop-1-2"), [directory.path])
    assert (after.calculation / "evaluations" / "abc.json").read_text() == "{}"

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from db.campaigns import claim, register
from db.models import Campaign
from db.ownership import LEASE, is_free, lease_end, new_owner
from db.results import campaign_results
from tests.small_campaign import small_campaign

SOON = datetime.now(UTC) + timedelta(hours=1)


def owner_of(process):
    me = new_owner().split("|")
    line = process.stdout.readline().strip()
    assert line.split("|")[1] == str(process.pid)
    assert line.split("|")[0] == me[0]
    return line


def start_owner():
    code = "from db.ownership import new_owner; import sys; print(new_owner(), flush=True); sys.stdin.read()"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_nobody_owns_what_has_no_owner():
    assert is_free(None, SOON)


def test_a_living_process_keeps_what_it_owns_until_its_lease_expires():
    owner = new_owner()
    assert not is_free(owner, lease_end())
    assert is_free(owner, datetime.now(UTC) - timedelta(seconds=1))


def test_a_process_killed_on_this_host_is_known_to_be_dead_at_once():
    process = start_owner()
    owner = owner_of(process)
    assert not is_free(owner, SOON)
    process.kill()
    process.communicate()
    assert is_free(owner, SOON)


def test_a_killed_process_whose_parent_has_not_noticed_is_dead_as_well():
    process = start_owner()
    owner = owner_of(process)
    process.kill()
    # a zombie until it is waited for: wait until the kernel says so, without reaping it
    while not is_free(owner, SOON):
        pass
    process.communicate()


def test_a_later_process_with_the_same_number_is_not_the_owner():
    host, pid, start, token = new_owner().split("|")
    assert is_free(f"{host}|{pid}|{int(start) - 1}|{token}", SOON)


def test_of_another_host_only_the_lease_tells():
    assert not is_free("elsewhere|1|1|abc", SOON)
    assert is_free("elsewhere|1|1|abc", datetime.now(UTC) - LEASE)


def test_two_owners_of_one_process_differ():
    assert new_owner() != new_owner()


def test_a_campaign_whose_run_is_dead_is_shown_as_interrupted(store):
    with store.write() as session:
        row = register(session, small_campaign())
        claim(session, row.id, new_owner(), None)
    with store.read() as session:
        assert campaign_results(session, "small").state == "running"
    with store.write() as session:
        session.get_one(Campaign, row.id).owner_expires = datetime.now(UTC) - timedelta(seconds=1)
    with store.read() as session:
        assert campaign_results(session, "small").state == "interrupted"

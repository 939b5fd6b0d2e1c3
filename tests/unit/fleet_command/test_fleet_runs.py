"""A run by ``fleet``: exit status, record, what the next run learns, --retry, and no secret in what is kept."""

import stat
import subprocess

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.view import state

from fleet import running

KEY = "sk-S3cretOfThisTest"
VAULT = "v4ult-password-of-this-test"


def test_a_run_that_goes_well_is_recorded_and_the_next_one_says_how_long_it_takes(place):
    first = place.fleet("up")
    assert first.returncode == 0, first.stderr
    assert "up: 3 hosts." in first.stderr
    assert "usually" not in first.stderr
    (record,) = place.records()
    assert record["hosts"] == ["a", "b", "c"]
    assert (record["exit"], record["failed"], record["unreachable"]) == (0, [], [])
    assert 0 < record["seconds"] < 60
    assert f"usually {round(record['seconds'])} s" in place.fleet("up", "--limit", "a").stderr
    assert "usually" not in place.fleet("prune").stderr


def test_the_playbook_hears_how_long_such_a_run_usually_takes_so_that_its_view_can_say_how_much_is_left(place):
    task = {"ansible.builtin.debug": {"msg": f"usual={{{{ lookup('env', '{state.USUAL}') }}}}"}}
    place.write("ask.yml", [{"hosts": "a", "gather_facts": False, "tasks": [task]}])
    assert "usual=0" in place.fleet("up", playbook="ask.yml").stdout
    (record,) = place.records()
    assert f"usual={record['seconds']}" in place.fleet("up", playbook="ask.yml").stdout


def test_the_exit_status_says_failed_unreachable_or_not_begun(place):
    assert place.fleet("up", "-e", "bad=b").returncode == 2
    assert place.fleet("up", "-e", "away=c").returncode == 4
    assert place.fleet("up", "-e", "away=c bad=b").returncode == 2
    (place.folder / "broken.yml").write_text("- hosts: all\n  tasks: [no such thing")
    assert place.fleet("up", playbook="broken.yml").returncode == 1
    assert [record["exit"] for record in place.records()] == [2, 4, 2, 1]


def test_status_blames_no_host_and_offers_no_retry(place):
    run = place.fleet("status", "-e", "bad=b")
    assert run.returncode == 2
    assert "status: not all is well, as said above" in run.stderr
    assert place.fleet("status", "--retry").returncode == 1


def test_retry_takes_what_failed_or_was_away_and_then_there_is_nothing_left(place):
    assert "no record" in place.fleet("up", "--retry").stderr
    assert "failed on b and no connection on c" in place.fleet("up", "-e", "bad=b away=c").stderr
    place.fleet("prune", "-e", "bad=a")  # another command's failure is none of up's
    assert place.fleet("up", "--retry", "-e", "bad=c").returncode == 2
    assert place.records()[-1]["hosts"] == ["b", "c"]
    again = place.fleet("up", "--retry")
    assert (again.returncode, place.records()[-1]["hosts"]) == (0, ["c"])
    last = place.fleet("up", "--retry")
    assert last.returncode == 0
    assert "nothing to retry" in last.stderr
    assert "PLAY" not in last.stdout


def test_retry_within_a_limit_takes_only_hosts_of_both(place):
    place.fleet("up", "-e", "bad=a,b")
    assert place.fleet("up", "--retry", "--limit", "b,c").returncode == 0
    assert place.records()[-1]["hosts"] == ["b"]


@pytest.mark.parametrize("stops", [{"any_errors_fatal": True}, {"tasks": {"run_once": True}}])
def test_retry_is_refused_where_a_fault_stopped_the_run_on_all_hosts(place, stops):
    task = {"ansible.builtin.fail": {"msg": "it is broken"}, "when": "bad is defined", **stops.get("tasks", {})}
    play = {"hosts": "all", "gather_facts": False, "any_errors_fatal": stops.get("any_errors_fatal", False)}
    place.write("stops.yml", [{**play, "tasks": [task]}])
    run = place.fleet("up", "-e", "bad=1", playbook="stops.yml")
    assert "That stopped the run on all hosts: run the same again" in run.stderr
    refused = place.fleet("up", "--retry", playbook="stops.yml")
    assert refused.returncode == 1
    assert "stopped the last 'fleet up' on all its hosts; run it without --retry" in refused.stderr


def test_retry_does_not_guess_after_a_run_that_did_not_end(place):
    (place.folder / "broken.yml").write_text("- hosts: all\n  tasks: [no such thing")
    place.fleet("up", playbook="broken.yml")
    refused = place.fleet("up", "--retry")
    assert refused.returncode == 1
    assert "did not come to its end" in refused.stderr


def test_no_secret_is_kept_and_nobody_else_can_read_what_is(place):
    (place.folder / "vault").write_text(VAULT)
    (place.folder / "more.yml").write_text(f"key: {KEY}\n")
    run = place.fleet(
        "up", "-e", f"key={KEY}", "-e", "@more.yml", "-e", "bad=b", "--vault-password-file", "vault",
        API_KEY=KEY, ANSIBLE_BECOME_PASS=KEY,
    )  # fmt: skip
    assert run.returncode == 2
    kept = [path for folder in ("runs", "locks") for path in (place.folder / folder).rglob("*")]
    files = [path for path in kept if path.is_file()]
    assert {"run.json", "events.jsonl"} <= {path.name for path in files}
    assert [path for path in files if KEY in path.read_text() or VAULT in path.read_text()] == []
    assert KEY not in run.stdout + run.stderr
    assert "Use a key" in (place.folder / "runs").glob("*/events.jsonl").__next__().read_text()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (place.folder / "runs").rglob("*")}
    assert modes == {0o700, 0o600}
    assert stat.S_IMODE((place.folder / "runs").stat().st_mode) == 0o700


def test_while_a_run_goes_on_no_file_of_it_has_the_environment(place, started):
    before = {*running.MEMORY.glob("fleet-*")}
    environment = {**place.environment, "API_KEY": KEY}
    run = started(place.words("up", "-e", "nap=30"), cwd=place.folder, env=environment, stdout=subprocess.PIPE)
    while b"Nap" not in run.stdout.readline():
        assert run.poll() is None
    folders = {*running.MEMORY.glob("fleet-*")} - before
    assert folders
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    files = [path for folder in (*folders, place.folder) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if KEY in path.read_text()] == []


def test_nothing_of_ansible_runner_stays_behind(place):
    places = [running.MEMORY, place.folder / "tmp"]
    places[1].mkdir()
    before = {path for each in places for path in each.glob("fleet-*")}
    assert place.fleet("up", TMPDIR=str(places[1])).returncode == 0
    assert {path for each in places for path in each.glob("fleet-*")} <= before


def test_the_check_of_host_keys_and_the_facts_are_left_to_the_project(place):
    keys, cache = (f"{{{{ lookup('config', '{name}') }}}}" for name in ("HOST_KEY_CHECKING", "CACHE_PLUGIN"))
    task = {"ansible.builtin.debug": {"msg": f"keys={keys} cache={cache}"}}
    place.write("ask.yml", [{"hosts": "a", "gather_facts": False, "tasks": [task]}])
    assert "keys=True cache=memory" in place.fleet("up", playbook="ask.yml").stdout


FULL = "mount -t tmpfs -o size=4k none disk; head -c 4096 /dev/zero > disk/full"
READ_ONLY = "mount -t tmpfs -o ro none disk"


@pytest.mark.parametrize(("disk", "reason"), [(FULL, "No space left on device"), (READ_ONLY, "Read-only file system")])
def test_a_run_goes_on_without_a_record_and_says_so(place, disk, reason):
    (place.folder / "disk").mkdir()
    runs, locks = place.folder / "disk" / "runs", place.folder / "disk" / "locks"
    run = place.fleet("up", "-e", "bad=b", before=disk, FLEET_RECORDS=str(runs), FLEET_LOCKS=str(locks))
    assert run.returncode == 2
    assert "failed on b" in run.stderr
    assert f"There is no record of this run: {runs} can not be written ({reason})." in run.stderr
    assert "Traceback" not in run.stderr


def test_without_a_place_for_locks_a_run_says_that_nothing_keeps_others_away(place):
    run = place.fleet("up", FLEET_LOCKS="/proc/locks-of-this-test")
    assert run.returncode == 0
    assert "Nothing keeps a second run off these hosts: /proc/locks-of-this-test can not be written" in run.stderr


def test_runs_are_listed_and_given_as_json(place):
    assert "no record of a run" in place.fleet("runs").stderr
    place.fleet("up", "-e", "bad=b")
    place.fleet("prune", "--check")
    lines = place.fleet("runs").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["up", "prune"]
    assert lines[1].rstrip().endswith("failed: b")
    assert "--check" in lines[2]
    assert place.fleet("runs", "--command", "up", "--json").stdout.count('"command": "up"') == 1

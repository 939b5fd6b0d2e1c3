"""An operator's week, in order: status, update, rollback, prune, rebuild of a host, removal of a host, then of all."""

import json
import time
from pathlib import Path

import pytest
import yaml
from operations_site import FLEET

from testbed.containers import fleet, layouts
from testbed.containers.runs import changed, messages, results, words
from testbed.paths import CLONE, STATE

HOSTS = ["ctl01", "gpu01", "gpu02"]
URLS = ["http://gpu01:21002", "http://gpu02:21002"]
MODEL = "/srv/fastchat/models/smollm2-demo"
STATUS, UPDATE = "playbooks/status.yml", "playbooks/rolling_update.yml"


def table(runner):
    return next(iter(messages(runner, "Status | The fleet").values()))


def current(site):
    return [Path(site.on(host, "readlink", f"{MODEL}/current").strip()).name for host in HOSTS[1:]]


def restarts(runner):
    """Return the hosts whose workers were restarted, in order."""
    return [
        host
        for host, task, result in results(runner, "ok")
        if "fastchat-worker@0.service" in result.get("restarted", [])
    ]


def test_a_fleet_that_serves_is_well(site, tmp_path):
    runner = site.run(STATUS, status_json=str(tmp_path / "status.json"))
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []
    said = json.loads((tmp_path / "status.json").read_text())
    assert said["faults"] == []
    rows = {(row["host"], row["unit"]): row for row in said["rows"]}
    assert {("ctl01", "controller"), ("gpu01", "worker@0"), ("gpu02", "worker@0")} <= set(rows)
    for (host, unit), row in rows.items():
        ours = unit not in ("firewall", "gateway")  # these run programs of the distribution
        assert row["state"] == "active" and row["environment"].startswith("cpu-") is ours, (host, unit)
    for host, release in zip(HOSTS[1:], current(site), strict=True):
        row = rows[host, "worker@0"]
        assert (row["controller"], row["release"]) == ("serving", f"smollm2-demo {release}")
    assert len(table(runner)) == len(rows) + 1
    assert site.run(STATUS, "--check").rc == 0


def test_a_stopped_worker_is_named(site):
    site.on("gpu02", "systemctl", "stop", "fastchat-worker@0")
    runner = site.run(STATUS)
    site.on("gpu02", "systemctl", "start", "fastchat-worker@0")
    assert runner.rc != 0
    assert "gpu02: fastchat-worker@0.service is inactive (dead), wanted active" in words(runner)
    assert "gpu01" not in words(runner)
    site.wait_serving(URLS[1])


def test_a_link_that_was_flipped_under_a_process_is_named(site):
    """A copy of the environment under another name stands in for one that another lock made."""
    flip = "cd /opt/fastchat; cp -al $(readlink -f env) envs/cpu-000000000000; ln -sfn envs/cpu-000000000000 env"
    was = site.on("gpu02", "readlink", "/opt/fastchat/env").strip()
    site.on("gpu02", "bash", "-c", flip)
    runner = site.run(STATUS)
    site.on("gpu02", "bash", "-c", f"cd /opt/fastchat; ln -sfn {was} env; rm -r envs/cpu-000000000000")
    assert runner.rc != 0
    sentence = f"gpu02: fastchat-worker@0.service runs environment {Path(was).name}, the link says cpu-000000000000"
    assert sentence in words(runner)


def test_a_host_that_is_away_is_a_row_and_the_rest_is_shown(site):
    fleet.podman("pause", f"{fleet.prefix(FLEET)}-gpu02")
    try:
        runner = site.run(STATUS, "--timeout=5")
    finally:
        fleet.podman("unpause", f"{fleet.prefix(FLEET)}-gpu02")
    assert runner.rc != 0
    assert "gpu02 was not reached." in words(runner)
    lines = {line.split()[0]: line for line in table(runner)[1:]}
    assert "not reached" in lines["gpu02"] and "active" in lines["gpu01"]
    site.wait_serving(URLS[1])


def test_a_setting_goes_round_host_by_host_and_no_request_is_lost(site):
    with site.asked_meanwhile() as report:
        runner = site.run(UPDATE, "--skip-tags=verify", fastchat_worker_heartbeat_seconds=11)
    assert runner.rc == 0, words(runner)
    assert restarts(runner) == HOSTS[1:]
    assert report["failed"] == [] and report["sent"] > 10
    again = site.run(UPDATE, "--skip-tags=verify", fastchat_worker_heartbeat_seconds=11)
    assert again.rc == 0, words(again)
    assert changed(again) == []


@pytest.fixture
def unrepaired(tmp_path):
    """A description of the model that leaves its special tokens wrong, so the chat runs to its limit."""
    model = yaml.safe_load((CLONE / "files/models/smollm2-demo.yml").read_text())
    del model["patches"]["target"]
    model["tokenizer"] = {"eos_token": "<|endoftext|>", "eos_token_id": 0}
    (tmp_path / "smollm2-demo.yml").write_text(yaml.safe_dump(model))
    return str(tmp_path)


def test_a_canary_that_answers_wrongly_stops_the_update(site, unrepaired):
    was, process = current(site), site.main_pid("gpu02")
    with site.asked_meanwhile() as report:
        runner = site.run(
            UPDATE, "--skip-tags=verify", vicuna_weights_models_dir=unrepaired, fastchat_worker_heartbeat_seconds=11
        )
    assert runner.rc != 0
    said = words(runner)
    assert "gpu01 was not updated, and the run stops here" in said and "ended by 'length', wanted 'stop'" in said
    assert "1 were not touched and serve what they did: gpu02." in said
    assert current(site)[0] != was[0] and current(site)[1] == was[1]
    assert site.main_pid("gpu02") == process
    registry = site.registry()
    assert registry[URLS[0]]["state"] == "leaving" and "rolling update: The answer of" in registry[URLS[0]]["why"]
    assert registry[URLS[1]]["state"] == "serving"
    assert report["failed"] == [] and report["sent"] > 10
    looked = site.run(STATUS)
    assert looked.rc != 0 and "gpu01: fastchat-worker@0.service is leaving for its controller (rolling" in words(looked)


def test_repaired_the_update_goes_through_with_another_release(site):
    was = current(site)
    with site.asked_meanwhile() as report:
        runner = site.run(
            UPDATE, "--skip-tags=verify", vicuna_weights_output="bin", fastchat_worker_heartbeat_seconds=11
        )
    assert runner.rc == 0, words(runner)
    now = current(site)
    assert now[0] == now[1] and now[0] not in was
    assert restarts(runner) == HOSTS[1:]
    assert report["failed"] == [] and report["sent"] > 10
    assert {entry["state"] for entry in site.registry().values()} == {"serving"}
    again = site.run(UPDATE, "--skip-tags=verify", vicuna_weights_output="bin", fastchat_worker_heartbeat_seconds=11)
    assert again.rc == 0 and changed(again) == []


def test_rolling_back_restarts_host_by_host_and_no_request_is_lost(site):
    was = current(site)
    with site.asked_meanwhile() as report:
        runner = site.run(
            "playbooks/rollback.yml", "--skip-tags=verify", "--limit=gpu02", fastchat_worker_heartbeat_seconds=11
        )
    assert runner.rc == 0, words(runner)
    assert current(site)[0] == was[0] and current(site)[1] != was[1]
    assert report["failed"] == [] and report["sent"] > 5
    looked = site.run(STATUS)
    assert looked.rc != 0 and "The releases of smollm2-demo differ, and no one has the most" in words(looked)
    assert site.run(UPDATE, "--skip-tags=verify", fastchat_worker_heartbeat_seconds=11).rc == 0
    assert site.run(STATUS).rc == 0


def test_pruning_takes_what_is_old_and_says_how_much(site):
    site.on(
        "gpu01",
        "bash",
        "-c",
        "mkdir -p /srv/fastchat/staging/gone && head -c 3000000 /dev/zero > /srv/fastchat/staging/gone/x",
    )
    releases = site.on("gpu01", "ls", f"{MODEL}/releases").split()
    assert len(releases) == 2
    rehearsed = site.run("playbooks/prune.yml", "--check", prune_keep=1)
    assert rehearsed.rc == 0 and {host for host, _task in changed(rehearsed)} == {"gpu01", "gpu02"}
    assert site.on("gpu01", "ls", f"{MODEL}/releases").split() == releases
    runner = site.run("playbooks/prune.yml", prune_keep=1)
    assert runner.rc == 0, words(runner)
    assert site.on("gpu01", "ls", f"{MODEL}/releases").split() == [current(site)[0]]
    assert site.on("gpu01", "ls", "/srv/fastchat/staging", check=False) == ""
    said = " ".join(messages(runner, "Prune | Say what is removed")["gpu01"])
    assert "MiB were freed." in said and "staging /srv/fastchat/staging/gone (2.9 MiB)" in said
    again = site.run("playbooks/prune.yml", prune_keep=1)
    assert again.rc == 0 and changed(again) == []
    assert site.run(STATUS).rc == 0


@pytest.fixture(scope="module")
def reimaged(site):
    """Put gpu02 into a fresh container while known_hosts keeps its old key; return the fingerprint of the new one."""
    known = STATE / FLEET / "known_hosts"
    before = known.read_text()
    fleet.podman("rm", "--force", "--time", "1", f"{fleet.prefix(FLEET)}-gpu02")
    layouts.bring_up(FLEET)
    assert known.read_text() != before
    known.write_text(before)
    said = site.on("gpu02", "ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub")
    return said.split()[1]


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ([], {}, "This would rebuild 3 hosts (ctl01, gpu01, gpu02), wanted one: --limit HOST."),
        (["--limit=gpu02"], {}, "gpu02 shows ssh host keys that are not those that are known: SHA256:"),
        (["--limit=gpu02"], {"rebuild_host_key": "SHA256:wrong"}, "gpu02 shows other ssh host keys than SHA256:wrong"),
    ],
)
def test_a_rebuild_without_the_right_word_changes_nothing(site, reimaged, arguments, variables, sentence):
    known = (STATE / FLEET / "known_hosts").read_text()
    runner = site.run("playbooks/rebuild.yml", *arguments, **variables)
    assert runner.rc != 0 and sentence in words(runner)
    assert changed(runner) == [] and (STATE / FLEET / "known_hosts").read_text() == known
    assert site.on("gpu02", "ls", "/opt/fastchat", "/srv/fastchat", check=False) == ""


def test_a_rebuild_can_be_rehearsed(site, reimaged):
    known = (STATE / FLEET / "known_hosts").read_text()
    runner = site.run("playbooks/rebuild.yml", "--limit=gpu02", "--check", rebuild_host_key=reimaged)
    assert runner.rc == 0, words(runner)
    assert (STATE / FLEET / "known_hosts").read_text() == known
    assert site.on("gpu02", "ls", "/opt/fastchat", "/srv/fastchat", check=False) == ""


def test_a_reimaged_host_is_back_with_weights_of_a_peer(site, reimaged):
    with site.asked_meanwhile() as report:
        runner = site.run(
            "playbooks/rebuild.yml", "--limit=gpu02", rebuild_host_key=reimaged, fastchat_worker_heartbeat_seconds=11
        )
    assert runner.rc == 0, words(runner)
    assert report["failed"] == [] and report["sent"] > 10
    assert current(site)[0] == current(site)[1]
    assert not [task for host, task, _result in results(runner, "ok") if task.startswith(("Fetch | ", "Convert | "))]
    assert site.registry()[URLS[1]]["state"] == "serving"
    known = (STATE / FLEET / "known_hosts").read_text().splitlines()
    assert len([line for line in known if line.startswith("gpu02 ")]) == 1
    again = site.run("playbooks/rebuild.yml", "--limit=gpu02", fastchat_worker_heartbeat_seconds=11)
    assert again.rc == 0, words(again)
    assert changed(again) == []
    assert site.run(STATUS).rc == 0
    # The release that came from a peer is the one that site.yml would have made.
    assert changed(site.run("site.yml", fastchat_worker_heartbeat_seconds=11)) == []


def test_a_host_is_taken_away_only_by_its_name(site):
    for arguments, wanted in (([], "demo"), (["--limit=gpu02"], "gpu02")):
        runner = site.run("playbooks/teardown.yml", *arguments, teardown_confirm="yes")
        assert runner.rc != 0 and f"-e teardown_confirm={wanted}" in words(runner)
        assert changed(runner) == []
    assert site.run(STATUS).rc == 0


def test_a_host_that_is_taken_away_drains_and_is_forgotten(site):
    confirmed = {"teardown_confirm": "gpu02"}
    rehearsed = site.run("playbooks/teardown.yml", "--limit=gpu02", "--check", **confirmed)
    assert rehearsed.rc == 0 and site.registry()[URLS[1]]["state"] == "serving"
    with site.asked_meanwhile() as report:
        runner = site.run("playbooks/teardown.yml", "--limit=gpu02", **confirmed)
        time.sleep(5)
    assert runner.rc == 0, words(runner)
    assert report["failed"] == [] and report["sent"] > 5
    assert sorted(site.registry()) == URLS[:1]
    assert (
        site.on(
            "gpu02",
            "sh",
            "-c",
            "ls -d /etc/fastchat /etc/systemd/system/fastchat-* /usr/local/*/fastchat*",
            check=False,
        )
        == ""
    )
    assert site.on("gpu02", "ls", MODEL) != ""
    again = site.run("playbooks/teardown.yml", "--limit=gpu02", **confirmed)
    assert again.rc == 0 and changed(again) == []
    looked = site.run(STATUS)
    assert looked.rc != 0 and "gpu02 is in group workers and has no worker" in words(looked)


def test_everything_can_be_taken_away_with_its_data(site):
    runner = site.run("playbooks/teardown.yml", teardown_confirm="demo", teardown_data=True)
    assert runner.rc == 0, words(runner)
    for host in HOSTS:
        left = "ls -d /etc/fastchat /opt/fastchat /srv/fastchat /var/lib/fastchat /etc/systemd/system/fastchat-*"
        assert site.on(host, "sh", "-c", left, check=False) == ""
        assert "fastchat" not in site.on(host, "cat", "/etc/passwd")
    again = site.run("playbooks/teardown.yml", teardown_confirm="demo", teardown_data=True)
    assert again.rc == 0 and changed(again) == []

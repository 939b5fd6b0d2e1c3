"""In order: a fleet that the control node made, one worker that then pulls, good commits and bad ones."""

from pull_site import FLEET, PULLS

from testbed.containers.runs import changed, messages, words
from testbed.paths import STATE

ENV = "/etc/fastchat/worker@0.env"


def test_the_control_node_makes_the_fleet(site):
    runner = site.push()
    assert runner.rc == 0, words(runner)


def test_what_can_not_work_is_refused_before_anything_changes(site):
    unnamed = site.set_up(pull_repository="git://hub/fleet.git", pull_inventory=None)
    assert unnamed.rc != 0 and changed(unnamed) == []
    assert "pull_repository is git://hub/fleet.git, wanted ssh://… or https://…" in words(unnamed)
    assert "pull_inventory is not set" in words(unnamed)
    shared = site.set_up(vicuna_weights_distribute="p2p")
    assert shared.rc != 0 and "vicuna_weights_distribute is p2p, wanted each" in words(shared)


def test_a_worker_is_set_up_and_its_key_is_said(site):
    rehearsed = site.set_up("--check", "--diff")
    assert rehearsed.rc == 0, words(rehearsed)
    runner = site.set_up()
    assert runner.rc == 0, words(runner)
    key = messages(runner, "Pull | Say which key the git server must let read")[PULLS]
    assert key.startswith("ssh-ed25519 ")
    again = site.set_up()
    assert again.rc == 0 and changed(again) == []
    site.let_read(key)


def test_what_the_worker_does_itself_is_what_the_control_node_did(site):
    well, said, changes = site.pull()
    assert well, said
    assert changes == 0, said


def test_a_commit_reaches_the_worker_that_pulls_and_no_other(site):
    site.publish(fastchat_worker_heartbeat_seconds=11)
    well, said, changes = site.pull()
    assert well, said
    assert changes == 2, said  # the settings, and the restart with them
    assert "11" in site.on(PULLS, "sh", "-c", f"grep -i heart {ENV}")
    assert "11" not in site.on("gpu01", "sh", "-c", f"grep -i heart {ENV}")
    assert site.on(PULLS, "systemctl", "is-active", "fastchat-worker@0") == "active"


def test_a_bad_commit_is_refused_on_the_host_and_the_worker_serves_on(site):
    site.publish(fastchat_worker_prot=21002)
    before = site.on(PULLS, "systemctl", "show", "--property=MainPID", "fastchat-worker@0")
    well, said, changes = site.pull()
    assert not well and changes == 0
    assert "fastchat_worker_prot is not a variable of role fastchat_worker" in said
    assert site.on(PULLS, "systemctl", "show", "--property=MainPID", "fastchat-worker@0") == before


def test_no_git_server_changes_nothing(site):
    site.let_read()
    well, said, _changes = site.pull()
    assert not well and "Permission denied" in said
    assert site.on(PULLS, "systemctl", "is-active", "fastchat-worker@0") == "active"


def test_no_key_of_the_gateway_is_on_a_host_that_pulls(site):
    key = (STATE / FLEET / "gateway-key").read_text().split()[0]
    search = ["grep", "--recursive", "--files-with-matches", key]
    assert site.on("ctl01", *search, "/etc", check=False) != ""
    assert site.on(PULLS, *search, "/etc", "/opt/fastchat-pull", "/var/lib", "/root", check=False) == ""

import json

testinfra_hosts = ["ssh://ctl01", "ssh://gpu01", "ssh://gpu02"]


def test_the_environment_is_a_link_to_one_named_by_its_lock(host):
    link = host.file("/opt/fastchat/env")
    assert link.is_symlink
    assert host.run("readlink /opt/fastchat/env").stdout.startswith("envs/cpu-")
    assert not host.file("/opt/fastchat/staging").exists


def test_settings_are_for_root_and_the_service_only(host):
    files = host.run("find /etc/fastchat -name '*.env'").stdout.split()
    assert files
    for name in files:
        file = host.file(name)
        assert (file.user, file.group, file.mode) == ("root", "fastchat", 0o640)


def test_every_fastchat_process_belongs_to_its_user(host):
    processes = [process for process in host.process.filter() if "/opt/fastchat/envs/" in process.args]
    ours = [process for process in processes if " services.worker.probe " not in process.args]
    assert ours and {process.user for process in ours} == {"fastchat"}
    # It restarts workers, so it is root.
    assert {process.user for process in processes if process not in ours} <= {"root"}


def test_the_user_can_not_log_in(host):
    assert host.user("fastchat").shell.endswith("nologin")


def test_no_service_writes_log_files(host):
    assert host.run("find /var/lib/fastchat -name '*.log*'").stdout == ""


def test_the_verdict_is_left_as_json(host):
    verdict = json.loads(host.file("/var/lib/fastchat/verdict.json").content_string)
    assert verdict["serving"] is True
    assert verdict["ways"]  # on the controller the API and the gateway, on a worker fastchat-chat
    for said in verdict["ways"].values():
        assert "Paris" in said["answer"]
        assert 0 < said["tokens"] < 120

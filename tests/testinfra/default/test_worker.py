import json

testinfra_hosts = ["ssh://gpu01", "ssh://gpu02"]
ROOT = "/srv/fastchat/models/smollm2-demo"
UNIT = "fastchat-worker@0"


def test_the_worker_is_enabled_and_listens_on_the_fleet_s_address_only(host, address):
    service = host.service(UNIT)
    assert service.is_enabled and service.is_running
    assert host.socket(f"tcp://{address}:21002").is_listening
    assert not host.socket("tcp://0.0.0.0:21002").is_listening


def test_weights_are_a_release_with_a_manifest_that_is_true(host):
    target = host.run(f"readlink {ROOT}/current").stdout.strip()
    assert target.startswith("releases/")
    release = f"{ROOT}/{target}"
    manifest = json.loads(host.file(f"{release}/manifest.json").content_string)
    assert set(manifest["inputs"]) == {"sources", "patches", "revisions", "converter", "output"}
    for name, entry in manifest["files"].items():
        assert host.file(f"{release}/{name}").size == entry["size"]
        assert host.file(f"{release}/{name}").mode == 0o644
    name = "tokenizer_config.json"
    assert host.file(f"{release}/{name}").sha256sum == manifest["files"][name]["sha256"]


def test_nothing_half_made_is_left(host):
    assert host.run("find /srv/fastchat/staging -mindepth 1").stdout == ""


def test_the_guide_s_two_faults_are_repaired(host):
    config = json.loads(host.file(f"{ROOT}/current/tokenizer_config.json").content_string)
    assert config["tokenizer_class"] != "LLaMATokenizer"
    assert config["eos_token"] == "<|im_end|>"  # noqa: S105  (a token of language, not a secret)


def test_the_service_can_not_write_its_weights(host):
    assert host.run("runuser -u fastchat -- touch %s", f"{ROOT}/current/x").rc != 0


def test_chat_runs_in_a_unit_as_its_user_and_takes_a_pipe(host):
    command = "echo 'What is the capital of France?' | fastchat-chat --temperature 0 --max-new-tokens 60"
    chat = host.run(command)
    assert chat.rc == 0, chat.stderr
    assert "Paris" in chat.stdout


def test_chat_on_an_old_systemd_runs_in_a_scope(host):
    # Stands in for EL 7's systemd: it says 219 when the script asks. Everything else is real.
    host.run("mkdir -p /srv/old && printf '#!/bin/sh\\necho systemd 219\\n' > /srv/old/systemctl")
    host.run("chmod +x /srv/old/systemctl")
    ask = (
        "echo 'What is the capital of France?' | PATH=/srv/old:$PATH fastchat-chat --temperature 0 --max-new-tokens 60"
    )
    chat = host.run(ask)
    host.run("rm -r /srv/old")
    assert chat.rc == 0, chat.stderr
    assert "Paris" in chat.stdout


def test_chat_has_a_real_terminal_when_there_is_one(host):
    # script(1) gives the chat a terminal; only the unit's own Python can say whether it has one, and its user.
    probe = "import os,sys,pwd; print('tty', sys.stdin.isatty(), pwd.getpwuid(os.getuid()).pw_name)"
    host.run(
        "sed 's|-m fastchat.serve.cli|/tmp/probe.py|' /usr/local/bin/fastchat-chat > /tmp/chat && chmod +x /tmp/chat"
    )
    host.run("printf %%s %s > /srv/probe.py && sed -i 's|/tmp/probe.py|/srv/probe.py|' /tmp/chat", probe)
    assert "tty True fastchat" in host.run("script --quiet --command /tmp/chat /dev/null").stdout
    assert "tty False fastchat" in host.run("echo x | /tmp/chat | cat").stdout
    host.run("rm /srv/probe.py /tmp/chat")

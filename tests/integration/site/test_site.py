"""One life of a fleet, in order: refused, rehearsed, killed three times, serving, unchanged, rebooted."""

import json
import time
from pathlib import Path

import pytest
from driver import CURRENT, FLEET, HOSTS

from testbed.containers import fleet
from testbed.containers.runs import changed, messages, results, words

ASKED_BY_THE_CONTROLLER = {
    "Ask | Ask through the API, whole and streamed",
    "Ask | Read each gateway's certificate",
    "Ask | Ask through each gateway",
}
START = "Run | Write programs, settings and units, run them, and wait for their health checks"
BUILDERS = str(Path(__file__).with_name("builders.yml"))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"fastchat_worker_prot": 21002}, "fastchat_worker_prot is not a variable of role fastchat_worker"),
        ({"fastchat_stack": "v100"}, "fastchat_stack is 'v100', wanted one of files/stacks"),
        ({"fleet_controller": "http://nowhere.invalid:21001"}, "the name nowhere.invalid does not resolve here"),
        ({"fleet_memory_mb": 9000000, "fleet_disk_mb": 90000000}, "wanted 9000000 MiB"),
        ({"fastchat_worker_port": 22}, "port 22 is taken by a process of root"),
        ({"fastchat_runtime_python": "/usr/bin/python2"}, "/usr/bin/python2 is absent, stack cpu wants Python 3.11"),
    ],
)
def test_bad_input_is_refused_in_words_before_anything_changes(site, variables, sentence):
    runner = site.run(**variables)
    assert runner.rc != 0
    assert sentence in words(runner)
    assert changed(runner) == []
    assert site.is_bare()


def test_all_reasons_come_at_once(site):
    said = words(site.run(fleet_memory_mb=9000000, fastchat_worker_port=22, fastchat_runtime_python="/usr/bin/python2"))
    for part in ("memory is", "port 22", "python2 is absent"):
        assert part in said


@pytest.mark.parametrize("variables", [{}, {"inventories": [BUILDERS], "vicuna_weights_distribute": "p2p"}])
def test_check_mode_on_bare_hosts_touches_nothing(site, variables):
    runner = site.run("--check", "--diff", **variables)
    assert runner.rc == 0, words(runner)
    assert {host for host, _task in changed(runner)} == set(HOSTS)
    assert site.is_bare()


def test_killed_while_the_runtime_is_installed(site):
    site.run_and_kill("Build | Install the lock, every file by hash", 3)
    for host in HOSTS:
        assert site.on(host, "ls", "/opt/fastchat/env", check=False) == ""


def test_killed_while_the_weights_are_fetched(site):
    site.run_and_kill("Fetch | Fetch the weights (resumes at any byte, checked by sha256)", 1)
    for host in HOSTS[1:]:
        assert site.on(host, "ls", CURRENT, check=False) == ""


def test_killed_while_the_delta_is_added(site):
    site.run_and_kill("Convert | Add the delta", 1)
    for host in HOSTS[1:]:
        assert site.on(host, "ls", CURRENT, check=False) == ""


def test_the_next_run_goes_on_and_ends_with_the_answer(site):
    runner = site.run()
    assert runner.rc == 0, words(runner)
    verdicts = messages(runner, "Verdict | Say it")
    assert sorted(verdicts) == HOSTS
    assert all("Paris" in verdict for verdict in verdicts.values())
    for host in HOSTS:
        assert site.on(host, "ls", "/opt/fastchat/staging", "/srv/fastchat/staging/smollm2-demo", check=False) == ""


def test_the_second_run_changes_nothing_and_still_asks(site):
    runner = site.run()
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []
    # What a host does not need is not a task for it: only these are looked at and skipped.
    skipped = {(host, task) for host, task, _result in results(runner, "skipped")}
    assert skipped == {
        # The stack has a name, not auto, and all names of the inventory resolve.
        *[(host, "Preflight | Choose a stack for a host that names none") for host in HOSTS],
        *[(host, "Choose | Hand it on") for host in HOSTS],
        *[(host, "Members | Find the names that do not resolve") for host in HOSTS],
        ("ctl01", "Report | The same as JSON on the control node"),
        # There is no bundle; environment, programs and release are there; TLS between the hosts is off.
        ("ctl01", "Bundle | Refuse variables that can not be used"),
        ("ctl01", "Bundle | Compare every file with its manifest"),
        *[(host, "Bundle | Assert that it has packages for this host") for host in HOSTS],
        *[(host, "Own | Look at the repositories again") for host in HOSTS],
        *[(host, "Main | Provide an interpreter and build the environment in staging") for host in HOSTS],
        *[(host, "Nftables | Install nft, or rehearse it") for host in HOSTS],
        # What is loaded and runs is not started again, and nothing is in the way of what is not wanted.
        *[(host, "Nftables | Load it now and at every start") for host in HOSTS],
        *[(host, "Nftables | Remove it where it is not wanted") for host in HOSTS],
        *[(host, "Refuse | Look for firewalld") for host in HOSTS],
        *[(host, "Refuse | Read what hosts outside of this run have") for host in HOSTS],
        *[(host, "Main | Set up mutual TLS, or remove it where it is not wanted") for host in HOSTS],
        *[(host, "Install | Install what is missing") for host in HOSTS],
        *[(host, "Main | Make it, or receive it from the builder") for host in HOSTS[1:]],
        *[(host, "Tidy | Leave no staging behind, and keep the last releases") for host in HOSTS[1:]],
        *[(host, "User | Create the user who serves, sends and receives") for host in HOSTS],
        ("ctl01", "Serve | Enable and start it"),
        ("ctl01", "Serve | Read what is current"),
        ("ctl01", "Ask | Ask through the command line"),
        *[(host, task) for host in HOSTS[1:] for task in ASKED_BY_THE_CONTROLLER],
    }
    gates = [host for host, task, _result in results(runner, "ok") if task == START]
    assert sorted(gates) == ["ctl01", "ctl01", "gpu01", "gpu02"]


def test_check_mode_on_finished_hosts_reports_no_change(site):
    runner = site.run("--check", "--diff")
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []


def test_hosts_have_the_ports_users_modes_and_sandboxes_that_molecule_verifies(site):
    status, output = site.verified()
    print(output)  # the number of tests, and the skips with their reasons
    assert status == 0, output


def test_a_changed_setting_restarts_its_service_only(site):
    runner = site.run("--tags=services", "--limit=gpu02", fastchat_worker_heartbeat_seconds=11)
    assert runner.rc == 0, words(runner)
    assert changed(runner) == [("gpu02", START)]
    (said,) = [result for _host, task, result in results(runner, "ok") if task == START]
    assert said["changes"] == ["written /etc/fastchat/worker@0.env", "restarted fastchat-worker@0.service"]
    assert len(changed(site.run("--tags=services", "--limit=gpu02"))) == 1  # the setting goes back


def test_a_service_that_does_not_come_up_fails_with_its_journal(site):
    runner = site.run(
        "--tags=services", "--limit=gpu02", fastchat_worker_host="192.0.2.1", fastchat_service_gate_seconds=20
    )
    assert runner.rc != 0
    assert "fastchat-worker@0.service did not answer within 20 s" in words(runner)
    assert "error while attempting to bind on address ('192.0.2.1', 21002)" in words(runner)
    assert site.run("--tags=services", "--limit=gpu02").rc == 0


def test_before_the_repair_the_chat_runs_to_the_limit(site):
    """The planted fault is real: the same weights with the delta's own special tokens do not stop."""
    script = f"""
        set -e; rm -rf /srv/unrepaired; mkdir /srv/unrepaired; cp {CURRENT}/* /srv/unrepaired/; cd /srv/unrepaired
        sed -i 's/"eos_token": "<|im_end|>"/"eos_token": "<|endoftext|>"/' tokenizer_config.json special_tokens_map.json
        chmod -R a+rX .
        sed 's|/srv/fastchat/models/$model/current|/srv/unrepaired|' /usr/local/bin/fastchat-chat > chat; chmod +x chat
    """
    site.on("gpu01", "bash", "-c", script)
    question = "echo 'What is the capital of France?' | %s --temperature 0 --max-new-tokens 40"
    repaired = site.on("gpu01", "bash", "-c", question % "fastchat-chat")
    unrepaired = site.on("gpu01", "bash", "-c", question % "/srv/unrepaired/chat")
    site.on("gpu01", "rm", "-r", "/srv/unrepaired")
    assert "Paris" in repaired and "Paris" in unrepaired
    assert len(unrepaired) > 2 * len(repaired), unrepaired


@pytest.mark.parametrize("method", ["http", "rsync", "p2p"])
def test_a_release_that_one_host_made_reaches_the_others(site, method):
    """Another output format makes another release; gpu02 receives it anew each time."""
    wanted = {"vicuna_weights_output": "bin", "vicuna_weights_distribute": method}
    if method != "http":
        site.on("gpu02", "bash", "-c", f"rm -rf $(readlink -f {CURRENT}) {CURRENT}")
    runner = site.run("--tags=weights", inventories=[BUILDERS], **wanted)
    assert runner.rc == 0, words(runner)
    assert not [
        task for host, task, _result in results(runner, "ok") if host == "gpu02" and task.startswith("Fetch | ")
    ]
    sums = [site.on(host, "bash", "-c", f"cd {CURRENT}/ && sha256sum *.bin *.json") for host in HOSTS[1:]]
    assert sums[0] == sums[1] and "pytorch_model.bin" in sums[0]
    for host in HOSTS[1:]:
        assert site.on(host, "pgrep", "-a", "aria2c|rsync|weights_server", check=False) == ""
        assert site.on(host, "ls", "/srv/fastchat/staging", check=False) == ""
    again = site.run("--tags=weights", inventories=[BUILDERS], **wanted)
    assert again.rc == 0 and changed(again) == []


@pytest.mark.parametrize("method", ["http", "rsync", "p2p"])
def test_a_receiver_gets_only_its_damaged_file_again(site, method):
    wanted = {"vicuna_weights_output": "bin", "vicuna_weights_distribute": method}
    look = f"cd {CURRENT}/ && sha256sum * && stat -c %i pytorch_model.bin tokenizer_config.json"
    before = site.on("gpu02", "bash", "-c", look).split()
    site.on("gpu02", "bash", "-c", f"cd {CURRENT}/ && printf x >> tokenizer_config.json")
    runner = site.run("--tags=weights", inventories=[BUILDERS], **wanted)
    assert runner.rc == 0, words(runner)
    assert {host for host, task in changed(runner) if task.startswith("Distribute | Publish")} == {"gpu02"}
    after = site.on("gpu02", "bash", "-c", look).split()
    # The weights are still the same file (inode). The damaged file is a new one, with its old content.
    assert after[:-1] == before[:-1] and after[-1] != before[-1]


def test_what_was_distributed_answers_and_the_way_back_is_a_flip(site):
    runner = site.run(inventories=[BUILDERS], vicuna_weights_output="bin", vicuna_weights_distribute="p2p")
    assert runner.rc == 0, words(runner)
    back = site.run()
    assert back.rc == 0, words(back)
    assert {task.split(" | ")[0] for host, task in changed(back)} <= {"Plan", "Run", "Tidy"}


def test_rolling_back_is_a_flip_that_serves_and_can_be_taken_back(site):
    was = site.releases()
    refused = site.run(playbook="playbooks/rollback.yml", rollback_what="wieghts")
    assert refused.rc != 0 and "rollback_what is wieghts, wanted weights, runtime, both or web." in words(refused)
    refused = site.run(playbook="playbooks/rollback.yml", rollback_what="both")
    assert refused.rc != 0 and "has no environment besides cpu-" in words(refused)
    assert changed(refused) == [] and site.releases() == was  # the weights had another release, and stayed
    rehearsed = site.run("--check", "--diff", playbook="playbooks/rollback.yml")
    assert rehearsed.rc == 0 and site.releases() == was
    flips = {("gpu01", "Rollback | Point current to it"), ("gpu02", "Rollback | Point current to it")}
    assert set(changed(rehearsed)) == flips
    runner = site.run(playbook="playbooks/rollback.yml")
    assert runner.rc == 0, words(runner)
    back = site.releases()
    assert back[0] == back[1] and back[0] not in was
    assert {task.split(" | ")[0] for host, task in set(changed(runner)) - flips} == {"Run"}
    said = {host: " ".join(result["msg"]) for host, task, result in results(runner, "ok") if "how to keep" in task}
    assert sorted(said) == ["gpu01", "gpu02"]
    for old, new in zip(was, back, strict=True):
        digests = [Path(target).name for target in (old, new)]
        assert f"was {digests[0]}, is {digests[1]}. The next site.yml flips forward again." in said["gpu01"]
    assert 'output: "safetensors" -> "bin"' in said["gpu02"]
    verdicts = [result["msg"] for host, task, result in results(runner, "ok") if task == "Verdict | Say it"]
    assert len(verdicts) == 3 and all("Paris" in verdict for verdict in verdicts)
    again = site.run(playbook="playbooks/rollback.yml")
    assert again.rc == 0 and site.releases() == was
    assert changed(site.run()) == []


def test_the_runtime_rolls_back_to_the_newest_other_environment(site):
    """A copy of the environment under another name stands in for one that another lock made."""
    envs, env = "/opt/fastchat/envs", "/opt/fastchat/env"
    was = site.on("ctl01", "readlink", env).strip()
    for host in HOSTS:
        site.on(host, "bash", "-c", f"cp --archive --link $(readlink -f {env}) {envs}/cpu-000000000000")
    runner = site.run(playbook="playbooks/rollback.yml", rollback_what="runtime")
    assert runner.rc == 0, words(runner)
    assert {site.on(host, "readlink", env).strip() for host in HOSTS} == {"envs/cpu-000000000000"}
    restarted = [host for host, task in changed(runner) if task == START]
    assert sorted(restarted) == ["ctl01", "ctl01", "gpu01", "gpu02"]
    said = {host: " ".join(result["msg"]) for host, task, result in results(runner, "ok") if "how to keep" in task}
    assert sorted(said) == HOSTS
    assert f"was {Path(was).name}, is cpu-000000000000." in said["ctl01"]
    assert "set fastchat_stack to cpu, and what has changed since (its lock in files/locks" in said["ctl01"]
    again = site.run(playbook="playbooks/rollback.yml", rollback_what="runtime")
    assert again.rc == 0 and {site.on(host, "readlink", env).strip() for host in HOSTS} == {was}
    for host in HOSTS:
        site.on(host, "rm", "-r", f"{envs}/cpu-000000000000")
    assert changed(site.run()) == []


def test_a_damaged_tokenizer_is_repaired_without_fetching_weights(site):
    damage = f"cd {CURRENT}/ && cp special_tokens_map.json /srv/was && printf x >> special_tokens_map.json"
    site.on("gpu01", "bash", "-c", damage)
    runner = site.run("--tags=weights")
    assert runner.rc == 0, words(runner)
    assert {host for host, _task in changed(runner)} == {"gpu01"}
    (found,) = [result for host, task, result in results(runner, "ok") if task.startswith("Repair | ")]
    assert found["made"] == ["special_tokens_map.json"]
    assert found["fetched"] == {"base": [], "delta": []} and found["bytes_fetched"] < 10_000_000
    site.on("gpu01", "bash", "-c", f"cmp {CURRENT}/special_tokens_map.json /srv/was && rm /srv/was")
    assert changed(site.run("--tags=weights")) == []


def test_a_damaged_release_is_found_and_repaired_while_the_rest_stays(site):
    damage = f"""
        set -e; cd {CURRENT}/; cp -p model.safetensors /srv/was
        printf x | dd of=model.safetensors bs=1 seek=200000000 conv=notrunc status=none
        touch -r /srv/was model.safetensors
    """
    site.on("gpu01", "bash", "-c", damage)
    assert changed(site.run("--tags=weights")) == []  # size and time are unchanged, so only reading finds the damage
    runner = site.run("--tags=weights", vicuna_weights_verify="full")
    assert runner.rc == 0, words(runner)
    assert {host for host, _task in changed(runner)} == {"gpu01"}
    site.on("gpu01", "bash", "-c", f"cmp {CURRENT}/model.safetensors /srv/was && rm /srv/was")


def test_units_come_up_after_a_reboot_also_when_the_worker_is_first(site):
    names = {host: f"{fleet.prefix(FLEET)}-{host}" for host in HOSTS}
    fleet.podman("stop", "--time", "10", *names.values())
    fleet.podman("start", names["gpu01"], names["gpu02"])
    deadline = time.monotonic() + 60
    while "waiting for the controller" not in site.on(
        "gpu01", "journalctl", "--boot", "--no-pager", "--unit=fastchat-worker@0", check=False
    ):
        assert time.monotonic() < deadline, "the worker did not wait for its controller"
        time.sleep(1)
    fleet.podman("start", names["ctl01"])
    deadline, answer = time.monotonic() + 180, ""
    while "Paris" not in answer:
        assert time.monotonic() < deadline, f"no answer after the reboot: {answer}"
        time.sleep(2)
        answer = site.answer()
    runner = site.run()
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []


def test_the_verdict_is_json_and_says_no_when_it_does_not_serve(site):
    site.on("ctl01", "systemctl", "stop", "fastchat-api@0", "fastchat-api@1")
    runner = site.run("--tags=verify")
    assert runner.rc != 0
    assert "http://ctl01:8000/v1 did not answer" in words(runner)
    verdict = json.loads(site.on("ctl01", "cat", "/var/lib/fastchat/verdict.json"))
    assert verdict["serving"] is False and verdict["ways"]["API"]["fault"]
    assert site.run("--tags=services,verify").rc == 0

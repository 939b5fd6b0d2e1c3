"""A real stack on CPU; EL 7's stacks run on a host where Ansible finds Python 2.7."""

import json
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

testinfra_hosts = ["ssh://gpu01"]
STACKS = Path(__file__).resolve().parents[3] / "files" / "stacks"
PYTHON = "/opt/fastchat/env/bin/python"
FILES = ("tokenizer_config.json", "special_tokens_map.json")


@pytest.fixture
def stack(host):
    """The name of the stack, as the environment has it."""
    return host.run("readlink /opt/fastchat/env").stdout.strip().removeprefix("envs/").rsplit("-", 1)[0]


def post(host, url):
    """Return the JSON that a POST without a body gets."""
    code = "import sys, urllib.request as u; print(u.urlopen(u.Request(sys.argv[1], method='POST')).read().decode())"
    return json.loads(host.check_output(f'{PYTHON} -c "{code}" {url}'))


def chat(host, question, command="fastchat-chat", limit=60):
    """Return what a chat on a pipe prints."""
    done = host.run(f"echo '{question}' | {command} --temperature 0 --max-new-tokens {limit}")
    assert done.rc == 0, done.stdout + done.stderr
    return done.stdout


def test_for_el_7_ansible_met_python_2_7_and_no_packages_of_ours_in_it(host, stack):
    found = host.run("/usr/bin/python2.7 -c 'import sys; print(sys.version_info[:2])'").stdout
    assert found == ("(2, 7)\n" if stack.startswith("el7") else "")
    assert host.run("/usr/bin/python2.7 -c 'import torch'").rc != 0


def test_the_environment_has_the_stack_s_versions(host, stack):
    code = (
        "import sys, importlib.metadata as m; print('%d.%d' % sys.version_info[:2]);"
        "[print(m.version(n)) for n in ('torch', 'transformers', 'fschat')]"
    )
    wanted = yaml.safe_load((STACKS / f"{stack}.yml").read_text())
    python, torch, transformers, fschat = host.check_output(f'{PYTHON} -c "{code}"').split()
    assert (python, torch.split("+")[0], fschat) == (wanted["python"], wanted["torch"], wanted["fschat"])
    bounds = wanted["transformers"]
    assert transformers in SpecifierSet(bounds if bounds[0] in "<>=" else f"=={bounds}")


@pytest.mark.parametrize(
    ("unit", "port"),
    [("fastchat-controller", 21001), ("fastchat-worker@0", 21002), ("fastchat-api@0", 8000), ("fastchat-api@1", 8001)],
)
def test_each_service_listens_on_the_fleet_s_address_only(host, address, unit, port):
    assert host.service(unit).is_enabled and host.service(unit).is_running
    assert host.socket(f"tcp://{address}:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_it_answers_over_http_and_stops_by_itself(verdict):
    api, command = verdict["ways"]["API"], verdict["ways"]["fastchat-chat"]
    assert verdict["serving"] is True
    for said in (api, command):
        assert "Paris" in said["answer"] and 0 < said["tokens"] < 120, said


def test_the_worker_has_the_model_s_template_however_it_came_to_it(host, address, verdict):
    template = post(host, f"http://{address}:21002/worker_get_conv_template")["conv"]["name"]
    assert (
        template
        == {"smollm2-mha-alpaca-demo": "alpaca", "smollm2-demo": "dolphin-2.2.1-mistral-7b"}[verdict["models"][0]]
    )


def test_services_leave_no_log_files(host):
    assert host.run("find /var/lib/fastchat /opt/fastchat/env/ -name '*.log*'").stdout == ""


def test_before_the_repair_the_chat_runs_to_the_limit_and_after_it_stops(host, verdict):
    """The same weights, once with the delta's own end token, and once repaired, in this stack's own FastChat."""
    (model,) = verdict["models"]
    question, current = verdict["ways"]["API"]["question"], f"/srv/fastchat/models/{model}/current"
    # The model's name stays in the path: FastChat chooses the template by it where the worker is given none.
    other = f"/srv/unrepaired/{model}"
    host.check_output(f"mkdir -p {other} && cp -rL {current} {other}/ && chmod -R a+rX /srv/unrepaired")
    for name in FILES:
        assert '"eos_token": "<|im_end|>"' in host.file(f"{other}/current/{name}").content_string
        swap = 's/"eos_token": "<|im_end|>"/"eos_token": "<|endoftext|>"/'
        host.check_output(f"sed -i '{swap}' {other}/current/{name}")
    swap = f"s|/srv/fastchat/models/$model/current|{other}/current|"
    host.check_output(f"sed '{swap}' /usr/local/bin/fastchat-chat > /srv/unrepaired/chat")
    host.check_output("chmod +x /srv/unrepaired/chat")
    repaired = chat(host, question)
    unrepaired = chat(host, question, "/srv/unrepaired/chat")
    host.check_output("rm -r /srv/unrepaired")
    assert "Paris" in repaired and "Paris" in unrepaired
    assert len(unrepaired) > 2 * len(repaired), unrepaired

"""fastchat-chat offers the guide's three ways to chat, with the variables of docs/EL7.md."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "roles" / "fastchat_cli" / "templates" / "fastchat-chat.j2"
MODEL = "--model-path=/srv/fastchat/models/vicuna-7b-v1.1/current"
# At the outermost edge: a systemd that has --pipe, one that says what it is to run, and a user who is root.
STAND_INS = {
    "systemctl": "echo systemd 252",
    "systemd-run": 'for word; do echo "$word"; done',
    "id": "echo 0",
}


def rendered(variables):
    """Return the command as the role would write it, its defaults beaten by these variables."""
    role = ROOT / "roles" / "fastchat_cli"
    command = ["ansible", "localhost", f"--playbook-dir={ROOT}/playbooks", "-m", "debug"]
    command += [
        "-a",
        json.dumps({"msg": f"{{{{ lookup('template', '{TEMPLATE}') }}}}"}),
        "-e",
        f"@{role}/defaults/main.yml",
    ]
    command += ["-e", f"@{role}/vars/main.yml", "-e", json.dumps({"fastchat_model": "vicuna-7b-v1.1", **variables})]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
    return json.loads(done.stdout.partition("SUCCESS =>")[2])["msg"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ["--device=cuda", "--num-gpus=1"]),
        ({"fastchat_cli_num_gpus": 8}, ["--device=cuda", "--num-gpus=8"]),
        ({"fastchat_cli_device": "cpu"}, ["--device=cpu", "--num-gpus=1"]),
        ({"fastchat_worker_device": "cpu"}, ["--device=cpu", "--num-gpus=1"]),
    ],
    ids=["one GPU", "--num-gpus 8", "--device cpu", "as the worker"],
)
def test_fastchat_chat_is_fastchat_serve_cli_with_the_guide_s_arguments(tmp_path, variables, words):
    done = chat(tmp_path, variables, "--temperature", "0")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    start = said.index("fastchat.serve.cli")
    assert said[start - 2 : start] == ["/opt/fastchat/env/bin/python", "-m"]
    given = said[start + 1 :]
    assert given[0] == MODEL and given[-2:] == ["--temperature", "0"]
    assert [word for word in given if word.startswith(("--device", "--num-gpus"))] == words


TWO = {"fastchat_models": ["vicuna-7b-v1.1", "smollm2-demo"]}


@pytest.mark.parametrize(
    ("given", "model", "template"),
    [
        ([], "vicuna-7b-v1.1", "vicuna_v1.1"),
        (["--temperature", "0"], "vicuna-7b-v1.1", "vicuna_v1.1"),
        (["smollm2-demo", "--temperature", "0"], "smollm2-demo", "dolphin-2.2.1-mistral-7b"),
    ],
)
def test_of_several_models_the_first_or_the_one_that_is_named(tmp_path, given, model, template):
    said = chat(tmp_path, TWO, *given).stdout.splitlines()
    start = said.index("fastchat.serve.cli") + 1
    assert said[start : start + 2] == [
        f"--model-path=/srv/fastchat/models/{model}/current",
        f"--conv-template={template}",
    ]
    assert said[start + 5 :] == [word for word in given if word != model]


def test_a_model_that_is_not_served_is_said(tmp_path):
    done = chat(tmp_path, TWO, "vicuna-70b")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "fastchat-chat: vicuna-70b is not served here, wanted one of vicuna-7b-v1.1, smollm2-demo, or none of them.\n"
    )


def chat(tmp_path, variables, *words):
    """Run the command as it would be written, with some words."""
    (tmp_path / "chat").write_text(rendered(variables))
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return subprocess.run(
        ["sh", str(tmp_path / "chat"), *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )

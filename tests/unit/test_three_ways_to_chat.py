"""The guide's three ways to chat: what fastchat-chat hands on with each set of variables of docs/EL7.md."""

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
    (tmp_path / "chat").write_text(rendered(variables))
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", str(tmp_path / "chat"), "--temperature", "0"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    said = done.stdout.splitlines()
    start = said.index("fastchat.serve.cli")
    assert said[start - 2 : start] == ["/opt/fastchat/env/bin/python", "-m"]
    given = said[start + 1 :]
    assert given[0] == MODEL and given[-2:] == ["--temperature", "0"]
    assert [word for word in given if word.startswith(("--device", "--num-gpus"))] == words

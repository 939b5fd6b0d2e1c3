"""fastchat-chat asks systemd-run for a sandbox that this systemd knows."""

import itertools
import os
import subprocess

from testbed.audit import unit_rules
from testbed.paths import CLONE
from tests.support.rendering import Fleet

EXAMPLE = CLONE / "inventory" / "example"


def asked_for(tmp_path, version, limit):
    """Run the real script; the commands beside it stand in for a systemd of that version and for root."""
    files = Fleet(EXAMPLE, fastchat_cli_memory_limit=limit).templates("serve.yml")
    (script,) = {file.text for file in files if file.path.endswith("-chat")}
    folder = tmp_path / f"{version}-{limit}"
    folder.mkdir()
    for name, said in {
        "systemd-run": 'printf "%s\\n" "$@"',
        "systemctl": f"echo systemd {version}",
        "id": "echo 0",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{said}\n")
        (folder / name).chmod(0o755)
    (folder / "chat").write_text(script.replace("/var/lib/fastchat || exit", f"{folder} || exit"))
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["sh", "-eu", str(folder / "chat"), "--temperature", "0"]
    end = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    words = end.stdout.splitlines()
    properties = [after for word, after in itertools.pairwise(words) if word == "-p"]
    return words, dict(one.split("=", 1) for one in properties)


def test_chat_on_systemd_219_is_a_scope_with_properties_that_it_knows(tmp_path):
    for limit in ("infinity", "20G"):
        words, properties = asked_for(tmp_path, 219, limit)
        assert "--scope" in words and words[-2:] == ["--temperature", "0"]
        assert not {"--pty", "--pipe", "--wait", "--collect"} & set(words)
        assert {f"Scope.{name}" for name in properties} <= unit_rules.KNOWN
        assert properties.get("MemoryLimit", "infinity") == limit


def test_chat_on_newer_systemd_is_a_unit_with_properties_that_236_takes(tmp_path):
    since = {
        "MemoryMax": 231,
        "ReadWritePaths": 231,
        **{name: entry["since"] for name, entry in unit_rules.NEWER.items()},
    }
    for limit in ("infinity", "20G"):
        words, properties = asked_for(tmp_path, 252, limit)
        assert {"--wait", "--pipe", "--collect", "--uid=fastchat"} <= set(words) and words[-2:] == [
            "--temperature",
            "0",
        ]
        for name in properties:
            assert f"Service.{name}" in unit_rules.KNOWN or since[name] <= 236, name
        assert properties.get("MemoryMax", "infinity") == limit
        assert {"NoNewPrivileges": "yes", "PrivateTmp": "yes", "ProtectSystem": "strict"}.items() <= properties.items()
        assert "PrivateDevices" not in properties, "it talks to the GPU"

"""A pinned interpreter, a wheel from a URL and FastChat from git are refused in words, built, and then unchanged."""

import json

import pytest
import yaml

from testbed.containers.runs import changed, words

ROOT = "/opt/fastchat"
NOWHERE = "http://127.0.0.1:9"


def nothing_built(host):
    return host.on("sh", "-c", f"ls -d {ROOT}/envs {ROOT}/pythons {ROOT}/env", check=False) == ""


UNKNOWN_WHEEL = {"name": "torchvision", "url": "https://x/torchvision-1-py3-none-any.whl", "sha256": "0" * 64}
PINNED_NOWHERE = {"fastchat_runtime_python_source": "pinned", "fastchat_runtime_python_mirror": NOWHERE}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"fastchat_runtime_wheels": [UNKNOWN_WHEEL]}, "'torchvision', which is not in the stack's lock"),
        (
            {"fastchat_runtime_fastchat_git": {"url": "https://x/FastChat.git", "commit": "v0.2.15"}},
            "names the commit 'v0.2.15', wanted all 40 digits",
        ),
        ({"fastchat_stack": "cpu", **PINNED_NOWHERE}, "no relocatable Python 3.11 in"),
        (PINNED_NOWHERE, f"Python 3.9.2 for stack el7-v100-torch19 could not be had from {NOWHERE}"),
    ],
)
def test_what_can_not_be_is_one_sentence_and_builds_nothing(host, table, variables, sentence):
    runner = host.run(fastchat_runtime_python_table=str(table), **variables)
    assert runner.rc != 0
    assert sentence in words(runner)
    assert nothing_built(host)


def test_an_interpreter_with_another_sha256_is_refused(host, table, tmp_path):
    wrong = yaml.safe_load(table.read_text())
    wrong["builds"]["3.9"]["sha256"] = "0" * 64
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(wrong))
    runner = host.run(
        fastchat_runtime_python_source="pinned", fastchat_runtime_python_table=str(tmp_path / "wrong.yml")
    )
    assert runner.rc != 0
    said = words(runner)
    assert "Python 3.9.2 for stack el7-v100-torch19 could not be had" in said and "did not match" in said
    assert nothing_built(host)


@pytest.fixture(scope="module")
def wanted(table, fork, torch_wheel):
    return {
        "fastchat_runtime_python_source": "pinned",
        "fastchat_runtime_python_table": str(table),
        "fastchat_runtime_fastchat_git": fork,
        "fastchat_runtime_wheels": [torch_wheel],
    }


def test_a_wheel_with_another_sha256_is_refused(host, wanted):
    wrong = [{**wanted["fastchat_runtime_wheels"][0], "sha256": "0" * 64}]
    runner = host.run(**{**wanted, "fastchat_runtime_wheels": wrong})
    assert runner.rc != 0
    assert "Hash mismatch for `torch" in words(runner)
    assert host.on("ls", f"{ROOT}/env", check=False) == ""


def test_all_three_at_once_make_an_environment(host, wanted):
    runner = host.run(**wanted)
    assert runner.rc == 0, words(runner)
    python = f"{ROOT}/env/bin/python"
    assert host.on("readlink", "-f", python).startswith(f"{ROOT}/pythons/3.9.2-")
    code = (
        "import sys, json, fastchat, importlib.metadata as m;"
        "print(json.dumps([sys.base_prefix, fastchat.FORK, m.version('fschat'), m.version('transformers'),"
        " m.distribution('torch').read_text('direct_url.json')]))"
    )
    prefix, said, fschat, transformers, origin = json.loads(host.on(python, "-W", "ignore", "-c", code))
    assert prefix.startswith(f"{ROOT}/pythons/3.9.2-")
    assert (said, fschat, transformers) == ("ours", "0.2.15", "4.28.1")
    assert wanted["fastchat_runtime_wheels"][0]["url"] in origin
    assert host.on("ls", f"{ROOT}/staging", check=False) == ""


def test_the_second_run_changes_nothing(host, wanted):
    runner = host.run(**wanted)
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []


def test_another_wish_has_another_name(host, wanted):
    first = host.on("readlink", f"{ROOT}/env")
    runner = host.run(**{**wanted, "fastchat_runtime_fastchat_git": {}})
    assert runner.rc == 0, words(runner)
    assert host.on("readlink", f"{ROOT}/env") != first
    assert first.rsplit("/", 1)[-1] in host.on("ls", f"{ROOT}/envs").split()

"""Environments beside a stack's are described rightly, refused on unfit hosts, and never mixed with other kinds."""

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.stacks import environments_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.descriptions.stacks import environment_file_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import EMPTY
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.stacks import environment_reasons
from packaging.version import Version

from testbed.paths import CLONE
from tests.support.rendering import Fleet, tasks_of

FILES = CLONE / "files"
ENVIRONMENTS = sorted((FILES / "environments").glob("*.yml"))
WEB = yaml.safe_load((FILES / "environments" / "web.yml").read_text())


def pins(lock):
    text = (FILES / "locks" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_of_ours_is_right_and_its_lock_holds_what_it_says(path):
    described = yaml.safe_load(path.read_text())
    assert environment_file_faults(described, path.stem) == []
    assert not (FILES / "stacks" / path.name).exists(), "one name, one lock"
    assert pins(described["lock"]).get("fschat") == described.get("fschat")


def test_the_web_page_has_what_the_api_must_not_have():
    web, cpu = pins("web"), pins("cpu")
    assert Version(web["pydantic"]).major == 2 and Version(cpu["pydantic"]).major == 1
    assert Version(web["gradio"]).major == int(WEB["gradio"]) and "gradio" not in cpu
    assert web["torch"] == cpu["torch"] and not [name for name in web if name.startswith("nvidia-")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "other"}, "web.name is 'other', wanted 'web'"),
        ({"python": 3.11}, "web.python is 3.11"),
        ({"loads": ""}, "web.loads is ''"),
        ({"gpu": False}, "web.gpu is unknown"),
        ({"env_mb": None}, "web.env_mb is missing"),
    ],
)
def test_each_way_to_be_wrong_is_one_sentence(change, words):
    described = {key: value for key, value in (WEB | change).items() if value is not None}
    (said,) = environment_file_faults(described, "web")
    assert words in said and said.endswith(".")


def test_a_directory_of_environments(tmp_path):
    assert environments_faults(str(FILES / "environments")) == environments_faults(str(tmp_path / "absent")) == []
    (tmp_path / "web.yml").write_text(yaml.safe_dump({**WEB, "lokc": "web"}))
    (said,) = environments_faults(str(tmp_path))
    assert said.startswith("web.lokc is unknown, ") and said.endswith(".")
    (tmp_path / "b.yml").write_text("a: [1\n")
    assert "b.yml is no YAML" in environments_faults(str(tmp_path))[0]


def test_a_host_can_have_it_or_every_reason_is_said():
    host = {"glibc": "2.36", "pythons": {"/usr/bin/python3": "3.11.2"}, "gpus": EMPTY}
    assert environment_reasons(WEB, host) == []
    old = {"glibc": "2.17", "pythons": {"/opt/python": "3.9.25"}, "gpus": EMPTY}
    glibc, python = environment_reasons(WEB, old)
    assert "glibc is 2.17, environment web wants 2.28" in glibc
    assert "/opt/python is 3.9.25, environment web wants Python 3.11" in python


def templated(expression, **extra):
    """Return what an expression of role fastchat_runtime is for a host of group web_hosts, in its play."""
    fleet = Fleet(CLONE / "inventory" / "example", **extra).join("web_hosts", "ctl01.example.com")
    (play,) = [play for play in fleet.plays("runtime.yml") if "web_hosts" in play.hosts]
    tasks = [task for task in tasks_of(play.compile()) if task._role and task._role.get_name() == "fastchat_runtime"]
    host = fleet.inventory.get_host("ctl01.example.com")
    from ansible.template import Templar  # noqa: PLC0415  (rendering has set ansible up)

    variables = fleet.variables.get_vars(play=play, host=host, task=tasks[0])
    return Templar(loader=fleet.loader, variables=variables).template(expression)


def test_the_page_s_environment_has_a_link_and_a_directory_of_its_own():
    names = ("__fastchat_runtime_name", "__fastchat_runtime_link_path", "__fastchat_runtime_envs_dir")
    said = [templated("{{ " + name + " }}") for name in names]
    assert said == ["web", "/opt/fastchat/web-env", "/opt/fastchat/web-envs"]
    stack = [templated("{{ " + name + " }}", fastchat_runtime_environment="") for name in names]
    assert stack == ["cpu", "/opt/fastchat/env", "/opt/fastchat/envs"]


def test_what_replaces_a_part_of_the_stack_s_lock_is_not_asked_of_the_page_s():
    wheel = {"name": "torch", "url": "https://x/torch-1.9.1+cu111-cp39-cp39-linux_x86_64.whl", "sha256": "0" * 64}
    assert templated("{{ __fastchat_runtime_wheels }}", fastchat_runtime_wheels=[wheel]) == []
    of_stack = {"fastchat_runtime_wheels": [wheel], "fastchat_runtime_environment": ""}
    assert templated("{{ __fastchat_runtime_wheels }}", **of_stack) == [wheel]


def test_a_bundle_s_wheels_are_taken_from_the_directory_of_its_own():
    assert templated("{{ fastchat_runtime_wheelhouse }}", fleet_bundle="/srv/bundle") == "/srv/bundle/wheels/web"


def test_every_task_that_names_where_environments_lie_names_it_by_its_kind():
    for path in sorted((CLONE / "roles" / "fastchat_runtime" / "tasks").glob("*.yml")):
        assert not re.search(r"fastchat_runtime_root }}/(web-)?envs?\b", path.read_text()), Path(path).name

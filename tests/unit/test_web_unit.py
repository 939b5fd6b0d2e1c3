"""The page's unit as serve.yml writes it: its address, program and options."""

import shlex
import shutil

import pytest
import yaml

from testbed.audit import unit_rules
from testbed.paths import CLONE
from tests.support.rendering import Fleet

EXAMPLE, DEMO = (CLONE / "inventory" / name for name in ("example", "demo"))


def start_of(inventory=EXAMPLE, host="ctl01.example.com", **extra):
    """Return the words of the page's ExecStart on the controller."""
    fleet = Fleet(inventory, **extra).join("web_hosts", host)
    (unit,) = [file for file in fleet.templates("serve.yml") if file.path.endswith("/fastchat-web.service")]
    assert unit.host == host
    assert unit_rules.faults(unit.text, gpu=False) == []
    (start,) = [line.value for line in unit_rules.lines(unit.text) if line.name == "ExecStart"]
    return shlex.split(start)


def test_it_runs_in_its_own_environment_and_binds_to_the_fleet_s_address():
    words = start_of()
    assert "/opt/fastchat/web-env" in words and "/opt/fastchat/env" not in words
    assert "-m services.web" in " ".join(words)
    assert {"--host=10.1.2.3", "--port=7860", "--controller-url=http://ctl01.example.com:21001"} <= set(words)
    assert not [word for word in words if "conversations" in word or "share" in word]


def test_a_host_that_is_in_no_group_for_it_has_none():
    assert not [file for file in Fleet(EXAMPLE).templates("serve.yml") if "fastchat-web" in file.path]


def test_it_is_below_a_path_where_there_is_a_gateway_and_nowhere_else(tmp_path):
    shutil.copytree(DEMO, tmp_path / "demo")
    hosts = yaml.safe_load((DEMO / "hosts.yml").read_text())
    said = {}
    for gateways in ({"ctl01": None}, {}):
        hosts["all"]["children"]["gateways"]["hosts"] = gateways
        (tmp_path / "demo" / "hosts.yml").write_text(yaml.safe_dump(hosts))
        said[bool(gateways)] = start_of(tmp_path / "demo", "ctl01")
    assert said[True] == [*said[False], "--gradio-root-path=/chat"]


@pytest.mark.parametrize(
    ("knob", "word"),
    [
        ({"fastchat_web_port": 7900}, "--port=7900"),
        ({"fastchat_web_concurrency": 40}, "--concurrency-count=40"),
        ({"fastchat_web_host": "10.9.9.9"}, "--host=10.9.9.9"),
        ({"fastchat_web_keep_conversations": True}, "--conversations=/var/lib/fastchat/conversations"),
    ],
)
def test_a_knob_reaches_the_command(knob, word):
    assert word in start_of(**knob)

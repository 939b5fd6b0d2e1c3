"""The page's unit as serve.yml writes it: where it binds, what it runs, what it is told."""

import shlex

import pytest
from rendering import Fleet

from testbed import unit_rules
from testbed.paths import CLONE

EXAMPLE = CLONE / "inventory" / "example"
HOST = "ctl01.example.com"


def start_of(gateways=(), **extra):
    """Return the words of the page's ExecStart on the controller."""
    fleet = Fleet(EXAMPLE, **extra).join("web_hosts", HOST)
    for host in gateways:
        fleet.join("gateways", host)
    (unit,) = [file for file in fleet.templates("serve.yml") if file.path.endswith("/fastchat-web.service")]
    assert unit.host == HOST
    assert unit_rules.faults(unit.text, gpu=False) == []
    (start,) = [line.value for line in unit_rules.lines(unit.text) if line.name == "ExecStart"]
    return shlex.split(start)


def test_it_runs_in_its_own_environment_and_binds_to_the_fleet_s_address():
    words = start_of()
    assert "/opt/fastchat/web-env" in words and "/opt/fastchat/env" not in words
    assert "/usr/local/lib/fastchat/fleet_web.py" in words
    assert {"--host=10.1.2.3", "--port=7860", "--controller-url=http://ctl01.example.com:21001"} <= set(words)
    assert not [word for word in words if "root-path" in word or "conversations" in word or "share" in word]


def test_a_host_that_is_in_no_group_for_it_has_none():
    assert not [file for file in Fleet(EXAMPLE).templates("serve.yml") if "fastchat-web" in file.path]


def test_behind_a_gateway_it_is_below_a_path():
    assert "--gradio-root-path=/chat" in start_of(gateways=[HOST])


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

"""Filters of playbooks compute from variables and from answers of hosts: plain functions over plain data."""

import pytest
from ansible_collections.fastchat.fleet.plugins.filter.bundle_contents import (
    bundle_description,
    bundle_interpreters,
    bundle_model_sources,
)
from ansible_collections.fastchat.fleet.plugins.filter.environments import environments_disk
from ansible_collections.fastchat.fleet.plugins.filter.gateway import gateway_addresses, gateway_upstreams
from ansible_collections.fastchat.fleet.plugins.filter.leftovers import leftovers_report
from ansible_collections.fastchat.fleet.plugins.filter.status import status_answers

TABLE = {
    "mirror": "https://m",
    "builds": {"3.9": {"path": "1/a%2B1.tar.gz", "sha256": "aa"}, "3.11": {"path": "1/b.tar.gz", "sha256": "bb"}},
}
NINE = {"name": "1/a+1.tar.gz", "sha256": "aa", "url": "https://m/1/a%2B1.tar.gz"}
ELEVEN = {"name": "1/b.tar.gz", "sha256": "bb", "url": "https://m/1/b.tar.gz"}


def test_each_port_of_each_api_host_is_an_upstream_in_the_order_of_the_inventory():
    hostvars = {"ctl02": {}, "ctl01": {"fastchat_api_ports": [8001]}}
    found = gateway_upstreams(hostvars, ["ctl02", "ctl01"], "fastchat_api_ports", [8000, 8001])
    assert found == ["ctl02:8000", "ctl02:8001", "ctl01:8001"]


def test_a_variable_that_is_one_port_gives_one_upstream_and_no_hosts_give_none():
    hostvars = {"web01": {"fastchat_web_port": 7870}, "web02": {}}
    assert gateway_upstreams(hostvars, ["web01", "web02"], "fastchat_web_port", 7860) == ["web01:7870", "web02:7860"]
    assert gateway_upstreams(hostvars, [], "fastchat_web_port", 7860) == []
    assert gateway_upstreams({"fd00::1": {}}, ["fd00::1"], "fastchat_web_port", 7860) == ["[fd00::1]:7860"]


def test_a_gateway_is_asked_by_the_first_name_of_its_certificate():
    hostvars = {
        "gw01": {"fastchat_gateway_names": ["chat.example.com", "gw01"]},
        "gw02": {"fastchat_gateway_port": 8443},
    }
    assert gateway_addresses(hostvars, ["gw01", "gw02"]) == [
        {"host": "gw01", "url": "https://chat.example.com:443/v1"},
        {"host": "gw02", "url": "https://gw02:8443/v1"},
    ]
    assert gateway_addresses(hostvars, []) == []
    assert gateway_addresses({"fd00::1": {}}, ["fd00::1"])[0]["url"] == "https://[fd00::1]:443/v1"


def test_a_host_that_did_not_answer_is_nothing_in_the_status():
    hostvars = {
        "gpu01": {"__status_units": {"units": [], "plan": {}}, "__status_gpus": {"count": 1}},
        "ctl01": {"__status_units": {"units": []}},
        "gpu02": {"__status_units": {"unreachable": True}},
        "gpu03": {},
    }
    assert status_answers(hostvars, list(hostvars), ["gpu01", "gpu02", "gpu03"]) == {
        "gpu01": {"units": [], "plan": {}, "gpus": {"count": 1}, "worker": True},
        "ctl01": {"units": [], "gpus": {}, "worker": False},
        "gpu02": {},
        "gpu03": {},
    }
    assert hostvars["ctl01"] == {"__status_units": {"units": []}}, "what was registered stays as it is"


@pytest.mark.parametrize(("rehearsed", "verb"), [(False, "were"), (True, "would be")])
def test_what_was_pruned_is_said_with_its_size_and_what_stays_with_the_reason(rehearsed, verb):
    result = {
        "bytes": 3 * 1024**2,
        "removed": [{"what": "release", "path": "/srv/fastchat/m/releases/a", "bytes": 2048}],
        "busy": [{"path": "/opt/fastchat/envs/b"}],
    }
    assert leftovers_report(result, rehearsed) == [
        f"3.0 MiB {verb} freed.",
        "release /srv/fastchat/m/releases/a (2.0 KiB)",
        "/opt/fastchat/envs/b stays: a process uses it",
    ]


def test_an_environment_beside_the_stack_s_has_its_own_link_and_size():
    env = {"path": "/opt/fastchat", "done": "/opt/fastchat/env"}
    wanted = [{"path": "/opt/fastchat", "mb": 1900, "done": "/opt/fastchat/web-env"}]
    assert environments_disk([{"name": "web", "env_mb": 1900}], env) == wanted
    assert environments_disk([], env) == environments_disk([{"name": "web", "env_mb": 1900}], {}) == []


def test_a_bundle_finds_stacks_and_environments_in_their_own_folders():
    plan, folders = {"environments": ["web"]}, {"stacks": "/f/stacks", "environments": "/f/environments"}
    found = [bundle_description(name, plan, folders) for name in ("cpu", "web")]
    assert found == ["/f/stacks/cpu.yml", "/f/environments/web.yml"]


def test_a_bundle_has_each_interpreter_once_under_the_name_that_its_address_stands_for():
    described = [{"python": "3.11"}, {"python": "3.9"}, {"python": "3.11"}]
    assert bundle_interpreters(described, TABLE, "https://m") == [ELEVEN, NINE]
    with pytest.raises(KeyError):
        bundle_interpreters([{"python": "3.8"}], TABLE, "https://m")


def test_a_bundle_has_every_repository_of_every_model():
    described = [{"sources": {"whole": {"url": "w"}}}, {"sources": {"base": {"url": "b"}, "delta": {"url": "d"}}}]
    assert bundle_model_sources(described, ["one", "two"]) == [
        {"model": "one", "name": "whole", "source": {"url": "w"}},
        {"model": "two", "name": "base", "source": {"url": "b"}},
        {"model": "two", "name": "delta", "source": {"url": "d"}},
    ]

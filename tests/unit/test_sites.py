"""Hosts as other people's are: lost ones, addresses of IPv6, a proxy."""

import os

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.addresses import own_address
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.losses import hosts_lost
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.files import make_folders
from ansible_collections.fastchat.fleet.plugins.module_utils.units.api import api_units
from ansible_collections.fastchat.fleet.plugins.module_utils.workers.commands import url_of

from testbed.paths import CLONE

GROUPS = {"controllers": ["ctl01"], "workers": ["gpu01", "gpu02", "gpu03"], "builders": ["gpu01"]}
ASKED = ["ctl01", "gpu01", "gpu02", "gpu03"]


def test_the_others_go_on_without_a_worker():
    found = hosts_lost(GROUPS, ASKED, ["ctl01", "gpu01", "gpu03"], distributes=True)
    assert found["faults"] == []
    assert found["words"].startswith("1 of 4 hosts did not answer or can not do it: gpu02. The others go on;")


def test_nothing_is_said_when_nobody_is_lost_also_under_limit():
    assert hosts_lost(GROUPS, ASKED, ASKED, distributes=True) == {"faults": [], "words": ""}
    assert hosts_lost(GROUPS, ["gpu02"], ["gpu02"], distributes=True) == {"faults": [], "words": ""}


@pytest.mark.parametrize(
    ("host", "distributes", "sentence"),
    [
        ("ctl01", False, "every worker registers at the controller: nothing was changed. Repair ctl01, or leave"),
        ("gpu01", True, "the workers receive their release from the builder: nothing was changed. Repair gpu01"),
        ("gpu01", False, ""),
    ],
)
def test_nobody_goes_on_without_a_host_that_all_need(host, distributes, sentence):
    found = hosts_lost(GROUPS, ASKED, [one for one in ASKED if one != host], distributes)
    assert len(found["faults"]) == bool(sentence)
    assert sentence in "".join(found["faults"])
    assert bool(found["words"]) != bool(sentence)


def test_a_run_that_has_no_worker_left_stops():
    found = hosts_lost(GROUPS, ["ctl01", "gpu02", "gpu03"], ["ctl01"], distributes=False)
    assert found["faults"] == [
        "No worker of this run is left (gpu02, gpu03; see above): nothing was changed."
        " Repair one, or leave them out of this run by --limit '!workers'."
    ]
    assert hosts_lost(GROUPS, ["ctl01"], ["ctl01"], distributes=False)["faults"] == []


@pytest.mark.parametrize(
    ("facts", "address"),
    [
        ({"default_ipv4": {"address": "10.1.2.3"}, "default_ipv6": {"address": "fd00::3"}}, "10.1.2.3"),
        ({"default_ipv4": {}, "default_ipv6": {"address": "fd00::3"}}, "fd00::3"),
        ({"default_ipv4": {}, "default_ipv6": {}}, "127.0.0.1"),
        ({}, "127.0.0.1"),
    ],
)
def test_a_host_s_own_address(facts, address):
    assert own_address(facts) == address


def test_an_address_of_ipv6_stands_in_brackets_in_urls_only():
    assert url_of({"port": 21002}, "fd00::3") == "http://[fd00::3]:21002"
    limits = {"most_answers": 4, "again_seconds": 1, "answer_seconds": 0, "max_tokens": {}}
    (unit,) = api_units([8000], "fd00::3", "http://ctl01:21001", limits)
    assert unit["gates"] == [{"url": "http://[fd00::3]:8000/fleet/alive", "method": "GET"}]
    assert "--host=fd00::3" in unit["command"]


@pytest.mark.parametrize(
    ("variables", "no_proxy"),
    [
        ({}, None),
        ({"fleet_proxy": ""}, None),
        ({"fleet_proxy": "http://p:3128"}, "localhost,127.0.0.1,::1,ctl01,gpu01"),
        ({"fleet_proxy": "http://p:3128", "fleet_no_proxy": ".example.com"}, ".example.com"),
    ],
)
def test_a_proxy_by_variable_is_for_what_lies_outside(variables, no_proxy):
    expression = yaml.safe_load((CLONE / "playbooks/group_vars/all.yml").read_text())["__fleet_environment"]
    known = {"groups": {"all": ["ctl01", "gpu01"]}, **variables}
    found = Templar(DataLoader(), variables=known).template(expression)
    wanted = {
        "http_proxy": "http://p:3128",
        "https_proxy": "http://p:3128",
        "no_proxy": no_proxy,
        "UV_SYSTEM_CERTS": "true",
    }
    assert found == (wanted if no_proxy else {})


def test_every_play_that_fetches_for_a_host_knows_the_proxy():
    fetching = ["runtime", "weights", "firewall", "gateway", "tls", "mirror", "rolling_update", "pull"]
    for name in fetching:
        for play in yaml.safe_load((CLONE / "playbooks" / f"{name}.yml").read_text()):
            if play.get("become"):
                assert play["environment"] == "{{ __fleet_environment }}", (name, play["name"])


def test_directories_are_readable_whatever_the_umask_is(tmp_path):
    before = os.umask(0o077)
    try:
        make_folders(str(tmp_path / "models" / "m" / "releases"))
        (tmp_path / "own").mkdir()
        make_folders(str(tmp_path / "own"))
    finally:
        os.umask(before)
    for path in ("models", "models/m", "models/m/releases"):
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700  # what is there stays as it is

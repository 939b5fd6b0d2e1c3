"""Hosts with IPv6 addresses only: every unit, health check, socket, upstream and URL has them in brackets, once."""

import json
import re

import pytest
import yaml
from ansible.template import Templar
from ansible_collections.fastchat.fleet.plugins.filter.gateway import gateway_addresses, gateway_upstreams
from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import authority, base_url
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.addresses import api_url, controller_url

from testbed.paths import CLONE
from tests.support import rendering
from tests.support.rendering import Fleet

HOST = "fd00::11"
# An address whose port was joined to it without brackets, wherever it may stand.
BARE = re.compile(r"(?<!\[)\bfd00::11:\d{2,5}\b|//fd00::11|\[\[")
SIX = {"ansible_default_ipv4": {}, "ansible_default_ipv6": {"address": HOST, "interface": "eth0"}}


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("ctl01", "ctl01:80"),
        ("ctl-01.example.com", "ctl-01.example.com:80"),
        ("10.1.2.3", "10.1.2.3:80"),
        (HOST, "[fd00::11]:80"),
        ("[fd00::11]", "[fd00::11]:80"),
        ("FD00:0:0::0011", "[fd00::11]:80"),
        ("::", "[::]:80"),
        ("::1", "[::1]:80"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
    ],
)
def test_a_host_and_a_port_are_joined(host, said):
    assert authority(host, 80) == said
    assert base_url(host, "80") == f"http://{said}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Return the example's settings over hosts that are named by IPv6 addresses and have no others."""
    folder = tmp_path_factory.mktemp("inventory")
    groups = ("controllers", "workers", "gateways", "web_hosts", "mirrors", "builders", "monitors")
    hosts = {"all": {"children": {group: {"hosts": {HOST: None}} for group in groups}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (folder / "group_vars").symlink_to(CLONE / "inventory" / "example" / "group_vars")
    keys = {"alice": "sk-alice-0123456789abcdef"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "FACTS", {**rendering.FACTS, **SIX})
        yield Fleet(folder, fastchat_gateway_api_keys=keys)


@pytest.fixture(scope="module")
def files(fleet):
    """Return {path: text} of everything that serve.yml writes from templates."""
    return {file.path: file.text for file in fleet.templates("serve.yml")}


def text_of(files, end):
    (text,) = [text for path, text in files.items() if path.endswith(end)]
    return text


def test_no_file_has_an_address_without_brackets_before_a_port(files):
    assert {path: BARE.findall(text) for path, text in files.items() if BARE.search(text)} == {}
    assert len([path for path, text in files.items() if HOST in text]) >= 6


def test_each_service_listens_on_its_own_address_and_is_reached_in_brackets(files):
    controller = text_of(files, "/fastchat-controller.service")
    assert "--host=fd00::11 " in controller and "--port=21001" in controller
    assert "ListenStream=[fd00::11]:21001" in text_of(files, "/fastchat-controller.socket")
    worker = text_of(files, "/fastchat-worker@0.service")
    for said in (
        "--host=fd00::11 ",
        "--worker-address=http://[fd00::11]:21002",
        "--controller-address=http://[fd00::11]:21001",
        "services.worker.leave --controller=http://[fd00::11]:21001 --worker=http://[fd00::11]:21002",
        "services.common.wait_http http://[fd00::11]:21001",
    ):
        assert said in worker
    api = text_of(files, "/fastchat-api@1.service")
    assert "--host=fd00::11 --port=8001 --controller-address=http://[fd00::11]:21001" in api
    assert "--host=fd00::11" in text_of(files, "/fastchat-web.service")


def test_the_gateway_listens_and_finds_its_servers(files):
    conf = text_of(files, "/nginx.conf")
    for said in ("listen [fd00::11]:443 ssl http2;", "server [fd00::11]:8000 max_fails", "server [fd00::11]:7860;"):
        assert said in conf
    assert "IP.1 = fd00::11" in text_of(files, "/self-signed.cnf")


def test_what_watches_listens_and_is_reached_in_brackets(fleet):
    files = {file.path: file.text for file in fleet.templates("monitoring.yml")}
    assert {path: BARE.findall(text) for path, text in files.items() if BARE.search(text)} == {}
    exporter = text_of(files, "/fastchat-exporter.service")
    for said in (
        "--host=fd00::11 ",
        "--api=api@0=http://[fd00::11]:8000",
        "--gateway=fd00::11=https://[fd00::11]:443/v1",
    ):
        assert said in exporter
    assert "--web.listen-address=[fd00::11]:21094" in text_of(files, "/fastchat-node-exporter.service")
    assert "--web.listen-address=[fd00::11]:21095" in text_of(files, "/fastchat-prometheus.service")
    assert "--web.listen-address=[fd00::11]:21096" in text_of(files, "/fastchat-alertmanager.service")


def evaluated(fleet, playbook, role, name):
    """Return the value of a variable in a play's role."""
    for play in fleet.plays(playbook):
        for task in rendering.tasks_of(play.compile()):
            if task._role is not None and task._role.get_name() == role:
                variables = fleet.variables.get_vars(play=play, host=fleet.inventory.get_host(HOST), task=task)
                return Templar(loader=fleet.loader, variables=variables).template("{{ " + name + " }}")
    raise AssertionError(f"{playbook} has no role {role}.")


@pytest.mark.parametrize(
    ("role", "name", "urls"),
    [
        ("fastchat_controller", "__fastchat_controller_unit", ["http://[fd00::11]:21001/fleet"]),
        ("fastchat_api", "__fastchat_api_units", [f"http://[fd00::11]:{port}/fleet/alive" for port in (8000, 8001)]),
        ("fastchat_web", "__fastchat_web_gates", ["http://[fd00::11]:7860/", "http://[fd00::11]:7860/fleet"]),
        (
            "fastchat_worker",
            "__fastchat_worker_units",
            ["http://[fd00::11]:21002/worker_get_status", "http://[fd00::11]:21001/fleet/state"],
        ),
    ],
)
def test_health_checks_ask_in_brackets(fleet, role, name, urls):
    said = json.dumps(evaluated(fleet, "serve.yml", role, name))
    assert [url for url in urls if f'"{url}"' not in said] == [] and not BARE.search(said)


def test_the_mirror_listens_and_is_asked_in_brackets(fleet):
    (conf,) = [file.text for file in fleet.templates("mirror.yml") if file.source == "nginx.conf.j2"]
    assert "listen [fd00::11]:21080;" in conf
    assert evaluated(fleet, "mirror.yml", "artifact_mirror", "__artifact_mirror_url") == "http://[fd00::11]:21080"


def test_the_firewall_tells_the_two_kinds_apart(fleet):
    resolved = {"stdout_lines": ["fd00::11 STREAM x", "fd00::12 STREAM y", "10.1.2.3 STREAM z", "::1 STREAM localhost"]}
    fleet.variables.set_nonpersistent_facts(HOST, {"__fleet_firewall_resolved": resolved})
    assert evaluated(fleet, "firewall.yml", "fleet_firewall", "__fleet_firewall_six") == ["fd00::11", "fd00::12"]
    assert evaluated(fleet, "firewall.yml", "fleet_firewall", "__fleet_firewall_four") == ["10.1.2.3"]


def test_the_fleet_s_own_urls():
    hostvars, groups = {HOST: {"fastchat_api_ports": 8010}}, {"controllers": [HOST]}
    assert controller_url(hostvars, groups) == "http://[fd00::11]:21001"
    assert api_url(hostvars, groups) == "http://[fd00::11]:8010/v1"
    assert gateway_addresses(hostvars, [HOST]) == [{"host": HOST, "url": "https://[fd00::11]:443/v1"}]
    assert gateway_upstreams(hostvars, [HOST], "fastchat_api_ports", 8000) == ["[fd00::11]:8010"]

"""Mutual TLS between the hosts: its refusals, and the settings of stunnel, the kernel and systemd."""

import pytest
from ansible_collections.fastchat.fleet.plugins.filter.tls import (
    tls_certificates,
    tls_host_faults,
    tls_inventory_faults,
    tls_side_faults,
    tls_state,
)

from testbed.audit import unit_rules
from testbed.paths import CLONE
from tests.support.rendering import Fleet

EXAMPLE = CLONE / "inventory" / "example"
HOSTS = ["ctl01.example.com", "gpu01.example.com", "gpu02.example.com"]
PORTS = [21070, 21071]
ONE, OTHER = "1" * 64, "2" * 64


def asked(**states):
    """Return the registered result of asking hosts: a checksum, off, or nothing where one can not be reached."""
    there = {"off": {"rc": 1, "stdout": ""}, None: {"unreachable": True}}
    return {
        "results": [
            {"item": host, **there.get(state, {"rc": 0, "stdout": f"{state}  /etc/fastchat-tls/ca.pem\n{OTHER}  unit"})}
            for host, state in states.items()
        ]
    }


def test_a_host_has_a_ca_or_nothing_of_it():
    on, off = asked(gpu01=ONE, gpu02="off")["results"]
    assert tls_state(on) == ONE and tls_state(off) == "off"


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        ({"results": []}, ONE),
        ({"results": [{"item": "gpu01", "skipped": True}], "skipped": True}, ONE),
        (asked(gpu01=ONE, gpu02=None), ONE),
        (asked(gpu01="off"), "off"),
    ],
    ids=["all are in the run", "nothing changes here", "one is down and one has it", "joins those that have it off"],
)
def test_a_host_joins_the_side_on_which_the_others_are(others, wanted):
    assert tls_side_faults(others, "gpu03", wanted) == []


@pytest.mark.parametrize(
    ("others", "wanted", "sentence"),
    [
        (asked(gpu01="off", gpu02="off"), ONE, "turned on, or get another CA, on gpu03 but not on gpu01, gpu02, which"),
        (asked(gpu01=OTHER, gpu02=ONE), ONE, "or get another CA, on gpu03 but not on gpu01, which"),
        (asked(gpu01=ONE, gpu02=None), "off", "turned off on gpu03 but not on gpu01, which"),
        (asked(gpu01=None), ONE, "on gpu03, and gpu01, which this run does not reach, can not be asked"),
    ],
)
def test_half_a_fleet_is_refused_in_one_sentence(others, wanted, sentence):
    (said,) = tls_side_faults(others, "gpu03", wanted)
    assert sentence in said and said.endswith("run playbooks/tls.yml over all hosts, without --limit.")


def test_what_must_be_the_same_on_all_hosts_is():
    same = {host: {"fleet_tls": "yes", "fleet_tls_ports": ["8000-8015", 7860]} for host in HOSTS}
    assert (
        tls_inventory_faults(same, HOSTS, PORTS) == []
        and tls_inventory_faults({host: {} for host in HOSTS}, HOSTS, PORTS) == []
    )
    (said,) = tls_inventory_faults({**same, HOSTS[1]: {**same[HOSTS[1]], "fleet_tls": False}}, HOSTS, PORTS)
    assert said.startswith("fleet_tls is true for ctl01.example.com, gpu02.example.com and false for gpu01.example.com")
    (said,) = tls_inventory_faults({**same, HOSTS[1]: {"fleet_tls": True}}, HOSTS, PORTS)
    assert said.startswith("fleet_tls_ports differs between hosts")
    for port in ("21001-21100", 21071):
        (said,) = tls_inventory_faults({host: {"fleet_tls_ports": [port]} for host in HOSTS}, HOSTS, PORTS)
        assert said == f"fleet_tls_ports has {port}, wanted ports other than 21070 and 21071, TLS's own."


def test_a_host_that_can_not_have_the_table_is_refused():
    assert tls_host_faults({"kernel": "5.10.0-28-amd64"}, "gpu01", "inactive") == []
    assert tls_host_faults({"kernel": "4.18.0-553.el8_10.x86_64"}, "gpu01", "unknown") == []
    (said,) = tls_host_faults({"kernel": "3.10.0-1160.el7.x86_64"}, "gpu01", "inactive")
    assert said.startswith("The kernel of gpu01 is 3.10.0-1160.el7.x86_64, wanted 4.18 or newer")
    (said,) = tls_host_faults({"kernel": "6.1.0"}, "gpu01", "active")
    assert said.startswith("firewalld is active on gpu01, wanted nftables alone")


def test_certificates_are_taken_once_and_without_what_stands_between():
    one, other = (f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----" for name in ("QQ==", "Qg=="))
    assert tls_certificates(f"Subject: x\n{one}\n\n{other}\n{one}") == [one + "\n", other + "\n"]
    assert tls_certificates("") == []


def rendered(**extra):
    fleet = Fleet(EXAMPLE, fleet_tls=True, **extra)
    for host in HOSTS:
        lines = [f"10.1.2.{n} STREAM" for n in (3, 4, 3)] + ["127.0.1.1 STREAM ctl01"]
        fleet.variables.set_nonpersistent_facts(host, {"__fleet_tls_resolved": {"stdout_lines": lines}})
    files = [file for file in fleet.templates("tls.yml") if file.host == HOSTS[0]]
    return {file.path.rsplit("/", 1)[-1]: file.text for file in files}


def test_members_are_spoken_to_through_stunnel_and_nobody_else():
    rules = rendered()["redirect.nft"]
    assert "elements = { 10.1.2.3, 10.1.2.4 }" in rules, "own names on the loopback address are none of the wire's"
    assert rules.count("21001-21063, 8000-8015, 7860") == 2
    (out,) = [line for line in rules.splitlines() if "redirect to :21071" in line]
    for words in ('oifname != "lo"', 'meta skuid != "fastchat-tls"', "ip daddr @members", "tcp dport @ports"):
        assert words in out
    assert 'iifname != "lo" fib daddr type local tcp dport @ports dnat to 10.1.2.3:21070' in rules
    assert "tcp dport 21070 ct status & dnat == 0 reject" in rules
    assert rules.index("delete table ip fastchat_tls") < rules.index("chain output")


def test_both_sides_want_a_certificate_of_the_fleet_and_bear_silence():
    conf = rendered(fleet_tls_address="10.9.9.9")["stunnel.conf"]
    whole, client, server = conf.replace("[server]", "[client]").split("[client]\n")
    for line in ("verifyChain = yes", "checkHost = member.fastchat-fleet.internal", "sslVersionMin = TLSv1.2"):
        assert line in whole.splitlines()
    assert "TIMEOUTidle = 86400" in whole
    for side in "lr":
        for line in ("SO_KEEPALIVE=1", "TCP_KEEPIDLE=10", "TCP_KEEPINTVL=5", "TCP_KEEPCNT=3"):
            assert f"socket = {side}:{line}" in whole
    assert "accept = 127.0.0.1:21071" in client and "client = yes" in client
    assert "accept = 10.9.9.9:21070" in server and "client" not in server
    assert client.count("transparent = destination") == server.count("transparent = destination") == 1
    assert "DNS:member.fastchat-fleet.internal" in (CLONE / "roles/fleet_tls/files/member.cnf").read_text()


def test_its_units_are_such_that_systemd_219_can_bear():
    files = rendered()
    assert unit_rules.faults(files["fastchat-tls.service"], gpu=False) == []
    redirect = files["fastchat-tls-redirect.service"]
    assert "ExecStart=/usr/sbin/nft --file /etc/fastchat-tls/redirect.nft" in redirect
    assert 'ExecStop=/usr/sbin/nft "delete table ip fastchat_tls; delete table ip6 fastchat_tls"' in redirect
    known = {f"{line.section}.{line.name}" for line in unit_rules.lines(redirect)}
    assert known <= unit_rules.KNOWN | {f"Service.{name}" for name in unit_rules.NEWER}


def test_the_firewall_lets_members_reach_its_port():
    (rules,) = {
        file.text
        for file in Fleet(EXAMPLE, fleet_firewall_backend="nftables").templates("firewall.yml")
        if file.source == "firewall.nft.j2"
    }
    assert " 21070," in rules and "21071" not in rules

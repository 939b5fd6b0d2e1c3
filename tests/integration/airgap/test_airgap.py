"""Hosts on a network without a way to the outside are provisioned from one bundle alone, up to the answer."""

import http.client
import json
import socket

import pytest
from site_driver import BUNDLE, FLEET

from testbed.containers import fleet
from testbed.containers.runs import changed, messages, words

HOSTS = ["ctl01", "gpu01"]


def said(runner):
    return "\n".join(map(str, messages(runner, "Bundle | Say what the bundle holds").values()))


def test_check_mode_says_how_much_and_writes_nothing(site):
    runner = site.bundle("--check")
    assert runner.rc == 0, words(runner)
    assert " would be fetched of " in said(runner) and " 0 Bytes would" not in said(runner)
    assert not BUNDLE.exists()


def test_the_bundle_has_everything_by_its_sha256_and_a_second_run_fetches_nothing(site):
    runner = site.bundle()
    assert runner.rc == 0, words(runner)
    print(said(runner))
    files = json.loads((BUNDLE / "manifest.json").read_text())["files"]
    for wanted in (
        "uv/uv",
        "wheels/cpu/index.html",
        "packages/debian12/InRelease",
        "models/smollm2-demo/base/config.json",
    ):
        assert wanted in files
    for part in ("/git-lfs_", "/nginx_", "/fschat-", "/torch-"):
        assert any(part in name for name in files), part
    again = site.bundle()
    assert again.rc == 0, words(again)
    assert changed(again) == [] and " 0 Bytes were fetched " in said(again)


def test_nothing_leads_out_of_the_site(site):
    """First the hub is removed, so the hosts have the bundle alone. Then outer addresses are tried."""
    fleet.podman("rm", "--force", "--time", "2", f"{fleet.prefix(FLEET)}-hub")
    outer = {"1.1.1.1", "8.8.8.8"}
    for name, port in (("pypi.org", 443), ("deb.debian.org", 80)):
        outer |= {found[4][0] for found in socket.getaddrinfo(name, port, socket.AF_INET)}
    for host in HOSTS:
        assert "default" not in site.on(host, "ip", "route")
        for address in sorted(outer):
            assert site.on(host, "ip", "route", "get", address, check=False) == ""
            for port in (80, 443):
                connect = f"timeout 3 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo reached || echo no"
                assert site.on(host, "bash", "-c", connect) == "no", f"{host} reaches {address}:{port}"


@pytest.mark.parametrize("fault", ["missing", "changed"])
def test_a_bundle_that_is_not_whole_is_refused_before_any_host_is_changed(site, fault):
    victim = next(BUNDLE.glob("wheels/cpu/fschat-*.whl"))
    aside = BUNDLE.parent / victim.name
    victim.rename(aside)  # renamed, not written to: it may be a hard link into the cache
    if fault == "changed":
        content = bytearray(aside.read_bytes())
        content[1000] ^= 1
        victim.write_bytes(content)
    runner = site.play("playbooks/mirror.yml")
    victim.unlink(missing_ok=True)
    aside.rename(victim)
    assert runner.rc != 0
    expected = "is missing" if fault == "missing" else "has another sha256 than its manifest"
    assert f"wheels/cpu/{victim.name} {expected}" in words(runner)
    assert changed(runner) == [] and "\n" not in words(runner).strip()
    for host in HOSTS:
        assert site.on(host, "ls", "/srv/fastchat", "/etc/apt/fastchat-bundle.list", check=False) == ""


def test_bare_hosts_are_provisioned_from_the_bundle_alone_and_answer(site):
    runner = site.play("site.yml")
    assert runner.rc == 0, words(runner)
    verdicts = messages(runner, "Verdict | Say it")
    assert sorted(verdicts) == HOSTS
    assert all("Paris" in verdict for verdict in verdicts.values()), verdicts


def test_the_second_run_changes_nothing(site):
    runner = site.play("site.yml", "--tags=runtime,weights")
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []


def test_the_mirror_only_reads_and_only_on_the_fleets_address(site):
    address = fleet.address_of(FLEET, "ctl01")
    listening = site.on("ctl01", "ss", "-Hltn", "sport = :21080 or sport = :80").splitlines()
    assert [line.split()[3] for line in listening] == [f"{address}:21080"]

    ask = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 21080, timeout=10)
connection.request(sys.argv[2], sys.argv[3], body="x" if sys.argv[2] == "PUT" else None)
print(connection.getresponse().status)
"""

    def status(method, path):
        return int(site.on("gpu01", "/usr/bin/python3", "-c", ask, address, method, path))

    with pytest.raises(OSError):  # this machine is no member, so the firewall refuses it
        http.client.HTTPConnection(address, 21080, timeout=10).connect()
    assert status("GET", "/manifest.json") == 200
    assert status("PUT", "/manifest.json") == 403
    assert status("DELETE", "/uv/uv") == 403
    assert status("GET", "/packages/debian12/.weights_fetch.json") == 403
    assert status("GET", "/../../../etc/passwd") == 400


def test_apt_takes_nothing_that_the_key_did_not_sign(site):
    """An attacker changes an index on the mirror and corrects its sum in Release: the signature check refuses it."""
    folder = "/srv/fastchat/bundle/packages/debian12"
    site.on("ctl01", "cp", f"{folder}/InRelease", "/root/was")
    site.on("ctl01", "sed", "-i", "s/^Origin: fastchat-fleet/Origin: somebody-else!/", f"{folder}/InRelease")
    update = "rm -rf /var/lib/apt/lists/*; apt-get update --error-on=any 2>&1 || echo refused"
    refused = site.on("gpu01", "bash", "-c", update)
    site.on("ctl01", "cp", "/root/was", f"{folder}/InRelease")
    assert refused.endswith("refused") and "BADSIG" in refused, refused
    assert "refused" not in site.on("gpu01", "bash", "-c", update)


def test_without_fleet_bundle_a_host_has_its_own_sources_back(site):
    site.on("gpu01", "bash", "-c", "apt-config dump | grep -q fastchat-bundle")
    runner = site.play("playbooks/mirror.yml", "--limit=gpu01", fleet_bundle="")
    assert runner.rc == 0, words(runner)
    assert changed(runner) == [("gpu01", "Own | Remove what pointed at a bundle")]
    assert site.on("gpu01", "bash", "-c", "apt-config dump | grep fastchat-bundle || true") == ""

"""One life of a fleet: IPv6, a proxy, a password for sudo, umask 077, German, Chinese, a host that is silent."""

import json
import re
from urllib.parse import urlsplit

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import manifest
from oddities import ASKED, CLOSED, CONTROLLER, FLEET, HOSTS, SILENT, on

from testbed.containers import fleet, proxy
from testbed.containers.runs import changed, messages, results, words
from testbed.paths import CLONE, STATE

MISNAME = """
cp /etc/hosts /root/hosts
{ grep --invert-match "$1" /root/hosts; echo "127.0.1.1 $1"; } > /etc/hosts
"""
CURRENT = "/srv/fastchat/models/smollm2-demo/current"
READ_BY_SERVICES = f"/opt/fastchat/env {CURRENT} /usr/local/lib/fastchat"
UNREACHABLE = 4  # ansible-playbook's exit status; 2 is a host that failed


def is_bare(host):
    """Return whether a host has nothing of ours."""
    return "fastchat" not in on(host, "ls -A /opt /srv /etc", check=False)


def said(runner):
    """Return what the last task of preflight says of hosts that were lost."""
    return "".join(messages(runner, "Preflight | Refuse when a host is lost that all others need").values())


def lost(runner):
    """Return {host: message} of the hosts that did not answer."""
    return {host: result["msg"] for host, _task, result in results(runner, "unreachable")}


def test_a_silent_host_is_named_and_the_others_pass(site):
    runner = site.run(playbook="playbooks/preflight.yml", more=["silent.yml"])
    assert runner.rc == UNREACHABLE
    assert "ssh" in lost(runner)[SILENT] and list(lost(runner)) == [SILENT]
    assert said(runner).startswith(f"1 of 4 hosts did not answer or can not do it: {SILENT}. The others go on;")
    assert words(runner) == ""


def test_a_worker_that_can_not_do_it_is_refused_alone(site):
    runner = site.run(playbook="playbooks/preflight.yml", more=["refused.yml"])
    assert runner.rc == 2
    assert [host for host, _task, _result in results(runner, "failed")] == [CLOSED]
    assert f"{CLOSED} can not run stack cpu: port 22 is taken by a process of root" in words(runner)
    assert "1 of 3 hosts" in said(runner)


def test_without_the_controller_nobody_goes_on(site):
    runner = site.run("--limit=all", more=["headless.yml"])
    assert runner.rc == 2
    assert f"{CONTROLLER} did not answer or can not do it (see above), and every worker registers at" in words(runner)
    assert changed(runner) == []
    assert all(is_bare(host) for host in HOSTS)


def test_a_wrong_sudo_password_is_that_host_s_fault(site):
    wrong = {"ansible_become_password": "no"}
    runner = site.run(f"--limit={ASKED}", playbook="playbooks/preflight.yml", **wrong)
    assert runner.rc == 2
    assert "Incorrect sudo password" in words(runner)


def test_a_controller_whose_name_leads_to_itself_alone_is_refused(site):
    """Debian's installer writes 127.0.1.1 for a host's name; the API would look there for the controller."""
    on(CONTROLLER, MISNAME, CONTROLLER)
    try:
        runner = site.run(playbook="playbooks/preflight.yml")
    finally:
        on(CONTROLLER, "cat /root/hosts > /etc/hosts")
    assert runner.rc == 2 and changed(runner) == []
    address = fleet.address_of(FLEET, CONTROLLER)
    assert f"the name {CONTROLLER} is 127.0.1.1 here, and its services listen on {address}: give it" in words(runner)


def test_a_worker_alone_on_a_fresh_fleet_waits_for_its_controller(site):
    """Facts of the other hosts are not needed; the controller is not there yet, and the sentence says so."""
    runner = site.run(f"--limit={ASKED}", fastchat_service_gate_seconds=20)
    assert runner.rc == 2
    assert f"waiting for the controller at http://{CONTROLLER}:21001" in words(runner)
    assert on(ASKED, f"readlink -f {CURRENT}").startswith("/srv/fastchat/models/smollm2-demo/releases/")
    assert is_bare(CONTROLLER) and is_bare(CLOSED)


def test_one_host_of_four_is_silent_and_the_others_serve(site):
    runner = site.run(more=["silent.yml"])
    assert runner.rc == UNREACHABLE, words(runner)
    assert list(lost(runner)) == [SILENT] and words(runner) == ""
    verdicts = messages(runner, "Verdict | Say it")
    assert sorted(verdicts) == HOSTS
    assert all("Paris" in verdict for verdict in verdicts.values())


def test_a_second_run_changes_nothing_also_from_a_control_node_without_a_language(site, monkeypatch):
    for name in ("LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C")
    runner = site.run(more=["silent.yml"])  # a member less would be another firewall
    assert runner.rc == UNREACHABLE, words(runner)
    assert changed(runner) == []


@pytest.mark.parametrize("host", [ASKED, CONTROLLER])
def test_a_part_of_the_fleet_needs_no_facts_of_the_others(site, host):
    runner = site.run(f"--limit={host}", more=["silent.yml"])
    assert runner.rc == 0, words(runner)
    assert changed(runner) == []
    assert {found for found, _task, _result in results(runner, "ok")} == {host}


def test_services_listen_on_addresses_of_ipv6_alone(site):
    ports = {CONTROLLER: {"21001", "8000", "8001"}, ASKED: {"21002"}, CLOSED: {"21002"}}
    for host, wanted in ports.items():
        lines = on(host, "ss --listening --tcp --numeric --no-header").splitlines()
        listening = dict(reversed(line.split()[3].rsplit(":", 1)) for line in lines)
        assert {port: listening[port][:3] for port in wanted} == dict.fromkeys(wanted, "[fd")


@pytest.mark.parametrize("host", [CONTROLLER, CLOSED])
def test_services_can_read_what_a_root_with_umask_077_made(site, host):
    assert on(host, "su -s /bin/sh -c umask root") != ""
    there = f"for one in {READ_BY_SERVICES}; do test ! -e $one || echo $one; done"
    look = f"find -L $({there}) ! -readable -o -type d ! -executable"
    assert on(host, f"setpriv --reuid=fastchat --regid=fastchat --init-groups sh -ec '{look}'") == ""


def test_what_lies_outside_was_asked_through_the_proxy_and_nothing_else_was(site):
    asked = proxy.asked(FLEET)
    sources = on(CONTROLLER, "cat /etc/apt/sources.list /etc/apt/sources.list.d/*", check=False)
    archives = set(re.findall(r"^deb .*?https?://([^/\s]+)", sources, re.MULTILINE))
    assert archives and any(archive in asked for archive in archives) and "hub" in asked
    assert ":21001" not in asked and ":21002" not in asked and ":8000" not in asked


@pytest.mark.parametrize("host", [ASKED, CLOSED])
def test_packages_come_from_pypi_through_the_proxy(site, tmp_path, host):
    """A lock of one small package stands in for the stack's: what is tried is the way, not the gigabyte."""
    files = CLONE / "files"
    locked = re.search(r"^idna==.*\n(    --hash=.*\n)+", (files / "locks" / "cpu.txt").read_text(), re.MULTILINE)
    (tmp_path / "cpu.txt").write_text(locked.group())
    stack = yaml.safe_load((files / "stacks" / "cpu.yml").read_text())
    del stack["extra_index_url"]
    (tmp_path / "cpu.yml").write_text(yaml.safe_dump({**stack, "loads": "idna"}))
    runner = site.run(
        f"--limit={host}",
        playbook="playbooks/runtime.yml",
        fastchat_runtime_root="/opt/tried",
        fastchat_runtime_wheelhouse="",
        fastchat_runtime_locks_dir=str(tmp_path),
        fastchat_runtime_stacks_dir=str(tmp_path),
    )
    assert runner.rc == 0, words(runner)
    assert on(host, "ls -d /opt/tried/env/lib/python3.11/site-packages/idna")
    on(host, "rm -r /opt/tried")
    defaults = yaml.safe_load((CLONE / "roles/fastchat_runtime/defaults/main.yml").read_text())
    assert urlsplit(defaults["fastchat_runtime_index_url"]).hostname in proxy.asked(FLEET)


# A client on another host; the certificate is trusted as its users do it, by a copy, and must have the address.
CLIENT = """
import json, ssl, sys, urllib.error, urllib.request
asked = json.load(sys.stdin)
head = {"Authorization": "Bearer " + asked["key"], "Content-Type": "application/json"}
body = json.dumps(asked["body"]).encode()
context = ssl.create_default_context(cadata=asked["certificate"])
try:
    answer = urllib.request.urlopen(urllib.request.Request(asked["url"], body, head), context=context, timeout=120)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


def test_the_gateway_at_its_address_of_ipv6_has_the_model_s_answer(site):
    runner = site.run(playbook="playbooks/gateway.yml", more=["doors.yml"])
    assert runner.rc == 0, words(runner)
    address = fleet.address_of(FLEET, CONTROLLER)
    assert address.startswith("fd")
    question = {"role": "user", "content": "What is the capital of France?"}
    asked = {
        "url": f"https://[{address}]/v1/chat/completions",
        "key": (STATE / FLEET / "gateway-key").read_text().strip(),
        "certificate": on(CONTROLLER, "cat /var/lib/fastchat-gateway/certificate.pem"),
        "body": {"model": "smollm2-demo", "temperature": 0, "messages": [question]},
    }

    def answer(**changed):
        given = json.dumps({**asked, **changed})
        status, _, said = on(ASKED, 'exec python3 -c "$1"', CLIENT, stdin=given).partition(" ")
        return int(status), said

    status, said = answer()
    assert (status, json.loads(said)["choices"][0]["message"]["content"]) == (200, "The capital of France is Paris.")
    status, said = answer(body={**asked["body"], "stream": True})
    assert status == 200 and "Paris" in said and said.endswith("data: [DONE]")
    status, said = answer(key="sk-nobody-has-this-key-00000000")
    assert (status, json.loads(said)["error"]["code"]) == (401, "invalid_api_key")


def test_the_mirror_serves_a_bundle_at_its_address_of_ipv6(site, tmp_path):
    """A bundle of one file; with fleet_system none hosts keep their own sources of packages."""
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv").write_text("one file\n")
    manifest.write(str(tmp_path / manifest.NAME), manifest.rendered(manifest.described(str(tmp_path))))
    told = {"bundle_dir": str(tmp_path), "fleet_bundle": f"http://{CONTROLLER}:21080", "fleet_system": "none"}
    runner = site.run(playbook="playbooks/mirror.yml", more=["doors.yml"], **told)
    assert runner.rc == 0, words(runner)
    url = f"http://[{fleet.address_of(FLEET, CONTROLLER)}]:21080"
    fetch = 'python3 -c "import sys, urllib.request as web; print(web.urlopen(sys.argv[1]).read().decode())" "$1"'
    assert on(ASKED, fetch, f"{url}/uv/uv") == "one file"
    assert "uv/uv" in json.loads(on(CLOSED, fetch, f"{url}/manifest.json"))["files"]

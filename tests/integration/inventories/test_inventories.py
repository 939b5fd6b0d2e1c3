"""One life of a fleet as others have it: IPv6, a proxy, sudo's password, umask 077, German and Chinese, a silent host."""

import pytest
from oddities import ASKED, CLOSED, CONTROLLER, HOSTS, SILENT, on

from testbed.containers import proxy
from testbed.containers.runs import changed, messages, results, words

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
    runner = site.run(f"--limit={ASKED}", playbook="playbooks/preflight.yml", ansible_become_password="no")
    assert runner.rc == 2
    assert "Incorrect sudo password" in words(runner)

"""What systemd itself says of the installed units, and what a process in one of them can and can not do."""

import json
import re
import time
from pathlib import Path

import pytest

from testbed import unit_rules

testinfra_hosts = ["ssh://ctl01", "ssh://gpu01", "ssh://gpu02"]
FOLDER = "/etc/systemd/system"
# Runs in place of the service, with all of its sandbox; leaves what it met where the unit may write.
PROBE = """
import ctypes, json, os, socket
def met(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return error.strerror
    return "done"
def write(path):
    open(path, "w").close()
    os.remove(path)
def connect(family):
    socket.socket(family, socket.SOCK_RAW if family == socket.AF_PACKET else socket.SOCK_DGRAM).close()
libc = ctypes.CDLL(None, use_errno=True)
def unshare():
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
seen = {path: met(write, path + "/probe") for path in ("/var/lib/fastchat", "/tmp", "/dev/shm", "/srv/open", "/etc")}
seen["home"] = met(os.listdir, "/home/open")
seen["namespace"] = met(unshare)
seen["vsock"] = met(connect, socket.AF_VSOCK)
seen["inet"] = met(connect, socket.AF_INET)
seen["kmsg"] = os.path.exists("/dev/kmsg") or os.path.exists("/dev/fuse")
seen["tmp"] = os.listdir("/tmp")
processes = ["/proc/" + pid for pid in os.listdir("/proc") if pid.isdigit()]
seen["strangers"] = [path for path in processes if os.stat(path).st_uid != os.getuid()]
json.dump(seen, open("/var/lib/fastchat/probe.json", "w"))
"""


@pytest.fixture
def units(host):
    found = host.check_output(f"find {FOLDER} -maxdepth 1 -name 'fastchat-*.service'").split()
    assert found
    return found


def test_systemd_has_nothing_to_say_about_them(host, units):
    for unit in units:
        verdict = host.run("systemd-analyze verify %s", unit)
        assert (verdict.rc, verdict.stdout, verdict.stderr) == (0, "", ""), unit
    now = host.check_output("date +@%s")
    host.check_output("systemctl daemon-reload")
    said = host.check_output(f"journalctl --since={now} --no-pager --priority=warning --output=cat _PID=1")
    assert [line for line in said.splitlines() if "fastchat" in line] == []


def test_what_is_installed_is_what_systemd_219_can_bear(host, units):
    for unit in units:
        assert unit_rules.faults(host.file(unit).content_string, gpu=False) == [], unit


def test_they_are_not_exposed(host, units):
    for unit in units:
        verdict = host.run("systemd-analyze security --no-pager --threshold=20 %s", Path(unit).name)
        assert verdict.rc == 0, verdict.stdout


@pytest.fixture
def seen(host, units):
    """What a probe met in the sandbox of the first unit, on a host where everybody may write to /srv/open and /tmp."""
    text = host.file(units[0]).content_string
    text = re.sub("ExecStart=.*", "ExecStart=/opt/fastchat/env/bin/python /usr/local/lib/fastchat/probe.py", text)
    text = re.sub("(ExecStartPre|Restart|RestartSec)=.*", "", text)
    files = {f"{FOLDER}/probe.service": text, "/usr/local/lib/fastchat/probe.py": PROBE}
    for path, content in files.items():
        host.check_output("printf %%s %s > " + path, content)
    host.check_output("mkdir -p -m 1777 /srv/open /home/open && touch /tmp/stranger && systemctl daemon-reload")
    host.run("systemctl start probe")
    for _ in range(60):
        if host.run("systemctl is-active probe").stdout.strip() in ("inactive", "failed"):
            break
        time.sleep(1)
    result = host.run("cat /var/lib/fastchat/probe.json")
    said = host.run("systemctl status --no-pager probe").stdout
    host.run(f"rm -rf {' '.join(files)} /srv/open /home/open /tmp/stranger /var/lib/fastchat/probe.json")
    host.run("systemctl reset-failed probe; systemctl daemon-reload")
    assert result.rc == 0, said
    return json.loads(result.stdout)


def test_a_service_writes_only_where_it_must_and_sees_only_its_own(seen):
    assert [seen[path] for path in ("/var/lib/fastchat", "/tmp", "/dev/shm")] == ["done"] * 3  # noqa: S108
    assert seen["/srv/open"] == seen["/etc"] == "Read-only file system"
    assert seen["home"] == "Permission denied"
    assert (seen["namespace"], seen["inet"]) == ("Operation not permitted", "done")
    assert seen["vsock"] == "Address family not supported by protocol"
    assert seen["kmsg"] is False and seen["tmp"] == [] and seen["strangers"] == []

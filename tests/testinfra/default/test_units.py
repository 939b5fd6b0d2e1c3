"""systemd accepts the installed units, and a process in one of them can do only what it may."""

import json
import re
import time
from pathlib import Path

import pytest

from testbed.audit import unit_rules

testinfra_hosts = ["ssh://ctl01", "ssh://gpu01", "ssh://gpu02"]
FOLDER = "/etc/systemd/system"
# Runs in place of the service, in its whole sandbox; writes what it found where the unit may write.
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
    socket.socket(family, socket.SOCK_SEQPACKET if family == socket.AF_ALG else socket.SOCK_DGRAM).close()
libc = ctypes.CDLL(None, use_errno=True)
def unshare():
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
seen = {path: met(write, path + "/probe") for path in ("/var/lib/fastchat", "/tmp", "/dev/shm", "/srv/open", "/etc")}
seen["home"] = met(os.listdir, "/home/open")
seen["alg"] = met(connect, socket.AF_ALG)
seen["inet"] = met(connect, socket.AF_INET)
seen["there"] = [path for path in ("/tmp/stranger", "/dev/stranger") if os.path.exists(path)]
processes = ["/proc/" + pid for pid in os.listdir("/proc") if pid.isdigit()]
seen["strangers"] = [path for path in processes if os.stat(path).st_uid != os.getuid()]
left = open("/var/lib/fastchat/sandbox.json", "w")
seen["namespace"] = met(unshare)  # this comes last: after it the process has another identity
json.dump(seen, left)
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


# These run as root: they load a table, and end.
TABLES = {"fastchat-firewall.service", "fastchat-tls-redirect.service"}
# This one runs as root: it restarts workers.
ROOT = {"fastchat-probe.service", *TABLES}
# Only EL 7 gets this setting: newer systemd warns about MemoryLimit= each time.
ELSEWHERE = "MemoryLimit=, which stands for it there, is absent"


def test_what_is_installed_is_what_systemd_219_can_bear(host, units):
    for unit in units:
        faults = unit_rules.faults(host.file(unit).content_string, gpu=False)
        allowed = [ELSEWHERE, *(["User="] if Path(unit).name in ROOT else [])]
        if Path(unit).name == "fastchat-gateway.service":
            allowed += ["CapabilityBoundingSet= is absent"]  # it binds a port below 1024
        if Path(unit).name in TABLES:
            allowed += [
                "CapabilityBoundingSet= is absent",
                "TasksMax=",
                "LimitNOFILE=",
                "LimitCORE=",
            ]  # runs nft, and ends
        assert [fault for fault in faults if not any(words in fault for words in allowed)] == [], unit


def test_they_are_not_exposed(host, units):
    for unit in units:
        most = 35 if Path(unit).name in TABLES else 20
        verdict = host.run(f"systemd-analyze security --no-pager --threshold={most} %s", Path(unit).name)
        assert verdict.rc == 0, verdict.stdout


@pytest.fixture
def seen(host, units):
    """What a probe found as user fastchat in the sandbox of the first unit and, as a control, in no sandbox.

    Everybody may write to /srv/open and list /home/open; /tmp and /dev each hold a file that is not the service's.
    """
    probe, left = "/usr/local/lib/fastchat/sandbox.py", "/var/lib/fastchat/sandbox.json"
    texts = [host.file(unit).content_string for unit in units]
    text = next(text for text in texts if "User=fastchat\n" in text)
    text = re.sub("ExecStart=.*", f"ExecStart=/opt/fastchat/env/bin/python {probe}", text)
    text = re.sub("(ExecStartPre|ExecStop|ExecStopPost|Restart|RestartSec|Requires|After)=.*", "", text)
    for path, content in {f"{FOLDER}/probe.service": text, probe: PROBE}.items():
        host.check_output("printf %%s %s > " + path, content)
    host.check_output("mkdir -p -m 1777 /srv/open /home/open && touch /tmp/stranger /dev/stranger")
    control = host.run(f"runuser -u fastchat -- /opt/fastchat/env/bin/python {probe} && cat {left} && rm {left}")
    host.run("systemctl daemon-reload; systemctl start probe")
    for _ in range(60):
        if host.run("systemctl is-active probe").stdout.strip() in ("inactive", "failed"):
            break
        time.sleep(1)
    result, said = host.run(f"cat {left}"), host.run("systemctl status --no-pager probe").stdout
    host.run(f"rm -rf {FOLDER}/probe.service {probe} {left} /srv/open /home/open /tmp/stranger /dev/stranger")
    host.run("systemctl reset-failed probe; systemctl daemon-reload")
    assert (control.rc, result.rc) == (0, 0), control.stderr + said
    return json.loads(result.stdout), json.loads(control.stdout)


def test_a_service_writes_only_where_it_must_and_sees_only_its_own(seen):
    inside, outside = seen
    for path in ("/var/lib/fastchat", "/tmp", "/dev/shm", "inet"):  # noqa: S108
        assert (inside[path], outside[path]) == ("done", "done"), path
    assert (inside["/srv/open"], outside["/srv/open"]) == ("Read-only file system", "done")
    assert (inside["home"], outside["home"]) == ("Permission denied", "done")
    assert (inside["there"], outside["there"]) == ([], ["/tmp/stranger", "/dev/stranger"])  # noqa: S108
    assert inside["strangers"] == [] != outside["strangers"]
    assert inside["/etc"] == "Read-only file system"
    # Not every kernel offers these two to begin with; inside they must be refused all the same.
    assert inside["namespace"] == "Operation not permitted"
    assert inside["alg"] == "Address family not supported by protocol"

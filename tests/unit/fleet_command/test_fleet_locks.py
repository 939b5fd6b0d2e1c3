"""Two runs never change one host at once; the second says who has it and since when."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from fleet import running
from fleet.inventory import lock_name


def busy(place, started, *arguments: str) -> subprocess.Popen:
    """Start a run that keeps its hosts for a minute; return when it has them."""
    words = place.words("up", "-e", "nap=60", *arguments)
    run = started(words, cwd=place.folder, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert b"PLAY" in run.stdout.read(20)
    return run


def test_a_second_run_is_refused_with_who_and_since_when_and_others_are_not(place, started):
    first = busy(place, started, "--limit", "a,b")
    second = place.fleet("prune")
    assert second.returncode == 5
    who = rf"a is in use by 'fleet up' of \S+ \(process {first.pid}\) since \d\d:\d\d:\d\d, so 'fleet prune' was not"
    assert re.match(who, second.stderr), second.stderr
    assert "PLAY" not in second.stdout
    assert place.fleet("up", "--limit", "c").returncode == 0
    # What changes nothing goes beside it.
    assert place.fleet("up", "--check").returncode == 0
    assert place.fleet("status").returncode == 0


def test_a_run_that_is_killed_leaves_no_lock(place, started):
    first = busy(place, started)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert place.fleet("up").returncode == 0


def test_a_playbook_whose_fleet_was_killed_does_not_go_on_without_the_lock(place, started):
    first = busy(place, started)
    (playbook,) = running.descendants(first.pid)[:1]
    first.kill()
    first.wait()
    end = time.monotonic() + 20
    while (Path("/proc") / str(playbook) / "cmdline").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert time.monotonic() < end


def test_the_same_address_under_another_name_is_the_same_host(place, started):
    here = {"ansible_host": "127.0.0.1", "ansible_port": 2222}
    one, other = place.inventory("one.yml", gpu01=here), place.inventory("other.yml", worker7=here)
    busy(place, started, "-i", str(one))
    refused = place.fleet("up", "-i", str(other))
    assert (refused.returncode, refused.stderr.split()[0]) == (5, "worker7")


def test_a_name_that_leads_elsewhere_is_another_host():
    assert lock_name("gpu01", {}, ["one"]) == lock_name("gpu01", {}, ["other"])
    assert lock_name("gpu01", {}, []) != lock_name("gpu02", {}, [])
    own = {"ansible_ssh_common_args": "-F {{ inventory_dir }}/ssh_config"}
    assert lock_name("gpu01", own, ["one"]) != lock_name("gpu01", own, ["other"])
    assert lock_name("gpu01", {"ansible_port": 22}, []) != lock_name("gpu01", {"ansible_port": 23}, [])
    assert "/" not in lock_name("a/../b", {}, [])

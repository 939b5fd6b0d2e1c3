from pathlib import Path

import pytest
from fleet import input_digest, inventory_faults, preflight_faults

ROOT = str(Path(__file__).resolve().parents[2])
FACTS = {
    "service_mgr": "systemd",
    "architecture": "x86_64",
    "os_family": "Debian",
    "memtotal_mb": 4000,
}
NEEDS = {
    "stack": {"name": "cpu", "python": "3.11", "glibc": "2.28", "driver": "525.60.13"},
    "glibc": "2.36",
    "python": "3.11.2",
    "python_path": "/usr/bin/python3",
    "memory_mb": 1500,
    "probe": {
        "taken": {},
        "unknown": [],
        "gpus": {"driver": "", "count": 0},
        "disk": [{"paths": ["/srv/fastchat"], "free_mb": 2048, "wanted_mb": 1000}],
    },
    "clock_skew": 0,
}


def test_a_host_that_can_do_it_has_no_fault():
    assert preflight_faults(FACTS, NEEDS) == []


def test_all_faults_are_listed_at_once():
    bad = {"service_mgr": "sysvinit", "architecture": "aarch64", "os_family": "Suse", "memtotal_mb": 10}
    probe = {
        "taken": {"21002": "nobody"},
        "unknown": ["ctl01"],
        "gpus": {"driver": "", "count": 0},
        "disk": [{"paths": ["/srv/fastchat", "/opt/fastchat"], "free_mb": 5, "wanted_mb": 1000}],
    }
    needs = {**NEEDS, "python": "", "clock_skew": "-300", "memory_mb": "1500", "probe": probe}
    faults = preflight_faults(bad, needs)
    for part in ("sysvinit", "aarch64", "Suse", "10 MiB", "-300 s", "absent", "21002", "ctl01", "5 MiB are free"):
        assert any(part in fault for fault in faults), part


GOOD = {
    "groups": {"controllers": ["c"], "workers": ["w"]},
    "fleet_controller": "http://c:21001",
    "fleet_api": "http://c:8000/v1",
    "fastchat_stack": "cpu",
    "fastchat_model": "smollm2-demo",
    "fastchat_worker_port": 21002,
}


def test_a_sound_inventory_has_no_fault():
    assert inventory_faults(GOOD, ROOT) == []


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"groups": {"controllers": ["a", "b"], "workers": ["w"]}}, "controllers has 2 hosts"),
        ({"groups": {"controllers": ["a"], "workers": []}}, "group workers is empty"),
        ({"fleet_controller": "ctl01"}, "fleet_controller is 'ctl01'"),
        ({"fastchat_stack": "el9"}, "files/stacks: ['cpu'"),
        ({"fastchat_model": None}, "files/models"),
        ({"fastchat_worker_prot": 1}, "fastchat_worker_prot is not a variable of role fastchat_worker"),
        ({"vicuna_weights_distribute": "p2p"}, "'p2p' and group builders is empty"),
        ({"fleet_memory": 1}, "fleet_memory is not a variable of the fleet"),
    ],
)
def test_an_unsound_inventory_is_told_what_is_wrong(change, part):
    faults = inventory_faults({**GOOD, **change}, ROOT)
    assert len(faults) == 1 and part in faults[0]


@pytest.mark.parametrize(
    ("gpus", "part"),
    [
        ({"driver": "", "count": 0}, "driver is absent"),
        ({"driver": "440.33.01", "count": 8}, "driver is 440.33.01"),
        ({"driver": "525.60.13", "count": 0}, "0 GPUs are there, wanted 1"),
        ({"driver": "550.54.14", "count": 8}, ""),
    ],
)
def test_the_driver_is_compared_as_a_version(gpus, part):
    faults = preflight_faults(FACTS, {**NEEDS, "gpus": "1", "probe": {**NEEDS["probe"], "gpus": gpus}})
    assert any(part in fault for fault in faults) if part else faults == []


def test_glibc_2_17_is_older_than_2_28_and_2_9_than_2_17():
    assert "glibc is 2.17" in preflight_faults(FACTS, {**NEEDS, "glibc": "2.17"})[0]
    stack = {**NEEDS["stack"], "glibc": "2.17"}
    assert preflight_faults(FACTS, {**NEEDS, "glibc": "2.9", "stack": stack})


def test_python_3_1_is_not_python_3_11():
    assert preflight_faults(FACTS, {**NEEDS, "python": "3.1.1"})


def test_digest_ignores_the_order_of_keys_and_sees_values():
    assert input_digest({"a": 1, "b": 2}) == input_digest({"b": 2, "a": 1})
    assert input_digest({"a": 1}) != input_digest({"a": 2})

from fleet import input_digest, preflight_faults

GIB = 1 << 30
FACTS = {
    "service_mgr": "systemd",
    "architecture": "x86_64",
    "os_family": "Debian",
    "memtotal_mb": 4000,
    "mounts": [{"mount": "/", "size_available": 10 * GIB}, {"mount": "/srv", "size_available": 2 * GIB}],
}
NEEDS = {
    "stack": {"name": "cpu", "python": "3.11"},
    "python": "3.11.2",
    "python_path": "/usr/bin/python3",
    "memory_mb": 1500,
    "disk_mb": 1000,
    "disk_path": "/srv/fastchat",
    "clock_skew": 0,
}


def test_a_host_that_can_do_it_has_no_fault():
    assert preflight_faults(FACTS, NEEDS) == []


def test_all_faults_are_listed_at_once():
    bad = {"service_mgr": "sysvinit", "architecture": "aarch64", "os_family": "Suse", "memtotal_mb": 10}
    needs = {**NEEDS, "python": "", "clock_skew": "-300", "memory_mb": "1500"}
    faults = preflight_faults(bad, needs)
    for part in ("sysvinit", "aarch64", "Suse", "10 MiB", "-300 s", "absent"):
        assert any(part in fault for fault in faults), part


def test_disk_is_read_from_the_mount_that_holds_the_path():
    faults = preflight_faults(FACTS, {**NEEDS, "disk_mb": 3000})
    assert len(faults) == 1 and faults[0].startswith("/srv has 2048 MiB free")


def test_python_3_1_is_not_python_3_11():
    assert preflight_faults(FACTS, {**NEEDS, "python": "3.1.1"})


def test_digest_ignores_the_order_of_keys_and_sees_values():
    assert input_digest({"a": 1, "b": 2}) == input_digest({"b": 2, "a": 1})
    assert input_digest({"a": 1}) != input_digest({"a": 2})

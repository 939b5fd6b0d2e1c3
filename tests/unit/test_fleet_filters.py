from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.fleet import inventory_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.preflight import preflight_faults, systems_of
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.variables import PROJECT_VARIABLES
from ansible_collections.fastchat.fleet.plugins.module_utils.units.settings import digest_of

ROOT = str(Path(__file__).resolve().parents[2])
FACTS = {
    "service_mgr": "systemd",
    "architecture": "x86_64",
    "os_family": "Debian",
    "memtotal_mb": 4000,
}
NEEDS = {
    "memory_mb": 1500,
    "ports": [21002],
    "disk": [{"path": "/srv/fastchat", "mb": 1000}],
    "probe": {
        "taken": {"22": "root"},  # a port that nothing of ours wants
        "unknown": [],
        "disk": [{"device": 1, "free_mb": 2048, "done": False, "used_mb": 0}],
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
        "disk": [{"device": 1, "free_mb": 5, "done": False, "used_mb": 0}],
    }
    needs = {**NEEDS, "clock_skew": "-300", "memory_mb": "1500", "probe": probe}
    faults = preflight_faults(bad, needs)
    for part in ("sysvinit", "aarch64", "Suse", "10 MiB", "-300 s", "21002", "ctl01", "5 MiB are free"):
        assert any(part in fault for fault in faults), part


@pytest.mark.parametrize(
    ("address", "name", "found", "told"),
    [
        ("10.1.2.3", "ctl01", "127.0.1.1", True),
        ("10.1.2.3", "localhost", "127.0.0.1", True),
        ("fd00::3", "ctl01", "::1", True),
        ("127.0.0.1", "localhost", "127.0.0.1", False),
        ("::", "ctl01", "127.0.1.1", False),
        ("", "ctl01", "127.0.1.1", False),
    ],
)
def test_a_name_that_leads_a_host_to_itself_alone_is_refused_where_services_listen_elsewhere(
    address, name, found, told
):
    """Debian's installer writes 127.0.1.1 for a host's name; its API would look there for the controller."""
    probe = {**NEEDS["probe"], "loopback": {name: found}}
    said = "".join(preflight_faults(FACTS, {**NEEDS, "address": address, "probe": probe}))
    assert said.startswith(f"the name {name} is {found} here, and its services listen on {address}: ") == told
    assert bool(said) == told


def test_the_disk_that_is_wanted_is_added_up_by_file_system_less_what_a_cut_run_left():
    wanted = [
        {"path": path, "mb": mb} for path, mb in (("/srv/a", 1000), ("/srv/b", "500"), ("/opt", 700), ("/srv/c", 9))
    ]
    places = [
        {"device": 7, "free_mb": 1200, "done": False, "used_mb": 400},
        {"device": 7, "free_mb": 1200, "done": False, "used_mb": 900},  # more than it will take in the end
        {"device": 3, "free_mb": 100, "done": True, "used_mb": 0},
        {"device": 7, "free_mb": 1200, "done": False, "used_mb": 0},
    ]
    assert systems_of(wanted, places) == [
        {"paths": ["/opt"], "wanted_mb": 0, "free_mb": 100},
        {"paths": ["/srv/a", "/srv/b", "/srv/c"], "wanted_mb": 609, "free_mb": 1200},
    ]
    with pytest.raises(ValueError, match="zip"):
        systems_of(wanted, places[:1])


GOOD = {
    "groups": {"controllers": ["c"], "workers": ["w"]},
    "fleet_controller": "http://c:21001",
    "fleet_api": "http://c:8000/v1",
    "fastchat_stack": "cpu",
    "fastchat_model": "smollm2-demo",
    "fastchat_worker_port": 21002,
}


@pytest.mark.parametrize("stack", ["cpu", "auto"])
def test_a_sound_inventory_has_no_fault(stack):
    assert inventory_faults({**GOOD, "fastchat_stack": stack}, ROOT) == []


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"groups": {"controllers": ["a", "b"], "workers": ["w"]}}, "controllers has 2 hosts"),
        ({"groups": {"controllers": ["a"], "workers": []}}, "group workers is empty"),
        ({"fleet_controller": "ctl01"}, "fleet_controller is 'ctl01'"),
        ({"fleet_api": "http://ctl01:8000"}, "fleet_api is 'http://ctl01:8000', wanted a URL that ends with /v1"),
        ({"fastchat_stack": "el9"}, "files/stacks: ['cpu'"),
        ({"fastchat_model": None}, "files/models"),
        ({"fastchat_model": "auto"}, "fastchat_model is 'auto'"),
        ({"fastchat_models": "vicuna-7b-v1.5"}, "fastchat_models is 'vicuna-7b-v1.5', wanted a list"),
        ({"fastchat_models": ["smollm2-demo", "smollm2-demo"]}, "wanted a list of models, each once"),
        ({"fastchat_models": []}, "fastchat_models is empty, wanted"),
        ({"fastchat_models": ["smollm2-demo", "gpt"]}, "fastchat_models names 'gpt', wanted some of files/models"),
        ({"preflight_dtype": "float16"}, "preflight_dtype is not a variable of role preflight"),
        ({"fastchat_worker_prot": 1}, "fastchat_worker_prot is not a variable of role fastchat_worker"),
        ({"vicuna_weights_distribute": "p2p"}, "'p2p' and group builders is empty"),
        ({"fleet_memory": 1}, "fleet_memory is not a variable of the fleet"),
        ({"el7_archive_use": True}, "el7_archive_use is true and el7_archive_centos is not set"),
    ],
)
def test_an_unsound_inventory_is_told_what_is_wrong(change, part):
    faults = inventory_faults({**GOOD, **change}, ROOT)
    assert len(faults) == 1 and part in faults[0] and faults[0].endswith(".")


def test_text_for_false_asks_for_nothing():
    """An INI inventory and -e NAME=VALUE hand on text."""
    assert inventory_faults({**GOOD, "el7_archive_use": "false"}, ROOT) == []
    assert len(inventory_faults({**GOOD, "el7_archive_use": "true"}, ROOT)) == 1


def test_digest_ignores_the_order_of_keys_and_sees_values():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_vllm_s_packages_are_refused_where_the_api_runs_and_nowhere_else():
    vllm = {**GOOD, "fastchat_stack": "v100-vllm062"}
    (said,) = inventory_faults({**vllm, "group_names": ["controllers", "workers"]}, ROOT)
    assert "fastchat_stack is 'v100-vllm062' on a controller" in said and said.endswith(".")
    assert inventory_faults({**vllm, "group_names": ["workers"]}, ROOT) == []


def test_what_the_playbooks_set_for_every_play_is_no_fault_of_an_inventory():
    project = yaml.safe_load((Path(ROOT) / "playbooks" / "group_vars" / "all.yml").read_text())
    assert set(project) == PROJECT_VARIABLES
    assert inventory_faults({**GOOD, **project}, ROOT) == []

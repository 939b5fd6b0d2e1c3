"""What an inventory need not say follows from its groups, what it says wrongly is named, and what it says wins."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.template import Templar
from ansible_collections.fastchat.fleet.plugins.filter.fleet import known_variables
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.addresses import api_url, controller_url
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.preflight import preflight_refusal, preflight_table
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.sentences import counted, said_of
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.variables import variable_faults

from testbed.paths import CLONE
from tests.support.rendering import Fleet

ROLES = known_variables(CLONE)
LEAST = {
    "all": {
        "vars": {"fastchat_model": "smollm2-demo"},
        "children": {
            "controllers": {"hosts": {"ctl01": {}}},
            "workers": {"hosts": {"gpu01": {}, "gpu02": {}}},
        },
    }
}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fastchat_modells", "fastchat_models"),
        ("fastchat_worker_prot", "fastchat_worker_port"),
        ("fleet_contoller", "fleet_controller"),
        ("vicuna_weight_distribute", "vicuna_weights_distribute"),
        ("preflight_nvidiasmi", "preflight_nvidia_smi"),
        ("git_lfs_verison", "git_lfs_version"),
        ("nvidia_driver_instal", "nvidia_driver_install"),
        ("el7_archive_uses", "el7_archive_use"),
        ("package_source_sytem", "package_source_system"),
        ("artifact_mirror_prot", "artifact_mirror_port"),
        ("cuda_toolkit_verion", "cuda_toolkit_version"),
        ("fastcaht_models", "fastchat_models"),
        ("bundle_dirs", "bundle_dir"),
        ("teardown_confrim", "teardown_confirm"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(name, meant):
    (said,) = variable_faults([name], ROLES)
    assert said.startswith(f"{name} is not a variable of ") and f": write {meant}, or remove it" in said


def test_a_variable_that_is_like_none_of_ours_but_begins_so_is_refused():
    (said,) = variable_faults(["vicuna_xyzzy_qqqqqqqqqqqqqqqqqqqq"], ROLES)
    assert said == "vicuna_xyzzy_qqqqqqqqqqqqqqqqqqqq is not a variable of the fleet: remove it."


@pytest.mark.parametrize(
    "name",
    [
        "ansible_host",
        "ansible_fleet",
        "__fleet_x",
        "_vicuna",
        "ntp_servers",
        "bundle_of_wood",
        "status_page_url",
        "model",
    ],
)
def test_variables_of_others_and_facts_are_left_alone(name):
    assert variable_faults([name], ROLES) == []


def names_after(text: str, word: str) -> set[str]:
    """Return the public names below each ``set_fact:`` of a YAML file, or after each ``register:``."""
    if word == "register":
        return {name for name in re.findall(r"\bregister: (\w+)", text) if not name.startswith("_")}
    found = re.findall(r"^( *)ansible\.builtin\.set_fact:\n((?:\1 +.*\n?)+)", text, re.MULTILINE)
    return {name for indent, block in found for name in re.findall(rf"^{indent}  ([a-z]\w*):", block, re.MULTILINE)}


def test_nothing_that_roles_and_playbooks_set_themselves_is_refused():
    texts = [path.read_text() for path in [*CLONE.glob("roles/**/*.yml"), *CLONE.glob("playbooks/**/*.yml")]]
    names = set(
        itertools.chain.from_iterable(names_after(text, word) for text in texts for word in ("fact", "register"))
    )
    assert {"fastchat_stack", "git_lfs_bundled", "ask_units"} <= names
    assert variable_faults(names, ROLES) == []


def test_every_variable_that_a_playbook_asks_for_is_known():
    asked = set()
    for path in CLONE.glob("playbooks/*.yml"):
        asked |= set(re.findall(r"\b(\w+) (?:\| default\(|is (?:not )?defined)", path.read_text()))
    families = ("bundle_", "prune_", "pull_", "rebuild_", "rollback_", "rolling_", "status_", "teardown_")
    assert {name for name in asked if name.startswith(families)} <= ROLES["playbooks"]


def test_addresses_follow_from_the_groups_and_the_ports():
    groups = {"controllers": ["ctl-01.example.com"]}
    assert controller_url({"ctl-01.example.com": {}}, groups) == "http://ctl-01.example.com:21001"
    moved = {"ctl-01.example.com": {"fastchat_controller_port": 22001, "fastchat_api_ports": [9000, 9001]}}
    assert controller_url(moved, groups) == "http://ctl-01.example.com:22001"
    assert api_url(moved, groups) == "http://ctl-01.example.com:9000/v1"
    assert api_url({"fd00::1": {}}, {"controllers": ["fd00::1"]}) == "http://[fd00::1]:8000/v1"
    assert controller_url({}, {}) == api_url({}, {"controllers": []}) == ""


def inventory_of(folder: Path, **files: dict) -> Path:
    """Write the least inventory and files of variables beside it ({"group_vars/all": {...}}); return its file."""
    (folder / "hosts.yml").write_text(yaml.safe_dump(LEAST))
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    return folder / "hosts.yml"


def seen_by(inventory: Path, host: str, **extra) -> tuple[str, str]:
    """Return (controller, API) as Ansible's own variable manager has them for a host in a play of ours."""
    fleet = Fleet(inventory, **extra)
    (play,) = [play for play in fleet.plays("verify.yml")][:1]
    variables = fleet.variables.get_vars(play=play, host=fleet.inventory.get_host(host))
    templar = Templar(loader=fleet.loader, variables=variables)
    return tuple(templar.template("{{ " + name + " }}") for name in ("__fleet_controller", "__fleet_api"))


DERIVED = ("http://ctl01:21001", "http://ctl01:8000/v1")


def test_an_inventory_that_says_nothing_has_the_controller_s_addresses(tmp_path):
    for host in ("ctl01", "gpu02"):
        assert seen_by(inventory_of(tmp_path), host) == DERIVED


def test_the_controller_s_own_ports_reach_the_workers(tmp_path):
    ports = {"fastchat_controller_port": 22001, "fastchat_api_ports": "{{ [base, 9001] }}", "base": 9000}
    inventory = inventory_of(tmp_path, host_vars__ctl01=ports)
    assert seen_by(inventory, "gpu01") == ("http://ctl01:22001", "http://ctl01:9000/v1")


def test_a_slash_at_the_end_of_an_address_is_nothing(tmp_path):
    told = {"fleet_controller": "http://ctl01:21001/", "fleet_api": "http://ctl01:8000/v1/"}
    assert seen_by(inventory_of(tmp_path, group_vars__all=told), "gpu01") == DERIVED


@pytest.mark.parametrize("where", ["group_vars__all", "group_vars__workers", "host_vars__gpu01"])
def test_what_an_operator_sets_wins_wherever_it_stands(tmp_path, where):
    inventory = inventory_of(tmp_path, **{where: {"fleet_controller": "http://mine:1"}})
    assert seen_by(inventory, "gpu01") == ("http://mine:1", DERIVED[1])
    assert seen_by(inventory, "gpu01", fleet_controller="http://said:2")[0] == "http://said:2"


FLEET = {f"gpu{number:03d}": ["No driver.", "Both."] for number in range(100)}


def test_a_sentence_about_a_hundred_hosts_is_said_once_with_the_hosts_counted():
    assert counted({**FLEET, "ctl01": ["Both."]}) == ["100 hosts (gpu000, gpu001, gpu002, ...): No driver.", "Both."]
    assert counted({"a": ["x."], "b": ["x."], "c": []}) == ["a, b: x."]
    assert said_of("gpu000", FLEET) == "No driver. Both."
    assert said_of("gpu001", FLEET) == "As above, 2 reasons of gpu000."
    mixed = {"a": ["x."], "b": ["y."], "c": ["x.", "y.", "z."]}
    assert said_of("c", mixed) == "z. As above, the reason of a and the reason of b."


def test_the_table_of_a_hundred_hosts_has_each_plan_reason_and_note_once():
    common = {
        "machine": {"distribution": "CentOS", "distribution_version": "7.9"},
        **{
            "glibc": "2.17",
            "python": "3.9.25",
            "stack": "",
            "found": {"gpus": [], "driver": "", "fault": "", "hint": ""},
        },
        **{"plan": {"words": ["worker@0: GPU 0"]}, "notes": ["GPU 1 ails."]},
    }
    verdicts = [{"host": host, "faults": faults, **common} for host, faults in FLEET.items()]
    lines = preflight_table(verdicts)
    many = "100 hosts (gpu000, gpu001, gpu002, ...)"
    assert len(lines) == 105
    told = [f"{many}, plan: worker@0: GPU 0", f"{many}: No driver.", f"{many}: Both.", f"{many}, note: GPU 1 ails."]
    assert lines[101:] == told
    assert preflight_refusal(verdicts, "gpu099") == "As above, 2 reasons of gpu000."


def preflight(inventory: Path, *arguments: str) -> tuple[int, str]:
    """Run preflight over an inventory whose hosts are this machine; return (exit status, output)."""
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, "-e", json.dumps(local), *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command.append(CLONE / "playbooks" / "preflight.yml")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout


def test_a_misspelt_variable_of_thirty_hosts_is_refused_in_one_sentence(tmp_path):
    workers = {f"gpu{number:02d}": {"fastchat_modells": []} for number in range(30)}
    children = {"controllers": {"hosts": {"ctl01": {}}}, "workers": {"hosts": workers}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {**LEAST["all"], "children": children}}))
    status, output = preflight(tmp_path / "hosts.yml")
    assert status != 0
    said = "30 hosts (gpu00, gpu01, gpu02, ...): fastchat_modells is not a variable of the fleet: write fastchat_models"
    assert said in output and output.count("fastchat_modells") == 1
    assert "Can these hosts do it" not in output


def test_one_controller_two_workers_and_a_model_are_enough(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 3.11.2\n")
    python.chmod(0o755)
    # The machine's part, which a real host has by itself: an interpreter, room, no GPU.
    machine = {"fastchat_runtime_python": str(python), "fleet_memory_mb": 1, "fleet_disk_mb": 1}
    machine["fastchat_worker_device"] = "cpu"
    children = {"controllers": {"hosts": {"localhost": {}}}, "workers": {"hosts": {"127.0.0.2": {}, "127.0.0.3": {}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {**LEAST["all"], "children": children}}))
    _status, output = preflight(tmp_path / "hosts.yml", "-e", json.dumps(machine))
    rows = [line for line in output.splitlines() if "3.11.2" in line]
    assert len(rows) == 3 and all(row.rstrip('",').endswith(" cpu") for row in rows), output
    assert "does not resolve" not in output and "fleet_controller" not in output and "fastchat_stack is" not in output

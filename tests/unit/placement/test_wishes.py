"""A host's variables become the input of placement: models, room for them, and options of role fastchat_worker."""

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fastchat.fleet.plugins.filter.models import models_faults
from ansible_collections.fastchat.fleet.plugins.filter.placement import (
    SPEC,
    models_room,
    placement_options,
    placement_wish,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import FIRST_PORT
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.models import models_here, models_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.needs import CONVERSATIONS
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

from testbed.paths import CLONE
from tests.support.plans import MODELS, host


def test_without_a_driver_that_is_to_come_there_is_no_plan_and_no_fault():
    asked = placement_wish({"fastchat_model": "vicuna-7b-v1.5", "nvidia_driver_install": "true"}, str(MODELS))
    result = placement_plan(host(count=0), asked)
    assert (result["instances"], result["faults"]) == ([], []) and "once the driver is there" in result["words"][0]


def test_an_inventory_that_says_nothing_means_the_role_s_defaults():
    role = yaml.safe_load((CLONE / "roles" / "fastchat_worker" / "defaults" / "main.yml").read_text())
    options = yaml.safe_load(SPEC.read_text())["argument_specs"]["main"]["options"]
    names = placement_options("fastchat_worker_")
    assert {name: options[name]["default"] for name in names} == {name: role[name] for name in names}
    silent = placement_wish({"fastchat_model": "vicuna-7b-v1.5"}, str(MODELS))
    asked = {name.removeprefix("fastchat_worker_"): role[name] for name in names}
    assert {name: silent[name] for name in asked} == asked
    # A wish that leaves them out, as a test's, means the same.
    assert (asked["port"], asked["conversations"]) == (FIRST_PORT, CONVERSATIONS)
    assert placement_plan(host(), {"models": silent["models"], "memory_mb": 0}) == placement_plan(host(), silent)


def test_the_role_wishes_by_its_own_values_of_the_same_variables():
    names = placement_options("fastchat_worker_")
    said = {"dtype": "bfloat16", "port": 21010, "instances": [{"gpus": [0]}], "shares": {"smollm2-demo": 2}}
    role = yaml.safe_load((CLONE / "roles" / "fastchat_worker" / "defaults" / "main.yml").read_text())
    role |= yaml.safe_load((CLONE / "roles" / "fastchat_worker" / "vars" / "main.yml").read_text())
    role |= {f"fastchat_worker_{name}": value for name, value in said.items()}
    role |= {"fastchat_model": "smollm2-demo", "fleet_memory_mb": 1, "playbook_dir": str(CLONE / "playbooks")}
    role |= {"fleet_files": str(CLONE / "files")}
    wished = Templar(loader=DataLoader(), variables=role).template("{{ __fastchat_worker_wish }}")
    assert {name: wished[name] for name in said} == said
    assert {f"fastchat_worker_{name}" for name in wished} >= set(names)


def test_one_model_or_several():
    assert models_of({"fastchat_model": "a"}) == models_of({"fastchat_model": "a", "fastchat_models": []}) == ["a"]
    assert models_of({"fastchat_model": "a", "fastchat_models": ["b", "c"]}) == ["b", "c"]


def test_a_builder_has_what_any_worker_serves_and_a_worker_its_own():
    hostvars = {
        "gpu01": {"fastchat_model": "a"},
        "gpu02": {"fastchat_model": "a", "fastchat_models": ["b", "a"]},
        "bld01": {"fastchat_model": "a", "fastchat_models": ["c"]},
        "ctl01": {"fastchat_model": "a"},
    }
    groups = {"workers": ["gpu01", "gpu02"], "builders": ["bld01"], "controllers": ["ctl01"]}
    found = {host: models_here(hostvars, host, groups) for host in hostvars}
    assert found == {"gpu01": ["a"], "gpu02": ["b", "a"], "bld01": ["a", "b"], "ctl01": []}
    assert models_here(hostvars, "gpu01", {"workers": ["gpu01", "gpu02"], "builders": ["gpu01"]}) == ["a", "b"]


def test_room_for_each_model_and_for_its_sources_where_they_are_fetched():
    receives, makes = (models_room(["vicuna-7b-v1.1", "vicuna-7b-v1.5"], str(MODELS), each) for each in (False, True))
    assert [one["disk"]["mb"] for one in receives] == [13495, 13495]
    assert [one["disk"]["mb"] for one in makes] == [
        int(12853 * 3 * 1.05),
        int(12853 * 2 * 1.05),
    ]  # base and delta; whole
    assert makes[1]["disk"]["done"] == "/srv/fastchat/models/vicuna-7b-v1.5/current"


def test_the_faults_of_every_model_that_is_served(tmp_path):
    (tmp_path / "a.yml").write_text("name: b\n")
    (tmp_path / "c.yml").write_text("name: [\n")
    said = models_faults(["a", "c", "gone", "a"], str(tmp_path))
    assert sum("a.name is 'b', wanted 'a'" in fault for fault in said) == 1
    assert sum("c.yml is no YAML" in fault for fault in said) == 1 and not any("gone" in fault for fault in said)

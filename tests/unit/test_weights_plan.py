"""A host makes its release, has it already, or receives it or its damaged files."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.weights import FilterModule
from ansible_collections.fastchat.fleet.plugins.module_utils.release.plan import (
    is_published,
    makes_release,
    receive_plan,
)

FILES = {name: {"size": size, "sha256": name * 3} for size, name in enumerate("abc")}
MANIFEST = {"inputs": {"output": "bin"}, "files": FILES}
ABSENT = {"published": False, "damaged": [], "files": {}}
DAMAGED = {"published": False, "damaged": ["b"], "files": FILES}


@pytest.mark.parametrize(
    ("distribute", "builder", "host", "makes"),
    [
        ("each", "", "gpu01", True),
        ("each", "gpu02", "gpu01", True),
        ("p2p", "", "gpu01", True),  # nobody else is named who could make it
        ("p2p", "gpu01", "gpu01", True),
        ("p2p", "gpu02", "gpu01", False),
        ("http", "gpu02", "gpu01", False),
        ("rsync", "gpu02", "gpu01", False),
    ],
)
def test_a_host_makes_its_release_unless_another_builds_it(distribute, builder, host, makes):
    assert makes_release(distribute, builder, host) is makes


@pytest.mark.parametrize(
    ("published", "repaired", "is_there"),
    [
        (True, {}, True),
        (True, {"changed": False, "skipped": True}, True),
        (False, {}, False),
        (False, {"changed": False, "skipped": True}, False),
        (False, {"repaired": False, "reason": "The index is damaged too."}, False),
        (False, {"repaired": True}, True),
    ],
)
def test_a_release_is_published_when_it_was_there_or_was_repaired(published, repaired, is_there):
    assert is_published({"published": published}, repaired) is is_there


@pytest.mark.parametrize("method", ["p2p", "http", "rsync"])
def test_a_host_without_the_release_receives_all_of_it_as_the_inventory_says(method):
    expected = {"repairs": False, "manifest": MANIFEST, "method": method, "url": "http://mirror"}
    assert receive_plan(MANIFEST, ABSENT, method, "http://mirror") == expected


@pytest.mark.parametrize("method", ["http", "rsync"])
def test_of_a_damaged_release_only_the_damaged_files_are_received(method):
    expected = {"inputs": MANIFEST["inputs"], "files": {"b": FILES["b"]}}
    plan = receive_plan(MANIFEST, DAMAGED, method, "http://mirror")
    assert plan == {"repairs": True, "manifest": expected, "method": method, "url": "http://mirror"}
    assert list(MANIFEST["files"]) == ["a", "b", "c"]  # the builder's manifest stays as it was


def test_a_repair_never_joins_a_swarm_and_then_asks_the_builder_itself():
    plan = receive_plan(MANIFEST, DAMAGED, "p2p", "http://mirror")
    assert (plan["repairs"], plan["method"], plan["url"]) == (True, "http", "")


def test_a_damaged_release_with_other_files_than_the_builder_s_is_received_whole():
    other = {**DAMAGED, "files": {**FILES, "b": {"size": 9, "sha256": "x"}}}
    plan = receive_plan(MANIFEST, other, "p2p", "")
    assert (plan["repairs"], plan["manifest"], plan["method"]) == (False, MANIFEST, "p2p")


def test_in_check_mode_a_builder_may_have_no_release_yet():
    assert receive_plan({}, ABSENT, "p2p", "") == {"repairs": False, "manifest": {}, "method": "p2p", "url": ""}
    assert receive_plan({}, DAMAGED, "p2p", "")["repairs"] is False


def test_the_role_uses_the_filters_that_are_there():
    role = Path(__file__).resolve().parents[2] / "roles" / "vicuna_weights"
    text = yaml.safe_dump(yaml.safe_load((role / "vars" / "main.yml").read_text()), width=1000)
    for name in FilterModule().filters():
        assert f"fastchat.fleet.{name}" in text

"""An INI inventory and -e NAME=VALUE hand on text: "false" must not be true, such as for a reboot or a key's trust."""

from pathlib import Path

import jinja2
import pytest
import yaml
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[2]
EXPRESSIONS = {"when", "that", "until", "failed_when", "changed_when"}
PROJECT = {"bundle_models", "bundle_refresh", "teardown_data"}
SPECS = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
BOOLEANS = PROJECT | {
    name
    for spec in SPECS
    for name, option in spec["argument_specs"]["main"]["options"].items()
    if option["type"] == "bool"
}
FILES = sorted(
    path
    for pattern in (
        "roles/*/tasks",
        "roles/*/vars",
        "roles/*/handlers",
        "roles/*/templates",
        "playbooks",
        "playbooks/*",
    )
    for path in ROOT.glob(f"{pattern}/*")
    if path.suffix in (".yml", ".j2")
)


def expressions(found, key=""):
    """Yield the Jinja of a parsed YAML file, bare conditions in braces."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield from expressions(value, name)
    elif isinstance(found, list):
        for value in found:
            yield from expressions(value, key)
    elif isinstance(found, str):
        yield "{{ " + found + " }}" if key in EXPRESSIONS else found


def taken_as_text(node, inside=False):
    """Yield the boolean options that an expression takes as they are; one alone in braces is handed on."""
    if isinstance(node, nodes.Output):
        for one in node.nodes:
            if not isinstance(one, nodes.Name) or len(node.nodes) > 1:
                yield from taken_as_text(one)
        return
    inside = inside or (isinstance(node, nodes.Filter) and node.name == "bool")
    if isinstance(node, nodes.Name) and node.name in BOOLEANS and not inside:
        yield node.name
    for child in node.iter_child_nodes():
        yield from taken_as_text(child, inside)


def faults(text, bare=False):
    found = []
    for one in [text] if bare else expressions(yaml.safe_load(text)):
        found += taken_as_text(jinja2.Environment(autoescape=True).parse(one))
    return found


def test_an_expression_that_takes_text_for_a_truth_is_found():
    assert faults("- when: nvidia_driver_reboot_required and nvidia_driver_reboot") == ["nvidia_driver_reboot"]
    assert faults("- when: nvidia_driver_reboot_required and nvidia_driver_reboot | bool") == []
    assert faults("- msg: \"{{ 'a' if not fleet_tls | default(false) | bool else 'b' }}\"") == []
    assert faults("- msg: \"{{ 'a' if not fleet_tls | default(false) else 'b' }}\"") == ["fleet_tls"]
    assert faults('- together: "{{ fastchat_worker_together }}"') == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_booleans_of_an_ini_inventory_are_read_as_booleans(path):
    assert faults(path.read_text(), path.suffix == ".j2") == []

"""The inventory that operators copy is sound, complete, and right about every default."""

import functools
import itertools
import json
import re
import subprocess

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.fleet import inventory_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.variables import FLEET_VARIABLES

from testbed.paths import CLONE
from tests.support.rendering import Fleet

EXAMPLE = CLONE / "inventory" / "example"
SPECS = {
    path.parts[-3]: yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    for path in sorted(CLONE.glob("roles/*/meta/argument_specs.yml"))
}
# Of the hidden roles, what is an operator's; the rest is what the thin roles are made of.
HIDDEN = {
    "fastchat_service": {"fastchat_service_gate_seconds"},
    "monitoring_programs": {"monitoring_programs_url", "monitoring_programs_table"},
}


@functools.cache
def passed_by_playbooks():
    """Variables that playbooks hand to roles: an inventory that sets them changes nothing."""
    plays = itertools.chain.from_iterable(yaml.safe_load(path.read_text()) for path in CLONE.glob("playbooks/*.yml"))
    plays = list(plays)
    tasks = [task for play in plays for task in play.get("tasks", [])]
    for path in CLONE.glob("playbooks/tasks/*.yml"):
        tasks += yaml.safe_load(path.read_text())
    included = [task for task in tasks if "ansible.builtin.include_role" in task]
    roles = [role for play in plays for role in play.get("roles", [])]
    return {name for one in [*roles, *included] for name in one.get("vars", {})}


@functools.cache
def knobs():
    """Return {variable: its option in the spec} of all that an operator may set."""
    options = {
        name: option
        for role, spec in SPECS.items()
        for name, option in spec.items()
        if role not in HIDDEN or name in HIDDEN[role]
    }
    return {name: option for name, option in options.items() if name not in passed_by_playbooks()}


def blocks(text):
    """Yield (variable, value, whether it is set, the comment above it) of one file of the example."""
    comment, used = [], False
    for line in text.splitlines():
        if found := re.fullmatch(r"(# )?([a-z0-9]+_[a-z0-9_]+):(?: (.*))?", line):
            yield found[2], yaml.safe_load(found[3] or "null"), not found[1], " ".join(comment)
            used = True
        elif line.startswith("#"):
            comment = [line.lstrip("# ")] if used else [*comment, line.lstrip("# ")]
            used = False
        else:
            comment, used = [], False


@functools.cache
def written():
    """Return {variable: [(value, set, comment, file)]} over the example's group_vars."""
    found = {}
    for path in sorted((EXAMPLE / "group_vars").rglob("*.yml")):
        for name, *rest in blocks(path.read_text()):
            found.setdefault(name, []).append((*rest, path.name))
    return found


def lines_for(names):
    """Return what is missing in the example, ready to be written there."""
    return "".join(
        f"\n# {knobs()[name]['description']} Change it …\n# {name}: {json.dumps(knobs()[name].get('default'))}"
        for name in sorted(names)
    )


def test_what_operators_copy_is_sound():
    command = ["ansible-inventory", "-i", str(EXAMPLE), "--list"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    groups = {name: listed[name]["hosts"] for name in ("controllers", "workers", "builders")}
    assert {name: len(hosts) for name, hosts in groups.items()} == {"controllers": 1, "workers": 2, "builders": 1}
    hosts = listed["_meta"]["hostvars"]
    assert set(hosts) == set(itertools.chain(*groups.values()))
    for host, variables in hosts.items():
        assert inventory_faults({**variables, "groups": groups}, str(CLONE)) == [], host


def test_no_group_is_shipped_that_no_play_serves():
    shipped = set(yaml.safe_load((EXAMPLE / "hosts.yml").read_text())["all"]["children"])
    plays = itertools.chain.from_iterable(yaml.safe_load(path.read_text()) for path in CLONE.glob("playbooks/*.yml"))
    served = {group for play in plays for group in re.findall(r"\w+", play.get("hosts", ""))}
    assert shipped <= served
    assert shipped == {path.stem for path in (EXAMPLE / "group_vars").glob("*.yml")}


def test_every_knob_is_there():
    missing = set(knobs()) - set(written())
    assert not missing, f"inventory/example lacks, with a word on when to change it:{lines_for(missing)}"
    assert set(written()) == set(knobs()) | FLEET_VARIABLES, "what is written there must be a knob"


@pytest.mark.parametrize("name", sorted(knobs()))
def test_a_knob_is_commented_and_its_default_is_true(name):
    option = knobs()[name]
    standing = [entry for entry in written()[name] if not entry[1]]
    for value, is_set, comment, file in written()[name]:
        assert len(comment) > 40, f"{name} in {file}: say what it does and when to change it"
        if not is_set:
            assert value == option["default"], f"{name} in {file}"
        elif not option.get("required") and not standing:
            said = re.search(r"\(default: ([^)]*)\)", comment)
            assert said and yaml.safe_load(said[1]) == option["default"], f"{name} in {file}: say (default: …)"
    assert len(standing) <= 1, f"{name} stands in two files"
    assert standing or any(is_set for _, is_set, _, _ in written()[name])


def test_every_template_can_be_rendered_for_every_host():
    files = Fleet(EXAMPLE).templates("serve.yml")
    assert {file.host for file in files} == {"ctl01.example.com", "gpu01.example.com", "gpu02.example.com"}
    for file in files:
        assert file.text.strip() and "{{" not in file.text, file
    workers = {file.host: file.text for file in files if file.path.endswith("/fastchat-worker@0.service")}
    for host, unit in workers.items():
        assert f"--worker-address=http://{host}:21002 " in unit
        assert "--controller-address=http://ctl01.example.com:21001 " in unit
        assert "--model-path=/srv/fastchat/models/vicuna-7b-v1.1/current " in unit


def test_a_knob_reaches_what_is_written():
    units = Fleet(EXAMPLE, fastchat_worker_port=21005, fastchat_worker_num_gpus=2).templates("serve.yml")
    here = [file for file in units if file.host == "gpu01.example.com" and "fastchat-worker@" in file.path]
    assert len(here) == 4, "two of eight GPUs each"
    (unit,) = {file.text for file in here if file.path.endswith("@0.service")}
    assert "--port=21005 " in unit and "--worker-address=http://gpu01.example.com:21005 " in unit
    assert "--num-gpus=2 " in unit

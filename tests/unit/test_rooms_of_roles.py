"""Roles know no directory but their own, YAML computes without side effects, Python is imported by its name."""

import ast
import os
import re
from pathlib import Path

import pytest

from testbed.paths import CLONE

EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
SIDE_EFFECT = re.compile(
    r"""\.(?:append|extend|insert|update|setdefault|pop)\(  # a call that changes what it is called on
    |\bor\s*(?:''|"")\s*-?\}\}  # a call whose value is thrown away
    |\{%-?\s*set\s+\w+\.""",  # a namespace that a loop writes into
    re.VERBOSE,
)
# "roles/NAME/", or a path that begins at the role's own directory and leads up and into another one.
BESIDE = re.compile(r"""(?:(?<![\w.-])roles|role_path\s*(?:}}|~\s*['"])/\.\.)/(\w+)/""")
EDITS = {"append", "extend", "insert", "pop", "remove", "clear", "reverse", "sort"}


def files_below(*folders, suffixes=None):
    """Return the project's own files below some folders, {name below the project: text}, of what is not hidden."""
    found = {}
    for folder in folders or ["."]:
        for here, inner, names in os.walk(CLONE / folder):
            inner[:] = [name for name in inner if not name.startswith(".") and name != "__pycache__"]
            for path in (Path(here, name) for name in names if suffixes is None or name.endswith(suffixes)):
                found[str(path.relative_to(CLONE))] = path.read_text()
    return found


def playbook_dirs(text):
    """Return the lines of a role's file that say where the playbook lies."""
    return [line for line in text.splitlines() if "playbook_dir" in line]


def other_roles(text, role):
    """Return the other roles whose directories a role's file names."""
    return sorted({name for name in BESIDE.findall(text) if name != role})


def side_effects(text):
    """Return the Jinja expressions of a YAML file that change what they go over, or hide the value of such a call."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [found for found in EXPRESSION.findall("\n".join(lines)) if SIDE_EFFECT.search(found)]


def is_sys_path(node):
    """Return whether a piece of Python is sys.path, or a part of it such as sys.path[:0]."""
    if isinstance(node, ast.Subscript):
        return is_sys_path(node.value)
    return isinstance(node, ast.Attribute) and node.attr == "path" and getattr(node.value, "id", "") == "sys"


def path_edits(text):
    """Return the lines of a Python file that change sys.path."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in EDITS:
            targets = [node.func.value]
        else:
            continue
        if any(is_sys_path(target) for target in targets):
            found.append(node.lineno)
    return sorted(found)


def test_no_role_knows_where_the_playbook_lies():
    found = {name: playbook_dirs(text) for name, text in files_below("roles").items() if playbook_dirs(text)}
    assert not found, f"take fleet_files or fleet_services of playbooks/group_vars instead: {found}"


def test_no_role_names_another_role_s_directory():
    named = {name: other_roles(text, name.split("/")[1]) for name, text in files_below("roles").items()}
    found = {name: roles for name, roles in named.items() if roles}
    assert not found, f"what two roles use belongs to neither: put it into files/ or services/: {found}"


def test_no_yaml_file_has_a_program_in_jinja():
    yaml = files_below("roles", "playbooks", "inventory", "molecule", suffixes=(".yml", ".yaml"))
    found = {name: side_effects(text) for name, text in yaml.items() if side_effects(text)}
    assert not found, f"make a filter of it, a plain function with a test: {found}"


def test_no_python_file_edits_sys_path():
    python = files_below(suffixes=(".py",))
    found = {name: path_edits(text) for name, text in python.items() if path_edits(text)}
    assert not found, f"import it by its full name, or start it with PYTHONPATH: {found}"


def test_a_planted_playbook_dir_is_found():
    text = 'x_dir: "{{ role_path }}/files"\nx_models: "{{ playbook_dir }}/../files/models"\n'
    assert playbook_dirs(text) == ['x_models: "{{ playbook_dir }}/../files/models"']


def test_a_planted_path_into_another_role_is_found():
    text = "src: '{{ x }}/../roles/fastchat_service/files/asking.py'\nown: roles/fastchat_worker/files/probe.py\n"
    assert other_roles(text, "fastchat_worker") == ["fastchat_service"]
    up = (
        """{{ role_path }}/../fleet_tls/files/a {{ role_path ~ '/../git_lfs/vars/main.yml' }} {{ role_path }}/files/b"""
    )
    assert other_roles(up, "fastchat_worker") == ["fleet_tls", "git_lfs"]
    assert other_roles("See docs/roles/, ansible-roles/x/ and a role's files.", "fastchat_worker") == []


@pytest.mark.parametrize(
    "planted",
    [
        "{{- found.append(host) or '' -}}",
        "{{ found.update({'a': 1}) }}",
        "{%- set _ = found.append(host) -%}",
        "{%- set seen.hosts = seen.hosts + [host] -%}",
        "{% if found.extend(more) %}",
        "{{ found.pop() or '' }}",
        '{{ changes(found) or "" -}}',
    ],
)
def test_a_planted_program_in_jinja_is_found(planted):
    text = f"a: >-\n  {{%- for host in hosts -%}}\n  {planted}\n  {{%- endfor -%}}\n"
    assert side_effects(text) == [planted]


@pytest.mark.parametrize(
    "harmless",
    [
        "a: \"{{ b | default('') or c }}\"",
        "a: \"{{ (b or '') ~ c }}\"",
        "# a: {{ found.append(b) or '' }}",
        "run: list.append(x) in a sentence",
    ],
)
def test_what_only_computes_is_left_alone(harmless):
    assert side_effects(harmless) == []


@pytest.mark.parametrize(
    "planted",
    [
        "sys.path.insert(0, here)",
        "sys.path.append(here)",
        "sys.path[:0] = [here]",
        "sys.path = [here]",
        "sys.path += [here]",
        "del sys.path[0]",
        "sys.path.remove(here)",
    ],
)
def test_a_planted_edit_of_sys_path_is_found(planted):
    assert path_edits(f"import sys\n\n{planted}\n") == [3]


@pytest.mark.parametrize("harmless", ["print(sys.path)", "paths = list(sys.path)", "os.path.join(a)", "self.path = a"])
def test_reading_sys_path_is_allowed(harmless):
    assert path_edits(f"import os, sys\n{harmless}\n") == []

"""Write ``docs/VARIABLES.md`` from the argument specs and ``inventory/example``: ``make readmes``.

The roles' READMEs list every option of one role, those that playbooks hand over among them. This page lists what an
operator may set, over all roles and playbooks, in the order in which a run gets there.
"""

import functools
import itertools
import re
from collections.abc import Iterator

import yaml

from testbed.paths import CLONE
from testbed.role_readmes import code, default_of, description_of, type_of

PAGE = CLONE / "docs" / "VARIABLES.md"
EXAMPLE = CLONE / "inventory" / "example"
# Of the hidden roles, what is an operator's; the rest is what the thin roles are made of.
HIDDEN = {
    "fastchat_service": {"fastchat_service_gate_seconds"},
    "monitoring_programs": {"monitoring_programs_url", "monitoring_programs_table"},
}
# What the operator wants to do, and the roles and variables that it takes; `playbooks` stands for what no role has.
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Choose what runs", ("fastchat_model", "fastchat_models", "fastchat_stack")),
    ("Say where hosts find each other, and how they get out", ("playbooks",)),
    ("Have the hosts checked before anything is changed", ("fleet_memory_mb", "fleet_disk_mb", "preflight")),
    ("Install without internet access", ("fleet_bundle", "fleet_system", "package_source", "artifact_mirror")),
    ("Point CentOS 7 at archives, and get git-lfs", ("el7_archive", "git_lfs")),
    ("Install the NVIDIA driver", ("nvidia_driver",)),
    ("Build the environment that FastChat runs in", ("fastchat_runtime",)),
    ("Close the fleet's ports, and encrypt between its hosts", ("fleet_firewall", "fleet_tls")),
    ("Fetch, convert and distribute the weights", ("vicuna_weights",)),
    ("Run the controller", ("fastchat_service", "fastchat_controller")),
    ("Run the workers, and chat on their hosts", ("fastchat_worker", "fastchat_cli")),
    ("Run the API", ("fastchat_api",)),
    ("Show the chat as a web page", ("fastchat_web",)),
    ("Let clients in", ("fastchat_gateway",)),
    ("Watch the fleet", ("fastchat_monitoring", "fastchat_exporter", "monitoring_programs")),
    ("Check the answer at the end", ("fastchat_verify",)),
)
HEAD = """# Variables

<!-- Written by `make readmes` from roles/*/meta/argument_specs.yml, playbooks/meta/argument_specs.yml and
inventory/example: change those files, not this one. -->

These are all variables that you may set, in the order in which a run gets to them.

Copy `inventory/example` and set them there. Values for all hosts are in `group_vars/all/`, values for one group are in
`group_vars/<group>.yml`, and values for one host are in `host_vars/<host>.yml`. A host's value beats its group's value,
and a group's value beats the one for all hosts. The example has every variable with its default behind a `#`: remove
the `#` and change the value. To set a variable for a single run, pass `-e name=value`.

You must set what is marked **required**. Everything else has a default, and most fleets need only the first section. If
you misspell a name, the run refuses it before any host is asked, and says which name is most like it.

A default in `{{ }}` is computed. *none* means that nothing is set; the description says what happens then. Sentences
like "Change them" and "Change the first" speak of several variables: the one in their row, and those right below it."""
TASKS = """## Run a single task

These belong to one playbook each. Give them with `-e` when you run it. [OPERATIONS.md](OPERATIONS.md) has a page for
each playbook, and `fleet` takes them as [options](operations/fleet.md)."""
# Playbooks whose page has another name.
PAGES = {"bundle": "AIRGAP.md", "pull": "operations/thousand_hosts.md"}
COLUMNS = "| variable | type | default | what it is for | {} |\n|---|---|---|---|---|"


def specs() -> dict[str, dict[str, dict]]:
    """Return {role: {entry point: its options}}; what playbooks read stands under ``playbooks``."""
    found = {}
    for path in sorted([*CLONE.glob("roles/*/meta/argument_specs.yml"), CLONE / "playbooks/meta/argument_specs.yml"]):
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        found[path.parts[-3]] = {entry: spec.get("options", {}) for entry, spec in entries.items()}
    return found


@functools.cache
def passed_by_playbooks() -> set[str]:
    """Return the variables that playbooks hand to roles: an inventory that sets them changes nothing."""
    plays = list(
        itertools.chain.from_iterable(yaml.safe_load(path.read_text()) for path in CLONE.glob("playbooks/*.yml"))
    )
    tasks = [task for play in plays for task in play.get("tasks", [])]
    for path in CLONE.glob("playbooks/tasks/*.yml"):
        tasks += yaml.safe_load(path.read_text())
    included = [task for task in tasks if "ansible.builtin.include_role" in task]
    roles = [role for play in plays for role in play.get("roles", [])]
    return {name for one in [*roles, *included] for name in one.get("vars", {})}


@functools.cache
def owners() -> dict[str, dict[str, dict]]:
    """Return {variable: {role: its option}} of all that an inventory may set."""
    found: dict[str, dict[str, dict]] = {}
    for role, entries in specs().items():
        for name, option in entries["main"].items():
            if name not in passed_by_playbooks() and (role not in HIDDEN or name in HIDDEN[role]):
                found.setdefault(name, {})[role] = option
    return found


def knobs() -> dict[str, dict]:
    """Return {variable: its option}; what playbooks say of a variable of several roles is what counts."""
    return {name: roles.get("playbooks", next(iter(roles.values()))) for name, roles in owners().items()}


def blocks(text: str) -> Iterator[tuple[str, object, bool, str]]:
    """Yield (variable, value, whether it is set, the comment above it) of one file of the example."""
    comment: list[str] = []
    used = False
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
def written() -> dict[str, list[tuple[object, bool, str, str]]]:
    """Return {variable: [(value, whether it is set, comment, file)]} over the example's group_vars."""
    found: dict[str, list[tuple[object, bool, str, str]]] = {}
    for path in sorted((EXAMPLE / "group_vars").rglob("*.yml")):
        for name, *rest in blocks(path.read_text(encoding="utf-8")):
            found.setdefault(name, []).append((*rest, path.name))
    return found


def advice(comment: str) -> str:
    """Return the sentences of a comment of the example that say when to change a variable."""
    sentences = re.split(r"(?<=[.!]) (?=[A-Z])", comment)
    return " ".join(sentence for sentence in sentences if re.match(r"(Change|Leave|Set|Take) ", sentence))


def rows_of(members: tuple[str, ...]) -> Iterator[str]:
    """Yield the rows of a section, in the order of the example; advice for several variables stands at their first."""
    named = set(itertools.chain.from_iterable(others for _, others in SECTIONS)) - set(members)
    places = {
        name: min(members.index(one) for one in {name, *roles} & set(members))
        for name, roles in owners().items()
        if name not in named and {name, *roles} & set(members)
    }
    said = ""
    for name in sorted(places, key=lambda name: (places[name], list(written()).index(name))):
        comment = max((entry[2] for entry in written()[name]), key=len)
        told = description_of(knobs()[name]).rstrip(".") + "."
        if comment != said:
            told = f"{told} {advice(comment)}".strip()
        said = comment
        links = ", ".join(f"[{role}](../roles/{role}/README.md)" for role in owners()[name])
        yield row(name, knobs()[name], told, "all playbooks" if "playbooks" in owners()[name] else links)


def row(name: str, option: dict, told: str, whose: str) -> str:
    """Return one row of a table."""
    return f"| {code(name)} | {type_of(option)} | {default_of(option)} | {told} | {whose} |"


def tasks() -> Iterator[str]:
    """Yield the rows of the variables that single playbooks take."""
    for playbook, options in specs()["playbooks"].items():
        link = PAGES.get(playbook, f"operations/{playbook}.md")
        for name, option in options.items() if playbook != "main" else ():
            yield row(name, option, description_of(option).rstrip(".") + ".", f"[{playbook}.yml]({link})")


def page() -> str:
    """Return the text of docs/VARIABLES.md."""
    parts = [HEAD]
    for title, members in SECTIONS:
        if rows := list(rows_of(members)):
            parts.append(f"## {title}\n\n" + "\n".join([COLUMNS.format("role"), *rows]))
    parts.append(TASKS + "\n\n" + "\n".join([COLUMNS.format("playbook"), *tasks()]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Plan the content of a bundle for a part of an inventory, and how hosts use it: pure functions over variables."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from ansible.utils.vars import merge_hash
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.rpm_sources import address_faults, with_addresses
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import is_true
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.models import models_of

# ansible.builtin.apt installs it by itself on a host that lacks it.
ALWAYS = {"deb": ["python3-apt"], "rpm": []}


def defaults_of(root: Path, role: str, file: str = "defaults") -> dict:
    """Return a role's defaults (or vars) without rendering them."""
    return yaml.safe_load((root / "roles" / role / file / "main.yml").read_text())


def kind_of(system: Mapping) -> str:
    """Return whether a file of files/systems describes deb or rpm packages."""
    return "rpm" if "archives" in system else "deb"


def pins_git_lfs(variables: Mapping, groups: set[str], system: Mapping, root: Path) -> bool:
    """Return whether role git_lfs takes the pinned RPM on a host of these variables."""
    if kind_of(system) == "deb" or not groups & {"workers", "builders"}:
        return False
    sources = defaults_of(root, "git_lfs", "vars")["__git_lfs_sources"]
    return variables.get("git_lfs_source", sources.get(f"RedHat {system['release']}", sources["default"])) == "rpm"


def packages_of(
    variables: Mapping, groups: set[str], root: Path, pinned: bool = False, firewall: bool = False
) -> set[str]:
    """Return the packages that the roles of these groups install on a host of these variables.

    ``pinned``: git-lfs comes another way. ``firewall``: it is a table of our own (EL has firewalld).
    """
    wanted = set(variables.get("bundle_packages", []))
    if firewall and is_true(variables.get("fleet_firewall", True)):
        wanted |= set(defaults_of(root, "fleet_firewall", "vars")["__fleet_firewall_packages"])
    if is_true(variables.get("fleet_tls", False)) and groups & {"controllers", "workers", "gateways", "web_hosts"}:
        tls = defaults_of(root, "fleet_tls", "vars")["__fleet_tls_packages"]
        wanted |= set(tls["default" if firewall else "RedHat"])
    if "gateways" in groups:
        gateway = defaults_of(root, "fastchat_gateway")["fastchat_gateway_packages"]
        wanted |= set(variables.get("fastchat_gateway_packages", gateway))
    if groups & {"workers", "builders"}:
        packages = variables.get("git_lfs_packages", defaults_of(root, "git_lfs")["git_lfs_packages"])
        wanted |= {"git"} if pinned else set(packages)
        ways = defaults_of(root, "vicuna_weights", "vars")["__vicuna_weights_packages"]
        wanted |= set(ways.get(variables.get("vicuna_weights_distribute", "each"), []))
    if "mirrors" in groups:
        mirror = defaults_of(root, "artifact_mirror")["artifact_mirror_packages"]
        wanted |= set(variables.get("artifact_mirror_packages", mirror))
    return wanted


def watching_of(variables: Mapping, groups: set[str], root: Path) -> set[str]:
    """Return the packages with which a Debian host of these groups watches, or is watched."""
    programs = {"node_exporter"} if groups & {"controllers", "workers"} else set()
    programs |= {"prometheus", "alertmanager"} if "monitors" in groups else set()
    path = Path(variables.get("monitoring_programs_table", root / "files" / "monitoring" / "programs.yml"))
    table = yaml.safe_load(path.read_text())["programs"]
    return {table[name]["package"] for name in programs}


def wanted_of(variables: Mapping, groups: set[str]) -> list[tuple[str, str, str]]:
    """Return [(folder of files/, the variable that names a file of it, the name)] for a host of these groups."""
    wanted = []
    if groups & {"controllers", "workers", "builders", "web_hosts"}:
        wanted.append(("stacks", "fastchat_stack", variables.get("fastchat_stack", "not set")))
    if groups & {"workers", "builders"}:
        variable = "fastchat_models" if variables.get("fastchat_models") else "fastchat_model"
        wanted += [("models", variable, name or "not set") for name in models_of(variables)]
    return wanted


def system_of(described: Mapping, hostvars: Mapping, hosts: list[str]) -> tuple[dict, list[str]]:
    """Return a system with the addresses that its hosts' variables name, and one sentence for each that is missing.

    ``described`` is a file of files/systems. Of several hosts the first that names an archive speaks for all; its
    bundle_systems replaces what it names.
    """
    archives = described.get("archives", {})
    named = [host for host in hosts if any(hostvars[host].get(one["variable"]) for one in archives.values())]
    variables = hostvars[(named or hosts)[0]]
    replaced = (variables.get("bundle_systems") or {}).get(described["name"], {})
    if not archives:
        return merge_hash(described, replaced), []
    found = merge_hash(with_addresses(described, variables), replaced)
    return found, address_faults(described, found, hosts)


def bundle_plan(hostvars: Mapping, hosts: list[str], root: str) -> dict:
    """Return {stacks, environments, pinned, models, systems, deb: {system: packages}, rpm, git_lfs, faults}.

    ``pinned`` are the stacks and environments whose hosts take a relocatable interpreter; ``git_lfs`` is {system: one
    of the hosts that take the pinned RPM}; ``rpm`` is as ``deb``; ``systems`` is {name: its description with all
    addresses} of those that packages are wanted for; each fault is one sentence.
    ``hostvars`` are Ansible's; ``root`` is the project's directory. No host is asked.
    """
    files = sorted((Path(root) / "files" / "systems").glob("*.yml"))
    systems = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    plan: dict = {name: set() for name in ("stacks", "environments", "pinned", "models")}
    plan |= {"deb": {}, "rpm": {}, "git_lfs": {}, "systems": {}, "faults": []}
    having: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    wrong: dict[tuple[str, str], list[str]] = {}
    watched = any("monitors" in hostvars[host]["group_names"] for host in hosts)
    for host in hosts:
        variables = hostvars[host]
        groups = set(variables["group_names"])
        for folder, name, value in wanted_of(variables, groups):
            if (Path(root) / "files" / folder / f"{value}.yml").exists():
                plan[folder].add(value)
            else:
                wrong.setdefault((name, value), []).append(host)
        beside = {"web"} if "web_hosts" in groups else set()
        beside |= {"exporter"} if watched and groups & {"controllers", "workers"} else set()
        plan["environments"] |= beside
        if variables.get("fastchat_runtime_python_source") == "pinned" and variables.get("fastchat_stack"):
            plan["pinned"] |= {variables["fastchat_stack"]} | beside
        system = variables.get("fleet_system", "not set")
        if system == "none":
            continue
        if system not in systems:
            unknown.setdefault(system, []).append(host)
            continue
        kind, pinned = kind_of(systems[system]), pins_git_lfs(variables, groups, systems[system], Path(root))
        packages = packages_of(variables, groups, Path(root), pinned, kind == "deb")
        packages |= watching_of(variables, groups, Path(root)) if watched and kind == "deb" else set()
        if packages:
            plan[kind].setdefault(system, set()).update(packages | set(ALWAYS[kind]))
            having.setdefault(system, []).append(host)
        if pinned:
            plan["git_lfs"].setdefault(system, host)
    plan["faults"] += [
        f"fleet_system of {', '.join(names)} is {system}, wanted one of {', '.join(systems)}, or none where packages"
        " come from elsewhere: no host is asked while a bundle is made."
        for system, names in unknown.items()
    ]
    plan["faults"] += [
        f"{name} of {', '.join(names)} is {value}, wanted the name of one that has a file: no host is asked while a"
        " bundle is made."
        for (name, value), names in wrong.items()
    ]
    for name, names in sorted(having.items()):
        plan["systems"][name], faults = system_of(systems[name], hostvars, names)
        plan["faults"] += faults
    for name in ("stacks", "environments", "pinned", "models"):
        plan[name] = sorted(plan[name])
    for kind in ("deb", "rpm"):
        plan[kind] = {name: sorted(packages) for name, packages in sorted(plan[kind].items())}
    return plan


def bundle_faults(fleet_bundle: str, bundle_dir: str) -> list[str]:
    """Return one sentence for each of the two variables that can not be used."""
    faults = []
    if not str(fleet_bundle).startswith(("/", "http://", "https://")):
        faults.append(
            f"fleet_bundle is {fleet_bundle!r}, wanted an absolute path on the hosts or the URL of the site's mirror,"
            " such as http://mirror01:21080."
        )
    if not str(bundle_dir).startswith("/"):
        faults.append(
            f"bundle_dir is {bundle_dir or 'not set'!r}, wanted the absolute path of the bundle on the control node:"
            " its manifest is what hosts are held to."
        )
    return faults


def bundle_sources(model: dict, manifest: dict, bundle: str) -> dict:
    """Return a model's sources in the bundle, every file with its sha256; {} when the bundle lacks one."""
    found = {}
    for source in model["sources"]:
        prefix = f"models/{model['name']}/{source}/"
        files = {n.removeprefix(prefix): entry for n, entry in manifest["files"].items() if n.startswith(prefix)}
        if not files:
            return {}
        url = f"{bundle.rstrip('/')}/{prefix.rstrip('/')}"
        if bundle.startswith("/"):
            sums = {name: entry["sha256"] for name, entry in sorted(files.items())}
            found[source] = {"kind": "path", "url": url, "sha256": sums}
        else:
            entries = [{"name": name, **entry} for name, entry in sorted(files.items())]
            found[source] = {"kind": "http", "url": url, "files": entries}
    return found


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"bundle_faults": bundle_faults, "bundle_plan": bundle_plan, "bundle_sources": bundle_sources}

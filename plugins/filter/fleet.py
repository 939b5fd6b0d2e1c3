"""Filters of the fleet: pure functions over facts and data files."""

import hashlib
import json
from pathlib import Path

import yaml

FLEET_VARIABLES = {
    "fleet_controller",
    "fleet_api",
    "fleet_memory_mb",
    "fleet_disk_mb",
    "fleet_bundle",
    "fleet_system",
    "fleet_firewall",
    "fleet_tls",
}
# Where the project's own data and programs lie: playbooks/group_vars sets them, no inventory does.
PROJECT_VARIABLES = {"fleet_files", "fleet_services"}


def input_digest(inputs: dict) -> str:
    """Return 12 hexadecimal digits of the sha256 over inputs as canonical JSON (sorted keys)."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


def dict_kept(whole: dict, names: list[str]) -> dict:
    """Return a copy of a dict with only these keys."""
    return {name: whole[name] for name in names}


def file_text(path: str) -> str:
    """Return the text of a file on the control node."""
    return Path(path).read_text()


def known_variables(roles: Path) -> dict[str, set[str]]:
    """Return {role: its public variables} from the argument specs below a directory of roles."""
    specs = {spec.parts[-3]: yaml.safe_load(spec.read_text()) for spec in roles.glob("*/meta/argument_specs.yml")}
    return {role: set(spec["argument_specs"]["main"]["options"]) for role, spec in specs.items()}


def served_faults(variables: dict, root: str) -> list[str]:
    """Return one sentence for each thing in fastchat_models that can not be."""
    listed = variables.get("fastchat_models", [])
    there = sorted(path.stem for path in (Path(root) / "files" / "models").glob("*.yml"))
    if "fastchat_models" in variables and not listed:
        return ["fastchat_models is empty, wanted the models that a host serves: remove it to serve fastchat_model."]
    if not isinstance(listed, list) or len({str(name) for name in listed}) != len(listed):
        return [f"fastchat_models is {listed!r}, wanted a list of models, each once: remove it to serve one."]
    return [
        f"fastchat_models names {name!r}, wanted some of files/models: {there}." for name in listed if name not in there
    ]


def inventory_faults(variables: dict, root: str) -> list[str]:
    """Return one sentence for each fault that needs no host to be seen; [] when there is none.

    ``variables`` are one host's, ``groups`` among them; ``root`` is the project's directory.
    """
    faults, groups = [], variables.get("groups", {})
    if len(groups.get("controllers", [])) != 1:
        faults.append(
            f"group controllers has {len(groups.get('controllers', []))} hosts, wanted one: FastChat's registry is not"
            " shared between controllers."
        )
    if not groups.get("workers"):
        faults.append("group workers is empty: name at least one host that serves the model.")
    if variables.get("vicuna_weights_distribute", "each") != "each" and not groups.get("builders"):
        faults.append(
            f"vicuna_weights_distribute is {variables['vicuna_weights_distribute']!r} and group builders is empty:"
            " name the host there that fetches and converts, or set it to each."
        )
    for name in ("fleet_controller", "fleet_api"):
        if not str(variables.get(name, "")).startswith(("http://", "https://")):
            faults.append(f"{name} is {variables.get(name, 'not set')!r}, wanted a URL such as http://ctl01:21001.")
    for name, folder in (("fastchat_stack", "stacks"), ("fastchat_model", "models")):
        there = sorted(path.stem for path in (Path(root) / "files" / folder).glob("*.yml"))
        if variables.get(name) not in [*there, *(["auto"] if folder == "stacks" else [])]:
            or_auto = ", or auto" if folder == "stacks" else ""
            faults.append(
                f"{name} is {variables.get(name, 'not set')!r}, wanted one of files/{folder}: {there}{or_auto}."
            )
    faults += served_faults(variables, root)
    stack = Path(root) / "files" / "stacks" / f"{variables.get('fastchat_stack')}.yml"
    formats = (yaml.safe_load(stack.read_text()) if stack.is_file() else {}).get("weights_formats")
    output = variables.get("vicuna_weights_output", "safetensors")
    if formats and output not in formats:
        faults.append(
            f"vicuna_weights_output is {output!r}, stack {stack.stem} reads {' and '.join(formats)} only:"
            f" set it to {formats[0]} for all hosts."
        )
    backend = (yaml.safe_load(stack.read_text()) if stack.is_file() else {}).get("backend", "transformers")
    if backend != "transformers" and "controllers" in variables.get("group_names", []):
        faults.append(
            f"fastchat_stack is {stack.stem!r} on a controller, where the API would stream nothing with its packages:"
            " set it to cpu for group controllers."
        )
    known = known_variables(Path(root) / "roles")
    for name in sorted(map(str, variables)):
        # The longest prefix is the role's: fastchat_worker_port is fastchat_worker's.
        role = max((role for role in known if name.startswith(role + "_")), key=len, default=None)
        if role and name not in known[role]:
            faults.append(f"{name} is not a variable of role {role}; it has {sorted(known[role])}.")
        elif not role and name.startswith("fleet_") and name not in FLEET_VARIABLES | PROJECT_VARIABLES:
            faults.append(f"{name} is not a variable of the fleet; there are {sorted(FLEET_VARIABLES)}.")
    return faults


def preflight_faults(facts: dict, needs: dict) -> list[str]:
    """Return one sentence for each reason why a host is unfit whatever the stack; [] when it is fit.

    ``facts`` are ansible_facts; ``needs`` has memory_mb (MiB), clock_skew (seconds) and probe, what the module
    preflight_probe returned. What depends on the stack is stack_resolver's.
    """
    probe, faults = needs["probe"], []
    # Jinja hands numbers on as text.
    memory_mb, clock_skew = int(needs["memory_mb"]), int(needs["clock_skew"])
    if facts.get("service_mgr") != "systemd":
        faults.append(f"service manager is {facts.get('service_mgr')}, wanted systemd: boot the host with systemd.")
    if facts.get("architecture") != "x86_64":
        faults.append(f"architecture is {facts.get('architecture')}, wanted x86_64: the locks hold only those wheels.")
    if facts.get("os_family") not in ("Debian", "RedHat"):
        faults.append(f"OS family is {facts.get('os_family')}, wanted Debian or RedHat.")
    memory = facts.get("memtotal_mb", 0)
    if memory < memory_mb:
        faults.append(f"memory is {memory} MiB, wanted {memory_mb} MiB: take a larger host or a smaller model.")
    for system in probe["disk"]:
        if system["free_mb"] < system["wanted_mb"]:
            faults.append(
                f"{system['free_mb']} MiB are free for {' and '.join(system['paths'])}, wanted {system['wanted_mb']}"
                " MiB: make room or mount a larger disk there."
            )
    for port, owner in sorted(probe["taken"].items()):
        faults.append(f"port {port} is taken by a process of {owner}: stop it, or choose another port.")
    for name in probe["unknown"]:
        faults.append(f"the name {name} does not resolve here: add it to DNS or /etc/hosts.")
    if abs(clock_skew) > needs.get("clock_skew_max", 60):
        faults.append(f"the clock is {clock_skew} s off the control node's: set up time synchronisation.")
    return faults


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "dict_kept": dict_kept,
            "file_text": file_text,
            "input_digest": input_digest,
            "inventory_faults": inventory_faults,
            "preflight_faults": preflight_faults,
        }

"""What is wrong with an inventory, before any host is asked."""

from __future__ import annotations

from ..placement.hosts import is_true
from .variables import variable_faults


def served_faults(variables: dict, models: list[str]) -> list[str]:
    """Return one sentence for each thing in fastchat_models that can not be; ``models`` are those of files/models."""
    named = variables.get("fastchat_models", [])
    if "fastchat_models" in variables and not named:
        return ["fastchat_models is empty, wanted the models that a host serves: remove it to serve fastchat_model."]
    if not isinstance(named, list) or len({str(name) for name in named}) != len(named):
        return [f"fastchat_models is {named!r}, wanted a list of models, each once: remove it to serve one."]
    return [
        f"fastchat_models names {name!r}, wanted some of files/models: {models}."
        for name in named
        if name not in models
    ]


def inventory_faults(variables: dict, project: dict) -> list[str]:
    """Return one sentence for each fault that needs no host to be seen; [] when there is none.

    ``variables`` are one host's, ``groups`` among them; ``project`` has the names of its stacks and
    models, stack (the description of the one that is chosen, {} for none) and roles ({role: its public variables}).
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
        if name in variables and not str(variables[name]).startswith(("http://", "https://")):
            faults.append(
                f"{name} is {variables[name]!r}, wanted a URL such as http://ctl01:21001: correct it, or"
                " remove it to have the one of group controllers."
            )
    api = str(variables.get("fleet_api", "http:///v1"))
    if api.startswith("http") and not api.rstrip("/").endswith("/v1"):
        faults.append(
            f"fleet_api is {api!r}, wanted a URL that ends with /v1, such as http://ctl01:8000/v1: correct it, or"
            " remove it to have the one of group controllers."
        )
    for name, folder in (("fastchat_stack", "stacks"), ("fastchat_model", "models")):
        there = project[folder]
        if variables.get(name) not in [*there, *(["auto"] if folder == "stacks" else [])]:
            or_auto = ", or auto" if folder == "stacks" else ""
            faults.append(
                f"{name} is {variables.get(name, 'not set')!r}, wanted one of files/{folder}: {there}{or_auto}."
            )
    faults += served_faults(variables, project["models"])
    stack, name = project["stack"], variables.get("fastchat_stack")
    formats = stack.get("weights_formats")
    output = variables.get("vicuna_weights_output", "safetensors")
    if formats and output not in formats:
        faults.append(
            f"vicuna_weights_output is {output!r}, stack {name} reads {' and '.join(formats)} only:"
            f" set it to {formats[0]} for all hosts."
        )
    backend = stack.get("backend", "transformers")
    if backend != "transformers" and "controllers" in variables.get("group_names", []):
        faults.append(
            f"fastchat_stack is {name!r} on a controller, where the API would stream nothing with its packages:"
            " set it to cpu for group controllers."
        )
    if is_true(variables.get("el7_archive_use")) and not variables.get("el7_archive_centos"):
        faults.append(
            "el7_archive_use is true and el7_archive_centos is not set: set it to the address of the directory with os,"
            " updates and extras of CentOS 7.9.2009, of a mirror or of CentOS's archive (docs/DRIVERS.md)."
        )
    faults += variable_faults(variables, project["roles"])
    return faults

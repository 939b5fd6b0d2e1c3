"""The files of a host's services, as entries of the action ``service_units`` (those of ``storage/tree.py``)."""

from typing import Any

from .programs import program_files

FOLDER = "/usr/local/lib/fastchat"
SETTINGS = "/etc/fastchat"
UNITS = "/etc/systemd/system"
# What waits for a controller, before any service starts.
FOR_ALL = ["services.common.wait_http", "services.common.asking"]
ROOTS_FASTCHATS = {"owner": "root", "group": "fastchat"}


def program_entries(programs: list[str], root: str) -> list[dict[str, Any]]:
    """Return the entries of programs and their folders; ``root`` is the folder services on the control node.

    Raises ValueError for a program that is not there.
    """
    files = program_files(FOR_ALL + programs, root)
    parts = [file["name"].split("/")[:-1] for file in files]
    below = sorted({"/".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)})
    folders = [FOLDER, *(f"{FOLDER}/{name}" for name in below)]
    return [
        *({"path": path, "state": "directory", "mode": "0755"} for path in folders),
        {"path": f"{FOLDER}/run", "src": "run", "mode": "0755"},
        *({"path": f"{FOLDER}/{file['name']}", "src": file["source"], "mode": "0644"} for file in files),
    ]


def unit_entries(unit: dict[str, Any], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of one complete unit: its settings, its socket if it has one, and itself."""
    variables = {"item": unit, "settings": settings}
    name = unit["name"]
    entries = [(f"{SETTINGS}/{name}.env", "service.env.j2", {**ROOTS_FASTCHATS, "mode": "0640"})]
    if unit["socket"]:
        entries.append((f"{UNITS}/fastchat-{name}.socket", "service.socket.j2", {"mode": "0644"}))
    entries.append((f"{UNITS}/fastchat-{name}.service", "service.unit.j2", {"mode": "0644"}))
    return [{"path": path, "template": template, "vars": variables, **rest} for path, template, rest in entries]


def service_entries(units: list[dict[str, Any]], settings: list[dict], programs: list[str], root: str) -> list[dict]:
    """Return the entries of complete units with the ``settings`` of each, and of programs beside theirs."""
    own = [program for unit in units for program in unit["programs"]]
    device_unit = "fastchat-gpu-devices.service"
    devices = [{"path": f"{UNITS}/{device_unit}", "src": device_unit, "mode": "0644"}]
    return [
        {"path": SETTINGS, "state": "directory", **ROOTS_FASTCHATS, "mode": "0750"},
        *program_entries(programs + own, root),
        *(devices if any(unit["gpu"] for unit in units) else []),
        *(entry for unit, said in zip(units, settings, strict=True) for entry in unit_entries(unit, said)),
    ]

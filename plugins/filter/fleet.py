"""Filters of the fleet: pure functions over facts and data files."""

import hashlib
import json


def input_digest(inputs: dict) -> str:
    """Return 12 hexadecimal digits of the sha256 over inputs as canonical JSON (sorted keys)."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


def preflight_faults(facts: dict, needs: dict) -> list[str]:
    """Return one sentence for each reason why a host can not run a stack; [] when it can.

    ``facts`` are ansible_facts; ``needs`` has memory_mb, disk_mb (both MiB), disk_path, stack and clock_skew (seconds).
    """
    stack, faults = needs["stack"], []
    # Jinja hands numbers on as text.
    needs = {**needs, **{name: int(needs[name]) for name in ("memory_mb", "disk_mb", "clock_skew")}}
    if facts.get("service_mgr") != "systemd":
        faults.append(f"service manager is {facts.get('service_mgr')}, wanted systemd: boot the host with systemd.")
    if facts.get("architecture") != "x86_64":
        faults.append(f"architecture is {facts.get('architecture')}, wanted x86_64: the locks hold only those wheels.")
    if facts.get("os_family") not in ("Debian", "RedHat"):
        faults.append(f"OS family is {facts.get('os_family')}, wanted Debian or RedHat.")
    memory = facts.get("memtotal_mb", 0)
    if memory < needs["memory_mb"]:
        faults.append(
            f"memory is {memory} MiB, wanted {needs['memory_mb']} MiB: take a larger host or a smaller model."
        )
    mounts = [m for m in facts.get("mounts", []) if needs["disk_path"].startswith(m["mount"])]
    if mounts:
        mount = max(mounts, key=lambda m: len(m["mount"]))
        free = mount["size_available"] // (1 << 20)
        if free < needs["disk_mb"]:
            faults.append(
                f"{mount['mount']} has {free} MiB free, wanted {needs['disk_mb']} MiB for {needs['disk_path']}."
            )
    if abs(needs["clock_skew"]) > needs.get("clock_skew_max", 60):
        faults.append(f"the clock is {needs['clock_skew']} s off the control node's: set up time synchronisation.")
    python = needs.get("python", "")
    if not python.startswith(stack["python"] + "."):
        found = python or "absent"
        faults.append(
            f"{needs['python_path']} is {found}, stack {stack['name']} wants Python {stack['python']}:"
            " set fastchat_runtime_python to one."
        )
    return faults


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"input_digest": input_digest, "preflight_faults": preflight_faults}

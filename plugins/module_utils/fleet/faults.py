"""What is wrong on one host: a sentence for each fault of its GPUs, units and workers."""

from __future__ import annotations

from ..placement.health import gpu_troubles

OLD_SECONDS = 300  # the probe runs every 15 s
WELL = {"controller": ("", "serving"), "probe": ("", "good", "loading")}


def gpu_faults(host: str, gpus: dict) -> list[str]:
    """Return one sentence for each fault that the driver reports of a GPU, as placement words it."""
    faults = [f"{host}: {gpus['fault']}"] if gpus.get("fault") else []
    for index, card in enumerate(gpus.get("gpus", [])):
        faults += [f"{host}: {trouble}" for trouble in gpu_troubles(card, f"GPU {index} ({card['bus']})")]
    return faults


def unit_faults(host: str, unit: dict) -> list[str]:
    """Return one sentence for each thing that is wrong with a unit by itself."""
    name, runs, written = f"{host}: {unit['name']}", unit["runs"], unit["written"]
    if not unit["loaded"]:
        return [f"{name} is not known to systemd there: run serve.yml."]
    if unit["state"] != "active":
        why = f", {unit['result']}" if unit["result"] not in ("", "success") else ""
        return [f"{name} is {unit['state']} ({unit['sub']}{why}), wanted active: read its journal, or start it."]
    faults = (
        [] if unit["enabled"] == "enabled" else [f"{name} is {unit['enabled']}: it would not come back after a reboot."]
    )
    if runs["digest"] and runs["digest"] != written["digest"]:
        faults.append(f"{name} runs with other settings than those that are written for it: run rolling_update.yml.")
    for what, where in (("env", "environment"), ("release", "release")):
        if runs[what] and runs[what] != written[what]:
            faults.append(
                f"{name} runs {where} {runs[what]}, the link says {written[what] or 'nothing'}: run rolling_update.yml."
            )
    return faults


def worker_faults(row: dict, name: str, known: dict, probe: dict, clock: int) -> list[str]:
    """Return one sentence for each thing that controller and probe say against a worker."""
    faults, host = [], row["host"]
    if row["controller"] not in WELL["controller"]:
        why = f" ({known['why']})" if known.get("why") else ""
        faults.append(f"{host}: {name} is {row['controller']} for its controller{why}, wanted serving.")
    if probe.get("state", "") not in WELL["probe"]:
        faults.append(f"{host}: the probe of {name} says {probe['state']}: {probe.get('said') or 'nothing more'}.")
    elif probe and clock - probe.get("at", clock) > OLD_SECONDS:
        faults.append(f"{host}: {name} was asked last {clock - probe['at']} s ago: look at fastchat-probe.")
    return faults

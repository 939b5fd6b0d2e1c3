"""Whether a GPU is one to serve with, by what gpu_facts found; for each trouble what to do."""

from __future__ import annotations

from typing import Any

RESET = "stop what uses it and reset it (nvidia-smi --gpu-reset -i {bus}), or reboot the host"


# What helps where the driver's words begin like this; otherwise a reboot where they name one, else a reset.
VERDICTS = {
    "Fabric": "start nvidia-fabricmanager, of the same version as the driver (on a virtual machine: on its host)",
    "License": "give the virtual GPU its license (nvidia-gridd), since CUDA is closed without it",
}


def verdict_remedy(verdict: str, bus: str) -> str:
    """Return what to do about something that the driver says against a GPU."""
    known = next((remedy for begins, remedy in VERDICTS.items() if verdict.startswith(begins)), "")
    return known or ("reboot the host" if "reboot" in verdict.lower() else RESET.format(bus=bus))


def is_exclusive(gpu: dict[str, Any]) -> bool:
    """Return whether a GPU lets in one program at a time."""
    return str(gpu.get("compute_mode") or "").lower().startswith(("exclusive", "e. "))


def unreadable_trouble(bus: str, unreadable: list[str]) -> str:
    """Return the sentence for what nvidia-smi could not read of a GPU."""
    what = " and ".join(filter(None, [", ".join(unreadable[:-1]), *unreadable[-1:]]))
    said = what.lower()
    if "permission" in said:
        remedy = "run as root, and look at the modes of /dev/nvidia*, at SELinux, and in a container at its devices"
    elif "reset" in said:
        remedy = RESET.format(bus=bus)
    elif "lost" in said:
        remedy = "reboot the host, and have the card, its power and its slot checked"
    else:
        remedy = (
            "look for Xid in the kernel log; reset it or reboot the host, and have it replaced if that does not help"
        )
    return f"nvidia-smi can not read its {what}: {remedy}."


def gpu_troubles(gpu: dict[str, Any], who: str = "") -> list[str]:
    """Return one sentence for each reason why a GPU can not serve, will not for long, or not as expected.

    ``gpu`` is one of gpu_facts; a sentence begins with ``who``, without it with the GPU's bus address.
    """
    bus, found = gpu["bus"], []
    who = who or f"GPU {bus}"
    if gpu.get("lost"):
        return [
            f"{who} is lost ({gpu['lost']}): reboot the host; if it comes back, look for Xid in the kernel log and have"
            " the card, its power and its slot checked."
        ]
    if gpu.get("unreadable"):
        found.append(f"{who} has a fault: {unreadable_trouble(bus, gpu['unreadable'])}")
    elif not gpu.get("memory_mb"):
        found.append(f"{who} has a fault: {unreadable_trouble(bus, ['total memory (empty)'])}")
    for verdict in gpu.get("verdicts") or []:
        found.append(f"{who} is not well by its driver ({verdict}): {verdict_remedy(verdict, bus)}.")
    if str(gpu.get("compute_mode") or "").lower() == "prohibited":
        found.append(
            f"{who} is closed to programs (Compute Mode: Prohibited): open it (nvidia-smi -i {bus} -c DEFAULT), or"
            " leave it to whoever closed it."
        )
    if (gpu["retired_pages"] or {}).get("pending") or (gpu["remapped_rows"] or {}).get("pending"):
        found.append(f"{who} waits to retire damaged memory: reset it or reboot the host.")
    if (gpu["remapped_rows"] or {}).get("failed"):
        found.append(f"{who} has no spare memory rows left: have it replaced.")
    if (gpu["ecc_uncorrected"] or {}).get("volatile"):
        found.append(
            f"{who} had {gpu['ecc_uncorrected']['volatile']} uncorrected memory errors since its driver was loaded:"
            " reset it; if they come back, have it replaced."
        )
    if gpu["mig_mode"]:
        count = gpu.get("mig_devices") or 0
        cut = (
            f"is cut into {count} MIG instance{'s' if count != 1 else ''}"
            if count
            else "is in MIG mode without an instance"
        )
        found.append(
            f"{who} {cut}, and workers use whole GPUs only: end its MIG mode (nvidia-smi -i {bus} -mig 0) and reset it."
        )
    return found


def gpu_notes(gpus: list[dict[str, Any]]) -> list[str]:
    """Return the troubles of some GPUs, and what is to be known of those that serve all the same."""
    notes = []
    for gpu in gpus:
        troubles = gpu_troubles(gpu)
        notes += troubles
        if not troubles and not gpu["compute_capability"]:
            notes.append(
                f"GPU {gpu['bus']} is {gpu['name']}, whose compute capability neither its driver nor files/gpus.yml"
                " says: whether the stack has code for it was not checked; add its name to that file, or update the"
                " driver."
            )
        if not gpu.get("lost") and gpu.get("inforom_corrupted"):
            notes.append(
                f"GPU {gpu['bus']} serves and its infoROM is corrupted (nvidia-smi warns of it): it may not remember"
                " damaged memory; have it replaced."
            )
        if is_exclusive(gpu):
            notes.append(
                f"GPU {gpu['bus']} lets in one program at a time (Compute Mode: {gpu['compute_mode']}): beside its"
                f" worker no fastchat-chat can run there; nvidia-smi -i {gpu['bus']} -c DEFAULT lets in both."
            )
    return notes

"""Whether a GPU that works is one to serve with, by what gpu_facts found."""

from __future__ import annotations

from typing import Any


def gpu_troubles(gpu: dict[str, Any]) -> list[str]:
    """Return one sentence for each reason why a GPU that works will not for long, or works otherwise than expected."""
    who, found = f"GPU {gpu['bus']}", []
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
        found.append(f"{who} is cut into MIG instances: a worker sees one instance, not the memory told here.")
    return found


def gpu_notes(gpus: list[dict[str, Any]]) -> list[str]:
    """Return the troubles of some GPUs."""
    return [said for gpu in gpus for said in gpu_troubles(gpu)]

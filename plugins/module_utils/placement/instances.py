"""One worker of a plan: which model it serves, on which GPUs and port, with which options."""

from __future__ import annotations

from typing import Any

from .hosts import Host, gpus_in_words, is_true
from .needs import Need, cap_of, cpu_mb, gpu_mb, spread_cap_mb

Instance = dict[str, Any]


def instance_of(host: Host, need: Need, index: int, gpus: list[int], **said: Any) -> Instance:
    """Return one instance; ``said`` beats what is computed."""
    device = said.get("device", host.device)
    count = int(said.get("num_gpus") or max(len(gpus), 1))
    spread = f"{cap_of(need, count) // 1024}GiB" if count > 1 else ""
    return {
        "index": index,
        "model": need.name,
        "port": int(said.get("port", host.port + index)),
        "gpus": gpus,
        "num_gpus": count,
        "device": device,
        # Told to, FastChat spreads evenly; untold it fills the first GPU to 85 % before the next.
        "max_gpu_memory": (said.get("max_gpu_memory") or host.cap or spread) if count > 1 else "",
        "load_8bit": is_true(said.get("load_8bit", host.load_8bit)),
        "dtype": said.get("dtype", host.dtype),
        "memory_limit": said.get("memory_limit") or host.memory_limit(need, device),
        "cpus": said.get("cpus", host.cpus(gpus)),
    }


def mb_on_each(instance: Instance, need: Need) -> int:
    """Return the MiB that an instance needs on the fullest of its GPUs."""
    return gpu_mb(need, instance["num_gpus"], spread_cap_mb(instance["max_gpu_memory"]) or 0)


def instance_in_words(host: Host, instance: Instance, need: Need) -> str:
    """Return one instance in words."""
    unit = f"fastchat-worker@{instance['index']}: {instance['model']}"
    where = f"{gpus_in_words(instance['gpus'])}, port {instance['port']}"
    if instance["device"] == "cpu":
        return f"{unit}, {where}, {cpu_mb(need)} MiB of the host's memory"
    sizes = dict.fromkeys(host.cards[gpu]["memory_mb"] for gpu in instance["gpus"])
    each = " on each" if instance["num_gpus"] > 1 else ""
    return f"{unit}, {where}, {mb_on_each(instance, need)} of {' and '.join(map(str, sizes))} MiB{each}"

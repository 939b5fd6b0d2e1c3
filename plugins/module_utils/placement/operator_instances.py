"""The workers that an operator lists in fastchat_worker_instances: they are checked, and taken as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .health import is_exclusive
from .hosts import Host, gpus_in_words, is_true
from .instances import Instance, instance_of, mb_on_each
from .needs import BYTES, Need, spread_cap_mb

# What an operator may say of one instance.
KEYS = {
    "index", "model", "port", "gpus", "num_gpus", "device", "max_gpu_memory", "load_8bit", "dtype", "memory_limit",
    "cpus",
}  # fmt: skip


def gpus_faults(host: Host, entry: Mapping, where: str) -> list[str]:
    """Return why an operator's instance can not have the GPUs that it names: one sentence, or none."""
    device, gpus = entry.get("device", host.device), entry.get("gpus", [])
    if not isinstance(gpus, list) or not all(isinstance(gpu, int) for gpu in gpus):
        return [f"{where}.gpus is {gpus!r}, wanted a list of numbers as nvidia-smi counts, such as [0, 1]."]
    if device == "cpu":
        return [f"{where}.gpus is {gpus}, wanted none on a CPU: remove it, or set its device to cuda."] if gpus else []
    if not gpus:
        return [f"{where}.gpus is missing, wanted the numbers of its GPUs, such as [0]: add it."]
    return cards_faults(host, entry, gpus, where)


def cards_faults(host: Host, entry: Mapping, gpus: list[int], where: str) -> list[str]:
    """Return why an operator's instance can not have these GPUs: one sentence, or none."""
    if gone := [gpu for gpu in gpus if gpu not in range(len(host.cards))]:
        return [f"{where}.gpus names {gpus_in_words(gone)}, this host has {len(host.cards)}: choose others."]
    if unfit := [gpu for gpu in gpus if gpu in host.unfit]:
        said = " ".join(sentence for gpu in unfit for sentence in host.unfit[gpu])
        return [f"{where}.gpus names {gpus_in_words(unfit)}, not fit to serve. {said} Until then, name other GPUs."]
    count = int(entry.get("num_gpus") or len(gpus))
    if len(set(gpus)) != len(gpus) or count != len(gpus):
        return [f"{where} spreads over {count} GPUs and names {gpus_in_words(gpus)}: name each of them once."]
    if is_true(entry.get("load_8bit", host.load_8bit)) and count > 1:
        return [f"{where} has load_8bit and {count} GPUs: FastChat spreads no 8-bit weights, name one GPU."]
    return []


def entry_faults(host: Host, entry: Any, where: str) -> list[str]:
    """Return one sentence for each thing in an operator's instance that can not be."""
    names = [model["name"] for model in host.models]
    if not isinstance(entry, Mapping):
        return [f"{where} is {entry!r}, wanted a mapping such as {{model: {names[0]}, gpus: [0]}}."]
    faults = [
        f"{where}.{key} is unknown, there are {', '.join(sorted(KEYS))}: remove it." for key in entry if key not in KEYS
    ]
    rules = {
        "model": (names, "one of fastchat_models: " + ", ".join(names)),
        "device": (["cuda", "cpu"], "cuda or cpu"),
        "dtype": (["", *BYTES], "empty or one of " + ", ".join(BYTES)),
        "load_8bit": ([True, False], "true or false"),
    }
    for key, (there, wanted) in rules.items():
        if key in entry and entry[key] not in there:
            faults.append(f"{where}.{key} is {entry[key]!r}, wanted {wanted}.")
    if entry.get("max_gpu_memory") and spread_cap_mb(entry["max_gpu_memory"]) is None:
        faults.append(f"{where}.max_gpu_memory is {entry['max_gpu_memory']!r}, wanted such as 13GiB.")
    return faults + gpus_faults(host, entry, where)


def operator_pairs(host: Host) -> tuple[list[tuple[Instance, Need]], list[str]]:
    """Return the instances that an operator listed, each with its need, and the faults."""
    found, faults = [], []
    for place, entry in enumerate(host.operator_instances):
        wrong = entry_faults(host, entry, f"fastchat_worker_instances[{place}]")
        faults += wrong
        if wrong:
            continue
        model = next(m for m in host.models if m["name"] == entry.get("model", host.models[0]["name"]))
        device, dtype = entry.get("device", host.device), entry.get("dtype", host.dtype)
        need = host.need_with(model, device, dtype, is_true(entry.get("load_8bit", host.load_8bit)))
        rest = {key: value for key, value in entry.items() if key not in ("index", "model", "gpus")}
        found.append((instance_of(host, need, int(entry.get("index", place)), entry.get("gpus", []), **rest), need))
    for key in ("index", "port"):
        values = [instance[key] for instance, _need in found]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            faults.append(f"fastchat_worker_instances has {key} {twice[0]} twice: give each its own.")
    for gpu, card in enumerate(host.cards):
        on_it = [(need.name, mb_on_each(one, need)) for one, need in found if gpu in one["gpus"]]
        used = sum(size for _name, size in on_it)
        if len(on_it) > 1 and is_exclusive(card):
            faults.append(
                f"fastchat_worker_instances puts {len(on_it)} workers on GPU {gpu}, which lets in one program at a time"
                f" (Compute Mode: {card['compute_mode']}): run nvidia-smi -i {card['bus']} -c DEFAULT, or spread them."
            )
        if card.get("memory_mb") and used > card["memory_mb"]:
            terms = " + ".join(f"{size} of {name}" for name, size in on_it)
            faults.append(
                f"fastchat_worker_instances puts {used} MiB on GPU {gpu} ({terms}), which has {card['memory_mb']}:"
                " spread them over other GPUs, or use load_8bit."
            )
    return sorted(found, key=lambda pair: pair[0]["index"]), faults

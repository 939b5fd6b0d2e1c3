"""Who gets which GPUs: the instances of a host are counted, and its GPUs are dealt out to them."""

from __future__ import annotations

from .hosts import Host
from .instances import Instance, instance_of
from .needs import Need
from .refusals import refusal


def counts_of(models: list[dict], sizes: dict[str, int], free: int) -> dict[str, int]:
    """Return how many instances each model gets of some GPUs: as asked for, and of the rest in turn."""
    asked = {model["name"]: int(model.get("instances") or 0) for model in models}
    left = free - sum(count * sizes[name] for name, count in asked.items())
    given = dict(asked)
    turn = [name for name, count in asked.items() if not count]
    while any(sizes[name] <= left for name in turn):
        for name in turn:
            if sizes[name] <= left:
                given[name] += 1
                left -= sizes[name]
    return given


def next_gpus(free: list[int], count: int, size: int) -> list[int]:
    """Return the next GPUs for an instance: an aligned block where one is free, which keeps it on one side of a host.

    ``count`` is how many GPUs the host has. [] when fewer are free.
    """
    for start in range(0, count - size + 1, size):
        block = list(range(start, start + size))
        if set(block) <= set(free):
            return block
    return free[:size] if size <= len(free) else []


def deal(host: Host, needs: dict[str, Need]) -> tuple[list[Instance], list[str]]:
    """Return the instances of a host with GPUs, and the faults.

    A model whose number is asked for is served first, in the order of the list, so that a model that is added behind
    moves none. An instance is named by its first GPU: one that is lost takes away its own instance and renumbers no
    other.
    """
    faults = [refusal(host, m, needs[m["name"]]) for m in host.models if not host.gpus_each(needs[m["name"]])]
    if faults:
        return [], faults
    sizes = {model["name"]: host.gpus_each(needs[model["name"]]) for model in host.models}
    free = [index for index in range(len(host.cards)) if index not in host.unfit]
    counts = counts_of(host.models, sizes, len(free))
    wanted = sum(max(counts[name], 1) * sizes[name] for name in sizes)
    if wanted > len(free):
        told = [f"{max(count, 1)} x {name} on {sizes[name]}" for name, count in counts.items()]
        return [], [
            f"{' and '.join(told)} take {wanted} GPUs and {host.here()}: lower fastchat_worker_shares, name fewer"
            " models in fastchat_models, or say in fastchat_worker_instances which models share a GPU."
        ]
    found: list[Instance] = []
    first = sorted(host.models, key=lambda model: not model.get("instances"))
    for model in first:
        for _number in range(counts[model["name"]]):
            gpus = next_gpus(free, len(host.cards), sizes[model["name"]])
            free = [index for index in free if index not in gpus]
            found.append(instance_of(host, needs[model["name"]], gpus[0], gpus))
    return sorted(found, key=lambda instance: instance["index"]), []

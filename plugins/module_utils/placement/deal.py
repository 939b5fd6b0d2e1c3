"""Who gets which GPUs: instances are counted by groups of like GPUs, and the GPUs are dealt out to them."""

from __future__ import annotations

from typing import Optional

from .hosts import Host
from .instances import Instance, instance_of
from .needs import Need
from .refusals import refusal

# How many GPUs of which group an instance takes: of one, or of several where no like GPUs hold it.
Take = dict[int, int]


def takes_of(host: Host, need: Need) -> list[Take]:
    """Return from where an instance of a model may take its GPUs, best first: few GPUs, and small ones."""
    sizes = host.sizes(need)
    best = sorted(sizes, key=lambda number: (sizes[number], host.card_mb(host.groups[number]), number))
    return [{number: sizes[number]} for number in best]


def unlike_take(host: Host, need: Need, left: Take) -> Optional[Take]:
    """Return from which groups an instance takes GPUs that no like ones hold, None when too few are left."""
    wanted, take = host.gpus_each(need), {}
    for number, there in left.items():
        take[number] = min(wanted - sum(take.values()), there)
    return take if wanted and sum(take.values()) == wanted else None


def next_take(host: Host, need: Need, left: Take) -> Optional[Take]:
    """Return from where the next instance of a model takes its GPUs, None when too few are left."""
    takes = takes_of(host, need)
    if not takes:
        return unlike_take(host, need, left)
    return next((take for take in takes if all(left[number] >= size for number, size in take.items())), None)


def counted(host: Host, needs: dict[str, Need], asked: dict[str, int]) -> Optional[dict[str, list[Take]]]:
    """Return what each model takes: as many instances as are asked for, and of the rest in turn; None for too much.

    Models that fit few groups choose first, so that none takes what only they can use.
    """
    left = {number: len(group) for number, group in enumerate(host.groups)}
    taken: dict[str, list[Take]] = {name: [] for name in asked}

    def one_more(name: str) -> bool:
        take = next_take(host, needs[name], left)
        if take:
            taken[name].append(take)
            left.update({number: left[number] - size for number, size in take.items()})
        return bool(take)

    for name in sorted(asked, key=lambda name: len(takes_of(host, needs[name])) or len(host.groups) + 1):
        if not all(one_more(name) for _time in range(max(asked[name], 1))):
            return None
    turn = [name for name, count in asked.items() if not count]
    while any([one_more(name) for name in turn]):
        pass
    return taken


def too_much(host: Host, needs: dict[str, Need], asked: dict[str, int]) -> str:
    """Return what is asked for and does not fit, in words: a total where all GPUs are alike, else by kind of GPU."""
    told, total = [], 0
    for name, count in asked.items():
        each = host.gpus_each(needs[name])
        kinds = [f"{size} x {host.cards[host.groups[n][0]]['name']}" for n, size in host.sizes(needs[name]).items()]
        on = str(each) if len(host.groups) == 1 else " or ".join(kinds) or f"{each} unlike GPUs"
        told.append(f"{max(count, 1)} x {name} on {on}")
        total += max(count, 1) * each
    if len(host.groups) == 1:
        return f"{' and '.join(told)} take {total} GPUs and {host.here()}: lower"
    return f"{' and '.join(told)} need more than there is: {host.here()}. Lower"


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
    asked = {model["name"]: int(model.get("instances") or 0) for model in host.models}
    taken = counted(host, needs, asked)
    if taken is None:
        return [], [
            f"{too_much(host, needs, asked)} fastchat_worker_shares, name fewer models in"
            " fastchat_models, or say in fastchat_worker_instances which models share a GPU."
        ]
    free = {number: list(group) for number, group in enumerate(host.groups)}
    found: list[Instance] = []
    for model in sorted(host.models, key=lambda model: not model.get("instances")):
        # Those on unlike GPUs take what is left.
        for take in taken[model["name"]] if len(takes_of(host, needs[model["name"]])) else []:
            ((number, size),) = take.items()
            gpus = next_gpus(free[number], len(host.cards), size)
            free[number] = [index for index in free[number] if index not in gpus]
            found.append(instance_of(host, needs[model["name"]], gpus[0], gpus))
    for model in host.models:
        for take in taken[model["name"]] if not takes_of(host, needs[model["name"]]) else []:
            gpus = sorted(index for number, size in take.items() for index in free[number][:size])
            free = {number: [index for index in group if index not in gpus] for number, group in free.items()}
            found.append(instance_of(host, needs[model["name"]], gpus[0], gpus))
    return sorted(found, key=lambda instance: instance["index"]), []

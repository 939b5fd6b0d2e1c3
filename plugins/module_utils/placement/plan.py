"""Which worker runs which model on which GPUs of a host: computed from facts and sizes, or refused with the arithmetic.

The same facts and the same wish give the same plan: nothing here looks at a clock, a random number or the order of a
set.
"""

from __future__ import annotations

from collections.abc import Mapping

from .deal import deal
from .hosts import Host, Wish, gpus_in_words, named
from .instances import Instance, instance_in_words, instance_of
from .needs import Need, sum_in_words
from .operator_instances import operator_pairs
from .refusals import memory_faults, wish_faults


def able_groups(host: Host, needs: dict[str, Need]) -> list[int]:
    """Return the groups of like GPUs that hold an instance of some model; all, where a model takes unlike ones."""
    sizes = [host.sizes(need) for need in needs.values()]
    every = range(len(host.groups))
    return list(every) if not all(sizes) else [number for number in every if any(number in one for one in sizes)]


def small_in_words(host: Host, needs: dict[str, Need], able: list[int]) -> list[str]:
    """Return a sentence for each group of like GPUs that can hold no instance while others, the able ones, can."""
    words = []
    for number, group in enumerate(host.groups):
        if number not in able:
            names = " and ".join(named(gpu, host.cards[gpu]) for gpu in group)
            words.append(
                f"{names} {'is' if len(group) == 1 else 'are'} left out: {host.in_words(group)} can not hold"
                f" {' or '.join(needs)}, and other GPUs of this host can; nothing is to be done."
            )
    return words


def unfit_in_words(host: Host) -> list[str]:
    """Return a sentence for each GPU that is not fit to serve, with its troubles."""
    return [f"GPU {index} is left out: {' '.join(found)}" for index, found in host.unfit.items()]


def computed_pairs(host: Host) -> tuple[list[tuple[Instance, Need]], list[str], list[str]]:
    """Return the instances that are computed, each with its need, then the faults, then the words for people."""
    needs = {model["name"]: host.usual_need(model) for model in host.models}
    if host.device == "cpu":
        return [(instance_of(host, need, index, []), need) for index, need in enumerate(needs.values())], [], []
    words = unfit_in_words(host)
    if not host.groups:
        said = " ".join(sentence for found in host.unfit.values() for sentence in found)
        return [], [f"No GPU of this host is fit to serve. {said}"], words
    instances, faults = deal(host, needs)
    able = able_groups(host, needs)
    if not faults:
        words += small_in_words(host, needs, able)
    used = {gpu for instance in instances for gpu in instance["gpus"]}
    idle = sorted({gpu for number in able for gpu in host.groups[number]} - used)
    if instances and idle:
        words.append(f"{gpus_in_words(idle)} idle: no other instance was asked for, or fits.")
    return [(instance, needs[instance["model"]]) for instance in instances], faults, words


def listed_pairs(host: Host) -> tuple[list[tuple[Instance, Need]], list[str], list[str]]:
    """Return the instances that an operator lists, as ``computed_pairs`` returns those that are computed."""
    pairs, faults = operator_pairs(host)
    return pairs, faults, unfit_in_words(host)


def placement_plan(gpus: Mapping, wish: Wish) -> dict[str, list]:
    """Return {instances, faults, words}: what runs where on a host, why it can not, and both for people.

    ``gpus`` is what the module gpu_facts returned. ``wish``: models (parsed files of files/models; ``instances`` in one
    is how many of it, 0 or absent for a share of what is left), device, dtype ('' for FastChat's own), load_8bit,
    num_gpus (of an instance, 0 to compute), max_gpu_memory, conversations (that are planned at full length), port (the
    first), instances (an operator's list, which is checked and taken), memory_mb (the host's, 0 for unknown),
    memory_limit ('' to compute), driver_comes (GPUs are not to be seen yet).

    An instance: index, model, port, gpus, num_gpus, device, max_gpu_memory, load_8bit, dtype, memory_limit, cpus.
    """
    host = Host(gpus, wish)
    faults = wish_faults(host)
    if faults:
        return {"instances": [], "faults": faults, "words": []}
    if host.device == "cuda" and not host.cards:
        if host.driver_comes:
            return {"instances": [], "faults": [], "words": ["No GPU is seen yet: planned once the driver is there."]}
        said = host.fault[:1].upper() + host.fault[1:]
        missing = "No GPU is seen, and a worker wants one: look for the card, or set fastchat_worker_device to cpu."
        return {"instances": [], "faults": [said or missing], "words": []}
    pairs, faults, words = listed_pairs(host) if host.operator_instances else computed_pairs(host)
    short, notes = memory_faults(host, pairs)
    faults += short
    if faults:
        return {"instances": [], "faults": faults, "words": words}
    for name in dict.fromkeys(need.name for _instance, need in pairs):
        instance, need = next(pair for pair in pairs if pair[1].name == name)
        words.append(f"{name}: {sum_in_words(need, instance['device'])}")
    words += [instance_in_words(host, instance, need) for instance, need in pairs]
    return {"instances": [instance for instance, _need in pairs], "faults": [], "words": words + notes}

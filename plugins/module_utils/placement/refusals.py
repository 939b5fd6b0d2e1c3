"""Why a host can not run what is wished of it: the arithmetic in words, and what would help."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from .hosts import Host
from .instances import Instance
from .needs import BYTES, SPREADS, Need, cpu_mb, fewest, gpu_host_mb, gpu_mb, spread_cap_mb, sum_in_words

# What an operator may change so that something fits, in the order in which it is told; tried with the same arithmetic.
WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("set fastchat_worker_num_gpus to 0 (computed)", {"num_gpus": 0}),
    ("leave fastchat_worker_max_gpu_memory empty", {"cap": ""}),
    ("leave fastchat_worker_dtype empty", {"dtype": ""}),
    ("set fastchat_worker_dtype to bfloat16", {"dtype": "bfloat16"}),
    ("set fastchat_worker_load_8bit", {"load_8bit": True}),
    ("set fastchat_worker_conversations to 1", {"conversations": 1}),
)
TOGETHER: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "set fastchat_worker_load_8bit and fastchat_worker_conversations to 1",
        {"load_8bit": True, "conversations": 1, "num_gpus": 0},
    ),
)


def either_of(words: list[str]) -> str:
    """Return words as a list that is read aloud: a, b, or c."""
    return ", or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def as_sentence(ways: list[str]) -> str:
    """Return ways as one sentence."""
    words = either_of(ways)
    return f"{words[:1].upper()}{words[1:]}."


def with_wishes(host: Host, **values: Any) -> Host:
    """Return a host with other wishes."""
    other = copy.copy(host)
    for name, value in values.items():
        setattr(other, name, value)
    return other


def ways_out(host: Host, fits: Callable[[Host], bool]) -> list[str]:
    """Return what would help: each change that by itself makes something fit, or else changes that do together."""

    def helping(ways: tuple[tuple[str, dict[str, Any]], ...]) -> list[str]:
        # Only a CPU gains by bfloat16.
        able = [way for way in ways if host.device == "cpu" or way[1].get("dtype") != "bfloat16"]
        return [words for words, values in able if fits(with_wishes(host, **values))]

    return helping(WAYS) or helping(TOGETHER)


def refusal(host: Host, model: dict, need: Need) -> str:
    """Return why a model fits no GPUs of a host, with the arithmetic and what would help."""
    fit, cap = len(host.fit()), spread_cap_mb(host.cap) or 0
    largest = max(host.groups, key=host.card_mb)
    if host.num_gpus > fit:
        alone = with_wishes(host, num_gpus=0)
        few = f"{need.name} is to take {host.num_gpus} GPUs (fastchat_worker_num_gpus) and {host.here()}"
        even = "" if alone.gpus_each(need) else f" Even then {refusal(alone, model, need)}"
        return f"{few}: set it to 0 (computed).{even}"
    tried = [host.num_gpus] if host.num_gpus else [1] if host.load_8bit else [n for n in SPREADS if n <= fit]
    if cap and any(n > 1 and n * cap < need.weights_mb + 2 * need.layer_mb for n in tried):
        capped = f", of which fastchat_worker_max_gpu_memory lets {host.cap} of weights on each"
    else:
        capped = ""
    told = [f"{gpu_mb(need, n, cap)} MiB on {'1 GPU' if n == 1 else f'each of {n}'}" for n in tried]
    ways = ways_out(host, lambda other: bool(other.gpus_each(other.usual_need(model))))
    if not host.load_8bit and (more := fewest(need, host.card_mb(largest), max(SPREADS))) > len(largest):
        these = "of these GPUs" if len(host.groups) == 1 else f"x {host.cards[largest[0]]['name']}"
        ways.append(f"give the host {more} {these}")
    return (
        f"{need.name} needs {either_of(told)}: {sum_in_words(need, 'cuda')}; {host.here()}{capped}."
        f" {as_sentence([*ways, 'choose a smaller model or larger GPUs'])}"
    )


def wish_faults(host: Host) -> list[str]:
    """Return one sentence for each wish that can not be, whatever the host has."""
    faults = []
    if host.device not in ("cuda", "cpu"):
        faults.append(f"fastchat_worker_device is {host.device!r}, wanted cuda or cpu.")
    if host.dtype not in ("", *BYTES):
        faults.append(f"fastchat_worker_dtype is {host.dtype!r}, wanted empty or one of {', '.join(BYTES)}.")
    if host.load_8bit and host.num_gpus > 1:
        faults.append(
            f"fastchat_worker_load_8bit is set and fastchat_worker_num_gpus is {host.num_gpus}: FastChat spreads no"
            " 8-bit weights, set one of them back."
        )
    served = [model["name"] for model in host.models]
    faults += [
        f"fastchat_worker_shares names {name}, this host serves {', '.join(served)}: add it to fastchat_models, or"
        " remove it."
        for name in host.shares
        if name not in served
    ]
    if host.cap and spread_cap_mb(host.cap) is None:
        faults.append(f"fastchat_worker_max_gpu_memory is {host.cap!r}, wanted such as 13GiB.")
    if host.limit and not re.fullmatch(r"\d+[KMGT]?|infinity", str(host.limit)):
        faults.append(f"fastchat_worker_memory_limit is {host.limit!r}, wanted such as 48G, or infinity.")
    return faults


def memory_faults(host: Host, pairs: list[tuple[Instance, Need]]) -> tuple[list[str], list[str]]:
    """Return the faults and the words about the host's own memory."""
    if not host.memory_mb or not pairs:
        return [], []
    on_cpu = [need for instance, need in pairs if instance["device"] == "cpu"]
    loading = [gpu_host_mb(need, instance["num_gpus"]) for instance, need in pairs if instance["device"] != "cpu"]
    total = sum(map(cpu_mb, on_cpu))
    if total > host.memory_mb:
        terms = "; ".join(f"{need.name} {cpu_mb(need)} = {sum_in_words(need, 'cpu')}" for need in on_cpu)

        def fits(other: Host) -> bool:
            return (
                not other.operator_instances
                and sum(cpu_mb(other.usual_need(m)) for m in other.models) <= other.memory_mb
            )

        return [
            f"Workers need {total} MiB of the host's memory ({terms}), this host has {host.memory_mb}."
            f" {as_sentence([*ways_out(host, fits), 'choose a smaller model or a larger host'])}"
        ], []
    if loading and max(loading) + total > host.memory_mb:
        return [
            f"A worker takes {max(loading)} MiB of the host's memory while it loads, this host has {host.memory_mb}:"
            " choose a smaller model or a larger host."
        ], []
    if sum(loading) + total > host.memory_mb:
        return [], [
            f"All workers loading at once take {sum(loading) + total} MiB of the host's memory, this host has"
            f" {host.memory_mb}: after a boot it swaps, or some start again."
        ]
    return [], []

"""Which worker runs which model on which GPUs of a host: computed from facts and sizes, or refused with the arithmetic.

Pure functions. The same facts and the same wish give the same plan: nothing here looks at a clock, a random number or
the order of a set.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

import yaml
from ansible_collections.fastchat.fleet.plugins.filter.services import cpu_list
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.needs import (
    AT_ONCE,
    BYTES,
    CONVERSATIONS,
    SPREADS,
    Need,
    cap_of,
    cpu_mb,
    fewest,
    gpu_host_mb,
    gpu_mb,
    holds,
    need_of,
    spread_cap_mb,
    sum_in_words,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.stacks import gpu_troubles

Wish = Mapping[str, Any]
Instance = dict[str, Any]

FIRST_PORT = 21002
# What an inventory that says nothing means; the defaults of role fastchat_worker, which a unit test compares.
DEFAULTS: dict[str, Any] = {
    "fastchat_worker_device": "cuda",
    "fastchat_worker_dtype": "",
    "fastchat_worker_load_8bit": False,
    "fastchat_worker_num_gpus": 0,
    "fastchat_worker_max_gpu_memory": "",
    "fastchat_worker_conversations": CONVERSATIONS,
    "fastchat_worker_port": FIRST_PORT,
    "fastchat_worker_instances": [],
    "fastchat_worker_shares": {},
    "fastchat_worker_memory_limit": "",
}
# What an operator may say of one instance.
KEYS = {
    "index", "model", "port", "gpus", "num_gpus", "device", "max_gpu_memory", "load_8bit", "dtype", "memory_limit",
    "cpus",
}  # fmt: skip


def true(value: Any) -> bool:
    """Return a variable as a truth: the command line and Jinja hand on text."""
    return str(value).strip().lower() in ("true", "yes", "on", "1")


def some(words: list[str]) -> str:
    """Return words as a list that is read aloud: a, b, or c."""
    return ", or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def sentence(ways: list[str]) -> str:
    """Return ways as one sentence."""
    words = some(ways)
    return f"{words[:1].upper()}{words[1:]}."


def numbers(gpus: list[int]) -> str:
    """Return how GPUs are named: GPU 0, or GPUs 0,1."""
    return f"GPU{'s' if len(gpus) != 1 else ''} {','.join(map(str, gpus))}" if gpus else "no GPU"


def models_of(variables: Mapping) -> list[str]:
    """Return the names of the models that a host serves: fastchat_models, or fastchat_model alone."""
    listed = variables.get("fastchat_models") or [variables.get("fastchat_model")]
    return [listed] if isinstance(listed, str) else list(listed)


def models_here(hostvars: Mapping, host: str, groups: Mapping) -> list[str]:
    """Return the models whose weights a host must have: what it serves; a builder has what any worker serves."""
    workers = list(groups.get("workers", []))
    asked = [host] if host in workers else []
    asked += workers if host in groups.get("builders", []) else []
    return list(dict.fromkeys(name for one in asked for name in models_of(hostvars[one])))


def models_room(names: list[str], models: str, makes: bool) -> list[dict]:
    """Return [{weights_mb, disk: {path, mb, done}}] of some models, as role preflight wants disks.

    Who ``makes`` a release has its sources beside it.
    """
    found = []
    for name in names:
        model = yaml.safe_load((Path(models) / f"{name}.yml").read_text())
        copies = 1 + (len(model["sources"]) if makes else 0)
        disk = {
            "path": "/srv/fastchat",
            "mb": int(model["weights_mb"] * copies * 1.05),
            "done": f"/srv/fastchat/models/{name}/current",
        }
        found.append({"weights_mb": model["weights_mb"], "disk": disk})
    return found


def placement_wish(variables: Mapping, models: str, memory_mb: int = 0) -> dict[str, Any]:
    """Return what a host's variables ask of placement_plan.

    ``models`` is the directory of the models' descriptions; ``memory_mb`` the host's memory, 0 to look at none.
    """
    said = {name.removeprefix("fastchat_worker_"): variables.get(name, value) for name, value in DEFAULTS.items()}
    described = [yaml.safe_load((Path(models) / f"{name}.yml").read_text()) for name in models_of(variables)]
    shares = dict(said.pop("shares"))
    return {
        **said,
        "models": [{**model, "instances": int(shares.get(model["name"], 0))} for model in described],
        "shares": shares,
        "memory_mb": int(memory_mb),
        "driver_comes": true(variables.get("nvidia_driver_install", False)),
    }


class Host:
    """A host's GPUs and what is wished of it, with the values in their types."""

    def __init__(self, gpus: Mapping, wish: Wish) -> None:
        """``gpus`` is what the module gpu_facts returned; ``wish`` is described at placement_plan."""
        self.cards: list[dict] = list(gpus.get("gpus", []))
        self.fault: str = gpus.get("fault", "") or gpus.get("hint", "")
        self.models: list[dict] = list(wish["models"])
        self.device: str = wish.get("device") or "cuda"
        self.dtype: str = wish.get("dtype") or ""
        self.load_8bit = true(wish.get("load_8bit", False))
        self.num_gpus = int(wish.get("num_gpus") or 0)
        self.cap: str = wish.get("max_gpu_memory") or ""
        self.conversations = int(wish.get("conversations") or CONVERSATIONS)
        self.port = int(wish.get("port") or FIRST_PORT)
        self.listed: list[dict] = list(wish.get("instances") or [])
        self.memory_mb = int(wish.get("memory_mb") or 0)
        self.shares: list[str] = list(wish.get("shares") or {})
        self.limit: str = wish.get("memory_limit") or ""
        self.driver_comes = true(wish.get("driver_comes", False))
        self.unfit = {index: found for index, card in enumerate(self.cards) if (found := gpu_troubles(card))}

    def dtype_of(self, device: str, dtype: str) -> str:
        """Return in what weights are held: what is said, else what FastChat takes on that device."""
        return dtype or ("float32" if device == "cpu" else "float16")

    def need(self, model: dict, device: str, dtype: str, load_8bit: bool) -> Need:
        """Return what an instance of a model needs here."""
        # FastChat does not hand --dtype on to what it compresses.
        dtype = "" if load_8bit else dtype
        return need_of(model, self.dtype_of(device, dtype), load_8bit, self.conversations)

    def need_of(self, model: dict) -> Need:
        """Return what an instance of a model needs as this host's variables say."""
        return self.need(model, self.device, self.dtype, self.load_8bit)

    def card_mb(self, gpus: Optional[list[int]] = None) -> int:
        """Return the MiB of the smallest of some GPUs (of all that are fit); 0 when their drivers do not say."""
        wanted = [index for index in range(len(self.cards)) if index not in self.unfit] if gpus is None else gpus
        return min((self.cards[index].get("memory_mb") or 0 for index in wanted), default=0)

    def cpus(self, gpus: list[int]) -> str:
        """Return the CPUs beside some GPUs, one by one, '' when they are beside different ones or nobody knows.

        One by one, since systemd 219 may not read ranges (newer ones do), and all read this.
        """
        beside = {self.cards[index].get("cpus") or "" for index in gpus}
        if len(beside) != 1 or "" in beside:
            return ""
        return cpu_list(beside.pop())

    def memory_limit(self, need: Need, device: str) -> str:
        """Return how much of the host's memory a unit may take: enough to load twice what it serves."""
        if self.limit:
            return self.limit
        talking = need.cache_mb * AT_ONCE // self.conversations if device == "cpu" else 0
        limit = 2 * need.weights_mb + talking + 4096
        return f"{limit}M" if not self.memory_mb or limit < self.memory_mb else "infinity"

    def here(self) -> str:
        """Return the fit GPUs in words."""
        fit = [card for index, card in enumerate(self.cards) if index not in self.unfit]
        names = " and ".join(dict.fromkeys(card["name"] for card in fit))
        each = f"{self.card_mb()} MiB{' each' if len(fit) > 1 else ''}" if self.card_mb() else "unknown memory"
        return f"this host has {len(fit)} x {names} with {each}"


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
        "load_8bit": true(said.get("load_8bit", host.load_8bit)),
        "dtype": said.get("dtype", host.dtype),
        "memory_limit": said.get("memory_limit") or host.memory_limit(need, device),
        "cpus": said.get("cpus", host.cpus(gpus)),
    }


def line_of(host: Host, instance: Instance, need: Need) -> str:
    """Return one instance in words."""
    unit = f"fastchat-worker@{instance['index']}: {instance['model']}"
    where = f"{numbers(instance['gpus'])}, port {instance['port']}"
    if instance["device"] == "cpu":
        return f"{unit}, {where}, {cpu_mb(need)} MiB of the host's memory"
    count, card = instance["num_gpus"], host.card_mb(instance["gpus"])
    used = gpu_mb(need, count, spread_cap_mb(instance["max_gpu_memory"]) or 0)
    return f"{unit}, {where}, {used} of {card or 'unknown'} MiB{' on each' if count > 1 else ''}"


def changed(host: Host, **values: Any) -> Host:
    """Return a host with other wishes."""
    other = copy.copy(host)
    for name, value in values.items():
        setattr(other, name, value)
    return other


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


def ways_out(host: Host, fits: Callable[[Host], bool]) -> list[str]:
    """Return what would help: each change that by itself makes something fit, or else changes that do together."""

    def helping(ways: tuple[tuple[str, dict[str, Any]], ...]) -> list[str]:
        # Only a CPU gains by bfloat16.
        able = [way for way in ways if host.device == "cpu" or way[1].get("dtype") != "bfloat16"]
        return [words for words, values in able if fits(changed(host, **values))]

    return helping(WAYS) or helping(TOGETHER)


def refusal(host: Host, model: dict, need: Need) -> str:
    """Return why a model fits no GPUs of a host, with the arithmetic and what would help."""
    fit, cap, card = len(host.cards) - len(host.unfit), spread_cap_mb(host.cap) or 0, host.card_mb()
    if host.num_gpus > fit:
        alone = changed(host, num_gpus=0)
        few = f"{need.name} is to take {host.num_gpus} GPUs (fastchat_worker_num_gpus) and {host.here()}"
        even = "" if gpus_each(alone, model, need) else f" Even then {refusal(alone, model, need)}"
        return f"{few}: set it to 0 (computed).{even}"
    tried = [host.num_gpus] if host.num_gpus else [1] if host.load_8bit else [n for n in SPREADS if n <= fit]
    if cap and any(n > 1 and n * cap < need.weights_mb + 2 * need.layer_mb for n in tried):
        capped = f", of which fastchat_worker_max_gpu_memory lets {host.cap} of weights on each"
    else:
        capped = ""
    told = [f"{gpu_mb(need, n, cap)} MiB on {'1 GPU' if n == 1 else f'each of {n}'}" for n in tried]
    ways = ways_out(host, lambda other: bool(gpus_each(other, model, other.need_of(model))))
    if not host.load_8bit and (more := fewest(need, card, max(SPREADS))) > fit:
        ways.append(f"give the host {more} of these GPUs")
    return (
        f"{need.name} needs {some(told)}: {sum_in_words(need, 'cuda')}; {host.here()}{capped}."
        f" {sentence([*ways, 'choose a smaller model or larger GPUs'])}"
    )


def gpus_each(host: Host, model: dict, need: Need) -> int:
    """Return how many GPUs an instance of a model takes here, 0 when no number of them holds it."""
    fit, card, cap = len(host.cards) - len(host.unfit), host.card_mb(), spread_cap_mb(host.cap) or 0
    if host.num_gpus:
        able = host.num_gpus == 1 or not host.load_8bit
        known = not card or holds(need, card, host.num_gpus, cap)
        return host.num_gpus if able and known and host.num_gpus <= fit else 0
    return fewest(need, card, fit, cap, host.load_8bit) if card else 1


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


def taken(free: list[int], count: int, size: int) -> list[int]:
    """Return the next GPUs for an instance: an aligned block where one is free, which keeps it on one side of a host.

    ``count`` is how many GPUs the host has. [] when fewer are free.
    """
    for start in range(0, count - size + 1, size):
        block = list(range(start, start + size))
        if set(block) <= set(free):
            return block
    return free[:size] if size <= len(free) else []


def dealt(host: Host, needs: dict[str, Need]) -> tuple[list[Instance], list[str]]:
    """Return the instances of a host with GPUs, and the faults.

    Who asked for a number is served first, in the order of the list, so that a model that is added behind them moves
    none. An instance is named by its first GPU: one that is lost takes away its own instance and renumbers no other.
    """
    faults = [refusal(host, m, needs[m["name"]]) for m in host.models if not gpus_each(host, m, needs[m["name"]])]
    if faults:
        return [], faults
    sizes = {model["name"]: gpus_each(host, model, needs[model["name"]]) for model in host.models}
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
            gpus = taken(free, len(host.cards), sizes[model["name"]])
            free = [index for index in free if index not in gpus]
            found.append(instance_of(host, needs[model["name"]], gpus[0], gpus))
    return sorted(found, key=lambda instance: instance["index"]), []


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
        return [f"{where}.gpus names {numbers(gone)}, this host has {len(host.cards)}: choose others."]
    if cut := [gpu for gpu in gpus if host.cards[gpu].get("mig_mode")]:
        return [f"{where}.gpus names {numbers(cut)}, cut into MIG instances: leave it out, or end its MIG mode."]
    count = int(entry.get("num_gpus") or len(gpus))
    if len(set(gpus)) != len(gpus) or count != len(gpus):
        return [f"{where} spreads over {count} GPUs and names {numbers(gpus)}: name each of them once."]
    if true(entry.get("load_8bit", host.load_8bit)) and count > 1:
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


def listed(host: Host) -> tuple[list[tuple[Instance, Need]], list[str]]:
    """Return the instances that an operator listed, each with its need, and the faults."""
    found, faults = [], []
    for place, entry in enumerate(host.listed):
        wrong = entry_faults(host, entry, f"fastchat_worker_instances[{place}]")
        faults += wrong
        if wrong:
            continue
        model = next(m for m in host.models if m["name"] == entry.get("model", host.models[0]["name"]))
        device, dtype = entry.get("device", host.device), entry.get("dtype", host.dtype)
        need = host.need(model, device, dtype, true(entry.get("load_8bit", host.load_8bit)))
        rest = {key: value for key, value in entry.items() if key not in ("index", "model", "gpus")}
        found.append((instance_of(host, need, int(entry.get("index", place)), entry.get("gpus", []), **rest), need))
    for key in ("index", "port"):
        values = [instance[key] for instance, _need in found]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            faults.append(f"fastchat_worker_instances has {key} {twice[0]} twice: give each its own.")
    for gpu, card in enumerate(host.cards):
        on_it = [
            (need.name, gpu_mb(need, one["num_gpus"], spread_cap_mb(one["max_gpu_memory"]) or 0))
            for one, need in found
            if gpu in one["gpus"]
        ]
        used = sum(size for _name, size in on_it)
        if card.get("memory_mb") and used > card["memory_mb"]:
            terms = " + ".join(f"{size} of {name}" for name, size in on_it)
            faults.append(
                f"fastchat_worker_instances puts {used} MiB on GPU {gpu} ({terms}), which has {card['memory_mb']}:"
                " spread them over other GPUs, or use load_8bit."
            )
    return sorted(found, key=lambda pair: pair[0]["index"]), faults


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
            return not other.listed and sum(cpu_mb(other.need_of(m)) for m in other.models) <= other.memory_mb

        return [
            f"Workers need {total} MiB of the host's memory ({terms}), this host has {host.memory_mb}."
            f" {sentence([*ways_out(host, fits), 'choose a smaller model or a larger host'])}"
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


def computed(host: Host, words: list[str]) -> tuple[list[tuple[Instance, Need]], list[str]]:
    """Return the instances that are computed, each with its need, and the faults; adds to the words."""
    needs = {model["name"]: host.need_of(model) for model in host.models}
    if host.device == "cpu":
        return [(instance_of(host, need, index, []), need) for index, need in enumerate(needs.values())], []
    words += [f"GPU {index} is left out: {' '.join(found)}" for index, found in host.unfit.items()]
    if len(host.unfit) == len(host.cards):
        return [], ["No GPU of this host is fit to serve: mend what the notes say, or list fastchat_worker_instances."]
    instances, faults = dealt(host, needs)
    used = {gpu for instance in instances for gpu in instance["gpus"]}
    idle = [gpu for gpu in range(len(host.cards)) if gpu not in used and gpu not in host.unfit]
    if instances and idle:
        words.append(f"{numbers(idle)} idle: no other instance was asked for, or fits.")
    return [(instance, needs[instance["model"]]) for instance in instances], faults


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
    words: list[str] = []
    faults = wish_faults(host)
    if faults:
        return {"instances": [], "faults": faults, "words": []}
    if host.device == "cuda" and not host.cards:
        if host.driver_comes:
            return {"instances": [], "faults": [], "words": ["No GPU is seen yet: planned once the driver is there."]}
        said = host.fault[:1].upper() + host.fault[1:]
        missing = "No GPU is seen, and a worker wants one: look for the card, or set fastchat_worker_device to cpu."
        return {"instances": [], "faults": [said or missing], "words": []}
    pairs, faults = listed(host) if host.listed else computed(host, words)
    if host.listed:
        named = {gpu for instance, _need in pairs for gpu in instance["gpus"]}
        words += [f"GPU {gpu} is used as listed: {' '.join(host.unfit[gpu])}" for gpu in host.unfit if gpu in named]
    short, notes = memory_faults(host, pairs)
    faults += short
    if faults:
        return {"instances": [], "faults": faults, "words": words}
    for name in dict.fromkeys(need.name for _instance, need in pairs):
        instance, need = next(pair for pair in pairs if pair[1].name == name)
        words.append(f"{name}: {sum_in_words(need, instance['device'])}")
    words += [line_of(host, instance, need) for instance, need in pairs]
    return {"instances": [instance for instance, _need in pairs], "faults": [], "words": words + notes}


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "models_here": models_here,
            "models_room": models_room,
            "models_served": models_of,
            "placement_plan": placement_plan,
            "placement_wish": placement_wish,
        }

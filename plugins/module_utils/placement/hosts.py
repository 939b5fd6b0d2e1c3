"""A host as placement sees it: its GPUs, and what is wished of it, with the values in their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .health import gpu_troubles
from .needs import AT_ONCE, CONVERSATIONS, Need, fewest, holds, memory_need, spread_cap_mb

Wish = Mapping[str, Any]
FIRST_PORT = 21002
# What placement looks at of a host's variables, each behind fastchat_worker_. What they mean, and what they are when an
# inventory says nothing, stands in the argument spec of role fastchat_worker alone.
OPTIONS = (
    "device", "dtype", "load_8bit", "num_gpus", "max_gpu_memory", "conversations", "port", "instances", "shares",
    "memory_limit",
)  # fmt: skip


def is_true(value: Any) -> bool:
    """Return a variable as a truth: the command line and Jinja hand on text."""
    return str(value).strip().lower() in ("true", "yes", "on", "1")


def gpus_in_words(gpus: list[int]) -> str:
    """Return how GPUs are named: GPU 0, or GPUs 0,1."""
    return f"GPU{'s' if len(gpus) != 1 else ''} {','.join(map(str, gpus))}" if gpus else "no GPU"


def named(gpu: int, card: Mapping) -> str:
    """Return one GPU by number, bus address and name."""
    return f"GPU {gpu} ({', '.join(filter(None, [card['bus'], card['name']]))})"


def like_cards(cards: list[dict], fit: list[int]) -> list[list[int]]:
    """Return the fit GPUs in groups of like ones, of one name and memory; in the order of their first."""
    groups: dict[tuple, list[int]] = {}
    for index in fit:
        groups.setdefault((cards[index]["name"], cards[index].get("memory_mb")), []).append(index)
    return list(groups.values())


def cpu_list(cpus: str) -> str:
    """Return "0 1 2 8" for "0-2,8": systemd 219 knows no ranges in CPUAffinity=."""
    found: list[int] = []
    for part in str(cpus).replace(",", " ").split():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return " ".join(map(str, found))


def wish_of(variables: Mapping, spec: Mapping[str, Any], models: list[dict], memory_mb: int = 0) -> dict[str, Any]:
    """Return what a host's variables ask of ``plan.placement_plan``.

    ``spec`` are the options of role fastchat_worker by name, each with its default; ``models`` the descriptions of the
    models that the host serves; ``memory_mb`` the host's memory, 0 to look at none.
    """
    options = {name: f"fastchat_worker_{name}" for name in OPTIONS}
    asked = {name: variables.get(whole, spec[whole]["default"]) for name, whole in options.items()}
    shares = dict(asked.pop("shares"))
    return {
        **asked,
        "models": [{**model, "instances": int(shares.get(model["name"], 0))} for model in models],
        "shares": shares,
        "memory_mb": int(memory_mb),
        "driver_comes": is_true(variables.get("nvidia_driver_install", False)),
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
        self.load_8bit = is_true(wish.get("load_8bit", False))
        self.num_gpus = int(wish.get("num_gpus") or 0)
        self.cap: str = wish.get("max_gpu_memory") or ""
        self.conversations = int(wish.get("conversations") or CONVERSATIONS)
        self.port = int(wish.get("port") or FIRST_PORT)
        self.operator_instances: list[dict] = list(wish.get("instances") or [])
        self.memory_mb = int(wish.get("memory_mb") or 0)
        self.shares: list[str] = list(wish.get("shares") or {})
        self.limit: str = wish.get("memory_limit") or ""
        self.driver_comes = is_true(wish.get("driver_comes", False))
        self.unfit = {index: found for index, card in enumerate(self.cards) if (found := gpu_troubles(card))}
        self.groups = like_cards(self.cards, [index for index in range(len(self.cards)) if index not in self.unfit])

    def dtype_of(self, device: str, dtype: str) -> str:
        """Return in what weights are held: what is said, else what FastChat takes on that device."""
        return dtype or ("float32" if device == "cpu" else "float16")

    def need_with(self, model: dict, device: str, dtype: str, load_8bit: bool) -> Need:
        """Return what an instance of a model needs here."""
        # FastChat does not hand --dtype on to what it compresses.
        dtype = "" if load_8bit else dtype
        return memory_need(model, self.dtype_of(device, dtype), load_8bit, self.conversations)

    def usual_need(self, model: dict) -> Need:
        """Return what an instance of a model needs as this host's variables say."""
        return self.need_with(model, self.device, self.dtype, self.load_8bit)

    def card_mb(self, gpus: list[int]) -> int:
        """Return the MiB of the smallest of some GPUs."""
        return min((self.cards[index].get("memory_mb") or 0 for index in gpus), default=0)

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

    def fit(self) -> list[int]:
        """Return the GPUs that are fit to serve, in their order."""
        return sorted(index for group in self.groups for index in group)

    def in_words(self, group: list[int]) -> str:
        """Return some like GPUs in words."""
        card, each = self.cards[group[0]], " each" if len(group) > 1 else ""
        return f"{len(group)} x {card['name']} with {card['memory_mb']} MiB{each}"

    def here(self) -> str:
        """Return the fit GPUs in words."""
        return f"this host has {' and '.join(map(self.in_words, self.groups))}"

    def size_in(self, need: Need, gpus: list[int]) -> int:
        """Return how many of some GPUs an instance takes, 0 when no number of them holds it."""
        card, cap = self.card_mb(gpus), spread_cap_mb(self.cap) or 0
        if self.num_gpus:
            able = (self.num_gpus == 1 or not self.load_8bit) and self.num_gpus <= len(gpus)
            return self.num_gpus if able and holds(need, card, self.num_gpus, cap) else 0
        return fewest(need, card, len(gpus), cap, self.load_8bit)

    def sizes(self, need: Need) -> dict[int, int]:
        """Return {group: how many of its GPUs an instance takes} of the groups of like GPUs that hold an instance."""
        found = {number: self.size_in(need, group) for number, group in enumerate(self.groups)}
        return {number: size for number, size in found.items() if size}

    def gpus_each(self, need: Need) -> int:
        """Return the fewest GPUs that an instance takes here, 0 when no number of them holds it.

        Unlike GPUs are spread over only where no like ones hold it, by the smallest of them.
        """
        return min(self.sizes(need).values(), default=0) or self.size_in(need, self.fit())

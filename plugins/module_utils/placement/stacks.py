"""Which stack a host can run, or every reason why it can run none. Runs on the control node only.

A stack is one file of files/stacks (docs/STACKS.md), a host is what the modules ``preflight_probe`` and ``gpu_facts``
found, a wish is what the inventory asks of that host. Every reason is one sentence.
"""

from __future__ import annotations

import re
from typing import Any, TypedDict

BFLOAT16_FROM = (8, 0)
# The first FastChat whose worker takes --dtype.
DTYPE_FROM = (0, 2, 29)

Stack = dict[str, Any]


class Host(TypedDict, total=False):
    """What was found on a host; python_faults may be absent.

    glibc: version, '' if unknown. pythons: {path: version or ''}. python_faults: {path: why one that is there does not
    run}. gpus: what the module gpu_facts returns.
    """

    glibc: str
    pythons: dict[str, str]
    python_faults: dict[str, str]
    gpus: dict[str, Any]


class Wish(TypedDict, total=False):
    """What is asked of a host; only stack is required.

    stack: a name or auto. gpus: how many one worker uses, 0 for none (whether a model fits them is placement's to say).
    cards: the numbers of the GPUs that workers get, empty for all. dtype: what --dtype is told, '' for nothing.
    driver_comes: the runtime phase installs the driver, so what nvidia-smi
    says now decides little.
    """

    stack: str
    gpus: int
    cards: list[int]
    dtype: str
    driver_comes: bool


class Choice(TypedDict):
    """stack: the name, '' for none. reasons: why none. refused: {name: reasons} of the stacks that were looked at."""

    stack: str
    reasons: list[str]
    refused: dict[str, list[str]]


def version(text: str) -> tuple[int, ...]:
    """Return a version's numbers, so that 2.9 comes before 2.17; what follows a plus (2.13.0+cpu) does not count."""
    return tuple(int(part) for part in re.findall(r"\d+", str(text).partition("+")[0]))


def runs_on(built: list[str], capability: str) -> bool:
    """Return whether code that was built for some compute capabilities runs on a GPU of another.

    It does within one major version, from the older to the newer (NVIDIA's binary compatibility).
    """
    major, minor = version(capability)
    return any(found[0] == major and found[1] <= minor for found in map(version, built))


def driver_reasons(stack: Stack, found: dict[str, Any]) -> list[str]:
    """Return why the driver, as it is, does not run a stack."""
    reasons = [text[0].upper() + text[1:] for text in (found["fault"], found["hint"]) if text]
    broken = found["fault"] and not found["driver"]
    if not broken and (not found["driver"] or version(found["driver"]) < version(stack["driver"])):
        reasons.append(
            f"NVIDIA driver is {found['driver'] or 'absent'}, stack {stack['name']} (CUDA {stack['cuda']}) wants"
            f" {stack['driver']} or newer: install one and reboot, or set nvidia_driver_install."
        )
    return reasons


def gpu_reasons(stack: Stack, found: dict[str, Any], wish: Wish) -> list[str]:
    """Return why a stack's worker can not have the GPUs that it is wished on this host."""
    name, wanted = stack["name"], int(wish.get("gpus", 0))
    if not stack["gpu"]:
        return [
            f"stack {name} has no CUDA and a worker wants a GPU: set fastchat_worker_device to cpu, or fastchat_stack"
            " to one for GPUs."
        ]
    reasons = [] if wish.get("driver_comes") else driver_reasons(stack, found)
    if found["fault"] and not found["driver"]:
        return reasons
    if found["count"] < wanted and (found["count"] or not wish.get("driver_comes")):
        there = "1 GPU is" if found["count"] == 1 else f"{found['count']} GPUs are"
        reasons.append(f"{there} there, wanted {wanted}: lower fastchat_worker_num_gpus.")
    if wanted > 1 and stack["gpus_per_worker"] == "one":
        reasons.append(
            f"stack {name} (torch {stack['torch']}) can not spread a model over {wanted} GPUs, which needs torch 1.10:"
            " set fastchat_worker_num_gpus to 1, or fastchat_stack to another."
        )
    planned = wish.get("cards") or range(len(found["gpus"]))
    used = [found["gpus"][index] for index in planned if index < len(found["gpus"])]
    cards = {card["name"]: card["compute_capability"] for card in used if card["compute_capability"]}
    for card, capability in sorted(cards.items()):
        if not runs_on(stack["compute_capabilities"], capability):
            reasons.append(
                f"{card} has compute capability {capability}, stack {name} (CUDA {stack['cuda']}) holds code for"
                f" {', '.join(stack['compute_capabilities'])}: set fastchat_stack to another"
                + (", or list other GPUs in fastchat_worker_instances." if len(cards) > 1 else ".")
            )
        if wish.get("dtype") == "bfloat16" and version(capability) < BFLOAT16_FROM:
            reasons.append(f"{card} has compute capability {capability}, bfloat16 needs 8.0: use float16.")
    return reasons


def stack_reasons(stack: Stack, host: Host, wish: Wish) -> list[str]:
    """Return one sentence for each reason why a host can not run a stack as wished; [] when it can."""
    name, reasons = stack["name"], []
    if int(wish.get("gpus", 0)):
        reasons += gpu_reasons(stack, host["gpus"], wish)
    if wish.get("dtype") and version(stack.get("fschat", "9")) < DTYPE_FROM:
        reasons.append(
            f"fastchat_worker_dtype is {wish['dtype']}, stack {name} has FastChat {stack['fschat']}, which knows no"
            " --dtype (0.2.29 does): leave it empty, or set fastchat_stack to another."
        )
    return reasons + base_reasons(
        f"stack {name}", stack, host, "choose a stack for EL 7", "or fastchat_stack to another stack"
    )


def environment_reasons(described: dict[str, Any], host: Host) -> list[str]:
    """Return one sentence for each reason why a host can not have an environment of files/environments."""
    other = "take another host"
    return base_reasons(f"environment {described['name']}", described, host, other, f"or {other}")


def base_reasons(what: str, wants: dict[str, Any], host: Host, glibc_out: str, python_out: str) -> list[str]:
    """Return what glibc and Python of a host lack for ``what``, which ``wants`` both; each with a way out."""
    reasons = []
    if host["glibc"] and version(host["glibc"]) < version(wants["glibc"]):
        reasons.append(f"glibc is {host['glibc']}, {what} wants {wants['glibc']} or newer: {glibc_out}.")
    if not any(version(found)[:2] == version(wants["python"]) for found in host["pythons"].values()):
        faults = host.get("python_faults", {})
        seen = {path: found or faults.get(path) for path, found in host["pythons"].items()}
        there = " and ".join(
            f"{path} does not run ({said})" if faults.get(path) else f"{path} is {said or 'absent'}"
            for path, said in seen.items()
        )
        reasons.append(
            f"{there or 'no Python is there'}, {what} wants Python {wants['python']}:"
            f" set fastchat_runtime_python to one, {python_out}."
        )
    return reasons


def newest_first(stacks: list[Stack], wish: Wish) -> list[Stack]:
    """Return the stacks that auto looks at, newest first: for a GPU those with CUDA, else those without before them.

    One with another backend than transformers is asked for by name.
    """
    gpus = bool(int(wish.get("gpus", 0)))
    able = [stack for stack in stacks if (stack["gpu"] or not gpus) and "backend" not in stack]
    return sorted(able, key=lambda stack: (stack["gpu"] == gpus, version(stack["torch"]), stack["name"]), reverse=True)


def resolve(stacks: list[Stack], host: Host, wish: Wish) -> Choice:
    """Return the newest stack that this host can run, or the pinned one, or all reasons why there is none."""
    name = wish["stack"]
    looked = newest_first(stacks, wish) if name == "auto" else [stack for stack in stacks if stack["name"] == name]
    if not looked:
        names = sorted(stack["name"] for stack in stacks)
        return Choice(stack="", reasons=[f"fastchat_stack is {name!r}, wanted auto or one of {names}."], refused={})
    refused: dict[str, list[str]] = {}
    for stack in looked:
        reasons = stack_reasons(stack, host, wish)
        if not reasons:
            return Choice(stack=stack["name"], reasons=[], refused=refused)
        refused[stack["name"]] = reasons
    every = list(dict.fromkeys(reason for reasons in refused.values() for reason in reasons))
    # First what every stack says in the same words: choosing another would not help.
    every.sort(key=lambda reason: not all(reason in reasons for reasons in refused.values()))
    return Choice(stack="", reasons=every, refused=refused)

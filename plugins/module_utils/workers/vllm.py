"""Commands and refusals of the worker around vLLM, which serves where the stack has it instead of transformers.

Read in ``fastchat/serve/vllm_worker.py`` 0.2.36 and in vLLM 0.6.2's ``AsyncEngineArgs``; parsed by both
(docs/STACKS.md), never run on a GPU.
"""

from __future__ import annotations

import math
import re
from typing import Any

# Attention heads of every LLaMA size (32, 40, 52, 64) divide by 1, 2 and 4; tensor parallelism wants that.
SPREADS = (1, 2, 4)
MEMORY = re.compile(r"(\d+(?:\.\d+)?)(GiB|MiB)")
UNITS = {"GiB": 1024, "MiB": 1}


def backend_of(stack: dict[str, Any]) -> str:
    """Return transformers or vllm: what the workers of a stack are built on."""
    return stack.get("backend", "transformers")


def memory_mb(text: str) -> float:
    """Return the MiB of what FastChat calls --max-gpu-memory, such as 20GiB; raises ValueError."""
    found = MEMORY.fullmatch(text)
    if not found:
        raise ValueError(f"max_gpu_memory is {text!r}, wanted such as 20GiB or 20480MiB.")
    return float(found[1]) * UNITS[found[2]]


def vllm_command(common: dict[str, Any], instance: dict[str, Any], card_mb: int = 0) -> list[str]:
    """Return the python arguments that run an instance on vLLM.

    ``common`` are the options that both workers know ({name without dashes: value}, '' for none); of ``instance``
    count num_gpus, dtype and max_gpu_memory; ``card_mb`` is the memory of one of its GPUs, wanted where max_gpu_memory
    is set.
    """
    share = ""
    if instance.get("max_gpu_memory"):
        share = math.floor(100 * memory_mb(instance["max_gpu_memory"]) / card_mb) / 100
    options = {
        **common,
        "num-gpus": max(int(instance["num_gpus"]), 1),  # becomes vLLM's tensor parallel size
        # vLLM's own choice is the model's, which may be bfloat16, and no Volta or Turing knows that.
        "dtype": instance.get("dtype") or "float16",
        "gpu_memory_utilization": share,
    }
    said = [f"--{name}={value}" for name, value in options.items() if value != ""]
    # The first turns off code from the model's directory (FastChat's option is inverted). The second keeps what people
    # ask out of the journal.
    return ["-m", "fastchat.serve.vllm_worker", *said, "--trust_remote_code", "--disable-log-requests"]


def backend_faults(stack: dict[str, Any], instances: list[dict], cards: list[dict]) -> list[str]:
    """Return one sentence for each option that vLLM does not support; [] where transformers serves, or without fault.

    ``instances`` are planned ones (index, device, num_gpus, load_8bit, dtype, max_gpu_memory, gpus: their indices),
    ``cards`` the host's GPUs as gpu_facts tells them.
    """
    if backend_of(stack) != "vllm":
        return []
    faults, name = [], stack["name"]
    for one in instances:
        who = f"worker {one['index']}"
        if one["device"] == "cpu":
            faults.append(
                f"{who} is to run on cpu, stack {name} serves by vLLM, which needs a GPU: set fastchat_stack to"
                " another."
            )
            continue
        if one.get("load_8bit"):
            faults.append(f"{who} is to load in 8 bit, which vLLM does not do: set fastchat_worker_load_8bit to false.")
        if int(one["num_gpus"]) not in SPREADS:
            faults.append(
                f"{who} is to use {one['num_gpus']} GPUs, vLLM shares out attention heads and wants"
                f" {', '.join(map(str, SPREADS))}: set fastchat_worker_num_gpus to one of these."
            )
        if one.get("max_gpu_memory") and not MEMORY.fullmatch(one["max_gpu_memory"]):
            faults.append(f"{who}: max_gpu_memory is {one['max_gpu_memory']!r}, wanted such as 20GiB or 20480MiB.")
        for card in (cards[index] for index in one.get("gpus", []) if index < len(cards)):
            capability = card.get("compute_capability") or ""
            if capability and tuple(map(int, capability.split("."))) < (7, 0):
                faults.append(f"{who}: {card['name']} has compute capability {capability}, vLLM wants 7.0 or more.")
            elif one.get("dtype") == "bfloat16" and capability and tuple(map(int, capability.split("."))) < (8, 0):
                faults.append(
                    f"{who}: {card['name']} has compute capability {capability}, bfloat16 needs 8.0: use float16."
                )
    return list(dict.fromkeys(faults))

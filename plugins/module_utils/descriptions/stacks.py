"""Check a file of files/stacks or files/environments."""

from __future__ import annotations

import re
from typing import Any

from .rules import Rule, faults_of, mapping, text, whole


def dotted(value: Any) -> bool:
    """Return whether a value is a version in text; 440.100 without quotes would be the number 440.1."""
    return isinstance(value, str) and bool(re.fullmatch(r"\d+(\.\d+)+", value))


def texts(value: Any) -> bool:
    """Return whether a value is a list of texts with at least one."""
    return isinstance(value, list) and bool(value) and all(map(text, value))


DOTTED = "a version in quotes"
EVERY: dict[str, Rule] = {
    "name": (True, lambda v: isinstance(v, str) and bool(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", v)), "a-z, 0-9, dashes"),
    "description": (True, text, "one line"),
    "python": (True, lambda v: isinstance(v, str) and bool(re.fullmatch(r"\d+\.\d+", v)), 'such as "3.9", in quotes'),
    "glibc": (True, dotted, DOTTED + ', such as "2.17"'),
    "gpu": (True, lambda v: isinstance(v, bool), "true or false"),
    "env_mb": (True, whole, "the MiB of the environment and of building it"),
    "torch": (True, lambda v: isinstance(v, str) and dotted(v.partition("+")[0]), DOTTED + ", such as 2.6.0"),
    "transformers": (True, text, 'a version or bounds in quotes, such as ">=4.57.6,<5"'),
    "fschat": (True, dotted, DOTTED),
    "weights_formats": (
        False,
        lambda v: texts(v) and set(v) <= {"bin", "safetensors"},
        "bin, safetensors",
    ),
    "os": (False, texts, "a list of systems where it fits"),
    "backend": (False, lambda v: v in ("transformers", "vllm"), "transformers or vllm"),
    "lock": (True, text, "the name of a file in files/locks"),
    "uv_platform": (True, text, "uv's name of the platform, such as x86_64-manylinux2014"),
    "extra_index_url": (False, lambda v: text(v) and v.startswith(("http://", "https://")), "an http or https URL"),
}
CUDA: dict[str, Rule] = {
    "cuda": (True, dotted, DOTTED + ', such as "12.4"'),
    "driver": (True, dotted, DOTTED + ": the oldest NVIDIA driver"),
    "driver_native": (False, dotted, DOTTED + ": the oldest driver that knows this CUDA without compatibility"),
    "compute_capabilities": (True, lambda v: texts(v) and all(map(dotted, v)), 'a list such as ["7.0", "8.0"]'),
    "gpus_per_worker": (True, lambda v: v in ("one", "max"), "one, or max where a model can be spread"),
}


def stack_file_faults(stack: Any, name: str) -> list[str]:
    """Return one sentence for each fault of a stack's description; [] when there is none.

    ``name`` is what its file is called without .yml. What only a GPU's stack has is refused elsewhere.
    """
    gpu = mapping(stack) and stack.get("gpu") is True
    faults = faults_of(stack, {**EVERY, **CUDA} if gpu else EVERY, name)
    if mapping(stack) and EVERY["name"][1](stack.get("name")) and stack["name"] != name:
        faults.append(f"{name}.name is {stack['name']!r}, wanted {name!r} as its file is called.")
    if mapping(stack) and stack.get("name") == "auto":
        faults.append(f"{name}.name is 'auto', wanted another: auto asks preflight to choose.")
    return faults


# What an environment beside a stack's says of itself; as a stack, but of no GPU and with what must load in it.
BESIDE: dict[str, Rule] = {
    **{key: EVERY[key] for key in ("name", "description", "python", "glibc", "env_mb", "lock", "uv_platform")},
    "fschat": (False, dotted, DOTTED),  # what watches FastChat has none
    "extra_index_url": EVERY["extra_index_url"],
    "gradio": (False, text, 'a version in quotes, such as "5"'),
    "loads": (True, text, "modules to import once it is built, such as fastchat.serve.gradio_web_server"),
}


def environment_file_faults(described: Any, name: str) -> list[str]:
    """Return one sentence for each fault of what describes an environment beside the stacks; as stack_file_faults."""
    faults = faults_of(described, BESIDE, name)
    if mapping(described) and BESIDE["name"][1](described.get("name")) and described["name"] != name:
        faults.append(f"{name}.name is {described['name']!r}, wanted {name!r} as its file is called.")
    return faults

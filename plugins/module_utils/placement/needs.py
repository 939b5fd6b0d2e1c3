"""What a worker needs of memory, by arithmetic. Pure functions; runs on the control node only.

Sizes are MiB (2**20 bytes). FastChat's behaviour is read in fschat 0.2.36: ``model/model_adapter.py`` (load_model),
``model/compression.py`` (8 bits), ``serve/model_worker.py`` (five requests side by side unless told otherwise).
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, Optional

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
# CUDA's context, and what one pass over a prompt needs meanwhile: measured by nobody here, 0.5 to 1 GiB in reports.
RUNNING_MB = 1024
# A process on a CPU, without model and cache: torch, transformers, the server.
PROCESS_MB = 1000
# FastChat takes five requests at once (--limit-worker-concurrency). Room is planned for so many at full length.
CONVERSATIONS = 2
AT_ONCE = 5
# Scale of 8-bit weights: one number for each group of so many.
GROUP = 256
# Models whose description says nothing of their shape: what is taken instead.
LAYERS, UNSHAPED_CACHE_MB, UNSHAPED_8BIT_SHARE = 32, 1024, 0.55
# A shard as models are published: what is in the host's memory while the GPUs are filled directly.
SHARD_MB = 10240
SPREADS = (1, 2, 4, 8)


class Need(NamedTuple):
    """What one instance of a model needs, and how that was computed.

    weights_mb in the dtype that is served, layer_mb one layer of them, cache_mb keys and values of all planned
    conversations; loading_mb is the host's memory while it loads on a GPU.
    """

    name: str
    weights_mb: int
    layer_mb: int
    cache_mb: int
    loading_mb: int
    held: str
    talks: str


def spread_cap_mb(cap: str) -> Optional[int]:
    """Return the MiB of accelerate's words for memory, such as 13GiB or 13GB; None when they are not such words."""
    found = re.fullmatch(r"(\d+)\s*([GM])(i?)B", str(cap).strip())
    if not found:
        return None
    size = int(found[1]) * (2**10 if found[3] else 10**3) ** (3 if found[2] == "G" else 2)
    return size // 2**20


def weights_of(model: dict[str, Any], dtype: str, load_8bit: bool) -> tuple[int, str]:
    """Return the MiB of a model's weights as they are served, and how that was computed."""
    count, size, shape = model.get("parameters"), BYTES[dtype], model.get("shape")
    whole = int(count) * size / 2**20 if count else int(model["weights_mb"]) * size / 2
    by = f"{count} parameters x {size} bytes" if count else f"{model['weights_mb']} MiB in float16"
    if not load_8bit:
        return math.ceil(whole), f"{dtype} ({by})"
    if not count or not shape:
        return math.ceil(whole / size * 2 * UNSHAPED_8BIT_SHARE), f"8 bits ({UNSHAPED_8BIT_SHARE:.0%} of float16)"
    # Every linear layer is compressed; the embedding is none and stays as it is.
    stays = shape["vocabulary"] * shape["hidden"]
    small = (int(count) - stays) * (1 + size / GROUP) + stays * size
    return math.ceil(small / 2**20), f"8 bits ({count} parameters, of which {stays} stay in {dtype})"


def conversation_mb(model: dict[str, Any], dtype: str) -> int:
    """Return the MiB of keys and values of one conversation of full length."""
    shape, tokens = model.get("shape"), model.get("context_tokens")
    if not shape or not tokens:
        return UNSHAPED_CACHE_MB
    width = shape.get("kv_hidden", shape["hidden"])
    return math.ceil(2 * shape["layers"] * width * BYTES[dtype] * tokens / 2**20)


def memory_need(model: dict[str, Any], dtype: str, load_8bit: bool, conversations: int) -> Need:
    """Return what one instance of a model (a parsed file of files/models) needs in a dtype of BYTES."""
    weights, held = weights_of(model, dtype, load_8bit)
    one = conversation_mb(model, dtype)
    tokens = f" of {model['context_tokens']} tokens" if model.get("shape") and model.get("context_tokens") else ""
    layers = (model.get("shape") or {}).get("layers", LAYERS)
    loading = weights if not load_8bit else min(SHARD_MB, math.ceil(int(model["weights_mb"])))
    talks = f"{conversations} conversation{'s' if conversations != 1 else ''}{tokens}"
    return Need(model["name"], weights, math.ceil(weights / layers), one * conversations, loading, held, talks)


def cap_of(need: Need, gpus: int) -> int:
    """Return the whole GiB, as MiB, of weights that each of some GPUs must be allowed to take.

    Two layers more than an even share: layers are not cut, and accelerate keeps room for one on the first GPU.
    """
    return math.ceil((need.weights_mb / gpus + 2 * need.layer_mb) / 1024) * 1024


def gpu_mb(need: Need, gpus: int, cap_mb: int = 0) -> int:
    """Return the MiB that the fullest of some GPUs needs; ``cap_mb`` is --max-gpu-memory, 0 for what cap_of says.

    Spread, each GPU holds at most the cap of weights, and the cache of the layers that it holds.
    """
    if gpus == 1:
        return need.weights_mb + need.cache_mb + RUNNING_MB
    held = min(cap_mb or cap_of(need, gpus), need.weights_mb)
    return math.ceil(held * (1 + need.cache_mb / need.weights_mb)) + RUNNING_MB


def holds(need: Need, card_mb: int, gpus: int, cap_mb: int = 0) -> bool:
    """Return whether some GPUs of one size hold an instance."""
    if gpus > 1 and cap_mb and gpus * cap_mb < need.weights_mb + 2 * need.layer_mb:
        return False
    return gpu_mb(need, gpus, cap_mb) <= card_mb


def fewest(need: Need, card_mb: int, most: int, cap_mb: int = 0, load_8bit: bool = False) -> int:
    """Return the fewest GPUs of one size, of SPREADS and at most some, that hold an instance; 0 when none do."""
    tried = [1] if load_8bit else SPREADS  # FastChat spreads no 8-bit weights: it warns, and loads them in 16
    return next((gpus for gpus in tried if gpus <= most and holds(need, card_mb, gpus, cap_mb)), 0)


def cpu_mb(need: Need) -> int:
    """Return the MiB of the host's memory that an instance on a CPU needs."""
    return need.weights_mb + need.cache_mb + PROCESS_MB


def gpu_host_mb(need: Need, gpus: int) -> int:
    """Return the MiB of the host's memory that an instance on GPUs needs while it loads.

    One GPU gets a model that was built in the host's memory before; several are filled shard by shard.
    """
    return math.ceil((need.loading_mb if gpus == 1 else min(need.loading_mb, SHARD_MB)) * 1.1) + PROCESS_MB


def sum_in_words(need: Need, device: str) -> str:
    """Return the terms of the arithmetic."""
    last = f"{RUNNING_MB} to run" if device == "cuda" else f"{PROCESS_MB} for the process"
    return f"{need.weights_mb} MiB of weights in {need.held} + {need.cache_mb} for {need.talks} + {last}"

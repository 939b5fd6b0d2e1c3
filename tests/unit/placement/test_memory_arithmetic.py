"""The memory that a worker needs is computed from the descriptions of the models."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.needs import (
    cap_of,
    fewest,
    gpu_mb,
    memory_need,
    spread_cap_mb,
)

from tests.support.plans import V100_16, host, model, plan


def test_the_arithmetic_is_that_of_the_facts():
    seven = memory_need(model("vicuna-7b-v1.5"), "float16", False, 1)
    # 6.74e9 parameters of two bytes; 32 layers of 4096 keys and values each: half a MiB a token
    assert (seven.weights_mb, seven.cache_mb) == (12853, 2048)
    assert gpu_mb(seven, 1) == 12853 + 2048 + 1024
    assert memory_need(model("vicuna-7b-v1.5"), "float32", False, 1)[1:4] == (25706, 804, 4096)
    eight = memory_need(model("vicuna-7b-v1.5"), "float16", True, 1)
    assert 12853 / 2 < eight.weights_mb < 12853 / 2 * 1.05  # half, what stays, and the scales
    small = memory_need(model("smollm2-demo"), "float16", False, 1)
    assert small.cache_mb == 180  # its keys are narrower than its layers: 2 x 30 x 192 x 2 bytes x 8192
    # 33B: too much for two of 85 % of 32480 MiB, and four hold it with what each holds of the cache
    big = memory_need(model("vicuna-33b-v1.3"), "float16", False, 2)
    assert big.weights_mb > 2 * 0.85 * 32480 and fewest(big, 32480, 8) == 4
    assert fewest(big, 32480, 2) == fewest(big, 32480, 8, load_8bit=True) == 0


def test_a_spread_model_is_told_to_lie_evenly_with_room_for_whole_layers():
    """Untold, FastChat fills the first GPU to 85 %: 7B would lie on one of two cards of 16 GB, without its cache."""
    (first, *_rest) = plan("vicuna-7b-v1.5", gpus=host(V100_16))["instances"]
    need = memory_need(model("vicuna-7b-v1.5"), "float16", False, 2)
    cap = spread_cap_mb(first["max_gpu_memory"])
    assert first["max_gpu_memory"] == "8GiB" and cap == cap_of(need, 2)
    assert 2 * (cap - need.layer_mb) >= need.weights_mb
    assert cap + need.cache_mb * cap / need.weights_mb + 1024 <= 16384


@pytest.mark.parametrize(
    ("words", "size"),
    [("13GiB", 13 * 1024), ("13 GB", 12397), ("900MiB", 900), ("13", None), ("13G", None), ("", None), ("x", None)],
)
def test_words_for_memory_are_accelerate_s(words, size):
    assert spread_cap_mb(words) == size

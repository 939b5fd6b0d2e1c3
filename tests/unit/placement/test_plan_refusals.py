"""A plan that can not run on a host is refused with the arithmetic and with what helps."""

import itertools

import pytest

from tests.support.plans import MODELS, V100_16, host, plan

REFUSED = [
    (
        ("vicuna-33b-v1.3",),
        host(count=1),
        {},
        ["needs 69309 MiB on 1 GPU", "62045 MiB of weights in float16 (32528943616 parameters x 2 bytes)",
         "6240 for 2 conversations of 2048 tokens", "1 x Tesla V100-SXM2-32GB with 32480 MiB", "4 of these GPUs"],
    ),
    (("vicuna-33b-v1.3",), host(count=2), {}, ["or 38215 MiB on each of 2", "2 x Tesla V100-SXM2-32GB"]),
    (
        ("vicuna-7b-v1.5",),
        host(V100_16, 1),
        {},
        ["needs 17973 MiB on 1 GPU", "with 16384 MiB", "Set fastchat_worker_load_8bit, set fastchat_worker_conv"],
    ),
    (("vicuna-13b-v1.1",), host(V100_16, 1), {}, ["Set fastchat_worker_load_8bit and fastchat_worker_conversations"]),
    (("vicuna-33b-v1.3",), None, {"num_gpus": 2}, ["38215 MiB on each of 2", "Set fastchat_worker_num_gpus to 0"]),
    (("vicuna-7b-v1.5",), host(count=4), {"num_gpus": 8}, ["is to take 8 GPUs", "32480 MiB each: set it to 0"]),
    (("vicuna-33b-v1.3",), None, {"max_gpu_memory": "10GiB", "num_gpus": 4}, ["lets 10GiB of weights on each"]),
    (("vicuna-13b-v1.5",), None, {"dtype": "float32", "num_gpus": 1}, ["leave fastchat_worker_dtype empty"]),
    (("vicuna-7b-v1.5",), None, {"dtype": "int4"}, ["fastchat_worker_dtype is 'int4', wanted empty or one of float32"]),
    (("vicuna-7b-v1.5",), None, {"device": "tpu"}, ["fastchat_worker_device is 'tpu', wanted cuda or cpu"]),
    (("vicuna-7b-v1.5",), None, {"load_8bit": True, "num_gpus": 2}, ["FastChat spreads no 8-bit weights"]),
    (("vicuna-7b-v1.5",), None, {"max_gpu_memory": "13"}, ["fastchat_worker_max_gpu_memory is '13', wanted such as"]),
    (("vicuna-7b-v1.5",), None, {"memory_limit": "lots"}, ["fastchat_worker_memory_limit is 'lots'"]),
    (("vicuna-7b-v1.5",), None, {"shares": {"vicuna-13b-v1.5": 1}}, ["fastchat_worker_shares names vicuna-13b-v1.5"]),
    (
        ("vicuna-7b-v1.5", "vicuna-33b-v1.3"),
        None,
        {"shares": {"vicuna-7b-v1.5": 6}},
        ["6 x vicuna-7b-v1.5 on 1 and 1 x vicuna-33b-v1.3 on 4 take 10 GPUs and this host has 8 x"],
    ),
    (("vicuna-7b-v1.5",), None, {"memory_mb": 8000}, ["while it loads, this host has 8000"]),
    (
        ("vicuna-7b-v1.5",),
        host(count=0),
        {"device": "cpu", "memory_mb": 20000},
        ["Workers need 34898 MiB", "25706 MiB of weights in float32", "dtype to bfloat16", "this host has 20000"],
    ),
    (("vicuna-7b-v1.5",), host(count=0), {}, ["No GPU is seen"]),
    (("vicuna-7b-v1.5",), {**host(count=0), "fault": "the driver is broken: mend it."}, {}, ["The driver is broken"]),
]  # fmt: skip


@pytest.mark.parametrize(("names", "gpus", "said", "words"), REFUSED)
def test_what_can_not_be_is_refused_with_the_arithmetic(names, gpus, said, words):
    result = plan(*names, gpus=gpus, **said)
    assert result["instances"] == [] and len(result["faults"]) == 1
    (fault,) = result["faults"]
    for word in words:
        assert word in fault, fault
    assert fault.endswith(".") and "\n" not in fault


def test_every_way_out_that_is_told_is_one():
    fixes = {
        "set fastchat_worker_load_8bit and fastchat_worker_conversations to 1": {"load_8bit": True, "conversations": 1},
        "set fastchat_worker_load_8bit": {"load_8bit": True},
        "set fastchat_worker_conversations to 1": {"conversations": 1},
        "set fastchat_worker_dtype to bfloat16": {"dtype": "bfloat16"},
        "leave fastchat_worker_dtype empty": {"dtype": ""},
        "set fastchat_worker_num_gpus to 0 (computed)": {"num_gpus": 0},
        "leave fastchat_worker_max_gpu_memory empty": {"max_gpu_memory": ""},
    }
    tried = 0
    asked = [{}, {"num_gpus": 1}, {"dtype": "float32"}, {"num_gpus": 4, "max_gpu_memory": "10GiB"}]
    asked += [{"device": "cpu", "memory_mb": size} for size in (9000, 20000, 32000)]
    for path, said, count in itertools.product(sorted(MODELS.glob("vicuna-*.yml")), asked, (1, 4)):
        gpus = host(V100_16, count)
        for fault in plan(path.stem, gpus=gpus, **said)["faults"]:
            told = fault.rpartition(". ")[2].rstrip(".")
            ways = [part.removeprefix("or ") for part in (told[:1].lower() + told[1:]).split(", ")]
            for way in ways:
                if way in fixes:
                    tried += 1
                    first = {"num_gpus": 0} if "set it to 0 (computed)" in fault else {}
                    better = {**said, **first, **fixes[way]}
                    assert plan(path.stem, gpus=gpus, **better)["faults"] == [], (path.stem, better)
    assert tried > 10

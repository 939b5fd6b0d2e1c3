"""vLLM can serve instead of transformers: its command line, and its refusals in one sentence."""

import re

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.stacks import stacks_read
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.stacks import newest_first
from ansible_collections.fastchat.fleet.plugins.module_utils.workers.vllm import (
    backend_faults,
    backend_of,
    memory_mb,
    vllm_command,
)

from testbed.paths import CLONE

STACKS = {stack["name"]: stack for stack in stacks_read(str(CLONE / "files" / "stacks"))}
VLLM = STACKS["v100-vllm062"]
COMMON = {
    "host": "10.1.2.3",
    "port": 21003,
    "worker-address": "http://gpu01:21003",
    "controller-address": "http://ctl01:21001",
    "model-path": "/srv/fastchat/models/vicuna-7b-v1.5/current",
    "model-names": "vicuna-7b-v1.5",
    "limit-worker-concurrency": 64,
    "conv-template": "vicuna_v1.1",
}
V100 = {"name": "Tesla V100-SXM2-32GB", "compute_capability": "7.0", "memory_mb": 32768}


def one(**changes):
    standing = {"index": 0, "device": "cuda", "num_gpus": 1, "gpus": [0], "load_8bit": False, "dtype": ""}
    return {**standing, "max_gpu_memory": "", **changes}


def test_a_stack_that_says_vllm_has_it_locked_and_no_other_has():
    for stack in STACKS.values():
        lock = (CLONE / "files" / "locks" / f"{stack['lock']}.txt").read_text()
        assert bool(re.search(r"^vllm==0\.6\.2\s", lock, re.MULTILINE)) == (backend_of(stack) == "vllm"), stack["name"]


def test_auto_never_chooses_it():
    assert VLLM in STACKS.values()
    assert "vllm" not in {backend_of(stack) for stack in newest_first(list(STACKS.values()), {"gpus": 1})}


def test_the_command_line_has_vllm_s_options_and_none_of_transformers():
    said = vllm_command(COMMON, one(num_gpus=4))
    assert said[:2] == ["-m", "fastchat.serve.vllm_worker"]
    assert {"--num-gpus=4", "--dtype=float16", "--trust_remote_code", "--disable-log-requests"} <= set(said)
    assert "--conv-template=vicuna_v1.1" in said and "--model-names=vicuna-7b-v1.5" in said
    assert not [word for word in said if re.match("--(device|load-8bit|max-gpu-memory|gpu_memory)", word)]
    assert vllm_command({**COMMON, "conv-template": ""}, one())[-1] == "--disable-log-requests"
    assert "--dtype=bfloat16" in vllm_command(COMMON, one(dtype="bfloat16"))


@pytest.mark.parametrize(
    ("text", "share"), [("20GiB", "0.62"), ("16384MiB", "0.5"), ("29.5GiB", "0.92"), ("32GiB", "1.0")]
)
def test_a_limit_of_memory_becomes_a_share_of_the_card_and_never_more(text, share):
    said = vllm_command(COMMON, one(max_gpu_memory=text), V100["memory_mb"])
    assert f"--gpu_memory_utilization={share}" in said
    assert float(share) * V100["memory_mb"] <= memory_mb(text)


@pytest.mark.parametrize(
    ("instance", "card", "words"),
    [
        (one(device="cpu"), V100, "is to run on cpu, stack v100-vllm062 serves by vLLM, which needs a GPU"),
        (one(load_8bit=True), V100, "is to load in 8 bit, which vLLM does not do"),
        (one(num_gpus=3), V100, "is to use 3 GPUs, vLLM shares out attention heads and wants 1, 2, 4"),
        (one(max_gpu_memory="20 GB"), V100, "max_gpu_memory is '20 GB', wanted such as 20GiB"),
        (one(), {"name": "Tesla P100", "compute_capability": "6.0"}, "has compute capability 6.0, vLLM wants 7.0"),
        (one(dtype="bfloat16"), V100, "has compute capability 7.0, bfloat16 needs 8.0: use float16"),
    ],
)
def test_what_vllm_does_not_do_is_one_sentence(instance, card, words):
    (said,) = backend_faults(VLLM, [instance], [card])
    assert words in said and said.endswith(".") and said.startswith("worker 0")
    assert backend_faults(STACKS["v100-torch210"], [instance], [card]) == []


def test_what_it_does_is_not_refused():
    a100 = {"name": "A100", "compute_capability": "8.0"}
    assert backend_faults(VLLM, [one(), one(index=1, num_gpus=4, gpus=[0, 0, 0, 0])], [V100]) == []
    assert backend_faults(VLLM, [one(dtype="bfloat16"), one(max_gpu_memory="20GiB")], [a100]) == []
    assert backend_faults(VLLM, [one(gpus=[7])], [{"name": "?", "compute_capability": ""}]) == []


def test_a_package_that_the_lock_leaves_out_on_purpose_is_not_there():
    text = (CLONE / "files" / "locks" / "v100-vllm062.txt").read_text()
    left_out = (CLONE / "files" / "locks" / "v100-vllm062.overrides").read_text()
    assert "pyairports" in left_out and not re.search("^pyairports", text, re.MULTILINE)
    assert yaml.safe_load((CLONE / "files" / "locks" / "inputs.yml").read_text())["v100-vllm062"]

"""Planned instances become units and the plan of the probe."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.workers.commands import worker_command
from ansible_collections.fastchat.fleet.plugins.module_utils.workers.units import worker_units, workers_asked
from ansible_collections.fastchat.fleet.plugins.module_utils.workers.vllm import backend_faults

PLANNED = {
    "index": 4, "model": "vicuna-33b-v1.3", "port": 21006, "gpus": [4, 5, 6, 7], "num_gpus": 4, "device": "cuda",
    "max_gpu_memory": "17GiB", "load_8bit": False, "dtype": "", "memory_limit": "128G", "cpus": "0 1",
}  # fmt: skip
SETTINGS = {
    "fschat": "0.2.36", "host": "10.1.2.3", "address": "gpu01", "controller": "http://ctl01:21001", "concurrency": 5,
    "heartbeat": 45, "drain": 300, "leave": ["services.worker.leave"], "backend": "transformers",
    "cards": [{"memory_mb": 32510}] * 8,
}  # fmt: skip
MODELS = {"vicuna-33b-v1.3": {"conv_template": "vicuna_v1.1"}}


def test_a_unit_has_its_gpus_its_port_and_its_way_to_leave():
    (unit,) = worker_units([PLANNED], MODELS, SETTINGS)
    assert unit["name"] == "worker@4" and unit["cpus"] == "0 1" and unit["memory_limit"] == "128G"
    assert unit["environment"]["CUDA_VISIBLE_DEVICES"] == "4,5,6,7"
    assert unit["environment"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert {"--port=21006", "--num-gpus=4", "--max-gpu-memory=17GiB"} <= set(unit["command"])
    assert unit["stop"][-1] == "--drain=300" and unit["stopped"][-1] == "--gone" and unit["stop_seconds"] == 330
    assert all("http://gpu01:21006" in gate["body"]["worker"] for gate in unit["gates"] if "body" in gate)
    asked = workers_asked([PLANNED], SETTINGS)["workers"]["fastchat-worker@4"]
    assert (asked["url"], asked["concurrency"]) == ("http://gpu01:21006", 5)


@pytest.mark.parametrize(
    ("fschat", "there", "absent"),
    [
        ("0.2.15", "--limit-model-concurrency=5", "--conv-template"),
        ("0.2.36", "--limit-worker-concurrency=5", "--limit-model"),
    ],
)
def test_each_version_of_fastchat_gets_the_options_that_it_has(fschat, there, absent):
    said = worker_command({**PLANNED, "dtype": "bfloat16"}, "vicuna_v1.1", {**SETTINGS, "fschat": fschat})
    assert there in said and not any(word.startswith(absent) for word in said)
    assert ("--dtype=bfloat16" in said) is (fschat == "0.2.36")


def test_a_stack_of_vllm_runs_its_worker_and_is_refused_what_vllm_does_not_do():
    said = worker_command(PLANNED, "vicuna_v1.1", {**SETTINGS, "backend": "vllm"})
    assert said[:2] == ["-m", "fastchat.serve.vllm_worker"] and "--num-gpus=4" in said
    assert "--gpu_memory_utilization=0.53" in said and not any(word.startswith("--device") for word in said)
    stack = {"name": "v", "backend": "vllm"}
    assert "8 bit" in backend_faults(stack, [{**PLANNED, "load_8bit": True}], SETTINGS["cards"])[0]

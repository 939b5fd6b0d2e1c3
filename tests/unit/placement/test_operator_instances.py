"""The workers that an operator lists are checked and used as they are."""

import pytest

from tests.support.plans import placed, plan


def test_an_operator_s_list_is_taken():
    listed = [
        {"gpus": [6, 7], "model": "vicuna-13b-v1.5", "port": 21050, "memory_limit": "64G"},
        {"gpus": [1], "index": 5, "dtype": "float16", "cpus": "0 1"},
        {"gpus": [1], "index": 6, "load_8bit": True},
    ]
    result = plan("vicuna-7b-v1.5", "vicuna-13b-v1.5", instances=listed)
    assert placed(result) == {0: ("vicuna-13b-v1.5", [6, 7]), 5: ("vicuna-7b-v1.5", [1]), 6: ("vicuna-7b-v1.5", [1])}
    first, second, third = result["instances"]
    assert (first["port"], first["num_gpus"], first["memory_limit"]) == (21050, 2, "64G")
    assert (second["port"], second["cpus"], second["load_8bit"], third["load_8bit"]) == (21007, "0 1", False, True)


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([{"gpus": [8]}], "names GPU 8, this host has 8"),
        ([{"gpus": []}], "[0].gpus is missing"),
        ([{"gpus": "0"}], "[0].gpus is '0', wanted a list"),
        ([{"gpus": [0, 0]}], "name each of them once"),
        ([{"gpus": [0], "num_gpus": 2}], "spreads over 2 GPUs and names GPU 0"),
        ([{"gpus": [0, 1], "load_8bit": True}], "spreads no 8-bit weights"),
        ([{"gpus": [0], "device": "cpu"}], "wanted none on a CPU"),
        ([{"gpus": [0], "model": "vicuna-33b-v1.3"}], "wanted one of fastchat_models: vicuna-13b-v1.5"),
        ([{"gpus": [0], "modle": "x"}], "[0].modle is unknown, there are cpus, device,"),
        ([{"gpus": [0], "dtype": "int8"}], "[0].dtype is 'int8'"),
        ([{"gpus": [0, 1], "max_gpu_memory": "lots"}], "[0].max_gpu_memory is 'lots'"),
        (["GPU 0"], "[0] is 'GPU 0', wanted a mapping such as {model: vicuna-13b-v1.5"),
        ([{"gpus": [0]}, {"gpus": [1], "index": 0, "port": 1}], "has index 0 twice"),
        ([{"gpus": [0]}, {"gpus": [1], "port": 21002}], "has port 21002 twice"),
        ([{"gpus": [0]}, {"gpus": [0]}], "puts 64500 MiB on GPU 0 (32250 of vicuna-13b-v1.5 + 32250 of"),
    ],
)
def test_an_operator_s_list_is_checked(listed, words):
    result = plan("vicuna-13b-v1.5", instances=listed)
    assert result["instances"] == [] and len(result["faults"]) == 1
    assert words in result["faults"][0]

"""Plans are made from recorded outputs of nvidia-smi and from the descriptions of the models."""

import json

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import FIRST_PORT
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

from tests.support.plans import HOST_MB, V100_16, V100_32, host, placed, plan, wish


@pytest.mark.parametrize(
    ("name", "recording", "said", "each"),
    [
        ("vicuna-7b-v1.1", V100_32, {}, 1),
        ("vicuna-7b-v1.5", V100_32, {}, 1),
        ("vicuna-13b-v1.1", V100_32, {}, 1),
        ("vicuna-13b-v1.5", V100_32, {}, 1),
        ("vicuna-13b-v1.5-16k", V100_32, {}, 2),
        ("vicuna-33b-v1.3", V100_32, {}, 4),
        ("vicuna-33b-v1.3", "a100-sxm4-40gb_535.129.03.txt", {}, 2),
        ("vicuna-7b-v1.1", V100_16, {}, 1),
        ("vicuna-7b-v1.5", V100_16, {}, 2),
        ("vicuna-7b-v1.5", V100_16, {"load_8bit": True}, 1),
        ("vicuna-7b-v1.5", V100_16, {"conversations": 1}, 1),
        ("vicuna-7b-v1.5", V100_16, {"num_gpus": 8}, 8),
        ("vicuna-7b-v1.1", V100_32, {"dtype": "float32"}, 1),
        ("vicuna-13b-v1.1", V100_32, {"dtype": "float32"}, 2),
        ("vicuna-33b-v1.3", V100_32, {"max_gpu_memory": "13GiB"}, 8),
    ],
)
def test_as_many_gpus_as_a_model_needs_and_all_of_a_host_are_used(name, recording, said, each):
    result = plan(name, gpus=host(recording), **said)
    found = placed(result)
    assert list(found) == list(range(0, 8, each))
    assert all(gpus == list(range(index, index + each)) for index, (_model, gpus) in found.items())
    for instance in result["instances"]:
        assert instance["num_gpus"] == each and instance["port"] == FIRST_PORT + instance["index"]
        assert bool(instance["max_gpu_memory"]) == (each > 1)


def test_the_same_facts_and_wish_give_the_same_plan():
    names, shares = ["vicuna-7b-v1.5", "vicuna-33b-v1.3", "vicuna-13b-v1.5"], {"vicuna-7b-v1.5": 2}
    first = plan(*names, shares=shares)
    gpus, asked = host(), wish(*names, shares=shares)
    before = json.dumps([gpus, asked], sort_keys=True)
    for _time in range(3):
        assert placement_plan(gpus, asked) == first
    assert json.dumps([gpus, asked], sort_keys=True) == before, "it changed what it was given"


def test_models_share_a_host_by_number_or_evenly():
    found = placed(plan("vicuna-7b-v1.5", "vicuna-13b-v1.5"))
    assert [name for name, _gpus in found.values()] == ["vicuna-7b-v1.5"] * 4 + ["vicuna-13b-v1.5"] * 4
    found = placed(plan("vicuna-33b-v1.3", "vicuna-7b-v1.5"))
    assert found[0] == ("vicuna-33b-v1.3", [0, 1, 2, 3]) and list(found) == [0, 4, 5, 6, 7]
    asked = {"vicuna-7b-v1.5": 2, "vicuna-33b-v1.3": 1}
    result = plan("vicuna-7b-v1.5", "vicuna-33b-v1.3", shares=asked)
    # Not on GPUs 2 to 5: four of one side
    assert placed(result) == {
        0: ("vicuna-7b-v1.5", [0]),
        1: ("vicuna-7b-v1.5", [1]),
        4: ("vicuna-33b-v1.3", [4, 5, 6, 7]),
    }
    assert "GPUs 2,3 idle: no other instance was asked for, or fits." in result["words"]


def test_a_model_that_is_added_moves_none_whose_number_is_said():
    shares = {"vicuna-7b-v1.5": 3, "vicuna-13b-v1.5": 1}
    before = placed(plan("vicuna-7b-v1.5", "vicuna-13b-v1.5", shares=shares))
    after = placed(plan("vicuna-7b-v1.5", "vicuna-13b-v1.5", "vicuna-33b-v1.3", shares=shares))
    assert before.items() < after.items() and after[4] == ("vicuna-33b-v1.3", [4, 5, 6, 7])
    # also when one before them has none said
    mixed = placed(plan("vicuna-7b-v1.3", "vicuna-7b-v1.5", shares={"vicuna-7b-v1.5": 3}))
    more = placed(plan("vicuna-7b-v1.3", "vicuna-7b-v1.5", "vicuna-13b-v1.5", shares={"vicuna-7b-v1.5": 3}))
    kept = {index: one for index, one in mixed.items() if one[0] == "vicuna-7b-v1.5"}
    assert kept.items() <= more.items() and len(kept) == 3


BROKEN = {
    "ecc_uncorrected": {"volatile": 4, "aggregate": 4},
    "retired_pages": {"single_bit": 0, "double_bit": 1, "pending": True},
    "remapped_rows": {"correctable": 0, "uncorrectable": 1, "pending": False, "failed": True},
    "mig_mode": True,
}


@pytest.mark.parametrize("key", BROKEN)
def test_a_gpu_that_is_not_well_is_named_and_left_out_and_no_other_unit_is_renamed(key):
    gpus, whole = host(), placed(plan("vicuna-7b-v1.5"))
    gpus["gpus"][3][key] = BROKEN[key]
    result = plan("vicuna-7b-v1.5", gpus=gpus)
    assert placed(result) == {index: one for index, one in whole.items() if index != 3}
    assert [word for word in result["words"] if word.startswith("GPU 3 is left out: GPU ")]
    # The spread one loses its side, the other side keeps its name.
    assert placed(plan("vicuna-33b-v1.3", gpus=gpus)) == {4: ("vicuna-33b-v1.3", [4, 5, 6, 7])}
    # An operator's list that names it is refused by its address, one that does not is taken.
    bus = gpus["gpus"][3]["bus"]
    (fault,) = plan("vicuna-7b-v1.5", gpus=gpus, instances=[{"gpus": [3]}])["faults"]
    assert fault.startswith(f"fastchat_worker_instances[0].gpus names GPU 3, not fit to serve. GPU {bus} ")
    assert placed(plan("vicuna-7b-v1.5", gpus=gpus, instances=[{"gpus": [2]}])) == {0: ("vicuna-7b-v1.5", [2])}
    for card in gpus["gpus"]:
        card[key] = BROKEN[key]
    (fault,) = plan("vicuna-7b-v1.5", gpus=gpus)["faults"]
    assert "No GPU of this host is fit" in fault


def test_cpus_are_those_beside_the_gpus_and_one_by_one():
    one, *_rest, last = plan("vicuna-7b-v1.5")["instances"]
    assert one["cpus"].split() == [str(cpu) for cpu in [*range(12), *range(24, 36)]]
    assert last["cpus"].split() == [str(cpu) for cpu in [*range(12, 24), *range(36, 48)]]
    (both,) = plan("vicuna-7b-v1.5", num_gpus=8)["instances"]
    assert both["cpus"] == ""  # on both sides
    assert plan("vicuna-7b-v1.5", gpus=host(topo=""))["instances"][0]["cpus"] == ""


def test_a_cpu_host_has_one_of_each_model():
    result = plan("smollm2-demo", "smollm2-mha-alpaca-demo", gpus=host(count=0), device="cpu", memory_mb=8000)
    assert placed(result) == {0: ("smollm2-demo", []), 1: ("smollm2-mha-alpaca-demo", [])}
    assert [(one["device"], one["port"]) for one in result["instances"]] == [("cpu", 21002), ("cpu", 21003)]
    assert plan("vicuna-7b-v1.5", gpus=host(count=0), device="cpu", memory_mb=20000, dtype="bfloat16")["faults"] == []


def test_a_limit_on_memory_lets_a_worker_load_and_is_none_where_it_would_not_bite():
    limits = {
        memory: plan("vicuna-7b-v1.5", memory_mb=memory)["instances"][0]["memory_limit"]
        for memory in (0, 20000, HOST_MB)
    }
    assert limits == {0: "29802M", 20000: "infinity", HOST_MB: "29802M"}
    assert plan("vicuna-7b-v1.5", memory_limit="48G")["instances"][0]["memory_limit"] == "48G"


def test_eight_that_load_at_once_are_a_word_and_no_fault():
    result = plan("vicuna-7b-v1.5", memory_mb=64000)
    assert len(result["instances"]) == 8 and "loading at once take 121112 MiB" in result["words"][-1]
    assert "at once" not in plan("vicuna-7b-v1.5")["words"][-1]


def test_a_card_whose_memory_nobody_knows_gets_no_worker():
    gpus = host(count=2)
    gpus["gpus"][0]["memory_mb"] = None
    result = plan("vicuna-7b-v1.5", gpus=gpus)
    assert placed(result) == {1: ("vicuna-7b-v1.5", [1])}
    assert "nvidia-smi can not read its total memory (empty)" in result["words"][0]
    (fault,) = plan("vicuna-7b-v1.5", gpus={**gpus, "gpus": gpus["gpus"][:1]})["faults"]
    assert fault.startswith(f"No GPU of this host is fit to serve. GPU {gpus['gpus'][0]['bus']} has a fault:")


def test_a_model_without_a_shape_is_planned_by_its_size_alone():
    plain = {"name": "mine", "weights_mb": 12853}
    result = placement_plan(host(V100_16), {"models": [plain], "memory_mb": 0})
    assert len(result["instances"]) == 8
    assert result["words"][0].startswith(
        "mine: 12853 MiB of weights in float16 (12853 MiB in float16) + 2048 for 2 conv"
    )


def test_the_words_name_unit_model_gpus_port_and_memory():
    words = plan("vicuna-7b-v1.1")["words"]
    assert words[1] == "fastchat-worker@0: vicuna-7b-v1.1, GPU 0, port 21002, 15925 of 32480 MiB"
    assert len(words) == 9


def test_what_jinja_and_the_command_line_hand_on_as_text_is_understood():
    typed = plan("vicuna-33b-v1.3", num_gpus=4, port=21010, conversations=1)
    assert plan("vicuna-33b-v1.3", num_gpus="4", port="21010", conversations="1") == typed
    off = plan("vicuna-7b-v1.5", load_8bit="false")["instances"][0]
    assert off["load_8bit"] is False and plan("vicuna-7b-v1.5", load_8bit="yes")["instances"][0]["load_8bit"] is True

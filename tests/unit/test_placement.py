"""Plans from what nvidia-smi said on real machines, and from the models as they are described."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fastchat.fleet.plugins.filter.models import models_faults
from ansible_collections.fastchat.fleet.plugins.filter.placement import (
    SPEC,
    models_here,
    models_of,
    models_room,
    placement_options,
    placement_wish,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import affinity_of, facts_of, gather
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import FIRST_PORT
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.needs import (
    CONVERSATIONS,
    cap_of,
    fewest,
    gpu_mb,
    need_of,
    spread_cap_mb,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "files" / "models"
RECORDED = Path(__file__).parent / "fixtures" / "nvidia-smi"
V100_32, V100_16 = "v100-sxm2-32gb_418.67.txt", "v100-sxm2-16gb-x8_550.127.05.txt"
BIG = 515000


def model(name):
    return yaml.safe_load((MODELS / f"{name}.yml").read_text())


def host(recording=V100_32, count=8, topo="topo_v100-sxm2-x8_440.33.01.txt"):
    """Return what gpu_facts says of a host with some GPUs, each as the recording's first."""
    card = facts_of((RECORDED / recording).read_text())["gpus"][0]
    beside = affinity_of((RECORDED / topo).read_text()) if topo else {}
    absent = {"cpus": None, "numa_node": None}
    cards = [{**copy.deepcopy(card), **beside.get(f"GPU{index}", absent)} for index in range(count)]
    return {"count": count, "gpus": cards, "fault": "", "hint": ""}


def wish(*names, memory_mb=BIG, **said):
    variables = {"fastchat_models": list(names), **{f"fastchat_worker_{key}": value for key, value in said.items()}}
    return placement_wish(variables, str(MODELS), memory_mb)


def plan(*names, gpus=None, **said):
    return placement_plan(host() if gpus is None else gpus, wish(*names, **said))


def placed(result):
    """Return {index: (model, GPUs)} of a plan without a fault."""
    assert result["faults"] == []
    return {instance["index"]: (instance["model"], instance["gpus"]) for instance in result["instances"]}


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


def test_the_arithmetic_is_that_of_the_facts():
    seven = need_of(model("vicuna-7b-v1.5"), "float16", False, 1)
    # 6.74e9 parameters of two bytes; 32 layers of 4096 keys and values each: half a MiB a token
    assert (seven.weights_mb, seven.cache_mb) == (12853, 2048)
    assert gpu_mb(seven, 1) == 12853 + 2048 + 1024
    assert need_of(model("vicuna-7b-v1.5"), "float32", False, 1)[1:4] == (25706, 804, 4096)
    eight = need_of(model("vicuna-7b-v1.5"), "float16", True, 1)
    assert 12853 / 2 < eight.weights_mb < 12853 / 2 * 1.05  # half, what stays, and the scales
    small = need_of(model("smollm2-demo"), "float16", False, 1)
    assert small.cache_mb == 180  # its keys are narrower than its layers: 2 x 30 x 192 x 2 bytes x 8192
    # 33B: too much for two of 85 % of 32480 MiB, and four hold it with what each holds of the cache
    big = need_of(model("vicuna-33b-v1.3"), "float16", False, 2)
    assert big.weights_mb > 2 * 0.85 * 32480 and fewest(big, 32480, 8) == 4
    assert fewest(big, 32480, 2) == fewest(big, 32480, 8, load_8bit=True) == 0


def test_a_spread_model_is_told_to_lie_evenly_with_room_for_whole_layers():
    """Untold, FastChat fills the first GPU to 85 %: 7B would lie on one of two cards of 16 GB, without its cache."""
    (first, *_rest) = plan("vicuna-7b-v1.5", gpus=host(V100_16))["instances"]
    need = need_of(model("vicuna-7b-v1.5"), "float16", False, 2)
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
    # By the operator's word it serves all the same, except where it is not what nvidia-smi tells.
    listed = plan("vicuna-7b-v1.5", gpus=gpus, instances=[{"gpus": [3]}])
    if key == "mig_mode":
        assert "cut into MIG instances" in listed["faults"][0]
    else:
        assert placed(listed) == {0: ("vicuna-7b-v1.5", [3])}
        assert any(word.startswith("GPU 3 is used as listed") for word in listed["words"])
    for card in gpus["gpus"]:
        card[key] = BROKEN[key]
    (fault,) = plan("vicuna-7b-v1.5", gpus=gpus)["faults"]
    assert "No GPU of this host is fit" in fault


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


def test_cpus_are_those_beside_the_gpus_and_one_by_one():
    one, *_rest, last = plan("vicuna-7b-v1.5")["instances"]
    assert one["cpus"].split() == [str(cpu) for cpu in [*range(12), *range(24, 36)]]
    assert last["cpus"].split() == [str(cpu) for cpu in [*range(12, 24), *range(36, 48)]]
    (both,) = plan("vicuna-7b-v1.5", num_gpus=8)["instances"]
    assert both["cpus"] == ""  # on both sides
    assert plan("vicuna-7b-v1.5", gpus=host(topo=""))["instances"][0]["cpus"] == ""


def test_affinity_of_the_recordings_and_of_new_drivers():
    old = affinity_of((RECORDED / "topo_v100-sxm2-x8_440.33.01.txt").read_text())
    assert old["GPU0"] == {"cpus": "0-11,24-35", "numa_node": None} and old["GPU7"]["cpus"] == "12-23,36-47"
    assert sorted(old) == [f"GPU{index}" for index in range(8)]
    newer = affinity_of((RECORDED / "topo_v100-pcie-x8_470.129.06.txt").read_text())
    assert newer["GPU5"] == {"cpus": "0-17,36-53", "numa_node": 0}
    # The form that drivers from 535 on print, columns padded with tabs; a virtual machine has no node.
    newest = "\t\x1b[4mGPU0\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\nGPU0\t X \tPHB\t0-7\tN/A\t\tN/A\n"
    assert affinity_of(newest) == {"GPU0": {"cpus": "0-7", "numa_node": None}}
    assert affinity_of("") == affinity_of("\tGPU0\nGPU0\t X\n") == {}


def test_one_gpu_alone_is_asked_for_its_cpus_too():
    text = (RECORDED / V100_32).read_text()
    topo = "\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-3\t1\n"

    def ask(command, seconds):
        return {"-q": (0, text), "topo": (0, topo)}.get(command[1], (2, ""))

    facts = gather("/x", ask=ask, root="/nowhere")
    assert (facts["gpus"][0]["cpus"], facts["gpus"][0]["numa_node"], facts["topology"]) == ("0-3", 1, {})


def test_a_cpu_host_has_one_of_each_model():
    result = plan("smollm2-demo", "smollm2-mha-alpaca-demo", gpus=host(count=0), device="cpu", memory_mb=8000)
    assert placed(result) == {0: ("smollm2-demo", []), 1: ("smollm2-mha-alpaca-demo", [])}
    assert [(one["device"], one["port"]) for one in result["instances"]] == [("cpu", 21002), ("cpu", 21003)]
    assert plan("vicuna-7b-v1.5", gpus=host(count=0), device="cpu", memory_mb=20000, dtype="bfloat16")["faults"] == []


def test_a_limit_on_memory_lets_a_worker_load_and_is_none_where_it_would_not_bite():
    limits = {
        memory: plan("vicuna-7b-v1.5", memory_mb=memory)["instances"][0]["memory_limit"] for memory in (0, 20000, BIG)
    }
    assert limits == {0: "29802M", 20000: "infinity", BIG: "29802M"}
    assert plan("vicuna-7b-v1.5", memory_limit="48G")["instances"][0]["memory_limit"] == "48G"


def test_eight_that_load_at_once_are_a_word_and_no_fault():
    result = plan("vicuna-7b-v1.5", memory_mb=64000)
    assert len(result["instances"]) == 8 and "loading at once take 121112 MiB" in result["words"][-1]
    assert "at once" not in plan("vicuna-7b-v1.5")["words"][-1]


def test_without_a_driver_that_is_to_come_there_is_no_plan_and_no_fault():
    asked = placement_wish({"fastchat_model": "vicuna-7b-v1.5", "nvidia_driver_install": "true"}, str(MODELS))
    result = placement_plan(host(count=0), asked)
    assert (result["instances"], result["faults"]) == ([], []) and "once the driver is there" in result["words"][0]


def test_a_card_whose_memory_nobody_knows_gets_one_worker():
    gpus = host(count=1)
    gpus["gpus"][0]["memory_mb"] = None
    result = plan("vicuna-33b-v1.3", gpus=gpus)
    assert placed(result) == {0: ("vicuna-33b-v1.3", [0])} and "of unknown MiB" in result["words"][-1]


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


def test_an_inventory_that_says_nothing_means_the_role_s_defaults():
    role = yaml.safe_load((ROOT / "roles" / "fastchat_worker" / "defaults" / "main.yml").read_text())
    options = yaml.safe_load(SPEC.read_text())["argument_specs"]["main"]["options"]
    names = placement_options("fastchat_worker_")
    assert {name: options[name]["default"] for name in names} == {name: role[name] for name in names}
    silent = placement_wish({"fastchat_model": "vicuna-7b-v1.5"}, str(MODELS))
    asked = {name.removeprefix("fastchat_worker_"): role[name] for name in names}
    assert {name: silent[name] for name in asked} == asked
    # A wish that leaves them out, as a test's, means the same.
    assert (asked["port"], asked["conversations"]) == (FIRST_PORT, CONVERSATIONS)
    assert placement_plan(host(), {"models": silent["models"], "memory_mb": 0}) == placement_plan(host(), silent)


def test_the_role_wishes_by_its_own_values_of_the_same_variables():
    names = placement_options("fastchat_worker_")
    said = {"dtype": "bfloat16", "port": 21010, "instances": [{"gpus": [0]}], "shares": {"smollm2-demo": 2}}
    role = yaml.safe_load((ROOT / "roles" / "fastchat_worker" / "defaults" / "main.yml").read_text())
    role |= yaml.safe_load((ROOT / "roles" / "fastchat_worker" / "vars" / "main.yml").read_text())
    role |= {f"fastchat_worker_{name}": value for name, value in said.items()}
    role |= {"fastchat_model": "smollm2-demo", "fleet_memory_mb": 1, "playbook_dir": str(ROOT / "playbooks")}
    role |= {"fleet_files": str(ROOT / "files")}
    wished = Templar(loader=DataLoader(), variables=role).template("{{ __fastchat_worker_wish }}")
    assert {name: wished[name] for name in said} == said
    assert {f"fastchat_worker_{name}" for name in wished} >= set(names)


def test_one_model_or_several():
    assert models_of({"fastchat_model": "a"}) == models_of({"fastchat_model": "a", "fastchat_models": []}) == ["a"]
    assert models_of({"fastchat_model": "a", "fastchat_models": ["b", "c"]}) == ["b", "c"]


def test_a_builder_has_what_any_worker_serves_and_a_worker_its_own():
    hostvars = {
        "gpu01": {"fastchat_model": "a"},
        "gpu02": {"fastchat_model": "a", "fastchat_models": ["b", "a"]},
        "bld01": {"fastchat_model": "a", "fastchat_models": ["c"]},
        "ctl01": {"fastchat_model": "a"},
    }
    groups = {"workers": ["gpu01", "gpu02"], "builders": ["bld01"], "controllers": ["ctl01"]}
    found = {host: models_here(hostvars, host, groups) for host in hostvars}
    assert found == {"gpu01": ["a"], "gpu02": ["b", "a"], "bld01": ["a", "b"], "ctl01": []}
    assert models_here(hostvars, "gpu01", {"workers": ["gpu01", "gpu02"], "builders": ["gpu01"]}) == ["a", "b"]


def test_room_for_each_model_and_for_its_sources_where_they_are_fetched():
    receives, makes = (models_room(["vicuna-7b-v1.1", "vicuna-7b-v1.5"], str(MODELS), each) for each in (False, True))
    assert [one["disk"]["mb"] for one in receives] == [13495, 13495]
    assert [one["disk"]["mb"] for one in makes] == [
        int(12853 * 3 * 1.05),
        int(12853 * 2 * 1.05),
    ]  # base and delta; whole
    assert makes[1]["disk"]["done"] == "/srv/fastchat/models/vicuna-7b-v1.5/current"


def test_the_faults_of_every_model_that_is_served(tmp_path):
    (tmp_path / "a.yml").write_text("name: b\n")
    (tmp_path / "c.yml").write_text("name: [\n")
    said = models_faults(["a", "c", "gone", "a"], str(tmp_path))
    assert sum("a.name is 'b', wanted 'a'" in fault for fault in said) == 1
    assert sum("c.yml is no YAML" in fault for fault in said) == 1 and not any("gone" in fault for fault in said)

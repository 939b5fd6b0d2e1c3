"""Plans of hosts whose GPUs are those that nvidia-smi was recorded on."""

import copy

import yaml
from ansible_collections.fastchat.fleet.plugins.filter.placement import placement_wish
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import affinity_of, facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

from testbed.paths import CLONE

CAPABILITIES = yaml.safe_load((CLONE / "files" / "gpus.yml").read_text())["capabilities"]
MODELS = CLONE / "files" / "models"
RECORDED = CLONE / "tests" / "unit" / "fixtures" / "nvidia-smi"
V100_32, V100_16 = "v100-sxm2-32gb_418.67.txt", "v100-sxm2-16gb-x8_550.127.05.txt"
HOST_MB = 515000


def model(name):
    return yaml.safe_load((MODELS / f"{name}.yml").read_text())


def host(recording=V100_32, count=8, topo="topo_v100-sxm2-x8_440.33.01.txt"):
    """Return what gpu_facts says of a host with some GPUs, each as the recording's first."""
    card = facts_of((RECORDED / recording).read_text(), CAPABILITIES)["gpus"][0]
    beside = affinity_of((RECORDED / topo).read_text()) if topo else {}
    absent = {"cpus": None, "numa_node": None}
    cards = [{**copy.deepcopy(card), **beside.get(f"GPU{index}", absent)} for index in range(count)]
    return {"count": count, "gpus": cards, "fault": "", "hint": ""}


def wish(*names, memory_mb=HOST_MB, **said):
    variables = {"fastchat_models": list(names), **{f"fastchat_worker_{key}": value for key, value in said.items()}}
    return placement_wish(variables, str(MODELS), memory_mb)


def plan(*names, gpus=None, **said):
    return placement_plan(host() if gpus is None else gpus, wish(*names, **said))


def placed(result):
    """Return {index: (model, GPUs)} of a plan without a fault."""
    assert result["faults"] == []
    return {instance["index"]: (instance["model"], instance["gpus"]) for instance in result["instances"]}

"""Cards that nvidia-smi shows and CUDA does not open, and cards that it warns of and that serve all the same."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import gather
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.health import gpu_notes

from tests.support.plans import CAPABILITIES, RECORDED, V100_16, placed, plan
from tests.support.recordings import added, recorded

EIGHT = recorded(V100_16)
TOPOLOGY = (RECORDED / "topo_v100-sxm2-x8_440.33.01.txt").read_text()
BUS = "00000000:00:07.0"
ALL = {index: ("vicuna-7b-v1.5", [index]) for index in range(8)}
BUT_THREE = {index: one for index, one in ALL.items() if index != 3}


def host(text):
    return {**facts_of(text, CAPABILITIES), "fault": "", "hint": ""}


def served(facts):
    """Return the plan of one worker on each card."""
    return plan("vicuna-7b-v1.5", gpus=facts, load_8bit=True)


def with_lines(*lines):
    return added(EIGHT, 3, ("Minor Number",), *lines)


def left_out(text):
    """Return the words of a plan from which card 3 alone is left out."""
    result = served(host(text))
    assert placed(result) == BUT_THREE
    (left,) = [word for word in result["words"] if "left out" in word]
    assert left.startswith(f"GPU 3 is left out: GPU {BUS} ") and left.endswith(".")
    return left


@pytest.mark.parametrize("first", [True, False])
def test_a_warning_of_one_card_s_inforom_is_no_fault_of_the_host(first):
    """nvidia-smi answers everything, warns in a line of its output, and ends with 14."""
    warning = "WARNING: infoROM is corrupted at gpu 0000:00:07.0\n"

    def ask(command, seconds):
        said = {"-q": EIGHT, "topo": TOPOLOGY}.get(command[1], "\n")
        return 14, warning + said if first else said + warning

    facts = gather("/x", ask=ask, root="/nowhere", capabilities=CAPABILITIES)
    assert (facts["fault"], facts["count"], len(facts["gpus"])) == ("", 8, 8)
    assert facts["topology"]["GPU0"]["GPU1"] == "NV1" and all(gpu["cpus"] for gpu in facts["gpus"])
    assert placed(served(facts)) == ALL
    assert gpu_notes(facts["gpus"]) == [
        f"GPU {BUS} serves and its infoROM is corrupted (nvidia-smi warns of it): it may not remember damaged memory;"
        " have it replaced."
    ]


def test_a_card_that_is_closed_to_programs_is_left_out():
    said = left_out(with_lines("    Compute Mode                          : Prohibited"))
    assert f"is closed to programs (Compute Mode: Prohibited): open it (nvidia-smi -i {BUS} -c DEFAULT)" in said


@pytest.mark.parametrize("mode", ["Exclusive_Process", "E. Process", "Exclusive_Thread"])
def test_a_card_for_one_program_serves_one_worker_and_no_two(mode):
    facts = host(with_lines(f"    Compute Mode                          : {mode}"))
    assert placed(served(facts)) == ALL
    (note,) = gpu_notes(facts["gpus"])
    assert note == (
        f"GPU {BUS} lets in one program at a time (Compute Mode: {mode}): beside its worker no fastchat-chat can run"
        f" there; nvidia-smi -i {BUS} -c DEFAULT lets in both."
    )
    two = [{"gpus": [3], "index": index} for index in (3, 4)]
    (fault,) = plan("smollm2-demo", gpus=facts, instances=two)["faults"]
    assert "puts 2 workers on GPU 3, which lets in one program at a time" in fault and fault.endswith(".")
    assert plan("smollm2-demo", gpus=host(EIGHT), instances=two)["faults"] == []


def test_a_card_for_everybody_is_no_trouble():
    assert gpu_notes(host(with_lines("    Compute Mode                          : Default"))["gpus"]) == []


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        ("In Progress", "N/A", "Fabric State: In Progress"),
        ("Not Started", "N/A", "Fabric State: Not Started"),
        ("Completed", "Insufficient Resources", "Fabric Status: Insufficient Resources"),
    ],
)
def test_a_card_that_has_not_joined_the_fabric_is_left_out(state, status, said):
    """cudaGetDeviceCount says "system not yet initialized" (802) while nvidia-smi looks well."""
    told = left_out(with_lines("    Fabric", f"        State : {state}", f"        Status : {status}"))
    assert f"is not well by its driver ({said}): start nvidia-fabricmanager, of the same version as the driver" in told


@pytest.mark.parametrize(
    "lines",
    [
        ["    Fabric", "        State : Completed", "        Status : Success", "        CliqueId : 0"],
        ["    Fabric", "        State : N/A", "        Status : N/A"],
        ["    Fabric : N/A"],
    ],
)
def test_a_card_that_has_joined_or_needs_no_fabric_is_no_trouble(lines):
    assert placed(served(host(with_lines(*lines)))) == ALL


VIRTUAL = ["    GPU Virtualization Mode", "        Virtualization Mode : {}", "    {} Software Licensed Product",
           "        Product Name : NVIDIA Virtual Compute Server", "        License Status : {}"]  # fmt: skip


@pytest.mark.parametrize("status", ["Unlicensed (Restricted)", "Unlicensed (Unrestricted)", "Unlicensed"])
def test_a_virtual_card_without_a_license_is_left_out(status):
    said = left_out(with_lines(*"\n".join(VIRTUAL).format("VGPU", "vGPU", status).split("\n")))
    assert f"(License Status: {status}): give the virtual GPU its license" in said


@pytest.mark.parametrize(
    ("mode", "status"),
    [("VGPU", "Licensed (Expiry: 2027-11-2 7:54:6 GMT)"), ("Pass-Through", "Unlicensed"), ("None", "N/A")],
)
def test_a_license_that_is_there_or_not_needed_is_no_trouble(mode, status):
    text = with_lines(*"\n".join(VIRTUAL).format(mode, "vGPU", status).split("\n"))
    assert placed(served(host(text))) == ALL
    assert host(text)["gpus"][3]["name"] == "Tesla V100-SXM2-16GB"

"""A card in trouble is named by its address, with what to do, and left out; the others are planned."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.faults import gpu_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import gather
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.health import gpu_notes

from tests.support.plans import CAPABILITIES, V100_16, placed, plan
from tests.support.recordings import added, changed, recorded

EIGHT = recorded(V100_16)
A100 = recorded("a100-sxm4-40gb_535.129.03.txt")
NEW = recorded("v100-pcie-16gb_570.124.06.txt")
BUS = "00000000:00:07.0"
TOTAL = ("FB Memory Usage", "Total")
WORDS = [
    "[Unknown Error]", "Unknown Error", "ERR!", "[ERR!]", "[GPU requires reset]", "GPU requires reset",
    "[Insufficient Permissions]", "Insufficient Permissions", "[GPU is lost]", "GPU is lost", "unknown error",
]  # fmt: skip
NOTHING = ["N/A", "[N/A]", "[Not Supported]", ""]


def gpus_of(text):
    return {**facts_of(text, CAPABILITIES), "fault": "", "hint": ""}


def seven_of(text):
    """Return the words of a plan from which card 3 alone is left out."""
    facts = gpus_of(text)
    result = plan("vicuna-13b-v1.5", gpus=facts)
    assert placed(result) == {4: ("vicuna-13b-v1.5", [4, 5, 6, 7])}
    left = [word for word in result["words"] if "left out" in word]
    assert len(left) == 1 and left[0].startswith(f"GPU 3 is left out: GPU {BUS} "), left
    assert "GPUs 0,1,2 idle: no other instance was asked for, or fits." in result["words"]
    assert any(" of 16384 MiB on each" in word for word in result["words"])
    notes = gpu_notes(facts["gpus"])
    assert notes and all(note in left[0] for note in notes)
    (fault,) = plan("vicuna-13b-v1.5", gpus=facts, instances=[{"gpus": [0, 1, 2, 3]}])["faults"]
    assert f"names GPU 3, not fit to serve. GPU {BUS} " in fault
    assert all(said.endswith(".") and "\n" not in said for said in (left[0], fault))
    return left[0]


@pytest.mark.parametrize("value", WORDS + NOTHING)
@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (TOTAL, "total memory"),
        (("FB Memory Usage", "Used"), "used memory"),
        (("Product Name",), "name"),
        (("GPU UUID",), "UUID"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_every_card_has_and_nvidia_smi_can_not_read(keys, what, value):
    assert f"can not read its {what} ({value or 'empty'}): " in seven_of(changed(EIGHT, 3, keys, value))


@pytest.mark.parametrize("value", [*WORDS, ""])
@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("ECC Mode", "Current"), "ECC mode"),
        (("ECC Errors", "Volatile", "Double Bit", "Total"), "ECC errors"),
        (("ECC Errors", "Aggregate", "Double Bit", "L2 Cache"), "ECC errors"),
        (("Retired Pages", "Double Bit ECC"), "retired pages"),
        (("Retired Pages", "Pending Page Blacklist"), "retired pages"),
        (("Remapped Rows",), "remapped rows"),
        (("MIG Mode", "Current"), "MIG mode"),
    ],
    ids=lambda one: one[-1] if isinstance(one, tuple) else "",
)
def test_what_a_card_may_lack_and_nvidia_smi_can_not_read(keys, what, value):
    assert f"can not read its {what} ({value or 'empty'}): " in seven_of(changed(EIGHT, 3, keys, value))


@pytest.mark.parametrize(
    "keys", [("ECC Errors", "Volatile", "Double Bit", "Total"), ("Retired Pages", "Double Bit ECC")]
)
def test_what_a_card_does_not_have_is_no_trouble(keys):
    for value in ("N/A", "[N/A]", "[Not Supported]"):
        assert gpu_notes(gpus_of(changed(EIGHT, 3, keys, value))["gpus"]) == []


def test_each_form_of_unreadable_says_what_helps():
    helps = {
        "Unknown Error": "look for Xid in the kernel log; reset it or reboot the host",
        "GPU requires reset": f"stop what uses it and reset it (nvidia-smi --gpu-reset -i {BUS}), or reboot the host",
        "Insufficient Permissions": "run as root",
        "GPU is lost": "reboot the host, and have the card, its power and its slot checked",
    }
    for value, remedy in helps.items():
        assert remedy in seven_of(changed(EIGHT, 3, TOTAL, value))


def test_the_status_of_the_fleet_names_it_too():
    text = changed(changed(A100, 1, ("MIG Mode", "Current"), "Enabled"), 1, TOTAL, "ERR!")
    text = added(text, 1, ("Product Name",), "    GPU Recovery Action                   : Reboot")
    who = "gpu01: GPU 1 (00000000:35:00.0)"
    assert gpu_faults("gpu01", gpus_of(text)) == [
        f"{who} has a fault: nvidia-smi can not read its total memory (ERR!): look for Xid in the kernel log; reset it"
        " or reboot the host, and have it replaced if that does not help.",
        f"{who} is not well by its driver (GPU Recovery Action: Reboot): reboot the host.",
        f"{who} is in MIG mode without an instance, and workers use whole GPUs only: end its MIG mode"
        " (nvidia-smi -i 00000000:35:00.0 -mig 0) and reset it.",
    ]
    said = [note.replace("GPU 00000000:35:00.0 ", f"{who} ", 1) for note in gpu_notes(gpus_of(text)["gpus"])]
    assert gpu_faults("gpu01", gpus_of(text)) == said
    assert gpu_faults("gpu01", gpus_of(A100)) == []


def test_a_whole_section_that_can_not_be_read():
    lines = EIGHT.split("\n")
    starts = [number for number, line in enumerate(lines) if line == "    FB Memory Usage"]
    lines[starts[3] : starts[3] + 5] = ["    FB Memory Usage                       : Unknown Error"]
    assert "can not read its total memory (Unknown Error) and used memory (Unknown Error)" in seven_of("\n".join(lines))


def test_a_card_whose_address_can_not_be_read_does_not_hide_another():
    heading = "GPU 00000000:00:07.0\n"
    one = EIGHT.replace(heading, "GPU Unknown Error\n")
    assert placed(plan("vicuna-13b-v1.5", gpus=gpus_of(one)))[0] == ("vicuna-13b-v1.5", [0, 1, 2, 3])  # PCI has it
    for value in ("Unknown Error", "ERR!", "N/A", ""):
        two = changed(changed(EIGHT, 2, ("PCI", "Bus Id"), value), 3, ("PCI", "Bus Id"), value)
        two = two.replace(heading, f"GPU {value or '-'}\n").replace("GPU 00000000:00:06.0\n", f"GPU {value or '-'}\n")
        facts = gpus_of(two)
        result = plan("vicuna-13b-v1.5", gpus=facts)
        assert len(facts["gpus"]) == 8 and placed(result) == {4: ("vicuna-13b-v1.5", [4, 5, 6, 7])}
        assert [word[:5] for word in result["words"] if "its bus address (" in word] == ["GPU 2", "GPU 3"]


def test_a_compute_capability_that_can_not_be_read_is_a_trouble_and_one_that_is_unknown_is_not():
    uuid = facts_of(EIGHT)["gpus"][3]["uuid"]

    def host(said):
        def ask(command, seconds):
            return {"-q": (0, EIGHT), "topo": (1, "")}.get(command[1], (0, f"{uuid}, {said}\n"))

        return gather("/x", ask=ask, root="/nowhere", capabilities=CAPABILITIES)

    for said in WORDS:
        facts = host(said)
        assert [bool(gpu["unreadable"]) for gpu in facts["gpus"]].index(True) == 3
        assert f"compute capability ({said})" in gpu_notes(facts["gpus"])[0]
    for said in ("[N/A]", "[Not Supported]"):
        assert gpu_notes(host(said)["gpus"]) == [] and host(said)["gpus"][3]["compute_capability"] == "7.0"


def test_all_cards_unreadable_is_one_refusal_that_names_each():
    text = EIGHT
    for card in range(8):
        text = changed(text, card, TOTAL, "ERR!")
    result = plan("vicuna-7b-v1.5", gpus=gpus_of(text))
    (fault,) = result["faults"]
    assert fault.startswith("No GPU of this host is fit to serve. ") and result["instances"] == []
    assert all(f"GPU {gpu['bus']} has a fault" in fault for gpu in facts_of(text)["gpus"])


@pytest.mark.parametrize(
    ("action", "remedy"),
    [
        ("Reset", "stop what uses it and reset it (nvidia-smi --gpu-reset -i 00000001:00:00.0), or reboot the host"),
        ("Reboot", "reboot the host"),
        ("Drain P2P", "reset it"),
        ("Drain and Reset", "reset it"),
    ],
)
def test_the_driver_s_own_advice_is_followed(action, remedy):
    text = added(NEW, 0, ("Product Name",), f"    GPU Recovery Action                   : {action}")
    (fault,) = plan("vicuna-7b-v1.1", gpus=gpus_of(text))["faults"]
    assert f"GPU 00000001:00:00.0 is not well by its driver (GPU Recovery Action: {action}): " in fault
    assert remedy in fault


def test_no_advice_is_no_trouble():
    for lines in (
        ["    GPU Recovery Action                   : None"],
        ["    GPU Recovery Action                   : N/A"],
        ["    GPU Reset Status", "        Reset Required : No", "        Drain and Reset Recommended : N/A"],
    ):
        text = added(NEW, 0, ("Product Name",), *lines)
        assert placed(plan("vicuna-7b-v1.1", gpus=gpus_of(text))) == {0: ("vicuna-7b-v1.1", [0])}


@pytest.mark.parametrize("section", ["GPU Reset Status", "Reset Status"])
@pytest.mark.parametrize("key", ["Reset Required", "Drain and Reset Recommended"])
def test_a_reset_that_is_wanted(section, key):
    text = added(EIGHT, 3, ("Minor Number",), f"    {section}", f"        {key}                    : Yes")
    assert f"is not well by its driver ({key}: Yes): stop what uses it and reset it" in seven_of(text)


@pytest.mark.parametrize("key", ["Pending Page Blacklist", "Pending", "Pending Page Retirement"])
def test_pages_that_wait_to_be_retired(key):
    text = changed(EIGHT, 3, ("Retired Pages", "Pending Page Blacklist"), "Yes")
    text = text.replace("Pending Page Blacklist                : Yes", f"{key} : Yes")
    text = text.replace("Pending Page Blacklist            : Yes", f"{key} : Yes")
    assert f"{key} : Yes" in text and "waits to retire damaged memory: reset it or reboot the host" in seven_of(text)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("Pending", "waits to retire damaged memory: reset it or reboot the host."),
        ("Remapping Failure Occurred", "has no spare memory rows left: have it replaced."),
    ],
)
def test_rows_that_wait_or_could_not_be_remapped(key, said):
    facts = gpus_of(changed(A100, 1, ("Remapped Rows", key), "Yes"))
    result = plan("vicuna-13b-v1.5", gpus=facts)
    assert placed(result) == {0: ("vicuna-13b-v1.5", [0])}
    assert f"GPU 1 is left out: GPU 00000000:35:00.0 {said}" in result["words"]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        (0, "is in MIG mode without an instance"),
        (1, "is cut into 1 MIG instance,"),
        (3, "is cut into 3 MIG instances,"),
    ],
)
def test_mig_devices_are_not_used(instances, said):
    text = changed(A100, 1, ("MIG Mode", "Current"), "Enabled")
    new = []
    for number in range(instances):
        new += ["    MIG Device", f"        Index                             : {number}",
                "        FB Memory Usage", "            Total                         : 9856 MiB"]  # fmt: skip
    text = added(text, 1, ("MIG Mode", "Pending"), *(new or ["    MIG Devices                           : None"]))
    facts = gpus_of(text)
    result = plan("vicuna-13b-v1.5", gpus=facts)
    assert placed(result) == {0: ("vicuna-13b-v1.5", [0])} and facts["gpus"][1]["memory_mb"] == 40960
    (left,) = [word for word in result["words"] if "left out" in word]
    assert said in left and "end its MIG mode (nvidia-smi -i 00000000:35:00.0 -mig 0) and reset it." in left

"""A GPU that fell off the bus: named by its address and left at its place, and the others are told."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.faults import gpu_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.host.driver_faults import bus_order, fault_of
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import gather
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.health import gpu_notes
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

from tests.support.plans import placed, wish
from tests.support.recordings import host_with, recorded

LOST_WORDS = [
    ("Unable to determine the device handle for GPU {bus}: GPU is lost.  Reboot the system to recover this GPU", 1),
    ("Unable to determine the device handle for GPU{bus}: Unknown Error", 1),
    ("Unable to determine the device handle for GPU3: {bus}: Unknown Error", 1),
    ("Unable to determine the device handle for gpu {bus}: GPU is lost.", 1),
    ("UNABLE TO DETERMINE THE DEVICE HANDLE FOR GPU {bus}: GPU IS LOST.", 1),
    ("Unable to determine the device handle for GPU {bus} (UUID: GPU-f3bbf1a0-ec50-caa0-d5ab-180afe8207e3): GPU is"
     " lost", 1),
    ("Unable to detect the device handle for GPU{bus}: Unknown Error", 1),
    ("GPU {bus}: GPU is lost", 1),
    ("GPU {bus} (UUID: GPU-f3bbf1a0-ec50-caa0-d5ab-180afe8207e3) is lost.", 1),
    ("GPU {bus}: GPU has fallen off the bus.", 1),
    ("Unable to determine the device handle for GPU {bus}: Unable to communicate with GPU because it is insufficiently"
     " powered.", 0),
]  # fmt: skip


@pytest.mark.parametrize("bus", ["0000:3B:00.0", "00000000:3B:00.0", "0000:3b:00.0", "000:BA:80.0"])
@pytest.mark.parametrize(("words", "fell"), LOST_WORDS, ids=lambda one: str(one)[:60])
def test_a_lost_gpu_in_every_wording(words, fell, bus):
    line = words.format(bus=bus) + "\n"
    alone = gather("/x", ask=lambda command, seconds: (15, line), root="/nowhere")
    assert f"GPU {bus.upper()} {'fell off the bus' if fell else 'does not answer'} (" in alone["fault"]
    assert alone["gpus"] == [] and "reboot the host" in alone["fault"]
    for recording, cards, first in (("v100-sxm2-16gb-x8_550.127.05.txt", 8, True), ("t4_530.30.02.txt", 1, False)):
        text = line + recorded(recording) if first else recorded(recording) + line
        facts = gather("/x", ask=lambda command, seconds, text=text: (15, text), root="/nowhere")
        (lost,) = [gpu for gpu in facts["gpus"] if gpu["lost"]]
        assert (facts["fault"], lost["bus"], lost["memory_mb"]) == ("", bus.upper(), None)
        assert (facts["count"], len(facts["gpus"])) == (cards, cards + 1)
        places = [bus_order(gpu["bus"]) for gpu in facts["gpus"]]
        assert all(places) and places == sorted(places)
        (note,) = [note for note in gpu_notes([lost])]
        assert note.startswith(f"GPU {bus.upper()} is lost ({lost['lost']}): reboot the host;")


def test_a_lost_gpu_keeps_its_place_so_that_no_other_is_renumbered():
    whole = recorded("v100-sxm2-16gb-x8_550.127.05.txt")
    start, end = whole.index("GPU 00000000:00:07.0\n"), whole.index("GPU 00000000:00:08.0\n")
    text = whole[:start] + whole[end:] + "Unable to determine the device handle for GPU0000:00:07.0: Unknown Error\n"
    facts = gather("/x", ask=lambda command, seconds: (15, text), root="/nowhere")
    assert [bool(gpu["lost"]) for gpu in facts["gpus"]] == [False] * 3 + [True] + [False] * 4
    assert (facts["count"], facts["fault"]) == (7, "")
    assert placed(placement_plan(facts, wish("vicuna-13b-v1.5"))) == {4: ("vicuna-13b-v1.5", [4, 5, 6, 7])}
    assert gpu_faults("gpu01", facts) == [
        "gpu01: GPU 3 (0000:00:07.0) is lost (Unknown Error): reboot the host; if it comes back, look for Xid in"
        " the kernel log and have the card, its power and its slot checked."
    ]


def test_a_lost_gpu_that_is_named_by_its_uuid_alone_or_not_at_all():
    whole = recorded("v100-sxm2-16gb-x8_550.127.05.txt")
    uuid = facts_of(whole)["gpus"][3]["uuid"]
    facts = facts_of(f"Unable to determine the device handle for GPU {uuid}: GPU is lost.\n" + whole)
    assert [bool(gpu["lost"]) for gpu in facts["gpus"]] == [False] * 3 + [True] + [False] * 4
    said = fault_of("GPU is lost.  Reboot the system to recover this GPU\n", 15)
    assert said.startswith("a GPU fell off the bus and nvidia-smi does not say which (GPU is lost")


def test_every_lost_gpu_is_named():
    text = "".join(
        f"Unable to determine the device handle for GPU 0000:{bus}:00.0: GPU is lost.\n" for bus in ("3B", "AF")
    )
    fault = gather("/x", ask=lambda command, seconds: (15, text), root="/nowhere")["fault"]
    assert "GPU 0000:3B:00.0 fell off the bus" in fault and "GPU 0000:AF:00.0 fell off the bus" in fault


def test_the_others_are_asked_one_by_one_where_a_lost_gpu_ends_the_answer(tmp_path):
    cards = [(f"0000:{bus}:00.0", "0x10de", "0x030200", "nvidia") for bus in ("2f", "35", "3b")]
    whole = recorded("a100-sxm4-40gb_535.129.03.txt")
    second = whole.index("GPU 00000000:35:00.0\n")
    answers = {"0000:2f:00.0": whole[:second], "0000:35:00.0": whole[: whole.index("GPU 0")] + whole[second:]}

    def ask(command, seconds):
        if "-i" in command:
            said = answers[command[-1]]
            return (0, said) if said else (None, "")
        return 15, "Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error\n"

    facts = gather("/x", ask=ask, root=host_with(tmp_path, cards))
    assert [(gpu["bus"], gpu["lost"]) for gpu in facts["gpus"]] == [
        ("00000000:2F:00.0", ""),
        ("00000000:35:00.0", ""),
        ("0000:3B:00.0", "Unknown Error"),
    ]
    assert (facts["fault"], facts["count"], facts["driver"]) == ("", 2, "535.129.03")
    # One that hangs when it is asked alone is not forgotten, and one that no driver has is none of ours.
    answers["0000:35:00.0"] = ""
    facts = gather("/x", ask=ask, root=str(tmp_path))
    assert [gpu["lost"] for gpu in facts["gpus"]] == ["", "no answer", "Unknown Error"]
    (tmp_path / "sys/bus/pci/devices/0000:35:00.0/driver").unlink()
    assert [gpu["lost"] for gpu in gather("/x", ask=ask, root=str(tmp_path))["gpus"]] == ["", "Unknown Error"]


def test_a_lost_gpu_among_others_has_its_place_and_the_others_are_told():
    text = recorded("v100-sxm2-32gb_418.67.txt") + LOST_WORDS[0][0].format(bus="0000:02:00.0")
    facts = gather("/x", ask=lambda command, seconds: (15, text), root="/nowhere")
    assert facts["fault"] == "" and facts["count"] == 1
    lost, well = facts["gpus"]
    assert (lost["bus"], lost["lost"], well["lost"]) == ("0000:02:00.0", "GPU is lost", "")

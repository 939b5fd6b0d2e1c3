"""GPU facts from what real machines printed (fixtures/nvidia-smi/README.md names the sources)."""

import re
import stat
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.host import nvidia_smi
from ansible_collections.fastchat.fleet.plugins.module_utils.host.driver_faults import fault_of, module_version
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import EMPTY, gather, pci_cards, run
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import affinity_of, facts_of, topology_of

from tests.support.plans import CAPABILITIES, RECORDED
from tests.support.recordings import host_with, recorded
from tests.support.sentences import no_faults

FAULTS = yaml.safe_load(recorded("faults.yml"))

MACHINES = [
    ("v100-sxm2-32gb_418.67 10.1", "Tesla V100-SXM2-32GB", 1, (32480, "7.0", True)),
    ("v100-pcie-32gb_470.129.06 11.4", "Tesla V100-PCIE-32GB", 1, (32510, "7.0", True)),
    ("v100-sxm2-16gb-x8_550.127.05 12.4", "Tesla V100-SXM2-16GB", 8, (16384, "7.0", True)),
    ("v100-pcie-16gb_570.124.06 12.8", "Tesla V100-PCIE-16GB", 1, (16384, "7.0", False)),
    ("a100-sxm4-40gb_535.129.03 12.2", "NVIDIA A100-SXM4-40GB", 2, (40960, "8.0", False)),
    ("t4_530.30.02 12.1", "Tesla T4", 1, (15360, "7.5", True)),
]


@pytest.mark.parametrize(("name", "product", "count", "each"), MACHINES)
def test_a_recorded_machine(name, product, count, each):
    name, cuda = name.split()
    facts = facts_of(recorded(name + ".txt"), CAPABILITIES)
    assert (facts["driver"], facts["cuda"], len(facts["gpus"])) == (name.split("_")[1], cuda, count)
    for gpu in facts["gpus"]:
        assert gpu["name"] == product
        assert (gpu["memory_mb"], gpu["compute_capability"], gpu["persistence_mode"]) == each
        assert gpu["ecc_mode"] is True and gpu["ecc_uncorrected"] == {"volatile": 0, "aggregate": 0}
    uuids = [gpu["uuid"] for gpu in facts["gpus"]]
    assert len(set(uuids)) == count and all(uuid.startswith("GPU-") for uuid in uuids)


def test_memory_that_is_used_is_told_beside_what_there_is():
    (card,) = facts_of(recorded("v100-sxm2-32gb_418.67.txt"))["gpus"]
    assert (card["memory_used_mb"], card["memory_mb"]) == (10, 32480)


def test_every_recording_is_named_in_the_readme_with_its_source():
    readme = recorded("README.md")
    names = [path.name for path in RECORDED.glob("*.txt")]
    no_faults(
        [f"{name} has no row with its source in the README beside it" for name in names if f"`{name}`" not in readme]
    )


def test_every_recording_of_a_machine_is_read_and_compared():
    read = {machine[0].split()[0] + ".txt" for machine in MACHINES}
    unread = {path.name for path in RECORDED.glob("*.txt") if not path.name.startswith("topo_")} - read
    no_faults([f"{name} is in no row of MACHINES: add what it must be read as" for name in sorted(unread)])


def test_retired_pages_of_old_cards_and_remapped_rows_of_new_ones():
    old = facts_of(recorded("v100-pcie-32gb_470.129.06.txt"))["gpus"][0]
    assert old["retired_pages"] == {"single_bit": 1, "double_bit": 0, "pending": False}
    assert old["remapped_rows"] is None and old["mig_mode"] is None
    oldest = facts_of(recorded("v100-sxm2-32gb_418.67.txt"))["gpus"][0]
    assert oldest["retired_pages"]["pending"] is False  # another key there
    new = facts_of(recorded("a100-sxm4-40gb_535.129.03.txt"))["gpus"][0]
    assert new["retired_pages"] is None and new["mig_mode"] is False
    assert new["remapped_rows"] == {"correctable": 0, "uncorrectable": 0, "pending": False, "failed": False}
    eight = facts_of(recorded("v100-sxm2-16gb-x8_550.127.05.txt"))["gpus"]
    assert [gpu["retired_pages"]["single_bit"] for gpu in eight] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert [gpu["bus"][-4:] for gpu in eight] == ["04.0", "05.0", "06.0", "07.0", "08.0", "09.0", "0A.0", "0B.0"]


def test_uncorrected_errors_and_pending_pages():
    """Derived: no recording with them was found; one value of a recording is replaced."""
    old = recorded("v100-pcie-32gb_470.129.06.txt")
    head, _total, tail = old.rpartition("                Total                     : 0")
    old = head + "                Total                     : 2" + tail.replace(" : No\n", " : Yes\n", 1)
    gpu = facts_of(old)["gpus"][0]
    assert gpu["ecc_uncorrected"] == {"volatile": 0, "aggregate": 2} and gpu["retired_pages"]["pending"] is True
    new = recorded("t4_530.30.02.txt").replace(
        "DRAM Uncorrectable            : 0", "DRAM Uncorrectable            : 3", 1
    )
    assert facts_of(new)["gpus"][0]["ecc_uncorrected"] == {"volatile": 3, "aggregate": 0}


def test_topology():
    links = topology_of(recorded("topo_v100-sxm2-x8_440.33.01.txt"))
    assert sorted(links) == [f"GPU{index}" for index in range(8)]
    assert [links["GPU0"][f"GPU{index}"] for index in range(1, 8)] == ["NV1", "NV1", "NV2", "NV2", "SYS", "SYS", "SYS"]
    assert all(links[one][two] == links[two][one] for one in links for two in links[one])
    assert topology_of(recorded("topo_v100-pcie-x8_470.129.06.txt"))["GPU7"]["GPU4"] == "PIX"
    assert topology_of("") == {}
    coloured = "\t\x1b[4mGPU0\tGPU1\tCPU Affinity\x1b[0m\nGPU0\t X \tPHB\t0-3\nGPU1\tPHB\t X \t0-3\n"
    assert topology_of(coloured) == {"GPU0": {"GPU1": "PHB"}, "GPU1": {"GPU0": "PHB"}}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["words"][:30])
def test_a_broken_driver_is_one_sentence_that_says_what_to_do(fault):
    said = fault_of(fault["text"], fault["rc"], "535.54.03")
    assert fault["words"] in said
    assert said.endswith(".") and "\n" not in said
    assert any(word in said for word in ("reboot", "install", "look", "repair")), said
    facts = gather("/x", ask=lambda command, seconds: (fault["rc"], fault["text"]), root="/nowhere")
    assert facts["fault"] and facts["count"] == 0 and facts["gpus"] == []


def test_both_versions_are_named_when_they_differ():
    said = fault_of(FAULTS[0]["text"], 18, "535.54.03")
    assert "kernel module is 535.54.03 and its libraries are 550.144" in said


def test_the_driver_s_own_word_beats_the_table_and_an_old_driver_that_has_none_does_no_harm():
    text = recorded("v100-sxm2-16gb-x8_550.127.05.txt").replace("Tesla V100-SXM2-16GB", "Something New")
    first = "GPU-f3bbf1a0-ec50-caa0-d5ab-180afe8207e3"

    def new(command, seconds):
        if command[1] == "-q":
            return 0, text
        return (0, f"{first}, 9.9\n") if "compute_cap" in command[1] else (1, "")

    assert [gpu["compute_capability"] for gpu in gather("/x", ask=new, root="/nowhere")["gpus"]][:2] == ["9.9", ""]

    def old(command, seconds):
        known = command[1] == "-q"
        return (0, recorded("v100-sxm2-32gb_418.67.txt")) if known else (2, 'Field "compute_cap" is not a valid field')

    assert gather("/x", ask=old, root="/nowhere", capabilities=CAPABILITIES)["gpus"][0]["compute_capability"] == "7.0"


def test_one_that_hangs_is_given_up_and_said():
    began = time.monotonic()
    assert run(["/bin/sleep", "30"], 0.3) == (None, "")
    assert time.monotonic() - began < 5
    facts = gather("/x", seconds=7, ask=lambda command, seconds: (None, ""), root="/nowhere")
    assert "did not answer within 7 s" in facts["fault"]


def test_a_command_s_status_and_output():
    assert run(["/bin/sh", "-c", "echo a; echo b >&2; exit 3"], 5) == (3, "a\nb\n")


AUDIO = ("0000:1a:00.1", "0x10de", "0x040300", "snd_hda_intel")
OTHER = ("0000:00:02.0", "0x8086", "0x030000", "i915")


def test_a_host_without_gpus_has_nothing_to_say(tmp_path):
    assert gather("", root=host_with(tmp_path, [AUDIO, OTHER])) == EMPTY


def test_a_card_without_a_driver_is_a_hint(tmp_path):
    cards = [("0000:1a:00.0", "0x10de", "0x030200", "nouveau"), AUDIO]
    facts = gather("", root=host_with(tmp_path, cards))
    assert (
        facts["hint"] == "1 NVIDIA card is there (0000:1a:00.0) without NVIDIA's driver, bound to nouveau: install it."
    )
    assert facts["fault"] == "" and facts["pci"] == ["0000:1a:00.0"]
    assert pci_cards(str(tmp_path)) == [("0000:1a:00.0", "nouveau")]


def test_a_module_without_nvidia_smi_is_a_fault(tmp_path):
    facts = gather("", root=host_with(tmp_path, module="440.33.01"))
    assert "kernel module 440.33.01 is loaded and nvidia-smi is not installed" in facts["fault"]


def test_the_driver_s_version_as_the_kernel_module_writes_it():
    # The open module's line, as NVIDIA's drivers print it; the proprietary one's is above.
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build"
    assert module_version(line) == "550.54.14"
    assert module_version("") == ""


def test_a_real_process_that_replays_a_recording(tmp_path):
    """Stands in for nvidia-smi, at the outermost edge: an executable on the host."""
    standin = tmp_path / "nvidia-smi"
    standin.write_text(
        f"#!/bin/sh\ncase $1 in -q) cat {RECORDED}/v100-sxm2-16gb-x8_550.127.05.txt;;"
        f" topo) cat {RECORDED}/topo_v100-sxm2-x8_440.33.01.txt;; *) exit 2;; esac\n"
    )
    standin.chmod(standin.stat().st_mode | stat.S_IXUSR)
    facts = gather(str(standin), root="/nowhere")
    assert facts["count"] == 8 and facts["fault"] == "" and facts["topology"]["GPU0"]["GPU3"] == "NV2"


def test_affinity_of_the_recordings_and_of_new_drivers():
    old = affinity_of(recorded("topo_v100-sxm2-x8_440.33.01.txt"))
    assert old["GPU0"] == {"cpus": "0-11,24-35", "numa_node": None} and old["GPU7"]["cpus"] == "12-23,36-47"
    assert sorted(old) == [f"GPU{index}" for index in range(8)]
    newer = affinity_of(recorded("topo_v100-pcie-x8_470.129.06.txt"))
    assert newer["GPU5"] == {"cpus": "0-17,36-53", "numa_node": 0}
    # The form that drivers from 535 on print, columns padded with tabs; a virtual machine has no node.
    newest = "\t\x1b[4mGPU0\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\nGPU0\t X \tPHB\t0-7\tN/A\t\tN/A\n"
    assert affinity_of(newest) == {"GPU0": {"cpus": "0-7", "numa_node": None}}
    assert affinity_of("") == affinity_of("\tGPU0\nGPU0\t X\n") == {}


def test_one_gpu_alone_is_asked_for_its_cpus_too():
    text = recorded("v100-sxm2-32gb_418.67.txt")
    topo = "\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-3\t1\n"

    def ask(command, seconds):
        return {"-q": (0, text), "topo": (0, topo)}.get(command[1], (2, ""))

    facts = gather("/x", ask=ask, root="/nowhere")
    assert (facts["gpus"][0]["cpus"], facts["gpus"][0]["numa_node"], facts["topology"]) == ("0-3", 1, {})


PLUGINS = Path(nvidia_smi.__file__).parents[2]
OLD = [path for path in PLUGINS.glob("module*/**/*.py") if "\n__metaclass__ = type\n" in path.read_text()]


@pytest.mark.parametrize("path", sorted(OLD), ids=lambda path: path.name)
def test_what_hosts_run_is_as_python_2_7_wants_it(path):
    """Molecule runs it there (py27); what a formatter may add is found here at once."""
    text = path.read_text()
    assert text.isascii() or text.startswith("# -*- coding: utf-8 -*-")
    assert not re.search(r"\*\*?[\w.]+(\([^()]*\))?,\s*\)", text), "a comma after the last *argument"
    assert not re.search(r"^\s*(def .*\) -> |[A-Za-z_]+: [A-Za-z]+ = )|\bf[\"']", text, re.MULTILINE), "newer syntax"

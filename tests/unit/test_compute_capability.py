"""The compute capability of a product by its name (files/gpus.yml), for drivers that can not be asked."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.host.products import capability_of, plain_name
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.health import gpu_notes
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

from tests.support.plans import CAPABILITIES, placed, wish
from tests.support.recordings import recorded


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("Tesla V100S-PCIE-32GB", "7.0"),
        ("Tesla V100-DGXS-32GB", "7.0"),
        ("NVIDIA TITAN V", "7.0"),
        ("NVIDIA A10", "8.6"),
        ("NVIDIA A10G", "8.6"),
        ("NVIDIA A100 80GB PCIe", "8.0"),
        ("NVIDIA A30", "8.0"),
        ("NVIDIA A2", "8.6"),
        ("NVIDIA RTX A6000", "8.6"),
        ("NVIDIA L40S", "8.9"),
        ("NVIDIA L4", "8.9"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0"),
        ("Quadro RTX 6000", "7.5"),
        ("GeForce GTX 1660 Ti", "7.5"),
        ("Tesla P40", "6.1"),
        ("Tesla P100-PCIE-16GB", "6.0"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("Tesla K80", "3.7"),
        ("Something New", ""),
        ("Quadro RTX 5000", "7.5"),
        ("NVIDIA Quadro RTX 5000 with Max-Q Design", "7.5"),
        ("Quadro 5000", ""),
        ("NVIDIA RTX 5000 Ada Generation", "8.9"),
        ("NVIDIA RTX 5000 Ada Generation Laptop GPU", "8.9"),
        ("NVIDIA RTX A5000", "8.6"),
        ("NVIDIA GeForce RTX 5090", "12.0"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", "8.6"),
        ("NVIDIA RTX PRO 5000 Blackwell", "12.0"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("NVIDIA H100 NVL", "9.0"),
        ("NVIDIA H200", "9.0"),
        ("NVIDIA A800-SXM4-80GB", "8.0"),
        ("NVIDIA A40", "8.6"),
        ("Quadro M4000", "5.2"),
        ("Tesla M40 24GB", "5.2"),
        ("Tesla M4", "5.2"),
        ("Quadro P4000", "6.1"),
        ("NVIDIA T400 4GB", "7.5"),
        ("NVIDIA TITAN RTX", "7.5"),
        ("Tesla V100-SXM2-32GB", "7.0"),
        ("Tesla V100-SXM3-32GB-H", "7.0"),
        ("TITAN V", "7.0"),
        ("TITAN Xp", "6.1"),
        ("TITAN X (Pascal)", "6.1"),
        ("NVIDIA TITAN X", "6.1"),
        ("GeForce GTX TITAN X", "5.2"),
        ("GeForce GTX TITAN", "3.5"),
        ("Tesla K40m", "3.5"),
        ("GeForce GTX 860M", ""),
        ("GeForce GT 730", ""),
        ("GRID V100D-8Q", ""),
        ("NVIDIA RTX 6000", ""),
    ],
)
def test_compute_capability_by_name(name, capability):
    assert capability_of(name, CAPABILITIES) == capability


ROWS = [(name, capability) for capability, names in CAPABILITIES.items() for name in names]
OLD = {"3.5", "3.7", "5.0", "5.2", "6.0", "6.1", "7.0", "7.5"}
NEW = {"8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1"}


def test_every_row_of_the_table_has_its_shape_and_stands_once():
    assert set(CAPABILITIES) == OLD | NEW and all(isinstance(name, str) for name, _capability in ROWS)
    names = [plain_name(name) for name, _capability in ROWS]
    assert len(names) == len(set(names)) > 200
    for name, _capability in ROWS:
        assert name == " ".join(name.split()) and name.isascii() and not name.startswith(("NVIDIA ", "Tesla ", "GRID"))
        assert plain_name(name) == name.lower(), f"{name}: write it without what stands behind it"


@pytest.mark.parametrize(("name", "capability"), ROWS)
def test_every_row_is_found_as_drivers_write_it_and_nothing_is_that_only_begins_like_it(name, capability):
    for written in (name, f"NVIDIA {name}", f"Tesla {name}", f"NVIDIA {name} Laptop GPU", f"{name}-PCIE-16GB"):
        assert capability_of(written, CAPABILITIES) == capability
    other = {plain_name(other) for other, _capability in ROWS}
    for near in (name + "0", name + "9X", "X" + name, name[:-1], f"{name} Next Generation"):
        assert capability_of(near, CAPABILITIES) == "" or plain_name(near) in other


def test_a_name_that_is_unknown_is_noted_and_the_card_is_not_left_out():
    text = recorded("v100-sxm2-32gb_418.67.txt").replace("Tesla V100-SXM2-32GB", "Quadro 5000")
    facts = facts_of(text, CAPABILITIES)
    (note,) = gpu_notes(facts["gpus"])
    assert "is Quadro 5000, whose compute capability neither its driver nor files/gpus.yml says" in note
    assert placed(placement_plan({**facts, "fault": ""}, wish("vicuna-7b-v1.5")))

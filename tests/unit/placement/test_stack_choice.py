"""A stack is chosen for a host: named cases, and rules that hold for every host."""

import itertools
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.filter.stacks import stacks_read
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import EMPTY
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.health import gpu_notes
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.stacks import (
    resolve,
    runs_on,
    stack_reasons,
    version,
)

from tests.support.plans import CAPABILITIES
from tests.support.recordings import recorded

ROOT = Path(__file__).resolve().parents[3]
# The guide's own stack, as the named cases need it; its file may or may not be there.
GUIDE = {
    "name": "el7-v100-torch19",
    "python": "3.9",
    "glibc": "2.17",
    "gpu": True,
    "cuda": "10.2",
    "driver": "440.33",
    "compute_capabilities": ["3.7", "5.0", "6.0", "7.0"],
    "gpus_per_worker": "one",
    "torch": "1.9.1",
    "fschat": "0.2.15",
}
STACKS = [stack for stack in stacks_read(str(ROOT / "files" / "stacks")) if stack["name"] != GUIDE["name"]] + [GUIDE]


def machine(recording="", driver="", count=0, **changes):
    """Return the facts of a recorded machine with another driver, or with so many of its first GPU."""
    if not recording:
        return {**EMPTY, **changes}
    facts = facts_of(recorded(f"{recording}.txt"), CAPABILITIES)
    gpus = facts["gpus"][:1] * count if count else facts["gpus"]
    return {**EMPTY, "driver": driver or facts["driver"], "gpus": gpus, "count": len(gpus), **changes}


def host(gpus, glibc="2.17", python="3.9.25", path="/opt/python/bin/python3"):
    return {"glibc": glibc, "pythons": {path: python}, "gpus": gpus}


def wish(stack="auto", gpus=1, dtype=""):
    return {"stack": stack, "gpus": str(gpus), "dtype": dtype}


V100 = "v100-sxm2-32gb_418.67"
V100_16 = "v100-sxm2-16gb-x8_550.127.05"
A100 = "a100-sxm4-40gb_535.129.03"
T4 = "t4_530.30.02"
NEW = {"glibc": "2.36", "python": "3.11.2"}


def test_a_driver_that_the_runtime_phase_installs_is_no_reason_but_the_rest_is():
    comes = {**wish("el7-v100-torch26"), "driver_comes": True}
    stack = next(one for one in STACKS if one["name"] == "el7-v100-torch26")
    for gpus in (machine(), machine(V100, "418.67"), machine(fault="The driver is broken.")):
        assert stack_reasons(stack, host(gpus), {**comes, "driver_comes": False})
        assert stack_reasons(stack, host(gpus), comes) == []
    assert stack_reasons(stack, host(machine(), glibc="2.12"), comes)
    assert stack_reasons(stack, host(machine(T4), python="3.11.2"), comes)


@pytest.mark.parametrize(
    ("gpus", "more", "asked", "chosen"),
    [
        (machine(V100, "550.54.14"), {}, wish(), "el7-v100-torch26"),
        (machine(V100, "525.60.13"), {}, wish(), "el7-v100-torch26"),
        (machine(V100, "470.129.06"), {}, wish(), "el7-v100-torch113"),
        (machine(V100, "440.33.01"), {}, wish(), "el7-v100-torch19"),
        (machine(V100, "550.54.14", 8), {}, wish(gpus=8), "el7-v100-torch26"),
        (machine(V100_16), NEW, wish(), "v100-torch210"),
        (machine(V100_16, "580.126.09"), NEW, wish(), "v100-torch210"),
        (machine(A100, "580.126.09"), NEW, wish(), "turing-plus"),
        (machine(A100), NEW, wish(), "v100-torch210"),
        (machine(T4, "590.44.01"), NEW, wish(), "turing-plus"),
        (machine(T4, "470.129.06"), {}, wish(), "el7-v100-torch113"),
        (machine(V100_16), NEW, wish(gpus=2), "v100-torch210"),
        (machine(), NEW, wish(gpus=0), "cpu"),
        (machine(V100_16), NEW, wish(gpus=0), "cpu"),  # a CPU worker, or a controller, on a host with GPUs
        (machine(), {}, wish(gpus=0), "el7-v100-torch26"),  # no CPU build loads on glibc 2.17: torch with CUDA works
        (machine(V100, "550.54.14"), {}, wish("el7-v100-torch113"), "el7-v100-torch113"),  # pinned beats newer
        (machine(fault="broken"), NEW, wish(gpus=0), "cpu"),
    ],
)
def test_the_newest_that_runs_or_the_pinned_one(gpus, more, asked, chosen):
    choice = resolve(STACKS, host(gpus, **more), asked)
    assert (choice["stack"], choice["reasons"]) == (chosen, [])


@pytest.mark.parametrize(
    ("gpus", "more", "asked", "sentences"),
    [
        (
            machine(V100, "550.54.14", 8),
            {},
            wish("el7-v100-torch19", 2),
            ["stack el7-v100-torch19 (torch 1.9.1) can not spread a model over 2 GPUs, which needs torch 1.10: set"],
        ),
        (
            machine(V100, "580.126.09"),
            NEW,
            wish("turing-plus"),
            ["Tesla V100-SXM2-32GB has compute capability 7.0, stack turing-plus (CUDA 13.2) holds code for 7.5, 8.0"],
        ),
        (
            machine(V100, "440.33.01"),
            {},
            wish("el7-v100-torch26"),
            ["NVIDIA driver is 440.33.01, stack el7-v100-torch26 (CUDA 12.4) wants 525.60.13 or newer: install"],
        ),
        (
            machine(V100, "550.54.14"),
            {"python": "3.11.2"},
            wish("el7-v100-torch19"),
            ["/opt/python/bin/python3 is 3.11.2, stack el7-v100-torch19 wants Python 3.9: set fastchat_runtime_python"],
        ),
        (
            machine(V100, "550.54.14"),
            {},
            wish("el7-v100-torch19", dtype="float16"),
            ["fastchat_worker_dtype is float16, stack el7-v100-torch19 has FastChat 0.2.15, which knows no --dtype"],
        ),
        (machine(V100, "550.54.14"), {}, wish("el7-v100-torch26", dtype="bfloat16"), ["bfloat16 needs 8.0"]),
        (machine(V100, "550.54.14"), {}, wish("el7-v100-torch26", 2), ["1 GPU is there, wanted 2: lower"]),
        (machine(), NEW, wish("v100-torch210"), ["NVIDIA driver is absent", "0 GPUs are there, wanted 1"]),
        (
            machine(),
            NEW,
            wish("cpu"),
            ["stack cpu has no CUDA and a worker wants a GPU: set fastchat_worker_device to"],
        ),
        (machine(), {}, wish("cpu", 0), ["glibc is 2.17, stack cpu wants 2.28 or newer", "is 3.9.25, stack cpu wants"]),
        (
            machine(),
            {**NEW, "python": ""},
            wish("cpu", 0),
            ["/opt/python/bin/python3 is absent, stack cpu wants Python"],
        ),
        (machine(), NEW, wish("torch3", 0), ["fastchat_stack is 'torch3', wanted auto or one of ['cpu'"]),
        (
            machine(fault="the driver is ill: mend it."),
            NEW,
            wish("v100-torch210"),
            ["The driver is ill: mend it."],
        ),
        (
            machine(hint="1 NVIDIA card is there: install it."),
            NEW,
            wish("v100-torch210"),
            ["1 NVIDIA card is there: install it.", "NVIDIA driver is absent", "0 GPUs are there, wanted 1"],
        ),
    ],
)
def test_an_impossible_wish_is_refused_with_every_reason(gpus, more, asked, sentences):
    choice = resolve(STACKS, host(gpus, **more), asked)
    assert choice["stack"] == ""
    assert len(choice["reasons"]) == len(sentences), choice["reasons"]
    for said, part in zip(choice["reasons"], sentences, strict=True):
        assert part in said
        assert said.endswith(".") and "\n" not in said


def test_auto_says_why_each_stack_is_refused_and_what_is_wrong_with_the_host_only_once():
    choice = resolve(STACKS, host(machine(V100, "418.67"), glibc="2.12"), wish())
    looked_at = {stack["name"] for stack in STACKS if stack["gpu"] and "backend" not in stack}
    assert set(choice["refused"]) == looked_at
    for name in choice["refused"]:
        assert any(f"stack {name} " in reason for reason in choice["reasons"])
    broken = resolve(STACKS, host(machine(fault="it is broken."), **NEW), wish())
    assert broken["reasons"].count("It is broken.") == 1


CARDS = [machine(), machine(fault="broken."), machine(hint="no driver."), *(
    machine(name, driver, count)
    for name in (V100, V100_16, A100, T4)
    for driver in ("384.81", "440.33.01", "450.80.02", "525.60.13", "580.126.09")
    for count in (1, 8)
)]  # fmt: skip
HOSTS = [
    host(gpus, glibc, python)
    for gpus, glibc, python in itertools.product(CARDS, ("2.12", "2.17", "2.28", "2.41"), ("", "3.9.1", "3.11.9"))
]
WISHES = [wish("auto", gpus, dtype) for gpus in (0, 1, 2, 8) for dtype in ("", "bfloat16")]


@pytest.mark.parametrize("asked", WISHES, ids=lambda asked: f"{asked['gpus']} GPUs {asked['dtype']}")
def test_what_holds_for_every_host(asked):
    """For each of 516 hosts: auto agrees with pinning each stack, takes the newest, and never a stack that can not."""
    for there in HOSTS:
        choice = resolve(STACKS, there, asked)
        assert bool(choice["stack"]) != bool(choice["reasons"])
        able = [stack for stack in STACKS if not stack_reasons(stack, there, asked)]
        assert (choice["stack"] in {stack["name"] for stack in able}) == bool(able)
        for stack in able:
            pinned = resolve(STACKS, there, {**asked, "stack": stack["name"]})
            assert pinned == {"stack": stack["name"], "reasons": [], "refused": {}}
            assert there["glibc"] == "" or version(stack["glibc"]) <= version(there["glibc"])
            if int(asked["gpus"]):
                assert version(stack["driver"]) <= version(there["gpus"]["driver"])
                kind = [other for other in able if other["gpu"]]
                assert version(choice_of(choice)["torch"]) == max(version(other["torch"]) for other in kind)
        for reasons in choice["refused"].values():
            assert reasons and all(reason.endswith(".") and "\n" not in reason for reason in reasons)
        # A newer driver, a newer C library or one GPU less never turns a yes into a no.
        if choice["stack"] and there["gpus"]["driver"]:
            newer = {**there, "gpus": {**there["gpus"], "driver": "999.1"}, "glibc": "9.9"}
            assert resolve(STACKS, newer, asked)["stack"]
        if choice["stack"] and int(asked["gpus"]) == 1:
            assert resolve(STACKS, there, {**asked, "gpus": "0"})["stack"]


def choice_of(choice):
    return next(stack for stack in STACKS if stack["name"] == choice["stack"])


def test_a_card_that_no_worker_gets_decides_nothing_about_the_stack():
    old = {**machine(A100)["gpus"][0], "name": "Quadro K620", "compute_capability": "5.0"}
    mixed = machine(A100, "580.126.09")
    mixed = {**mixed, "gpus": [old, *mixed["gpus"]], "count": 3}
    assert resolve(STACKS, host(mixed, **NEW), {**wish(), "cards": [1, 2]})["stack"] == "turing-plus"
    (reason,) = stack_reasons(choice_of({"stack": "turing-plus"}), host(mixed, **NEW), {**wish(), "cards": [0, 1, 2]})
    assert reason.startswith("Quadro K620 has compute capability 5.0, stack turing-plus")
    assert reason.endswith("set fastchat_stack to another, or list other GPUs in fastchat_worker_instances.")


def test_versions_are_compared_as_numbers():
    assert version("2.9") < version("2.17") < version("2.28")
    assert version("440.33") < version("440.33.01") < version("440.100")
    assert version("2.13.0+cpu") == version("2.13.0")


def test_python_3_1_is_not_python_3_11():
    cpu = next(stack for stack in STACKS if stack["name"] == "cpu")
    assert stack_reasons(cpu, host(machine(), "2.36", "3.1.1"), wish(gpus=0))
    assert stack_reasons(cpu, host(machine(), "2.36", "3.110.1"), wish(gpus=0))


def test_code_runs_on_a_newer_card_of_the_same_generation_only():
    assert runs_on(["8.6"], "8.9") and runs_on(["7.0"], "7.5")
    assert not runs_on(["7.5"], "7.0") and not runs_on(["7.0", "8.0"], "9.0")


def test_a_card_that_ails_is_noted_and_a_sound_one_is_not():
    sound = machine(A100)["gpus"][0]
    assert gpu_notes([sound, machine(V100)["gpus"][0]]) == []
    ill = {
        **sound,
        "remapped_rows": {"correctable": 0, "uncorrectable": 1, "pending": True, "failed": True},
        "ecc_uncorrected": {"volatile": 4, "aggregate": 9},
        "mig_mode": True,
    }
    notes = gpu_notes([sound, ill])
    assert len(notes) == 4 and all("GPU 00000000:2F:00.0" in note for note in notes)
    assert "had 4 uncorrected memory errors" in notes[2]


def test_a_python_that_is_there_and_does_not_run_is_not_called_absent():
    here = {**host(EMPTY, **{**NEW, "python": ""}), "python_faults": {"/opt/python/bin/python3": "Permission denied"}}
    (said,) = resolve(STACKS, here, wish("cpu", gpus=0))["reasons"]
    assert said.startswith("/opt/python/bin/python3 does not run (Permission denied), stack cpu wants Python 3.11")

"""Every stack of ours is valid, each possible fault gives one sentence, and preflight prints the choice."""

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.stacks import stacks_faults, stacks_read
from ansible_collections.fastchat.fleet.plugins.module_utils.descriptions.stacks import stack_file_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.preflight import preflight_table
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import EMPTY
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.stacks import version
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.recordings import recorded
from tests.support.sentences import no_faults

FILES = Path(__file__).resolve().parents[2] / "files"
STACKS = sorted((FILES / "stacks").glob("*.yml"))
MINE = yaml.safe_load((FILES / "stacks" / "el7-v100-torch26.yml").read_text()) | {"name": "mine", "lock": "mine"}


def lock_of(name):
    path = FILES / "locks" / f"{name}.txt"
    if not path.exists():
        no_faults([f"files/locks/{name}.txt is not there: write {name}.in, then python -m testbed.locks {name}"])
    return path.read_text()


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.stem)
def test_a_stack_has_its_row_in_the_documents(path):
    stack = yaml.safe_load(path.read_text())
    document = (FILES.parent / "docs" / "STACKS.md").read_text()
    row = next((line for line in document.splitlines() if line.startswith(f"| `{path.stem}` | ")), "")
    if not row:
        no_faults([f"the table has no row for {path.stem}"], of="docs/STACKS.md")
    said = [cell.strip() for cell in row.split("|")]
    capabilities = stack.get("compute_capabilities", [])
    wanted = [
        stack["python"],
        stack["torch"].partition("+")[0],
        stack["fschat"],
        stack["glibc"],
        stack.get("cuda", "–"),
    ]
    wanted += [f"{capabilities[0]} – {capabilities[-1]}"] if capabilities else []
    missing = [value for value in wanted if value not in said]
    no_faults([f"the row of {path.stem} lacks {value}" for value in missing], of="docs/STACKS.md")


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.stem)
def test_a_stack_of_ours_is_right_and_its_lock_holds_what_it_says(path):
    stack = yaml.safe_load(path.read_text())
    no_faults(stack_file_faults(stack, path.stem))
    lock = lock_of(stack["lock"])
    for package in ("torch", "fschat"):
        assert re.search(rf"^{package}=={re.escape(stack[package])}\s", lock, re.MULTILINE), package
    locked = version(re.search(r"^transformers==(\S+)", lock, re.MULTILINE)[1])
    for bound in stack["transformers"].split(","):
        sign, wanted = re.fullmatch(r"(>=|<|==)?([\d.]+)", bound).groups()
        wanted = version(wanted)
        assert {">=": locked >= wanted, "<": locked < wanted}.get(sign, locked == wanted), bound
    if stack["gpu"]:
        assert version(stack["driver"]) <= version(stack.get("driver_native", "9999"))
        # FACTS of NVIDIA's: the oldest driver of each CUDA generation, by minor-version compatibility.
        oldest = {10: "440.33", 11: "450.80.02", 12: "525.60.13", 13: "580"}[version(stack["cuda"])[0]]
        assert version(stack["driver"]) >= version(oldest)
        # Torch spreads a model over GPUs from 1.10 on, as far as FastChat uses it.
        assert (stack["gpus_per_worker"] == "one") == (version(stack["torch"]) < (1, 10))
        assert ("7.0" in stack["compute_capabilities"]) == (version(stack["cuda"])[0] < 13)


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.stem)
def test_every_file_of_a_lock_has_its_hash(path):
    lock = lock_of(yaml.safe_load(path.read_text())["lock"])
    pins = re.findall(r"^[a-z0-9][^\s=]*==\S+ .*(?:\n {4}--hash=\S+.*)*", lock, re.MULTILINE | re.IGNORECASE)
    assert len(pins) > 20 and all("--hash=sha256:" in pin for pin in pins)


@pytest.mark.parametrize("path", sorted((FILES / "locks").glob("*.in")), ids=lambda path: path.stem)
def test_a_lock_holds_what_its_inputs_ask_for(path):
    """Offline: each requirement has a pin within its bounds. That nothing newer fits is for `make locks` to find."""
    lock = lock_of(path.stem)
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE))
    for line in path.read_text().splitlines():
        wanted = line.partition("#")[0].strip()
        if wanted and not wanted.startswith("-"):
            requirement = Requirement(wanted)
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin, prereleases=True), f"{wanted}, locked {pin}"


def test_the_stacks_that_are_promised_are_there():
    assert {path.stem for path in STACKS} >= {
        "cpu",
        "el7-v100-torch113",
        "el7-v100-torch26",
        "v100-torch210",
        "turing-plus",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "other"}, "mine.name is 'other', wanted 'mine' as its file is called"),
        ({"name": "Mine"}, "mine.name is 'Mine'"),
        ({"python": 3.9}, "mine.python is 3.9, wanted such as"),
        ({"python": "3.9.1"}, "mine.python is '3.9.1'"),
        ({"driver": 440.33}, "mine.driver is 440.33, wanted a version in quotes"),
        ({"driver": None}, "mine.driver is missing"),
        ({"glibc": 2.17}, "mine.glibc is 2.17"),
        ({"gpu": "yes"}, "mine.gpu is 'yes', wanted true or false"),
        ({"env_mb": "8 GB"}, "mine.env_mb is '8 GB'"),
        ({"torch": "newest"}, "mine.torch is 'newest'"),
        ({"cuda": "cu124"}, "mine.cuda is 'cu124'"),
        ({"compute_capabilities": [7.0]}, "mine.compute_capabilities is [7.0], wanted a list such as"),
        ({"compute_capabilities": []}, "mine.compute_capabilities is []"),
        ({"gpus_per_worker": 8}, "mine.gpus_per_worker is 8, wanted one, or max"),
        ({"extra_index_url": "ftp://x"}, "mine.extra_index_url is 'ftp://x'"),
        ({"weights_formats": ["gguf"]}, "mine.weights_formats is ['gguf']"),
        ({"torhc": "1"}, "mine.torhc is unknown, there are name, description"),
        ({"lock": None}, "mine.lock is missing"),
    ],
)
def test_each_way_to_be_wrong_is_one_sentence(change, words):
    stack = {key: value for key, value in (MINE | change).items() if value is not None}
    said = [fault for fault in stack_file_faults(stack, "mine") if words in fault]
    assert len(said) == 1 and said[0].endswith(".") and "\n" not in said[0]
    others = [fault for fault in stack_file_faults(stack, "mine") if words not in fault]
    # A stack whose kind is not known is checked as one without GPU.
    assert others == [] or "gpu" in change


def test_a_stack_of_the_guide_is_right():
    guide = {"torch": "1.9.1", "cuda": "10.2", "driver": "440.33", "gpus_per_worker": "one", "fschat": "0.2.15"}
    assert stack_file_faults(MINE | guide | {"transformers": "4.28.1"}, "mine") == []


@pytest.mark.parametrize("stack", [None, [], "x", 3])
def test_what_is_no_mapping_is_said(stack):
    assert len(stack_file_faults(stack, "mine")) == 1


def test_auto_is_no_name_for_a_stack_and_what_belongs_to_gpus_is_refused_elsewhere():
    assert "is 'auto', wanted another" in stack_file_faults(MINE | {"name": "auto"}, "auto")[0]
    without = {key: MINE[key] for key in MINE if key not in ("cuda", "compute_capabilities", "gpus_per_worker")}
    faults = stack_file_faults(without | {"gpu": False}, "mine")
    assert [fault.split(" is ")[0] for fault in faults] == ["mine.driver", "mine.driver_native"]


def test_a_directory_of_stacks(tmp_path):
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(MINE))
    assert stacks_read(str(tmp_path)) == [MINE] and stacks_faults(str(tmp_path)) == []
    (tmp_path / "b.yml").write_text("a: [1\n")
    assert len(stacks_faults(str(tmp_path))) == 1 and "b.yml is no YAML" in stacks_faults(str(tmp_path))[0]


def verdict(host, **more):
    machine = {"distribution": "CentOS", "distribution_version": "7.9", "memtotal_mb": 1}
    same = {"machine": machine, "glibc": "2.17", "python": "3.9.25", "found": EMPTY, "stack": "", "faults": []}
    return {"host": host, "notes": [], "plan": {"words": []}, **same, **more}


def test_the_table_has_every_host_then_every_reason():
    facts = facts_of(recorded("v100-sxm2-16gb-x8_550.127.05.txt"))
    table = preflight_table(
        [
            verdict("gpu01", found={**EMPTY, **facts}, stack="el7-v100-torch26", notes=["GPU 1 ails.", "GPU 2 ails."]),
            verdict("gpu04", plan={"words": ["GPU 2 is left out: GPU x ails."]}, notes=["GPU x ails."]),
            verdict("gpu02", found={**EMPTY, "fault": "x"}, faults=["One reason.", "Another."], python=""),
            verdict("longer-name", found={**EMPTY, "hint": "x"}),
        ]
    )
    assert table == [
        "host         OS          glibc  Python  GPUs                      driver      stack",
        "gpu01        CentOS 7.9  2.17   3.9.25  8 x Tesla V100-SXM2-16GB  550.127.05  el7-v100-torch26",
        "gpu04        CentOS 7.9  2.17   3.9.25  none                      -           -",
        "gpu02        CentOS 7.9  2.17   -       broken                    -           -",
        "longer-name  CentOS 7.9  2.17   3.9.25  no driver                 -           -",
        "gpu04, plan: GPU 2 is left out: GPU x ails.",
        "gpu01, note: GPU 1 ails.",
        "gpu01, note: GPU 2 ails.",
        "gpu02: One reason.",
        "gpu02: Another.",
    ]

import itertools
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.drivers import driver_plan, gpu_generations, newer_kernels

from tests.support.sentences import no_faults

ROOT = Path(__file__).resolve().parents[2]
VARS = yaml.safe_load((ROOT / "roles" / "nvidia_driver" / "vars" / "main.yml").read_text())
GENERATIONS = VARS["__nvidia_driver_generations"]
PLATFORMS = VARS["__nvidia_driver_platforms"]


def plan(platform, *found, branch="", packages=(), toolkit=""):
    return driver_plan(
        {
            "found": list(found),
            "generations": GENERATIONS,
            "platform": PLATFORMS.get(platform, {}),
            "os": platform,
            "branch": branch,
            "packages": list(packages),
            "toolkit": toolkit,
        }
    )


def pci(*devices):
    """Lines as /proc/bus/pci/devices has them: slot, vendor and device, interrupt, resources."""
    return "".join(f"0{index}00\t{device}\t1f\t        0\tnvidia\n" for index, device in enumerate(devices))


CARDS = [
    ("17f0", "maxwell"),  # Quadro M6000
    ("13f2", "maxwell"),  # Tesla M60
    ("15f8", "pascal"),  # Tesla P100 PCIe
    ("1b38", "pascal"),  # Tesla P40
    ("1db1", "volta"),  # V100 SXM2 16 GB
    ("1db4", "volta"),  # V100 PCIe 16 GB
    ("1db5", "volta"),  # V100 SXM2 32 GB
    ("1db6", "volta"),  # V100 PCIe 32 GB
    ("1df6", "volta"),  # V100S
    ("1d81", "volta"),  # TITAN V
    ("1eb8", "turing"),  # T4
    ("20b2", "ampere"),  # A100 SXM4 80 GB
    ("2235", "ampere"),  # A40
    ("2330", "hopper"),  # H100 SXM5
    ("2684", "ada"),  # RTX 4090
    ("26b9", "ada"),  # L40S
    ("2901", "blackwell"),  # B200
]


def generation_faults(generations):
    """Return a sentence for each fault in rows of ``__nvidia_driver_generations``; CARDS has a card of each."""
    found, ends = [], []
    for row in generations:
        name = row.get("name", "?")
        found += [f"{name}: {key} is unknown" for key in set(row) - {"name", "devices", "oldest", "newest", "module"}]
        if row.get("module") not in ("any", "open-only", "proprietary-only"):
            found.append(f"{name}: module is {row.get('module')!r}, wanted any, open-only or proprietary-only")
        if name not in {generation for _, generation in CARDS}:
            found.append(f"{name}: no card of it is in CARDS of tests/unit/test_drivers.py")
        for text in row.get("devices", []):
            if not re.fullmatch("[0-9a-f]{4}-[0-9a-f]{4}", str(text)):
                found.append(f"{name}: {text!r} is no range of device numbers such as 1d80-1dff")
                continue
            ends.append((*(int(end, 16) for end in text.split("-")), name))
    ends.sort()
    found += [
        f"{two[2]} and {one[2]} share device numbers" for one, two in itertools.pairwise(ends) if two[0] <= one[1]
    ]
    return found


def test_the_table_of_generations_is_whole():
    no_faults(generation_faults(GENERATIONS), of="roles/nvidia_driver/vars/main.yml")


def platform_faults(platforms):
    """Return a sentence for each fault in rows of ``__nvidia_driver_platforms``."""
    needed, optional = {"newest", "proprietary", "headers"}, {"only", "repository", "open", "by_branch"}
    found = [f"{name}: {key} is missing" for name, row in platforms.items() for key in sorted(needed - set(row))]
    return found + [
        f"{name}: {key} is unknown, there are {sorted(needed | optional)}"
        for name, row in platforms.items()
        for key in sorted(set(row) - needed - optional)
    ]


def test_the_table_of_platforms_is_whole():
    no_faults(platform_faults(PLATFORMS), of="roles/nvidia_driver/vars/main.yml")
    assert platform_faults({"RedHat 10": {"newst": 590, "proprietary": [], "headers": "h"}}) == [
        "RedHat 10: newest is missing",
        "RedHat 10: newst is unknown, there are ['by_branch', 'headers', 'newest', 'only', 'open', 'proprietary',"
        " 'repository']",
    ]


def test_what_is_wrong_with_a_generation_is_said():
    volta = {"name": "volta", "devices": ["1d80-1dff"], "newest": 580, "module": "any"}
    assert generation_faults([volta]) == []
    wrong = {"name": "rubin", "devices": ["1df0-2fff", "30zz"], "oldst": 590, "module": "open"}
    assert generation_faults([volta, wrong]) == [
        "rubin: oldst is unknown",
        "rubin: module is 'open', wanted any, open-only or proprietary-only",
        "rubin: no card of it is in CARDS of tests/unit/test_drivers.py",
        "rubin: '30zz' is no range of device numbers such as 1d80-1dff",
        "rubin and volta share device numbers",
    ]


@pytest.mark.parametrize(("device", "generation"), CARDS)
def test_a_card_is_known_by_its_device_number(device, generation):
    assert gpu_generations(pci("8086" + "2030", "10de" + device), GENERATIONS) == [generation]


@pytest.mark.parametrize("device", ["10f7", "10f1", "1ad8", "1af1", "22ba"])  # sound, USB, NVSwitch
def test_other_functions_of_the_cards_are_no_gpus(device):
    assert gpu_generations(pci("10de" + device), GENERATIONS) == []


def test_other_vendors_and_empty_texts_are_no_gpus():
    assert gpu_generations(pci("80861db5"), GENERATIONS) == gpu_generations("", GENERATIONS) == []


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if name.startswith(("RedHat", "Ubuntu"))])
def test_volta_never_gets_a_branch_after_580(platform):
    chosen = plan(platform, "volta")
    assert chosen["faults"] == [] and chosen["branch"] <= 580 and chosen["module"] == "proprietary"
    (fault,) = plan(platform, "volta", branch="590")["faults"]
    lower = min(580, PLATFORMS[platform]["newest"])
    assert fault == (
        "nvidia_driver_branch is 590 and this host has a GPU of the volta generation, whose last branch is R580: set it"
        f" to {lower} or lower."
    )


def test_an_old_card_beside_a_new_one_decides():
    chosen = plan("RedHat 9", "volta", "ampere")
    assert (chosen["module"], chosen["packages"]) == ("proprietary", ["@nvidia-driver:580-dkms"])
    assert plan("RedHat 9", "volta", "ampere", branch="590")["faults"]


def test_no_module_drives_volta_and_blackwell():
    (fault,) = plan("RedHat 9", "volta", "blackwell")["faults"]
    assert "volta and blackwell, which no one kernel module drives" in fault


@pytest.mark.parametrize(
    ("platform", "wishes", "packages"),
    [
        (
            "RedHat 7",
            {},
            ["nvidia-driver-latest-dkms", "nvidia-driver-latest-dkms-cuda", "nvidia-persistenced-latest-dkms"],
        ),
        ("RedHat 7", {"branch": "535"}, ["nvidia-driver-branch-535", "nvidia-driver-branch-535-cuda"]),
        ("RedHat 8", {"branch": "550", "toolkit": "12.4"}, ["@nvidia-driver:550-dkms", "cuda-toolkit-12-4"]),
        ("Debian 12", {}, ["nvidia-kernel-dkms", "nvidia-smi", "libcuda1", "nvidia-persistenced"]),
        ("Ubuntu 22", {}, ["nvidia-headless-580-server", "nvidia-utils-580-server"]),
        ("Debian 12", {"branch": "580", "packages": ["my-driver"]}, ["my-driver"]),
    ],
)
def test_packages_of_a_volta_host(platform, wishes, packages):
    chosen = plan(platform, "volta", **wishes)
    assert (chosen["faults"], chosen["packages"]) == ([], packages)


def test_newer_cards_get_the_open_module_where_it_is_packaged():
    assert plan("RedHat 9", "ampere")["packages"] == ["@nvidia-driver:580-open"]
    assert plan("RedHat 7", "ampere")["module"] == "proprietary"
    assert plan("RedHat 7", "blackwell")["faults"]


@pytest.mark.parametrize(
    ("platform", "found", "branch", "words"),
    [
        ("RedHat 7", ["volta"], "560", "the last packages for RedHat 7 are of R550"),
        ("Debian 12", ["volta"], "470", "the archive of Debian 12 has R535 only"),
        ("Fedora 40", ["volta"], "", "there is no table of driver packages for Fedora 40"),
        ("RedHat 7", [], "", "no NVIDIA GPU that we know was found"),
        ("RedHat 7", ["vega"], "", "nvidia_driver_generation is 'vega', wanted one of ['ada'"),
        ("RedHat 9", ["hopper"], "470", "whose first branch is R525"),
    ],
)
def test_what_can_not_be_is_refused_in_one_sentence(platform, found, branch, words):
    (fault,) = plan(platform, *found, branch=branch)["faults"]
    assert words in fault


def test_kernels_are_ordered_as_rpm_orders_them():
    running = "3.10.0-1160.el7.x86_64"
    images = [
        f"/boot/vmlinuz-{version}" for version in (running, "3.10.0-957.el7.x86_64", "3.10.0-1160.119.1.el7.x86_64")
    ]
    assert newer_kernels([*images, "/boot/vmlinuz-0-rescue-99"], running) == ["3.10.0-1160.119.1.el7.x86_64"]
    assert newer_kernels(["/boot/vmlinuz-6.1.0-9-amd64"], "6.1.0-10-amd64") == []
    assert newer_kernels(["/boot/vmlinuz"], running) == []

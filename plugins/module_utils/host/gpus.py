"""What a host and its NVIDIA driver say about its GPUs. Python 2.7 and 3; nothing here changes anything."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import glob
import io
import os
import subprocess
import tempfile
import time

from .driver_faults import WARNED, bus_order, fault_of, lost_of, module_version
from .nvidia_smi import affinity_of, capabilities_of, facts_of, topology_of

EMPTY = {"count": 0, "driver": "", "cuda": "", "gpus": [], "topology": {}, "pci": [], "fault": "", "hint": ""}
# What a module takes that asks a host's driver.
GPU_OPTIONS = {
    "nvidia_smi": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 60},
    "capabilities": {"type": "dict", "default": {}},
}


def loaded_module(root="/"):
    """Return the version of the NVIDIA kernel module that is loaded, '' when there is none."""
    path = os.path.join(root, "proc/driver/nvidia/version")
    if not os.path.exists(path):
        return ""
    with io.open(path, encoding="utf-8") as stream:
        return module_version(stream.read()) or "of an unknown version"


def pci_cards(root="/"):
    """Return [(address, kernel driver or '')] of the NVIDIA display controllers on the PCI bus (class 03)."""
    cards = []
    for folder in sorted(glob.glob(os.path.join(root, "sys/bus/pci/devices/*"))):
        said = []
        for name in ("vendor", "class"):
            try:
                with io.open(os.path.join(folder, name), encoding="ascii") as stream:
                    said.append(stream.read().strip())
            except (IOError, OSError):
                said.append("")
        if said[0] == "0x10de" and said[1].startswith("0x03"):
            driver = os.path.join(folder, "driver")
            bound = os.path.basename(os.path.realpath(driver)) if os.path.exists(driver) else ""
            cards.append((os.path.basename(folder), bound))
    return cards


def run(command, seconds):
    """Return (status, output) of a command, (None, '') when it took longer; never waits for one that can not die.

    A process that hangs in the driver ignores SIGKILL, so its output goes to a file, not through a pipe.
    """
    with tempfile.TemporaryFile() as stream, io.open(os.devnull, "rb") as nothing:
        environment = dict(os.environ, LC_ALL="C")
        process = subprocess.Popen(
            command, stdin=nothing, stdout=stream, stderr=subprocess.STDOUT, close_fds=True, env=environment
        )
        deadline = time.time() + seconds
        while process.poll() is None:
            if time.time() > deadline:
                try:
                    process.kill()
                except OSError as error:
                    if error.errno != errno.ESRCH:
                        raise
                return None, ""
            time.sleep(0.05)
        stream.seek(0)
        return process.returncode, stream.read().decode("utf-8", "replace")


def without_tool(module, cards):
    """Return the facts of a host that has no ``nvidia-smi``: nothing, and why that may be wrong."""
    facts = dict(EMPTY, pci=[address for address, _driver in cards])
    if module:
        facts["fault"] = (
            "NVIDIA's kernel module %s is loaded and nvidia-smi is not installed: install the driver's own package of"
            " tools (nvidia-driver-cuda, nvidia-utils, nvidia-smi)." % module
        )
    elif cards:
        bound = sorted(set(driver for _address, driver in cards if driver))
        facts["hint"] = "%d NVIDIA card%s (%s) without NVIDIA's driver%s: install it." % (
            len(cards),
            " is there" if len(cards) == 1 else "s are there",
            ", ".join(address for address, _driver in cards),
            ", bound to " + " and ".join(bound) if bound else "",
        )
    return facts


def one_by_one(tool, output, cards, seconds, ask):
    """Return what nvidia-smi printed, and what it says of each card that is not lost when asked for it alone."""
    lost = [bus_order(bus) for bus, _why in lost_of(output)]
    for address, driver in cards:
        if driver == "nvidia" and bus_order(address) not in lost:
            _status, said = ask([tool, "-q", "-i", address], seconds)
            if "Product Name" not in said and not lost_of(said):
                said = "Unable to determine the device handle for GPU %s: no answer" % address
            output += "\n" + said
    return output


def gather(tool, seconds=60, root="/", ask=run, capabilities=()):
    """Return the facts of this host, in the shape of EMPTY; ``tool`` is the path of nvidia-smi, '' when there is none.

    A driver that does not work is no exception: ``fault`` says in one sentence what is wrong. A single card that does
    not work is none either: its own entry says so, and the others are told. ``capabilities`` is {compute capability:
    names of products}, for drivers that can not be asked.
    """
    module, cards = loaded_module(root), pci_cards(root)
    if not tool:
        return without_tool(module, cards)
    facts = dict(EMPTY, pci=[address for address, _driver in cards])
    status, output = ask([tool, "-q"], seconds)
    if status is None:
        facts["fault"] = (
            "nvidia-smi did not answer within %d s: a GPU or the driver hangs; look for Xid in the kernel log and"
            " reboot the host." % seconds
        )
        return facts
    if lost_of(output) and "Product Name" not in output:
        output = one_by_one(tool, output, cards, seconds, ask)
    if "Product Name" not in output or not lost_of(output):
        facts["fault"] = fault_of(output, status, module)
    if facts["fault"] and "Product Name" not in output:
        return facts
    facts.update(facts_of(output, capabilities))
    facts["count"] = sum(1 for gpu in facts["gpus"] if not gpu["lost"])
    status, output = ask([tool, "--query-gpu=uuid,compute_cap", "--format=csv,noheader"], seconds)
    told = capabilities_of(output)
    for gpu in facts["gpus"]:
        said = told.get(gpu["uuid"], "")
        if said[:1].isdigit():
            gpu["compute_capability"] = said
        elif said:
            gpu["unreadable"].append("compute capability (%s)" % said)
    status, output = ask([tool, "topo", "-m"], seconds)
    output = output if status in (0, WARNED) else ""
    facts["topology"] = topology_of(output) if len(facts["gpus"]) > 1 else {}
    beside = affinity_of(output)
    for index, gpu in enumerate(facts["gpus"]):
        gpu.update(beside.get("GPU%d" % index, {"cpus": None, "numa_node": None}))
    return facts


def gpus_of(module, asked):
    """Return what ``gather`` says; ``asked`` has GPU_OPTIONS. An nvidia-smi that does not run fails ``module``."""
    tool = asked["nvidia_smi"] or module.get_bin_path("nvidia-smi") or ""
    try:
        return gather(tool, asked["timeout"], capabilities=asked["capabilities"])
    except OSError as error:
        return module.fail_json(msg="%s can not be run (%s): correct its path." % (tool, error.strerror))

"""What the text that ``nvidia-smi`` prints says about GPUs. Python 2.7 and 3; nothing is read here, texts are given.

Read from ``nvidia-smi -q``, the one form that every driver since 384 answers in the same shape: a CSV query fails as a
whole for one field that the driver does not know (470 has no ``compute_cap``), and of real V100s on old drivers only
``-q`` outputs are public to test with (tests/unit/fixtures/nvidia-smi).
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re
from collections import OrderedDict

from .driver_faults import bus_order, inforoms_of, lost_of
from .products import capability_of

# How nvidia-smi says that a card or driver has no such thing, and how it says that it could not read it.
ABSENT = ("N/A", "[N/A]", "Not Supported", "[Not Supported]")
BROKEN = re.compile(r"unknown error|\berr!|requires?\s+reset|is lost|insufficient permissions", re.IGNORECASE)


def tree_of(text):
    """Return the nested dict that the indentation of ``nvidia-smi -q`` draws; keys in lower case, values as text.

    Drivers differ in case (``Ecc Mode``, ``ECC Mode``) and in what stands below what, not in the indentation. A key
    that stands there again (of two cards whose address can not be read) is counted: ``key #2``.
    """
    root = OrderedDict()
    stack = [(-1, root)]
    for line in text.splitlines():
        if not line.strip() or line.startswith("==="):
            continue
        indent = len(line) - len(line.lstrip())
        while stack[-1][0] >= indent:
            stack.pop()
        key, colon, value = (line.strip() + " ").partition(" : ")
        below, parent, key = OrderedDict(), stack[-1][1], key.strip().lower()
        again = sum(1 for other in parent if other == key or other.startswith(key + " #"))
        parent["%s #%d" % (key, again + 1) if again else key] = value.strip() if colon else below
        stack.append((indent, below))
    return root


def raw(tree, *path):
    """Return the text below a path of keys, of a section above it when that is a text, None when there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else tree
    return None if isinstance(tree, dict) else tree


def leaf(tree, *path):
    """Return the text below a path of keys, '' when it is not there, not available or could not be read."""
    text = raw(tree, *path) or ""
    return "" if text in ABSENT or BROKEN.search(text) else text


def number(text):
    """Return the number at the start of a text such as ``32480 MiB``, None when there is none."""
    found = re.match(r"\d+", text)
    return int(found.group()) if found else None


def switch(text):
    """Return True for Enabled or Yes, False for Disabled or No, None for what the GPU does not have."""
    return {"Enabled": True, "Yes": True, "Disabled": False, "No": False}.get(text)


def uncorrected(errors):
    """Return the sum of the uncorrected ECC errors of one scope (volatile or aggregate), None when ECC is off.

    Up to Volta (and Turing on old drivers) they are the total of ``Double Bit``; later several ``Uncorrectable``.
    """
    if not isinstance(errors, dict):
        return None
    if isinstance(errors.get("double bit"), dict):
        return number(leaf(errors, "double bit", "total"))
    counts = [number(leaf(errors, key)) for key in errors if "uncorrectable" in key]
    counts = [count for count in counts if count is not None]
    return sum(counts) if counts else None


def if_any_known(facts):
    """Return a dict, or None when none of its values is known."""
    return facts if any(value is not None for value in facts.values()) else None


def texts_of(tree):
    """Return every text of a section, of all that stands below it."""
    below = [texts_of(one) for one in tree.values()] if isinstance(tree, dict) else [[tree or ""]]
    return [text for texts in below for text in texts]


def unreadable_of(tree):
    """Return what nvidia-smi could not read of one GPU, each with its words: ``total memory (Unknown Error)``.

    A card always has a name, a UUID and memory, so N/A is no answer there. The rest it may not have.
    """
    found = []
    needed = (
        ("name", ("product name",), leaf),
        ("UUID", ("gpu uuid",), leaf),
        ("total memory", ("fb memory usage", "total"), lambda *where: number(leaf(*where))),
        ("used memory", ("fb memory usage", "used"), lambda *where: number(leaf(*where)) is not None),
    )
    for what, path, read in needed:
        if not read(tree, *path):
            found.append("%s (%s)" % (what, raw(tree, *path) or "empty"))
    sections = (
        ("ECC mode", "ecc mode"),
        ("ECC errors", "ecc errors"),
        ("retired pages", "retired pages"),
        ("remapped rows", "remapped rows"),
        ("MIG mode", "mig mode"),
        ("recovery action", "gpu recovery action"),
        ("reset status", "gpu reset status"),
        ("reset status", "reset status"),
    )
    for what, key in sections:
        broken = [text or "empty" for text in texts_of(tree.get(key, "N/A")) if not text or BROKEN.search(text)]
        found += ["%s (%s)" % (what, broken[0])] if broken else []
    return found


def verdicts_of(tree):
    """Return what the driver itself says against one GPU, in its words; [] when it is well.

    CUDA does not begin before a GPU behind NVSwitch has joined the fabric, nor on a virtual GPU without a license.
    """
    action = leaf(tree, "gpu recovery action")
    found = ["GPU Recovery Action: %s" % action] if action and action.lower() != "none" else []
    for section in ("gpu reset status", "reset status"):
        for words in ("Reset Required", "Drain and Reset Recommended"):
            if switch(leaf(tree, section, words.lower())):
                found.append("%s: Yes" % words)
    for key, well in (("state", "completed"), ("status", "success")):
        said = leaf(tree, "fabric", key)
        if isinstance(tree.get("fabric"), dict) and said and said.lower() not in (well, "not supported"):
            found.append("Fabric %s: %s" % (key.capitalize(), said))
    virtual = leaf(tree, "gpu virtualization mode", "virtualization mode").lower() == "vgpu"
    for section in ("vgpu software licensed product", "grid licensed product"):
        said = leaf(tree, section, "license status") if isinstance(tree.get(section), dict) else ""
        if virtual and said.lower().startswith("unlicensed"):
            found.append("License Status: %s" % said)
    return found


def pending_of(retired):
    """Return whether pages wait to be retired: "Pending" up to driver 418, "Pending Page Blacklist" since."""
    said = [switch(leaf(retired, key)) for key in retired if key.startswith("pending")]
    said = [one for one in said if one is not None]
    return any(said) if said else None


def gpu_of(bus, tree, capabilities=()):
    """Return what one GPU's section says; None stands for what this GPU or driver does not have."""
    name, retired, remapped = leaf(tree, "product name"), tree.get("retired pages"), tree.get("remapped rows")
    retired, remapped = (part if isinstance(part, dict) else {} for part in (retired, remapped))
    errors = tree.get("ecc errors")
    errors = errors if isinstance(errors, dict) else {}
    unreadable, address = unreadable_of(tree), leaf(tree, "pci", "bus id").upper()
    if not bus_order(bus):
        unreadable = unreadable if bus_order(address) else ["bus address (%s)" % (bus or "empty")] + unreadable
        bus = address if bus_order(address) else bus
    return {
        "name": name,
        "uuid": leaf(tree, "gpu uuid"),
        "bus": bus,
        "lost": "",
        "unreadable": unreadable,
        "verdicts": verdicts_of(tree),
        "inforom_corrupted": False,
        "compute_mode": leaf(tree, "compute mode"),
        "memory_mb": number(leaf(tree, "fb memory usage", "total")) or None,
        "memory_used_mb": number(leaf(tree, "fb memory usage", "used")),
        "compute_capability": capability_of(name, capabilities) if name else "",
        "persistence_mode": switch(leaf(tree, "persistence mode")),
        "mig_mode": switch(leaf(tree, "mig mode", "current")),
        "mig_devices": sum(1 for key in tree if re.match("mig devices?( #|$)", key) and isinstance(tree[key], dict)),
        "ecc_mode": switch(leaf(tree, "ecc mode", "current")),
        "ecc_uncorrected": if_any_known(
            dict((scope, uncorrected(errors.get(scope))) for scope in ("volatile", "aggregate"))
        ),
        "retired_pages": if_any_known(
            {
                "single_bit": number(leaf(retired, "single bit ecc")),
                "double_bit": number(leaf(retired, "double bit ecc")),
                "pending": pending_of(retired),
            }
        ),
        "remapped_rows": if_any_known(
            {
                "correctable": number(leaf(remapped, "correctable error")),
                "uncorrectable": number(leaf(remapped, "uncorrectable error")),
                "pending": switch(leaf(remapped, "pending")),
                "failed": switch(leaf(remapped, "remapping failure occurred")),
            }
        ),
    }


def facts_of(text, capabilities=()):
    """Return {driver, cuda, gpus} as the text of ``nvidia-smi -q`` tells them.

    A GPU that is lost is among them, at its place, so that the others keep their numbers. ``capabilities`` is described
    at capability_of.
    """
    # What is said of a lost GPU is no section: "GPU 0000:3B:00.0: GPU is lost" only begins like one.
    root = tree_of("\n".join(line for line in text.splitlines() if not lost_of(line)))
    gpus = [
        gpu_of(key[4:].partition(" #")[0].upper(), root[key], capabilities)
        for key in root
        if key.startswith("gpu ") and isinstance(root[key], dict)
    ]
    for bus, why in lost_of(text):
        same = [
            gpu
            for gpu in gpus
            if bus in (gpu["bus"], gpu["uuid"].upper()) or bus_order(bus) == bus_order(gpu["bus"]) != ()
        ]
        gpus += [] if same else [dict(gpu_of(bus, {}), unreadable=[])]
        (same or gpus[-1:])[0]["lost"] = why
    for gpu in gpus:
        gpu["inforom_corrupted"] = bus_order(gpu["bus"]) in inforoms_of(text)
    # By bus, which is nvidia-smi's own order.
    if all(bus_order(gpu["bus"]) for gpu in gpus):
        gpus.sort(key=lambda gpu: bus_order(gpu["bus"]))
    return {"driver": leaf(root, "driver version"), "cuda": leaf(root, "cuda version"), "gpus": gpus}


def capabilities_of(text):
    """Return {uuid: compute capability, or how nvidia-smi says that it could not read it} of its CSV of the two."""
    rows = re.findall(r"^(\S+),[ \t]*(\S[^\r\n]*?)[ \t\r]*$", text, re.MULTILINE)
    return dict((uuid, said) for uuid, said in rows if re.match(r"\d+\.\d+$", said) or BROKEN.search(said))


def matrix_of(text):
    """Return the words of each line of ``nvidia-smi topo -m``, from the heading on: a warning may stand before it."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    heading = next((number for number, line in enumerate(lines) if re.match(r"GPU\d+$", line[0])), 0)
    return lines[heading:]


def topology_of(text):
    """Return {"GPU0": {"GPU1": "NV2", ...}, ...}: how each pair of GPUs is connected, of ``nvidia-smi topo -m``."""
    lines = matrix_of(text)
    names = [word for word in lines[0] if re.match(r"GPU\d+$", word)] if lines else []
    rows = dict((line[0], line[1:]) for line in lines[1:] if line[0] in names and len(line) > len(names))
    pairs = dict((name, list(zip(names, rows[name]))) for name in names if name in rows)  # noqa: B905  (NICs follow)
    return dict((name, dict(pair for pair in pairs[name] if pair[0] != name)) for name in pairs)


def affinity_of(text):
    """Return {"GPU0": {"cpus": "0-11,24-35", "numa_node": 0}, ...} of ``nvidia-smi topo -m``; None for what it lacks.

    Old drivers have no column NUMA Affinity, new ones have another behind it; a machine without NUMA says N/A.
    """
    lines = matrix_of(text)
    heading = lines[0] if lines else []
    if "CPU" not in heading:
        return {}
    devices = heading.index("CPU")
    found = {}
    for line in lines[1:]:
        if line[0] in heading[:devices] and re.match(r"GPU\d+$", line[0]):
            cpus, node = (line[devices + 1 :] + ["", ""])[:2]
            numbered = "NUMA" in heading and re.match(r"\d+$", node)
            found[line[0]] = {
                "cpus": cpus if re.match(r"\d+(-\d+)?(,\d+(-\d+)?)*$", cpus) else None,
                "numa_node": int(node) if numbered else None,
            }
    return found

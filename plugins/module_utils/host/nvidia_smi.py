"""What the text that ``nvidia-smi`` prints says about GPUs. Python 2.7 and 3; nothing is read here, texts are given.

Read from ``nvidia-smi -q``, the one form that every driver since 384 answers in the same shape: a CSV query fails as a
whole for one field that the driver does not know (470 has no ``compute_cap``), and of real V100s on old drivers only
``-q`` outputs are public to test with (tests/unit/fixtures/nvidia-smi).
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

# Compute capability by product name, for drivers that can not be asked. Source: NVIDIA's list "CUDA GPU Compute
# Capability". The first pattern that is found wins.
CAPABILITIES = (
    (r"\bV100|\bTITAN V\b|\bGV100\b", "7.0"),
    (r"\bA(100|800|30)(?!\d)", "8.0"),
    (r"\bH(100|200|800|20)(?!\d)|\bGH200\b", "9.0"),
    (r"\bB(100|200)(?!\d)|\bGB200\b", "10.0"),
    (r"\bB300(?!\d)|\bGB300\b", "10.3"),
    (r"\bBlackwell\b|\bRTX 50\d\d\b", "12.0"),
    (r"\bL(4|40|40S|20|2)\b|\bAda\b|\bRTX 40\d\d\b", "8.9"),
    (r"\bA(10|10G|10M|16|2|40)\b|\bRTX A\d+|\bRTX 30\d\d\b", "8.6"),
    (r"\bT4G?\b|\bRTX 20\d\d\b|\bGTX 16\d\d\b|\bQuadro RTX\b|\bTITAN RTX\b|\bT\d{3,4}\b", "7.5"),
    (r"\bP100\b|\bGP100\b", "6.0"),
    (r"\bP(4|6|40)\b|\bGTX 10\d\d\b|\bTITAN X[Pp]\b", "6.1"),
    (r"\bM(4|6|10|40|60)\b", "5.2"),
    (r"\bK80\b", "3.7"),
)
LOST = re.compile(r"Unable to determine the device handle for GPU\s*([0-9A-Fa-f:.]+?):\s+(.*)")


def capability_of(name):
    """Return the compute capability of a product, such as 7.0 for Tesla V100-SXM2-32GB; '' for an unknown one."""
    return next((capability for pattern, capability in CAPABILITIES if re.search(pattern, name)), "")


def tree_of(text):
    """Return the nested dict that the indentation of ``nvidia-smi -q`` draws; keys in lower case, values as text.

    Drivers differ in case (``Ecc Mode``, ``ECC Mode``) and in what stands below what, not in the indentation.
    """
    root = {}
    stack = [(-1, root)]
    for line in text.splitlines():
        if not line.strip() or line.startswith("==="):
            continue
        indent = len(line) - len(line.lstrip())
        while stack[-1][0] >= indent:
            stack.pop()
        key, colon, value = line.strip().partition(" : ")
        below = {}
        stack[-1][1][key.strip().lower()] = value.strip() if colon else below
        stack.append((indent, below))
    return root


def leaf(tree, *path):
    """Return the text below a path of keys, '' when it is not there or not available."""
    for key in path:
        tree = tree.get(key, "") if isinstance(tree, dict) else ""
    return "" if isinstance(tree, dict) or tree in ("N/A", "[N/A]", "Not Supported", "Unknown Error", "ERR!") else tree


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


def gpu_of(bus, tree):
    """Return what one GPU's section says; None stands for what this GPU or driver does not have."""
    name, retired, remapped = leaf(tree, "product name"), tree.get("retired pages"), tree.get("remapped rows")
    retired, remapped = (part if isinstance(part, dict) else {} for part in (retired, remapped))
    errors = tree.get("ecc errors")
    errors = errors if isinstance(errors, dict) else {}
    return {
        "name": name,
        "uuid": leaf(tree, "gpu uuid"),
        "bus": bus,
        "memory_mb": number(leaf(tree, "fb memory usage", "total")),
        "memory_used_mb": number(leaf(tree, "fb memory usage", "used")),
        "compute_capability": capability_of(name),
        "persistence_mode": switch(leaf(tree, "persistence mode")),
        "mig_mode": switch(leaf(tree, "mig mode", "current")),
        "ecc_mode": switch(leaf(tree, "ecc mode", "current")),
        "ecc_uncorrected": if_any_known(
            dict((scope, uncorrected(errors.get(scope))) for scope in ("volatile", "aggregate"))
        ),
        "retired_pages": if_any_known(
            {
                "single_bit": number(leaf(retired, "single bit ecc")),
                "double_bit": number(leaf(retired, "double bit ecc")),
                # "Pending" up to driver 418, "Pending Page Blacklist" since.
                "pending": switch(leaf(retired, "pending page blacklist") or leaf(retired, "pending")),
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


def facts_of(text):
    """Return {driver, cuda, gpus} as the text of ``nvidia-smi -q`` tells them."""
    root = tree_of(text)
    gpus = [
        gpu_of(key[4:].upper(), root[key]) for key in root if key.startswith("gpu ") and isinstance(root[key], dict)
    ]
    # By bus, which is nvidia-smi's own order: Python 2.7 does not keep a dict's.
    gpus.sort(key=lambda gpu: gpu["bus"])
    return {"driver": leaf(root, "driver version"), "cuda": leaf(root, "cuda version"), "gpus": gpus}


def capabilities_of(text):
    """Return {uuid: compute capability} of the text of ``nvidia-smi --query-gpu=uuid,compute_cap``."""
    return dict(re.findall(r"^(\S+),\s*(\d+\.\d+)\s*$", text, re.MULTILINE))


def topology_of(text):
    """Return {"GPU0": {"GPU1": "NV2", ...}, ...}: how each pair of GPUs is connected, of ``nvidia-smi topo -m``."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    names = [word for word in lines[0] if re.match(r"GPU\d+$", word)] if lines else []
    rows = dict((line[0], line[1:]) for line in lines[1:] if line[0] in names and len(line) > len(names))
    pairs = dict((name, list(zip(names, rows[name]))) for name in names if name in rows)  # noqa: B905  (NICs follow)
    return dict((name, dict(pair for pair in pairs[name] if pair[0] != name)) for name in pairs)


def affinity_of(text):
    """Return {"GPU0": {"cpus": "0-11,24-35", "numa_node": 0}, ...} of ``nvidia-smi topo -m``; None for what it lacks.

    Old drivers have no column NUMA Affinity, new ones have another behind it; a machine without NUMA says N/A.
    """
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in text.splitlines()]
    lines = [line for line in lines if line]
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


def module_version(text):
    """Return the version in the text of ``/proc/driver/nvidia/version``, '' when there is none."""
    found = re.search(r"Kernel Module(?: for \S+)?\s+([\d.]+)", text)
    return found.group(1) if found else ""


# What nvidia-smi prints or returns when it can not answer: a pattern, a status (see its manual), and the sentence.
FAULTS = (
    (
        "version mismatch",
        None,
        "NVIDIA's kernel module is %(module)s and its libraries are %(library)s (Driver/library version mismatch): the"
        " driver was updated while the old module stayed loaded; reboot the host.",
    ),
    (
        "couldn't communicate with the NVIDIA driver",
        9,
        "the NVIDIA driver does not answer: the kernel module is not loaded; install the driver for the kernel that"
        " runs, or load it with modprobe nvidia and read the kernel log.",
    ),
    (
        "Insufficient Permissions",
        4,
        "nvidia-smi may not use the GPUs (Insufficient Permissions): run as root, and look at the modes of"
        " /dev/nvidia*, at SELinux, and in a container at its devices.",
    ),
    (
        "No devices were found|No supported GPUs were found",
        6,
        "the NVIDIA driver sees no GPU (%(first)s): look for Xid and NVRM in the kernel log; the card may be too new or"
        " too old for driver %(module)s, without power, or passed through to a guest.",
    ),
    ("", None, "nvidia-smi ended with %(status)d: %(first)s; repair the driver until nvidia-smi answers."),
)


def fault_of(output, status, module=""):
    """Return one sentence for what ``nvidia-smi`` printed when it could not answer, '' when it could.

    ``module`` is the version of the loaded kernel module.
    """
    lost = LOST.search(output)
    if lost:
        return (
            "GPU %s fell off the bus (%s): reboot the host; if it comes back, look for Xid in the kernel log and have"
            " the card, its power and its slot checked." % (lost.group(1), lost.group(2).split(".")[0].strip())
        )
    if status == 0 and "Driver Version" in output:
        return ""
    library = re.search(r"NVML library version: (\S+)", output)
    words = {
        "module": module or "of an unknown version",
        "library": library.group(1) if library else "of another version",
        "first": next((line.strip().rstrip(".") for line in output.splitlines() if line.strip()), "no output"),
        "status": status,
    }
    return next(said % words for pattern, code, said in FAULTS if re.search(pattern, output) or status == code)

"""What nvidia-smi prints when the driver or a GPU does not work. Python 2.7 and 3; nothing is read here."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re
from collections import OrderedDict

ADDRESS = r"[0-9A-F]+:[0-9A-F]+:[0-9A-F]+(?:\.[0-9A-F]+)?"
# "GPU 0000:3B:00.0: ...", "GPU0000:3B:00.0: ..." and "GPU3: 0000:3B:00.0: ...", by the driver's version.
WHICH = r"GPU\s*(?:\d+\s*:\s+)?(?P<bus>%s|GPU-[0-9A-F-]+)(?:\s*\(UUID:[^)]*\))?" % ADDRESS
LOST = (
    re.compile(r"Unable to \w+ the device handle for " + WHICH + r"\s*:\s*(?P<why>.*)", re.IGNORECASE),
    re.compile(WHICH + r"\s*:?\s+(?P<why>(?:GPU )?(?:is lost|has fallen off the bus).*)", re.IGNORECASE),
)

# nvidia-smi ends with this status when it warned of one card's infoROM and answered all the same (its manual).
WARNED = 14
INFOROM = re.compile(r"infoROM is corrupted at gpu\s+(%s)" % ADDRESS, re.IGNORECASE)


def bus_order(bus):
    """Return the numbers of a bus address, () when it is none; domains have four digits or eight, by the driver."""
    return tuple(int(part, 16) for part in re.split("[:.]", bus)) if re.match(ADDRESS + "$", bus, re.IGNORECASE) else ()


def lost_of(text):
    """Return [(bus address, the driver's words)] of the GPUs that fell off the bus, each once."""
    found = []
    for pattern in LOST:
        for one in pattern.finditer(text):
            bus, why = one.group("bus").upper(), one.group("why").split(".")[0].strip()
            if bus_order(bus) not in [bus_order(other) for other, _why in found] or not bus_order(bus):
                found.append((bus, why or "no reason is given"))
    return list(OrderedDict(found).items())


def inforoms_of(text):
    """Return the bus addresses, as numbers, of the GPUs whose infoROM nvidia-smi warns of."""
    return [bus_order(bus) for bus in INFOROM.findall(text)]


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
    (
        "is lost|fallen off the bus",
        15,
        "a GPU fell off the bus and nvidia-smi does not say which (%(first)s): look for Xid 79 in the kernel log, and"
        " reboot the host.",
    ),
    ("", None, "nvidia-smi ended with %(status)d: %(first)s; repair the driver until nvidia-smi answers."),
)


AFTER_LOST = (
    "reboot the host; if it comes back, look for Xid in the kernel log and have the card, its power and its slot"
    + " checked."
)


def lost_in_words(why):
    """Return what happened to a GPU that has no handle, by the driver's words."""
    gone = re.search("lost|unknown error|fallen off", why, re.IGNORECASE)
    return "%s (%s)" % ("fell off the bus" if gone else "does not answer", why)


def fault_of(output, status, module=""):
    """Return one sentence for what ``nvidia-smi`` printed when it could not answer, '' when it could.

    ``module`` is the version of the loaded kernel module.
    """
    lost = lost_of(output)
    if lost:
        told = " ".join("GPU %s %s." % (bus, lost_in_words(why)) for bus, why in lost)
        return told[:-1] + ": " + AFTER_LOST
    if status in (0, WARNED) and "Driver Version" in output:
        return ""
    library = re.search(r"NVML library version: (\S+)", output)
    words = {
        "module": module or "of an unknown version",
        "library": library.group(1) if library else "of another version",
        "first": next((line.strip().rstrip(".") for line in output.splitlines() if line.strip()), "no output"),
        "status": status,
    }
    return next(said % words for pattern, code, said in FAULTS if re.search(pattern, output) or status == code)

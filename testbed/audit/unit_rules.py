"""Check the text of a systemd unit of ours: pure functions, for the tests of every unit.

The data is in ``files/systemd``: what systemd 219 (EL 7) knows, and what the units carry beside that for newer ones.
"""

import re
from typing import NamedTuple

import yaml

from testbed.paths import CLONE

FOLDER = CLONE / "files" / "systemd"
KNOWN = frozenset((FOLDER / "directives-219.txt").read_text().split())
NEWER = yaml.safe_load((FOLDER / "newer.yml").read_text())

# Values that systemd 219 does not understand, and what it does with them.
TRAPS = {
    r"Timeout(Start|Stop)?Sec=infinity": "overflows on systemd 219: write 0",
    r"Type=(exec|notify-reload)": "is unknown to systemd 219, which then takes simple",
    r"NotifyAccess=exec": "is unknown to systemd 219",
    r"Standard(Output|Error)=(file|append|truncate):.*": "is unknown to systemd 219, which then uses the journal",
    r"RuntimeDirectory=.*/.*": "has a '/', which systemd 219 refuses",
    r"Exec\w+=[-@:]*[+!].*": "has a prefix that systemd 219 takes for a part of the path",
    r"(MemoryLimit|TasksMax)=.*%": "has a percentage, which systemd 219 does not know",
    r"Limit\w+=\w+:\w+": "has two values, and systemd 219 knows one",
    r"SystemCallFilter=(?!~).*": "allows instead of denying: a group that a systemd does not know takes all calls away",
    r"RemoveIPC=(yes|true|1|on)": "removes the shared memory of the user's other services too",
    r".*%[CELSj].*": "has a specifier that systemd 219 does not know",
}
# Settings that take /dev/nvidia* away; checked where a GPU is in use.
GPU_TRAPS = {
    r"PrivateDevices=(yes|true|1|on)": "hides /dev/nvidia*",
    r"ProtectClock=(yes|true|1|on)": "hides /dev/nvidia*: it brings a list of allowed devices with it",
    r"DevicePolicy=(closed|strict)|DeviceAllow=.*": "hides what is not named, and no list was tried",
    r"PrivateUsers=(yes|true|1|on)": "was never tried with the driver",
}
# Every service has each of these, in a form that 219 knows.
PROTECTIONS = {
    "User": r"(?!root$|0$).+",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "(CAP_NET_BIND_SERVICE)?",
    "PrivateTmp": "yes",
    "ProtectHome": "yes",
    "ProtectSystem": "full|yes",
    "TasksMax": r"\d+",
    "LimitNOFILE": r"\d+",
    "LimitCORE": "0",
}


class Line(NamedTuple):
    """One setting of a unit."""

    section: str
    name: str
    value: str


def lines(unit: str) -> list[Line]:
    """Return the settings of a unit in their order; what is neither a setting nor a comment is refused."""
    section, found = "", []
    for line in re.sub(r"\\\n", " ", unit).splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif setting := re.fullmatch(r"(\w+)=(.*)", line):
            found.append(Line(section, setting[1], setting[2].strip()))
        elif line and line[0] not in "#;":
            raise ValueError(f"{line!r} is neither a section, a setting nor a comment.")
    return found


def faults(unit: str, *, gpu: bool) -> list[str]:
    """Return one sentence for each setting that breaks on systemd 219 or with a GPU, and each missing protection."""
    settings, found = lines(unit), []
    for section, name, value in settings:
        newer = section == "Service" and name in NEWER
        if f"{section}.{name}" not in KNOWN and not newer:
            found.append(f"{name}= in [{section}] is unknown to systemd 219 and not in files/systemd/newer.yml.")
        if newer and (here := NEWER[name].get("here")) and here not in {line.name for line in settings}:
            found.append(f"{name}= is unknown to systemd 219, and {here}=, which stands for it there, is absent.")
        for pattern, why in {**TRAPS, **(GPU_TRAPS if gpu else {})}.items():
            if re.fullmatch(pattern, f"{name}={value}"):
                found.append(f"{name}={value} {why}.")
    kinds = {line.value for line in settings if line.name == "Type"}
    if "oneshot" in kinds and any(line.name == "Restart" and line.value != "no" for line in settings):
        found.append("Restart= with Type=oneshot is refused by systemd 219.")
    for name, form in PROTECTIONS.items():
        if not any(line.name == name and re.fullmatch(form, line.value) for line in settings):
            found.append(f"{name}= is absent, or in no form that systemd 219 knows ({form or 'empty'}).")
    if next((line.value for line in settings if line.name == "ProtectSystem"), "") == "strict":
        found.append("ProtectSystem=strict comes first: systemd 219 drops it and stays with what stood before it.")
    return found

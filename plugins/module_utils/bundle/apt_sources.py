"""Where Debian's packages come from: the addresses that apt on this machine already takes them from. Python >= 3.6.

A file of files/systems names suites and no host. An archive holds every release, so a machine of another release of
Debian knows the address too.
"""

import glob
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple

from .manifest import BundleError

CODENAMES = ("buster", "bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing")
ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[\w./-]+)+)\s*(?:#.*)?$")

FIELD = re.compile(r"(?m)^([\w-]+):(.*(?:\n[ \t].*)*)")


class Archive(NamedTuple):
    """One entry of apt's sources; ``keyring`` is '' where the entry names none."""

    uri: str
    suite: str
    components: List[str]
    keyring: str


def texts_of(folder: str) -> List[str]:
    """Return the texts of apt's lists of sources, in apt's order."""
    paths = [os.path.join(folder, "sources.list")]
    paths += sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.list")))
    paths += sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.sources")))
    found = []
    for path in paths:
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as stream:
                found.append(stream.read())
    return found


def archives_in(text: str) -> Iterator[Archive]:
    """Yield the entries of one list, in apt's old format (a line each) or in its newer one (a paragraph each)."""
    for line in text.splitlines():
        match = ONE_LINE.match(line.strip())
        if match:
            keyring = re.search(r"signed-by=(\S+)", match.group(1) or "")
            yield Archive(match.group(2), match.group(3), match.group(4).split(), keyring.group(1) if keyring else "")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", lines):
        fields = {name.lower(): value.split() for name, value in FIELD.findall(paragraph)}
        if "deb" not in fields.get("types", []) or fields.get("enabled", ["yes"]) == ["no"]:
            continue
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                yield Archive(uri, suite, fields.get("components", []), " ".join(fields.get("signed-by", [])))


def kind_of(suite: str) -> str:
    """Return '' for a release, '-updates' or '-security' for what goes with one, '?' for what is not Debian's."""
    codename, dash, rest = suite.replace("/updates", "-security").partition("-")
    return dash + rest if codename in CODENAMES else "?"


def with_sources(system: Dict[str, Any], folder: str = "/etc/apt") -> Dict[str, Any]:
    """Return a system with its ``sources``: those that it has, or its suites at the addresses of this machine's apt.

    Entries that are signed by another keyring than the system's are others' archives. Raises BundleError when there is
    no address for a suite.
    """
    if system.get("sources"):
        return system
    known = {}  # type: Dict[str, str]
    for text in texts_of(folder):
        for archive in archives_in(text):
            same = archive.keyring in ("", system["keyring"]) or archive.keyring.startswith("-----BEGIN")
            if same and "main" in archive.components:
                known.setdefault(kind_of(archive.suite), archive.uri)
    suites = system.get("suites") or []
    lost = [suite.split()[0] for suite in suites if kind_of(suite.split()[0]) not in known]
    if lost or not suites:
        raise BundleError(
            "apt on this machine names no archive of Debian for %s: make the bundle on Debian, or set bundle_systems to"
            " {%s: {sources: ['https://MIRROR/debian SUITE main', ...]}}." % (", ".join(lost), system["name"])
        )
    return dict(system, sources=["%s %s" % (known[kind_of(suite.split()[0])], suite) for suite in suites])

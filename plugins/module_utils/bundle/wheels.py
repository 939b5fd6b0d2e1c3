"""The wheels of a lock for another Python and platform than this one. Python >= 3.6 with pip, on the control node.

pip chooses, as it is configured (indexes, proxies, find-links): a dry run's report names each wheel's URL. What is
accepted is decided by the lock's hashes alone.
"""

import html
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from typing import Any, Dict, List, NamedTuple, Set, Tuple

from ..storage import files as storage
from ..storage.digests import sha256_of
from .files import BundleFile, fill_folder
from .manifest import BundleError, write

# The names before PEP 600, by the minor version of their glibc.
LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
INDEX = "index.html"


class Requirement(NamedTuple):
    """One entry of a lock: the requirement for pip, and its hashes, one of which must match."""

    text: str
    hashes: Set[str]


class Target(NamedTuple):
    """The hosts that get the wheels: Python such as 3.11, glibc such as 2.28, and a stack's own index besides pip's."""

    python: str
    glibc: str
    extra_index_url: str = ""


def requirements(lock: str) -> List[Requirement]:
    """Return the entries of a lock (requirements with hashes, as uv and pip-tools write them)."""
    found = []
    for line in re.sub(r"\\\r?\n", " ", re.sub(r"(?m)^\s*#.*$", "", lock)).splitlines():
        entry = line.split(" #")[0].strip()
        if entry and not entry.startswith("-"):
            text = re.split(r"\s+--hash=", entry)[0].strip()
            found.append(Requirement(text, set(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))))
    return found


def wheel_platforms(glibc: str) -> List[str]:
    """Return pip's tags of all wheels that load on a glibc, the newest first. Unlike uv, pip needs each by name."""
    major, minor = map(int, glibc.split("."))
    tags = []
    for older in range(minor, 4, -1):
        tags += ["manylinux_%d_%d_x86_64" % (major, older)] + (["%s_x86_64" % LEGACY[older]] if older in LEGACY else [])
    return [*tags, "linux_x86_64"]


def lacking(wanted: List[Requirement], folder: str) -> Tuple[List[Requirement], List[str]]:
    """Return (entries without a wheel in a directory, wheels there that no entry wants), by sha256."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".whl")) if os.path.isdir(folder) else []
    there = {sha256_of(os.path.join(folder, name)): name for name in names}
    accepted = set().union(*[entry.hashes for entry in wanted])
    missing = [entry for entry in wanted if not entry.hashes & set(there)]
    return missing, [name for digest, name in there.items() if digest not in accepted]


def chosen(wanted: List[Requirement], target: Target, near: List[str]) -> List[BundleFile]:
    """Return the wheels that pip chooses, from ``near`` alone if possible, else as pip is configured."""
    links = [word for folder in near for word in ("--find-links", folder)]
    tries = [["--no-index", *links]] if near else []
    tries.append(links)
    # pip's own configuration is tried first: where a mirror has torch's builds, torch's index is not needed.
    tries += [[*links, "--extra-index-url", target.extra_index_url]] if target.extra_index_url else []
    with tempfile.TemporaryDirectory() as scratch:
        asked, report = os.path.join(scratch, "wanted.txt"), os.path.join(scratch, "report.json")
        # This is without hashes, because with them pip would have to download each wheel to name it.
        storage.write(asked, "".join(entry.text + "\n" for entry in wanted).encode("utf-8"), durable=False)
        command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--dry-run"]
        command += ["--ignore-installed", "--no-deps", "--only-binary", ":all:", "--python-version", target.python]
        command += ["--target", scratch, "--report", report, "--requirement", asked]
        command += [word for tag in wheel_platforms(target.glibc) for word in ("--platform", tag)]
        for words in tries:
            done = subprocess.run(
                [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, check=False
            )
            if done.returncode == 0:
                with open(report, encoding="utf-8") as stream:
                    return accepted_of(json.load(stream), wanted)
    why = [line for line in done.stderr.strip().splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
    raise BundleError("pip found no wheel for Python %s: %s." % (target.python, why[-1].rstrip(".")))


def accepted_of(report: Dict[str, Any], wanted: List[Requirement]) -> List[BundleFile]:
    """Return the wheels of pip's report; raises BundleError for one whose sha256 is not in the lock."""
    accepted = set().union(*[entry.hashes for entry in wanted])
    found = []
    for entry in report["install"]:
        url = entry["download_info"]["url"]
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[1])
        sha256 = entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", "")
        if not sha256 and url.startswith("file:"):  # pip before 23.1 does not hash local files
            sha256 = sha256_of(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
        if sha256 not in accepted:
            raise BundleError(
                "%s has sha256 %s, which the lock does not know: correct the index, or the lock."
                % (name, sha256 or "unknown")
            )
        found.append(BundleFile(name, sha256, url))
    return found


def ensure(lock: str, dest: str, target: Target, near: List[str], check_mode: bool = False) -> Dict[str, Any]:
    """Fill ``dest`` with one wheel for each entry of a lock (its text); return what ``fill_folder`` does, and wheels.

    A complete directory is only read, and no server is asked. Raises BundleError.
    """
    wanted = requirements(lock)
    if not wanted or not all(entry.hashes for entry in wanted):
        raise BundleError("The lock names no files by hash: make it with `make locks`.")
    missing, stale = lacking(wanted, dest)
    if not missing and not stale:
        size = sum(os.path.getsize(os.path.join(dest, n)) for n in os.listdir(dest) if n.endswith(".whl"))
        done = {"changed": False, "bytes_fetched": 0, "bytes_linked": 0, "bytes_total": size}
    else:
        if not check_mode:
            page = [INDEX] if os.path.exists(os.path.join(dest, INDEX)) else []
            for name in stale + page:
                storage.remove(os.path.join(dest, name))
        # Wheels that are there already count as near. In check mode they do not, because a damaged wheel or a page that
        # names a lost one would stay there and stop pip.
        kept = [dest] if os.path.isdir(dest) and not check_mode else []
        done = fill_folder(chosen(wanted, target, [*near, *kept]), dest, check_mode)
    if not check_mode:
        done["changed"] = write(os.path.join(dest, INDEX), index_of(dest)) or done["changed"]
    return dict(done, wheels=len(wanted))


def index_of(folder: str) -> str:
    """Return a page that links a directory's wheels: with it, any web server's directory is one for --find-links."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".whl"))
    links = ['<a href="%s">%s</a><br>' % (urllib.parse.quote(name), html.escape(name)) for name in names]
    return "\n".join(["<!DOCTYPE html>", "<title>Wheels</title>", *links]) + "\n"

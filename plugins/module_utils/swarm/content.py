"""Measure and check files on the disk against a manifest. Reads only. Python >= 3.9."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from ..storage.digests import sha256_of

THREADS = 4  # that read or fetch files


def sizes(folder, manifest):
    """Return the bytes that are on the disk of the files of a manifest; holes do not count."""
    total = 0
    for name, about in manifest["files"].items():
        try:
            total += min(os.stat(os.path.join(folder, name)).st_blocks * 512, about["size"])
        except OSError:
            pass
    return total


def total_size(manifest):
    """Return the bytes of a release."""
    return sum(about["size"] for about in manifest["files"].values())


def sha256_matches(path, about):
    """Return whether a regular file has the size and sha256 of its entry in the manifest."""
    if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) != about["size"]:
        return False
    return sha256_of(path) == about["sha256"]


def wrong(folder, manifest):
    """Return the sorted names of files that are missing or not what the manifest says, hashing several at once."""
    names = sorted(manifest["files"])
    with ThreadPoolExecutor(THREADS) as pool:
        fine = pool.map(lambda name: sha256_matches(os.path.join(folder, name), manifest["files"][name]), names)
    return [name for name, good in zip(names, fine) if not good]  # noqa: B905 (strict= is 3.10's)


def shortage(folder, manifest):
    """Return one sentence when the rest of a release does not fit, else ''."""
    wanted = total_size(manifest) - sizes(folder, manifest)
    free = shutil.disk_usage(os.path.dirname(folder)).free
    if wanted <= free:
        return ""
    return "%s needs %d MB more and has %d MB free: make room first." % (folder, wanted / 1e6, free / 1e6)


def swarm_done(folder, manifest):
    """Return whether aria2 has every piece: its control file is gone and each file has its length."""
    lengths = {name: about["size"] for name, about in manifest["files"].items() if about["size"]}
    paths = {name: os.path.join(folder, name) for name in lengths}
    full = all(os.path.isfile(paths[name]) and os.path.getsize(paths[name]) == lengths[name] for name in lengths)
    return full and not os.path.exists(folder + ".aria2")

"""Filters of locks: packages that the operator takes from elsewhere replace entries of the lock."""

import re
from typing import Any

ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==")
SHA256 = re.compile(r"[0-9a-f]{64}$")
COMMIT = re.compile(r"[0-9a-f]{40}$")
URL = re.compile(r"(https?|file)://\S+\.whl$")


def normal(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> list[tuple[str, str]]:
    """Return [(package, its lines)] of a lock with hashes, in its order; a comment's package is ''."""
    found: list[tuple[str, str]] = []
    open_entry = False
    for line in lock.splitlines(keepends=True):
        if open_entry:
            found[-1] = (found[-1][0], found[-1][1] + line)
        else:
            start = ENTRY.match(line)
            found.append((normal(start["name"]) if start else "", line))
        open_entry = line.rstrip().endswith("\\")
    return found


def lock_faults(lock: str, wheels: list[dict[str, Any]], git: dict[str, Any]) -> list[str]:
    """Return one sentence for each setting that can not replace an entry of a lock; [] when all can."""
    names, faults = {name for name, _lines in entries(lock)}, []
    for wheel in wheels:
        name, url, digest = (str(wheel.get(key, "")) for key in ("name", "url", "sha256"))
        if normal(name) not in names:
            faults.append(f"fastchat_runtime_wheels names {name!r}, which is not in the stack's lock: remove it.")
        if not URL.match(url):
            faults.append(f"the url of {name} is {url!r}, wanted that of one .whl file, by https or file://.")
        elif normal(url.rsplit("/", 1)[1].split("-")[0]) != normal(name):
            faults.append(f"the url of {name} ends in another package's file, {url.rsplit('/', 1)[1]}: correct one.")
        if not SHA256.match(digest):
            faults.append(f"the sha256 of {name} is {digest!r}, wanted 64 hexadecimal digits.")
    if git:
        if not git.get("url"):
            faults.append("fastchat_runtime_fastchat_git has no url, wanted that of a git repository of FastChat.")
        if not COMMIT.match(str(git.get("commit", ""))):
            faults.append(
                f"fastchat_runtime_fastchat_git names the commit {git.get('commit', '')!r}, wanted all 40 digits:"
                " a branch or a tag would be another one tomorrow."
            )
        if any(normal(str(wheel.get("name", ""))) == "fschat" for wheel in wheels):
            faults.append("FastChat is wanted both from a wheel and from git: remove one.")
    return faults


def lock_with(lock: str, wheels: list[dict[str, Any]], git: dict[str, Any]) -> str:
    """Return a lock in which some packages come from other URLs. FastChat is left out where it comes from git."""
    elsewhere = {normal(wheel["name"]): wheel for wheel in wheels}
    left_out = {"fschat"} if git else set()
    lines = [
        f"{name} @ {elsewhere[name]['url']} --hash=sha256:{elsewhere[name]['sha256']}\n" if name in elsewhere else text
        for name, text in entries(lock)
        if name not in left_out
    ]
    return "".join(lines)


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"lock_faults": lock_faults, "lock_with": lock_with}

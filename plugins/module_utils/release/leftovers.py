"""Old releases, environments, interpreters and staging of a host, and who still uses them. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import glob
import io
import os
import re
import shutil
import stat

from ..storage.locks import is_held
from .history import current, superfluous

HOME = re.compile(r"^home *= *(\S+)", re.MULTILINE)


def paths_of(folder):
    """Return the paths that the process in /proc/<pid> names: program, directory, arguments, open files, mapped files.

    A process that ends meanwhile uses nothing. Paths that this user may not read are left out, but we are root.
    """
    found = set()
    for name in ["exe", "cwd"] + ["fd/" + number for number in names_in(folder + "/fd")]:
        try:
            found.add(os.readlink(os.path.join(folder, name)))
        except OSError:
            pass
    for name, separator in (("cmdline", "\0"), ("environ", "\0"), ("maps", "\n")):
        try:
            with io.open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
                words = stream.read().split(separator)
        except (IOError, OSError):
            continue
        # --option=/a/path, NAME=/a/path, and the last column of a mapping
        found.update(word[word.index("/") :] for word in words if "/" in word)
    return found


def names_in(folder):
    """Return the names in a directory, [] when there is none."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def used_paths(proc="/proc"):
    """Return every path that any process of this host names, but this one's own."""
    own = str(os.getpid())
    found = set()
    for pid in names_in(proc):
        if pid.isdigit() and pid != own:
            found |= paths_of(os.path.join(proc, pid))
    return found


def is_used(folder, used):
    """Return whether any of these paths is a folder or below it."""
    return any(path == folder or path.startswith(folder + "/") for path in used)


def size_of(top):
    """Return the bytes that removing this frees; a file with another hard link frees nothing."""
    paths = [top] + [os.path.join(parent, name) for parent, below, files in os.walk(top) for name in files + below]
    seen = {}
    for path in paths:
        found = os.lstat(path)
        links = 1 if stat.S_ISDIR(found.st_mode) else found.st_nlink
        key = (found.st_dev, found.st_ino)
        seen[key] = (found.st_blocks * 512, links, seen.get(key, (0, 0, 0))[2] + 1)
    return sum(size for size, links, count in seen.values() if count >= links)


def old_environments(root, keep):
    """Return the environments beyond the last ``keep`` of each link: env leads into envs, web-env into web-envs."""
    old = []
    for folder in sorted(glob.glob(os.path.join(root, "*envs"))):
        link = folder[: -len("s")]
        now = os.path.basename(os.readlink(link)) if os.path.islink(link) else ""
        others = [path for path in glob.glob(os.path.join(folder, "*")) if os.path.basename(path) != now]
        # Without a link it is unknown which one serves, so all stay.
        old += sorted(others, key=os.path.getmtime, reverse=True)[max(0, keep - 1) :] if now else []
    return old


def old_releases(weights, keep):
    """Return the releases beyond the last ``keep`` of each model; the current one is never among them."""
    homes = sorted(glob.glob(os.path.join(weights, "models", "*")))
    # Without a link it is unknown which one serves, so all stay.
    return [os.path.join(home, "releases", name) for home in homes if current(home) for name in superfluous(home, keep)]


def old_pythons(root, gone):
    """Return the relocatable interpreters that no environment uses, apart from those that are removed too."""
    homes = []
    for path in glob.glob(os.path.join(root, "*envs", "*", "pyvenv.cfg")):
        if os.path.dirname(path) not in gone:
            with io.open(path, encoding="utf-8") as stream:
                homes += HOME.findall(stream.read())
    pythons = sorted(glob.glob(os.path.join(root, "pythons", "*")))
    return [path for path in pythons if not any(home.startswith(path + "/") for home in homes)]


def staging_leftovers(root, weights, downloads):
    """Return the staging directories, without downloads that are kept on purpose."""
    found = sorted(glob.glob(os.path.join(root, "staging", "*"))) if not is_held(os.path.join(root, ".lock")) else []
    if not downloads and not is_held(os.path.join(weights, ".lock")):
        found += sorted(glob.glob(os.path.join(weights, "staging", "*")))
    return found


def plan(root, weights, keep, downloads, used):
    """Return ([what can be removed], [what a process still uses]) as lists of {path, what, bytes}."""
    wanted = [("environment", path) for path in old_environments(root, keep)]
    wanted += [("release", path) for path in old_releases(weights, keep)]
    wanted += [("staging", path) for path in staging_leftovers(root, weights, downloads)]
    stays = [path for _what, path in wanted if is_used(path, used)]
    gone = [path for _what, path in wanted if path not in stays]
    wanted += [("interpreter", path) for path in old_pythons(root, gone)]
    entries = [{"what": what, "path": path, "bytes": size_of(path)} for what, path in wanted]
    busy = [entry for entry in entries if is_used(entry["path"], used)]
    return [entry for entry in entries if entry not in busy], busy


def remove_tree(path, staging):
    """Remove a path. It is renamed first, so that nobody finds it half removed. An empty staging is removed too."""
    aside = path
    if os.path.dirname(path) != staging:
        if not os.path.isdir(staging):
            os.makedirs(staging, 0o755)
        aside = os.path.join(staging, "removed-" + os.path.basename(path))
        os.rename(path, aside)
    if os.path.isdir(aside) and not os.path.islink(aside):
        shutil.rmtree(aside)
    else:
        os.remove(aside)
    try:
        os.rmdir(staging)
    except OSError:
        pass  # something else is being built there

"""Compare a list of files, directories and links with what a host has, and make it so. Python 2.7 and 3.

An entry is a dict:

- ``path``: absolute path.
- ``state``: ``file`` (the default), ``directory`` (or a link to one, which stays), ``link`` or ``absent``.
- ``content``: text of a file.
- ``target``: where a link leads, as it is written in the link.
- ``mode``: octal digits such as ``0644``; of files and directories.
- ``owner``, ``group``: names; left out, they stay as they are, and a new file is root's.
- ``secret``: whether the content may not be shown in a difference.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import grp
import os
import pwd
import shutil
import stat

from .files import make_folders, point, remove, write

MODES = {"file": 0o644, "directory": 0o755}
STATES = ("file", "directory", "link", "absent")
# What may be at a path before. Anything else is somebody's, and stays.
REPLACED = {"file": ("absent", "file", "link"), "directory": ("absent", "directory"), "link": ("absent", "link")}


def state_of(path):
    """Return ``file``, ``directory``, ``link``, ``absent``, or ``other`` for a socket, device or pipe."""
    try:
        kind = os.lstat(path).st_mode
    except OSError:
        return "absent"
    for name, is_it in (("link", stat.S_ISLNK), ("directory", stat.S_ISDIR), ("file", stat.S_ISREG)):
        if is_it(kind):
            return name
    return "other"


def found_at(entry):
    """Return (what an entry wants, what is at its path); a link to a directory is one where a directory is wanted.

    Raises OSError where something is in the way.
    """
    path, wanted = entry["path"], entry.get("state") or "file"
    now = "directory" if wanted == "directory" and os.path.isdir(path) else state_of(path)
    if wanted != "absent" and now not in REPLACED[wanted]:
        raise OSError("%s is no %s (it is: %s), and is not replaced: move it away." % (path, wanted, now))
    return wanted, now


def text_of(path, state):
    """Return what a difference shows of a path: a file's text, a link's target."""
    if state == "link":
        return os.readlink(path)
    if state != "file":
        return ""
    with open(path, "rb") as stream:
        return stream.read().decode("utf-8", "replace")


def content_of(entry):
    """Return the content of an entry as text; under Python 2 a module's arguments are UTF-8 bytes."""
    content = entry.get("content") or ""
    return content.decode("utf-8") if isinstance(content, bytes) else content


def number_of(name, table):
    """Return the number of a user or group; None when this host does not have it, as before the first run."""
    try:
        return table(name)[2]
    except KeyError:
        return None


def wanted_mode(entry):
    """Return the mode that an entry of a file or directory wants, as a number."""
    return int(entry["mode"], 8) if entry.get("mode") else MODES[entry.get("state") or "file"]


def attributes(entry):
    """Return {mode, owner, group} of an entry's path that differ, each as (is, wanted); owners are numbers."""
    found, differ = os.stat(entry["path"]), {}
    mode = wanted_mode(entry)
    if stat.S_IMODE(found.st_mode) != mode:
        differ["mode"] = (stat.S_IMODE(found.st_mode), mode)
    for key, table, now in (("owner", pwd.getpwnam, found.st_uid), ("group", grp.getgrnam, found.st_gid)):
        if entry.get(key) and number_of(entry[key], table) != now:
            differ[key] = (now, number_of(entry[key], table))
    return differ


def difference(entry):
    """Return None when a host has an entry already, else {path, what, before, after}.

    ``what`` is one word: created, written, linked, removed or restricted (mode or owner differ and nothing else).
    ``before`` and ``after`` are texts for people; a secret's content is in neither.
    """
    path, (wanted, now) = entry["path"], found_at(entry)
    if wanted == "absent":
        return None if now == "absent" else shown(entry, "removed", text_of(path, now), "")
    if now != wanted:
        after = {"file": content_of(entry), "link": entry.get("target")}.get(wanted) or ""
        words = {"directory": "created", "link": "linked", "file": "written"}
        return shown(entry, words[wanted], text_of(path, now), after)
    if wanted == "link":
        leads = os.readlink(path)
        return None if leads == entry["target"] else shown(entry, "linked", leads, entry["target"])
    differ = attributes(entry)
    if wanted == "file":
        before, after = text_of(path, now), content_of(entry)
        if before != after:
            return shown(entry, "written", before, after)
    if not differ:
        return None
    pairs = sorted(differ.items())
    texts = ["".join("%s: %s\n" % (key, said(key, pair[side])) for key, pair in pairs) for side in (0, 1)]
    return dict(shown(entry, "restricted", "", ""), before=texts[0], after=texts[1])


def said(key, value):
    """Return an attribute's value for people."""
    return "%04o" % value if key == "mode" else ("absent" if value is None else str(value))


def shown(entry, what, before, after):
    """Return a difference, without the content of a secret."""
    if entry.get("secret"):
        before, after = ("(a secret)\n" if before else ""), ("(another secret)\n" if after else "")
    return {"path": entry["path"], "what": what, "before": before, "after": after}


def put(entry):
    """Make a host have an entry. OSError, or KeyError for an unknown owner."""
    path, (wanted, now) = entry["path"], found_at(entry)
    if wanted == "absent":
        clear(path, now)
    elif wanted == "link":
        make_folders(os.path.dirname(path))
        point(path, entry["target"])
    elif wanted == "directory":
        make_folders(path)
        own(path, entry)
    elif wanted == "file":
        make_folders(os.path.dirname(path))
        if now != "file" or text_of(path, now) != content_of(entry):
            # The file gets its owner before its name: nobody may read it meanwhile who shall not.
            write(path, content_of(entry).encode("utf-8"), mode=0o600, prepare=lambda part: own(part, entry))
        else:
            own(path, entry)


def clear(path, now):
    """Remove what is at a path."""
    if now == "directory":
        shutil.rmtree(path)
    else:
        remove(path)


def own(path, entry):
    """Give a path its owner, its group and then its mode, because a change of owner can take bits away."""
    user = pwd.getpwnam(entry["owner"])[2] if entry.get("owner") else -1
    group = grp.getgrnam(entry["group"])[2] if entry.get("group") else -1
    if (user, group) != (-1, -1):
        os.chown(path, user, group)
    os.chmod(path, wanted_mode(entry))


def faults_of(entry):
    """Return what is wrong with the description of an entry, as sentences."""
    at = "An entry" if not entry.get("path") else str(entry["path"])
    state = entry.get("state") or "file"
    if not str(entry.get("path", "")).startswith("/"):
        return ["%s has no absolute path." % at]
    if state not in STATES:
        return ["%s has the state %s, wanted one of %s." % (at, state, ", ".join(STATES))]
    lacking = [key for key, of in (("content", "file"), ("target", "link")) if state == of and entry.get(key) is None]
    return ["%s is a %s and has no %s." % (at, state, key) for key in lacking]


def in_place(entries, rehearse=False):
    """Make a host have all entries, in their order; return their differences (``difference``) as they were before.

    All are compared before the first is written, so that something in the way changes nothing.
    """
    found = [(entry, one) for entry, one in ((entry, difference(entry)) for entry in entries) if one]
    for entry, _one in [] if rehearse else found:
        put(entry)
    return [one for _entry, one in found]


def answer_of(differences):
    """Return what a module returns of its differences: changed, changes, paths and diff."""
    return {
        "changed": bool(differences),
        "changes": ["%s %s" % (one["what"], one["path"]) for one in differences],
        "paths": [one["path"] for one in differences],
        "diff": [
            {"before": one["before"], "after": one["after"], "before_header": one["path"], "after_header": one["path"]}
            for one in differences
        ],
    }


def labelled(module, differences):
    """Give what was written the label that SELinux wants at its path; ``module`` is an AnsibleModule."""
    if module.check_mode or not module.selinux_enabled():
        return
    for one in differences:
        if os.path.lexists(one["path"]):
            module.set_default_selinux_context(one["path"], False)

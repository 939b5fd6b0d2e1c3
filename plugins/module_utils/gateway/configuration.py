"""Replace the gateway's configuration in one step, once nginx has accepted it. Python 2.7 and 3.

``<folder>/current`` is a link to a directory that is named by the digest of its files. Another one is written to
``<folder>/candidate``, tried there, renamed, and the link is flipped. The candidate has keys in it, so it never stays:
not after a refusal either, and what a killed run left is removed by the next one.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import hashlib
import os
import re
import shutil

from ..storage.files import point, rename, sync_folder, write
from ..storage.tree import own

CANDIDATE, CURRENT = "candidate", "current"
DIGEST = re.compile(r"[0-9a-f]{12}$")
OWNER = re.compile(r'"([A-Za-z0-9_.@-]+)";$'.encode("ascii"), re.MULTILINE)
CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\n\r]+-----END CERTIFICATE-----")
KEYS, TLS = "keys.conf", "tls.pem"


class Refused(Exception):
    """What is wrong, in one sentence without a key in it."""


def digest_of(files):
    """Return 12 hexadecimal digits that stand for files, {name: bytes}."""
    lines = ["%s %s\n" % (name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()[:12]


def current_digest(folder):
    """Return where ``current`` points, '' when there is none."""
    try:
        return os.readlink(os.path.join(folder, CURRENT))
    except OSError:
        return ""


def current_files(folder):
    """Return {name: bytes} of the current configuration, {} when there is none."""
    here, found = os.path.join(folder, CURRENT), {}
    for name in sorted(os.listdir(here)) if os.path.isdir(here) else []:
        with open(os.path.join(here, name), "rb") as stream:
            found[name] = stream.read()
    return found


def left_over(folder, digest):
    """Return the paths below the folder that are neither current nor to stay: older configurations and candidates."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    old = [name for name in names if name == CANDIDATE or (DIGEST.match(name) and name != digest)]
    return [os.path.join(folder, name) for name in sorted(old)]


def take_over(folder, files, accept, group=""):
    """Make files ({name: bytes}) the current configuration, if ``accept(path of nginx.conf)`` does not raise.

    Only root and ``group`` (its name; '' leaves it as it is) can read them.
    """
    readers = {"group": group, "mode": "0640"}
    candidate, digest = os.path.join(folder, CANDIDATE), digest_of(files)
    shutil.rmtree(candidate, ignore_errors=True)
    try:
        os.mkdir(candidate, 0o750)
        own(candidate, {"group": group, "mode": "0750"})
        for name in sorted(files):
            path = os.path.join(candidate, name)
            write(path, files[name], mode=0o600, prepare=lambda part: own(part, readers))
        accept(os.path.join(candidate, "nginx.conf"))
        shutil.rmtree(os.path.join(folder, digest), ignore_errors=True)  # somebody changed a file in it
        rename(candidate, os.path.join(folder, digest))
    finally:
        shutil.rmtree(candidate, ignore_errors=True)
    point(os.path.join(folder, CURRENT), digest)


def remove_trees(paths):
    """Remove directories with what is in them."""
    for path in paths:
        shutil.rmtree(path)
    for folder in sorted(set(os.path.dirname(path) for path in paths)):
        sync_folder(folder)


def shown(files):
    """Return files as a person may see them, as text: no key of the API and no private key is in it.

    Of keys.conf the owners are shown, of tls.pem the certificates. All other files are shown whole.
    """
    lines = []
    for name in sorted(files):
        data = files[name]
        if name == KEYS:
            data = b"".join(b"a key of " + owner + b"\n" for owner in sorted(set(OWNER.findall(data))))
        elif name == TLS:
            data = b"\n".join(CERTIFICATE.findall(data)) + b"\n"
        lines.append("# %s\n%s" % (name, data.decode("utf-8", "replace")))
    return "".join(lines)


def difference(before, after):
    """Return (before, after) as ``shown`` texts; a secret that changed without being seen there is named."""
    texts = [shown(before), shown(after)]
    for name, what in ((KEYS, "API keys"), (TLS, "a private key")):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and old != new and shown({name: old}) == shown({name: new}):
            texts[0] += "# %s: %s, which are not shown\n" % (name, what)
            texts[1] += "# %s: %s, others than before\n" % (name, what)
    return texts[0], texts[1]


def words_of(said):
    """Return what nginx said of a configuration in one line, without what it may have quoted of the keys."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    kept = [line for line in lines if KEYS not in line]
    if len(kept) < len(lines):
        kept.append("(nginx names keys.conf; its words are not shown, because they may quote a key)")
    return " ".join(kept)

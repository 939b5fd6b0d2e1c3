"""What ssh, ssh-keyscan and ssh-keygen say about host keys, and which one may be accepted."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import base64
import hashlib


class KeyFault(Exception):
    """One sentence: why a host's key is not accepted."""


def settings_of(text):
    """Return {option: value} of what ``ssh -G`` printed; the first of a repeated one."""
    found = {}
    for line in text.splitlines():
        name, _space, value = line.partition(" ")
        found.setdefault(name.lower(), value)
    return found


def entry_name(settings):
    """Return the name under which ssh looks for a host in known_hosts; KeyFault where keys can not be asked for."""
    for way in ("proxyjump", "proxycommand"):
        if settings.get(way, "none") != "none":
            raise KeyFault(
                "%s is reached through another host (%s %s), which ssh-keyscan can not: read its key on its console and"
                " put it into %s." % (settings["hostname"], way, settings[way], settings["userknownhostsfile"])
            )
    alias = settings.get("hostkeyalias", "")
    if alias and alias != "none":
        return alias
    return settings["hostname"] if settings["port"] == "22" else "[%s]:%s" % (settings["hostname"], settings["port"])


def keys_of(text):
    """Return {type: key in base64} of lines as ssh-keyscan and ssh-keygen -F print them."""
    rows = [line.split() for line in text.splitlines() if line.strip() and line[0] not in "#@"]
    return dict((row[1], row[2]) for row in rows if len(row) > 2)  # noqa: PLR2004  (names, type, key)


def faults_in(text):
    """Return what ssh-keyscan said besides its comments, as one line."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def fingerprint_of(key):
    """Return SHA256:..., as ssh-keygen -l prints it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def chosen(host, shown, known, fingerprint, said_scan=""):
    """Return (type, key, whether it is new) of the key that may be trusted; KeyFault when none may."""
    if not shown:
        seen = "ssh-keyscan says: " + said_scan if said_scan else "ssh-keyscan had no answer"
        raise KeyFault("%s shows no ssh host key (%s): see that it is up and that its port answers." % (host, seen))
    prints = dict((fingerprint_of(key), kind) for kind, key in shown.items())
    said = ", ".join("%s (%s)" % pair for pair in sorted(prints.items()))
    if fingerprint and fingerprint not in prints:
        raise KeyFault(
            "%s shows other ssh host keys than %s: %s. Nothing was changed; compare again with what its console says"
            " (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)." % (host, fingerprint, said)
        )
    same = sorted(kind for kind in shown if known.get(kind) == shown[kind])
    other = sorted(kind for kind in shown if kind in known and known[kind] != shown[kind])
    if same and not other:
        return same[0], shown[same[0]], False
    if not fingerprint:
        raise KeyFault(
            "%s shows ssh host keys that are %s: %s. If its own console says the same (ssh-keygen -lf"
            " /etc/ssh/ssh_host_ed25519_key.pub), run this again with -e rebuild_host_key=SHA256:..."
            % (host, "not those that are known" if known else "not known", said)
        )
    return prints[fingerprint], shown[prints[fingerprint]], True

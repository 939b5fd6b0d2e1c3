"""A flat, signed repository of Debian packages with all that they depend on. Python >= 3.6, on a control node with apt.

apt chooses in a root of its own, as if nothing were installed, so its choice is enough on any host of that release. apt
checks the archive's signature, and each file is checked by the archive's sha256. Hosts check our signature, made with a
key that is thrown away afterwards.
"""

import email.utils
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
from typing import Any, Dict, List

from ..storage import files as storage
from ..storage.digests import sha256_of
from .apt_sources import with_sources
from .command import run
from .files import BundleFile, fill_folder, found_near
from .manifest import BundleError, write

KEY, REQUEST, PACKAGES, RELEASE = "key.asc", "request.json", "Packages", "InRelease"
NEEDED = {"apt-get": "apt", "dpkg-deb": "dpkg", "gpg": "gnupg"}
URI = re.compile(r"'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})$")


def apt_options(root: str, architecture: str) -> List[str]:
    """Return the options that keep apt inside a directory, without sources, preferences or packages of this machine."""
    settings = {
        "Dir::State": root,
        "Dir::State::status": os.path.join(root, "status"),
        "Dir::Cache": os.path.join(root, "cache"),
        "Dir::Etc::sourcelist": os.path.join(root, "sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::ForceHash": "SHA256",
        "Acquire::Languages": "none",
    }
    words = [word for name, value in settings.items() for word in ("-o", "%s=%s" % (name, value))]
    return [*words, "-o", "APT::Architectures::=%s" % architecture]


def closure(system: Dict[str, Any], packages: List[str]) -> List[BundleFile]:
    """Return the files of packages and of all that they depend on, as the archive has them now."""
    if not os.path.exists(system["keyring"]):
        raise BundleError(
            "%s is not on this machine: install %s." % (system["keyring"], os.path.basename(system["keyring"])[:-4])
        )
    with tempfile.TemporaryDirectory() as root:
        for folder in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(root, folder))
        lines = ["deb [signed-by=%s] %s\n" % (system["keyring"], source) for source in system["sources"]]
        storage.write(os.path.join(root, "sources.list"), "".join(lines).encode("utf-8"), durable=False)
        storage.write(os.path.join(root, "status"), b"", durable=False)
        command = ["apt-get", "-qq", *apt_options(root, system["architecture"])]
        run([*command, "--error-on=any", "update"], "The archive of %s could not be read" % system["name"])
        uris = run(
            [*command, "--print-uris", "install", *packages],
            "%s can not be had for %s" % (", ".join(packages), system["name"]),
        )
    found = [URI.match(line.strip()) for line in uris.splitlines() if line.startswith("'")]
    if not found or not all(found):
        raise BundleError("apt-get named files of %s without their sha256: a newer apt is wanted." % system["name"])
    # An epoch's colon is %3a in file names. It is removed, so that a mirror's URLs do not need it.
    files = [
        (m.group(1), urllib.parse.unquote(m.group(2)).replace(":", "."), m.group(3), m.group(4)) for m in found if m
    ]
    return sorted(BundleFile(name, sha256, url, int(size)) for url, name, size, sha256 in files)


def stanza(folder: str, name: str, sha256: str) -> str:
    """Return a package's paragraph of the index: its control file, and where and what its file is."""
    path = os.path.join(folder, name)
    control = run(["dpkg-deb", "--field", path], "%s is no Debian package" % path).strip()
    return "%s\nFilename: ./%s\nSize: %d\nSHA256: %s\n" % (control, name, os.path.getsize(path), sha256)


def sign(folder: str, system: Dict[str, Any]) -> None:
    """Sign the index with a new key, write the public key beside it, and throw the secret key away."""
    index = os.path.join(folder, PACKAGES)
    release = (
        "Origin: fastchat-fleet\nLabel: fastchat-fleet\nSuite: %s\nCodename: %s\n"
        "Architectures: %s\nDate: %s\nSHA256:\n %s %d %s\n"
    ) % (
        system["name"],
        system["name"],
        system["architecture"],
        email.utils.formatdate(usegmt=True).replace("GMT", "UTC"),
        sha256_of(index),
        os.path.getsize(index),
        PACKAGES,
    )
    with tempfile.TemporaryDirectory() as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        try:
            # The gpgv of each release since Debian 9 reads RSA.
            run([*gpg, "--quick-generate-key", "fastchat-fleet bundle", "rsa3072", "sign", "never"], "gpg made no key")
            key = run([*gpg, "--armor", "--export"], "gpg gave no key")
            signed = run(
                [*gpg, "--digest-algo", "SHA512", "--clearsign", "--output", "-", "-"],
                "gpg did not sign",
                input=release,
            )
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    write(os.path.join(folder, KEY), key)
    write(os.path.join(folder, RELEASE), signed)


def request_text(system: Dict[str, Any], packages: List[str]) -> str:
    """Return the request as text. It is kept beside the packages, so that the same request needs no archive."""
    return json.dumps({"packages": sorted(packages), "system": system}, indent=1, sort_keys=True) + "\n"


def complete(folder: str, request: str) -> int:
    """Return the bytes of a repository that was made for this request and is whole, 0 for any other."""
    try:
        with open(os.path.join(folder, REQUEST), encoding="utf-8") as stream:
            if stream.read() != request:
                return 0
        with open(os.path.join(folder, PACKAGES), encoding="utf-8") as stream:
            index = stream.read()
        with open(os.path.join(folder, RELEASE), encoding="utf-8") as stream:
            if sha256_of(os.path.join(folder, PACKAGES)) not in stream.read():
                return 0
        pairs = re.findall(r"(?m)^Filename: \./(\S+)\nSize: (\d+)\nSHA256: (\w+)$", index)
        right = all(sha256_of(os.path.join(folder, name)) == sha256 for name, _size, sha256 in pairs)
        return sum(int(size) for _name, size, _sha256 in pairs) if right else 0
    except (OSError, ValueError):
        return 0


def ensure(  # noqa: PLR0917 (the module passes them all)
    system: Dict[str, Any], packages: List[str], dest: str, near: List[str], refresh: bool, check_mode: bool = False
) -> Dict[str, Any]:
    """Bring ``dest`` to be a signed flat repository; return what ``fill_folder`` does, and how many packages.

    ``system`` has name, architecture, keyring and sources or suites. The archive is asked again only for another
    request, for a damaged repository or with ``refresh``. Raises BundleError.
    """
    absent = sorted(package for command, package in NEEDED.items() if not shutil.which(command))
    if absent:
        raise BundleError(
            "%s absent on this machine, wanted to bundle packages of %s: install them, or make the bundle on Debian."
            % (" and ".join(absent) + (" is" if len(absent) == 1 else " are"), system["name"])
        )
    # As the operator gave it: the addresses of this machine's apt may have a login, and hosts read what lies in dest.
    request = request_text(system, packages)
    size = 0 if refresh else complete(dest, request)
    if size:
        return {"changed": False, "bytes_fetched": 0, "bytes_linked": 0, "bytes_total": size}
    wanted = found_near(closure(with_sources(system), packages), near)
    done = fill_folder(wanted, dest, check_mode)
    if not check_mode:
        index = "\n".join(stanza(dest, item.name, item.sha256) for item in wanted)
        if write(os.path.join(dest, PACKAGES), index) or not complete(dest, request):
            sign(dest, system)
            done["changed"] = True
        done["changed"] = write(os.path.join(dest, REQUEST), request) or done["changed"]
    return dict(done, packages=len(wanted))

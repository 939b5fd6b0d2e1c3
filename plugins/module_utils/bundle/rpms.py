"""A repository of RPMs with all that they depend on. Python >= 3.6, on a control node with dnf 4 and createrepo_c.

dnf chooses in an empty root, so its choice is enough on any host of that release. The packages keep their publishers'
signatures, which are checked here against keys of known fingerprint. Each host gets the same keys and checks the
signatures again.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from typing import Any, Dict, List

from ..storage import files as storage
from ..storage.digests import sha256_of
from .command import run
from .files import BundleFile, fill_folder, found_near
from .manifest import BundleError, write

KEYS, REQUEST, REPOMD = "keys", "request.json", "repodata/repomd.xml"
NEEDED = {"dnf": "dnf", "createrepo_c": "createrepo_c", "rpmkeys": "rpm", "gpg": "gnupg"}
PINNED = "pinned"  # dnf's name for the files that are here already
ASKED = "%{repoid} %{downloadsize} %{location} %{chksum}"
DIGITS = 64  # of a sha256
NAMED = "%{NAME}-%{VERSION}-%{RELEASE}"
SECONDS = 60  # how long a key's address may take


def absent_packages() -> List[str]:
    """Return the missing packages that this machine needs, by their names on EL."""
    found = sorted(package for command, package in NEEDED.items() if not shutil.which(command))
    if "dnf" not in found:
        # download is a plug-in. Without a release dnf may refuse to start.
        asked = ["dnf", "--releasever=0", "download", "--help"]
        if subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
            found.append("dnf-plugins-core")
    return found


def fingerprints(text: str) -> List[str]:
    """Return the fingerprint of each primary key of an armored text, in gpg's order; [] when it holds none."""
    with tempfile.TemporaryDirectory() as home:
        shown = run(
            ["gpg", "--homedir", home, "--batch", "--no-tty", "--with-colons", "--with-fingerprint", "--show-keys"],
            "gpg can not read the key",
            input=text,
        )
    return re.findall(r"(?m)^pub:.*\n(?:(?!fpr:|pub:).*\n)*fpr:+([0-9A-F]+):", shown)


def key_of(name: str, url: str, fingerprint: str) -> str:
    """Return a key as text, fetched; raises BundleError unless it is the one of that fingerprint and no other."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as stream:
            text = stream.read().decode("ascii", "replace")
    except (OSError, ValueError) as error:
        raise BundleError("The key %s could not be had from %s: %s." % (name, url, error)) from None
    wanted = re.sub(r"\s", "", fingerprint).upper()
    found = fingerprints(text)
    if found != [wanted]:
        raise BundleError(
            "The key %s from %s has fingerprint %s, wanted %s: correct whichever is wrong."
            % (name, url, " and ".join(found) or "none", wanted)
        )
    return text


def dnf_command(root: str, system: Dict[str, Any], pinned: str) -> List[str]:
    """Return the options that keep dnf inside a directory, away from this machine's repositories and packages."""
    for folder in ("repos", "log", "root"):
        os.makedirs(os.path.join(root, folder))
    storage.write(os.path.join(root, "dnf.conf"), b"[main]\nbest=1\ninstall_weak_deps=0\n", durable=False)
    repositories = dict(system["repositories"], **({PINNED: "file://" + pinned} if pinned else {}))
    # rpmkeys checks the signatures afterwards, because dnf would check them only while it installs.
    text = "".join("[%s]\nname=%s\nbaseurl=%s\ngpgcheck=0\n" % (n, n, url) for n, url in sorted(repositories.items()))
    storage.write(os.path.join(root, "repos", "wanted.repo"), text.encode("utf-8"), durable=False)
    folders = {"reposdir": "repos", "cachedir": "cache", "persistdir": "state", "logdir": "log"}
    return [
        *["dnf", "--quiet", "--assumeyes", "--config", os.path.join(root, "dnf.conf")],
        *["--installroot", os.path.join(root, "root"), "--releasever", system["release"]],
        *["--forcearch", system["architecture"]],
        *["--setopt=%s=%s" % (name, os.path.join(root, folder)) for name, folder in folders.items()],
    ]


def files_in(answer: str, repositories: Dict[str, str]) -> Dict[str, BundleFile]:
    """Return {address: file} of dnf's answer to ASKED; raises BundleError where a line has no sha256."""
    found = {}
    for line in answer.splitlines():
        try:
            repository, size, location, chksum = line.split(" ", 3)
            sha256 = ast.literal_eval(chksum)[1].hex()  # as dnf prints its pair of kind and bytes
        except (ValueError, SyntaxError, TypeError, IndexError, AttributeError):
            raise BundleError("dnf said %r, wanted a package with its checksum: dnf 4 is wanted here." % line) from None
        if len(sha256) != DIGITS:
            raise BundleError("%s lists %s without its sha256: a newer one is wanted." % (repository, location))
        url = "%s/%s" % (repositories.get(repository, "").rstrip("/"), location)
        found[url] = BundleFile(os.path.basename(location), sha256, url, int(size))
    return found


def closure(system: Dict[str, Any], packages: List[str], files: List[str]) -> List[BundleFile]:
    """Return packages and all that they and ``files`` (RPMs that are here) depend on, as the repositories have them."""
    with tempfile.TemporaryDirectory() as root:
        pinned, names = "", []
        if files:
            pinned = os.path.join(root, PINNED)
            os.makedirs(pinned)
            for path in files:
                shutil.copyfile(path, os.path.join(pinned, os.path.basename(path)))
                asked = ["rpm", "--query", "--package", "--nosignature", "--queryformat", NAMED]
                names.append(run([*asked, path], "%s is no RPM" % path))
            run(["createrepo_c", "--quiet", pinned], "createrepo_c failed")
        command = dnf_command(root, system, pinned)
        urls = run(
            [*command, "download", "--resolve", "--alldeps", "--url", *packages, *names],
            "%s can not be had for %s" % (", ".join([*packages, *names]), system["name"]),
        ).split()
        chosen = [os.path.basename(urllib.parse.urlsplit(url).path)[: -len(".rpm")] for url in urls]
        answer = run([*command, "repoquery", "--queryformat", ASKED, *chosen], "dnf could not describe its choice")
        known = files_in(answer, dict(system["repositories"], **{PINNED: "file://" + pinned}))
    urls = [url for url in urls if not (pinned and url.startswith("file://" + pinned))]
    unknown = [url for url in urls if url not in known]
    if unknown:
        raise BundleError("dnf chose %s and did not describe it: name the repository by a plain address." % unknown[0])
    return sorted(known[url] for url in urls)


def check_signatures(folder: str, names: List[str], keys: Dict[str, str]) -> None:
    """Raise BundleError and remove the file unless each package has a valid signature of one of the keys."""
    with tempfile.TemporaryDirectory() as root:
        base = ["rpmkeys", "--dbpath", os.path.join(root, "db")]
        os.makedirs(os.path.join(root, "db"))
        for name, text in sorted(keys.items()):
            path = os.path.join(root, name)
            write(path, text)
            run([*base, "--import", path], "rpm can not read the key %s" % name)
        for name in names:
            path = os.path.join(folder, name)
            done = subprocess.run(
                [*base, "--checksig", path],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
                check=False,
                env=dict(os.environ, LC_ALL="C"),
            )
            # An unsigned package is "digests OK", with 0.
            if done.returncode or not done.stdout.rstrip().endswith("signatures OK"):
                storage.remove(path)
                raise BundleError(
                    "%s is not signed by %s (%s): it was removed; correct the keys of this system or its repositories."
                    % (name, " or ".join(sorted(keys)), done.stdout.strip().split(": ", 1)[-1].replace("\n", " "))
                )


def rpm_names(folder: str) -> List[str]:
    """Return the names of a directory's packages, without reading them."""
    return sorted(name for name in os.listdir(folder) if name.endswith(".rpm"))


def described(folder: str) -> Dict[str, str]:
    """Return {relative name: sha256} of what makes a repository: packages, keys, metadata."""
    found = {name: sha256_of(os.path.join(folder, name)) for name in rpm_names(folder)}
    for part in (KEYS, "repodata"):
        for name in sorted(os.listdir(os.path.join(folder, part))):
            found["%s/%s" % (part, name)] = sha256_of(os.path.join(folder, part, name))
    return found


def recorded(folder: str) -> Dict[str, Any]:
    """Return {request, files} of a repository that did not change since it was made, {} of any other."""
    try:
        with open(os.path.join(folder, REQUEST), encoding="utf-8") as stream:
            record = json.load(stream)
        return record if record["files"] == described(folder) and REPOMD in record["files"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def size_of(folder: str) -> int:
    """Return the bytes of a directory's packages."""
    return sum(os.path.getsize(os.path.join(folder, name)) for name in rpm_names(folder))


def ensure(  # noqa: PLR0917 (the module passes them all)
    system: Dict[str, Any],
    packages: List[str],
    files: List[str],
    dest: str,
    near: List[str],
    refresh: bool,
    check_mode: bool = False,
) -> Dict[str, Any]:
    """Bring ``dest`` to be a repository of packages; return what ``fill_folder`` does, and how many packages.

    ``system`` has name, architecture, release, repositories and keys; ``files`` are RPMs of ``dest`` that came another
    way and were checked there. The repositories are asked again only for another request, for a damaged repository or
    with ``refresh``. Raises BundleError.
    """
    missing = absent_packages()
    if missing:
        raise BundleError(
            "%s %s absent on this machine, wanted to bundle packages of %s: install them (EL's names; Debian has"
            " createrepo-c), or make the bundle on another machine."
            % (" and ".join(missing), "is" if len(missing) == 1 else "are", system["name"])
        )
    # In check mode the files that come another way are not there.
    here = [path for path in files if os.path.isfile(path) or not check_mode]
    request = {
        "packages": sorted(packages),
        "system": system,
        "files": {os.path.basename(path): sha256_of(path) for path in here},
    }
    if not refresh and recorded(dest).get("request") == request:
        return {"changed": False, "bytes_fetched": 0, "bytes_linked": 0, "bytes_total": size_of(dest)}
    keys = {name: key_of(name, key["url"], key["fingerprint"]) for name, key in sorted(system["keys"].items())}
    wanted = found_near(closure(system, packages, here), near)
    done = fill_folder(wanted, dest, check_mode)
    if not check_mode:
        names = [item.name for item in wanted]
        check_signatures(dest, names, keys)
        done["changed"] = arrange(dest, {*names, *request["files"]}, keys) or done["changed"]
        record = json.dumps({"request": request, "files": described(dest)}, indent=1, sort_keys=True) + "\n"
        done["changed"] = write(os.path.join(dest, REQUEST), record) or done["changed"]
    return dict(done, packages=len({*wanted, *here}))


def arrange(dest: str, names: set, keys: Dict[str, str]) -> bool:
    """Keep only these packages in ``dest``, with keys and metadata for yum and dnf; return whether it changed."""
    changed = False
    os.makedirs(os.path.join(dest, KEYS), exist_ok=True)
    for name, text in keys.items():
        changed = write(os.path.join(dest, KEYS, name + ".asc"), text) or changed
    strangers = [os.path.join(dest, name) for name in rpm_names(dest) if name not in names]
    strangers += [os.path.join(dest, KEYS, n) for n in os.listdir(os.path.join(dest, KEYS)) if n[:-4] not in keys]
    for path in strangers:
        storage.remove(path)
    if strangers or changed or not recorded(dest):
        # Metadata has times, so it is made again only when needed, to keep the bundle's sha256. EL 7's yum needs gz.
        run(
            ["createrepo_c", "--quiet", "--no-database", "--general-compress-type=gz", dest],
            "createrepo_c could not describe %s" % dest,
        )
        changed = True
    return changed

"""The programs that the control node needs besides Python: root installs them, anyone else is told their names."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

# command: Debian package. iptables is what netavark calls; without it podman's network fails with "os error 2".
CONTROL = {"git": "git", "ssh": "openssh-client"}
TESTBED = {
    "podman": "podman",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "iptables": "iptables",
    "git": "git",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
}
TESTS = {"git-lfs": "git-lfs", "git": "git", "aria2c": "aria2", "rsync": "rsync", "ip": "iproute2"}
# A bundle of RPMs needs these; the last is a plug-in of dnf.
RPMS = {
    "dnf": "dnf",
    "createrepo_c": "createrepo-c",
    "rpmkeys": "rpm",
    "gpg": "gnupg",
    "/usr/lib/python3/dist-packages/dnf-plugins/download.py": "dnf-plugins-core",
}
# Looks at the page of a run; without a font it would measure boxes.
BROWSER = {"chromium": "chromium", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core"}
# Builds the library that stands in for NVIDIA's.
COMPILER = {"gcc": "gcc", "/usr/include/stdio.h": "libc6-dev"}
WANTED = {
    "control": CONTROL,
    "testbed": TESTBED,
    "tests": TESTS,
    "rpms": RPMS,
    "browser": BROWSER,
    "compiler": COMPILER,
}


def missing_packages(wanted: dict[str, str]) -> list[str]:
    """Return the packages whose command is neither on PATH nor, for an absolute name, on disk."""
    absent = {package for command, package in wanted.items() if not (shutil.which(command) or os.path.isfile(command))}
    if wanted is CONTROL and find_spec("ensurepip") is None:
        absent.add("python3-venv")
    return sorted(absent)


def ensure(wanted: dict[str, str]) -> None:
    """Install what is missing, or exit with one sentence that says what a person must do."""
    packages = missing_packages(wanted)
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"Missing on this machine: {', '.join(packages)}. Please install them (as root) and run again.")
    print(f"Installing {', '.join(packages)} …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A third-party archive that is out of reach must not stop an installation from the distribution's own.
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    ensure(WANTED[sys.argv[1]])

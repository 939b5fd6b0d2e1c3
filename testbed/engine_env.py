"""The environment of the conversion engine's tests and benchmark: the stack ``cpu``, plus pytest and hypothesis.

torch is too large a dependency for the control node's ``.venv``; here it comes from the wheels that the hosts get.
"""

import shutil
import subprocess
from pathlib import Path

from testbed import wheelhouse
from testbed.paths import LOCKS, STATE, digest_of

PARTS = ("cpu", "engine")


def ensure() -> Path:
    """Return ``.testbed/engine-env``, built offline from hashed wheels; built again when a lock has changed."""
    final = STATE / "engine-env"
    digest = digest_of(*((LOCKS / f"{name}.txt").read_bytes() for name in PARTS))
    stamp = final / ".lock"
    if stamp.exists() and stamp.read_text() == digest:
        return final
    houses = [wheelhouse.ensure(name) for name in PARTS]
    shutil.rmtree(final, ignore_errors=True)
    subprocess.run(["uv", "venv", "--quiet", "--python", "3.11", str(final)], check=True)
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--require-hashes"]
    command += ["--python", str(final / "bin" / "python")]
    for name, house in zip(PARTS, houses, strict=True):
        command += ["--find-links", str(house), "--requirement", str(LOCKS / f"{name}.txt")]
    subprocess.run(command, check=True)
    stamp.write_text(digest)
    return final


if __name__ == "__main__":
    print(ensure())

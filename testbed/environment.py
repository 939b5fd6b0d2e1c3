"""Environments of tests and benchmarks: hashed wheels of some locks, installed offline below ``.testbed``.

torch, for one, is too large a dependency for the control node's ``.venv``; here it comes from the wheels that the hosts
get. ``python -m testbed.environment`` builds the one of the conversion engine: the stack ``cpu`` and pytest.
"""

import shutil
import subprocess
from pathlib import Path

from testbed import wheelhouse
from testbed.paths import LOCKS, STATE, cache_held, digest_of

ENGINE = ("cpu", "engine")


def ensure(name: str, locks: tuple[str, ...]) -> Path:
    """Return ``.testbed/<name>-env``, which holds some locks of files/locks; built again when a lock has changed."""
    final = STATE / f"{name}-env"
    digest = digest_of(*((LOCKS / f"{lock}.txt").read_bytes() for lock in locks))
    stamp = final / ".lock"
    if stamp.exists() and stamp.read_text() == digest:
        return final
    with cache_held():
        houses = [wheelhouse.ensure(lock) for lock in locks]
    shutil.rmtree(final, ignore_errors=True)
    subprocess.run(["uv", "venv", "--quiet", "--python", "3.11", str(final)], check=True)
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--require-hashes"]
    command += ["--python", str(final / "bin" / "python")]
    for lock, house in zip(locks, houses, strict=True):
        command += ["--find-links", str(house), "--requirement", str(LOCKS / f"{lock}.txt")]
    subprocess.run(command, check=True)
    stamp.write_text(digest)
    return final


if __name__ == "__main__":
    print(ensure("engine", ENGINE))

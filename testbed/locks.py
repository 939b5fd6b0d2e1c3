"""Resolve every ``files/locks/*.in`` (and pyproject.toml) into a lock with hashes."""

import os
import subprocess

import yaml

from testbed.paths import CLONE, LOCKS

# Locks of our own that are resolved for the hosts' Python: the hub, the engine's tests, the fetch engine's tests.
BESIDE_CPU = ("testbed", "engine", "lfs-test")


def compile_lock(source: str, lock: str, python: str, platform: str, extra_index: str | None) -> None:
    """Run ``uv pip compile`` for one platform; wheels only, so nothing is ever built on a host."""
    command = ["uv", "pip", "compile", "--quiet", source, "--output-file", str(LOCKS / f"{lock}.txt")]
    command += ["--generate-hashes", "--only-binary", ":all:", "--no-header", "--annotation-style", "line"]
    command += ["--python-version", python, "--python-platform", platform]
    if extra_index:
        # As in testbed/wheelhouse.py: first what pip is configured with, then the stack's own index.
        near = os.environ.get("PIP_FIND_LINKS")
        if near and subprocess.run([*command, "--find-links", near], check=False, cwd=CLONE).returncode == 0:
            return
        command += ["--extra-index-url", extra_index, "--index-strategy", "unsafe-best-match"]
    subprocess.run(command, check=True, cwd=CLONE)


def main() -> None:
    """Compile the control node's lock, the hub's, and one for each stack."""
    compile_lock("pyproject.toml", "control", "3.11", "x86_64-manylinux_2_28", None)
    stacks = [yaml.safe_load(path.read_text()) for path in sorted((CLONE / "files" / "stacks").glob("*.yml"))]
    for stack in stacks:
        names = [stack["name"], *(BESIDE_CPU if stack["name"] == "cpu" else ())]
        for name in names:
            compile_lock(
                f"files/locks/{name}.in", name, stack["python"], stack["uv_platform"], stack.get("extra_index_url")
            )


if __name__ == "__main__":
    main()

"""Publishing is killed at fifty random moments: ``current`` never points at half a release; the next run succeeds."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import (
    MANIFEST,
    damaged,
    described,
    read_json,
)

from testbed.paths import IMPORTS

PUBLISH = (
    "import sys\n"
    "from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import described\n"
    "from ansible_collections.fastchat.fleet.plugins.module_utils.release.publish import publish\n"
    "root, digest, source = sys.argv[1:]\n"
    "print('begun', flush=True)\n"
    "publish(root, digest, source, {'inputs': {}, 'files': described(source)})\n"
)
KILLS = 50


def finished(root: Path, digest: str, source: Path, seconds: float | None) -> bool:
    """Publish in a process of its own, killed after some seconds; return whether it came to its end."""
    command = [sys.executable, "-c", PUBLISH, str(root), digest, str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": IMPORTS}) as process:
        process.stdout.readline()
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        return process.wait() == 0


def test_fifty_kills(tmp_path):
    dice, root = random.Random(7), tmp_path / "model"  # noqa: S311
    content = {f"shard-{number:03}": dice.randbytes(20_000) for number in range(60)}
    cut = 0
    for round_ in range(KILLS + 1):
        source, release = tmp_path / "staging", root / "releases" / "a"
        if not source.exists():  # what the role does: convert again unless the release is there
            source.mkdir()
            for name, data in content.items():
                (source / name).write_bytes(data)
        cut += not finished(root, "a", source, dice.uniform(0, 0.03) if round_ < KILLS else None)
        if (root / "current").exists():
            manifest = read_json(str(release / MANIFEST))
            assert damaged(str(release), manifest, full=True, note=False) == []
    assert cut > KILLS // 5, "the kills came too late to prove anything"
    assert read_json(str(release / MANIFEST)) == {"inputs": {}, "files": described(str(release))}
    assert {name: (release / name).read_bytes() for name in content} == content
    assert {path.name for path in release.iterdir()} == {*content, MANIFEST, ".times.json"}

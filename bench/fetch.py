"""Our fetch against git-lfs: time, disk and memory, on the same server, the same files, in the same run.

    export PYTHONPATH=$PWD:$PWD/collections
    python bench/fetch.py [--files 4] [--mb 256] [--repeats 3] [--rate 0]

The server is real (giftless and dulwich, from files/locks/lfs-test.txt). With ``--rate`` it is the unit tests'
stand-in instead, each connection limited to that many MB/s, as wide-area links and content networks do. Each way starts
with an empty directory and ends with ``sync``; the order turns from repeat to repeat. Disk is the largest sum of
allocated blocks seen every 20 ms; memory the largest resident set of a single process.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.common.disk import bytes_below
from testbed.paths import IMPORTS
from tests.support.standin_hub import StandInHub, commit, git, pointer_to

ROOT = Path(__file__).resolve().parents[1]

OURS = """
import sys
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options
fetch({'url': sys.argv[1], 'revision': 'main'}, sys.argv[2], Options(workers=int(sys.argv[3])))
"""
QUIET = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "PYTHONPATH": IMPORTS}


def made(folder: Path, files: int, size: int) -> dict[str, str]:
    """Write files of random bytes; return {name: sha256}."""
    digests = {}
    for number in range(files):
        digest = hashlib.sha256()
        with open(folder / f"{number}.bin", "wb") as stream:
            for _block in range(size >> 20):
                block = os.urandom(1 << 20)
                digest.update(block)
                stream.write(block)
        digests[f"{number}.bin"] = digest.hexdigest()
    return digests


def environment() -> Path:
    """Return the interpreter of the server's environment, made once."""
    lock = ROOT / "files" / "locks" / "lfs-test.txt"
    folder = ROOT / ".testbed" / f"lfs-test-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (folder / ".done").exists():
        subprocess.run(["uv", "venv", "--quiet", "--clear", str(folder)], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "--require-hashes"]
        subprocess.run([*install, "-r", str(lock)], check=True)
        (folder / ".done").touch()
    return folder / "bin" / "python"


def served(place: Path, objects: Path, digests: dict[str, str], size: int, rate: int) -> tuple[str, Callable[[], None]]:
    """Serve the files as a git-lfs repository; return (URL, how to stop). ``rate`` in bytes/s, 0 for giftless."""
    work = place / "work"
    small = {".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n"}
    commit(work, {**small, **{name: pointer_to(oid, size) for name, oid in digests.items()}})
    if rate:
        hub = StandInHub(place)
        hub.rate = rate
        hub.objects = {oid: (objects / name).read_bytes() for name, oid in digests.items()}
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        return hub.publish("model.git", work), hub.shutdown
    bare = place / "git" / "demo" / "model.git"
    bare.parent.mkdir(parents=True)
    git(place, "clone", "--quiet", "--bare", str(work), str(bare))
    store = place / "lfs" / "demo" / "model"
    store.mkdir(parents=True)
    for name, oid in digests.items():
        os.link(objects / name, store / oid)
    server = subprocess.Popen(
        [str(environment()), str(ROOT / "tests" / "support" / "lfs_server.py"), str(place)],
        stdout=subprocess.PIPE,
        text=True,
    )
    return f"http://127.0.0.1:{int(server.stdout.readline())}/demo/model.git", server.terminate


def measured(commands: list[list[str]], place: Path) -> tuple[float, int, int]:
    """Run commands into a new directory; return (seconds with sync, peak bytes on disk, peak bytes in memory)."""
    place.mkdir()
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], bytes_below(place))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    memory, began = 0, time.monotonic()
    for command in commands:
        # A plain clone fetches pointers; the LFS commands and ours fetch the objects.
        before = QUIET if "lfs" in command or "python" in command[0] else {**QUIET, "GIT_LFS_SKIP_SMUDGE": "1"}
        process = subprocess.Popen(command, env=before, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise SystemExit(f"{' '.join(command)} failed with status {process.returncode}")
        memory = max(memory, usage.ru_maxrss << 10)
    os.sync()
    seconds = time.monotonic() - began
    ended.set()
    watcher.join()
    return seconds, max(peak[0], bytes_below(place)), memory


def ways(url: str, dest: str, workers: int) -> dict[str, list[list[str]]]:
    """Return {way: its commands}, each of which ends with the files in ``dest``."""
    lfs = ["-c", "filter.lfs.smudge=git-lfs smudge -- %f", "-c", "filter.lfs.process=git-lfs filter-process"]
    lfs += ["-c", "filter.lfs.required=true"]
    return {
        "weights_fetch": [[sys.executable, "-c", OURS, url, dest, str(workers)]],
        "git lfs clone": [["git", *lfs, "lfs", "clone", "--quiet", url, dest]],
        "git clone; git lfs pull": [
            ["git", *lfs, "clone", "--quiet", url, dest],
            ["git", *lfs, "-C", dest, "lfs", "pull"],
        ],
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--mb", type=int, default=256, help="MiB of each file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0, help="MB/s of each connection, 0 for unlimited")
    parser.add_argument("--workers", type=int, default=8)
    asked = parser.parse_args()
    size = asked.mb << 20
    place = Path(tempfile.mkdtemp(prefix="bench-fetch-", dir=os.environ.get("TMPDIR", "/var/tmp")))  # noqa: S108
    stop = None
    try:
        (place / "objects").mkdir()
        digests = made(place / "objects", asked.files, size)
        url, stop = served(place, place / "objects", digests, size, int(asked.rate * 1e6))
        results: dict[str, list[tuple[float, int, int]]] = {}
        for repeat in range(asked.repeats):
            names = list(ways("", "", 1))
            for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
                spot = place / "spot"
                results.setdefault(name, []).append(measured(ways(url, str(spot / "dest"), asked.workers)[name], spot))
                for file, oid in digests.items():
                    with open(spot / "dest" / file, "rb") as stream:
                        if hashlib.file_digest(stream, "sha256").hexdigest() != oid:
                            raise SystemExit(f"{name} left a wrong {file}")
                shutil.rmtree(spot)
        table(results, asked.files * size, asked)
    finally:
        if stop:
            stop()
        shutil.rmtree(place)


def table(results: dict[str, list[tuple[float, int, int]]], total: int, asked: argparse.Namespace) -> None:
    """Print medians, and the ratio of each way's time to ours (above 1: slower than ours)."""
    rate = f"{asked.rate:g} MB/s a connection" if asked.rate else "no limit"
    print(f"{asked.files} files of {asked.mb} MiB, {rate}, {asked.repeats} repeats, {os.cpu_count()} CPUs\n")
    print("| way | seconds, median (all) | MB/s | time / ours | disk peak / files | memory peak, MB |")
    print("|---|---|---|---|---|---|")
    ours = statistics.median(seconds for seconds, _disk, _memory in results["weights_fetch"])
    for name, runs in results.items():
        middle = statistics.median(seconds for seconds, _disk, _memory in runs)
        every = ", ".join(f"{seconds:.1f}" for seconds, _disk, _memory in runs)
        disk, memory = max(run[1] for run in runs) / total, max(run[2] for run in runs) / 1e6
        print(
            f"| {name} | {middle:.1f} ({every}) | {total / middle / 1e6:.0f} | {middle / ours:.2f}"
            f" | {disk:.2f} | {memory:.0f} |"
        )


if __name__ == "__main__":
    main()

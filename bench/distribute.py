"""Time to the last of N hosts, and what the source sends, in network namespaces with shaped links.

    export PYTHONPATH=$PWD:$PWD/collections
    sudo env PATH=$PATH PYTHONPATH=$PYTHONPATH python bench/distribute.py --hosts 1 2 4 8 16 --methods p2p http rsync

Needs root, iproute2 with the kernel's tbf, aria2 and rsync. Every link carries ``--mbit`` each way. What is timed is
what the roles run, from the first start of a receiver to the last file whose sha256 was compared.
"""

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import described
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm import web_server
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.content import total_size, wrong
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.receive import (
    await_swarm,
    fetch_http,
    fetch_rsync,
    join,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.serve import serve, stop_serving

PORTS = {"http": 6969, "peer": 6881, "rsync": 6873}


def run(*command: str) -> str:
    """Run a command and return its standard output."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Net:
    """A switch and hosts 0..N, each a network namespace with one link of a given rate each way; 0 is the source."""

    def __init__(self, hosts: int, mbit: float, slow: dict[int, float] | None = None) -> None:
        """Build it; ``slow`` gives single hosts another rate (Mbit/s)."""
        self.prefix = f"fd{os.getpid()}"
        self.names = [f"{self.prefix}-{i}" for i in range(hosts + 1)]
        self.addresses = [f"10.213.0.{i + 1}" for i in range(hosts + 1)]
        self.switch = f"{self.prefix}-sw"
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        for number, (name, address) in enumerate(zip(self.names, self.addresses, strict=True)):
            rate, port = (slow or {}).get(number, mbit), f"p{number}"
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self.switch)
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", self.switch, "link", "set", port, "master", "br0", "up")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            for namespace, device in ((name, "eth0"), (self.switch, port)):
                shape = ["tbf", "rate", f"{rate}mbit", "burst", "64kb", "latency", "50ms"]
                run("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", *shape)

    def sent(self, number: int = 0) -> int:
        """Return the bytes that a host has sent on its link."""
        shown = json.loads(run("ip", "-n", self.names[number], "-s", "-j", "link", "show", "eth0"))
        return shown[0]["stats64"]["tx"]["bytes"]

    def agent(self, number: int, job: dict) -> subprocess.Popen:
        """Start this file's ``agent`` on a host."""
        command = ["ip", "netns", "exec", self.names[number], sys.executable, __file__, "--agent"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        return process

    def close(self) -> None:
        """Delete the namespaces, and with them links and shapers."""
        for name in [*self.names, self.switch]:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def agent(job: dict) -> None:
    """Do on one host what its module does there: ``serve``, or all steps of receiving; print what came of it."""
    manifest, work = job["manifest"], job["work"]
    if job["do"] == "serve":
        release, method, address = job["release"], job["method"], job["address"]
        source = Path(web_server.__file__).read_text()
        serving = {"fleet": job["fleet"], "lifetime": 3600, "cache": job["cache"], "source": source}
        torrent = serve(work, method, release, manifest, address, ports=PORTS, **serving)
        print(base64.b64encode(torrent).decode())
        return
    folder = os.path.join(work, "in", "r")
    os.makedirs(os.path.dirname(folder))
    if job["method"] == "p2p":
        torrent = base64.b64decode(job["torrent"])
        join(work, folder, manifest, torrent, job["address"], port=PORTS["peer"], lifetime=3600, stall=120)
        await_swarm(work, folder, manifest, 120)
    elif job["method"] == "http":
        os.makedirs(folder)
        fetch_http(f"http://{job['source']}:{PORTS['http']}/r", folder, manifest, 120)
    else:
        fetch_rsync(f"rsync://{job['source']}:{PORTS['rsync']}/release/", folder, manifest, 120)
    damaged = wrong(folder, manifest)
    print(json.dumps({"damaged": damaged, "at": time.time()}))


def trial(root: Path, hosts: int, method: str, manifest: dict, *, mbit: float, slow: dict[int, float]) -> dict:
    """Send the release once; return seconds to the last host, to the median one, and the files that the source sent."""
    net, work = Net(hosts, mbit, slow), root / "work"
    places = [work / str(number) for number in range(hosts + 1)]
    try:
        for place in places:
            place.mkdir(parents=True)
        job = {"do": "serve", "method": method, "manifest": manifest, "work": str(places[0]), "fleet": net.addresses}
        job |= {"release": str(root / "r"), "address": net.addresses[0], "cache": str(root / "torrent")}
        torrent = net.agent(0, job).stdout.read().decode().strip()
        sent, began, running = net.sent(), time.time(), []
        for number in range(1, hosts + 1):
            job = {"do": "receive", "method": method, "manifest": manifest, "work": str(places[number])}
            job |= {"torrent": torrent, "address": net.addresses[number], "source": net.addresses[0]}
            running.append(net.agent(number, job))
        ends = [json.loads(process.stdout.read()) for process in running]
        sent = net.sent() - sent
    finally:
        for place in places:
            stop_serving(str(place))
        net.close()
        shutil.rmtree(work, ignore_errors=True)
    if any(end["damaged"] for end in ends):
        raise RuntimeError(f"{method} to {hosts} hosts delivered damaged files.")
    times = sorted(end["at"] - began for end in ends)
    size = total_size(manifest)
    return {"last": times[-1], "median": statistics.median(times), "sent": sent / size}


def release(root: Path, megabytes: int) -> dict:
    """Write a release of random bytes in two shards and a small file; return its manifest."""
    folder = root / "r"
    folder.mkdir()
    for name, size in (("a.safetensors", megabytes * 600_000), ("b.safetensors", megabytes * 400_000), ("c.json", 900)):
        with (folder / name).open("wb") as stream:
            for start in range(0, size, 1 << 20):
                stream.write(os.urandom(min(1 << 20, size - start)))
    return {"inputs": {}, "files": described(str(folder))}


def main() -> None:
    """Run all trials and print one row of a table for each number of hosts and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--methods", nargs="+", default=["p2p", "http", "rsync"])
    parser.add_argument("--mbit", type=float, default=50, help="rate of each link, each way")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the release")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--slow", type=float, help="rate of the first receiving host's link")
    given = parser.parse_args()
    if given.agent:
        agent(json.load(sys.stdin))
        return
    sys.stdout.reconfigure(line_buffering=True)
    limit = given.megabytes * 8 / given.mbit
    print(f"{given.megabytes} MB, {given.mbit:g} Mbit/s each way, physical limit {limit:.1f} s, {given.repeat} runs")
    print("| hosts | method | last host, s (all runs) | median host, s | against one host | source sends, files |")
    print("|---|---|---|---|---|---|")
    one: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fleet-distribute-") as folder:
        root = Path(folder)
        manifest = release(root, given.megabytes)
        for hosts in given.hosts:
            for method in given.methods:
                slow = {1: given.slow} if given.slow else {}
                runs = [trial(root, hosts, method, manifest, mbit=given.mbit, slow=slow) for _ in range(given.repeat)]
                last, middle, sent = (statistics.median(r[key] for r in runs) for key in ("last", "median", "sent"))
                every = ", ".join(f"{r['last']:.1f}" for r in runs)
                against = f"{last / one.setdefault(method, last):.2f}" if hosts == 1 or method in one else "-"
                print(
                    f"| {hosts} | {method} | {last:.1f} ({every}) | {middle:.1f} | {against} | {sent:.2f} |", flush=True
                )


if __name__ == "__main__":
    main()

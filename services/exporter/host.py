"""What can be read on a host: its plan, its probe's report, links of environments and releases, processes, disks."""

import glob
import json
import os
import re
import shutil
import time

from services.common.disk import bytes_below

from .families import gauge, states

PROBE = ("good", "loading", "failing", "left out", "stopped")
USED_SECONDS = 60  # how long a sum over a directory is kept
DIGEST = re.compile(r"^FASTCHAT_DIGEST=(\S+)$", re.MULTILINE)
UNIT = re.compile(r"/fastchat-([^/]+)\.service")
STACK = re.compile(r"-[0-9a-f]{6,}$")


def json_of(path):
    """Return the dict of a JSON file, {} when it is not there or not readable as one."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def environments(runtime):
    """Return [(link, environment, stack)] of the links below the runtime's root: env, web-env, exporter-env."""
    found = []
    for link in sorted(glob.glob(os.path.join(runtime, "*env"))):
        if os.path.islink(link):
            name = os.path.basename(os.readlink(link))
            found.append((os.path.basename(link), name, STACK.sub("", name)))
    return found


def releases(weights):
    """Return [(model, release)] of the weights that are current on this host."""
    links = sorted(glob.glob(os.path.join(weights, "models", "*", "current")))
    return [(link.split(os.sep)[-2], os.path.basename(os.readlink(link))) for link in links if os.path.islink(link)]


def running(proc="/proc"):
    """Return {unit: digest} of the fleet's processes that this user may read, the main process of each unit."""
    found = {}
    for folder in sorted(glob.glob(os.path.join(proc, "[0-9]*")), key=lambda path: -int(os.path.basename(path))):
        try:
            with open(os.path.join(folder, "environ"), encoding="utf-8", errors="replace") as stream:
                digest = DIGEST.search(stream.read().replace("\0", "\n"))
            with open(os.path.join(folder, "cgroup"), encoding="utf-8", errors="replace") as stream:
                unit = UNIT.search(stream.read())
        except OSError:  # another user's, or gone
            continue
        if digest and unit:
            found[unit.group(1).replace("\\x2d", "-")] = digest.group(1)
    return found


def written(settings):
    """Return {unit: digest} of the environment files: what the next process of each unit would start with."""
    found = {}
    for path in sorted(glob.glob(os.path.join(settings, "*.env"))):
        try:
            with open(path, encoding="utf-8") as stream:
                digest = DIGEST.search(stream.read())
        except OSError:
            continue
        if digest:
            found[os.path.basename(path)[: -len(".env")]] = digest.group(1)
    return found


class Host:
    """Collects the metrics of a host; ``paths`` has plan, probe, settings, runtime, weights."""

    def __init__(self, paths, proc="/proc"):
        """Take the paths; nothing is read yet."""
        self.paths, self.proc, self.used = paths, proc, {}

    def areas(self):
        """Return {area: directory} of what is there."""
        weights = self.paths["weights"]
        named = {
            "models": os.path.join(weights, "models"),
            "staging": os.path.join(weights, "staging"),
            "runtime": self.paths["runtime"],
        }
        return {area: path for area, path in named.items() if os.path.isdir(path)}

    def used_bytes(self, area, path):
        """Return the bytes below a directory, counted at most once a minute."""
        at, total = self.used.get(area, (0.0, 0))
        if not at or time.monotonic() - at > USED_SECONDS:
            at, total = time.monotonic(), bytes_below(path)
            self.used[area] = at, total
        return total

    def collect(self):
        """Yield the families."""
        plan = json_of(self.paths["plan"]).get("workers", {})
        yield from self.of_plan(plan)
        yield from self.of_probe(plan)
        found = environments(self.paths["runtime"])
        env = [({"link": link, "environment": name, "stack": stack}, 1) for link, name, stack in found]
        yield gauge("fastchat_environment_info", "The environment that each link of this host leads to.", env)
        kept = [({"model": model, "release": release}, 1) for model, release in releases(self.paths["weights"])]
        yield gauge("fastchat_release_info", "The release of weights that is current on this host.", kept)
        runs = running(self.proc)
        stale = [
            ({"unit": unit}, int(runs[unit] != digest))
            for unit, digest in written(self.paths["settings"]).items()
            if unit in runs
        ]
        yield gauge("fastchat_unit_outdated", "1 while a unit runs with something else than is written for it.", stale)
        yield from self.of_disks()

    def of_plan(self, plan):
        """Yield what the plan of this host ({unit: worker}) expects."""
        rows = [
            ({"worker": one["url"], "model": one["model"], "unit": unit.replace("fastchat-", "")}, 1)
            for unit, one in sorted(plan.items())
        ]
        yield gauge("fastchat_worker_planned", "1 for each worker that the plan of this host expects.", rows)
        limits = [({"worker": one["url"]}, one["concurrency"]) for one in plan.values()]
        yield gauge("fastchat_worker_queue_limit", "Requests that a worker answers at the same time.", limits)
        cards = sorted({int(gpu) for one in plan.values() for gpu in one.get("gpus") or []})
        yield gauge(
            "fastchat_gpu_planned", "1 for each GPU that a worker should use.", [({"gpu": n}, 1) for n in cards]
        )

    def of_probe(self, plan):
        """Yield what the probe of this host saw of the workers of its plan."""
        urls = {unit: one["url"] for unit, one in plan.items()}
        seen = {urls[unit]: one for unit, one in sorted(json_of(self.paths["probe"]).items()) if unit in urls}
        yield states(
            "fastchat_probe_state",
            "How the probe found a worker.",
            [({"worker": url}, one.get("state", "")) for url, one in seen.items()],
            PROBE,
        )
        for key, name, text in (
            ("seconds", "generation_seconds", "Seconds in which a worker generated two tokens for the probe."),
            ("at", "last_look_timestamp_seconds", "When the probe last looked at a worker."),
            ("leaked", "leaked_slots", "Slots that a worker counts as taken while nobody is connected."),
            ("restarts", "restarts", "Restarts by the probe since the last good answer."),
        ):
            rows = [({"worker": url}, one[key]) for url, one in seen.items() if one.get(key) is not None]
            yield gauge("fastchat_probe_" + name, text, rows)

    def of_disks(self):
        """Yield the room on the disks of weights and environments."""
        areas = self.areas()
        disks = {area: shutil.disk_usage(path) for area, path in areas.items()}
        size = [({"area": area}, disk.total) for area, disk in disks.items()]
        yield gauge("fastchat_disk_size_bytes", "The size of an area's disk.", size)
        free = [({"area": area}, disk.free) for area, disk in disks.items()]
        yield gauge("fastchat_disk_free_bytes", "The free space of an area's disk.", free)
        used = [({"area": area}, self.used_bytes(area, path)) for area, path in areas.items() if area != "runtime"]
        yield gauge("fastchat_disk_area_bytes", "What an area itself takes on its disk, counted once a minute.", used)

"""What preflight says: why a host is unfit whatever its stack, and the table of the fleet."""

from __future__ import annotations

from collections import Counter

from ..addresses.joining import is_loopback
from .sentences import hosts_by_sentence, hosts_in_words, said_of
from .tables import aligned

EVERY = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
HEADINGS = ("host", "OS", "glibc", "Python", "GPUs", "driver", "stack")


def preflight_faults(facts: dict, needs: dict) -> list[str]:
    """Return one sentence for each reason why a host is unfit whatever the stack; [] when it is fit.

    ``facts`` are ansible_facts; ``needs`` has memory_mb (MiB), clock_skew (seconds), address (where the host's services
    listen), ports, disk (places with path and mb, in the order in which they were asked for) and probe, what the module
    preflight_probe returned. What depends on the stack is ``placement.stacks``' to say.
    """
    probe, faults = needs["probe"], []
    # Jinja hands numbers on as text.
    memory_mb, clock_skew = int(needs["memory_mb"]), int(needs["clock_skew"])
    if facts.get("service_mgr") != "systemd":
        faults.append(f"service manager is {facts.get('service_mgr')}, wanted systemd: boot the host with systemd.")
    if facts.get("architecture") != "x86_64":
        faults.append(f"architecture is {facts.get('architecture')}, wanted x86_64: the locks hold only those wheels.")
    if facts.get("os_family") not in ("Debian", "RedHat"):
        faults.append(f"OS family is {facts.get('os_family')}, wanted Debian or RedHat: use one of their systems.")
    memory = facts.get("memtotal_mb", 0)
    if memory < memory_mb:
        faults.append(f"memory is {memory} MiB, wanted {memory_mb} MiB: take a larger host or a smaller model.")
    for system in systems_of(needs["disk"], probe["disk"]):
        if system["free_mb"] < system["wanted_mb"]:
            faults.append(
                f"{system['free_mb']} MiB are free for {' and '.join(system['paths'])}, wanted {system['wanted_mb']}"
                " MiB: make room or mount a larger disk there."
            )
    for port in sorted({str(port) for port in needs["ports"]} & set(probe["taken"])):
        faults.append(f"port {port} is taken by a process of {probe['taken'][port]}: stop it, or choose another port.")
    for name in probe["unknown"]:
        faults.append(f"the name {name} does not resolve here: add it to DNS or /etc/hosts.")
    address = needs.get("address", "")
    if address and not is_loopback(address) and address not in EVERY:
        for name, found in sorted(probe.get("loopback", {}).items()):
            faults.append(
                f"the name {name} is {found} here, and its services listen on {address}: give it the address that"
                " other hosts reach in /etc/hosts (Debian's installer writes 127.0.1.1 there), or another name than"
                " localhost in the inventory."
            )
    if abs(clock_skew) > needs.get("clock_skew_max", 60):
        faults.append(f"the clock is {clock_skew} s off the control node's: set up time synchronisation.")
    return faults


def systems_of(wanted: list[dict], places: list[dict]) -> list[dict]:
    """Return {paths, wanted_mb, free_mb} of each file system on which something will be written.

    ``wanted`` has path and mb of each place, ``places`` what preflight_probe found there. What a cut run has left
    counts: the next run goes on from it.
    """
    systems: dict[int, dict] = {}
    for need, place in zip(wanted, places, strict=True):
        entry = systems.setdefault(place["device"], {"paths": [], "wanted_mb": 0, "free_mb": place["free_mb"]})
        entry["paths"].append(need["path"])
        entry["wanted_mb"] += 0 if place["done"] else max(0, int(need["mb"]) - place["used_mb"])
    return [systems[device] for device in sorted(systems)]


def cards_in_words(found: dict) -> str:
    """Return what stands in the table for what gpu_facts found, such as ``8 x Tesla V100-SXM2-32GB``."""
    names = Counter(gpu["name"] or "unreadable" for gpu in found["gpus"])
    told = ", ".join(f"{count} x {name}" for name, count in names.items())
    return told or ("broken" if found["fault"] else "no driver" if found["hint"] else "none")


def preflight_table(verdicts: list[dict]) -> list[str]:
    """Return the lines of a table of the fleet, and below it each plan, every reason and every note.

    What holds for several hosts in the same words is said once, with the hosts counted.
    A verdict has host, machine (of ansible_facts), glibc, python, found (gpu_facts), stack ('' for none), plan (words
    of placement_plan), faults and notes.
    """
    rows = [list(HEADINGS)]
    for verdict in verdicts:
        machine, found = verdict["machine"], verdict["found"]
        system = f"{machine['distribution']} {machine['distribution_version']}"
        seen = (cards_in_words(found), found["driver"])
        rows.append([verdict["host"], system, verdict["glibc"], verdict["python"], *seen, verdict["stack"]])
    lines = aligned(rows)
    for plan, hosts in hosts_by_plan(verdicts).items():
        lines += [f"{hosts_in_words(hosts)}, plan: {word}" for word in plan]
    told = {verdict["host"]: reasons_and_notes(verdict) for verdict in verdicts}
    return lines + [f"{hosts_in_words(hosts)}{words}" for words, hosts in hosts_by_sentence(told).items()]


def hosts_by_plan(verdicts: list[dict]) -> dict[tuple[str, ...], list[str]]:
    """Return {the words of a plan: the hosts that have it}, in the order in which they come."""
    found: dict[tuple[str, ...], list[str]] = {}
    for verdict in verdicts:
        found.setdefault(tuple(verdict["plan"]["words"]), []).append(verdict["host"])
    return found


def reasons_and_notes(verdict: dict) -> list[str]:
    """Return what follows a host's name in its lines: the reasons, and the notes that its plan does not say already."""
    planned = " ".join(verdict["plan"]["words"])
    notes = [note for note in verdict["notes"] if note not in planned]
    return [*(f": {fault}" for fault in verdict["faults"]), *(f", note: {note}" for note in notes)]


def preflight_refusal(verdicts: list[dict], host: str) -> str:
    """Return the reasons why a host is refused; those that were told of an earlier host are only counted."""
    return said_of(host, {verdict["host"]: verdict["faults"] for verdict in verdicts})

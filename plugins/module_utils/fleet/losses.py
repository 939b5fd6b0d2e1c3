"""What the loss of hosts before a run means for the others."""

from __future__ import annotations

from collections.abc import Mapping

from .sentences import hosts_in_words


def hosts_lost(groups: Mapping, asked: list[str], left: list[str], distributes: bool) -> dict:
    """Return {faults, words}: why the others can not go on without the hosts that were lost, or else that they do.

    ``asked`` are the hosts of the run, ``left`` those that are still in it. ``distributes`` says whether workers
    receive their release from a builder. Hosts outside of the run, left out by --limit, are not lost.
    """
    lost = [host for host in asked if host not in left]
    needed = {"controllers": "every worker registers at the controller"}
    if distributes:
        needed["builders"] = "the workers receive their release from the builder"
    faults = [
        f"{host} did not answer or can not do it (see above), and {why}: nothing was changed. Repair {host}, or leave"
        f" it out of this run by --limit '!{host}'."
        for group, why in needed.items()
        for host in lost
        if host in groups.get(group, [])
    ]
    workers = [host for host in asked if host in groups.get("workers", [])]
    if workers and set(workers) <= set(lost):
        faults.append(
            f"No worker of this run is left ({hosts_in_words(workers)}; see above): nothing was changed."
            " Repair one, or leave them out of this run by --limit '!workers'."
        )
    if not lost or faults:
        return {"faults": faults, "words": ""}
    words = (
        f"{len(lost)} of {len(asked)} hosts did not answer or can not do it: {hosts_in_words(lost)}. The others go on;"
        " run this again when it is repaired. The exit status is not 0 until then."
    )
    return {"faults": [], "words": words}

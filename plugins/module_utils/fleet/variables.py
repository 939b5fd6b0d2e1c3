"""Which variables are ours, and which one of them somebody meant who wrote another."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What playbooks/group_vars sets for every play; no operator needs to.
PROJECT_VARIABLES = {"fleet_files", "fleet_services", "__fleet_controller", "__fleet_api", "__fleet_environment"}
# What roles leave behind on a host for a later phase of the same run.
FACTS = {"git_lfs_bundled", "nvidia_driver_reboot_required"}
# How names begin that nobody else has in an inventory; others, such as bundle_, may be somebody else's.
OURS = (
    *("artifact_mirror_", "cuda_toolkit_", "el7_archive_", "fastchat_", "fleet_", "git_lfs_"),
    *("nvidia_driver_", "package_source_", "preflight_", "vicuna_"),
)
NEAR = 0.8  # of difflib: a letter or two of a word are wrong


def is_like_ours(name: str, known: set[str]) -> bool:
    """Return whether a name that is not ours was meant to be: by its beginning, or nearly so and like one of ours."""
    if name.startswith(OURS):
        return True
    first = name.partition("_")[0]
    firsts = {one.partition("_")[0] for one in known}
    return bool(difflib.get_close_matches(first, firsts, 1, NEAR)) and bool(nearest(name, known, NEAR))


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the name of ours that is most like another, '' when none is; of equals, the one with the same letters."""
    found = difflib.get_close_matches(name, sorted(known), 3, cutoff)
    return max(
        found,
        key=lambda one: (difflib.SequenceMatcher(None, one, name).ratio(), sorted(one) == sorted(name)),
        default="",
    )


def variable_faults(names: Iterable[str], roles: dict[str, set[str]]) -> list[str]:
    """Return one sentence for each variable that looks like ours and is not.

    ``roles`` is {role: its variables}, and what playbooks read stands there under ``playbooks``. What begins with two
    underscores, and what Ansible itself sets, is nobody's.
    """
    known = set().union(*roles.values(), PROJECT_VARIABLES, FACTS)
    faults = []
    for name in sorted(map(str, names)):
        if name in known or name.startswith(("_", "ansible_")) or not is_like_ours(name, known):
            continue
        # The longest prefix is the role's: fastchat_worker_port is fastchat_worker's.
        role = max((role for role in roles if name.startswith(role + "_")), key=len, default="")
        meant = nearest(name, known)
        way = f"write {meant}, or remove it" if meant else "remove it"
        if role and not meant:
            way += f"; the role has {', '.join(sorted(roles[role]))}"
        faults.append(f"{name} is not a variable of {'role ' + role if role else 'the fleet'}: {way}.")
    return faults

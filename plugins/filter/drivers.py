"""Filters of the NVIDIA driver that choose branch, module and packages for a host's GPUs: pure functions over data."""

import re

NVIDIA = "10de"


def gpu_generations(devices: str, generations: list[dict]) -> list[str]:
    """Return the generations of NVIDIA GPUs in the text of ``/proc/bus/pci/devices``, each once, oldest first.

    Its second column is vendor and device in hexadecimal. NVIDIA's sound, USB and switch functions have device numbers
    outside the ranges of ``generations`` (``roles/nvidia_driver/vars``), and so are not taken for GPUs.
    """
    columns = [line.split() for line in devices.splitlines()]
    numbers = {int(column[1][4:], 16) for column in columns if len(column) > 1 and column[1].startswith(NVIDIA)}
    found = []
    for generation in generations:
        ranges = [[int(str(end), 16) for end in ends.split("-")] for ends in generation["devices"]]
        if any(first <= number <= last for number in numbers for first, last in ranges):
            found.append(generation["name"])
    return found


def kernel_order(version: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts kernel versions as rpm does: numbers by value, and above letters."""
    parts = re.findall(r"\d+|[a-zA-Z]+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def newer_kernels(images: list[str], running: str) -> list[str]:
    """Return the versions of installed kernels (paths ``…/vmlinuz-VERSION``) that are newer than the running one."""
    versions = [path.rsplit("/vmlinuz-", 1)[1] for path in images if "/vmlinuz-" in path and "rescue" not in path]
    return sorted((v for v in versions if kernel_order(v) > kernel_order(running)), key=kernel_order)


def driver_faults(needs: dict, chosen: list[dict], branch: int) -> list[str]:
    """Return one sentence for each reason why a branch does not suit GPUs or platform; see ``driver_plan``."""
    platform, faults = needs["platform"], []
    for one in chosen:
        if one.get("newest") and branch > one["newest"]:
            faults.append(
                f"nvidia_driver_branch is {branch} and this host has a GPU of the {one['name']} generation, whose last"
                f" branch is R{one['newest']}: set it to {min(one['newest'], platform['newest'])} or lower."
            )
        if one.get("oldest") and branch < one["oldest"]:
            faults.append(
                f"the driver's branch is {branch} and this host has a GPU of the {one['name']} generation, whose first"
                f" branch is R{one['oldest']}: set nvidia_driver_branch to that or newer, on a platform that has it."
            )
    if not faults and branch > platform["newest"] and not needs["packages"]:
        faults.append(
            f"nvidia_driver_branch is {branch}, and the last packages for {needs['os']} are of R{platform['newest']}:"
            " lower it, or name packages in nvidia_driver_packages."
        )
    only = platform.get("only")
    if not faults and only and branch != only and not needs["packages"]:
        faults.append(
            f"nvidia_driver_branch is {branch}, and the archive of {needs['os']} has R{only} only: leave it empty, or"
            " name packages of another repository in nvidia_driver_packages."
        )
    return faults


def driver_plan(needs: dict) -> dict:
    """Return {"generations", "branch", "module", "packages", "faults"} for one host.

    ``needs`` has ``found`` (generations of the host's GPUs), ``generations`` (the table), ``platform`` (its packages,
    {} when unknown), ``os`` (its name), ``branch`` and ``packages`` (the operator's wish, empty when she has none),
    ``toolkit`` (a CUDA version or '').
    """
    table = {generation["name"]: generation for generation in needs["generations"]}
    unknown = [name for name in needs["found"] if name not in table]
    plan = {"generations": needs["found"], "branch": 0, "module": "", "packages": [], "faults": []}
    if unknown:
        plan["faults"] = [f"nvidia_driver_generation is {unknown[0]!r}, wanted one of {sorted(table)}."]
    elif not needs["found"]:
        plan["faults"] = [
            "nvidia_driver_install is true and no NVIDIA GPU that we know was found: set it to false for this host, or"
            f" nvidia_driver_generation to one of {sorted(table)}."
        ]
    elif not needs["platform"]:
        plan["faults"] = [
            f"there is no table of driver packages for {needs['os']}: install the driver by hand and set"
            " nvidia_driver_install to false."
        ]
    if plan["faults"]:
        return plan
    platform, chosen = needs["platform"], [table[name] for name in needs["found"]]
    newest = min([one["newest"] for one in chosen if one.get("newest")] + [platform["newest"]])
    branch = int(needs["branch"] or newest)
    modules = {one["module"] for one in chosen}
    faults = driver_faults(needs, chosen, branch)
    if {"proprietary-only", "open-only"} <= modules:
        faults.append(
            f"this host has GPUs of {' and '.join(needs['found'])}, which no one kernel module drives: take one out."
        )
    module = "proprietary" if "proprietary-only" in modules or "open" not in platform else "open"
    if module == "proprietary" and "open-only" in modules and not faults:
        faults.append(
            f"{' and '.join(needs['found'])} needs the open kernel module, which {needs['os']} does not have:"
            " set nvidia_driver_install to false."
        )
    names = platform.get("by_branch") if needs["branch"] and "by_branch" in platform else platform[module]
    wanted = needs["packages"] or [name.format(branch=branch) for name in names]
    toolkit = [f"cuda-toolkit-{needs['toolkit'].replace('.', '-')}"] if needs["toolkit"] else []
    return {**plan, "branch": branch, "module": module, "packages": [*wanted, *toolkit], "faults": faults}


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"driver_plan": driver_plan, "gpu_generations": gpu_generations, "newer_kernels": newer_kernels}

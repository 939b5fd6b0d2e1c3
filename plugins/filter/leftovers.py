"""The report of playbooks/prune.yml about the releases and environments that it removed."""

from collections.abc import Mapping

from jinja2.filters import do_filesizeformat


def leftovers_report(result: Mapping, rehearsed: bool) -> list[str]:
    """Return the lines about what the module leftovers returned: how much was freed, what was removed, what stays.

    ``rehearsed`` means that it ran in check mode, so nothing was removed yet.
    """
    freed = do_filesizeformat(result["bytes"], binary=True)
    return [
        f"{freed} {'would be' if rehearsed else 'were'} freed.",
        *(f"{one['what']} {one['path']} ({do_filesizeformat(one['bytes'], binary=True)})" for one in result["removed"]),
        *(f"{one['path']} stays: a process uses it" for one in result["busy"]),
    ]


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"leftovers_report": leftovers_report}

"""Filters of fastchat_service: complete and check the descriptions of units."""

from ansible.errors import AnsibleFilterError
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import cpu_list
from ansible_collections.fastchat.fleet.plugins.module_utils.units.completion import completed_units


def service_units(units: list[dict]) -> list[dict]:
    """Return what ``completed_units`` does; AnsibleFilterError with its sentence."""
    try:
        return completed_units(units)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict:
        """Return the filters by the names that roles use."""
        return {"service_units": service_units, "cpu_list": cpu_list}

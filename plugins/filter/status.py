"""Filters of the operations: show the fleet as one table, and find hosts that can give a release."""

from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.releases import release_peers
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.status import fleet_status, status_answers


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"fleet_status": fleet_status, "release_peers": release_peers, "status_answers": status_answers}

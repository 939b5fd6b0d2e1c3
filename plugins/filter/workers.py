"""Filters of fastchat_worker: from planned instances to the units that run them, and to what the probe asks."""

from ansible_collections.fastchat.fleet.plugins.module_utils.workers.units import worker_units, workers_asked


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"worker_units": worker_units, "workers_asked": workers_asked}

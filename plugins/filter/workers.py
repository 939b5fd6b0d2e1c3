"""Filters of fastchat_worker: turn planned instances into units, and into the plan of the probe."""

from ansible_collections.fastchat.fleet.plugins.module_utils.workers.units import worker_units, workers_asked


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"worker_units": worker_units, "workers_asked": workers_asked}

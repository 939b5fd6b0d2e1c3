"""Filters of the backends: which one serves a model, and which options vLLM does not support."""

from ansible_collections.fastchat.fleet.plugins.module_utils.workers.vllm import backend_faults, backend_of


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"backend_faults": backend_faults, "backend_of": backend_of}

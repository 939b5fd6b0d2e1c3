"""Filters of the backends: what serves a model, and what vLLM does not grant."""

from ansible_collections.fastchat.fleet.plugins.module_utils.workers.vllm import (
    backend_faults,
    backend_of,
    vllm_command,
)


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"backend_faults": backend_faults, "backend_of": backend_of, "vllm_command": vllm_command}

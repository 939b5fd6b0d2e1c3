"""Filters of vicuna_weights: whether a host makes a release, whether it is there, and what a host receives of it."""

from ansible_collections.fastchat.fleet.plugins.module_utils.release.plan import (
    is_published,
    makes_release,
    named_sources,
    receive_plan,
)


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "weights_is_published": is_published,
            "weights_makes_release": makes_release,
            "weights_named_sources": named_sources,
            "weights_receive_plan": receive_plan,
        }

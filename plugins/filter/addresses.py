"""Filters that join a host and a port, so that an IPv6 address has its brackets everywhere."""

from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import authority, base_url


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"authority": authority, "base_url": base_url}

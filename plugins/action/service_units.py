"""Render and read the files of services for the module ``service_units``, as ``host_files`` beside it does."""

from __future__ import annotations

from ansible_collections.fastchat.fleet.plugins.action.host_files import ActionModule

__all__ = ["ActionModule"]

"""The project's own collection, found as Ansible finds it: its loader comes before the first import from there."""

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

from fleet.paths import CLONE

if AnsibleCollectionConfig.collection_finder is None:
    init_plugin_loader([str(CLONE / "collections")])

from ansible_collections.fastchat.fleet.plugins.module_utils.storage import files, locks  # noqa: E402

__all__ = ["files", "locks"]

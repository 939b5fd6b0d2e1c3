"""The rooms of the collection that this one needs: imported as everywhere, or, without a PYTHONPATH, as Ansible does.

The command ``fleet`` and a plain ``python -m report`` in the project's folder have none.
"""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

try:
    import ansible_collections.fastchat.fleet  # noqa: F401
except ImportError:
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([str(PROJECT / "collections")])

from ansible_collections.fastchat.fleet.plugins.module_utils.ledger import spool  # noqa: E402
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import files  # noqa: E402

__all__ = ["PROJECT", "files", "spool"]

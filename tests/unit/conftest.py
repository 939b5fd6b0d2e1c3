"""The project's collection, imported as Ansible imports it: its loader must come before the first import from there."""

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[2]

init_plugin_loader([str(ROOT / "collections")])

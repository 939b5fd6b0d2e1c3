"""Bring up a layout: ``layouts.yml`` says which hosts, wheels and model hub belong to it."""

from pathlib import Path

import yaml

from testbed import paths, wheelhouse
from testbed.containers import fleet, proxy
from testbed.hub import container as hub

LAYOUTS = Path(__file__).with_name("layouts.yml")


def layout_of(name: str) -> dict:
    """Return a layout of ``layouts.yml``: {hosts, hub} and, where they are set, {wheelhouse, internal, ipv6, proxy}."""
    return yaml.safe_load(LAYOUTS.read_text())[name]


def bring_up(fleet_name: str = "demo", layout: str = "demo") -> None:
    """Bring up the containers of a layout as a fleet; whatever is already up stays as it is."""
    wanted = layout_of(layout)
    with paths.cache_held():
        houses = wanted.get("wheelhouse", [])
        houses = [houses] if isinstance(houses, dict) else houses
        wheels = f"{wheelhouse.together(houses)}:/srv/wheelhouse:ro" if houses else ""
        internal, ipv6 = wanted.get("internal", False), wanted.get("ipv6", False)
        fleet.up(fleet_name, wanted["hosts"], [wheels] if wheels and not internal else [], internal, ipv6)
        if wanted.get("proxy"):
            proxy.up(fleet_name)
        if wanted["hub"]:
            hub.up(fleet_name)

"""Where the controller and the API of a fleet are asked, by the inventory's groups."""

from __future__ import annotations

from collections.abc import Mapping

CONTROLLER_PORT, API_PORTS = 21001, [8000, 8001]  # defaults of the roles fastchat_controller and fastchat_api


def authority(host: str, port: int | str) -> str:
    """Return host:port as it stands in a URL; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def own_address(facts: Mapping) -> str:
    """Return the address that a host has towards the others, by its ansible_facts: IPv4 first; 127.0.0.1 for none."""
    ways = [facts.get(name) or {} for name in ("default_ipv4", "default_ipv6")]
    return next((way["address"] for way in ways if way.get("address")), "127.0.0.1")


def controller_url(hostvars: Mapping, groups: Mapping) -> str:
    """Return the URL of the first host of group controllers, '' when there is none."""
    for host in groups.get("controllers", []):
        return "http://" + authority(host, hostvars[host].get("fastchat_controller_port", CONTROLLER_PORT))
    return ""


def api_url(hostvars: Mapping, groups: Mapping) -> str:
    """Return the URL of the first API server of the first host of group controllers, '' when there is none."""
    for host in groups.get("controllers", []):
        ports = hostvars[host].get("fastchat_api_ports", API_PORTS)
        return f"http://{authority(host, ports[0] if isinstance(ports, list) else ports)}/v1"
    return ""

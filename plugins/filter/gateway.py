"""Filters of the gateway: faults of its API keys and origins, the servers behind it, and its addresses."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import authority, base_url

# RFC 6750's b64token: what a client can send after "Bearer". Nothing in it means anything to nginx once escaped.
KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
SHORTEST = 20
# An origin as a browser sends it: small letters, no path, and no port that is the scheme's own.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
OWN_PORT = re.compile(r"(http://.*):80|(https://.*):443")


def gateway_key_faults(keys: Any) -> list[str]:
    """Return one sentence for each fault of ``{name: key}``; [] when there is none. No sentence has a key in it."""
    wanted = "set fastchat_gateway_api_keys in a vault (ansible-vault), such as {alice: sk-...}."
    if not isinstance(keys, dict):
        return [f"fastchat_gateway_api_keys is not a mapping of names to keys: {wanted}"]
    if not keys:
        return [f"fastchat_gateway_api_keys has no key, and a gateway that lets nobody in serves nobody: {wanted}"]
    faults, owners = [], {}
    for name, key in keys.items():
        if not NAME.fullmatch(str(name)):
            # The name is not shown, because it may be a key in the wrong place.
            faults.append("fastchat_gateway_api_keys has a name with other characters than A-Z a-z 0-9 _ . @ -.")
        elif not isinstance(key, str) or not KEY.fullmatch(key):
            faults.append(f"The key of {name} has other characters than A-Z a-z 0-9 . _ ~ + / - (and = at its end).")
        elif len(key) < SHORTEST:
            faults.append(f"The key of {name} has {len(key)} characters, wanted {SHORTEST} or more.")
        elif key in owners:
            faults.append(f"{owners[key]} and {name} have the same key: who asks would not be known.")
        else:
            owners[key] = name
    return faults


def gateway_status_faults(key: Any, keys: Any) -> list[str]:
    """Return one sentence for each fault of the key of /status, '' for none, beside the API's keys ({name: key})."""
    if not key:
        return []
    if not isinstance(key, str) or not KEY.fullmatch(key):
        return ["fastchat_gateway_status_key has other characters than A-Z a-z 0-9 . _ ~ + / - (and = at its end)."]
    if len(key) < SHORTEST:
        return [f"fastchat_gateway_status_key has {len(key)} characters, wanted {SHORTEST} or more."]
    owners = [str(name) for name, other in keys.items() if other == key] if isinstance(keys, dict) else []
    return [
        f"fastchat_gateway_status_key is the key of {name} as well: make one of its own, which can ask nothing."
        for name in owners
    ]


def gateway_origin_faults(origins: Any) -> list[str]:
    """Return one sentence for each fault of fastchat_gateway_cors_origins; [] when there is none."""
    name = "fastchat_gateway_cors_origins"
    origins = [origins] if isinstance(origins, str) else origins
    if not isinstance(origins, list):
        return [f'{name} is {origins!r}, wanted a list of origins such as [https://chat.example.com], or ["*"].']
    if origins == ["*"]:
        return []
    faults = []
    for origin in origins:
        own_port = OWN_PORT.fullmatch(str(origin))
        if origin == "*":
            faults.append(f'{name} has "*" and others: name "*" alone to let every page ask, or leave it out.')
        elif own_port:
            near = own_port[1] or own_port[2]
            faults.append(f"{name} has {origin!r}, and browsers leave the scheme's own port out: write {near}.")
        elif not isinstance(origin, str) or not ORIGIN.fullmatch(origin):
            faults.append(
                f"{name} has {origin!r}, wanted scheme, host and port only and in small letters, as browsers send it,"
                " such as https://chat.example.com or http://localhost:3000."
            )
    return faults


def gateway_upstreams(hostvars: Mapping, hosts: Iterable[str], variable: str, default: int | list[int]) -> list[str]:
    """Return host:port for each port that a ``variable`` of each host names, one port or several."""
    found = []
    for host in hosts:
        ports = hostvars[host].get(variable, default)
        found += [authority(host, port) for port in (ports if isinstance(ports, list) else [ports])]
    return found


def gateway_addresses(hostvars: Mapping, gateways: Iterable[str]) -> list[dict]:
    """Return [{host, url}]: the OpenAI API of each gateway, by the first name that its certificate has."""
    found = []
    for host in gateways:
        variables = hostvars[host]
        name, port = variables.get("fastchat_gateway_names", [host])[0], variables.get("fastchat_gateway_port", 443)
        found.append({"host": host, "url": base_url(name, port, "https") + "/v1"})
    return found


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "gateway_addresses": gateway_addresses,
            "gateway_key_faults": gateway_key_faults,
            "gateway_origin_faults": gateway_origin_faults,
            "gateway_status_faults": gateway_status_faults,
            "gateway_upstreams": gateway_upstreams,
        }

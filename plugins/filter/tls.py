"""Filters of fleet_tls: find settings that would break a fleet, and the certificates of a text."""

import re
from collections.abc import Mapping

from ansible.module_utils.parsing.convert_bool import boolean

OFF = "off"
# Older kernels allow no second NAT table beside that of iptables.
OLDEST_KERNEL = (4, 18)
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def tls_certificates(text: str) -> list[str]:
    """Return the certificates of a PEM text, each once, without the text between them."""
    return list(dict.fromkeys(found + "\n" for found in CERTIFICATE.findall(text)))


def tls_state(result: Mapping) -> str:
    """Return the checksum of the CA that a host trusts, or "off": of the registered result of sha256sum."""
    return result["stdout"].split()[0] if result.get("rc", 1) == 0 else OFF


def tls_inventory_faults(hostvars: Mapping, hosts: list[str], own_ports: list[int]) -> list[str]:
    """Return one sentence for each setting that differs between hosts and must not, or that can not work.

    ``own_ports`` are stunnel's.
    """
    faults = []
    on = {host: boolean(hostvars[host].get("fleet_tls", False), strict=False) for host in hosts}
    if len(set(on.values())) > 1:
        sides = [", ".join(host for host in hosts if on[host] is side) for side in (True, False)]
        faults.append(
            f"fleet_tls is true for {sides[0]} and false for {sides[1]}, and neither side could reach the other: set it"
            " in group_vars/all."
        )
    ports = {str(hostvars[host].get("fleet_tls_ports", "")) for host in hosts}
    if len(ports) > 1:
        faults.append(
            f"fleet_tls_ports differs between hosts ({' and '.join(sorted(ports))}): set it in group_vars/all."
        )
    for wanted in {str(port) for host in hosts for port in hostvars[host].get("fleet_tls_ports", [])}:
        first, _, last = wanted.partition("-")
        if any(int(first) <= port <= int(last or first) for port in own_ports):
            faults.append(
                f"fleet_tls_ports has {wanted}, wanted ports other than {' and '.join(map(str, own_ports))}, TLS's own."
            )
    return faults


def tls_host_faults(facts: Mapping, host: str, firewalld: str) -> list[str]:
    """Return one sentence for each reason why a host can not have our NAT table; ``firewalld`` is its unit's state."""
    faults = []
    kernel = str(facts.get("kernel", "0.0"))
    if tuple(map(int, re.findall(r"\d+", kernel + ".0.0")[:2])) < OLDEST_KERNEL:
        faults.append(
            f"The kernel of {host} is {kernel}, wanted {'.'.join(map(str, OLDEST_KERNEL))} or newer, where our NAT"
            " table can stand beside others: set fleet_tls to false for the fleet, or take such hosts out of it."
        )
    if firewalld == "active":
        faults.append(
            f"firewalld is active on {host}, wanted nftables alone, since firewalld lets in what was redirected,"
            " past its own rules: disable it and set fleet_firewall_backend to nftables there, or fleet_tls to false."
        )
    return faults


def tls_side_faults(others: Mapping, host: str, wanted: str) -> list[str]:
    """Return a sentence when a host would switch TLS on or off, while hosts outside of this run would not.

    ``others`` is the registered result of asking them; ``wanted`` is what ``tls_state`` of this host shall become.
    """
    asked = [result for result in others.get("results", []) if not result.get("skipped")]
    answered = {result["item"]: tls_state(result) for result in asked if not result.get("unreachable")}
    there = [name for name, state in answered.items() if state != wanted]
    change = "turned off" if wanted == OFF else "turned on, or get another CA,"
    what_to_do = "run playbooks/tls.yml over all hosts, without --limit."
    if there:
        return [
            f"fleet_tls would be {change} on {host} but not on {', '.join(there)}, which this run does not reach, and"
            f" neither could reach the other: {what_to_do}"
        ]
    if asked and not answered:
        names = ", ".join(result["item"] for result in asked)
        return [
            f"fleet_tls would be {change} on {host}, and {names}, which this run does not reach, can not be asked what"
            f" they have: bring them up or take them out of the inventory, then {what_to_do}"
        ]
    return []


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "tls_certificates": tls_certificates,
            "tls_host_faults": tls_host_faults,
            "tls_inventory_faults": tls_inventory_faults,
            "tls_side_faults": tls_side_faults,
            "tls_state": tls_state,
        }

"""Where RPMs come from: the addresses of the archives that hosts' variables name. Python >= 3.6.

A file of files/systems says what lies where below an archive, and with which key it is signed; it names no host.
"""

from typing import Any, Dict, List, Mapping
from urllib.parse import urljoin


def key_url(archive: Mapping[str, Any], address: str, variables: Mapping[str, Any]) -> str:
    """Return where an archive's key is fetched: where the host's variable says, or its place in the archive.

    A key by file:// is on the host's own disk, where this machine can not read it.
    """
    named = str(variables.get(archive["variable"] + "_key") or "")
    return named if named.startswith(("http://", "https://")) else urljoin(address.rstrip("/") + "/", archive["key"])


def with_addresses(system: Mapping[str, Any], variables: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a system with ``repositories`` {name: URL} and ``keys`` {name: {url, fingerprint}} and without archives.

    ``variables`` are those of a host that has the system. An archive without an address gives the fingerprint alone if
    it is required, and nothing otherwise.
    """
    found = {name: value for name, value in system.items() if name != "archives"}  # type: Dict[str, Any]
    found.update(repositories={}, keys={})
    for name, archive in system["archives"].items():
        address = str(variables.get(archive["variable"]) or "").rstrip("/")
        if address:
            parts = archive["repositories"]
            found["repositories"].update({part: "%s/%s" % (address, path) for part, path in parts.items()})
            found["keys"][name] = {"url": key_url(archive, address, variables), "fingerprint": archive["fingerprint"]}
        elif archive["required"]:
            found["keys"][name] = {"fingerprint": archive["fingerprint"]}
    return found


def address_faults(system: Mapping[str, Any], found: Mapping[str, Any], hosts: List[str]) -> List[str]:
    """Return one sentence for each required archive whose addresses are not known; ``found`` is of with_addresses."""
    faults = []
    for name, archive in system["archives"].items():
        lost = [part for part in archive["repositories"] if not found["repositories"].get(part)]
        if archive["required"] and (lost or not found["keys"][name].get("url")):
            faults.append(
                "fleet_system of %s is %s and no address of its packages is known: set %s to the directory that has %s"
                " (of a mirror, or of the archive that its makers keep), or name all of them in bundle_systems"
                " (docs/AIRGAP.md)." % (", ".join(hosts), system["name"], archive["variable"], archive["holds"])
            )
    return faults

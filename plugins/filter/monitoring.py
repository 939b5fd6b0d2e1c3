"""Filters of the roles that watch the fleet: programs, what Prometheus asks, and the exporter's options."""

from collections.abc import Iterable, Mapping

from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import authority, base_url

EXPORTER_PORT = 21093


def monitoring_paths(table: Mapping, packaged: bool, home: str) -> dict[str, str]:
    """Return {name: path} of the programs of files/monitoring/programs.yml, by package or below ``home``."""
    return {name: f"/usr/bin/{one['program']}" if packaged else f"{home}/{name}" for name, one in table.items()}


def monitoring_archive_faults(table: Mapping, names: Iterable[str], url: str, architecture: str) -> list[str]:
    """Return one sentence for each reason why archives can not be fetched; [] when there is none."""
    names, faults = list(names), []
    archives = ", ".join(table[name]["archive"] for name in names)
    if not url:
        faults.append(
            f"This host has no package for {', '.join(names)}, and monitoring_programs_url is not set: set it to the"
            f" address of a server of yours that has {archives}."
        )
    if architecture != "x86_64":
        faults.append(f"This host is {architecture}, and the archives of files/monitoring/programs.yml are for x86_64.")
    faults += [
        f"files/monitoring/programs.yml has no sha256 for {table[name]['archive']}: add its publisher's."
        for name in names
        if not table[name].get("sha256")
    ]
    return faults


def scrape_targets(hostvars: Mapping, hosts: Iterable[str], variable: str, port: int) -> list[dict]:
    """Return [{targets, labels}] for static_configs of Prometheus: one host each, by its name in the inventory.

    ``variable`` is the one with which a host may have another port.
    """
    return [
        {"targets": [authority(host, hostvars[host].get(variable, port))], "labels": {"instance": host}}
        for host in hosts
    ]


def exporter_servers(ports: Iterable[int], host: str) -> dict[str, str]:
    """Return {api@N: base URL} of the API servers of a host."""
    return {f"api@{index}": base_url(host, port) for index, port in enumerate(ports)}


def exporter_peers(hostvars: Mapping, hosts: Iterable[str]) -> dict[str, str]:
    """Return {host: base URL} of the exporters of hosts, for the page /status."""
    return {host: base_url(host, hostvars[host].get("fastchat_exporter_port", EXPORTER_PORT)) for host in hosts}


def exporter_options(options: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the words --OPTION=NAME=URL of {option: {name: URL}}, in order."""
    return [
        f"--{option}={name}={url}" for option, named in sorted(options.items()) for name, url in sorted(named.items())
    ]


def exporter_certificates(certificates: Mapping[str, str], folder: str) -> list[dict]:
    """Return the entries (as those of host_files) of the gateways' certificates ({name: PEM}) in a folder."""
    return [
        {"path": f"{folder}/{name}.pem", "content": text, "owner": "root", "group": "fastchat", "mode": "0640"}
        for name, text in sorted(certificates.items())
    ]


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "exporter_certificates": exporter_certificates,
            "exporter_options": exporter_options,
            "exporter_peers": exporter_peers,
            "exporter_servers": exporter_servers,
            "monitoring_archive_faults": monitoring_archive_faults,
            "monitoring_paths": monitoring_paths,
            "scrape_targets": scrape_targets,
        }

"""The content of a bundle follows from the inventory, and hosts take models from it."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter.bundle import bundle_faults, bundle_plan, bundle_sources, kind_of

from tests.support.sentences import no_faults

ROOT = Path(__file__).resolve().parents[3]


# Where the packages of hosts with CentOS 7 come from.
MIRROR = "https://mirror.example.com/centos/7.9.2009"


def host(*groups, **variables):
    return {"group_names": list(groups), "fastchat_stack": "cpu", "fastchat_model": "vicuna-7b-v1.5", **variables}


def test_a_plan_has_what_the_roles_of_each_group_want():
    hosts = {
        "ctl01": host("controllers", "mirrors", fleet_system="debian12"),
        "gpu01": host(
            "workers",
            fleet_system="debian11",
            fastchat_stack="v100-torch210",
            fastchat_runtime_python_source="pinned",
        ),
        "gpu02": host("workers", fleet_system="debian11", vicuna_weights_distribute="p2p"),
        "gpu03": host("workers", fleet_system="none", bundle_packages=["never"]),
    }
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["faults"] == []
    assert plan["stacks"] == ["cpu", "v100-torch210"] and plan["models"] == ["vicuna-7b-v1.5"]
    assert plan["pinned"] == ["v100-torch210"]
    assert plan["deb"] == {
        "debian11": ["aria2", "git", "git-lfs", "nftables", "python3-apt"],
        "debian12": ["nftables", "nginx", "python3-apt"],
    }
    assert bundle_plan(hosts, ["ctl01"], str(ROOT))["models"] == []


def test_a_plan_has_stunnel_where_hosts_speak_tls():
    systems = {"ctl01": ("controllers", "debian12"), "bld01": ("builders", "debian11"), "gpu01": ("workers", "centos7")}
    variables = {"fleet_tls": True, "el7_archive_centos": MIRROR}
    hosts = {name: host(group, fleet_system=system, **variables) for name, (group, system) in systems.items()}
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["deb"]["debian12"] == ["nftables", "openssl", "python3-apt", "stunnel4"]
    hosts["ctl01"] |= {"fleet_tls": "false", "fleet_firewall": "no"}  # as an INI inventory has it
    assert "debian12" not in bundle_plan(hosts, list(hosts), str(ROOT))["deb"]
    assert "stunnel4" not in plan["deb"]["debian11"] and "stunnel" in plan["rpm"]["centos7"]


def test_a_plan_has_the_environment_of_the_web_page_where_there_is_one():
    hosts = {"web01": host("web_hosts", fleet_system="none"), "gpu01": host("workers", fleet_system="none")}
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["faults"] == [] and plan["environments"] == ["web"] and plan["pinned"] == []
    assert bundle_plan(hosts, ["gpu01"], str(ROOT))["environments"] == []
    hosts["web01"]["fastchat_runtime_python_source"] = "pinned"
    assert bundle_plan(hosts, list(hosts), str(ROOT))["pinned"] == ["cpu", "web"]


def test_a_plan_has_what_watches_a_fleet_where_somebody_does():
    hosts = {
        "ctl01": host("controllers", fleet_system="debian12"),
        "gpu01": host("workers", fleet_system="centos7", el7_archive_centos=MIRROR),
        "mon01": {"group_names": ["monitors"], "fleet_system": "debian11"},
    }
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["faults"] == [] and plan["environments"] == ["exporter"]
    assert "prometheus-node-exporter" in plan["deb"]["debian12"] and "prometheus" not in plan["deb"]["debian12"]
    assert {"prometheus", "prometheus-alertmanager"} <= set(plan["deb"]["debian11"])
    assert not [name for name in plan["rpm"]["centos7"] if "prometheus" in name], "EL has archives instead"
    del hosts["mon01"]
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["environments"] == [] and "prometheus-node-exporter" not in plan["deb"]["debian12"]


def test_a_plan_for_el_7_has_git_and_the_pinned_git_lfs_of_one_host():
    hosts = {
        "ctl01": host("controllers", "mirrors", fleet_system="centos7"),
        "gpu01": host("workers", fleet_system="centos7", vicuna_weights_distribute="rsync"),
        "gpu02": host("workers", fleet_system="centos7", el7_archive_centos=MIRROR),
    }
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["faults"] == [] and plan["deb"] == {}
    assert plan["rpm"] == {"centos7": ["git", "nginx", "rsync"]}
    assert plan["git_lfs"] == {"centos7": "gpu01"}
    hosts["gpu01"]["git_lfs_source"] = hosts["gpu02"]["git_lfs_source"] = "distribution"
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["rpm"] == {"centos7": ["git", "git-lfs", "nginx", "rsync"]} and plan["git_lfs"] == {}


def test_a_host_without_a_system_is_named():
    hosts = {"gpu01": host("workers"), "gpu02": host("workers", fleet_system="el7")}
    faults = bundle_plan(hosts, list(hosts), str(ROOT))["faults"]
    assert [fault.split(",")[0] for fault in faults] == [
        "fleet_system of gpu01 is not set",
        "fleet_system of gpu02 is el7",
    ]


def test_a_stack_or_model_without_a_file_is_named_with_its_hosts():
    hosts = {"a": host("workers", fleet_system="none", fastchat_stack="no", fastchat_model="none")}
    faults = bundle_plan({**hosts, "b": hosts["a"]}, ["a", "b"], str(ROOT))["faults"]
    assert [fault.split(",")[:2] for fault in faults] == [
        ["fastchat_stack of a", " b is no"],
        ["fastchat_model of a", " b is none"],
    ]


def test_the_addresses_of_rpms_are_those_that_the_hosts_name_and_no_others():
    hosts = {
        "gpu01": host("workers", fleet_system="centos7"),
        "gpu02": host("workers", fleet_system="centos7", el7_archive_centos=MIRROR + "/"),
        "gpu03": host("workers", fleet_system="debian12", el7_archive_centos="https://not.this.one"),
    }
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    found = plan["systems"]["centos7"]
    assert plan["faults"] == [] and set(plan["systems"]) == {"centos7", "debian12"}
    parts = ("os", "updates", "extras")
    assert sorted(found["repositories"].values()) == sorted(f"{MIRROR}/{part}/x86_64" for part in parts)
    assert found["keys"] == {
        "centos": {
            "url": f"{MIRROR}/os/x86_64/RPM-GPG-KEY-CentOS-7",
            "fingerprint": "6341AB2753D78A78A7C27BB124C6A8A7F4A80EB5",
        }
    }
    hosts["gpu02"] |= {"el7_archive_epel": "https://mirror.example.com/epel/7"}
    found = bundle_plan(hosts, list(hosts), str(ROOT))["systems"]["centos7"]
    assert found["repositories"]["epel"] == "https://mirror.example.com/epel/7/x86_64"
    assert found["keys"]["epel"]["url"] == "https://mirror.example.com/epel/RPM-GPG-KEY-EPEL-7"
    keys = {"el7_archive_centos_key": "file:///etc/pki/key", "el7_archive_epel_key": "http://mirror/key"}
    hosts["gpu02"] |= keys
    found = bundle_plan(hosts, list(hosts), str(ROOT))["systems"]["centos7"]
    assert found["keys"]["centos"]["url"].startswith(MIRROR), "a key of the host's own disk is not here"
    assert found["keys"]["epel"]["url"] == "http://mirror/key"


def test_a_system_whose_archive_nobody_names_is_refused_with_its_hosts():
    hosts = {name: host("workers", fleet_system="centos7") for name in ("gpu01", "gpu02")}
    (fault,) = bundle_plan(hosts, list(hosts), str(ROOT))["faults"]
    assert fault.startswith(
        "fleet_system of gpu01, gpu02 is centos7 and no address of its packages is known: set el7_archive_centos to the"
        " directory that has os, updates and extras of CentOS 7.9.2009"
    )


def test_bundle_systems_can_name_every_address_of_a_system():
    parts = {name: f"https://m/{name}" for name in ("base", "updates", "extras")}
    own = {"centos7": {"repositories": parts, "keys": {"centos": {"url": "https://m/key"}}}}
    hosts = {"gpu01": host("workers", fleet_system="centos7", bundle_systems=own)}
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["faults"] == [] and plan["systems"]["centos7"]["repositories"] == parts
    del own["centos7"]["repositories"]["extras"]
    assert len(bundle_plan(hosts, list(hosts), str(ROOT))["faults"]) == 1
    own["debian12"] = {"sources": ["https://m/debian bookworm main"]}
    hosts["gpu01"]["fleet_system"] = "debian12"
    assert bundle_plan(hosts, list(hosts), str(ROOT))["systems"]["debian12"]["sources"] == own["debian12"]["sources"]


SYSTEM_KEYS = {"deb": {"keyring", "suites"}, "rpm": {"release", "archives"}}
ARCHIVE_KEYS = {"variable", "holds", "required", "repositories", "key", "fingerprint"}


def system_faults(system, stem):
    wanted = {"name", "description", "architecture", *SYSTEM_KEYS[kind_of(system)]}
    faults = [f"{key} is missing; a system has {sorted(wanted)}" for key in sorted(wanted - set(system))]
    faults += [f"{key} is unknown; a system has {sorted(wanted)}" for key in sorted(set(system) - wanted)]
    if system.get("name") != stem:
        faults.append(f"name is {system.get('name')!r}, wanted {stem!r} as its file is called")
    for name, archive in system.get("archives", {}).items():
        if set(archive) != ARCHIVE_KEYS or len(archive.get("fingerprint", "")) != 40:
            faults.append(f"archive {name} has {sorted(archive)}, wanted {sorted(ARCHIVE_KEYS)}, the last of 40 digits")
    return faults


@pytest.mark.parametrize("path", sorted((ROOT / "files" / "systems").glob("*.yml")), ids=lambda path: path.stem)
def test_every_system_is_named_as_its_file_and_complete_and_names_no_host(path):
    text = path.read_text()
    no_faults(system_faults(yaml.safe_load(text), path.stem), of=path.name)
    assert "://" not in text, "whose mirror it is, is not ours to say"


def test_a_system_with_a_wrong_key_is_told_so():
    system = {"name": "other", "description": "", "architecture": "amd64", "keyring": "/k", "suite": []}
    whole = "a system has ['architecture', 'description', 'keyring', 'name', 'suites']"
    assert system_faults(system, "mine") == [
        f"suites is missing; {whole}",
        f"suite is unknown; {whole}",
        "name is 'other', wanted 'mine' as its file is called",
    ]


def test_a_models_sources_become_the_bundles_with_every_sum():
    model = {"name": "m", "sources": {"base": {"url": "x"}, "delta": {"url": "y"}}}
    entry = {"sha256": "ab", "size": 1}
    manifest = {"files": {"models/m/base/a.bin": entry, "models/m/delta/b.bin": entry, "models/m2/base/c": entry}}
    over_http = bundle_sources(model, manifest, "http://mirror:21080/")
    assert over_http["base"] == {
        "kind": "http",
        "url": "http://mirror:21080/models/m/base",
        "files": [{"name": "a.bin", "sha256": "ab", "size": 1}],
    }
    assert bundle_sources(model, manifest, "/srv/b")["delta"] == {
        "kind": "path",
        "url": "/srv/b/models/m/delta",
        "sha256": {"b.bin": "ab"},
    }
    del manifest["files"]["models/m/delta/b.bin"]
    assert bundle_sources(model, manifest, "/srv/b") == {}


@pytest.mark.parametrize(
    ("bundle_at", "folder", "faults"),
    [("/srv/b", "/b", 0), ("http://m:1", "/b", 0), ("m:1", "/b", 1), ("http://m", "", 1), ("srv/b", "b", 2)],
)
def test_variables_that_can_not_be_used_are_refused(bundle_at, folder, faults):
    assert len(bundle_faults(bundle_at, folder)) == faults

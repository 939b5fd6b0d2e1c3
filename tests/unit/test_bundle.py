"""Bundles: what a lock wants, what pip may bring, what a manifest finds, what a plan says."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
from ansible_collections.fastchat.fleet.plugins.filter.bundle import bundle_faults, bundle_plan, bundle_sources, kind_of
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import debs as bundle_debs
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import manifest as bundle_manifest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import rpms as bundle_rpms
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import wheels as bundle_wheels
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError

TARGET = bundle_wheels.Target("3.9", "2.17")


def wheel(folder, name, version, tags, text="x"):
    """Make a wheel that pip takes for one; return its sha256."""
    path = folder / f"{name}-{version}-{tags}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def near(tmp_path, monkeypatch):
    """Two packages, one of them for three platforms, and pip without any index."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = tmp_path / "near"
    sums = {
        "right": wheel(folder, "native", "1.0", "cp39-cp39-manylinux2014_x86_64"),
        "glibc": wheel(folder, "native", "1.0", "cp39-cp39-manylinux_2_28_x86_64", "y"),
        "python": wheel(folder, "native", "1.0", "cp311-cp311-manylinux2014_x86_64", "z"),
        "pure": wheel(folder, "pure", "2.0", "py3-none-any"),
    }
    return folder, sums


def lock_of(sums):
    hashes = " \\\n    ".join(f"--hash=sha256:{sums[name]}" for name in ("right", "glibc", "python"))
    return f"# made by hand\nnative==1.0 \\\n    {hashes}\n    # via pure\npure==2.0 --hash=sha256:{sums['pure']}\n"


def test_a_lock_is_read_with_all_its_hashes(near):
    _folder, sums = near
    read = bundle_wheels.requirements(lock_of(sums))
    assert [entry.text for entry in read] == ["native==1.0", "pure==2.0"]
    assert read[0].hashes == {sums["right"], sums["glibc"], sums["python"]} and read[1].hashes == {sums["pure"]}


def test_every_lock_of_the_project_is_read_whole():
    for path in (ROOT / "files" / "locks").glob("*.txt"):
        entries = bundle_wheels.requirements(path.read_text())
        assert entries and all(entry.hashes for entry in entries), path.name
        assert sum(len(entry.hashes) for entry in entries) == path.read_text().count("--hash=sha256:"), path.name


def test_the_wheel_for_the_hosts_python_and_glibc_is_taken_and_the_second_time_nothing(near, tmp_path):
    folder, sums = near
    dest = tmp_path / "bundle"
    done = bundle_wheels.ensure(lock_of(sums), str(dest), TARGET, [str(folder)])
    wheels = sorted(path.name for path in dest.glob("*.whl"))
    assert wheels == ["native-1.0-cp39-cp39-manylinux2014_x86_64.whl", "pure-2.0-py3-none-any.whl"]
    assert done["changed"] and done["bytes_fetched"] == 0 and done["wheels"] == 2
    shutil.rmtree(folder)
    assert not bundle_wheels.ensure(lock_of(sums), str(dest), TARGET, [])["changed"]


def test_in_check_mode_nothing_is_written(near, tmp_path):
    folder, sums = near
    done = bundle_wheels.ensure(lock_of(sums), str(tmp_path / "bundle"), TARGET, [str(folder)], check_mode=True)
    assert done["changed"] and done["bytes_linked"] > 0 and not (tmp_path / "bundle").exists()


def test_a_damaged_wheel_is_brought_again_and_a_stale_one_removed(near, tmp_path):
    folder, sums = near
    dest = tmp_path / "bundle"
    bundle_wheels.ensure(lock_of(sums), str(dest), TARGET, [str(folder)])
    damaged = dest / "pure-2.0-py3-none-any.whl"
    damaged.unlink()
    damaged.write_bytes(b"rot")
    wheel(dest, "old", "1.0", "py3-none-any")
    assert bundle_wheels.ensure(lock_of(sums), str(dest), TARGET, [str(folder)], check_mode=True)["changed"]
    assert bundle_wheels.ensure(lock_of(sums), str(dest), TARGET, [str(folder)])["changed"]
    assert hashlib.sha256(damaged.read_bytes()).hexdigest() == sums["pure"]
    assert not list(dest.glob("old*")) and "old" not in (dest / "index.html").read_text()


def test_a_wheel_that_the_lock_does_not_know_is_refused(near, tmp_path):
    folder, sums = near
    wheel(folder, "pure", "2.0", "py3-none-any", "another")
    with pytest.raises(BundleError, match="pure-2.0-py3-none-any.whl has sha256 .* the lock does not know"):
        bundle_wheels.ensure(lock_of(sums), str(tmp_path / "bundle"), TARGET, [str(folder)])
    assert not list((tmp_path).glob("bundle/*.whl"))


def test_what_pip_can_not_find_is_one_sentence(near, tmp_path):
    _folder, sums = near
    with pytest.raises(BundleError, match=r"pip found no wheel for Python 3.9: .*native==1.0") as caught:
        bundle_wheels.ensure(lock_of(sums), str(tmp_path / "bundle"), TARGET, [])
    assert "\n" not in str(caught.value)


def test_a_plus_in_a_name_is_quoted_in_the_page(tmp_path):
    wheel(tmp_path, "torch", "2.0+cpu", "py3-none-any")
    assert 'href="torch-2.0%2Bcpu-py3-none-any.whl"' in bundle_wheels.index_of(str(tmp_path))


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a.whl").write_bytes(b"aaaa")
    (tmp_path / "b").write_bytes(b"bb")
    (tmp_path / ".mark").write_bytes(b"")
    bundle_manifest.write(
        str(tmp_path / "manifest.json"), bundle_manifest.rendered(bundle_manifest.described(str(tmp_path)))
    )
    return tmp_path


def test_a_whole_bundle_has_no_fault_and_describes_itself_the_same_again(bundle):
    manifest, digest = bundle_manifest.read(str(bundle))
    assert sorted(manifest["files"]) == ["b", "wheels/a.whl"]
    assert bundle_manifest.faults(str(bundle), manifest) == {}
    again = bundle_manifest.rendered(bundle_manifest.described(str(bundle)))
    assert not bundle_manifest.write(str(bundle / "manifest.json"), again)
    assert bundle_manifest.read(str(bundle), digest)[1] == digest


def test_a_missing_a_short_and_a_changed_file_are_named(bundle):
    manifest, _digest = bundle_manifest.read(str(bundle))
    (bundle / "b").write_bytes(b"bc")
    assert bundle_manifest.faults(str(bundle), manifest) == {"b": "has another sha256 than its manifest"}
    assert bundle_manifest.faults(str(bundle), manifest, full=False) == {}
    (bundle / "b").unlink()
    (bundle / "wheels" / "a.whl").write_bytes(b"a")
    found = bundle_manifest.faults(str(bundle), manifest)
    assert found == {"b": "is missing", "wheels/a.whl": "has 1 bytes, wanted 4"}
    said = bundle_manifest.sentence(str(bundle), found)
    assert "b is missing" in said and "copy it again" in said and "\n" not in said


@pytest.mark.parametrize("text", ["", "{", '{"format": 9}'])
def test_a_broken_manifest_is_one_sentence(bundle, text):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        bundle_manifest.read(str(bundle))


def test_another_bundle_than_the_one_named_is_refused(bundle):
    with pytest.raises(BundleError, match="it is another bundle, or was changed"):
        bundle_manifest.read(str(bundle), "0" * 64)


def test_a_symlink_is_refused(bundle):
    (bundle / "link").symlink_to("b")
    with pytest.raises(BundleError, match="is a symlink"):
        bundle_manifest.described(str(bundle))


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb on this machine")
def test_the_index_is_signed_and_a_changed_one_is_refused_by_gpgv(tmp_path):
    """As apt checks it: InRelease by the key, the index by InRelease's sha256, the package by the index's."""
    tree, repository = tmp_path / "tree", tmp_path / "repository"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN").chmod(0o755)
    control = "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: says nothing\n"
    (tree / "DEBIAN" / "control").write_text(control)
    repository.mkdir()
    subprocess.run(["dpkg-deb", "--build", str(tree), str(repository / "hello_1_all.deb")], check=True)
    system = {"name": "debian12", "architecture": "amd64"}
    digest = bundle_manifest.sha256_of(str(repository / "hello_1_all.deb"))
    bundle_manifest.write(str(repository / "Packages"), bundle_debs.stanza(str(repository), "hello_1_all.deb", digest))
    bundle_debs.sign(str(repository), system)
    bundle_manifest.write(str(repository / "request.json"), bundle_debs.asked(system, ["hello"]))
    assert bundle_debs.complete(str(repository), bundle_debs.asked(system, ["hello"])) > 0
    assert bundle_debs.complete(str(repository), bundle_debs.asked(system, ["other"])) == 0

    keyring = tmp_path / "key.gpg"
    subprocess.run(["gpg", "--dearmor", "--output", str(keyring), str(repository / "key.asc")], check=True)
    check = ["gpgv", "--keyring", str(keyring), str(repository / "InRelease")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    signed = repository / "InRelease"
    signed.write_text(signed.read_text().replace("Origin: fastchat-fleet", "Origin: somebody-else"))
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    (repository / "hello_1_all.deb").write_bytes(b"rot")
    assert bundle_debs.complete(str(repository), bundle_debs.asked(system, ["hello"])) == 0


CENTOS = {
    "name": "centos7",
    "release": "7",
    "architecture": "x86_64",
    "repositories": {"base": "http://mirror/os/"},
    "keys": {"centos": {"url": "http://mirror/key", "fingerprint": "AB"}},
}


def test_what_dnf_says_of_its_choice_is_read_with_its_sha256():
    sum_of = hashlib.sha256(b"git's \n").digest()
    found = bundle_rpms.listed(f"base 6157 Packages/git-1-1.x86_64.rpm (2, {sum_of!r})\n", CENTOS["repositories"])
    url = "http://mirror/os/Packages/git-1-1.x86_64.rpm"
    assert list(found) == [url]
    assert found[url] == ("git-1-1.x86_64.rpm", sum_of.hex(), url, 6157)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("base 6157 git.rpm (1, b'ab')", "base lists git.rpm without its sha256"),
        ("base 6157 git.rpm None", "dnf 4 is wanted here"),
        ("Error: something else", "dnf 4 is wanted here"),
    ],
)
def test_what_dnf_says_otherwise_is_refused_in_one_sentence(line, fault):
    with pytest.raises(BundleError, match=fault) as caught:
        bundle_rpms.listed(line, CENTOS["repositories"])
    assert "\n" not in str(caught.value)


def test_without_dnf_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BundleError, match=r"createrepo_c and dnf and gnupg and rpm are absent .* install them"):
        bundle_rpms.ensure(CENTOS, ["git"], [], str(tmp_path), [], False)


def test_a_repository_is_whole_only_as_it_was_recorded(tmp_path):
    for name in ("git.rpm", "keys/centos.asc", "repodata/repomd.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert bundle_rpms.recorded(str(tmp_path)) == {}
    record = {"request": {"packages": ["git"]}, "files": bundle_rpms.described(str(tmp_path))}
    (tmp_path / "request.json").write_text(json.dumps(record))
    assert bundle_rpms.recorded(str(tmp_path)) == record
    (tmp_path / "stranger.rpm").write_text("x")
    assert bundle_rpms.recorded(str(tmp_path)) == {}
    (tmp_path / "stranger.rpm").unlink()
    (tmp_path / "repodata" / "repomd.xml").write_text("changed")
    assert bundle_rpms.recorded(str(tmp_path)) == {}


@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg on this machine")
def test_a_key_is_the_one_of_its_fingerprint_or_it_is_refused(tmp_path):
    gpg = ["gpg", "--homedir", str(tmp_path), "--batch", "--quiet"]
    make = [*gpg, "--passphrase", "", "--quick-generate-key", "throw-away key", "rsa2048", "sign", "never"]
    subprocess.run(make, check=True, capture_output=True)
    text = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True, text=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=True)
    (tmp_path / "key.asc").write_text(text)
    (right,) = bundle_rpms.fingerprints(text)
    address = (tmp_path / "key.asc").as_uri()
    assert bundle_rpms.key_of("centos", address, f"{right[:20]} {right[20:].lower()}") == text
    with pytest.raises(BundleError, match=f"has fingerprint {right}, wanted {'0' * 40}"):
        bundle_rpms.key_of("centos", address, "0" * 40)
    with pytest.raises(BundleError, match="could not be had from"):
        bundle_rpms.key_of("centos", (tmp_path / "nothing").as_uri(), right)


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
    hosts = {name: host(group, fleet_system=system, fleet_tls=True) for name, (group, system) in systems.items()}
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["deb"]["debian12"] == ["nftables", "openssl", "python3-apt", "stunnel4"]
    assert "stunnel4" not in plan["deb"]["debian11"] and "stunnel" in plan["rpm"]["centos7"]


def test_a_plan_has_the_environment_of_the_web_page_where_there_is_one():
    hosts = {"web01": host("web_hosts", fleet_system="none"), "gpu01": host("workers", fleet_system="none")}
    plan = bundle_plan(hosts, list(hosts), str(ROOT))
    assert plan["faults"] == [] and plan["environments"] == ["web"] and plan["pinned"] == []
    assert bundle_plan(hosts, ["gpu01"], str(ROOT))["environments"] == []
    hosts["web01"]["fastchat_runtime_python_source"] = "pinned"
    assert bundle_plan(hosts, list(hosts), str(ROOT))["pinned"] == ["cpu", "web"]


def test_a_plan_for_el_7_has_git_and_the_pinned_git_lfs_of_one_host():
    hosts = {
        "ctl01": host("controllers", "mirrors", fleet_system="centos7"),
        "gpu01": host("workers", fleet_system="centos7", vicuna_weights_distribute="rsync"),
        "gpu02": host("workers", fleet_system="centos7"),
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


def test_every_system_is_named_as_its_file_and_complete():
    for path in (ROOT / "files" / "systems").glob("*.yml"):
        system = yaml.safe_load(path.read_text())
        kinds = {"deb": {"keyring", "sources"}, "rpm": {"release", "repositories", "keys"}}
        assert system["name"] == path.stem and {"architecture", *kinds[kind_of(system)]} <= set(system)
        for key in system.get("keys", {}).values():
            assert len(key["fingerprint"]) == 40 and key["url"].startswith("https://")


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

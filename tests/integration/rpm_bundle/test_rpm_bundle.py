"""RPMs in a bundle: gathered with dnf, installed by the role from the bundle alone, refused when they were changed."""

import re
import shutil
import subprocess

import pytest
from rpm_site import BUNDLE, FLEET, HOST, PACKAGES, THERE

from testbed.containers import fleet
from testbed.containers.runs import changed, messages, words

GIT = "git-1.8.3.1-1.el7.x86_64.rpm"
GIT_LFS = "git-lfs-2.13.2-1.el7.x86_64.rpm"
STAND_IN = "stand-in-for-kernel-devel-1-1.el7.x86_64.rpm"


def said(runner):
    return "\n".join(map(str, messages(runner, "Bundle | Say what the bundle holds").values()))


def of_items(runner):
    """Return the messages of failed loop items as one text; ``words`` says only that an item failed."""
    failed = [event["event_data"]["res"] for event in runner.events if event["event"] == "runner_item_on_failed"]
    return "\n".join(result["msg"] for result in failed)


def installed(site):
    return site.on("rpm", "-qa", "--queryformat", "%{NAME} ", "git", "git-lfs").split()


def test_check_mode_says_how_much_and_writes_nothing(site):
    runner = site.bundle("--check")
    assert runner.rc == 0, words(runner)
    assert " would be fetched of " in said(runner)
    (rehearsed,) = messages(runner, "Bundle | Rehearse it").values()
    assert rehearsed.startswith(f"{GIT_LFS} would be fetched from {site.repository['url']}/cloud/")
    assert not BUNDLE.exists()


def test_without_an_address_no_bundle_is_begun(site):
    runner = site.bundle(el7_archive_centos="")
    assert runner.rc != 0 and changed(runner) == []
    assert "fleet_system of gpu01 is centos7 and no address of its packages is known: set el7_archive_centos" in words(
        runner
    )
    assert not BUNDLE.exists()


def test_a_key_of_another_fingerprint_is_refused(site):
    other = f"{site.repository['url']}/keys/other.asc"
    runner = site.bundle(el7_archive_centos_key=other, bundle_systems={})
    assert runner.rc != 0
    expected = r"The key centos from \S+/keys/other.asc has fingerprint [0-9A-F]{40}, wanted 6341AB"
    assert re.search(expected, of_items(runner)), of_items(runner)
    assert not list(PACKAGES.glob("git-1*"))


def test_a_package_that_none_of_the_keys_signed_is_refused(site):
    name = f"{fleet.prefix(FLEET)}-repository"
    shown = fleet.podman("exec", name, "gpg", "--batch", "--with-colons", "--list-keys", "other throw-away key")
    other = next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:"))
    one = {"url": f"{site.repository['url']}/keys/other.asc", "fingerprint": other}
    runner = site.bundle(bundle_systems={"centos7": {"keys": {"centos": one, "epel": one}}})
    assert runner.rc != 0
    told = of_items(runner)
    assert f"{GIT} is not signed by centos or epel" in told and "\n" not in told, told
    assert not list(PACKAGES.glob("git-1*")) and not (PACKAGES / "repodata").exists()


def test_the_bundle_has_packages_keys_and_metadata_and_a_second_run_fetches_nothing(site):
    runner = site.bundle()
    assert runner.rc == 0, words(runner)
    print(said(runner))
    names = {name.removeprefix("packages/centos7/") for name in site.files() if name.startswith("packages/")}
    assert {GIT, GIT_LFS, STAND_IN, "keys/centos.asc", "keys/epel.asc", "git-lfs.asc", "repodata/repomd.xml"} <= names
    before = site.manifest()
    again = site.bundle()
    assert again.rc == 0, words(again)
    assert changed(again) == [] and " 0 Bytes were fetched " in said(again)
    refreshed = site.bundle(bundle_refresh=True)
    assert refreshed.rc == 0, words(refreshed)
    assert changed(refreshed) == [] and site.manifest() == before


def test_a_damaged_package_is_brought_again(site):
    before = site.manifest()
    (PACKAGES / GIT).unlink()
    (PACKAGES / GIT).write_bytes(b"bad")
    runner = site.bundle()
    assert runner.rc == 0, words(runner)
    assert site.files()[f"packages/centos7/{GIT}"] and site.manifest() == before


def test_the_site_has_nothing_but_the_bundle(site):
    site.carry(BUNDLE, THERE)
    fleet.podman("rm", "--force", "--time", "2", f"{fleet.prefix(FLEET)}-repository")
    assert "own" in site.on("dnf", "repolist")
    assert site.on("sh", "-c", "dnf -q --refresh makecache > /dev/null 2>&1 && echo reached || echo no") == "no"
    assert installed(site) == []


def test_a_package_that_is_not_the_manifests_is_refused_before_the_host_is_changed(site):
    aside = BUNDLE.parent / GIT
    (PACKAGES / GIT).rename(aside)
    (PACKAGES / GIT).write_bytes(flipped(aside.read_bytes()))
    runner = site.play("playbooks/mirror.yml")
    aside.rename(PACKAGES / GIT)
    assert runner.rc != 0 and changed(runner) == []
    assert f"packages/centos7/{GIT} has another sha256 than its manifest" in words(runner)
    assert site.on("ls", "/etc/fastchat-bundle.repos.d", check=False) == ""


def flipped(content):
    """Return the bytes of a package with one byte of its payload changed."""
    changed_bytes = bytearray(content)
    changed_bytes[-100] ^= 1
    return bytes(changed_bytes)


def test_check_mode_on_a_bare_host_changes_nothing(site):
    was = site.on("cat", "/etc/dnf/dnf.conf")
    runner = site.play("playbooks/mirror.yml", "--check")
    assert runner.rc == 0, words(runner)
    assert (HOST, "Rpm | Write the repository") in changed(runner)
    assert site.on("cat", "/etc/dnf/dnf.conf") == was
    assert site.on("ls", "/etc/fastchat-bundle.repos.d", check=False) == ""


def test_the_host_looks_at_the_bundle_and_at_nothing_else(site):
    site.on("cp", "/etc/dnf/dnf.conf", "/root/dnf.conf.was")
    for expected in (True, False):
        runner = site.play("playbooks/mirror.yml")
        assert runner.rc == 0, words(runner)
        assert bool(changed(runner)) is expected
    listed = site.on("dnf", "-q", "repolist").splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["fastchat-bundle"]


@pytest.mark.parametrize("way", ["changed", "signature_taken_off"])
def test_a_package_changed_on_the_host_is_refused_by_checksum_or_by_signature(site, tmp_path, way):
    """An attacker who removes the signature and rebuilds the metadata has every checksum right."""
    forged = tmp_path / "centos7"
    shutil.copytree(PACKAGES, forged)
    if way == "changed":
        (forged / GIT).write_bytes(flipped((PACKAGES / GIT).read_bytes()))
    else:
        subprocess.run(["rpmsign", "--delsign", str(forged / GIT)], check=True, capture_output=True)
        subprocess.run(["createrepo_c", "--quiet", str(forged)], check=True)
    site.carry(forged, f"{THERE}/packages/centos7")
    site.on("dnf", "-q", "clean", "all")
    runner = site.git_lfs()
    assert runner.rc != 0 and installed(site) == []
    print(words(runner))
    assert {"changed": "incorrect checksum", "signature_taken_off": "is not signed"}[way] in words(runner)
    site.carry(PACKAGES, f"{THERE}/packages/centos7")
    site.on("dnf", "-q", "clean", "all")


def test_git_and_git_lfs_are_installed_from_the_bundle_alone(site):
    rehearsed = site.git_lfs("--check")
    assert rehearsed.rc == 0 and installed(site) == [], words(rehearsed)
    runner = site.git_lfs()
    assert runner.rc == 0, words(runner)
    assert sorted(installed(site)) == ["git", "git-lfs"]
    assert site.on("git-lfs", "version").startswith("git-lfs/2.13.2 ")
    assert site.on("dnf", "-q", "repoquery", "--installed", "--qf", "%{from_repo}", "git") == "fastchat-bundle"
    again = site.git_lfs()
    assert again.rc == 0 and changed(again) == [], words(again)


def test_without_fleet_bundle_the_host_has_its_own_repositories_back(site):
    for expected in (True, False):
        runner = site.play("playbooks/mirror.yml", fleet_bundle="")
        assert runner.rc == 0, words(runner)
        assert bool(changed(runner)) is expected
    assert site.on("cmp", "/etc/dnf/dnf.conf", "/root/dnf.conf.was") == ""
    assert site.on("ls", "/etc/fastchat-bundle.repos.d", "/etc/pki/fastchat-bundle", check=False) == ""
    listed = site.on("dnf", "-q", "repolist").splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["own"]

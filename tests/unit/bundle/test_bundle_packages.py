"""Package repositories of a bundle are signed, and count as whole only when nothing in them changed."""

import hashlib
import json
import shutil
import subprocess

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import debs as bundle_debs
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import manifest as bundle_manifest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import rpms as bundle_rpms
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.files import BundleFile
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.digests import sha256_of

CENTOS = {
    "name": "centos7",
    "release": "7",
    "architecture": "x86_64",
    "repositories": {"base": "http://mirror/os/"},
    "keys": {"centos": {"url": "http://mirror/key", "fingerprint": "AB"}},
}


def made(tree, repository):
    """Build the package hello in a repository; return its sha256."""
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN").chmod(0o755)
    control = "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: says nothing\n"
    (tree / "DEBIAN" / "control").write_text(control)
    repository.mkdir()
    subprocess.run(["dpkg-deb", "--build", str(tree), str(repository / "hello_1_all.deb")], check=True)
    return sha256_of(str(repository / "hello_1_all.deb"))


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb on this machine")
def test_the_index_is_signed_and_a_changed_one_is_refused_by_gpgv(tmp_path):
    """As apt checks it: InRelease by the key, the index by InRelease's sha256, the package by the index's."""
    repository = tmp_path / "repository"
    digest = made(tmp_path / "tree", repository)
    system = {"name": "debian12", "architecture": "amd64"}
    bundle_manifest.write(str(repository / "Packages"), bundle_debs.stanza(str(repository), "hello_1_all.deb", digest))
    bundle_debs.sign(str(repository), system)
    bundle_manifest.write(str(repository / "request.json"), bundle_debs.request_text(system, ["hello"]))
    assert bundle_debs.complete(str(repository), bundle_debs.request_text(system, ["hello"])) > 0
    assert bundle_debs.complete(str(repository), bundle_debs.request_text(system, ["other"])) == 0

    keyring = tmp_path / "key.gpg"
    subprocess.run(["gpg", "--dearmor", "--output", str(keyring), str(repository / "key.asc")], check=True)
    check = ["gpgv", "--keyring", str(keyring), str(repository / "InRelease")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    signed = repository / "InRelease"
    signed.write_text(signed.read_text().replace("Origin: fastchat-fleet", "Origin: somebody-else"))
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    (repository / "hello_1_all.deb").write_bytes(b"bad")
    assert bundle_debs.complete(str(repository), bundle_debs.request_text(system, ["hello"])) == 0


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt on this machine")
def test_addresses_of_this_machine_s_apt_stay_out_of_the_bundle(tmp_path, monkeypatch):
    """They may have a login. When they change, a whole bundle stays as it is, and no archive is asked."""
    digest, asked = made(tmp_path / "tree", tmp_path / "near"), []
    addresses = ["https://user:secret@mirror/debian bookworm main"]

    def closure(system, packages):
        asked.append(system["sources"])
        return [BundleFile("hello_1_all.deb", digest, "https://user:secret@mirror/debian/hello_1_all.deb")]

    monkeypatch.setattr(bundle_debs, "with_sources", lambda system: {**system, "sources": list(addresses)})
    monkeypatch.setattr(bundle_debs, "closure", closure)
    system = {"name": "debian12", "architecture": "amd64", "keyring": "/k.gpg", "suites": ["bookworm main"]}
    arguments = (system, ["hello"], str(tmp_path / "bundle"), [str(tmp_path / "near")], False)
    assert bundle_debs.ensure(*arguments)["changed"]
    assert asked == [addresses]
    assert json.loads((tmp_path / "bundle" / "request.json").read_text()) == {"packages": ["hello"], "system": system}
    texts = [path.read_bytes() for path in (tmp_path / "bundle").rglob("*") if path.is_file()]
    assert len(texts) >= 5 and not any(b"secret" in text or b"mirror" in text for text in texts)
    addresses[0] = "https://elsewhere/debian bookworm main"
    assert not bundle_debs.ensure(*arguments)["changed"]
    assert len(asked) == 1


def test_what_dnf_says_of_its_choice_is_read_with_its_sha256():
    sum_of = hashlib.sha256(b"git's \n").digest()
    found = bundle_rpms.files_in(f"base 6157 Packages/git-1-1.x86_64.rpm (2, {sum_of!r})\n", CENTOS["repositories"])
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
        bundle_rpms.files_in(line, CENTOS["repositories"])
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

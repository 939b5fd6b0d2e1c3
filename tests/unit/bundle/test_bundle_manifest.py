"""A manifest finds every file of a bundle that is missing, cut or changed."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import manifest as bundle_manifest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError


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
    with pytest.raises(BundleError, match="name the right bundle, or copy it again"):
        bundle_manifest.read(str(bundle), "0" * 64)


def test_a_symlink_is_refused(bundle):
    (bundle / "link").symlink_to("b")
    with pytest.raises(BundleError, match="is a symlink"):
        bundle_manifest.described(str(bundle))

import hashlib

from weights_release import described, fault


def test_description_has_size_and_sha256_and_leaves_the_manifest_out(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    (tmp_path / "manifest.json").write_text("{}")
    assert described(tmp_path) == {"sub/a": {"size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}}


def test_a_cut_file_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    manifest = {"files": described(tmp_path)}
    assert fault(tmp_path, manifest) == ""
    (tmp_path / "a").write_bytes(b"ab")
    assert "a in" in fault(tmp_path, manifest) and "2 bytes" in fault(tmp_path, manifest)
    (tmp_path / "a").unlink()
    assert "a is missing" in fault(tmp_path, manifest)

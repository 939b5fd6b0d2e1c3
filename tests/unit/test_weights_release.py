import hashlib
import os

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.release.history import (
    by_use,
    current,
    differences,
    previous,
    superfluous,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import (
    RECORD,
    ReleaseError,
    damaged,
    described,
    read_json,
    suspects,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.release.publish import flip, publish, put_repaired


@pytest.fixture
def root(tmp_path):
    return tmp_path / "model"


def release(root, digest, content):
    source = root / "staging"
    (source / "sub").mkdir(parents=True)
    (source / "weights").write_bytes(content)
    (source / "sub" / "config").write_bytes(b"{}")
    publish(str(root), digest, str(source), {"inputs": {"from": digest}, "files": described(str(source))})
    return root / "releases" / digest


def test_a_published_release_is_current_and_described(root):
    folder = release(root, "a", b"abc")
    assert (root / "current" / "weights").read_bytes() == b"abc"
    manifest = read_json(str(folder / "manifest.json"))
    assert manifest["files"]["weights"] == {"size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert set(manifest["files"]) == {"weights", "sub/config"}
    assert not (root / "staging").exists()


def test_the_service_may_read_what_root_wrote_but_no_hard_link_is_touched(root, tmp_path):
    (root / "staging" / "sub").mkdir(parents=True, mode=0o700)
    theirs = tmp_path / "theirs"
    for path in (theirs, root / "staging" / "sub" / "ours"):
        path.write_bytes(b"x")
        path.chmod(0o600)
    os.link(theirs, root / "staging" / "linked")
    source = str(root / "staging")
    publish(str(root), "a", source, {"inputs": {}, "files": described(source)})
    modes = {name: (root / "current" / name).stat().st_mode & 0o777 for name in ("sub", "sub/ours", "linked")}
    assert modes == {"sub": 0o755, "sub/ours": 0o644, "linked": 0o600}


def test_publishing_the_same_digest_again_replaces_what_was_there(root):
    release(root, "a", b"broken")
    folder = release(root, "a", b"whole")
    assert (folder / "weights").read_bytes() == b"whole"
    assert os.listdir(root / "releases") == ["a"]


def test_repairing_keeps_the_files_that_were_linked_from_the_release_itself(root):
    folder = release(root, "a", b"abc")
    kept = (folder / "sub" / "config").stat().st_ino
    source = root / "staging"
    (source / "sub").mkdir(parents=True)
    os.link(folder / "sub" / "config", source / "sub" / "config")
    (source / "weights").write_bytes(b"new")
    publish(str(root), "a", str(source), {"inputs": {}, "files": described(str(source))})
    assert (folder / "weights").read_bytes() == b"new"
    assert (folder / "sub" / "config").stat().st_ino == kept
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "weights",
        "sub/config",
        "manifest.json",
        ".times.json",
    }
    assert not source.exists()


def test_repairing_puts_only_the_named_files_and_keeps_the_manifest(root):
    folder = release(root, "a", b"abc")
    manifest, kept = (folder / "manifest.json").stat().st_ino, (folder / "sub" / "config").stat().st_ino
    (folder / "weights").write_bytes(b"abx")
    flip(str(root), release(root, "b", b"other").name)
    source = root / "staging"
    (source / "sub").mkdir(parents=True)
    (source / "weights").write_bytes(b"abc")
    (source / "sub" / "config").write_bytes(b"later")
    put_repaired(str(root), "a", str(source), ["weights"])
    assert (root / "current" / "weights").read_bytes() == b"abc"
    assert (folder / "sub" / "config").stat().st_ino == kept and (folder / "manifest.json").stat().st_ino == manifest
    assert damaged(str(folder), read_json(str(folder / "manifest.json"))) == []
    assert suspects(str(folder), read_json(str(folder / "manifest.json"))) == ([], [])  # nothing is read again


def test_the_record_of_a_conversion_is_no_part_of_a_release(root):
    """It has times of the sources in it: another host's, or a later one of the same release, would differ."""
    folder = release(root, "a", b"abc")
    source = root / "staging"
    source.mkdir()
    (source / "weights").write_bytes(b"abc")
    (source / RECORD).write_bytes(b"{}")
    publish(str(root), "b", str(source), {"inputs": {}, "files": described(str(source))})
    assert sorted(os.listdir(root / "releases" / "b")) == [".times.json", "manifest.json", "weights"]
    assert folder.exists()


def test_what_was_hashed_while_it_was_written_is_not_read_again(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = {"a": {"size": 3, "sha256": "from the writer"}}
    assert described(str(tmp_path), known)["a"]["sha256"] == "from the writer"
    (tmp_path / "a").write_bytes(b"abcd")
    assert described(str(tmp_path), known)["a"]["sha256"] == hashlib.sha256(b"abcd").hexdigest()


def test_damage_is_found_by_size_by_time_and_by_reading_everything(root):
    folder = release(root, "a", b"abc")
    manifest = read_json(str(folder / "manifest.json"))
    assert damaged(str(folder), manifest, full=True) == []
    times = os.stat(folder / "weights")
    (folder / "weights").write_bytes(b"abX")
    os.utime(folder / "weights", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert damaged(str(folder), manifest) == []  # changed bits leave size and time alone …
    assert damaged(str(folder), manifest, full=True) == ["weights"]  # … only reading finds them
    (folder / "weights").write_bytes(b"abY")
    assert damaged(str(folder), manifest) == ["weights"]  # it was touched, so it was read
    assert damaged(str(folder), manifest) == ["weights"]  # and stays suspect
    (folder / "sub" / "config").unlink()
    assert damaged(str(folder), manifest) == ["sub/config", "weights"]


def test_a_touched_but_right_file_is_read_once(root):
    folder = release(root, "a", b"abc")
    manifest = read_json(str(folder / "manifest.json"))
    os.utime(folder / "weights", ns=(1, 1))
    assert damaged(str(folder), manifest) == []
    manifest["files"]["weights"]["sha256"] = "would be seen if it were read again"
    assert damaged(str(folder), manifest) == []


def test_pruning_keeps_the_last_used_and_the_current(root):
    for number, digest in enumerate("abc"):
        folder = release(root, digest, digest.encode())
        os.utime(folder, (number, number))
    assert by_use(str(root)) == ["c", "b", "a"]
    assert superfluous(str(root), 2) == ["a"]
    assert flip(str(root), "a") and current(str(root)) == "a"
    assert superfluous(str(root), 1) == ["c", "b"]
    assert superfluous(str(root), 0) == ["c", "b"]  # never the current one


def test_rolling_back_goes_to_the_release_used_before_and_forth_again(root):
    for number, digest in enumerate("ab"):
        os.utime(release(root, digest, digest.encode()), (number, number))
    assert previous(str(root)) == "a"
    flip(str(root), previous(str(root)))
    assert (current(str(root)), previous(str(root))) == ("a", "b")


def test_there_must_be_one_to_roll_back_to(root):
    release(root, "a", b"a")
    with pytest.raises(ReleaseError, match="no release besides a"):
        previous(str(root))


def test_what_differs_between_two_releases_is_said_by_name():
    before = {"output": "bin", "revisions": {"base": "a", "delta": "c"}, "same": {"x": 1}}
    after = {"output": "safetensors", "revisions": {"base": "b"}, "same": {"x": 1}}
    assert differences(before, after) == [
        'output: "bin" -> "safetensors"',
        'revisions.base: "a" -> "b"',
        'revisions.delta: "c" -> null',
    ]

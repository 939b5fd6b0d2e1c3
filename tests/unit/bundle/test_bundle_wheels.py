"""A bundle has the wheels of a lock, for the Python and glibc of the hosts."""

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import wheels as bundle_wheels
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError

ROOT = Path(__file__).resolve().parents[3]

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
    damaged.write_bytes(b"bad")
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

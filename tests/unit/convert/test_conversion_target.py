"""A target is made, or stays as it was. These are whole models, which need no arithmetic."""

import errno
import hashlib
import os
from types import SimpleNamespace

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.convert import staging
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError

from tests.support import weight_forge as forge
from tests.support.refusals import not_converted, tensors_in


def test_a_full_disk_is_said_before_it_is_full(tmp_path, monkeypatch):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta")
    little = SimpleNamespace(f_bavail=1, f_frsize=4096)  # stands in for a disk with one free block
    monkeypatch.setattr(staging.os, "statvfs", lambda _path: little)
    not_converted(tmp_path, base, delta, "0.1 GB more", "0.0 GB are free")


def test_check_writes_nothing(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta")
    before = sorted(tmp_path.rglob("*"))
    found = convert(str(base), str(delta), str(tmp_path / "deep" / "target"), check=True)
    assert found == {"changed": True, "size": 36, "files": {}}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_whole_model_in_the_right_format_is_linked(tmp_path, kind, shards):
    whole, target = forge.model(tmp_path / "whole", kind=kind, shards=shards), tmp_path / "target"
    (whole / "evil.bin").write_text("not part of the model")
    found = convert(str(whole), None, str(target), output=kind)
    assert found["changed"]
    weights = [name for name in found["files"] if name.endswith(kind)]
    assert len(weights) == shards
    for name in weights:
        assert os.path.samefile(whole / name, target / name)
    assert {name: hashlib.sha256((target / name).read_bytes()).hexdigest() for name in found["files"]} == {
        name: entry["sha256"] for name, entry in found["files"].items()
    }
    assert set(os.listdir(target)) == {*found["files"], "conversion.json"}
    assert set(tensors_in(target)) == set(forge.SHAPES)
    assert not (tmp_path / "target.part").exists()
    again = convert(str(whole), None, str(target), output=kind)
    assert again == {**found, "changed": False}


def test_a_target_from_other_inputs_is_not_touched(tmp_path):
    whole, target = forge.model(tmp_path / "whole"), tmp_path / "target"
    convert(str(whole), None, str(target))
    (whole / "tokenizer.json").write_text('{"new": 1}')
    not_converted(tmp_path, whole, None, "target is there already", "remove it first")


def test_a_stale_staging_directory_is_cleaned_and_a_planted_link_refused(tmp_path):
    whole, part = forge.model(tmp_path / "whole"), tmp_path / "target.part"
    (part / "old").mkdir(parents=True)
    (part / "journal").write_text("another fingerprint\nmodel.safetensors 3 00\n")
    (part / "model.safetensors").write_text("old")
    convert(str(whole), None, str(tmp_path / "target"))
    assert os.path.samefile(whole / "model.safetensors", tmp_path / "target" / "model.safetensors")
    assert not (tmp_path / "target" / "old").exists()
    (tmp_path / "victim").mkdir()
    (tmp_path / "second.part").symlink_to(tmp_path / "victim")
    with pytest.raises(WeightsError, match="is a link"):
        convert(str(whole), None, str(tmp_path / "second"))
    assert list((tmp_path / "victim").iterdir()) == []


def test_two_conversions_do_not_share_a_staging_directory(tmp_path):
    whole = forge.model(tmp_path / "whole")
    with (
        staging.staging_of(str(tmp_path / "target")),
        pytest.raises(WeightsError, match="Another conversion is writing"),
    ):
        convert(str(whole), None, str(tmp_path / "target"))


def test_a_staging_directory_that_can_not_be_locked_is_not_called_a_link(tmp_path, monkeypatch):
    def denied(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(staging, "held", denied)
    with pytest.raises(WeightsError, match=r"target.part can not be locked \(Permission denied\)"):
        convert(str(forge.model(tmp_path / "whole")), None, str(tmp_path / "target"))


def test_a_file_that_can_not_be_read_is_not_called_missing(tmp_path):
    whole = forge.model(tmp_path / "whole")
    (whole / "config.json").unlink()
    (whole / "config.json").symlink_to("config.json")
    not_converted(tmp_path, whole, None, "config.json can not be read (Too many levels of symbolic links)")

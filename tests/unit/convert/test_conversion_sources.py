"""Every file of a source is looked at before anything is written: what lies in its place is named, and what to do."""

import builtins
import json
import os
from collections import Counter

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.sources import read_sources
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError

from tests.support import weight_forge as forge
from tests.support.refusals import not_converted

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 499723\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
SMALL = ["config.json", "generation_config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json"]
SHARDED = ["model.safetensors.index.json", "model-00002-of-00002.safetensors"]


def sides(tmp_path, **options):
    """Return base, delta and a whole model by the name of the side."""
    return {side: forge.model(tmp_path / side, shards=2, **options) for side in ("base", "delta", "whole")}


def refused(tmp_path, side, name, content, *words):
    """A file of one side that has this content must stop the conversion, by its name, with nothing written."""
    folders = sides(tmp_path)
    (folders[side] / name).write_bytes(content)
    base, delta = (folders["whole"], None) if side == "whole" else (folders["base"], folders["delta"])
    not_converted(tmp_path, base, delta, f"{side}/{name} is ", *words)


@pytest.mark.parametrize("side", ["base", "delta", "whole"])
@pytest.mark.parametrize("name", SMALL + SHARDED)
def test_a_git_lfs_pointer_is_refused_wherever_it_lies(tmp_path, side, name):
    refused(tmp_path, side, name, POINTER, "is a git-lfs pointer, not the file itself; run git lfs pull")


@pytest.mark.parametrize("name", [*SMALL, *SHARDED, "merges.txt"])
@pytest.mark.parametrize(("content", "words"), [(b"", "is empty; fetch it again"), (PAGE, "is a web page (HTML)")])
def test_an_empty_file_and_a_web_page_are_refused(tmp_path, name, content, words):
    refused(tmp_path, "whole", name, content, words)


@pytest.mark.parametrize("name", [name for name in SMALL + SHARDED if name.endswith(".json")])
def test_json_that_was_cut_off_is_called_cut_at_any_byte(tmp_path, name):
    text = json.dumps({"model_type": "llama", "nested": {"list": [1, 2], "text": "a b"}}).encode()
    folders = sides(tmp_path)
    for end in range(1, len(text), 7):
        (folders["whole"] / name).write_bytes(text[:end])
        not_converted(tmp_path, folders["whole"], None, f"whole/{name} is cut", f"after {end} bytes; fetch it again")


def test_weights_that_were_cut_off_are_refused_in_both_formats(tmp_path):
    for kind in ("safetensors", "bin"):
        whole = forge.model(tmp_path / kind, kind=kind)
        (path,) = whole.glob(f"*.{kind}")
        path.write_bytes(path.read_bytes()[:-3])
        not_converted(tmp_path, whole, None, path.name, "fetch it again")


def test_a_file_that_the_target_does_not_take_tells_of_a_fetch_gone_wrong(tmp_path):
    refused(tmp_path, "base", "tokenizer.model", POINTER, "git-lfs pointer")
    refused(tmp_path / "2", "delta", "trainer_state.json", PAGE, "web page")


def test_what_is_no_file_of_the_model_s_may_be_anything(tmp_path):
    whole = forge.model(tmp_path / "whole")
    for name, content in ((".weights_fetch.json", b""), ("README.md", PAGE), ("LICENSE", b""), ("a.png", POINTER)):
        (whole / name).write_bytes(content)
    (whole / "list.json").write_text("[1, 2]")
    assert read_sources(str(whole), None, links=("model.safetensors",)).config["vocab_size"] == 4


def test_a_shard_that_is_linked_without_reading_its_header_is_looked_at(tmp_path):
    whole = forge.model(tmp_path / "whole", shards=2)
    (whole / SHARDED[1]).write_bytes(POINTER)
    with pytest.raises(WeightsError, match="is a git-lfs pointer"):
        read_sources(str(whole), None, links=(SHARDED[1],))


def test_each_small_file_is_read_once(tmp_path, monkeypatch):
    whole, opened, real = forge.model(tmp_path / "whole", shards=2), Counter(), open
    (whole / "trainer_state.json").write_text("{}")

    def noted(path, *arguments, **options):
        opened[os.path.basename(os.fspath(path))] += 1
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", noted)
    found = read_sources(str(whole), None)
    monkeypatch.undo()
    assert opened == dict.fromkeys([path.name for path in whole.iterdir() if path.suffix != ".safetensors"], 1)
    assert found.config == json.loads((whole / "config.json").read_text())
    assert found.base.folder.index == (whole / SHARDED[0]).read_bytes()
    assert found.small and all(data == (whole / name).read_bytes() for name, data in found.small.items())

import json
import os

import pytest
from ansible.module_utils import basic
from ansible_collections.fastchat.fleet.plugins.module_utils.release.json_patch import merged, patched
from ansible_collections.fastchat.fleet.plugins.modules import json_patch


def test_nested_objects_merge_and_lists_are_replaced():
    assert merged({"a": {"x": 1, "y": 2}, "l": [1]}, {"a": {"y": 3}, "l": [2]}) == {"a": {"x": 1, "y": 3}, "l": [2]}


def test_the_document_given_is_not_changed():
    document = {"a": {"x": 1}}
    merged(document, {"a": {"x": 2}})
    assert document == {"a": {"x": 1}}


def test_a_patched_file_has_sorted_keys_and_plain_ascii():
    assert patched({"b": 1, "a": {"x": "\u00e9"}}, {"a": {"y": None}}) == (
        True,
        b'{\n  "a": {\n    "x": "\\u00e9",\n    "y": null\n  },\n  "b": 1\n}\n',
    )


def test_a_patch_that_is_there_already_changes_nothing():
    assert patched({"a": {"x": 1}}, {"a": {"x": 1}})[0] is False


def test_a_patched_file_outlives_a_power_cut(tmp_path, monkeypatch, capsys):
    """The directory is written through after the new content has its name in it."""
    path, synced, sync = tmp_path / "config.json", [], os.fsync
    path.write_text("{}")

    def noted(descriptor):
        synced.append((os.fstat(descriptor).st_ino, json.loads(path.read_text())))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    arguments = {"ANSIBLE_MODULE_ARGS": {"path": str(path), "patch": {"a": 1}}}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    with pytest.raises(SystemExit) as ended:
        json_patch.main()
    assert ended.value.code == 0 and json.loads(capsys.readouterr().out)["changed"]
    assert (tmp_path.stat().st_ino, {"a": 1}) in synced

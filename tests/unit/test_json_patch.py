from ansible_collections.fastchat.fleet.plugins.module_utils.release.json_patch import merged, patched


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

from ansible_collections.fastchat.fleet.plugins.module_utils.release.json_patch import merged


def test_nested_objects_merge_and_lists_are_replaced():
    assert merged({"a": {"x": 1, "y": 2}, "l": [1]}, {"a": {"y": 3}, "l": [2]}) == {"a": {"x": 1, "y": 3}, "l": [2]}


def test_the_document_given_is_not_changed():
    document = {"a": {"x": 1}}
    merged(document, {"a": {"x": 2}})
    assert document == {"a": {"x": 1}}

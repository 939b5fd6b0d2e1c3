"""What an API server says of itself at /openapi.json is what its guard does."""

import json

import jsonschema
import pytest

from services.api.errors import Refused
from services.api.parameters import CHAT, COMPLETIONS, EMBEDDINGS, LATER, TABLE, checks
from services.api.request import understood
from services.api.schema import openapi

CHECKS = checks(4)
GOOD = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    COMPLETIONS: {"model": "m", "prompt": "Hi"},
    EMBEDDINGS: {"model": "m", "input": "Hi"},
}
PART = {"type": "text", "text": "Hi"}
VALUES = [
    None, True, False, 0, 1, 2, 3, 5, 17, -1, -3, 0.5, 1.5, 1001, 10**7, "", "a", "a" * 257, "a" * 8193, "none", "auto",
    "medium", "default", "float", "base64", "developer", [], [1], ["a"], [""], ["a", 1], [[1]], ["a"] * 5, ["a"] * 17,
    ["text"], [{}], {}, {"type": "text"}, {"a": 1}, {"include_usage": True}, {"include_usage": None},
    {"include_usage": 0}, {"include_usage": ""}, {"include_obfuscation": False}, {"include_obfuscation": 0},
]  # fmt: skip
MESSAGES = [
    {"role": "user"}, {"role": "assistant"}, {"role": "assistant", "content": None}, {"role": "user", "content": None},
    {"role": "tool", "content": "Hi"}, {"role": "developer", "content": [PART]}, {"role": "user", "content": []},
    {"role": "user", "content": [{**PART, "x": []}]}, {"role": "user", "content": [{**PART, "x": 0}]},
    {"role": "user", "content": [{"type": "text"}]}, {"role": "user", "content": "Hi", "name": ""},
    {"role": "user", "content": "Hi", "name": "me"}, {"content": "Hi"}, {"role": [], "content": "Hi"}, "Hi",
]  # fmt: skip
PAIRS = [
    (CHAT, {"stream_options": {}}),
    (CHAT, {"stream_options": {}, "stream": None}),
    (CHAT, {"stream_options": {}, "stream": True}),
    (CHAT, {"max_tokens": 3, "max_completion_tokens": 4}),
    (CHAT, {"max_tokens": None, "max_completion_tokens": 4}),
    (COMPLETIONS, {"stream": True, "logprobs": 1}),
    (COMPLETIONS, {"stream": True, "best_of": 2}),
    (COMPLETIONS, {"stream": True, "best_of": 1}),
    (COMPLETIONS, {"stream": False, "best_of": 2, "logprobs": 1}),
]


def is_right(path, body, wanted=CHECKS):
    """Return whether the guard takes a body; assert that the schema says the same."""
    schema = openapi(wanted)["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    said = jsonschema.Draft202012Validator(schema).is_valid(body)
    try:
        understood(path, json.dumps(body).encode(), wanted)
        right = True
    except Refused:
        right = False
    assert said is right, (path, body)
    return right


@pytest.mark.parametrize("path", GOOD)
def test_each_value_of_each_parameter_is_right_for_both_or_wrong_for_both(path):
    for one in TABLE[path]:
        body = {**GOOD[path], "stream": True} if one.name == "stream_options" else GOOD[path]
        found = {is_right(path, {**body, one.name: value}) for value in VALUES}
        assert found == {True, False} or one.name == "messages", one.name
    assert not is_right(path, {**GOOD[path], "no_such_thing": None})


def test_messages_are_right_for_both_or_wrong_for_both():
    assert [is_right(CHAT, {"model": "m", "messages": [one]}) for one in MESSAGES].count(True) == 5


def test_so_are_parameters_together():
    assert [is_right(path, {**GOOD[path], **changed}) for path, changed in PAIRS] == [
        False, False, True, False, True, False, False, True, True
    ]  # fmt: skip


def test_so_is_what_an_older_fastchat_lacks():
    old = checks(4, LATER)
    assert not is_right(CHAT, {**GOOD[CHAT], "top_k": 5}, old) and is_right(CHAT, {**GOOD[CHAT], "top_k": -1}, old)


def test_an_answer_and_an_error_are_described():
    told = openapi(CHECKS)
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    schema = told["paths"][CHAT]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**answer, "usage": None}, schema)
    jsonschema.validate(Refused("No.").said(), told["components"]["schemas"]["Error"])

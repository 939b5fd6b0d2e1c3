"""The guard in front of FastChat's API passes good requests on and refuses others in one sentence."""

import asyncio
import errno
import gzip
import json
import random
import re
import socket
from pathlib import Path

import pytest

from services.api import connections
from services.api.connections import watch_connections
from services.api.embeddings import parts
from services.api.errors import Refused
from services.api.parameters import LATER, TABLE, checks, rows
from services.api.request import understood

CHECKS = checks(4)
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
GOOD = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    TEXT: {"model": "m", "prompt": "Hi"},
    EMBED: {"model": "m", "input": "Hi"},
}
NOTHING = {CHAT: {"n": None, "tools": [], "stream": None}, TEXT: {"logit_bias": {}, "seed": None}, EMBED: {}}


def handed_on(path, **changed):
    body = json.dumps({**GOOD[path], **changed}).encode()
    return understood(path, body, CHECKS).body


def refusal(path, body):
    with pytest.raises(Refused) as refused:
        understood(path, body, CHECKS)
    return str(refused.value)


@pytest.mark.parametrize("path", GOOD)
def test_what_is_right_comes_through_as_it_is(path):
    assert handed_on(path) == GOOD[path]
    assert handed_on(path, user="u", **NOTHING[path]) == GOOD[path]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"model": "m", "prompt": "caf\u00e9"}'.encode("latin-1"), "The body is not UTF-8 (byte 30 is 0xe9), wanted"),
        (gzip.compress(b'{"model": "m", "prompt": "Hi"}'), "The body is compressed, wanted JSON as it is"),
        (b'{"model": "m", "prompt": "Hi", "n": 1, "n": 2}', 'The body has "n" twice in one object: send it once.'),
        (b'{"model": "m", "prompt": "Hi", "stream_options": {"a": 1, "a": 1}}', 'The body has "a" twice in one object'),
        (b"{'model': 'm'}", "The body is not JSON, wanted an object in JSON."),
        (b"model=m&prompt=Hi", "The body is not JSON, wanted an object in JSON."),
        (b"", "The body is not JSON, wanted an object in JSON."),
    ],
)
def test_a_body_that_can_not_be_read_is_refused_by_what_is_wrong_with_it(body, sentence):
    assert sentence in refusal(TEXT, body)


def test_a_byte_order_mark_is_no_part_of_the_json():
    assert understood(TEXT, b"\xef\xbb\xbf" + json.dumps(GOOD[TEXT]).encode(), CHECKS).body == GOOD[TEXT]


def test_every_parameter_that_fastchat_has_and_a_worker_reads_is_handed_on():
    sampling = {"temperature": 0, "top_p": 1, "top_k": -1, "n": 4, "max_tokens": 60, "stop": ["a", "b"], "stream": True}
    sampling |= {"presence_penalty": -2, "frequency_penalty": 2.0}
    assert handed_on(CHAT, **sampling) == {**GOOD[CHAT], **sampling}
    more = {**sampling, "stream": False, "echo": True, "logprobs": 1, "best_of": 2, "use_beam_search": False}
    more["prompt"] = ["a", "b"]
    assert handed_on(TEXT, **more) == {**GOOD[TEXT], **more}
    assert handed_on(EMBED, input=["a", "b"], encoding_format="base64") == {"model": "m", "input": ["a", "b"]}


@pytest.mark.parametrize(
    ("path", "changed", "sentence"),
    [
        (CHAT, {"temperature": "0.7"}, 'temperature is "0.7", wanted a number from 0 to 2.'),
        (CHAT, {"temperature": 2.1}, "temperature is 2.1, wanted a number from 0 to 2."),
        (CHAT, {"temperature": -1}, "temperature is -1, wanted a number from 0 to 2."),
        (CHAT, {"temperature": [1]}, "temperature is [1], wanted a number from 0 to 2."),
        (CHAT, {"top_p": 1.1}, "top_p is 1.1, wanted a number from 0 to 1."),
        (CHAT, {"top_k": 0}, "top_k is 0, wanted -1 or a number from 1 to 1000."),
        (CHAT, {"n": 5}, "n is 5, wanted a number from 1 to 4."),
        (CHAT, {"n": True}, "n is true, wanted a number from 1 to 4."),
        (CHAT, {"n": 1.5}, "n is 1.5, wanted an integer."),
        (CHAT, {"max_tokens": 0}, "max_tokens is 0, wanted a number from 1 to 1048576."),
        (CHAT, {"max_tokens": 10**30}, "wanted a number from 1 to 1048576."),
        (CHAT, {"stop": ""}, "stop has 0 characters, wanted 1 to 256."),
        (CHAT, {"stop": ["a", ""]}, "stop[1] has 0 characters, wanted 1 to 256."),
        (CHAT, {"stop": ["a"] * 17}, "stop has 17 entries, wanted 1 to 16."),
        (CHAT, {"stop": {}}, "stop is {}, wanted text."),
        (CHAT, {"stream": "yes"}, 'stream is "yes", wanted true or false.'),
        (CHAT, {"model": None}, "model is missing: add it to the body."),
        (CHAT, {"model": ""}, "model has 0 characters, wanted 1 to 256."),
        (CHAT, {"model": ["m"]}, 'model is ["m"], wanted text.'),
        (CHAT, {"messages": "Hi"}, 'messages is "Hi", wanted a list of 1 to 1000 messages.'),
        (CHAT, {"messages": []}, "messages is [], wanted a list of 1 to 1000 messages."),
        (CHAT, {"messages": ["Hi"]}, 'messages[0] is "Hi", wanted an object with role and content.'),
        (
            CHAT,
            {"messages": [{"content": "Hi"}]},
            "messages[0].role is null, wanted one of: system, developer, user",
        ),
        (CHAT, {"messages": [{"role": "tool", "content": "Hi"}]}, 'messages[0].role is "tool", wanted one of'),
        (CHAT, {"messages": [{"role": [], "content": "Hi"}]}, "messages[0].role is [], wanted one of"),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content is null, wanted text."),
        (CHAT, {"messages": [{"role": "user", "content": []}]}, "messages[0].content is an empty list, wanted text."),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/a.png"}}]}]},
            'messages[0].content[0] is of type "image_url", wanted text: nothing else is served here.',
        ),
        (CHAT, {"messages": [{"role": "user", "content": "\ud83d"}]}, "has half of a surrogate pair"),
        (TEXT, {"prompt": ""}, "prompt has 0 characters, wanted 1 to 524288."),
        (TEXT, {"prompt": []}, "prompt has 0 entries, wanted 1 to 4."),
        (TEXT, {"prompt": [1, 2]}, "prompt is given in tokens, wanted text."),
        (TEXT, {"prompt": [[1, 2]]}, "prompt is given in tokens, wanted text."),
        (TEXT, {"prompt": None}, "prompt is missing: add it to the body."),
        (TEXT, {"logprobs": 100}, "logprobs is 100, wanted a number from 0 to 1."),
        (EMBED, {"input": [1]}, "input is given in tokens, wanted text."),
        (EMBED, {"input": "a" * 8193}, "input has 8193 characters, wanted 1 to 8192."),
        (EMBED, {"encoding_format": "raw"}, 'encoding_format is "raw", wanted one of: float, base64.'),
    ],
)
def test_what_would_hurt_a_worker_is_refused_in_one_sentence(path, changed, sentence):
    said = refusal(path, json.dumps({**GOOD[path], **changed}).encode())
    assert sentence in said and said.endswith(".") and len(said) < 200


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff{}", b"{'a': 1}", b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
     b'{"model": NaN}', b'{"model": -Infinity}', b'{"a": 1e999}', b'{"a": ' + b"9" * 50000 + b"}"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_json_object_is_refused(body):
    said = refusal(CHAT, body)
    assert len(said) < 200 and re.search(r", wanted (an object|JSON in UTF-8)|: write a (smaller one|number)\.", said)


def test_a_value_is_never_quoted_whole():
    secret = "What I would not have in a log " * 100
    assert secret not in refusal(CHAT, json.dumps({**GOOD[CHAT], "n": secret, "messages": [secret]}).encode())


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", TABLE)
def test_the_table_in_the_document_is_what_the_guard_does(path):
    text = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
    (section,) = [one for one in text.split("\n## ") if re.match(rf"`\w+ {path}`", one)]
    assert re.findall(r"^\| `.*", section, re.MULTILINE) == rows(path)


@pytest.mark.parametrize("path", GOOD)
def test_no_parameter_is_dropped_in_silence(path):
    for one in TABLE[path]:
        odd = {"odd": [1]}
        with pytest.raises(Refused) as refused:
            understood(path, json.dumps({**GOOD[path], one.name: odd}).encode(), CHECKS)
        assert refused.value.param == one.name and refused.value.status == 400
    for name in ("junk", "Temperature", "max-tokens"):
        with pytest.raises(Refused, match="is no parameter of") as refused:
            understood(path, json.dumps({**GOOD[path], name: None}).encode(), CHECKS)
        assert refused.value.param == name and refused.value.code == "unknown_parameter"


@pytest.mark.parametrize(
    ("name", "asks", "nothing"),
    [("tools", [{"type": "function"}], []), ("tool_choice", "required", "none"), ("functions", [{}], []),
     ("response_format", {"type": "json_object"}, {"type": "text"}), ("logprobs", True, False), ("seed", 0, None),
     ("top_logprobs", 2, 0), ("logit_bias", {"50256": -100}, {}), ("store", True, False), ("audio", {}, None),
     ("modalities", ["text", "audio"], ["text"]), ("prediction", {"type": "content"}, None), ("user", 1, "alice"),
     ("service_tier", "flex", "auto"), ("metadata", {"a": "b"}, {}), ("parallel_tool_calls", "x", True)],
)  # fmt: skip
def test_what_can_not_be_done_is_refused_by_name_unless_it_asks_for_nothing(name, asks, nothing):
    assert handed_on(CHAT, **{name: nothing}) == GOOD[CHAT]
    with pytest.raises(Refused, match=f"^{name} ") as refused:
        handed_on(CHAT, **{name: asks})
    assert refused.value.param == name and refused.value.kind == "invalid_request_error"


def test_a_value_is_the_same_only_when_its_type_is():
    for name, value in (("logprobs", 0), ("top_logprobs", False), ("store", 0)):
        assert name in refusal(CHAT, json.dumps({**GOOD[CHAT], name: value}).encode())


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (1e-9, 0), (0.004, 0), (0.006, 0.01), (0.01, 0.01), (2, 2)])
def test_a_temperature_that_is_too_cold_is_rounded(asked, given):
    assert handed_on(CHAT, temperature=asked)["temperature"] == given


def test_the_newer_name_of_max_tokens_is_the_same_limit():
    assert handed_on(CHAT, max_completion_tokens=3)["max_tokens"] == 3
    assert handed_on(CHAT, max_completion_tokens=3, max_tokens=3)["max_tokens"] == 3
    assert str(handed_on(CHAT, max_tokens=3.0)["max_tokens"]) == "3", "some clients write integers so"
    both = {**GOOD[CHAT], "max_completion_tokens": 3, "max_tokens": 4}
    assert refusal(CHAT, json.dumps(both).encode()).startswith("max_completion_tokens is 3 and max_tokens is 4")


def test_messages_are_what_fastchat_s_templates_know():
    said = [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "you"}]},
        {"role": "assistant", "content": None, "tool_calls": [], "refusal": None, "annotations": []},
        {"role": "system", "content": "One."},
        {"role": "developer", "content": "Two."},
        {"role": "assistant"},
    ]
    assert handed_on(CHAT, messages=said)["messages"] == [
        {"role": "system", "content": "One.\nTwo."},
        {"role": "user", "content": "Hi\nyou"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": ""},
    ]
    for more in ({"name": "bob"}, {"tool_calls": [{"id": "1"}]}, {"weight": 1}):
        message = {"role": "assistant", "content": "x", **more}
        assert next(iter(more)) in refusal(CHAT, json.dumps({**GOOD[CHAT], "messages": [message]}).encode())


def test_options_of_a_stream_are_for_streams():
    asked = {**GOOD[CHAT], "stream": True, "stream_options": {"include_usage": True}}
    assert understood(CHAT, json.dumps(asked).encode(), CHECKS).usage is True
    assert refusal(CHAT, json.dumps({**asked, "stream": False}).encode()).startswith(
        "stream_options is for streams only"
    )
    assert "include_all" in refusal(CHAT, json.dumps({**asked, "stream_options": {"include_all": True}}).encode())
    for name, value in (("logprobs", 1), ("best_of", 2)):
        asked = {**GOOD[TEXT], "stream": True, name: value}
        assert refusal(TEXT, json.dumps(asked).encode()) == f"{name} is not served in a stream. Leave it out."


def test_what_an_old_fastchat_does_not_hand_on_is_refused_there():
    old = checks(4, set(LATER))
    nothing = {"top_k": -1, "presence_penalty": 0, "best_of": 1, "use_beam_search": False}
    assert understood(TEXT, json.dumps({**GOOD[TEXT], **nothing}).encode(), old).body == GOOD[TEXT]
    for name, value in (("top_k", 5), ("presence_penalty", 1), ("best_of", 2), ("logprobs", 0)):
        with pytest.raises(Refused, match="this version of FastChat") as refused:
            understood(TEXT, json.dumps({**GOOD[TEXT], name: value}).encode(), old)
        assert refused.value.param == name


def junk(dice, depth=0):
    """Return some JSON value."""
    simple = [None, True, 0, -1, 1, 2, 10**20, 0.5, -1e-9, 1e308, "", "user", "a\x00b", "\ud800", "m" * 300]
    if depth < 3 and dice.random() < 0.4:
        inside = [junk(dice, depth + 1) for _ in range(dice.randrange(4))]
        return inside if dice.random() < 0.5 else dict(zip(["type", "text", "role", "content"], inside, strict=False))
    return dice.choice(simple)


def test_whatever_comes_a_worker_gets_only_what_it_understands():
    dice = random.Random(4)  # noqa: S311  (the same each time)
    outcomes = set()
    for _ in range(20000):
        path = dice.choice(list(GOOD))
        names = dice.sample(list(CHECKS[path]), dice.randrange(1, 4))
        try:
            found = handed_on(path, **{name: junk(dice) for name in names})
        except Refused as refused:
            assert str(refused).endswith(".") and refused.param
            outcomes.add("refused")
            continue
        outcomes.add("handed on")
        assert set(found) <= set(CHECKS[path]) and None not in found.values()
        for name in ("temperature", "top_p", "top_k", "n", "max_tokens", "presence_penalty", "frequency_penalty"):
            assert type(found.get(name, 1)) in (int, float), found
        assert not 0 < found.get("temperature", 1) < 0.01
        for text in [found.get("prompt", "x"), found.get("input", "x"), found.get("stop", "x")]:
            assert text and all(part and isinstance(part, str) for part in (text if isinstance(text, list) else [text]))
        for message in found.get("messages", []):
            assert set(message) == {"role", "content"} and isinstance(message["content"], str)
    assert outcomes == {"refused", "handed on"}


def test_a_connection_to_a_host_that_is_gone_is_given_up():
    async def connected():
        loop = asyncio.get_running_loop()
        watch_connections(loop)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        _reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        one = writer.get_extra_info("socket")
        said = [one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
        names = [*connections.KEEP_ALIVE, "TCP_USER_TIMEOUT"]
        said += [one.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        writer.close()
        server.close()
        return said

    assert asyncio.run(connected()) == [1, 10, 5, 3, 25000]


@pytest.mark.parametrize("way", ["create_connection", "sock_connect"])
def test_a_host_that_takes_no_connection_is_given_up_soon(way, monkeypatch):
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.3)

    async def connected(address):
        loop = asyncio.get_running_loop()
        watch_connections(loop)
        if way == "create_connection":
            await loop.create_connection(asyncio.Protocol, *address)
        with socket.socket() as one:
            one.setblocking(False)
            await loop.sock_connect(one, address)

    with socket.socket() as full, socket.socket() as first:  # whose queue is full: Linux drops who asks
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        with pytest.raises(OSError, match="no connection within") as gone:
            asyncio.run(connected(full.getsockname()))
    assert gone.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [
        ([10] * 40, [16, 16, 8]),
        ([8192] * 3, [1, 1, 1]),
        ([1, 1, 8192, 1, 1], [2, 1, 2]),  # padding would make all of them as long as the longest
        ([4096, 4096, 4096], [2, 1]),
        ([1], [1]),
    ],
)
def test_a_worker_gets_few_long_texts_or_more_short_ones_at_once(lengths, wanted):
    texts = ["a" * length for length in lengths]
    found = parts(texts)
    assert [len(part) for part in found] == wanted and [text for part in found for text in part] == texts
    assert all(len(part) * max(map(len, part)) <= 8192 for part in found)

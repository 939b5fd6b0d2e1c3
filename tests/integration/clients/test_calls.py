"""What a program does with its client, through the gateway: chats, completions, embeddings and models."""

import pytest
from clients_site import MODEL, OPENAI_OWN

LONG = "Count from 1 to 200 in words."


@pytest.mark.parametrize("client", OPENAI_OWN, indirect=True)
def test_the_models_are_listed_and_found_one_by_one(client):
    said = client("models")
    assert said["ids"] == [MODEL] and said["one"] == MODEL


def test_a_chat_is_answered_whole(client):
    said = client.chat()
    assert said["texts"] == ["The capital of France is Paris."] and said["finish"] == ["stop"], said
    usage = said["usage"]
    assert usage["total"] == usage["prompt"] + usage["completion"] and usage["completion"] > 5 < usage["prompt"]
    assert [status for _, status in said["tries"]] == [200]


def test_a_streamed_chat_is_the_same_with_the_same_usage(client):
    whole = client.chat()
    streamed = client.chat(call="stream", stream_options={"include_usage": True})
    assert streamed["texts"] == whole["texts"] and streamed["finish"] == ["stop"], streamed
    assert streamed["usage"] == whole["usage"] and streamed["pieces"] > 3


def test_max_completion_tokens_is_a_limit(client):
    for call in ("chat", "stream"):
        options = {"stream_options": {"include_usage": True}} if call == "stream" else {}
        said = client.chat(LONG, call=call, max_completion_tokens=3, **options)
        assert said["finish"] == ["length"] and said["usage"]["completion"] == 3, said


def test_a_completion_is_answered_whole_and_streamed(client):
    asked = {"model": MODEL, "prompt": "The capital of France is", "temperature": 0, "max_tokens": 8}
    whole = client("completion", **asked)
    assert "Paris" in whole["texts"][0] and whole["finish"] == ["length"] and whole["usage"]["completion"] == 8, whole
    streamed = client("completion_stream", **asked, stream_options={"include_usage": True})
    assert streamed["texts"] == whole["texts"], streamed
    if client.name != "langchain":  # it does not say them for a stream of this kind
        assert streamed["usage"] == whole["usage"] and streamed["finish"] == ["length"], streamed


def test_embeddings_of_many_texts_are_those_of_each(client):
    texts = [f"Text number {number} of many" for number in range(40)]
    many = client("embeddings", model=MODEL, input=texts)
    assert many["order"] == list(range(40)) and len(set(many["lengths"])) == 1, many
    for at in (0, 17, 39):
        (one,) = client("embeddings", model=MODEL, input=texts[at])["vectors"]
        assert many["vectors"][at] == pytest.approx(one, abs=1e-3)
    assert many["vectors"][0] != pytest.approx(many["vectors"][39], abs=1e-3)

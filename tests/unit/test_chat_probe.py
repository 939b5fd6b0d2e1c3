import json
import sys
import types

import pytest
from ansible_collections.fastchat.fleet.plugins.modules import chat_probe


def test_the_answer_is_cut_out_of_a_transcript_of_the_command_line():
    text = "<|im_start|>user: <|im_start|>assistant: Paris: a city.\nOn the Seine.\n<|im_start|>user: exit...\n"
    assert chat_probe.TRANSCRIPT.search(text)["answer"] == "Paris: a city.\nOn the Seine."


def test_vicuna_s_roles():
    assert chat_probe.TRANSCRIPT.search("USER: ASSISTANT: Paris.\nUSER: exit...\n")["answer"] == "Paris."


def test_output_without_an_answer_is_no_transcript():
    assert chat_probe.TRANSCRIPT.search("Traceback (most recent call last):\n") is None


ASKED = {"worker": "http://gpu01:21002", "expect": "Paris"}


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        ({"text": "It is Paris.", "error_code": 0, "finish_reason": "stop"}, ""),
        ({"text": "It is Paris.", "error_code": 0}, ""),  # older versions give no reason
        ({"text": "It is Rome.", "error_code": 0}, "was 'It is Rome.', wanted one with 'Paris'"),
        ({"text": "Paris Paris", "error_code": 0, "finish_reason": "length"}, "ended by 'length', wanted 'stop'"),
        ({"text": "CUDA out of memory", "error_code": 50002}, "said error 50002: CUDA out of memory"),
    ],
)
def test_what_is_wrong_with_a_worker_s_answer(last, sentence):
    said = chat_probe.worker_fault(ASKED, last)
    assert sentence in said and bool(said) == bool(sentence)


class Module:
    """Stands in for a chat on a GPU: what its process ended with and said."""

    def __init__(self, *said):
        self.said = said

    def run_command(self, _command, data):
        assert data
        return self.said


CHAT = {"command": ["/usr/local/bin/fastchat-chat"], "limit": 9, "question": "q", "expect": "Paris", "tokenizer": "t"}


@pytest.mark.parametrize(
    "said",
    [
        "RuntimeError: CUDA out of memory. Tried to allocate 172.00 MiB (GPU 0; 31.75 GiB total capacity)",  # torch 1.9
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 270.00 MiB.",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 270.00 MiB. GPU 0 has 15.77 GiB",
        "RuntimeError: CUDA error: out of memory",
    ],
)
def test_a_gpu_without_memory_for_a_second_copy_is_no_fault_of_the_chat(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(AutoTokenizer=None))
    with pytest.raises(chat_probe.NoRoomError):
        chat_probe.through_command(Module(1, "Loading checkpoint shards", said), CHAT)


def test_another_end_of_the_chat_is_its_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(AutoTokenizer=None))
    fault = chat_probe.through_command(Module(1, "", "OSError: no file named pytorch_model.bin"), CHAT)[3]
    assert fault.startswith("/usr/local/bin/fastchat-chat ended with 1 and said: OSError")


def test_that_there_was_no_room_is_remembered_like_an_answer(tmp_path):
    now, kept = {"question": "q"}, {"model": "m", "answer": "", "tokens": 0, "tokens_per_second": 0.0, "fault": ""}
    for room in (True, False):
        way = {**kept, "with": now, **({} if room else {"room": False})}
        (tmp_path / "verdict.json").write_text(json.dumps({"ways": {"fastchat-chat": way}}))
        asked = {"earlier": str(tmp_path / "verdict.json"), "model": "m"}
        assert chat_probe.earlier_answer(asked, now)["room"] is room

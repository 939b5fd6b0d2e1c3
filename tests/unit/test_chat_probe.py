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
